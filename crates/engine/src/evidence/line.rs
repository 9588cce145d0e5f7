//! An entry as lists tell it: metadata, in a few words.

use std::collections::BTreeSet;

use custody::Header;
use model::{Field, Lane, Scope, Timestamp};

use super::{Entity, EntityKind};
use crate::desk::EntryView;

/// What is told of magewarden's own notes of the time: nothing arrived then.
pub const TIME_ALONE: &str = "the time, while nothing arrived";

/// Bytes shown of a word that a log wrote.
const WORD_BYTES: usize = 80;
/// Names told of one entry.
const NAMES_MAX: usize = 4;
/// Tables told of one entry.
const TABLES_MAX: usize = 3;
/// Verbs by which a statement is called; of another none is told.
const VERBS: [&str; 16] = [
    "select", "insert", "update", "delete", "replace", "create", "alter", "drop", "truncate",
    "grant", "revoke", "set", "show", "call", "load", "rename",
];
/// Format of our own entries.
const OWN_FORMAT: &str = "magewarden_v1";
/// What they tell of.
const OWN: [(&str, &str); 12] = [
    ("finding", "a finding"),
    ("incident", "an incident's state"),
    ("decision", "a person's decision"),
    ("access", "something about a console account"),
    ("read", "that somebody read evidence"),
    ("pause", "whether a source is expected to be silent"),
    ("playbook", "a change of a playbook"),
    ("external", "what another system found"),
    ("input", "an input that was read"),
    ("exercise", "that an exercise begins"),
    ("redacted", "that payloads were destroyed"),
    ("ledger_broken", "that a ledger was set aside"),
];

/// An entry as lists tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Place in the ledger.
    pub sequence: u64,
    /// When the record says it happened, or else when it was received.
    pub time: Timestamp,
    /// Whether it is the record's own time.
    pub is_said: bool,
    /// Where it came from.
    pub source: String,
    /// Format it is read as.
    pub format: String,
    /// Live or exercise.
    pub lane: Lane,
    /// Whether it could not be read as its format.
    pub quarantined: bool,
    /// How many places in it were masked.
    pub masked: usize,
    /// Where it belongs.
    pub place: Scope,
    /// Who and what it names that has a page.
    pub names: Vec<Entity>,
    /// What it is, in a few words; none of a record's text but names of tables, files and paths as findings have them.
    pub what: String,
    /// Those names of tables, files and paths.
    pub touched: Vec<String>,
}

impl Line {
    /// Of an entry that was read.
    #[must_use]
    pub fn of(entry: &EntryView) -> Self {
        let fields = Fields(entry);
        let touched = fields.touched();
        Self {
            sequence: entry.sequence,
            time: entry.said.unwrap_or(entry.received),
            is_said: entry.said.is_some(),
            source: entry.source.clone(),
            format: entry.format.clone(),
            lane: entry.lane,
            quarantined: entry.quarantined,
            masked: entry.marks.len(),
            place: entry
                .understood
                .as_ref()
                .map_or(Scope::Unknown, |understood| understood.place.clone()),
            names: fields.names(),
            what: fields.what(&touched),
            touched,
        }
    }

    /// Of an entry whose payload can't be opened: what its header says.
    #[must_use]
    pub fn unopened(header: Header) -> Self {
        Self {
            sequence: header.sequence.0,
            time: header.said.unwrap_or(header.received),
            is_said: header.said.is_some(),
            source: header.source.0,
            format: header.format,
            lane: header.lane,
            quarantined: header.quarantined,
            masked: header.marks.len(),
            place: Scope::Unknown,
            names: Vec::new(),
            what: "can't be opened: `magewarden verify` says why".to_owned(),
            touched: Vec::new(),
        }
    }
}

/// An entry's fields by name.
struct Fields<'a>(&'a EntryView);

impl<'a> Fields<'a> {
    fn get(&self, field: Field) -> Option<&'a str> {
        let fields = &self.0.understood.as_ref()?.fields;
        let found = fields.iter().find(|(name, _)| *name == field.name());
        found
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    fn names(&self) -> Vec<Entity> {
        let id = || Some(format!("user_id {}", self.get(Field::AdminId)?));
        let administrator = self.get(Field::AdminName).map(str::to_owned).or_else(id);
        let own = |field| self.get(field).map(str::to_owned);
        let named = [
            (EntityKind::Administrator, administrator),
            (EntityKind::Account, own(Field::DbUser)),
            (EntityKind::Address, own(Field::ClientIp)),
            (
                EntityKind::Module,
                own(Field::Module).or_else(|| own(Field::Package)),
            ),
        ];
        let named = named.into_iter();
        named
            .filter_map(|(kind, name)| Entity::new(kind, &name?))
            .take(NAMES_MAX)
            .collect()
    }

    /// Tables, else a file or a row, else a path.
    fn touched(&self) -> Vec<String> {
        if let Some(tables) = self.get(Field::Tables) {
            let tables: BTreeSet<&str> = tables.split(", ").collect();
            return tables.into_iter().take(TABLES_MAX).map(short).collect();
        }
        let one = self
            .get(Field::FilePath)
            .or(self.get(Field::AdminTarget))
            .or(self.get(Field::Table))
            .map(short)
            .or_else(|| Some(short(&detect::path_pattern(self.get(Field::UriStem)?))));
        one.into_iter().collect()
    }

    fn what(&self, touched: &[String]) -> String {
        let Some(text) = &self.0.text else {
            return "destroyed by a sealed decision".to_owned();
        };
        if self.0.understood.is_none() {
            if self.0.format == OWN_FORMAT && text.is_empty() {
                return TIME_ALONE.to_owned();
            }
            return own(text).unwrap_or_else(|| {
                if self.0.quarantined {
                    "could not be read"
                } else {
                    "a line"
                }
                .to_owned()
            });
        }
        let mut words: Vec<String> = Vec::new();
        let mut say = |field| words.extend(self.get(field).map(short));
        if self.get(Field::Operation).is_some() || self.get(Field::Statement).is_some() {
            let verb = self.verb();
            if verb.is_none() {
                say(Field::Operation);
            }
            words.extend(verb);
        } else {
            for field in [
                Field::Method,
                Field::AdminAction,
                Field::GatewayEvent,
                Field::RedisCommand,
                Field::HealthKind,
                Field::HealthSource,
                Field::NetworkEvent,
                Field::Change,
                Field::PagePart,
                Field::ProcessName,
                Field::Logger,
                Field::Severity,
            ] {
                say(field);
            }
        }
        words.extend_from_slice(touched);
        if let Some(status) = self.get(Field::Status) {
            words.push(format!("answered {}", short(status)));
        }
        if words.is_empty() {
            return "a record".to_owned();
        }
        words.join(" ")
    }

    /// The verb a statement begins with, where it is one of SQL's.
    fn verb(&self) -> Option<String> {
        let statement = self.get(Field::Statement)?.trim_start();
        let first = statement
            .split(|letter: char| !letter.is_ascii_alphabetic())
            .next()?;
        let verb = first.to_ascii_lowercase();
        VERBS.contains(&verb.as_str()).then(|| verb.to_uppercase())
    }
}

/// What an entry of our own tells of.
fn own(text: &str) -> Option<String> {
    let told: serde_json::Value = serde_json::from_str(text).ok()?;
    let what = told.get("what")?.as_str()?;
    let words = OWN.iter().find(|(name, _)| *name == what)?;
    Some(words.1.to_owned())
}

fn short(text: &str) -> String {
    if text.len() <= WORD_BYTES {
        return text.to_owned();
    }
    let begin = text
        .get(..text.floor_char_boundary(WORD_BYTES))
        .unwrap_or_default();
    format!("{begin}…")
}

#[cfg(test)]
mod tests {
    use super::Line;
    use crate::desk::EntryView;
    use crate::judge::understand;
    use model::{Lane, Timestamp};
    use parse::Context;

    fn line(format: &str, text: &str) -> Line {
        Line::of(&EntryView {
            sequence: 1,
            source: "file:a".to_owned(),
            format: format.to_owned(),
            said: None,
            received: Timestamp(5),
            lane: Lane::Live,
            quarantined: false,
            text: Some(text.to_owned()),
            marks: Vec::new(),
            leaf_hash: String::new(),
            offset_bytes: None,
            understood: understand(format, text.as_bytes(), &Context::default()),
        })
    }

    #[track_caller]
    fn check(format: &str, text: &str, what: &str, names: &[&str]) {
        let line = line(format, text);
        assert_eq!(line.what, what);
        let found: Vec<_> = line
            .names
            .iter()
            .map(|one| format!("{} {}", one.kind.name(), one.name))
            .collect();
        assert_eq!(found, names);
    }

    #[test]
    fn a_line_says_who_and_what_and_nothing_of_the_text() {
        check(
            "nginx_combined",
            r#"203.0.113.66 - - [05/Aug/2026:10:15:30 +0000] "GET /rest/V1/orders/17?card=secret HTTP/1.1" 200 51 "-" "curl/8""#,
            "GET /rest/V1/orders/{n} answered 200",
            &["address 203.0.113.66"],
        );
        check(
            "mariadb_server_audit",
            "20260805 10:15:30,db,shop,localhost,7,9,QUERY,magento,'SELECT secret FROM customer_entity',0",
            "SELECT",
            &["account shop"],
        );
        check(
            "mariadb_server_audit",
            "20260805 10:15:30,db,shop,localhost,7,9,READ,magento,sales_order_payment,",
            "read sales_order_payment",
            &["account shop"],
        );
        check(
            "observation",
            r#"{"category":"file_event","time":"2026-08-05T10:15:30Z","change":"modified","file.path":"pub/index.php"}"#,
            "modified pub/index.php",
            &[],
        );
        check(
            "magewarden_v1",
            r#"{"what":"read","v":1}"#,
            "that somebody read evidence",
            &[],
        );
        check("magewarden_v1", r#"{"what":"burnt","v":1}"#, "a line", &[]);
        check("magewarden_v1", "", "the time, while nothing arrived", &[]);
        check("nginx_combined", "nothing of the kind", "a line", &[]);
    }
}
