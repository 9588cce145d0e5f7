//! Reads every sample of `corpus/` and compares its events with what stands beside it.
//!
//! `corpus/<format>/sample*.log` → `corpus/<format>/sample*.events`: one line an event. After a change
//! that is meant, run with `CORPUS_WRITE=1` and read the difference.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use model::{Event, TimeQuality, Value};
use parse::{Context, FORMATS, Format, Frame, SourceState};
use proptest::prelude::*;

fn context() -> Context {
    Context {
        zone: jiff::tz::TimeZone::get("Europe/Berlin").expect("bundled"),
        zone_quality: TimeQuality::ZoneConfigured,
        trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        table_prefix: "mg_".to_owned(),
        stores: model::StoreMap::default(),
    }
}

/// Cuts a whole log into records.
fn records<'a>(format: &dyn Format, log: &'a [u8]) -> Vec<&'a [u8]> {
    let mut rest = log;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let end = match format.frame(rest, true) {
            Frame::Record { end } => end,
            Frame::More => rest.len(),
        };
        records.push(&rest[..end]);
        rest = &rest[end..];
    }
    records
}

/// Cuts a log that arrives in pieces of `size` bytes.
fn lengths_in_pieces(format: &dyn Format, log: &[u8], size: usize) -> Vec<usize> {
    let (mut lengths, mut start, mut arrived) = (Vec::new(), 0, 0);
    while start < log.len() {
        let end = arrived == log.len();
        let length = match format.frame(&log[start..arrived], end) {
            _ if start == arrived => 0,
            Frame::Record { end } => end,
            Frame::More if end => arrived - start,
            Frame::More => 0,
        };
        if length == 0 {
            arrived = log.len().min(arrived + size);
        } else {
            lengths.push(length);
            start += length;
        }
    }
    lengths
}

fn show(event: &Event<'_>) -> String {
    let mut line = event.category.name().to_owned();
    match event.time {
        Some(time) => write!(line, " {time} {:?}", event.time_quality),
        None => write!(line, " - {:?}", event.time_quality),
    }
    .expect("a string takes all");
    let mut fields: Vec<_> = event.fields().iter().collect();
    fields.sort_by_key(|(field, _)| *field);
    for (field, value) in fields {
        match value {
            Value::Text(text) => write!(line, " {}={text:?}", field.name()),
            Value::Int(number) => write!(line, " {}={number}", field.name()),
            Value::List(list) => write!(line, " {}={list:?}", field.name()),
        }
        .expect("a string takes all");
    }
    line
}

/// Formats that a source names and that are never recognised from bytes.
const NAMED_ONLY: [&str; 2] = ["observation", "plain"];

fn samples() -> Vec<(&'static dyn Format, PathBuf)> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../corpus");
    let mut samples = Vec::new();
    for format in FORMATS {
        let folder = corpus.join(format.name());
        let files = std::fs::read_dir(&folder).expect("every format has samples");
        for file in files {
            let path = file.expect("listed").path();
            if path.extension().is_some_and(|extension| extension == "log") {
                samples.push((*format, path));
            }
        }
    }
    samples.sort_by(|one, other| one.1.cmp(&other.1));
    samples
}

#[test]
fn every_sample_is_recognised_and_reads_as_written_beside_it() {
    for (format, path) in samples() {
        let log = std::fs::read(&path).expect("a sample");
        let sniffed = parse::sniff(&log[..log.len().min(16_384)]).map(Format::name);
        // What only a source may name is never recognised.
        let expected = (!NAMED_ONLY.contains(&format.name())).then_some(format.name());
        assert_eq!(sniffed, expected, "{}", path.display());
        let mut state = SourceState::default();
        let mut shown = String::new();
        for record in records(format, &log) {
            match format.parse(record, &context(), &mut state) {
                Ok(event) => writeln!(shown, "{}", show(&event)),
                Err(error) => writeln!(shown, "error {error}"),
            }
            .expect("a string takes all");
        }
        let beside = path.with_extension("events");
        if std::env::var_os("CORPUS_WRITE").is_some() {
            std::fs::write(&beside, &shown).expect("written");
        }
        let expected = std::fs::read_to_string(&beside).unwrap_or_default();
        for (at, (shown, expected)) in shown.lines().zip(expected.lines()).enumerate() {
            assert_eq!(shown, expected, "{} event {at}", path.display());
        }
        assert_eq!(
            shown.lines().count(),
            expected.lines().count(),
            "{}",
            path.display()
        );
    }
}

#[test]
fn bounds_do_not_depend_on_how_the_bytes_arrive() {
    for (format, path) in samples() {
        let log = std::fs::read(&path).expect("a sample");
        let whole: Vec<usize> = records(format, &log)
            .iter()
            .map(|record| record.len())
            .collect();
        for size in [1, 2, 7, 64, 501] {
            assert_eq!(
                lengths_in_pieces(format, &log, size),
                whole,
                "{} by {size}",
                path.display()
            );
        }
    }
}

#[test]
fn bounds_do_not_depend_on_pieces_for_broken_logs_either() {
    // Deterministic damage: every 97th byte replaced, and lines joined.
    for (format, path) in samples() {
        let mut log = std::fs::read(&path).expect("a sample");
        for (at, byte) in log.iter_mut().enumerate() {
            if at % 97 == 13 {
                *byte = b"'\n\"<[#\t\\ "[at % 9];
            }
        }
        for other in FORMATS {
            let whole: Vec<usize> = records(*other, &log)
                .iter()
                .map(|record| record.len())
                .collect();
            assert_eq!(
                lengths_in_pieces(*other, &log, 5),
                whole,
                "{} in {} as {}",
                path.display(),
                format.name(),
                other.name()
            );
            let mut state = SourceState::default();
            for record in records(*other, &log) {
                let _read = other.parse(record, &context(), &mut state).is_ok();
            }
        }
    }
}

/// What records begin and end with, to be put together in any order.
static FRAGMENTS: [&str; 22] = [
    "\n",
    "\n",
    "\n",
    "# Time: 260805 10:15:30",
    "# User@Host: a[a] @ b []",
    "SET timestamp=1;",
    "<AUDIT_RECORD",
    "/>",
    ">",
    "</AUDIT_RECORD>",
    "[2026-08-05 10:15:30] a.B: c",
    "20260805 10:15:30,",
    "a,b,1,2,QUERY,c,'x",
    "',0",
    "\t\t    1 Query",
    "\tselect",
    "260805 10:15:30",
    " started with:",
    "{\"a\":1}",
    "\\",
    "é",
    " ",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn bounds_do_not_depend_on_pieces_whatever_comes(
        parts in prop::collection::vec(prop::sample::select(&FRAGMENTS[..]), 0..60),
        size in 1_usize..40,
    ) {
        let log = parts.concat();
        for format in FORMATS {
            let whole: Vec<usize> = records(*format, log.as_bytes()).iter().map(|record| record.len()).collect();
            prop_assert_eq!(lengths_in_pieces(*format, log.as_bytes(), size), whole, "as {}", format.name());
            let mut state = SourceState::default();
            for record in records(*format, log.as_bytes()) {
                let _read = format.parse(record, &context(), &mut state).is_ok();
            }
        }
    }
}
