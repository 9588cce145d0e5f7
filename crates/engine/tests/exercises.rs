//! Every shipped exercise, through the real pipeline: what it says must come of it does.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use engine::analyze::{Progress, analyze};
use engine::content;
use engine::exercise::{Exercise, Moment};
use engine::pipeline::{Pipeline, Settings};
use model::{InstallationId, Lane, Timestamp};
use parse::Context;
use sources::{Limits, discover};

const START: Timestamp = Timestamp::from_seconds(1_785_924_930);

struct Silent;

impl Progress for Silent {
    fn advance(&mut self, _: u64) {}
}

fn moment(now: Timestamp) -> Moment {
    let time = jiff::Timestamp::from_microsecond(now.0).expect("in range");
    Moment {
        clf: time.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
        audit: time.strftime("%Y%m%d %H:%M:%S").to_string(),
        iso: time.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string(),
        epoch: now.0 / Timestamp::SECOND,
    }
}

#[test]
fn what_an_exercise_expects_comes_of_it_and_is_marked_as_one() {
    let mut checked = 0;
    for (name, text) in content::under("exercises/", ".toml") {
        let exercise = Exercise::parse(name, text).expect("readable");
        let (_folder, pipeline) = run(&exercise);
        assert!(!exercise.expect.is_empty(), "{name} expects nothing");
        for expected in &exercise.expect {
            let fits = pipeline.judge().incidents().any(|incident| {
                let severe = ["informational", "low", "medium", "high", "critical"]
                    .iter()
                    .skip_while(|level| **level != expected.severity)
                    .any(|level| *level == incident.severity.name());
                severe
                    && incident.lane == Lane::Exercise
                    && incident
                        .assets
                        .iter()
                        .any(|asset| asset.name.contains(&expected.asset))
                    && incident
                        .actors
                        .iter()
                        .any(|actor| actor.value.contains(&expected.actor))
            });
            assert!(fits, "{name}: no incident of {expected:?}");
            checked += 1;
        }
    }
    assert!(checked > 0);
}

/// Runs an exercise's logs through the pipeline; the folder holds its ledger.
fn run(exercise: &Exercise) -> (tempfile::TempDir, Pipeline) {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = folder.path().join("logs");
    for line in exercise.lines() {
        let path = logs.join(line.file);
        fs::create_dir_all(path.parent().expect("below the folder")).expect("made");
        let due = Timestamp(START.0 + line.due_ms * 1000);
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .expect("opened");
        log.write_all(line.render(&moment(due)).as_bytes())
            .expect("written");
    }
    let settings = Settings {
        installation: InstallationId("exercise".to_owned()),
        ledger: folder.path().join("ledger"),
        state: None,
        keys: folder.path().join("keys"),
        second_place: None,
        context: Context::default(),
        lane: Lane::Exercise,
        own_rules: Vec::new(),
        merchant: Default::default(),
    };
    let mut pipeline = Pipeline::open(&settings, START).expect("opened");
    let limits = Limits::default();
    let found = discover(&[logs], &limits).expect("readable");
    analyze(
        &mut pipeline,
        found.inputs,
        None,
        &limits,
        &|| START,
        &mut Silent,
    )
    .expect("analyzed");
    (folder, pipeline)
}

#[test]
fn a_client_of_the_web_that_connects_to_the_database_is_one_incident_and_the_web_server_is_nobody()
{
    let (name, text) = content::under("exercises/", ".toml")
        .find(|(_, text)| text.contains("id = \"demo\""))
        .expect("it is shipped");
    // A shop whose database logs its web server's address, one connection for each request.
    let text = text
        .replace(",web1,41,", ",10.0.0.5,{n},")
        .replace(",web1,", ",10.0.0.5,");
    let exercise = Exercise::parse(name, &text).expect("readable");
    let (_folder, pipeline) = run(&exercise);
    let of = |table: &str| {
        let mut all = pipeline.judge().incidents();
        let found = all.find(|one| one.assets.iter().any(|asset| asset.name == table));
        found.expect("it is found").clone()
    };
    let [injected, dumped, written] =
        ["admin_user", "sales_order_payment", "core_config_data"].map(of);
    assert_eq!((&injected.id, &injected.id), (&dumped.id, &written.id));
    let names = |value: &str| injected.actors.iter().any(|actor| actor.value == value);
    assert!(
        names("203.0.113.66") && !names("10.0.0.5"),
        "{:?}",
        injected.actors
    );
    // Who walked orders at another store came from elsewhere.
    let walked = pipeline
        .judge()
        .incidents()
        .filter(|one| one.id != injected.id);
    assert_eq!(walked.count(), 1);
}
