//! `magewarden demo`: an exercise through the real pipeline, in lane `Exercise`.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use engine::content;
use engine::exercise::{Exercise, Moment};
use engine::pipeline::{Pipeline, Settings};
use jiff::tz::TimeZone;
use model::{InstallationId, Lane, TimeQuality, Timestamp};
use parse::Context;

use super::console::{For, Place, Watch, serve_and_follow, stop_on_signals};
use super::now;
use crate::failure::{Failure, OrFail};

/// Seconds after which the exercise is over, whoever still runs it.
const EXERCISE_SECONDS: i64 = 24 * 3600;

/// Show a recorded leak at a three-store shop, as an exercise
///
/// Writes the shop's logs to a folder of its own, follows them with the real pipeline, and shows
/// the incident growing in the console. Nothing of yours is read or touched.
#[derive(Args)]
#[command(after_help = "Example:\n  magewarden demo        then open the address it prints")]
pub(crate) struct Demo {
    /// Folder to write to; a new one under the system's temporary folder when not given
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Port of the console on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 8780)]
    port: u16,
    /// Stop by itself after so many seconds
    #[arg(long, value_name = "SECONDS")]
    stop_after: Option<u64>,
}

impl Demo {
    /// Runs the command.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let (name, text) = content::under("exercises/demo", ".toml")
            .next()
            .ok_or_else(|| {
                Failure::say(
                    "this build holds no demo",
                    "build it with content/exercises/demo.toml",
                )
            })?;
        let exercise = Exercise::parse(name, text).or_fail("mend the exercise")?;
        let data = self.data.unwrap_or_else(|| {
            std::env::temp_dir().join(format!("magewarden-demo-{}", std::process::id()))
        });
        let logs = data.join("logs");
        let files: BTreeSet<PathBuf> = exercise
            .log
            .iter()
            .map(|log| logs.join(&log.file))
            .collect();
        for file in &files {
            let folder = file.parent().unwrap_or(&logs);
            std::fs::create_dir_all(folder).or_fail("check that --data is writable")?;
        }
        let mut pipeline = Pipeline::open(
            &Settings {
                installation: InstallationId("demo".to_owned()),
                ledger: data.join("ledger"),
                state: None,
                keys: data.join("keys"),
                second_place: Some(data.join("checkpoints.copy")),
                context: Context {
                    zone: TimeZone::UTC,
                    zone_quality: TimeQuality::ZoneConfigured,
                    trusted_proxies: Vec::new(),
                    table_prefix: String::new(),
                    stores: model::StoreMap::default(),
                },
                lane: Lane::Exercise,
                own_rules: Vec::new(),
                merchant: Default::default(),
            },
            now(),
        )
        .or_fail("name an empty folder with --data")?;
        let until = Timestamp(now().0 + EXERCISE_SECONDS * Timestamp::SECOND);
        pipeline
            .seal_exercise(&exercise.id, until, now())
            .or_fail("check that --data is writable and has room")?;
        let mut out = std::io::stderr().lock();
        drop(writeln!(
            out,
            "EXERCISE: {}\n{}\nwrites under {}",
            exercise.title,
            exercise.story,
            data.display()
        ));
        drop(out);
        let stop = stop_on_signals()?;
        let writer = start_writer(exercise, logs, self.stop_after, Arc::clone(&stop));
        let watch = Watch {
            files: files.into_iter().collect(),
            sources: Vec::new(),
            gaps: Vec::new(),
            place: Place::local(self.port),
            agents: None,
            whom: For::Anybody,
            telling: server::Telling::default(),
            mail: None,
        };
        let served = serve_and_follow(pipeline, watch, &data, &stop);
        stop.store(true, Ordering::SeqCst);
        let written = writer
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("the writer panicked")));
        served?;
        written.or_fail("check that --data is writable and has room")?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the story's lines when they are due, from a thread of its own.
fn start_writer(
    exercise: Exercise,
    logs: PathBuf,
    stop_after: Option<u64>,
    stop: Arc<AtomicBool>,
) -> std::thread::JoinHandle<std::io::Result<()>> {
    std::thread::spawn(move || {
        let start = Instant::now();
        for line in exercise.lines() {
            let due = Duration::from_millis(u64::try_from(line.due_ms).unwrap_or(0));
            while start.elapsed() < due && !stop.load(Ordering::SeqCst) {
                std::thread::sleep(
                    (due.saturating_sub(start.elapsed())).min(Duration::from_millis(50)),
                );
            }
            if stop.load(Ordering::SeqCst) {
                return Ok(());
            }
            write_line(&logs.join(line.file), &line.render(&moment(now())))?;
        }
        while stop_after.is_some_and(|seconds| start.elapsed() < Duration::from_secs(seconds))
            && !stop.load(Ordering::SeqCst)
        {
            std::thread::sleep(Duration::from_millis(50));
        }
        if stop_after.is_some() {
            stop.store(true, Ordering::SeqCst);
        }
        Ok(())
    })
}

fn write_line(file: &Path, line: &str) -> std::io::Result<()> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)?
        .write_all(line.as_bytes())
}

/// The times a record may say.
fn moment(now: Timestamp) -> Moment {
    let zoned = jiff::Timestamp::from_microsecond(now.0).unwrap_or_default();
    Moment {
        clf: zoned.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
        audit: zoned.strftime("%Y%m%d %H:%M:%S").to_string(),
        iso: zoned.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string(),
        epoch: now.0.div_euclid(Timestamp::SECOND),
    }
}
