//! `agent`: a shop's host carries out plans of the console, as far as its owner's policy allows, and hands over what its logs say.

mod collect;
mod listen;
mod policy;
mod root;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use engine::agent::{KeptError, RunError, Settings, keep_identity, may_enrol, run};
use engine::link::{AgentError, Agents};
use engine::runs::Place;
use link::wire::{ENROL, Enrol, Enrolled, LINK_VERSION};
use link::{CallError, Client, HostKey, Identity, Invitation, authority_of};

use super::console::stop_on_signals;
use super::now;
use super::runs::{DATA, Freeze, On, Undo, thaw};
use crate::failure::{Failure, OrFail};

use collect::Collected;
pub(super) use listen::{AgentsPlace, Listen};

/// What `agent` is told.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    on the server:      magewarden up … --agents 0.0.0.0:8781 --agents-name watch.example.com\n                      \
    magewarden agent invite web1                a word that lets one host in, for an hour\n  \
    on the shop's host: magewarden agent enrol --server https://watch.example.com:8781 --invitation WORD\n                      \
    magewarden agent policy --policy policy.toml\n                      \
    magewarden agent run --host host.toml --stores stores.toml --policy policy.toml\n                      \
    … --log /var/log/nginx/access.log           and masks here what it says, and hands it over\n  \
    with the server gone: magewarden agent undo RUN --why 'false alarm' --by ann --host host.toml --stores stores.toml\n                      \
    magewarden agent freeze --why 'who does this?' --by ann\n\n\
    docs/agent.md tells what an agent can do and what it trusts.\n\n\
    Exit codes: 0 done; 1 error; 2 usage; 10 a policy refuses the plan, or a run waits for a person.")]
pub(crate) struct Agent {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// On the server: print a word that lets one host in, once, within an hour
    Invite {
        /// Name of the host: letters, digits and -, at most 32
        name: String,
        #[command(flatten)]
        server: OfServer,
    },
    /// On the server: list the hosts that were let in
    List {
        #[command(flatten)]
        server: OfServer,
    },
    /// On the server: let a host in no more, from its next request on
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        server: OfServer,
    },
    /// On the shop's host: make a key here, and have the server take it
    Enrol {
        /// Where the server listens for hosts
        #[arg(long, value_name = "https://HOST:PORT")]
        server: String,
        /// The word that `magewarden agent invite` printed; `-` reads it from standard input
        #[arg(long, value_name = "WORD")]
        invitation: String,
        #[command(flatten)]
        host: OfHost,
    },
    /// On the shop's host: carry out what the server signed and the policy allows, and hand over what logs say, until it is stopped
    Run {
        #[command(flatten)]
        host: OfHost,
        #[command(flatten)]
        on: On,
        /// What may be done here (TOML; docs/agent.md) [default: evidence is kept and addresses are blocked, nothing else]
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
        #[command(flatten)]
        collected: Collected,
    },
    /// On the shop's host, as root: do what needs root for the agent, a closed list; systemd starts it when the agent asks
    Root(root::Root),
    /// Say what a policy allows, and what it says to a plan
    Policy(policy::Show),
    /// As `runs undo`, of the agent's runs; the server needn't be there
    Undo {
        #[command(flatten)]
        host: OfHost,
        #[command(flatten)]
        undo: Undo,
    },
    /// As `runs freeze`: nothing more is done on this host, whoever asks
    Freeze {
        #[command(flatten)]
        host: OfHost,
        #[command(flatten)]
        freeze: Freeze,
    },
    /// As `runs thaw`: let things be done again
    Thaw {
        #[command(flatten)]
        host: OfHost,
    },
}

#[derive(Args)]
struct OfServer {
    /// Folder of `up`
    #[arg(long, value_name = "DIR", default_value = "magewarden-data")]
    data: PathBuf,
}

impl OfServer {
    fn open(&self) -> Result<Agents, Failure> {
        super::accounts::make(&self.data)?;
        super::accounts::make(&self.data.join("keys"))?;
        // What it is called stands in what `up` answers; here nobody is answered.
        Agents::open(&self.data, "", now()).map_err(|error| agent_failure(&error))
    }
}

#[derive(Args)]
struct OfHost {
    /// Folder of the agent: who it is, its runs, and what undoes them; ours alone
    #[arg(long, value_name = "DIR", default_value = DATA)]
    data: PathBuf,
}

impl OfHost {
    fn place(&self) -> Place {
        Place::below(&self.data)
    }
}

impl Agent {
    /// Runs it.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self.what {
            What::Invite { name, server } => {
                let word = server.open()?.invite(&name, now());
                let word = word.map_err(|error| agent_failure(&error))?;
                say(&format!("{word}\n"))
            }
            What::List { server } => {
                let all = server.open()?.list();
                let all = all.map_err(|error| agent_failure(&error))?;
                let line = |one: engine::link::Agent| {
                    let (enrolled, until) = (report::when(&one.enrolled), report::when(&one.until));
                    format!(
                        "{:<32} let in {enrolled}, certificate until {until}\n",
                        one.name
                    )
                };
                let lines: String = all.into_iter().map(line).collect();
                match lines.is_empty() {
                    true => say("no hosts: `magewarden agent invite NAME` lets one in\n"),
                    false => say(&lines),
                }
            }
            What::Remove { name, server } => {
                let removed = server.open()?.remove(&name);
                removed.map_err(|error| agent_failure(&error))?;
                say(&format!(
                    "{name} is let in no more; what it began goes on there: `agent freeze` on that host stops it\n"
                ))
            }
            What::Enrol {
                server,
                invitation,
                host,
            } => enrol(&server, &invitation, &host.data),
            What::Run {
                host,
                on,
                policy,
                collected,
            } => carry(host.data, &on, policy.as_deref(), collected),
            What::Root(root) => root.run(),
            What::Policy(show) => show.run(),
            What::Undo { host, undo } => undo.run(&host.place()),
            What::Freeze { host, freeze } => freeze.run(&host.place()),
            What::Thaw { host } => thaw(&host.place()),
        }
    }
}

fn enrol(server: &str, invitation: &str, folder: &Path) -> Result<ExitCode, Failure> {
    let word = match invitation {
        "-" => std::io::read_to_string(std::io::stdin()).or_fail("write the word to it")?,
        word => word.to_owned(),
    };
    let invitation =
        Invitation::read(&word).or_fail("`magewarden agent invite` on the server prints one")?;
    may_enrol(folder).map_err(|error| kept(&error))?;
    let call = |error: CallError| Failure::new(&error, hint(&error));
    let authority = authority_of(server, invitation.authority).map_err(call)?;
    let made = || -> Result<(HostKey, Vec<u8>), link::LinkError> {
        let key = HostKey::make()?;
        let request = key.request()?;
        Ok((key, request))
    };
    let (key, request) = made().or_fail("the machine has no random numbers")?;
    let body = Enrol {
        v: LINK_VERSION,
        secret: invitation.secret(),
        request,
    };
    let client = Client::nameless(server, &authority);
    let enrolled: Enrolled = client.post(ENROL, &body, 0).map_err(call)?;
    let identity = Identity::new(server, &authority, &key, enrolled)
        .or_fail("the server's answer can't be used: are both of one version?")?;
    keep_identity(folder, &identity).map_err(|error| kept(&error))?;
    say(&format!(
        "{identity:?}: enrolled; `magewarden agent run` begins\n"
    ))
}

fn carry(
    folder: PathBuf,
    on: &On,
    policy: Option<&Path>,
    collected: Collected,
) -> Result<ExitCode, Failure> {
    let collect = collected.checked(&folder)?;
    let settings = Settings {
        host: on.open()?,
        policy: policy::read(policy)?,
        clock: now,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        tell: Box::new(|line| {
            let line = crate::terminal::inert(line);
            drop(writeln!(std::io::stderr(), "{}  {line}", now()));
        }),
        folder,
        collect,
    };
    let stop = stop_on_signals()?;
    run(settings, &stop).map_err(|error| match &error {
        RunError::Kept(error) => kept(error),
        other => Failure::new(
            other,
            "remove what is kept of the enrolment, and enrol anew",
        ),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn say(text: &str) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .or_fail("check where the output goes")?;
    Ok(ExitCode::SUCCESS)
}

/// Why a list of hosts can't be used, and what to do.
fn agent_failure(error: &AgentError) -> Failure {
    let hint = match error {
        AgentError::NameTaken => "magewarden agent remove NAME first; its key isn't taken again",
        AgentError::NoSuch => "magewarden agent list shows names",
        AgentError::Name => "",
        AgentError::Link(_) => "put back the files of `keys` as they were",
        _ => "check that --data is readable and writable",
    };
    Failure::new(error, hint)
}

fn kept(error: &KeptError) -> Failure {
    let hint = match error {
        KeptError::NotEnrolled { .. } => {
            "magewarden agent invite NAME on the server, then magewarden agent enrol here"
        }
        KeptError::Enrolled { .. } => {
            "to enrol anew, remove that file and `magewarden agent remove` the host on the server"
        }
        _ => "see to the folder's rights and space",
    };
    Failure::new(error, hint)
}

const fn hint(error: &CallError) -> &'static str {
    match error {
        CallError::Refused { .. } => "magewarden agent invite NAME on the server, for a new word",
        CallError::Address { .. } => "as `up --agents` and --agents-name say",
        _ => "check address, port and both clocks, and that the word is of this server",
    }
}
