//! Documents from plain values: one self-contained HTML file, and the same as JSON.
//!
//! Every string of a log is escaped by the template and freed of control and direction characters.
//! The word for meeting a standard is never printed: a report shows what is there, with its evidence.

use std::collections::BTreeMap;

use askama::Template;
use model::{Count, Finding, Incident, Lane, Timestamp};
use serde::Serialize;

/// Bytes shown of one entry.
const EXCERPT_BYTES: usize = 600;

/// Why a document can't be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The template can't be filled.
    #[error("the template can't be filled")]
    Template {
        /// What askama said.
        source: askama::Error,
    },
}

/// One input that was read.
#[derive(Clone, Debug, Serialize)]
pub struct InputLine {
    /// Path as given.
    pub path: String,
    /// Format it was read as.
    pub format: String,
    /// Records sealed.
    pub records: u64,
    /// Records in quarantine.
    pub quarantined: u64,
    /// Kind and value of its hash.
    pub hash: String,
    /// Why reading ended early; empty when it did not.
    pub error: String,
}

/// One entry a claim rests on.
#[derive(Clone, Debug, Serialize)]
pub struct EntryLine {
    /// Where it came from.
    pub source: String,
    /// First byte in its source.
    pub offset_bytes: Option<u64>,
    /// When the record says it happened.
    pub said: Option<Timestamp>,
    /// The masked text.
    pub text: String,
    /// Hash of the leaf, hexadecimal.
    pub leaf_hash: String,
}

/// What a report tells.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    /// The installation.
    pub installation: String,
    /// Live or exercise.
    pub lane: Lane,
    /// When the report was made.
    pub generated: Timestamp,
    /// Incidents, severest first.
    pub incidents: Vec<Incident>,
    /// Findings by id.
    pub findings: BTreeMap<String, Finding>,
    /// Entries by sequence number.
    pub entries: BTreeMap<u64, EntryLine>,
    /// Inputs read.
    pub inputs: Vec<InputLine>,
    /// Inputs not read: path, and why.
    pub not_read: Vec<(String, String)>,
    /// The last checkpoint, a signed note.
    pub checkpoint: String,
    /// Entries in the ledger.
    pub entries_total: u64,
}

/// Replaces control and direction characters, which could make a page lie. Whole pages go through it.
#[must_use]
pub fn inert(text: impl AsRef<str>) -> String {
    text.as_ref()
        .chars()
        .map(|character| match character {
            '\n' | '\t' => character,
            character if model::is_hidden(character) => '\u{fffd}',
            character => character,
        })
        .collect()
}

/// The first part of a text, with a mark where it was shortened.
#[must_use]
pub fn excerpt(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return inert(text);
    }
    let end = (0..=bytes)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    format!(
        "{} … ({} bytes in all)",
        inert(text.get(..end).unwrap_or_default()),
        text.len()
    )
}

/// A count in words: `245`, `1 to 90`, `at least 3`, `unknown`.
#[must_use]
pub fn count(count: &Option<Count>) -> String {
    match *count {
        None => "unknown".to_owned(),
        Some(Count {
            lower,
            upper: Some(upper),
            ..
        }) if lower == upper => lower.to_string(),
        Some(Count {
            lower,
            upper: Some(upper),
            ..
        }) => format!("{lower} to {upper}"),
        Some(Count {
            lower: 0,
            upper: None,
            ..
        }) => "unknown; at worst every row".to_owned(),
        Some(Count {
            lower, upper: None, ..
        }) => format!("at least {lower}"),
    }
}

/// A time for people: to the second, with its zone.
#[must_use]
pub fn when(time: &Timestamp) -> String {
    let second = Timestamp(time.0 - time.0.rem_euclid(Timestamp::SECOND)).to_string();
    second.replace('T', " ").replace('Z', " UTC")
}

/// A span for people: `2026-08-05 10:15:00 UTC`, or with its end; the date once when it is one day.
#[must_use]
pub fn span(first: &Timestamp, last: &Timestamp) -> String {
    let (from, to) = (when(first), when(last));
    match (from.split_once(' '), to.split_once(' ')) {
        _ if from == to => from,
        (Some((day, time)), Some((same, until))) if day == same => {
            format!("{day} {} to {until}", time.trim_end_matches(" UTC"))
        }
        _ => format!("{from} to {to}"),
    }
}

/// A length of time for people, its two largest parts: `2 h 5 min`.
#[must_use]
pub fn duration(seconds: i64) -> String {
    let parts = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let at = parts
        .iter()
        .position(|(length, _)| seconds >= *length)
        .unwrap_or(3);
    let mut left = seconds.max(0);
    let mut out = Vec::new();
    for (length, unit) in parts.iter().skip(at).take(2) {
        let count = left / length;
        left %= length;
        if count > 0 || out.is_empty() {
            out.push(format!("{count} {unit}"));
        }
    }
    out.join(" ")
}

/// A grade in words.
#[must_use]
pub const fn grade(grade: &model::Grade) -> &'static str {
    match grade {
        model::Grade::Exact => "exact",
        model::Grade::Bounded => "bounded",
        model::Grade::WorstCase => "worst case",
    }
}

/// A time bar of an incident within the span of all: left and width in thousandths.
#[must_use]
pub fn bar(first: Timestamp, last: Timestamp, from: Timestamp, to: Timestamp) -> (i64, i64) {
    let span = (to.0 - from.0).max(1);
    let left = (first.0 - from.0).saturating_mul(1000) / span;
    let width = ((last.0 - first.0).saturating_mul(1000) / span).clamp(4, 1000);
    (left.clamp(0, 996), width.min(1000 - left.clamp(0, 996)))
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    document: &'a Document,
    from: Timestamp,
    to: Timestamp,
}

impl Page<'_> {
    fn members<'a>(&'a self, incident: &'a Incident) -> Vec<(&'a Finding, &'a str)> {
        let mut members: Vec<_> = incident
            .findings
            .iter()
            .filter_map(|joined| {
                Some((
                    self.document.findings.get(&joined.finding)?,
                    joined.because.as_str(),
                ))
            })
            .collect();
        members.sort_by_key(|(finding, _)| finding.first);
        members
    }

    fn evidence<'a>(&'a self, finding: &Finding) -> Vec<(u64, &'a EntryLine)> {
        finding
            .events
            .iter()
            .take(12)
            .filter_map(|event| {
                Some((
                    event.sequence.0,
                    self.document.entries.get(&event.sequence.0)?,
                ))
            })
            .collect()
    }

    fn bar(&self, incident: &Incident) -> (i64, i64) {
        bar(incident.first, incident.last, self.from, self.to)
    }
}

/// Makes the HTML document: one file, no script, nothing from elsewhere.
///
/// # Errors
///
/// [`ReportError`] when the template can't be filled.
pub fn html(document: &Document) -> Result<String, ReportError> {
    let from = document
        .incidents
        .iter()
        .map(|incident| incident.first)
        .min()
        .unwrap_or_default();
    let to = document
        .incidents
        .iter()
        .map(|incident| incident.last)
        .max()
        .unwrap_or_default();
    Page { document, from, to }
        .render()
        .map(inert)
        .map_err(|source| ReportError::Template { source })
}

/// Makes the JSON document, version 1.
#[must_use]
pub fn json(document: &Document) -> String {
    serde_json::json!({ "version": 1, "report": document }).to_string()
}

#[cfg(test)]
mod tests {
    use super::{Document, excerpt, html, inert};
    use model::{Lane, Timestamp};
    use std::collections::BTreeMap;

    #[test]
    fn an_empty_report_says_so_and_strings_are_inert() {
        let document = Document {
            installation: "<script>alert(1)</script>\u{202e}".to_owned(),
            lane: Lane::Live,
            generated: Timestamp(0),
            incidents: Vec::new(),
            findings: BTreeMap::new(),
            entries: BTreeMap::new(),
            inputs: Vec::new(),
            not_read: vec![("a".to_owned(), "no known format".to_owned())],
            checkpoint: String::new(),
            entries_total: 0,
        };
        let page = html(&document).expect("a page");
        assert!(
            page.contains("No incident was found")
                && !page.contains("<script>")
                && !page.contains('\u{202e}')
        );
        assert!(!page.to_lowercase().contains("compliant"));
    }

    #[test]
    fn an_excerpt_cuts_between_characters() {
        assert_eq!(excerpt("ééé", 3), "é … (6 bytes in all)");
        assert_eq!(inert("a\u{1b}b"), "a\u{fffd}b");
    }
}
