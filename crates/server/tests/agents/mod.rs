//! Hosts at their listener, and whoever else comes there: on loopback, with a double of whoever answers.

mod collecting;
mod hostile_hosts;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::link::{Agents, Answer, Arrivals, Hosts, ReportError};
use link::wire::{Certified, ENROL, Enrol, Enrolled, RENEW, REPORT};
use link::{CallError, Client, HostKey, Identity, Invitation, authority_of};
use model::{HostReply, HostReport, Signed, Timestamp, WantedPiece};
use tokio::sync::{Notify, oneshot};

/// The clock of this machine: certificates are held against it by TLS.
fn now() -> Timestamp {
    let since = std::time::UNIX_EPOCH.elapsed().expect("a clock");
    Timestamp(i64::try_from(since.as_micros()).expect("a time"))
}

/// Answers hosts as it is told to, and remembers what they said.
#[derive(Default)]
struct Double {
    said: Mutex<Vec<(String, HostReport)>>,
    kept: Mutex<Vec<(String, WantedPiece, Vec<u8>)>>,
    instructions: Mutex<Vec<Signed>>,
    fails: Mutex<Option<ReportError>>,
    changed: Notify,
}

impl Hosts for Double {
    fn report<'a>(
        &'a self,
        host: &'a str,
        report: HostReport,
        now: Timestamp,
    ) -> Answer<'a, Result<HostReply, ReportError>> {
        Box::pin(async move {
            self.said
                .lock()
                .expect("a lock")
                .push((host.to_owned(), report));
            if let Some(error) = self.fails.lock().expect("a lock").clone() {
                return Err(error);
            }
            Ok(HostReply {
                v: 1,
                at: now,
                instructions: self.instructions.lock().expect("a lock").clone(),
                ..HostReply::default()
            })
        })
    }

    fn evidence<'a>(
        &'a self,
        host: &'a str,
        piece: WantedPiece,
        content: Vec<u8>,
        _: Timestamp,
    ) -> Answer<'a, Result<(), ReportError>> {
        Box::pin(async move {
            let mut kept = self.kept.lock().expect("a lock");
            kept.push((host.to_owned(), piece, content));
            match self.fails.lock().expect("a lock").clone() {
                Some(error) => Err(error),
                None => Ok(()),
            }
        })
    }

    fn enrolled<'a>(&'a self, _: &'a str, _: &'a str, _: Timestamp) -> Answer<'a, bool> {
        Box::pin(async { true })
    }

    fn changed<'a>(&'a self, _: &'a str) -> Answer<'a, ()> {
        Box::pin(self.changed.notified())
    }
}

impl Double {
    fn names(&self) -> Vec<String> {
        let said = self.said.lock().expect("a lock");
        said.iter().map(|(name, _)| name.clone()).collect()
    }
}

/// A listener that is up, and its list of hosts.
struct Server {
    folder: tempfile::TempDir,
    agents: Arc<Agents>,
    hosts: Arc<Double>,
    address: SocketAddr,
    /// Dropped, it ends.
    _stop: oneshot::Sender<()>,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let agents = Arc::new(Agents::open(folder.path(), "shop", now()).expect("open"));
        let hosts = Arc::new(Double::default());
        let tls = agents.authority().server(&["127.0.0.1".to_owned()], now());
        let tls = tls.expect("a certificate");
        let none = sources::Positions::new();
        let arrivals = Arrivals::new(Arc::clone(&agents), &none, [7; 32], now);
        let link = server::Link::new(Arc::clone(&agents), Arc::clone(&hosts) as _, now);
        let link = link.collecting(arrivals);
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
                let listener = listener.expect("a port");
                let address = listener.local_addr().expect("an address");
                tell.send(address).expect("told");
                let stopped = async move { drop(stopped.await) };
                let served = server::serve_agents(link, listener, tls, stopped).await;
                served.expect("served");
            });
        });
        Self {
            folder,
            agents,
            hosts,
            address: told.recv().expect("an address"),
            _stop: stop,
        }
    }

    fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    fn authority(&self) -> Vec<u8> {
        self.agents.authority().certificate().to_vec()
    }

    /// Lets a host in as the command does.
    fn enrol(&self, word: &str) -> Result<Identity, CallError> {
        let invitation = Invitation::read(word).expect("a word");
        let authority = authority_of(&self.url(), invitation.authority)?;
        let key = HostKey::make().expect("a key");
        let body = asks(&invitation.secret(), &key);
        let enrolled: Enrolled = Client::nameless(&self.url(), &authority).post(ENROL, &body, 0)?;
        Ok(Identity::new(&self.url(), &authority, &key, enrolled).expect("an identity"))
    }

    fn host(&self, name: &str) -> Identity {
        let word = self.agents.invite(name, now()).expect("invited");
        self.enrol(&word).expect("enrolled")
    }
}

fn asks(secret: &str, key: &HostKey) -> Enrol {
    Enrol {
        v: 1,
        secret: secret.to_owned(),
        request: key.request().expect("a request"),
    }
}

fn report() -> HostReport {
    HostReport {
        v: 1,
        at: now(),
        ..HostReport::default()
    }
}

fn posts(identity: &Identity, wait: u64) -> Result<HostReply, CallError> {
    client(identity).post(REPORT, &report(), wait)
}

fn client(identity: &Identity) -> Client {
    Client::new(identity).expect("a client")
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, CallError>, expected: u16) {
    let shown = format!("{answer:?}");
    let status = match answer.map(drop) {
        Err(CallError::Refused { status, .. }) => status,
        _ => 0,
    };
    assert_eq!(status, expected, "{shown}");
}

#[track_caller]
fn away<T: std::fmt::Debug>(answer: Result<T, CallError>, expected: &str) {
    let shown = format!("{answer:?}");
    let is_away = match answer.map(drop) {
        Err(CallError::Away { why }) => why.contains(expected),
        _ => false,
    };
    assert!(is_away, "{shown}");
}

#[test]
fn a_host_that_enrolled_reports_under_the_name_it_was_invited_by() {
    let server = Server::start();
    let (one, two) = (server.host("web1"), server.host("web-2"));
    assert_eq!(
        (one.name.as_str(), one.installation.as_str()),
        ("web1", "shop")
    );
    for identity in [&one, &two, &one] {
        assert!(posts(identity, 0).is_ok());
    }
    assert_eq!(server.hosts.names(), ["web1", "web-2", "web1"]);
    // What it verifies plans by is what signs them.
    assert_eq!(one.plans, server.agents.plans().verifying());
}

#[test]
fn a_word_works_once() {
    let server = Server::start();
    let word = server.agents.invite("web1", now()).expect("invited");
    assert!(server.enrol(&word).is_ok());
    refused(server.enrol(&word), 403);
    assert_eq!(server.agents.list().expect("a list").len(), 1);
}

#[test]
fn a_host_that_is_removed_is_refused_at_once_on_the_connection_it_has() {
    let server = Server::start();
    let identity = server.host("web1");
    let open = client(&identity);
    let before: Result<HostReply, _> = open.post(REPORT, &report(), 0);
    assert!(before.is_ok());
    // By a command beside the server.
    let beside = Agents::open(server.folder.path(), "", now()).expect("open");
    beside.remove("web1").expect("removed");
    refused(open.post::<HostReply>(REPORT, &report(), 0), 403);
    refused(
        open.post::<Certified>(RENEW, &serde_json::json!({}), 0),
        403,
    );
    refused(posts(&identity, 0), 403);
    assert_eq!(server.hosts.names(), ["web1"]);
}

#[test]
fn one_that_is_removed_while_its_answer_waits_is_told_nothing() {
    let server = Server::start();
    let identity = server.host("web1");
    let waits = std::thread::spawn(move || posts(&identity, 20));
    until(|| server.hosts.names().len() == 1);
    server.agents.remove("web1").expect("removed");
    server.hosts.changed.notify_waiters();
    refused(waits.join().expect("joined"), 403);
}

#[test]
fn a_certificate_is_renewed_for_the_same_key() {
    let server = Server::start();
    let identity = server.host("web1");
    let next: Certified = client(&identity)
        .post(RENEW, &serde_json::json!({ "v": 1 }), 0)
        .expect("renewed");
    assert_ne!(next.certificate, identity.certificate.certificate);
    assert!(next.until >= identity.certificate.until);
    let renewed = identity.renewed(next);
    assert!(posts(&renewed, 0).is_ok());
    assert!(!renewed.is_to_renew(now()));
    let half = now().plus_seconds(12 * 3600);
    assert!(renewed.is_to_renew(half) && !renewed.is_over(half));
}

#[test]
fn an_answer_waits_for_a_change_and_not_for_what_was_told() {
    let server = Server::start();
    let identity = server.host("web1");
    let begun = Instant::now();
    assert!(posts(&identity, 0).is_ok());
    let tells = HostReport {
        refused: vec![model::Refused {
            run: "run-1".to_owned(),
            order: "order-1".to_owned(),
            why: "no".to_owned(),
            at: now(),
        }],
        ..report()
    };
    let told: Result<HostReply, _> = client(&identity).post(REPORT, &tells, 20);
    assert!(told.is_ok());
    assert!(begun.elapsed() < Duration::from_secs(10), "neither waited");
    let waits = std::thread::spawn(move || posts(&identity, 20));
    until(|| server.hosts.names().len() == 3);
    assert!(!waits.is_finished());
    let signed = Signed {
        text: "{}".to_owned(),
        signature: "x".to_owned(),
    };
    server
        .hosts
        .instructions
        .lock()
        .expect("a lock")
        .push(signed.clone());
    server.hosts.changed.notify_waiters();
    let reply = waits.join().expect("joined").expect("an answer");
    assert_eq!(reply.instructions, [signed]);
    // Told again for the answer, the report tells nothing twice.
    let said = server.hosts.said.lock().expect("a lock");
    assert_eq!(said.len(), 4);
    assert_eq!(said[3].1.refused, []);
}

#[test]
fn one_report_of_a_host_is_answered_at_a_time() {
    let server = Server::start();
    let (identity, other) = (server.host("web1"), server.host("web2"));
    let host = identity.clone();
    let waits = std::thread::spawn(move || posts(&host, 20));
    until(|| server.hosts.names().len() == 1);
    away(posts(&identity, 0), "409 another report");
    assert!(posts(&other, 0).is_ok());
    server.hosts.changed.notify_waiters();
    assert!(waits.join().expect("joined").is_ok());
    assert!(posts(&identity, 0).is_ok());
}

#[test]
fn what_whoever_answers_says_is_told() {
    let server = Server::start();
    let identity = server.host("web1");
    let fails = |error| *server.hosts.fails.lock().expect("a lock") = error;
    fails(Some(ReportError::Away));
    away(posts(&identity, 0), "503");
    fails(Some(ReportError::Unfit {
        why: "entry 7 doesn't follow".to_owned(),
    }));
    let answer = posts(&identity, 0);
    assert!(format!("{answer:?}").contains("entry 7 doesn't follow"));
    refused(answer, 422);
    fails(None);
    let later = HostReport { v: 2, ..report() };
    refused(client(&identity).post::<HostReply>(REPORT, &later, 0), 422);
    assert!(posts(&identity, 0).is_ok());
}

/// Waits for what another thread does, for ten seconds at most.
#[track_caller]
fn until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it never holds");
        std::thread::yield_now();
    }
}
