//! `magewarden analyze`: what happened, from a folder of logs.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use engine::analyze::{self as engine_analyze, Outcome, OutputFolder};
use engine::merchant::{Duties, EntityProfile};
use engine::pipeline::{Pipeline, Settings};
use model::{Incident, InstallationId, Lane, Level};
use serde_json::json;
use sinks::ocsf::Ocsf;
use sources::{Limits, discover};

use super::parse::{format_named, format_names};
use super::settings::Reading;
use super::{FOUND, Output, now};
use crate::failure::{Failure, OrFail};
use crate::terminal::{Bar, inert, level};

/// Find out what happened from a folder of logs: evidence, findings, incidents, a report
///
/// Reads only; writes only under --out. Rotated, compressed and archived logs are read too; what no
/// format recognises is listed with the reason.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  magewarden analyze /var/log/nginx /var/log/mysql /var/www/shop/var/log\n  \
    magewarden analyze logs.tar.gz --zone Europe/Berlin --format json --fail-on high\n\n\
    Exit code 10 when there is an incident at or above --fail-on."
)]
pub(crate) struct Analyze {
    /// Files, folders, archives
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Folder to write to; each run gets a folder of its own in it
    #[arg(long, value_name = "DIR", default_value = "magewarden-out")]
    out: PathBuf,
    /// Read every input as this format instead of recognising it
    #[arg(long = "as", value_name = "FORMAT", value_parser = format_names())]
    named: Option<String>,
    /// Name of the installation in ids and reports
    #[arg(long, value_name = "NAME", default_value = "shop")]
    installation: String,
    #[command(flatten)]
    reading: Reading,
    /// Severity from which the exit code is 10
    #[arg(long, value_enum, default_value = "medium")]
    fail_on: FailOn,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailOn {
    Informational,
    Low,
    Medium,
    High,
    Critical,
    Never,
}

impl FailOn {
    fn reached(self, severity: Level) -> bool {
        let least = match self {
            Self::Informational => Level::Informational,
            Self::Low => Level::Low,
            Self::Medium => Level::Medium,
            Self::High => Level::High,
            Self::Critical => Level::Critical,
            Self::Never => return false,
        };
        severity >= least
    }
}

impl Analyze {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let limits = Limits::default();
        let found = discover(&self.paths, &limits)
            .or_fail("check the paths, and that you may read them")?;
        let named = self.named.as_deref().map(format_named).transpose()?;
        let folder = run_folder(&self.out)?;
        let mut pipeline = Pipeline::open(
            &Settings {
                installation: InstallationId(self.installation.clone()),
                ledger: folder.ledger(),
                state: None,
                keys: folder.keys(),
                second_place: Some(folder.second_place()),
                context: self.reading.context()?,
                lane: Lane::Live,
                own_rules: self.reading.own_rules()?,
                merchant: EntityProfile::default(),
            },
            now(),
        )
        .or_fail("check that --out is writable and has room")?;
        let ocsf = folder.root.join("findings.ocsf.ndjson");
        pipeline.tell(Box::new(
            Ocsf::create(&ocsf).or_fail("check that --out is writable")?,
        ));
        let mut bar = Bar::bytes(
            found.inputs.iter().map(|input| input.size_bytes).sum(),
            "analyzing",
        );
        let mut outcome =
            engine_analyze::analyze(&mut pipeline, found.inputs, named, &limits, &now, &mut bar)
                .or_fail("free some disk space; the ledger keeps what was acknowledged")?;
        bar.finish();
        outcome.not_read.extend(
            found
                .skipped
                .into_iter()
                .map(|(path, why)| (path.display().to_string(), why)),
        );
        engine::report::write(&pipeline, &outcome, &folder.root, now())
            .or_fail("check that --out is writable")?;
        self.print(&pipeline, &outcome, &folder.root)?;
        let reached = pipeline
            .judge()
            .incidents()
            .any(|incident| self.fail_on.reached(incident.severity));
        Ok(if reached {
            ExitCode::from(FOUND)
        } else {
            ExitCode::SUCCESS
        })
    }

    fn print(&self, pipeline: &Pipeline, outcome: &Outcome, root: &Path) -> Result<(), Failure> {
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        let hint = "check where the output goes";
        let incidents: Vec<&Incident> = pipeline.judge().incidents().collect();
        match self.format {
            Output::Json => {
                let findings = pipeline.judge().findings();
                let findings: BTreeMap<_, _> =
                    findings.map(|finding| (&finding.id, finding)).collect();
                let inputs: Vec<_> = outcome.inputs.iter().map(|input| &input.facts).collect();
                writeln!(out, "{}", json!({"version": 1, "incidents": incidents, "findings": findings,
                    "inputs": inputs, "not_read": outcome.not_read,
                    "entries": engine::report::entries(pipeline), "out": root.display().to_string()}))
                .or_fail(hint)?;
            }
            Output::Ndjson => {
                for incident in incidents {
                    writeln!(out, "{}", json!(incident)).or_fail(hint)?;
                }
            }
            Output::Human => {
                for incident in &incidents {
                    print_incident(&mut out, incident).or_fail(hint)?;
                }
                let counters = pipeline.judge().counters();
                let quarantined: u64 = outcome
                    .inputs
                    .iter()
                    .map(|input| input.counters.quarantined)
                    .sum();
                writeln!(out, "{} incidents from {} findings; {} inputs with {} records read, {quarantined} of them in quarantine, {} inputs not read",
                    incidents.len(), counters.findings, outcome.inputs.len(), counters.records + quarantined, outcome.not_read.len())
                .or_fail(hint)?;
                for (path, why) in outcome.not_read.iter().take(20) {
                    writeln!(out, "  not read: {}: {}", inert(path), inert(why)).or_fail(hint)?;
                }
                writeln!(
                    out,
                    "report:   {}\nevidence: {} (magewarden verify {})",
                    root.join("report.html").display(),
                    root.join("ledger").display(),
                    root.join("ledger").display()
                )
                .or_fail(hint)?;
            }
        }
        Ok(())
    }
}

/// Prints an incident in four lines: what, when, what left, what is due.
fn print_incident(out: &mut dyn std::io::Write, incident: &Incident) -> std::io::Result<()> {
    writeln!(
        out,
        "{}  {}",
        level(incident.severity),
        inert(&incident.title)
    )?;
    writeln!(out, "    {} to {}", incident.first, incident.last)?;
    let rows = match &incident.exposure.rows {
        Some(rows) => match rows.upper {
            Some(upper) if upper == rows.lower => format!("{upper} rows"),
            Some(upper) => format!("{} to {upper} rows", rows.lower),
            None => format!("at least {} rows", rows.lower),
        },
        None => "rows unknown".to_owned(),
    };
    let assets: Vec<_> = incident
        .assets
        .iter()
        .take(8)
        .map(|asset| inert(&asset.name))
        .collect();
    writeln!(out, "    {rows}; {}", assets.join(", "))?;
    let clocks = Duties::of(incident, &EntityProfile::default()).clocks();
    if let Some(due) = clocks.first() {
        writeln!(
            out,
            "    first deadline {} (projected): {}",
            due.0,
            inert(&due.1.regime)
        )?;
    }
    writeln!(out)
}

/// Makes the next `run-NNNN` below `out`, and points `latest` at it.
fn run_folder(out: &Path) -> Result<OutputFolder, Failure> {
    let hint = "check that --out is writable";
    std::fs::create_dir_all(out).or_fail(hint)?;
    for number in 1..10_000 {
        let name = format!("run-{number:04}");
        let root = out.join(&name);
        match std::fs::create_dir(&root) {
            Ok(()) => {
                let latest = out.join("latest");
                // `latest` is a convenience: a folder system without links does without.
                drop(std::fs::remove_file(&latest));
                drop(std::os::unix::fs::symlink(&name, &latest));
                return Ok(OutputFolder { root });
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Failure::new(&error, hint)),
        }
    }
    Err(Failure::say(
        format!("{} holds 9999 runs", out.display()),
        "name another folder with --out",
    ))
}
