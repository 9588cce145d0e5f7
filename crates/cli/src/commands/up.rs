//! `magewarden up`: the same as `analyze`, live, with the console.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use engine::containment::{ModeSetting, Modes};
use engine::desk::GapView;
use engine::ledger::Opening;
use engine::pipeline::{Pipeline, Settings};
use model::{InstallationId, Lane};
use sinks::ocsf::Ocsf;
use sinks::webhook::Webhook;
use sources::database::{Account, Server};
use sources::env_php::{self, ShopConfig};

use super::agent::Listen;
use super::console::{ConsoleFlags, For, Watch, serve_and_follow, stop_on_signals};
use super::look::{Look, Shop, view};
use super::mail::{self, MailFile};
use super::merchant::{Contact, Merchant, TellingSettings};
use super::saml::{self, SamlProvider};
use super::settings::{Reading, SourceSettings, source_flag};
use super::sign_in::{Directory, Provider, SignInSettings};
use super::state::{self, StateFlags};
use super::{FOUND, Output, grants, now, platform, watched};
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// Watch a shop live and show incidents on 127.0.0.1
///
/// Reads app/etc/env.php (prefix, connection names and hosts, cache and session settings; keys and
/// passwords are skipped by the reader), finds the logs, follows them across rotation, and says
/// what it can and cannot see: for each gap the statement that closes it, its price and its undo.
///
/// With an account of its own it asks MariaDB or MySQL where its logs lie and what they leave out.
#[derive(Args, Default)]
#[command(after_help = "Examples:\n  magewarden up --magento /var/www/shop\n  \
    magewarden up --log /var/log/mysql/server_audit.log --log /var/log/nginx/access.log --port 8781\n\n\
    An account of its own at the database, made by the database's administrator; then ask with it:\n  \
    magewarden up --magento /var/www/shop --print-grants\n  \
    magewarden up --magento /var/www/shop --database-user magewarden\n  \
    magewarden up --magento /var/www/shop --database-user magewarden \\\n    \
    --database-password-file /etc/magewarden/database.password    (mode 0600)\n\n\
    What is seen and what isn't, without starting: magewarden doctor --magento /var/www/shop\n\n\
    Sessions and caches in Redis or Valkey, looked into for card numbers:\n  \
    magewarden up --magento /var/www/shop --source redis,server=127.0.0.1:6379\n\n\
    Magento's files, watched (PCI DSS req. 11.5.2); a release is one record, code where none may run an incident:\n  \
    magewarden up --magento /var/www/shop --source files\n\n\
    systemd's journal, all of it or some units (a list of several belongs in --config):\n  \
    magewarden up --magento /var/www/shop --source 'journald,units=[\"ssh.service\"]'\n\n\
    Records sent here; a sender of the http kind hears of each once it is sealed:\n  \
    magewarden up --magento /var/www/shop --source syslog,listen=udp://127.0.0.1:5514\n  \
    magewarden up --magento /var/www/shop --source http,listen=127.0.0.1:8790,tokens=/etc/magewarden/tokens\n\n\
    Rows of the shop's database: skimmers, planted accounts, and evidence before it dies by itself. Print its grants first:\n  \
    magewarden up --magento /var/www/shop --database-user magewarden --source shop_rows --print-grants\n  \
    magewarden up --magento /var/www/shop --database-user magewarden --source shop_rows\n\n\
    Who wrote a row, from the binary log, by an account of its own:\n  \
    magewarden up --magento /var/www/shop --source binlog,user=magewarden_log,password_file=/etc/magewarden/log.password,server_id=4242\n\n\
    The state (docs/state.md) in PostgreSQL instead of a file:\n  \
    magewarden up --magento /var/www/shop --state postgres://magewarden@db1:5432/magewarden \\\n    \
    --state-password-file /etc/magewarden/state.password --state-ca-file /etc/magewarden/state-ca.pem\n\n\
    The console for others than this machine's, by TLS; who may come in: magewarden accounts --help\n  \
    magewarden up --magento /var/www/shop --listen 192.0.2.10 --name console.example.com \\\n    \
    --tls-certificate /etc/magewarden/console.pem --tls-key /etc/magewarden/console.key\n\n\
    The same in a file for --config:\n  \
    magento = \"/var/www/shop\"\n  \
    [[source]]\n  \
    kind = \"syslog\"\n  \
    listen = \"udp://127.0.0.1:5514\"\n  \
    [database]\n  \
    user = \"magewarden\"\n  \
    password_file = \"/etc/magewarden/database.password\"\n\n\
    The webhook's secret is read from the file named by --webhook-secret-file.")]
pub(crate) struct Up {
    /// Magento's root folder
    #[arg(long, value_name = "ROOT")]
    magento: Option<PathBuf>,
    /// Only say what is seen and what isn't: `magewarden doctor`.
    #[arg(skip)]
    doctor: Option<Output>,
    /// Print the statements that make magewarden's own account at the database, and stop
    #[arg(long)]
    print_grants: bool,
    #[command(flatten)]
    database: Database,
    /// A log to follow, beside those found; may be repeated
    #[arg(long = "log", value_name = "FILE")]
    logs: Vec<PathBuf>,
    /// A source beside files, as KIND,SETTING=VALUE,…; may be repeated. Kinds: files, inventory, journald, syslog, http, gateway, gateway_poll, shop_rows, statement_digests, binlog, redis, payment_page, csp_reports, ping, peer (see below).
    /// A list, or a value with a comma, belongs in --config
    #[arg(long = "source", value_name = "SOURCE", value_parser = source_flag)]
    sources: Vec<SourceSettings>,
    /// Settings (TOML); flags win over it. Same names as the flags, e.g. `magento = "/var/www/shop"`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the ledger, the keys and the state
    #[arg(long, value_name = "DIR", default_value = "magewarden-data")]
    data: PathBuf,
    #[command(flatten)]
    state: StateFlags,
    /// A second place for checkpoints: a file on another volume
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    #[command(flatten)]
    console: ConsoleFlags,
    #[command(flatten)]
    agents: Listen,
    /// Of the settings file alone.
    #[arg(skip)]
    sign_in: SignInSettings,
    /// Of the settings file alone.
    #[arg(skip)]
    telling: TellingSettings,
    /// Of the settings file alone.
    #[arg(skip)]
    containment: Vec<ModeSetting>,
    /// Of the settings file alone.
    #[arg(skip)]
    mail: Option<MailFile>,
    /// Name of the installation
    #[arg(long, value_name = "NAME", default_value = "shop")]
    installation: String,
    /// Write findings as OCSF, one JSON document a line, to this file; `-` is standard output
    #[arg(long, value_name = "FILE")]
    ocsf: Option<PathBuf>,
    /// Call this address with each finding, signed (https, or http on loopback)
    #[arg(long, value_name = "URL", requires = "webhook_secret_file")]
    webhook: Option<String>,
    /// File holding the webhook's secret
    #[arg(long, value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
}

/// How the database is asked. Flags win over the environment, that over the settings file.
#[derive(Args, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Database {
    /// Where it listens: socket, host or host:port [default: as app/etc/env.php says]
    #[arg(
        long = "database-server",
        value_name = "PLACE",
        env = "MAGEWARDEN_DATABASE_SERVER",
        hide_env_values = true
    )]
    server: Option<String>,
    /// Magewarden's own account; never the shop's. Without it the database is not asked
    #[arg(
        long = "database-user",
        value_name = "NAME",
        env = "MAGEWARDEN_DATABASE_USER",
        hide_env_values = true
    )]
    user: Option<String>,
    /// File with its password, mode 0600; without one the server knows the system's user (unix_socket)
    #[arg(
        long = "database-password-file",
        value_name = "FILE",
        env = "MAGEWARDEN_DATABASE_PASSWORD_FILE",
        hide_env_values = true
    )]
    password_file: Option<PathBuf>,
    /// Certificate (PEM) of who signed the server's; on another host TLS is always required
    #[arg(
        long = "database-ca-file",
        value_name = "FILE",
        env = "MAGEWARDEN_DATABASE_CA_FILE",
        hide_env_values = true
    )]
    ca_file: Option<PathBuf>,
}

/// What the settings file may say.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    magento: Option<PathBuf>,
    logs: Vec<PathBuf>,
    zone: Option<String>,
    trusted_proxies: Vec<String>,
    stores: Option<PathBuf>,
    rules: Option<PathBuf>,
    checkpoints: Option<PathBuf>,
    state: Option<String>,
    state_password_file: Option<PathBuf>,
    state_ca_file: Option<PathBuf>,
    listen: Option<IpAddr>,
    tls_certificate: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    names: Vec<String>,
    attachment_mib: Option<u8>,
    shown_zone: Option<String>,
    agents: Option<SocketAddr>,
    agents_names: Vec<String>,
    database: Database,
    source: Vec<SourceSettings>,
    directory: Directory,
    provider: Vec<Provider>,
    saml: Vec<SamlProvider>,
    contact: Vec<Contact>,
    merchant: Merchant,
    containment: Vec<ModeSetting>,
    mail: Option<MailFile>,
}

impl Up {
    /// Only to say what is seen and what isn't.
    pub(super) fn looking(
        magento: Option<PathBuf>,
        database: Database,
        config: Option<PathBuf>,
        reading: Reading,
        format: Output,
    ) -> Self {
        Self {
            magento,
            database,
            config,
            reading,
            doctor: Some(format),
            ..Self::default()
        }
    }

    /// Runs the command.
    pub(crate) fn run(mut self) -> Result<ExitCode, Failure> {
        self.read_file()?;
        let config = match &self.magento {
            Some(root) => Some(env_php::read(&root.join("app/etc/env.php")).or_fail(
                "--magento names the folder that holds app/etc/env.php; check that you may read it",
            )?),
            None => None,
        };
        if let Some(config) = &config
            && self.reading.table_prefix.is_empty()
        {
            self.reading.table_prefix.clone_from(&config.table_prefix);
        }
        let shop = self.shop(config.as_ref())?;
        if self.print_grants {
            return grants::print(shop.as_ref(), &self.sources);
        }
        let look = shop.as_ref().map(Shop::look).transpose()?;
        let access = shop.as_ref().and_then(Shop::access);
        if let Some(format) = self.doctor {
            return print_look(look.as_ref(), format);
        }
        if let Some(look) = &look {
            // The console shows it, too.
            drop(look.print(&mut std::io::stderr().lock()));
        }
        let mut files = self.logs.clone();
        let mut gaps = Vec::new();
        if let Some(look) = look {
            files.extend(look.logs.into_iter().map(|(path, _)| path));
            files.extend(look.awaited);
            gaps.extend(look.gaps.iter().map(view));
            gaps.extend(platform::views(&look.platforms));
        } else {
            gaps.push(only_named_logs());
        }
        // A log may be named and found, and by two names.
        let mut seen = BTreeSet::new();
        files.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
        if files.is_empty() && self.sources.is_empty() {
            return Err(Failure::say(
                "there is no log to follow",
                "name the shop with --magento ROOT, logs with --log FILE, or another source with --source",
            ));
        }
        let (state, place) = (self.state.place()?, self.console.place()?);
        let agents = self.agents.place(&self.installation)?;
        let sign_in = self.sign_in.checked()?;
        let mail = self.mail.as_ref().map(MailFile::checked).transpose()?;
        let telling = std::mem::take(&mut self.telling);
        let (telling, merchant) = telling.checked(self.config.as_deref())?;
        std::fs::create_dir_all(&self.data).or_fail("check that --data is writable")?;
        let mut pipeline = Pipeline::open(
            &Settings {
                installation: InstallationId(self.installation.clone()),
                ledger: self.data.join("ledger"),
                state,
                keys: self.data.join("keys"),
                second_place: Some(
                    self.checkpoints
                        .clone()
                        .unwrap_or_else(|| self.data.join("checkpoints.copy")),
                ),
                context: self.reading.context()?,
                lane: Lane::Live,
                own_rules: self.reading.own_rules()?,
                merchant,
            },
            now(),
        )
        .map_err(|error| Failure::new(&error, state::hint(&error)))?;
        drop(writeln!(
            std::io::stderr(),
            "{}",
            opened(pipeline.opening())
        ));
        self.sinks(&mut pipeline)?;
        let modes = std::mem::take(&mut self.containment);
        let modes = Modes::new(modes, pipeline.context().stores.clone());
        let modes = modes.or_fail(
            "[[containment]] is told of in docs/containment.md, stores in docs/stores.md",
        )?;
        let asked = pipeline.contain_by(modes, now());
        asked.or_fail("free some disk space and start again: it resumes where the ledger ends")?;
        for remark in pipeline.mode_remarks() {
            drop(writeln!(std::io::stderr(), "{remark}"));
        }
        let sources = watched::open(
            &self.sources,
            &pipeline,
            &self.data,
            self.magento.as_deref(),
            access,
        )?;
        let stop = stop_on_signals()?;
        let watch = Watch {
            files,
            sources,
            gaps,
            place,
            agents,
            whom: For::People(Box::new(sign_in)),
            telling,
            mail,
        };
        serve_and_follow(pipeline, watch, &self.data, &stop)?;
        Ok(ExitCode::SUCCESS)
    }

    /// The shop, and how its database is reached.
    fn shop<'a>(&'a self, config: Option<&'a ShopConfig>) -> Result<Option<Shop<'a>>, Failure> {
        let (Some(root), Some(config)) = (&self.magento, config) else {
            return match &self.database.user {
                Some(_) => Err(Failure::say(
                    "without a shop its schema isn't known, so its database can't be asked",
                    "name it with --magento ROOT, or leave --database-user out",
                )),
                None => Ok(None),
            };
        };
        let host = config
            .database_hosts
            .get("default")
            .map_or("", String::as_str);
        Ok(Some(Shop {
            root,
            config,
            prefix: &self.reading.table_prefix,
            server: Server::new(self.database.server.as_deref().unwrap_or(host)),
            account: self.database.user.as_ref().map(|user| Account {
                user: user.clone(),
                password_file: self.database.password_file.clone(),
                ca_file: self.database.ca_file.clone(),
            }),
        }))
    }

    /// Fills what the flags left open from the settings file.
    fn read_file(&mut self) -> Result<(), Failure> {
        let Some(path) = &self.config else {
            return Ok(());
        };
        let text = std::fs::read_to_string(path).or_fail("check the path of --config")?;
        let file: File = toml::from_str(&text)
            .or_fail(&format!("known settings: magento, logs, zone, trusted_proxies, stores, rules, checkpoints, state, state_password_file, state_ca_file, listen, tls_certificate, tls_key, names, attachment_mib, shown_zone, agents, agents_names, in [database]: server, user, password_file, ca_file, in [directory]: roles, keep, in [[provider]]: id, name, issuer, client_id, client_secret_file, ca_file, scopes, account_claim, make_accounts, roles_claim, roles, amr, acr, {}, in [[contact]]: role, name, telephone, mail, remark, in [merchant]: customers, is, in [[containment]]: playbook, mode, host, severity, websites, per_hour, shoppers, in [mail]: {}, and [[source]] with kind and what the kind wants", saml::KNOWN, mail::KNOWN))?;
        self.magento = self.magento.take().or(file.magento);
        self.logs.extend(file.logs);
        self.sources.extend(file.source);
        self.reading.zone = self.reading.zone.take().or(file.zone);
        self.reading.trusted_proxies.extend(file.trusted_proxies);
        self.reading.stores = self.reading.stores.take().or(file.stores);
        self.reading.rules = self.reading.rules.take().or(file.rules);
        self.checkpoints = self.checkpoints.take().or(file.checkpoints);
        self.state.state = self.state.state.take().or(file.state);
        self.state.state_password_file = self
            .state
            .state_password_file
            .take()
            .or(file.state_password_file);
        self.state.state_ca_file = self.state.state_ca_file.take().or(file.state_ca_file);
        let own = &mut self.console;
        own.listen = own.listen.or(file.listen);
        own.tls_certificate = own.tls_certificate.take().or(file.tls_certificate);
        own.tls_key = own.tls_key.take().or(file.tls_key);
        own.names.extend(file.names);
        own.attachment_mib = own.attachment_mib.or(file.attachment_mib);
        own.shown_zone = own.shown_zone.take().or(file.shown_zone);
        self.agents.fill(file.agents, file.agents_names);
        self.sign_in.directory = file.directory;
        self.sign_in.providers = file.provider;
        self.sign_in.saml = file.saml;
        self.telling = TellingSettings {
            contact: file.contact,
            merchant: file.merchant,
        };
        self.containment = file.containment;
        self.mail = file.mail;
        let (own, theirs) = (&mut self.database, file.database);
        own.server = own.server.take().or(theirs.server);
        own.user = own.user.take().or(theirs.user);
        own.password_file = own.password_file.take().or(theirs.password_file);
        own.ca_file = own.ca_file.take().or(theirs.ca_file);
        Ok(())
    }

    fn sinks(&self, pipeline: &mut Pipeline) -> Result<(), Failure> {
        if let Some(path) = &self.ocsf {
            let sink = if path.as_os_str() == "-" {
                Ocsf::to(Box::new(std::io::stdout()))
            } else {
                Ocsf::append(path).or_fail("check that the file of --ocsf is writable")?
            };
            pipeline.tell(Box::new(sink));
        }
        if let (Some(url), Some(file)) = (&self.webhook, &self.webhook_secret_file) {
            let secret =
                std::fs::read_to_string(file).or_fail("check the path of --webhook-secret-file")?;
            let sink = Webhook::new(url, secret.trim().as_bytes())
                .or_fail("https, or http on 127.0.0.1")?;
            pipeline.tell(Box::new(sink));
        }
        Ok(())
    }
}

/// Says what opening the ledger found.
fn opened(opening: &Opening) -> String {
    match opening {
        Opening::Fresh => "ledger    a new one begins".to_owned(),
        Opening::Resumed { size, cut } => {
            let torn = cut.leaf_bytes + cut.data_bytes;
            let cut = match torn {
                0 => String::new(),
                _ => format!(" ({torn} bytes of a write that never finished were cut off)"),
            };
            format!("ledger    goes on at entry {size}{cut}")
        }
        Opening::Broken { aside, why, .. } => format!(
            "ledger    CHANGED: {}\n          set aside, read-only, at {}; a new one begins, a critical incident is open",
            inert(why),
            inert(&aside.display().to_string())
        ),
    }
}

/// What isn't known when no shop is named.
fn only_named_logs() -> GapView {
    GapView {
        what: "Only the logs named with --log are seen".to_owned(),
        why_it_matters: "Whether the shop writes others, and what these leave out, isn't known."
            .to_owned(),
        statement: "magewarden up --magento ROOT".to_owned(),
        price: "none for the shop".to_owned(),
        undo: "leave --magento out".to_owned(),
    }
}

/// Prints what is seen and what isn't.
fn print_look(look: Option<&Look>, format: Output) -> Result<ExitCode, Failure> {
    let Some(look) = look else {
        return Err(Failure::say(
            "there is no shop to look at",
            "name it with --magento ROOT",
        ));
    };
    let mut out = std::io::stdout().lock();
    let written = match format {
        Output::Human => look.print(&mut out),
        Output::Json => writeln!(out, "{:#}", look.json()),
        Output::Ndjson => writeln!(out, "{}", look.json()),
    };
    written.or_fail("write to another place")?;
    Ok(if look.gaps.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FOUND)
    })
}
