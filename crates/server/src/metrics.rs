//! Counters for Prometheus, in its text format 0.0.4.
//!
//! Names are constant; a label holds a source's name and nothing of a record.

use std::fmt::Write as _;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use engine::desk::{Desk, MailCounts, SourceView};

/// One metric: name, kind, what it is.
struct Metric(&'static str, &'static str, &'static str);

const RECORDS: Metric = Metric(
    "magewarden_source_records_total",
    "counter",
    "Records sealed of a source since this start.",
);
const UNREADABLE: Metric = Metric(
    "magewarden_source_unreadable_total",
    "counter",
    "Records in quarantine.",
);
const LOST: Metric = Metric(
    "magewarden_source_lost_total",
    "counter",
    "Records, or bytes of a file, that went before they could be read.",
);
const LAG: Metric = Metric(
    "magewarden_source_lag_seconds",
    "gauge",
    "Seconds since the last event's own time.",
);
const WORKS: Metric = Metric(
    "magewarden_source_works",
    "gauge",
    "1 while a source works, 0 while it fails, waits or isn't read.",
);
const HOLES: Metric = Metric(
    "magewarden_source_holes_total",
    "counter",
    "Times a source was silent, failed, lost something or was off, as told since this start.",
);
const JUDGED: Metric = Metric(
    "magewarden_source_judged_seconds",
    "histogram",
    "How long a source's records, once read, waited until they were sealed and judged, since this start.",
);

/// Answers `/metrics`.
pub(crate) async fn metrics(State(desk): State<Desk>) -> Response {
    let mut text = String::new();
    let sources = desk.sources();
    let mut of_sources = |metric: &Metric, value: &dyn Fn(&SourceView) -> Option<i128>| {
        head(&mut text, metric);
        for source in &sources {
            if let Some(value) = value(source) {
                // A string takes all.
                let _written = writeln!(
                    text,
                    "{}{{source=\"{}\"}} {value}",
                    metric.0,
                    label(&source.id)
                );
            }
        }
    };
    of_sources(&RECORDS, &|source| Some(source.records.into()));
    of_sources(&UNREADABLE, &|source| Some(source.quarantined.into()));
    of_sources(&LOST, &|source| Some(source.lost.into()));
    of_sources(&LAG, &|source| source.lag_seconds.map(Into::into));
    of_sources(&WORKS, &|source| {
        Some(i128::from(source.state == "reading"))
    });
    of_sources(&HOLES, &|source| i128::try_from(source.holes.len()).ok());
    delays(&mut text, &sources);
    if let Some(all) = desk.overview() {
        for (metric, value) in [
            (
                Metric(
                    "magewarden_ledger_entries",
                    "gauge",
                    "Entries in the ledger.",
                ),
                all.ledger_size,
            ),
            (
                Metric(
                    "magewarden_events_total",
                    "counter",
                    "Events judged since this start.",
                ),
                all.events,
            ),
            (
                Metric(
                    "magewarden_findings_total",
                    "counter",
                    "Findings since this start.",
                ),
                all.findings,
            ),
        ] {
            head(&mut text, &metric);
            let _written = writeln!(text, "{} {value}", metric.0);
        }
        let metric = Metric(
            "magewarden_heartbeat_seconds",
            "gauge",
            "When these counters were taken, in seconds since 1970.",
        );
        head(&mut text, &metric);
        let _written = writeln!(
            text,
            "{} {}",
            metric.0,
            all.now.0 / model::Timestamp::SECOND
        );
    }
    if let Some(mail) = desk.mail() {
        of_mail(&mut text, mail);
    }
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

/// Writes how many letters went.
fn of_mail(text: &mut String, mail: MailCounts) {
    for (metric, value) in [
        (
            Metric(
                "magewarden_mail_sent_total",
                "counter",
                "Letters that the mail server took since this start.",
            ),
            mail.sent,
        ),
        (
            Metric(
                "magewarden_mail_failed_total",
                "counter",
                "Attempts to tell by mail that failed since this start; each is made again.",
            ),
            mail.failed,
        ),
        (
            Metric(
                "magewarden_mail_joined_total",
                "counter",
                "News that went together with others', since an address had its letters of the hour.",
            ),
            mail.joined,
        ),
        (
            Metric(
                "magewarden_mail_waiting",
                "gauge",
                "Incidents with something to tell, counted for each address.",
            ),
            mail.waiting,
        ),
    ] {
        head(text, &metric);
        let _written = writeln!(text, "{} {value}", metric.0);
    }
}

/// Writes how long records of each source waited to be judged.
fn delays(text: &mut String, sources: &[SourceView]) {
    head(text, &JUDGED);
    for source in sources {
        let (name, id, delay) = (JUDGED.0, label(&source.id), &source.delay);
        let bucket = |text: &mut String, bound: &str, count: u64| {
            let _written = writeln!(
                text,
                "{name}_bucket{{source=\"{id}\",le=\"{bound}\"}} {count}"
            );
        };
        for (bound, count) in delay.up_to() {
            bucket(text, &bound.as_secs_f64().to_string(), count);
        }
        bucket(text, "+Inf", delay.count());
        let _written = writeln!(
            text,
            "{name}_sum{{source=\"{id}\"}} {}\n{name}_count{{source=\"{id}\"}} {}",
            delay.sum().as_secs_f64(),
            delay.count()
        );
    }
}

fn head(text: &mut String, metric: &Metric) {
    let _written = writeln!(
        text,
        "# HELP {} {}\n# TYPE {} {}",
        metric.0, metric.2, metric.0, metric.1
    );
}

/// A label's value: backslash, quote and line end escaped, other control characters left out.
fn label(name: &str) -> String {
    let mut out = String::new();
    for one in name.chars() {
        match one {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            one if one.is_control() => {}
            one => out.push(one),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use engine::desk::SourceView;

    use super::{delays, label};

    #[test]
    fn a_label_holds_no_line_of_its_own() {
        assert_eq!(label("file:/a\"b\\c\nd\u{7}"), r#"file:/a\"b\\c\nd"#);
    }

    #[test]
    fn a_histogram_counts_up_to_all() {
        let mut source = SourceView {
            id: "tree:/shop".to_owned(),
            ..SourceView::default()
        };
        for micros in [900, 2_400, 4_000_000, 400_000_000] {
            source.delay.add(Duration::from_micros(micros));
        }
        let mut text = String::new();
        delays(&mut text, &[source]);
        let (head, lines) = text.split_at(
            text.find("magewarden_source_judged_seconds_bucket")
                .expect("buckets"),
        );
        assert!(
            head.ends_with("# TYPE magewarden_source_judged_seconds histogram\n"),
            "{head}"
        );
        let expected = [
            (r#"_bucket{le="0.001"}"#, "1"),
            (r#"_bucket{le="0.0025"}"#, "2"),
            (r#"_bucket{le="0.005"}"#, "2"),
            (r#"_bucket{le="0.01"}"#, "2"),
            (r#"_bucket{le="0.025"}"#, "2"),
            (r#"_bucket{le="0.05"}"#, "2"),
            (r#"_bucket{le="0.1"}"#, "2"),
            (r#"_bucket{le="0.25"}"#, "2"),
            (r#"_bucket{le="1"}"#, "2"),
            (r#"_bucket{le="5"}"#, "3"),
            (r#"_bucket{le="30"}"#, "3"),
            (r#"_bucket{le="300"}"#, "3"),
            (r#"_bucket{le="+Inf"}"#, "4"),
            ("_sum{}", "404.0033"),
            ("_count{}", "4"),
        ];
        let lines = lines
            .replace("magewarden_source_judged_seconds", "")
            .replace(r#"source="tree:/shop","#, "")
            .replace(r#"source="tree:/shop""#, "");
        let told: Vec<_> = lines
            .lines()
            .filter_map(|line| line.split_once(' '))
            .collect();
        assert_eq!(told, expected);
    }
}
