//! `magewarden accounts`: letting people and programs into the console, for whoever has the data folder.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use engine::people::{
    AccountView, Act, MANAGING_DAYS_MAX, People, PeopleError, TOKEN_DAYS, TokenWish,
};
use engine::state::Outbox;
use engine::trail::put_access;
use model::{Grant, Principal, Role, Scope};
use serde_json::json;

use super::state::{StateFlags, store_hint};
use super::{Output, now};
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// Let people and programs into the console, and out
///
/// Works while `up` runs, by the same database, and before its first start. Whoever has the data folder may do this: it is
/// the way back in, too, when nobody else can let somebody in. Run it as the account that `up` runs as.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    magewarden accounts invite anna --role admin --role analyst\n  \
    magewarden accounts invite bob --role analyst --scope website:us --address https://console.example.com\n  \
    magewarden accounts token siem --role viewer --expires 30d > siem.token\n  \
    magewarden accounts directory-token entra --expires 366d > entra.token\n  \
    magewarden accounts reset-factor anna          she lost her phone; make sure that it is her who asks\n  \
    magewarden accounts unlock bob                 six failures lock for half an hour; make sure that it was him\n  \
    magewarden accounts disable bob                out everywhere, at once\n  \
    magewarden accounts mail anna anna@example.com where she is told of what she watches, leads or has to do\n  \
    sudo -u magewarden magewarden accounts list --config /etc/magewarden/up.toml --data /var/lib/magewarden\n\n\
    Roles: viewer, analyst, incident_lead, evidence_custodian, approver, counsel, store_admin, exercise_controller, auditor, \
    admin. Some may not be one person; it is said which and why.")]
pub(crate) struct Accounts {
    #[command(subcommand)]
    what: What,
    /// Folder of the ledger, the keys and the state
    #[arg(
        long,
        value_name = "DIR",
        default_value = "magewarden-data",
        global = true
    )]
    data: PathBuf,
    /// Settings of `up`: where the state is kept, unless flags say it
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    state: StateFlags,
}

/// What is done.
#[derive(Subcommand)]
enum What {
    /// List accounts and tokens
    List {
        /// How it is printed
        #[arg(long, value_enum, default_value_t)]
        format: Output,
    },
    /// Print a link by which somebody chooses a password and sets up a second factor; it works once, for a day
    Invite {
        /// Name to log in with: letters, digits, . _ - @ +
        name: String,
        #[command(flatten)]
        roles: Roles,
        #[command(flatten)]
        link: Link,
    },
    /// Take an account out of use: its sessions and tokens end at once
    Disable {
        /// Its name
        name: String,
    },
    /// Lift the lock after six failures to log in
    Unlock {
        /// Its name
        name: String,
    },
    /// Say where somebody is told by mail (docs/mail.md), in place of what their directory says
    Mail {
        /// Name of the account
        name: String,
        /// The address; without one theirs is cleared
        #[arg(default_value = "")]
        mail: String,
    },
    /// Log somebody out everywhere; tokens hold on
    EndSessions {
        /// Name of the account
        name: String,
    },
    /// Take somebody's password and second factor away and print a link to set up new ones; brings a disabled account back, too
    ResetFactor {
        /// Name of the account
        name: String,
        #[command(flatten)]
        link: Link,
    },
    /// Print a token for a program; it is shown this once
    Token {
        /// Name of the token: what uses it
        name: String,
        #[command(flatten)]
        roles: Roles,
        /// When it ends: 30d are 30 days, at most 366 [default: 90d, or 30d with --manages-people]
        #[arg(long, value_name = "DAYS", value_parser = days)]
        expires: Option<i64>,
        /// Let it invite, change and end people's accounts, but none that manages people or reads counsel's notes; takes
        /// --role admin, for at most 30 days
        #[arg(long)]
        manages_people: bool,
    },
    /// Print a token for the company's directory (SCIM 2.0 at /scim/v2); it provisions people and does nothing else
    DirectoryToken {
        /// Name of the token: the directory
        name: String,
        /// When it ends: 90d are 90 days, at most 366
        #[arg(long, value_name = "DAYS", value_parser = days, default_value_t = TOKEN_DAYS)]
        expires: i64,
    },
    /// Take a token back
    Revoke {
        /// Its name
        name: String,
    },
}

/// What somebody may do, and where.
#[derive(Args)]
struct Roles {
    /// What they may do; may be repeated
    #[arg(long = "role", value_name = "ROLE", value_parser = role, required = true)]
    roles: Vec<Role>,
    /// Only for website:CODE, store:CODE or view:CODE [default: the whole installation]
    #[arg(long, value_name = "PLACE", value_parser = scope)]
    scope: Option<Scope>,
}

impl Roles {
    fn grants(&self) -> Vec<Grant> {
        let scope = self.scope.as_ref().unwrap_or(&Scope::Installation);
        let roles = self.roles.iter();
        roles
            .map(|role| Grant {
                role: *role,
                scope: scope.clone(),
            })
            .collect()
    }
}

/// Where a link leads.
#[derive(Args)]
struct Link {
    /// Where the console is reached
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8780")]
    address: String,
}

impl Link {
    fn to(&self, token: &str) -> String {
        let address = self.address.trim_end_matches('/');
        format!("{address}/welcome?invitation={token}")
    }
}

fn role(text: &str) -> Result<Role, String> {
    let names = || Role::ALL.map(Role::name).join(", ");
    Role::named(text).ok_or_else(|| format!("roles are {}", names()))
}

fn scope(text: &str) -> Result<Scope, String> {
    Grant::place(text).ok_or_else(|| "write website:CODE, store:CODE or view:CODE".to_owned())
}

fn days(text: &str) -> Result<i64, String> {
    let number = text.strip_suffix('d').unwrap_or(text);
    number.parse().map_err(|_| "write days: 30d".to_owned())
}

/// Where `up` keeps the state, of its settings file; the rest of it is for `up`.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct StateSettings {
    state: Option<String>,
    state_password_file: Option<PathBuf>,
    state_ca_file: Option<PathBuf>,
}

impl Accounts {
    /// Runs the command.
    pub(crate) fn run(mut self) -> Result<ExitCode, Failure> {
        self.read_file()?;
        let place = self.state.place()?;
        let keys = self.data.join("keys");
        make(&self.data)?;
        make(&keys)?;
        let database = engine::state::database(&self.data.join("ledger"), place.as_ref())
            .map_err(|error| Failure::new(&error, store_hint(&error)))?;
        // Sealed by `up`, which runs or will.
        let (tell, told) = std::sync::mpsc::channel();
        let tell = Box::new(move |event| drop(tell.send(event)));
        let people = People::open(&database, &keys, tell)
            .or_fail("check that the folder of keys in --data is writable")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .or_fail("the machine has no room for another thread")?;
        let done = runtime.block_on(async {
            let done = self.act(&people).await;
            drop(people);
            let outbox = Outbox::new(database.clone());
            let mut noted = Ok(());
            for event in told {
                noted = noted.and(put_access(&outbox, event).await);
            }
            database.pool().close().await;
            (done, noted)
        });
        let (done, noted) = done;
        let told = done.map_err(|error| Failure::new(&error, hint(&error)))?;
        noted.map_err(|error| Failure::new(&error, store_hint(&error)))?;
        std::io::stdout()
            .write_all(told.as_bytes())
            .or_fail("write to another place")?;
        Ok(ExitCode::SUCCESS)
    }

    fn read_file(&mut self) -> Result<(), Failure> {
        let Some(path) = &self.config else {
            return Ok(());
        };
        let text = std::fs::read_to_string(path).or_fail("check the path of --config")?;
        let file: StateSettings = toml::from_str(&text).or_fail("check --config with `up`")?;
        let own = &mut self.state;
        own.state = own.state.take().or(file.state);
        own.state_password_file = own.state_password_file.take().or(file.state_password_file);
        own.state_ca_file = own.state_ca_file.take().or(file.state_ca_file);
        Ok(())
    }

    /// Does it; gives what is printed.
    async fn act(&self, people: &People) -> Result<String, PeopleError> {
        let machine = machine();
        let act = Act {
            by: &machine,
            from: "",
            now: now(),
        };
        Ok(match &self.what {
            What::List { format } => list(people, act, *format).await?,
            What::Invite { name, roles, link } => {
                let token = people.invite(act, name, &roles.grants()).await?;
                format!("{}\n", link.to(&token))
            }
            What::Disable { name } => {
                people.disable(act, name).await?;
                String::new()
            }
            What::Unlock { name } => {
                people.unlock(act, name).await?;
                String::new()
            }
            What::Mail { name, mail } => {
                people.set_mail(act, name, mail).await?;
                String::new()
            }
            What::EndSessions { name } => {
                people.end_sessions(act, name).await?;
                String::new()
            }
            What::ResetFactor { name, link } => {
                let token = people.reset(act, name).await?;
                format!("{}\n", link.to(&token))
            }
            What::Token {
                name,
                roles,
                expires,
                manages_people,
            } => {
                let days = match manages_people {
                    true => MANAGING_DAYS_MAX,
                    false => TOKEN_DAYS,
                };
                let wish = TokenWish {
                    name,
                    grants: &roles.grants(),
                    days: expires.unwrap_or(days),
                    manages_people: *manages_people,
                };
                let made = people.make(act, wish).await?;
                format!("{}\n", made.token)
            }
            What::DirectoryToken { name, expires } => {
                let made = people.make_directory_token(act, name, *expires).await?;
                format!("{}\n", made.token)
            }
            What::Revoke { name } => {
                people.revoke_token(act, name).await?;
                String::new()
            }
        })
    }
}

/// Makes a folder that is its owner's alone, where there is none; refuses another account's, in which files of this one
/// would lock `up` out.
pub(super) fn make(folder: &Path) -> Result<(), Failure> {
    const HINT: &str = "check that --data is writable";
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .or_fail(HINT)?;
    let owner = std::fs::metadata(folder).or_fail(HINT)?.uid();
    // Who this is: procfs says it without asking the C library.
    let own = std::fs::metadata("/proc/self").map_or(owner, |facts| facts.uid());
    if owner == own {
        return Ok(());
    }
    Err(Failure::say(
        format!("{} is another account's", folder.display()),
        format!("run this as that account: sudo -u '#{owner}' magewarden …"),
    ))
}

/// Whoever has the data folder; by whom `sudo` was asked stands with what they do.
#[expect(
    clippy::disallowed_methods,
    reason = "the edge reads the environment and hands it in"
)]
fn machine() -> Principal {
    let mut machine = Principal::machine();
    if let Ok(user) = std::env::var("SUDO_USER") {
        let user: String = user.chars().filter(|one| !one.is_control()).collect();
        machine.name = format!("command line of {user}");
    }
    machine
}

fn hint(error: &PeopleError) -> &'static str {
    match error {
        PeopleError::NoSuch => "magewarden accounts list shows names",
        PeopleError::NameTaken => {
            "magewarden accounts list shows names; reset-factor lets somebody back in"
        }
        PeopleError::Grants { .. } => "give them to two people",
        PeopleError::LastAdmin => "magewarden accounts invite NAME --role admin; then again",
        PeopleError::Store { .. } => "check that the place of the state can be read and written",
        _ => "",
    }
}

async fn list(people: &People, act: Act<'_>, format: Output) -> Result<String, PeopleError> {
    let (accounts, tokens) = (people.accounts(act).await?, people.tokens(act.by).await?);
    let words = |grants: &[Grant]| {
        let words: Vec<_> = grants.iter().map(ToString::to_string).collect();
        words.join(", ")
    };
    if format == Output::Human {
        let mut text = String::new();
        for account in &accounts {
            text.push_str(&format!(
                "{:<20} {:<9} {}  {}\n",
                account.name,
                account.state,
                inert(&words(&account.grants)),
                used(account)
            ));
        }
        for token in &tokens {
            text.push_str(&format!(
                "{:<20} {:<9} {}  until {}\n",
                token.name,
                if token.is_directory {
                    "directory"
                } else {
                    "token"
                },
                inert(&words(&token.grants)),
                report::when(&token.expires)
            ));
        }
        if text.is_empty() {
            text.push_str("nobody yet: `up` prints a link for the first administrator\n");
        }
        return Ok(text);
    }
    let value = json!({
        "version": 1,
        "accounts": accounts.iter().map(|account| json!({
            "name": account.name,
            "shown": account.shown,
            "state": account.state,
            "grants": account.grants,
            "created": account.created.to_string(),
            "last_seen": account.last_seen.to_string(),
            "locked_until": account.locked_until.map(|time| time.to_string()),
        })).collect::<Vec<_>>(),
        "tokens": tokens.iter().map(|token| json!({
            "name": token.name,
            "directory": token.is_directory,
            "manages_people": token.manages_people,
            "grants": token.grants,
            "expires": token.expires.to_string(),
            "last_used": token.last_used.map(|time| time.to_string()),
        })).collect::<Vec<_>>(),
    });
    Ok(match format {
        Output::Ndjson => format!("{value}\n"),
        _ => format!("{value:#}\n"),
    })
}

fn used(account: &AccountView) -> String {
    match (account.state.as_str(), account.locked_until) {
        ("invited", _) => "not here yet".to_owned(),
        (_, Some(until)) => format!("locked until {}", report::when(&until)),
        _ => format!("last used {}", report::when(&account.last_seen)),
    }
}
