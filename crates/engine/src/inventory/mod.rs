//! What is on the payment pages, and what is installed: the lists of PCI DSS v4.0.1 req. 6.4.3 and 6.3.2, folded from what their
//! sources told.
//!
//! Apart from findings, because what is there and never changed is on no finding. Each line names the entries it rests on. One fold
//! for the console and for commands: the same entries give the same lists, and a list's size is bounded whatever was told.
//! Lists are rows of the state: since when a part is there reaches further back than what a start replays.

mod packages;
mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Field, Sequence, SourceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use packages::{Package, PackageList, Power};
pub use page::{Look, PageList, Part};

/// Version of a list as it is stored; one of another version is folded again.
const VERSION: u32 = 1;
/// How the ids of their sources begin.
const PAGE: &str = "payment_page:";
const PACKAGES: &str = "inventory:";
/// Bytes of a word or a time.
const SHORT_MAX: usize = 40;
/// Bytes of a text that is kept of a line.
const TEXT_MAX: usize = 1000;
/// Texts of one list that are kept of a line.
const TEXTS_MAX: usize = 40;

/// What one source's records list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum List {
    /// The parts of a payment page.
    Page(PageList),
    /// What is installed.
    Packages(PackageList),
}

impl List {
    fn of(source: &SourceId) -> Option<Self> {
        if source.0.starts_with(PAGE) {
            Some(Self::Page(PageList::default()))
        } else if source.0.starts_with(PACKAGES) {
            Some(Self::Packages(PackageList::default()))
        } else {
            None
        }
    }
}

/// Whether a source's records make a list.
#[must_use]
pub fn is_listed(source: &SourceId) -> bool {
    List::of(source).is_some()
}

/// The id of the source that looks at a view's page one way, `browser` or `fetch`.
#[must_use]
pub fn page_source(view: &str, way: &str) -> SourceId {
    SourceId(format!("{PAGE}{view}:{way}"))
}

/// The view a source looks at, and the way it looks.
#[must_use]
pub fn page_of(source: &str) -> Option<(&str, &str)> {
    source.strip_prefix(PAGE)?.rsplit_once(':')
}

/// A list as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored<L> {
    v: u32,
    list: L,
}

/// Every list of one installation.
#[derive(Debug, Default)]
pub struct Inventory {
    lists: BTreeMap<SourceId, Arc<List>>,
    unsaved: BTreeSet<SourceId>,
    unshown: BTreeSet<SourceId>,
}

impl Inventory {
    /// Takes a list as it was stored; one that can't be read is left out, to be folded again.
    pub fn restore(&mut self, source: SourceId, body: &str) {
        if let Ok(stored) = serde_json::from_str::<Stored<List>>(body)
            && stored.v == VERSION
        {
            self.unshown.insert(source.clone());
            self.lists.insert(source, Arc::new(stored.list));
        }
    }

    /// Takes what a source told in an entry; others than those that make a list are left out.
    pub fn take(&mut self, source: &SourceId, sequence: Sequence, payload: &[u8]) {
        let Some(begun) = List::of(source) else {
            return;
        };
        let list = self
            .lists
            .entry(source.clone())
            .or_insert_with(|| Arc::new(begun));
        // Whoever shows the list keeps it as it was.
        match Arc::make_mut(list) {
            List::Page(list) => list.take(sequence, payload),
            List::Packages(list) => list.take(sequence, payload),
        }
        self.unsaved.insert(source.clone());
        self.unshown.insert(source.clone());
    }

    /// Whether there is a list of a source.
    #[must_use]
    pub fn has(&self, source: &SourceId) -> bool {
        self.lists.contains_key(source)
    }

    /// The lists that are not stored as they are, each with its stored form.
    ///
    /// # Errors
    ///
    /// What serde said, which the types rule out.
    pub fn unsaved(&self) -> Result<Vec<(SourceId, String)>, serde_json::Error> {
        let lists = self.unsaved.iter().filter_map(|source| {
            let list = self.lists.get(source)?.as_ref();
            let stored = serde_json::to_string(&Stored { v: VERSION, list });
            Some(stored.map(|body| (source.clone(), body)))
        });
        lists.collect()
    }

    /// Notes that they are stored.
    pub fn saved(&mut self) {
        self.unsaved.clear();
    }

    /// Notes that what was stored is gone.
    pub fn unsave(&mut self) {
        self.unsaved.extend(self.lists.keys().cloned());
    }

    /// Every list, or those that changed since they were asked for last.
    pub fn to_show(&mut self, all: bool) -> Vec<(SourceId, Arc<List>)> {
        let changed = std::mem::take(&mut self.unshown);
        let lists = self.lists.iter();
        lists
            .filter(|(source, _)| all || changed.contains(source))
            .map(|(source, list)| (source.clone(), Arc::clone(list)))
            .collect()
    }
}

/// Stores a list's lines, which whoever shows it shares.
mod shared {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        lines: &BTreeMap<String, Arc<T>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_map(lines.iter().map(|(key, line)| (key, &**line)))
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<String, Arc<T>>, D::Error> {
        let lines = BTreeMap::<String, T>::deserialize(from)?;
        let lines = lines.into_iter().map(|(key, line)| (key, Arc::new(line)));
        Ok(lines.collect())
    }
}

/// When and by which entries a line of a list was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When it was first told, RFC 3339.
    pub since: String,
    /// The entry that told so.
    pub since_entry: u64,
    /// When it was told last.
    pub changed: String,
    /// How often it came, changed or went after it was first told.
    pub changes: u64,
    /// The entry that told it last.
    pub entry: u64,
    /// What was told then: `seen` (at a first look), `created`, `modified`, `removed`.
    pub state: String,
}

impl History {
    /// What is known once more was told.
    fn told(known: Option<&Self>, time: String, change: String, sequence: Sequence) -> Self {
        Self {
            since: known.map_or_else(|| time.clone(), |known| known.since.clone()),
            since_entry: known.map_or(sequence.0, |known| known.since_entry),
            changed: time,
            changes: known.map_or(0, |known| known.changes + u64::from(change != "seen")),
            entry: sequence.0,
            state: change,
        }
    }

    /// Whether it went and did not come back.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.state == "removed"
    }
}

/// Whether one more line can be listed; those that are gone make room.
fn has_room<T>(
    lines: &mut BTreeMap<String, Arc<T>>,
    most: usize,
    left_out: &mut u64,
    history: impl Fn(&T) -> &History,
) -> bool {
    if lines.len() >= most {
        let before = lines.len();
        lines.retain(|_, line| !history(line).is_gone());
        *left_out += u64::try_from(before - lines.len()).unwrap_or(u64::MAX);
    }
    lines.len() < most
}

/// A record's fields.
struct Told(Value);

impl Told {
    fn read(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice(payload).ok().map(Self)
    }

    /// When the source looked, RFC 3339.
    fn time(&self) -> String {
        let time = self.0.get("time").and_then(Value::as_str);
        cut(time.unwrap_or(""), SHORT_MAX)
    }

    fn get(&self, field: Field) -> &str {
        let value = self.0.get(field.name());
        value.and_then(Value::as_str).unwrap_or("")
    }

    /// A text, cut at `max` bytes; the rest ends in `…`.
    fn text(&self, field: Field, max: usize) -> String {
        cut(self.get(field), max)
    }

    /// A text that may not be there.
    fn some(&self, field: Field) -> Option<String> {
        Some(self.text(field, TEXT_MAX)).filter(|text| !text.is_empty())
    }

    fn list(&self, field: Field) -> Vec<&str> {
        let list = self.0.get(field.name()).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }
}

/// The first of a list's texts, and how many more there are.
fn some_of(texts: &[&str]) -> Vec<String> {
    let mut kept: Vec<String> = texts
        .iter()
        .take(TEXTS_MAX)
        .map(|text| cut(text, TEXT_MAX))
        .collect();
    if texts.len() > TEXTS_MAX {
        kept.push(format!("and {} more", texts.len() - TEXTS_MAX));
    }
    kept
}

fn cut(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let begin = text.get(..text.floor_char_boundary(max));
    format!("{}…", begin.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use model::{Sequence, SourceId};

    use super::{Inventory, List, page_of, page_source};

    #[test]
    fn a_list_is_stored_and_read_again_as_it_was() {
        let (page, code) = (
            page_source("de", "browser"),
            SourceId("inventory:/shop".to_owned()),
        );
        let mut before = Inventory::default();
        before.take(&page, Sequence(3), br#"{"time":"2026-08-05T10:15:30Z","change":"baseline","url":"https://shop.example/checkout"}"#);
        before.take(&page, Sequence(4), br#"{"time":"2026-08-05T10:15:30Z","change":"seen","page.part":"script","page.name":"a.js"}"#);
        before.take(&code, Sequence(5), br#"{"time":"2026-08-05T10:15:30Z","change":"seen","package.name":"a/b","package.reach":["opens GET /V1/a to anyone"]}"#);
        before.take(&SourceId("file:x".to_owned()), Sequence(6), b"{}");
        let mut after = Inventory::default();
        for (source, body) in before.unsaved().expect("written") {
            after.restore(source, &body);
        }
        let shown = before.to_show(true);
        assert_eq!(after.to_show(false), shown);
        assert_eq!(shown.len(), 2);
        assert!(after.to_show(false).is_empty(), "told once");
        // One of another version is no list.
        let mut later = Inventory::default();
        later.restore(page.clone(), r#"{"v":2,"list":{"page":{}}}"#);
        assert!(!later.has(&page));
    }

    #[test]
    fn whoever_shows_a_list_keeps_it_as_it_was() {
        let page = page_source("de", "fetch");
        let mut inventory = Inventory::default();
        let look = br#"{"time":"2026-08-05T10:15:30Z","change":"checked"}"#;
        inventory.take(&page, Sequence(1), look);
        let shown = inventory.to_show(false);
        inventory.take(&page, Sequence(2), look);
        let looks = |list: &List| match list {
            List::Page(page) => page.looks,
            List::Packages(_) => 0,
        };
        assert_eq!(shown.iter().map(|(_, list)| looks(list)).sum::<u64>(), 1);
        let now = inventory.to_show(false);
        assert_eq!(now.iter().map(|(_, list)| looks(list)).sum::<u64>(), 2);
    }

    #[test]
    fn what_is_no_record_of_a_source_is_left_out() {
        let page = page_source("de", "browser");
        let mut inventory = Inventory::default();
        for payload in [&b"\xff"[..], b"[]", b"{", b"null", br#"{"page.part":7}"#] {
            inventory.take(&page, Sequence(1), payload);
        }
        assert!(inventory.to_show(true).iter().all(|(_, list)| {
            matches!(&**list, List::Page(page) if page.parts.is_empty() && page.looks == 0)
        }));
    }

    #[test]
    fn a_source_names_its_view_and_its_way() {
        assert_eq!(
            page_of(&page_source("de", "fetch").0),
            Some(("de", "fetch"))
        );
        assert_eq!(page_of("inventory:/shop"), None);
    }
}
