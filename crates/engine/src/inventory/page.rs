//! The parts of one payment page by one way of looking, by what was told of each last.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Field, Sequence, Timestamp};
use serde::{Deserialize, Serialize};

use super::{History, SHORT_MAX, Told, has_room, some_of};

/// Parts of one list. A source knows as many; beyond, it too forgets those that are gone.
const PARTS_MAX: usize = 10_000;
/// Bytes of a part's name, as its source cuts it.
const NAME_MAX: usize = 2048;
/// What is told when the page itself is kept.
const KEPT: &str = "kept";
/// Times that the page itself was kept, of which is told; the entries of earlier ones stay.
const KEPT_MAX: usize = 50;
/// Bytes that are kept of a part's text; its entry has more.
const BEGIN_MAX: usize = 200;

/// A part by what was told of it last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What it is: `script`, `inline`, `header` …
    #[serde(rename = "part")]
    pub kind: String,
    /// Its name: an address, a header, or the first digits of its code's hash.
    pub name: String,
    /// When and by which entries it was told.
    #[serde(flatten)]
    pub history: History,
    /// Hash of a script's text.
    pub sha256: Option<String>,
    /// Hosts its code names.
    pub hosts: Vec<String>,
    /// Signatures of skimmers that it has.
    pub signatures: Vec<String>,
    /// `yes` or `no` by the list of that look; `unknown` where there was none.
    pub authorised: String,
    /// By whom, and why.
    pub authorisation: Option<String>,
    /// How its text begins.
    pub begin: String,
}

/// The last look at a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// When, RFC 3339.
    pub time: String,
    /// The entry that tells of it.
    pub entry: u64,
    /// What it says of itself, e.g. `31 parts, 0 changes`.
    pub told: String,
}

/// What is known of one page.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageList {
    /// The page's address.
    pub url: String,
    /// How often it was looked at.
    pub looks: u64,
    /// The last look.
    pub last: Option<Look>,
    /// Looks of which the page itself was kept, the newest last: what each says of itself is how much of it.
    #[serde(default)]
    pub kept: Vec<Look>,
    /// Parts by kind and name, those that are gone, too.
    #[serde(with = "super::shared")]
    pub parts: BTreeMap<String, Arc<Part>>,
    /// How many were told beyond what a list holds.
    pub left_out: u64,
}

impl PageList {
    /// Takes an entry of the page's source.
    pub fn take(&mut self, sequence: Sequence, payload: &[u8]) {
        let Some(told) = Told::read(payload) else {
            return;
        };
        let (time, change) = (told.time(), told.text(Field::Change, SHORT_MAX));
        if time.is_empty() || change.is_empty() {
            return;
        }
        let kind = told.text(Field::PagePart, SHORT_MAX);
        if kind.is_empty() {
            // What is known of the page was changed by somebody else: it is told anew behind this.
            if change == "baseline_changed" {
                self.parts.clear();
            }
            self.url = told.text(Field::Url, NAME_MAX);
            let look = Look {
                time,
                entry: sequence.0,
                told: told.text(Field::Context, 200),
            };
            if change == KEPT {
                let beyond = (self.kept.len() + 1).saturating_sub(KEPT_MAX);
                self.kept.drain(..beyond);
                self.kept.push(look);
            } else {
                self.looks += 1;
                self.last = Some(look);
            }
            return;
        }
        let name = told.text(Field::PageName, NAME_MAX);
        let key = format!("{kind} {name}");
        let known = self.parts.get(&key);
        if known.is_none()
            && !has_room(&mut self.parts, PARTS_MAX, &mut self.left_out, |part| {
                &part.history
            })
        {
            self.left_out += 1;
            return;
        }
        let known = self.parts.get(&key);
        let part = Part {
            history: History::told(known.map(|part| &part.history), time, change, sequence),
            sha256: told.some(Field::FileHash),
            hosts: some_of(&told.list(Field::PageHosts)),
            signatures: some_of(&told.list(Field::Signatures)),
            authorised: match told.get(Field::PageAuthorised) {
                known @ ("yes" | "no") => known,
                _ => "unknown",
            }
            .to_owned(),
            authorisation: told.some(Field::Context),
            begin: told.text(Field::PageText, BEGIN_MAX),
            kind,
            name,
        };
        self.parts.insert(key, Arc::new(part));
    }

    /// The page as it was kept last, until a time.
    #[must_use]
    pub fn kept_until(&self, until: Timestamp) -> Option<&Look> {
        let is_before = |look: &&Look| {
            let time = look.time.parse::<jiff::Timestamp>();
            time.is_ok_and(|time| time.as_microsecond() <= until.0)
        };
        self.kept.iter().rev().find(is_before)
    }

    /// The parts that are there, or with those that are gone.
    pub fn parts(&self, gone: bool) -> impl Iterator<Item = &Arc<Part>> {
        let parts = self.parts.values();
        parts.filter(move |part| gone || !part.history.is_gone())
    }
}

#[cfg(test)]
mod tests {
    use model::{Sequence, Timestamp};
    use serde_json::json;

    use super::{KEPT_MAX, PARTS_MAX, PageList};

    /// Takes records, a second apart; the first is entry 1.
    fn list(records: &[serde_json::Value]) -> PageList {
        let mut list = PageList::default();
        for (number, record) in (1..).zip(records) {
            let mut record = record.clone();
            record["time"] = format!("2026-08-05T10:15:{number:02}Z").into();
            list.take(Sequence(number), record.to_string().as_bytes());
        }
        list
    }

    fn part(change: &str, name: &str) -> serde_json::Value {
        json!({"change": change, "page.part": "script", "page.name": name})
    }

    #[test]
    fn a_part_is_there_since_it_was_first_told_and_is_as_it_was_told_last() {
        let mut changed = part("modified", "a.js");
        changed["page.authorised"] = "yes".into();
        changed["log.context"] = "authorised by J. Doe: card fields".into();
        changed["page.hosts"] = json!(["evil.example"]);
        let list = list(&[
            json!({"change": "baseline", "url": "https://shop.example/checkout"}),
            part("seen", "a.js"),
            json!({"change": "checked", "log.context": "1 parts, 1 changes"}),
            changed,
        ]);
        let part = &list.parts["script a.js"];
        assert_eq!(
            (
                part.history.since_entry,
                part.history.entry,
                part.history.changes
            ),
            (2, 4, 1)
        );
        assert_eq!(part.history.since, "2026-08-05T10:15:02Z");
        assert_eq!(
            (part.history.state.as_str(), part.authorised.as_str()),
            ("modified", "yes")
        );
        assert_eq!(
            part.authorisation.as_deref(),
            Some("authorised by J. Doe: card fields")
        );
        assert_eq!(part.hosts, ["evil.example"]);
        let last = list.last.expect("a look");
        assert_eq!(
            (list.looks, last.entry, last.told.as_str()),
            (2, 3, "1 parts, 1 changes")
        );
    }

    #[test]
    fn without_a_list_it_is_unknown_who_authorised_a_part() {
        let list = list(&[part("seen", "a.js")]);
        assert_eq!(list.parts["script a.js"].authorised, "unknown");
    }

    #[test]
    fn what_is_gone_is_kept_apart_and_a_changed_baseline_begins_anew() {
        let mut all = vec![
            part("seen", "a.js"),
            part("seen", "b.js"),
            part("removed", "a.js"),
        ];
        let names = |list: &PageList, gone| -> Vec<String> {
            list.parts(gone).map(|part| part.name.clone()).collect()
        };
        assert_eq!(names(&list(&all), false), ["b.js"]);
        assert_eq!(names(&list(&all), true), ["a.js", "b.js"]);
        all.push(json!({"change": "baseline_changed"}));
        all.push(part("seen", "c.js"));
        assert_eq!(names(&list(&all), true), ["c.js"]);
    }

    #[test]
    fn the_page_itself_is_known_by_its_last_entries() {
        let kept = json!({"change": "kept", "log.context": "7 bytes", "whole": "<p></p>"});
        let mut list = list(&[
            json!({"change": "baseline"}),
            kept.clone(),
            json!({"change": "checked"}),
            kept.clone(),
        ]);
        assert_eq!(
            (list.looks, list.last.as_ref().map(|last| last.entry)),
            (2, Some(3))
        );
        let until = |list: &PageList, second: i64| {
            // 2026-08-05T10:15:00Z
            let time = Timestamp::from_seconds(1_785_924_900 + second);
            list.kept_until(time).map(|look| look.entry)
        };
        let found: Vec<_> = (1..=5).map(|second| until(&list, second)).collect();
        assert_eq!(found, [None, Some(2), Some(2), Some(4), Some(4)]);
        let mut record = kept;
        record["time"] = "2026-08-05T10:15:30Z".into();
        for number in 5..=2 * KEPT_MAX as u64 {
            list.take(Sequence(number), record.to_string().as_bytes());
        }
        let (first, last) = (list.kept.first(), list.kept.last());
        assert_eq!(list.kept.len(), KEPT_MAX);
        assert_eq!(first.map(|look| look.entry), Some(KEPT_MAX as u64 + 1));
        assert_eq!(last.map(|look| look.entry), Some(2 * KEPT_MAX as u64));
    }

    #[test]
    fn a_list_is_bounded_and_says_what_it_left_out() {
        let mut list = PageList::default();
        let mut tell = |change: &str, number: usize| {
            let mut record = part(change, &format!("{number}.js"));
            record["time"] = "2026-08-05T10:15:30Z".into();
            list.take(Sequence(1), record.to_string().as_bytes());
            (list.parts.len(), list.left_out)
        };
        for number in 0..PARTS_MAX {
            tell("created", number);
        }
        assert_eq!(tell("created", PARTS_MAX), (PARTS_MAX, 1));
        assert_eq!(tell("removed", 7), (PARTS_MAX, 1));
        assert_eq!(
            tell("created", PARTS_MAX + 1),
            (PARTS_MAX, 2),
            "what is gone makes room"
        );
    }
}
