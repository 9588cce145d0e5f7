//! `magewarden up`: the same as `analyze`, live, with the console.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use engine::desk::{Desk, GapView, Update};
use engine::live::Live;
use engine::pipeline::{Pipeline, Settings};
use model::{InstallationId, Lane};
use sinks::ocsf::Ocsf;
use sinks::webhook::Webhook;
use sources::{Follower, env_php, shop};

use super::now;
use super::settings::Reading;
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// Watch a shop live and show incidents on 127.0.0.1
///
/// Reads app/etc/env.php (prefix, connection names and hosts, cache and session settings; keys and
/// passwords are skipped by the reader), finds the logs, follows them across rotation, and says
/// what it can and cannot see.
#[derive(Args)]
#[command(after_help = "Examples:\n  magewarden up --magento /var/www/shop\n  \
    magewarden up --log /var/log/mysql/server_audit.log --log /var/log/nginx/access.log --listen 127.0.0.1:8780\n\n\
    The webhook's secret is read from the file named by --webhook-secret-file.")]
pub(crate) struct Up {
    /// Magento's root folder
    #[arg(long, value_name = "ROOT")]
    magento: Option<PathBuf>,
    /// A log to follow, beside those found; may be repeated
    #[arg(long = "log", value_name = "FILE")]
    logs: Vec<PathBuf>,
    /// Settings (TOML); flags win over it. Same names as the flags, e.g. `magento = "/var/www/shop"`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the ledger, the keys and the state
    #[arg(long, value_name = "DIR", default_value = "magewarden-data")]
    data: PathBuf,
    /// A second place for checkpoints: a file on another volume
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    /// Port of the console on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8780)]
    port: u16,
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

/// What the settings file may say.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    magento: Option<PathBuf>,
    logs: Vec<PathBuf>,
    zone: Option<String>,
    trusted_proxies: Vec<String>,
    checkpoints: Option<PathBuf>,
}

impl Up {
    /// Runs the command.
    pub(crate) fn run(mut self) -> Result<ExitCode, Failure> {
        self.read_file()?;
        let mut files = self.logs.clone();
        let mut gaps = Vec::new();
        let mut out = std::io::stderr().lock();
        if let Some(root) = self.magento.clone() {
            let config = env_php::read(&root.join("app/etc/env.php")).or_fail(
                "--magento names the folder that holds app/etc/env.php; check that you may read it",
            )?;
            if self.reading.table_prefix.is_empty() {
                self.reading.table_prefix.clone_from(&config.table_prefix);
            }
            let found = shop::find_logs(&root, &config);
            for (path, why) in found.files {
                drop(writeln!(
                    out,
                    "sees      {} ({why})",
                    inert(&path.display().to_string())
                ));
                files.push(path);
            }
            for (what, looked) in found.missing {
                drop(writeln!(
                    out,
                    "can't see {} (looked at {})",
                    inert(&what),
                    inert(&looked)
                ));
                gaps.push(gap(&what, &looked));
            }
        }
        if files.is_empty() {
            return Err(Failure::say(
                "there is no log to follow",
                "name the shop with --magento ROOT, or logs with --log FILE",
            ));
        }
        gaps.extend(database_gaps(&files));
        for gap in &gaps {
            drop(writeln!(
                out,
                "\n{}\n  {}\n  do:    {}\n  price: {}\n  undo:  {}",
                gap.what, gap.why_it_matters, gap.statement, gap.price, gap.undo
            ));
        }
        drop(out);
        std::fs::create_dir_all(&self.data).or_fail("check that --data is writable")?;
        let mut pipeline = Pipeline::open(Settings {
            installation: InstallationId(self.installation.clone()),
            ledger: self.data.join("ledger"),
            keys: self.data.join("keys"),
            second_place: Some(self.checkpoints.clone().unwrap_or_else(|| self.data.join("checkpoints.copy"))),
            context: self.reading.context()?,
            lane: Lane::Live,
            own_rules: self.reading.own_rules()?,
        }, now())
        .or_fail("another magewarden may hold the ledger; otherwise check that --data is writable and has room")?;
        self.sinks(&mut pipeline)?;
        let stop = stop_on_signals()?;
        serve_and_follow(pipeline, files, gaps, self.port, &self.data, &stop)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Fills what the flags left open from the settings file.
    fn read_file(&mut self) -> Result<(), Failure> {
        let Some(path) = &self.config else {
            return Ok(());
        };
        let text = std::fs::read_to_string(path).or_fail("check the path of --config")?;
        let file: File = toml::from_str(&text)
            .or_fail("known settings: magento, logs, zone, trusted_proxies, checkpoints")?;
        self.magento = self.magento.take().or(file.magento);
        self.logs.extend(file.logs);
        self.reading.zone = self.reading.zone.take().or(file.zone);
        self.reading.trusted_proxies.extend(file.trusted_proxies);
        self.checkpoints = self.checkpoints.take().or(file.checkpoints);
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

/// What is not seen, as the pages show it.
fn gap(what: &str, looked: &str) -> GapView {
    GapView {
        what: format!("{what} not found"),
        why_it_matters: format!("looked at {looked}; what happens there stays unseen"),
        statement: "name it with --log FILE, or make it readable for magewarden's account"
            .to_owned(),
        price: "none for the shop".to_owned(),
        undo: "leave the flag out".to_owned(),
    }
}

/// Says how to see reads of the payment tables when no database log is followed.
fn database_gaps(files: &[PathBuf]) -> Vec<GapView> {
    let named = |word: &str| {
        files
            .iter()
            .any(|file| file.to_string_lossy().contains(word))
    };
    let mut gaps = Vec::new();
    if !named("audit") {
        gaps.push(GapView {
            what: "The database audit log is not seen".to_owned(),
            why_it_matters: "Without it a read of the payment tables leaves no trace that names account and tables.".to_owned(),
            statement: "INSTALL SONAME 'server_audit'; SET GLOBAL server_audit_events='CONNECT,QUERY,TABLE'; SET GLOBAL server_audit_query_log_limit=65536; SET GLOBAL server_audit_logging=ON;".to_owned(),
            price: "one line a statement on disk; measure it on your shop before leaving it on".to_owned(),
            undo: "SET GLOBAL server_audit_logging=OFF; UNINSTALL SONAME 'server_audit';".to_owned(),
        });
    }
    if !named("slow") {
        gaps.push(GapView {
            what: "The slow query log is not seen".to_owned(),
            why_it_matters: "It alone counts rows: without it an exposure has bounds, not a number.".to_owned(),
            statement: "SET GLOBAL log_slow_verbosity='query_plan'; SET GLOBAL long_query_time=0.5; SET GLOBAL slow_query_log=ON;".to_owned(),
            price: "statements over the limit are written to disk".to_owned(),
            undo: "SET GLOBAL slow_query_log=OFF;".to_owned(),
        });
    }
    gaps
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

/// Serves the console and follows files until `stop` is set.
pub(super) fn serve_and_follow(
    mut pipeline: Pipeline,
    files: Vec<PathBuf>,
    gaps: Vec<GapView>,
    port: u16,
    data: &Path,
    stop: &Arc<AtomicBool>,
) -> Result<(), Failure> {
    let reader = engine::report::entry_reader(&data.join("ledger"), &data.join("keys"))
        .or_fail("check that --data is readable")?;
    let desk = Desk::new(reader);
    desk.publish(Update::Gaps(gaps));
    pipeline.show_on(desk.clone());
    let resume = pipeline.positions().clone();
    let follower = Follower::new(files, resume).or_fail("check that the logs may be read")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .or_fail("the machine has no room for another thread")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind(address))
        .or_fail("another program holds the port; name another with --port, or 0 for a free one")?;
    let bound = listener.local_addr().or_fail("")?;
    let mut out = std::io::stderr().lock();
    drop(writeln!(out, "\nconsole: http://{bound}/   (Ctrl-C stops)"));
    drop(out);
    let waiting = Arc::clone(stop);
    let stopped = async move {
        while !waiting.load(Ordering::SeqCst) {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let serving = runtime.spawn(server::serve(desk.clone(), listener, stopped));
    let tell = |line: &str| drop(writeln!(std::io::stderr(), "{}  {line}", now()));
    let mut live = Live::new(pipeline, follower, desk, now(), Box::new(tell));
    let result = live.run(&now, &|| stop.load(Ordering::SeqCst));
    stop.store(true, Ordering::SeqCst);
    result.or_fail("free some disk space and start again: it resumes where the ledger ends")?;
    runtime
        .block_on(serving)
        .or_fail("")?
        .or_fail("start again; the ledger is whole")?;
    Ok(())
}
