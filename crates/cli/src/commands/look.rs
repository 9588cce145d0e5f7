//! What can and cannot be seen of a shop: its logs, what its database says of them, and each gap with its remedy.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use engine::desk::GapView;
use serde_json::{Value, json};
use sources::database::{
    self, Access, Account, AskError, Circumstances, Gap, Run, Server, Told, account, files,
};
use sources::env_php::ShopConfig;
use sources::shop;

use super::settings::SourceSettings;
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// A shop, and how its database is reached.
pub(super) struct Shop<'a> {
    /// Magento's root folder.
    pub(super) root: &'a Path,
    /// What its `app/etc/env.php` says.
    pub(super) config: &'a ShopConfig,
    /// Prefix of its tables.
    pub(super) prefix: &'a str,
    /// Where its database listens.
    pub(super) server: Server,
    /// Magewarden's own account there, if it has one.
    pub(super) account: Option<Account>,
}

/// What came of looking.
pub(super) struct Look {
    /// Logs to follow: path, what it is.
    pub(super) logs: Vec<(PathBuf, &'static str)>,
    /// Logs that aren't written yet and will be once their gap is closed.
    pub(super) awaited: Vec<PathBuf>,
    /// What isn't seen, most telling first.
    pub(super) gaps: Vec<Gap>,
    server: String,
    told: Told,
}

impl Shop<'_> {
    /// Looks for logs, asks the database when it may, and derives the gaps.
    pub(super) fn look(&self) -> Result<Look, Failure> {
        let user = account::own_user();
        let mut gaps = Vec::new();
        let mut told = match self.ask()? {
            Ok(told) => told,
            Err(gap) => {
                gaps.push(gap);
                Told::default()
            }
        };
        let found = shop::find_logs(self.root, self.config);
        let is_here = self.server.is_here();
        if !told.by_server && is_here {
            told = shop::database_settings_below(Path::new("/"));
        }
        let named = |word: &str| {
            let is = |(path, what): &(PathBuf, &str)| {
                let name = path.file_name().unwrap_or_default();
                *what == "database log" && name.to_string_lossy().contains(word)
            };
            found.files.iter().any(is)
        };
        let around = Circumstances {
            shop_accounts: self.config.database_users.values().cloned().collect(),
            own_account: self.account.as_ref().map(|account| account.user.clone()),
            sees_audit_log: named("audit"),
            sees_slow_log: named("slow"),
        };
        gaps.extend(database::gaps(&told, &around));
        let told_logs = files::logs(&told);
        let (mut logs, mut awaited) = (Vec::new(), Vec::new());
        if is_here {
            logs.extend(told_logs);
            awaited = files::awaited(&told);
        } else {
            gaps.extend(elsewhere(&self.server, &told_logs));
        }
        logs.extend(found.files);
        let mut seen = BTreeSet::new();
        logs.retain(|(path, _)| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
        gaps.extend(files::unread(&logs, &user));
        gaps.extend(sources::stores_gap(&logs, told.stores.len()));
        gaps.extend(found.missing.into_iter().filter_map(|(what, looked)| {
            // What isn't seen of a database on this host was told by its settings.
            let is_told = (told.by_server || is_here) && what.starts_with("the database");
            (!is_told).then(|| missing(&what, &looked))
        }));
        Ok(Look {
            logs,
            awaited,
            gaps,
            server: self.server.to_string(),
            told,
        })
    }

    fn ask(&self) -> Result<Result<Told, Gap>, Failure> {
        let Some(account) = &self.account else {
            return Ok(Err(self.no_account()));
        };
        if self
            .config
            .database_users
            .values()
            .any(|user| *user == account.user)
        {
            return Err(Failure::say(
                format!("`{}` is the shop's own account", account.user),
                "give magewarden one of its own, which can't read card data: magewarden up --print-grants",
            ));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .or_fail("the machine has no room for another thread")?;
        let answer = runtime.block_on(database::ask(
            &self.server,
            account,
            self.schema(),
            self.prefix,
        ));
        Ok(answer.map_err(|error| self.refused(account, &error)))
    }

    fn schema(&self) -> &str {
        self.config
            .database_names
            .get("default")
            .or_else(|| self.config.database_names.values().next())
            .map_or("", String::as_str)
    }

    /// The statements that make the account that is set, or the one that would be taken.
    pub(super) fn grants(&self) -> account::Statements {
        let user = account::own_user();
        let suggested = Account {
            // An account named as root would be the database's administrator.
            user: if user == "root" { "magewarden" } else { &user }.to_owned(),
            password_file: None,
            ca_file: None,
        };
        account::statements(
            self.account.as_ref().unwrap_or(&suggested),
            &self.server,
            None,
            &database::own_address(&self.server),
            self.schema(),
            self.prefix,
        )
    }

    /// The statements that make the account each source of kind `binlog` names.
    pub(super) fn log_grants(&self, sources: &[SourceSettings]) -> Vec<String> {
        let logs = sources.iter().filter(|source| source.kind == "binlog");
        logs.flat_map(|SourceSettings { settings, .. }| {
            let named = |name: &str| settings.get(name).and_then(toml::Value::as_str);
            let account = Account {
                user: named("user").unwrap_or("magewarden_log").to_owned(),
                password_file: named("password_file").map(PathBuf::from),
                ca_file: None,
            };
            let server = named("server").map_or_else(|| self.server.clone(), Server::new);
            account::statements_for_log(&account, &server, &database::own_address(&server))
        })
        .collect()
    }

    /// How its database is reached, where magewarden has an account there.
    pub(super) fn access(&self) -> Option<Access> {
        Some(Access {
            server: self.server.clone(),
            account: self.account.clone()?,
            schema: self.schema().to_owned(),
            prefix: self.prefix.to_owned(),
        })
    }

    fn no_account(&self) -> Gap {
        let grants = self.grants();
        let user = account::own_user();
        let how = match (&self.server, user.as_str()) {
            (Server::Network { .. }, _) => {
                "start again with --database-user and --database-password-file".to_owned()
            }
            (Server::Socket(_), "root") => {
                "start magewarden as the operating system's user magewarden, not as root, with --database-user magewarden"
                    .to_owned()
            }
            (Server::Socket(_), user) => format!("start again with --database-user {user}"),
        };
        Gap {
            id: "account-none",
            what: format!(
                "magewarden has no account of its own at the database ({})",
                self.server
            ),
            why: format!(
                "Where its logs lie and what they leave out is guessed from files. With the account below: {how}. It may read \
                 settings, names of stores and the size of the payment tables, and no card column."
            ),
            run: Run::Sql,
            close: grants.create.join("\n"),
            keep: String::new(),
            price: "six short statements at each start of magewarden".to_owned(),
            undo: grants.undo,
        }
    }

    fn refused(&self, account: &Account, error: &AskError) -> Gap {
        let grants = self.grants();
        let mut what = error.to_string();
        if let Some(cause) = std::error::Error::source(error) {
            what.push_str(&format!(": {cause}"));
        }
        let file = account
            .password_file
            .as_ref()
            .map(|path| path.display().to_string());
        let (run, close, undo) = match error {
            AskError::PasswordFileOpen { path, mode } => (
                Run::Shell,
                format!("chmod 600 {}", path.display()),
                format!("chmod {mode:03o} {}", path.display()),
            ),
            AskError::PasswordFile { path, .. } => (
                Run::Person,
                format!(
                    "write the password into {}, owned by magewarden's user, mode 0600",
                    path.display()
                ),
                "remove the file".to_owned(),
            ),
            AskError::Refused {
                number: 1045 | 1698 | 1130,
                ..
            } => (
                Run::Sql,
                match &file {
                    Some(file) => format!(
                        "-- Either {file} holds another password than the account has, or there is no such account yet.\n\
                         -- If it exists: write its password into the file. If not, make it:\n{}",
                        grants.create.join("\n")
                    ),
                    None if !matches!(self.server, Server::Socket(_)) => format!(
                        "-- No password file is set: name one with --database-password-file.\n\
                         -- If the account does not exist yet, make it:\n{}",
                        grants.create.join("\n")
                    ),
                    None => format!(
                        "-- No password file is set, so the server must know the operating system's user {}: it must have the \
                         account's name.\n-- If the account does not exist yet, make it:\n{}",
                        account::own_user(),
                        grants.create.join("\n")
                    ),
                },
                grants.undo,
            ),
            AskError::TooStrong { user, .. } => (
                Run::Sql,
                format!(
                    "-- Only if `{user}` is magewarden's alone; else make another account (magewarden up --print-grants):\n\
                     {}\n{}",
                    grants.undo,
                    grants.create.join("\n")
                ),
                "give the rights named above back with GRANT".to_owned(),
            ),
            _ => (
                Run::Person,
                format!(
                    "check that the database runs and listens at {}; name another place with --database-server",
                    self.server
                ),
                "nothing was changed".to_owned(),
            ),
        };
        Gap {
            id: "account-refused",
            what,
            why: "magewarden goes on without asking: where the database's logs lie and what they leave out is guessed from \
                  files. It asks again at its next start."
                .to_owned(),
            run,
            close,
            keep: String::new(),
            price: "none for the shop".to_owned(),
            undo,
        }
    }
}

impl Look {
    /// Prints it for a person.
    pub(super) fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        if self.told.by_server {
            let get = |name| inert(self.told.get(name).unwrap_or("unknown"));
            writeln!(
                out,
                "asked     {}: {} ({})",
                inert(&self.server),
                get("version"),
                get("version_comment")
            )?;
            if !self.told.stores.is_empty() {
                let stores: Vec<String> = self
                    .told
                    .stores
                    .iter()
                    .map(|(store, website)| format!("{} of {}", inert(store), inert(website)))
                    .collect();
                writeln!(
                    out,
                    "          {} stores share it: {}",
                    stores.len(),
                    stores.join(", ")
                )?;
            }
            for (table, rows) in &self.told.rows {
                writeln!(
                    out,
                    "          {} holds about {rows} rows (the server's estimate)",
                    inert(table)
                )?;
            }
        }
        for (path, what) in &self.logs {
            // Those that can't be read are told as gaps.
            if std::fs::File::open(path).is_ok() {
                writeln!(
                    out,
                    "sees      {} ({what})",
                    inert(&path.display().to_string())
                )?;
            }
        }
        if self.gaps.is_empty() {
            writeln!(out, "no gap is known; that is no proof that there is none")?;
        }
        for (index, gap) in self.gaps.iter().enumerate() {
            writeln!(
                out,
                "\ncan't see {}/{}: {} [{}]",
                index + 1,
                self.gaps.len(),
                inert(&gap.what),
                gap.id
            )?;
            writeln!(out, "  {}", inert(&gap.why))?;
            part(out, &format!("do, {}:", place(gap.run)), &gap.close)?;
            if !gap.keep.is_empty() {
                part(out, KEEP, &gap.keep)?;
            }
            writeln!(out, "  price: {}", inert(&gap.price))?;
            part(out, "undo:", &gap.undo)?;
        }
        if !self.awaited.is_empty() {
            let paths: Vec<String> = self
                .awaited
                .iter()
                .map(|path| inert(&path.display().to_string()))
                .collect();
            writeln!(
                out,
                "\nfollowed by itself once it is written: {}",
                paths.join(", ")
            )?;
        }
        Ok(())
    }

    /// The same for machines.
    pub(super) fn json(&self) -> Value {
        let logs: Vec<Value> = self
            .logs
            .iter()
            .map(|(path, what)| {
                json!({
                    "path": path.display().to_string(),
                    "what": what,
                    "readable": std::fs::File::open(path).is_ok(),
                })
            })
            .collect();
        let gaps: Vec<Value> = self
            .gaps
            .iter()
            .map(|gap| {
                json!({
                    "id": gap.id, "what": gap.what, "why": gap.why, "run": gap.run.name(), "close": gap.close,
                    "keep": gap.keep, "price": gap.price, "undo": gap.undo,
                })
            })
            .collect();
        json!({
            "version": 1,
            "database": {
                "server": self.server,
                "asked": self.told.by_server,
                "variables": self.told.variables,
                "status": self.told.status,
                "stores": self.told.stores,
                "rows": self.told.rows,
            },
            "logs": logs,
            "gaps": gaps,
        })
    }
}

const KEEP: &str = "keep it over a restart, in the server's settings file (my.cnf) under [mysqld]:";

fn place(run: Run) -> &'static str {
    match run {
        Run::Sql => "at the database, as its administrator",
        Run::Shell => "in a shell on this host, as root",
        Run::Person => "by hand",
    }
}

/// Prints text that may have several lines, so that it can be copied.
fn part(out: &mut dyn Write, title: &str, text: &str) -> std::io::Result<()> {
    writeln!(out, "  {title}")?;
    text.lines()
        .try_for_each(|line| writeln!(out, "      {}", inert(line)))
}

/// A gap as the console's page shows it.
pub(super) fn view(gap: &Gap) -> GapView {
    let mut statement = gap.close.clone();
    if !gap.keep.is_empty() {
        statement.push_str(&format!("\n\n{KEEP}\n{}", gap.keep));
    }
    GapView {
        // A server's own words may stand in each.
        what: report::inert(&gap.what),
        why_it_matters: report::inert(format!("{} Close it {}:", gap.why, place(gap.run))),
        statement: report::inert(statement),
        price: report::inert(&gap.price),
        undo: report::inert(&gap.undo),
    }
}

fn missing(what: &str, looked: &str) -> Gap {
    Gap {
        id: "log-not-found",
        what: format!("{what}: not found"),
        why: format!("Looked at {looked}. What happens there stays unseen."),
        run: Run::Person,
        close: "name it with --log FILE, or start magewarden on the host that holds it".to_owned(),
        keep: String::new(),
        price: "none for the shop".to_owned(),
        undo: "leave --log out".to_owned(),
    }
}

/// Logs that a database on another host writes there.
fn elsewhere(server: &Server, logs: &[(PathBuf, &'static str)]) -> Option<Gap> {
    if logs.is_empty() {
        return None;
    }
    let paths: Vec<String> = logs
        .iter()
        .map(|(path, what)| format!("{} ({what})", path.display()))
        .collect();
    Some(Gap {
        id: "logs-elsewhere",
        what: format!("The database at {server} writes its logs on its own host"),
        why: format!("Not seen from here: {}.", paths.join(", ")),
        run: Run::Person,
        close: format!(
            "on that host: magewarden up {}",
            logs.iter()
                .map(|(path, _)| format!("--log {}", path.display()))
                .collect::<Vec<_>>()
                .join(" ")
        ),
        keep: String::new(),
        price: "a second magewarden there, with a ledger of its own".to_owned(),
        undo: "stop it".to_owned(),
    })
}
