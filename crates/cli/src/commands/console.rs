//! The console of `up` and `demo`: where it listens, for whom, and following what is watched beside it.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use engine::attach::Shelf;
use engine::counsel::Counsel;
use engine::decider::Decider;
use engine::desk::{Desk, GapView, Update};
use engine::live::Live;
use engine::mail::{Clerk, MailSink};
use engine::people::{People, SignIn, Tell};
use engine::pipeline::Pipeline;
use engine::trail::Trail;
use engine::watching::Watching;
use engine::zone::Zone;
use model::{AccessEvent, AccessKind};
use server::{Access, Console, Telling, Tls};
use sources::{Follower, Running, Source};
use tokio::runtime::Runtime;

use super::agent::AgentsPlace;
use super::mail::Mailing;
use super::now;
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// Pause between two looks for accounts nobody uses and what else is over.
const SWEEP: Duration = Duration::from_secs(3600);

/// Largest file that may be attached, where nothing else is said.
const ATTACHMENT_MIB: u8 = 10;
/// What it may be set to at most: it is held in memory while it is looked into.
const ATTACHMENT_MIB_MAX: u8 = 32;

/// Where the console is reached. Flags win over the settings file.
#[derive(Args, Clone, Default)]
pub(super) struct ConsoleFlags {
    /// Port of the console; 0 takes a free one
    #[arg(long, default_value_t = 8780)]
    pub(super) port: u16,
    /// Address the console listens on; any but loopback needs --tls-certificate, --tls-key and --name [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) listen: Option<IpAddr>,
    /// Certificates (PEM) of the console, its own first; read at the start. Renewing by ACME is left to a proxy in front
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(super) tls_certificate: Option<PathBuf>,
    /// Key (PEM) of --tls-certificate
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(super) tls_key: Option<PathBuf>,
    /// A host name browsers reach the console by, beside those of loopback; by TLS alone, its own or a proxy's. May be repeated
    #[arg(long = "name", value_name = "HOST")]
    pub(super) names: Vec<String>,
    /// Time zone in which pages tell times to whoever chose none, e.g. Europe/Berlin [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub(super) shown_zone: Option<String>,
    /// Largest file that may be attached to an incident, in MiB, 1 to 32 [default: 10]
    #[arg(long, value_name = "MIB")]
    pub(super) attachment_mib: Option<u8>,
}

/// Where a console is reached, checked.
pub(super) struct Place {
    address: SocketAddr,
    tls: Option<Tls>,
    names: Vec<String>,
    attachment_mib: u8,
    zone: Zone,
}

impl Place {
    /// A port of loopback.
    pub(super) fn local(port: u16) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            tls: None,
            names: Vec::new(),
            attachment_mib: ATTACHMENT_MIB,
            zone: Zone::default(),
        }
    }

    /// The address a person opens.
    fn link(&self, bound: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        match self.names.first() {
            // A proxy in front has a port of its own, which isn't known here.
            Some(name) if self.tls.is_none() => format!("https://{name}"),
            Some(name) if bound.port() == 443 => format!("{scheme}://{name}"),
            Some(name) => format!("{scheme}://{name}:{}", bound.port()),
            None => format!("{scheme}://{bound}"),
        }
    }
}

impl ConsoleFlags {
    fn zone(&self) -> Result<Zone, Failure> {
        let name = self.shown_zone.as_deref().unwrap_or("UTC");
        Zone::named(name).or_fail("name it with --shown-zone or shown_zone")
    }

    /// Checks them: beyond loopback nothing travels in the clear.
    pub(super) fn place(&self) -> Result<Place, Failure> {
        let attachment_mib = self.attachment_mib.unwrap_or(ATTACHMENT_MIB);
        if !(1..=ATTACHMENT_MIB_MAX).contains(&attachment_mib) {
            return Err(Failure::say(
                format!("a file of {attachment_mib} MiB can't be attached to an incident"),
                format!("--attachment-mib takes 1 to {ATTACHMENT_MIB_MAX}"),
            ));
        }
        let listen = self.listen.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let tls = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(Tls::read(certificate, key).or_fail(
                "name a PEM file each with --tls-certificate (the whole chain) and --tls-key",
            )?),
            (None, None) => None,
            _ => {
                return Err(Failure::say(
                    "a certificate needs its key, and a key its certificate",
                    "name both, with --tls-certificate and --tls-key",
                ));
            }
        };
        if !listen.is_loopback() && tls.is_none() {
            return Err(Failure::say(
                format!(
                    "beyond loopback the console needs TLS; without, passwords would travel to {listen} in the clear"
                ),
                "--tls-certificate FILE --tls-key FILE; or leave --listen out, put a proxy with TLS (and ACME) in front of \
                 127.0.0.1, and tell the console its host with --name",
            ));
        }
        if !listen.is_loopback() && self.names.is_empty() {
            return Err(Failure::say(
                "beyond loopback the console answers only to a name it knows",
                "--name HOST, as the certificate has it",
            ));
        }
        Ok(Place {
            address: SocketAddr::from((listen, self.port)),
            tls,
            names: self.names.clone(),
            attachment_mib,
            zone: self.zone()?,
        })
    }
}

/// Tells what happens to accounts: for the ledger, and where the log of the service has it.
fn tell(trail: Trail) -> Tell {
    Box::new(move |event: AccessEvent| {
        trail.access(event.clone());
        let (at, kind) = (event.at, event.kind.name());
        let mut line = format!("{at}  {kind}");
        for (word, text) in [
            ("", &event.account),
            ("by ", &event.by),
            ("from ", &event.from),
        ] {
            if !text.is_empty() {
                line.push_str(&format!(" {word}{}", inert(text)));
            }
        }
        if let AccessKind::ProviderRefused { provider, why } = &event.kind {
            line.push_str(&format!(" by {}: {}", inert(provider), inert(why)));
        }
        drop(writeln!(std::io::stderr(), "{line}"));
    })
}

/// Whether a console is for people, or for anybody at this machine to look at.
pub(super) enum For {
    /// People with accounts, and how others know them.
    People(Box<SignIn>),
    /// Anybody who reaches it.
    Anybody,
}

/// What is watched, and by what it is shown.
pub(super) struct Watch {
    pub(super) files: Vec<PathBuf>,
    pub(super) sources: Vec<Box<dyn Source>>,
    pub(super) gaps: Vec<GapView>,
    pub(super) place: Place,
    /// Where hosts report, if they may.
    pub(super) agents: Option<AgentsPlace>,
    pub(super) whom: For,
    /// Whom to tell.
    pub(super) telling: Telling,
    /// How people are told by mail, if they are.
    pub(super) mail: Option<Mailing>,
}

/// Serves the console and follows what is watched until `stop` is set.
pub(super) fn serve_and_follow(
    mut pipeline: Pipeline,
    watch: Watch,
    data: &Path,
    stop: &Arc<AtomicBool>,
) -> Result<(), Failure> {
    let (reader, finder) = engine::evidence::of_ledger(
        &data.join("ledger"),
        &data.join("keys"),
        pipeline.context().clone(),
    )
    .or_fail("check that --data is readable")?;
    let desk = Desk::searching(reader, finder);
    desk.publish(Update::Gaps(watch.gaps));
    pipeline.show_on(desk.clone());
    let resume = pipeline.positions().clone();
    let follower = Follower::new(watch.files, resume).or_fail("check that the logs may be read")?;
    let mut all: Vec<Box<dyn Source>> = vec![Box::new(follower)];
    all.extend(watch.sources);
    let arrivals = watch.agents.as_ref();
    let arrivals = arrivals.map(|place| place.arrivals(data, &pipeline));
    let arrivals = arrivals.transpose()?;
    if let Some(arrivals) = &arrivals {
        all.push(Box::new(arrivals.clone()));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .or_fail("the machine has no room for another thread")?;
    let place = watch.place;
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(place.address))
        .or_fail("another program holds the port; name another with --port, or 0 for a free one")?;
    let bound = listener.local_addr().or_fail("")?;
    let link = place.link(bound);
    drop(writeln!(
        std::io::stderr(),
        "\nconsole: {link}/   (Ctrl-C stops)"
    ));
    let mut hosts = None;
    let running = Running::start(all).or_fail("the machine has no room for another thread")?;
    let stores = pipeline.context().stores.clone();
    let mut console = match watch.whom {
        For::Anybody => Console::new(desk.clone(), Access::Open, stores).with_clock(now),
        For::People(sign_in) => {
            let (trail, writing) = Trail::begin(pipeline.outbox(), running.waker());
            drop(runtime.spawn(writing));
            let access = for_people(&pipeline, data, &runtime, &link, *sign_in, trail.clone())?;
            if let (Some(mail), Access::People { people, .. }) = (watch.mail, &access) {
                tell_by_mail(&mut pipeline, mail, people, &desk, (&runtime, stop), &link)?;
            }
            let (outbox, waker) = (pipeline.outbox(), running.waker());
            let hash_key = pipeline.key_for("attachment");
            let known = Arc::new(stores.clone());
            let shelf = Shelf::open(
                &data.join("ledger"),
                &data.join("keys"),
                pipeline.context().clone(),
            )
            .or_fail("check that --data is readable")?;
            let shelf = Arc::new(shelf);
            let counsel = Counsel::open(
                &data.join("keys"),
                outbox.clone(),
                desk.clone(),
                Arc::clone(&known),
                waker.clone(),
                Arc::clone(&shelf),
            );
            let counsel = counsel.or_fail("check that --data is writable")?;
            let decider = Decider::new(outbox, desk.clone(), known, waker, hash_key);
            if let Some(place) = watch.agents {
                let both = (decider.clone(), arrivals);
                hosts = Some(place.serve(data, &runtime, stop, both)?);
            }
            Console::new(desk.clone(), access, stores)
                .deciding(decider, trail)
                .reading(shelf)
                .advised(counsel)
                .watching(Watching::new(pipeline.looks()))
                .taking_up_to(usize::from(place.attachment_mib) << 20)
        }
    };
    console = console
        .named(place.names)
        .telling(watch.telling)
        .in_zone(place.zone);
    if place.tls.is_some() {
        console = console.over_tls();
    }
    let stopped = set(Arc::clone(stop));
    let serving = runtime.spawn(server::serve(console, listener, place.tls, stopped));
    let tell = |line: &str| drop(writeln!(std::io::stderr(), "{}  {line}", now()));
    let mut live = Live::new(pipeline, running, desk, now(), Box::new(tell));
    let result = live.run(&now, &|| stop.load(Ordering::SeqCst));
    stop.store(true, Ordering::SeqCst);
    result.or_fail("free some disk space and start again: it resumes where the ledger ends")?;
    runtime
        .block_on(serving)
        .or_fail("")?
        .or_fail("start again; the ledger is whole")?;
    if let Some(hosts) = hosts {
        let served = runtime.block_on(hosts).or_fail("")?;
        served.or_fail("start again; hosts tell what wasn't sealed once more")?;
    }
    Ok(())
}

/// Tells people by mail from here on.
fn tell_by_mail(
    pipeline: &mut Pipeline,
    mail: Mailing,
    people: &People,
    desk: &Desk,
    (runtime, stop): (&Runtime, &Arc<AtomicBool>),
    link: &str,
) -> Result<(), Failure> {
    let mut settings = mail.settings;
    settings.installation.clone_from(&pipeline.installation().0);
    if settings.url.is_empty() {
        link.clone_into(&mut settings.url);
    }
    let clerk = runtime.block_on(Clerk::open(
        desk.clone(),
        Arc::new(pipeline.context().stores.clone()),
        Some(people.clone()),
        pipeline.mailed(),
        mail.post,
        settings,
    ));
    let clerk = clerk.or_fail("check that the state's place can be reached")?;
    pipeline.tell(Box::new(MailSink(clerk.state())));
    // Ends with the flag, at the latest with the runtime.
    drop(runtime.spawn(clerk.run(now, Arc::clone(stop))));
    Ok(())
}

/// Makes a flag that the first Ctrl-C or termination signal sets.
pub(super) fn stop_on_signals() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_fail("the machine has no room for another thread")?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let Ok(mut term) = signal(SignalKind::terminate()) else {
                return;
            };
            tokio::select! {
                _ = term.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            set.store(true, Ordering::SeqCst);
        });
    });
    Ok(stop)
}

/// Ends when a flag is set.
pub(super) async fn set(flag: Arc<AtomicBool>) {
    while !flag.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Lets people in: the first one by a link that is printed, while there is no account.
fn for_people(
    pipeline: &Pipeline,
    data: &Path,
    runtime: &Runtime,
    link: &str,
    mut sign_in: SignIn,
    trail: Trail,
) -> Result<Access, Failure> {
    link.clone_into(&mut sign_in.address);
    const HINT: &str = "check that --data is writable and the state's place can be reached";
    let people = People::open_with(
        pipeline.database(),
        &data.join("keys"),
        sign_in,
        tell(trail),
    )
    .or_fail(HINT)?;
    let first = runtime.block_on(people.first_invitation(now()));
    if let Some(token) = first.or_fail(HINT)? {
        drop(writeln!(
            std::io::stderr(),
            "first administrator: {link}/welcome?invitation={token}\n                     \
             (works once, for a day; magewarden accounts lets in others)"
        ));
    }
    let sweeping = people.clone();
    // Ends with the runtime.
    runtime.spawn(async move {
        loop {
            // What couldn't be done now is done in an hour.
            drop(sweeping.sweep(now()).await);
            tokio::time::sleep(SWEEP).await;
        }
    });
    Ok(Access::People { people, now })
}

#[cfg(test)]
mod tests {
    use super::ConsoleFlags;

    fn refused(flags: &ConsoleFlags) -> String {
        match flags.place() {
            Ok(_) => String::new(),
            Err(failure) => format!("{failure:?}"),
        }
    }

    #[test]
    fn nothing_listens_beyond_loopback_without_tls() {
        for (listen, is_local) in [
            (None, true),
            (Some("127.0.0.2"), true),
            (Some("::1"), true),
            (Some("0.0.0.0"), false),
            (Some("::"), false),
            (Some("192.0.2.1"), false),
        ] {
            let flags = ConsoleFlags {
                listen: listen.map(|text| text.parse().expect("an address")),
                names: vec!["console.example.test".to_owned()],
                ..ConsoleFlags::default()
            };
            let why = refused(&flags);
            assert_eq!(why.is_empty(), is_local, "{listen:?}: {why}");
            assert!(is_local || why.contains("needs TLS") && why.contains("ACME"));
        }
        let half = ConsoleFlags {
            tls_key: Some("key.pem".into()),
            ..ConsoleFlags::default()
        };
        assert!(refused(&half).contains("a certificate needs its key"));
        let large = ConsoleFlags {
            attachment_mib: Some(33),
            ..ConsoleFlags::default()
        };
        assert!(refused(&large).contains("33 MiB"));
        let absent = ConsoleFlags {
            tls_certificate: Some("nowhere.pem".into()),
            ..half
        };
        assert!(refused(&absent).contains("nowhere.pem"));
    }
}
