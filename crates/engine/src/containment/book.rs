//! The playbooks that plans are made from: those that ship, and the installation's own.
//!
//! An own one is what people decided, so it is sealed and a start folds it from the ledger; no row of the state holds it. One under
//! the name of a shipped one stands in for it until it is given back. Plans that were made are bound to their own hash: nothing here
//! changes them.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use model::{Person, Sequence, SourceId, Timestamp};
use playbook::{Document, Problem, Refusal, Weight, check, fits, orders};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::facts;
use crate::content;
use crate::hide::is_hidden;
use crate::ledger::{Ledger, LedgerError, Order as InOrder, Query};
use crate::sealed::Decided;

/// Whose entries own playbooks are: a start finds them by it.
pub const PLAYBOOKS_SOURCE: &str = "magewarden:playbooks";
/// Most bytes of an own document, written without spaces between.
pub const OWN_BYTES_MAX: usize = 256 * 1024;
/// Most own playbooks.
const OWN_MAX: usize = 200;
/// Most letters of a name.
const NAME_CHARS_MAX: usize = 64;
/// Names that are addresses of something else.
const NAMES_TAKEN: [&str; 2] = ["new", "import"];
/// Entries that a start looks up at once.
const PAGE: usize = 1000;

/// A playbook that plans can be made from.
#[derive(Clone, Debug)]
pub struct Playbook {
    /// Its name in addresses: of one that ships its file's, without ending.
    pub name: String,
    /// The document.
    pub document: Document,
    /// Who wrote it; `None` of one that ships.
    pub own: Option<Own>,
}

/// How an own playbook came to be as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// Number of the entry that has it; also its version.
    pub sequence: Sequence,
    /// Who saved it.
    pub by: Person,
    /// When.
    pub at: Timestamp,
    /// Why, in words; may be empty.
    pub note: String,
}

impl Playbook {
    /// What somebody has seen who has seen this: the number of its entry, 0 of one that ships.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.own.as_ref().map_or(0, |own| own.sequence.0)
    }
}

/// A playbook that was saved, or given up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaybookEdit {
    /// Its name.
    pub name: String,
    /// Who says so.
    pub by: Person,
    /// When.
    pub at: Timestamp,
    /// The version they had seen: number of its entry, 0 where there was no own one.
    pub seen: u64,
    /// The document, as JSON text; `None`: there is no own one of this name any more.
    pub document: Option<String>,
    /// Why.
    pub note: String,
}

/// What is wrong with a document, all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// By CACAO and by what actions do, with their places.
    pub problems: Vec<Problem>,
    /// Orders of steps that the laws don't allow.
    pub refusals: Vec<Refusal>,
}

impl Faults {
    /// Looks a document through.
    #[must_use]
    pub fn of(document: &Document) -> Self {
        let facts = facts();
        let mut problems = check(document);
        problems.extend(fits(document, &facts));
        Self {
            problems,
            refusals: orders(document, &facts),
        }
    }

    /// Whether no plan can be made from it.
    #[must_use]
    pub fn refuses(&self) -> bool {
        let refuses = |one: &Problem| one.weight == Weight::Refuses;
        !self.refusals.is_empty() || self.problems.iter().any(refuses)
    }
}

/// All of them, by name. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Playbooks(BTreeMap<String, Arc<Playbook>>);

fn shipped() -> &'static BTreeMap<String, Arc<Playbook>> {
    static ALL: LazyLock<BTreeMap<String, Arc<Playbook>>> = LazyLock::new(|| {
        let files = content::under("playbooks/", ".json");
        let read = |(path, text): (&'static str, &'static str)| {
            let name = path.trim_start_matches("playbooks/");
            let name = name.trim_end_matches(".json").to_owned();
            let document = Document::read(text.as_bytes());
            let playbook = Playbook {
                name: name.clone(),
                document: document.expect("a test reads the embedded playbooks"),
                own: None,
            };
            (name, Arc::new(playbook))
        };
        files.map(read).collect()
    });
    &ALL
}

impl Default for Playbooks {
    /// Those that ship.
    fn default() -> Self {
        Self(shipped().clone())
    }
}

impl Playbooks {
    /// Those that ship, and those that a ledger tells of.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when its entries can't be read.
    pub fn of(ledger: &Ledger) -> Result<Self, LedgerError> {
        let mut query = Query {
            source: Some(SourceId(PLAYBOOKS_SOURCE.to_owned())),
            ..Query::default()
        };
        let mut all = Self::default();
        loop {
            let found = ledger.find_in(&query, InOrder::Oldest, PAGE, u64::MAX)?;
            for (sequence, _) in &found.entries {
                let payload = ledger.read(*sequence)?.payload.unwrap_or_default();
                if let Ok(Decided::Playbook { edit, .. }) = serde_json::from_slice(&payload) {
                    all.take(&edit, *sequence);
                }
            }
            match found.next {
                Some(next) => query.first = next,
                None => return Ok(all),
            }
        }
    }

    /// Each, in order of names.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Playbook>> {
        self.0.values()
    }

    /// The one of a name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Playbook>> {
        self.0.get(name)
    }

    /// Whether one of this name ships.
    #[must_use]
    pub fn ships(name: &str) -> bool {
        shipped().contains_key(name)
    }

    /// The version that there is of a name: 0 where there is no own one.
    fn version(&self, name: &str) -> u64 {
        self.named(name).map_or(0, |one| one.version())
    }

    /// The entry that has an edit already: what it saved is what there is.
    #[must_use]
    pub fn saved_as(&self, edit: &PlaybookEdit) -> Option<Sequence> {
        let known = self.named(&edit.name)?;
        let own = known.own.as_ref()?;
        let text = edit.document.as_ref()?;
        let is_it = own.by == edit.by && own.at == edit.at && own.note == edit.note;
        let same = |document: Document| document == known.document;
        let is_it = is_it && Document::read(text.as_bytes()).is_ok_and(same);
        is_it.then_some(own.sequence)
    }

    /// Whether an edit may be sealed as things stand; that its document is [`sound`] was asked before it was written.
    ///
    /// # Errors
    ///
    /// Why not, and what to do, in words.
    pub fn may(&self, edit: &PlaybookEdit) -> Result<(), String> {
        let known = self.named(&edit.name);
        if self.version(&edit.name) != edit.seen {
            let own = known.and_then(|one| one.own.as_ref());
            return Err(match own {
                Some(own) => format!(
                    "{} saved it at {}, after you read it: read it again, then make your change",
                    own.by.name, own.at
                ),
                None => "it was given up after you read it: read it again, then make your change"
                    .to_owned(),
            });
        }
        let Some(text) = &edit.document else {
            let is_own = known.is_some_and(|one| one.own.is_some());
            return is_own
                .then_some(())
                .ok_or_else(|| "there is no own playbook of this name".to_owned());
        };
        if !is_name(&edit.name) {
            return Err(format!(
                "a name has 1 to {NAME_CHARS_MAX} small letters, digits and `-`, is no card number, and isn't `{}`",
                NAMES_TAKEN.join("` or `")
            ));
        }
        if text.len() > OWN_BYTES_MAX {
            return Err(format!(
                "the document has {} bytes, at most {OWN_BYTES_MAX} are kept",
                text.len()
            ));
        }
        let own = self.all().filter(|one| one.own.is_some());
        if edit.seen == 0 && own.count() >= OWN_MAX {
            return Err(format!(
                "there are {OWN_MAX} own playbooks: give one up first"
            ));
        }
        let document = Document::read(text.as_bytes()).map_err(|error| error.to_string())?;
        // Plans are told apart by it.
        let same = |one: &&Arc<Playbook>| one.document.id == document.id && one.name != edit.name;
        // One that is stood in for may be given back.
        let others = self.all().chain(shipped().values());
        if let Some(other) = others.into_iter().find(same) {
            return Err(format!(
                "its `id` is that of `{}`: save it under that name, or give it an `id` of its own",
                other.name
            ));
        }
        Ok(())
    }

    /// Takes an edit that is sealed: it counts whatever a later version would ask of it.
    pub fn take(&mut self, edit: &PlaybookEdit, sequence: Sequence) {
        let document = edit.document.as_ref();
        let document = document.and_then(|text| Document::read(text.as_bytes()).ok());
        match (document, shipped().get(&edit.name)) {
            (Some(document), _) => {
                let own = Playbook {
                    name: edit.name.clone(),
                    document,
                    own: Some(Own {
                        sequence,
                        by: edit.by.clone(),
                        at: edit.at,
                        note: edit.note.clone(),
                    }),
                };
                self.0.insert(edit.name.clone(), Arc::new(own));
            }
            (None, Some(shipped)) => {
                self.0.insert(edit.name.clone(), Arc::clone(shipped));
            }
            (None, None) => drop(self.0.remove(&edit.name)),
        }
    }
}

/// Whether a document may be kept: it names nothing that would be masked, and plans can be made from it. May take a while.
///
/// # Errors
///
/// Why not, and what to do, in words.
pub fn sound(document: &Document) -> Result<(), String> {
    if let Some(at) = hidden(document.value(), "") {
        return Err(format!(
            "what stands at {at} looks like a card number or a secret: give it by a variable"
        ));
    }
    match Faults::of(document).refuses() {
        true => Err(
            "no plan could be made from it: mend what is marked first, nothing was saved"
                .to_owned(),
        ),
        false => Ok(()),
    }
}

/// Whether it can stand in an address, and in a list.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.bytes().all(is_plain)
        && !NAMES_TAKEN.contains(&name)
        // Digits alone are a name, too, and stand in addresses.
        && !is_hidden(name)
}

/// Where a text is that would be masked; identifiers of CACAO are no such texts.
fn hidden(value: &Value, at: &str) -> Option<String> {
    let looks = |text: &str| !is_identifier(text) && is_hidden(text);
    match value {
        Value::String(text) => looks(text).then(|| at.to_owned()),
        // A number is as readable as a text.
        Value::Number(number) => is_hidden(&number.to_string()).then(|| at.to_owned()),
        Value::Array(values) => {
            let mut values = values.iter().enumerate();
            values.find_map(|(number, value)| hidden(value, &format!("{at}/{number}")))
        }
        Value::Object(values) => values.iter().find_map(|(key, value)| {
            if looks(key) {
                return Some(format!("{at}/…"));
            }
            hidden(value, &format!("{at}/{key}"))
        }),
        _ => None,
    }
}

/// Whether it is a kind, `--` and a UUID (CACAO 2.0 §10.10).
fn is_identifier(text: &str) -> bool {
    let Some((kind, id)) = text.rsplit_once("--") else {
        return false;
    };
    let is_kind = kind
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let lengths = id.split('-').map(str::len);
    is_kind
        && lengths.eq([8, 4, 4, 4, 12])
        && id
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use model::{Person, Sequence, Timestamp};
    use serde_json::{Value, json};

    use super::{Document, Faults, PlaybookEdit, Playbooks, is_identifier, is_name, sound};

    fn document(name: &str, change: impl FnOnce(&mut Value)) -> String {
        let all = Playbooks::default();
        let mut value = all.named(name).expect("it ships").document.value().clone();
        change(&mut value);
        value.to_string()
    }

    fn edit(name: &str, seen: u64, document: Option<String>) -> PlaybookEdit {
        PlaybookEdit {
            name: name.to_owned(),
            by: Person {
                account: "ann".to_owned(),
                name: "Ann".to_owned(),
            },
            at: Timestamp::from_seconds(1_790_000_000),
            seen,
            document,
            note: String::new(),
        }
    }

    const ID: &str = "playbook--11111111-2222-4333-8444-555555555555";

    fn own_id(value: &mut Value) {
        value["id"] = ID.into();
    }

    #[test]
    fn an_own_one_stands_in_for_the_shipped_one_until_it_is_given_back() {
        let mut all = Playbooks::default();
        let count = all.all().count();
        let changed = document("web-shell", |value| value["name"] = "Ours".into());
        let saved = edit("web-shell", 0, Some(changed));
        assert_eq!(all.may(&saved), Ok(()));
        all.take(&saved, Sequence(7));
        let known = all.named("web-shell").expect("it is there");
        assert_eq!((known.document.name.as_str(), known.version()), ("Ours", 7));
        // Who hadn't seen it is told who was first.
        let why = all.may(&saved).expect_err("it was changed meanwhile");
        assert!(
            why.contains("Ann") && why.contains("read it again"),
            "{why}"
        );
        let back = edit("web-shell", 7, None);
        assert_eq!(all.may(&back), Ok(()));
        all.take(&back, Sequence(8));
        let known = all.named("web-shell").expect("it ships");
        assert_eq!(
            (known.document.name.as_str(), known.version()),
            ("Web shell", 0)
        );
        assert_eq!(all.all().count(), count);
        assert!(
            all.may(&edit("web-shell", 0, None)).is_err(),
            "nothing is left to give back"
        );
    }

    #[test]
    fn one_of_a_name_of_its_own_comes_and_goes() {
        let mut all = Playbooks::default();
        let saved = edit("ours", 0, Some(document("web-shell", own_id)));
        assert_eq!(all.may(&saved), Ok(()));
        all.take(&saved, Sequence(3));
        assert!(all.named("ours").is_some() && !Playbooks::ships("ours"));
        all.take(&edit("ours", 3, None), Sequence(4));
        assert!(all.named("ours").is_none());
    }

    #[track_caller]
    fn check_refused(edit: &PlaybookEdit, words: &str) {
        let text = edit.document.as_deref().unwrap_or_default();
        let sound = Document::read(text.as_bytes()).map_or(Ok(()), |document| sound(&document));
        let why = Playbooks::default().may(edit).and(sound);
        let why = why.expect_err(words);
        assert!(why.contains(words), "{why}");
    }

    #[test]
    fn what_no_plan_could_be_made_from_is_not_kept() {
        let with = |change: fn(&mut Value)| {
            let text = document("web-shell", |value| {
                own_id(value);
                change(value);
            });
            edit("ours", 0, Some(text))
        };
        check_refused(
            &with(|value| drop(value.as_object_mut().expect("an object").remove("name"))),
            "no plan could be made",
        );
        // Evidence first: what keeps it is left out.
        let broken = with(|value| {
            let steps = value["workflow"].as_object_mut().expect("steps");
            for step in steps.values_mut() {
                if let Some(ours) = step["step_extensions"]
                    .as_object_mut()
                    .and_then(|all| all.values_mut().next())
                    && ours["action"] == "keep_evidence"
                {
                    ours["action"] = "hold_retention".into();
                    ours.as_object_mut().expect("an object").remove("arguments");
                }
            }
        });
        check_refused(&broken, "no plan could be made");
        let text = broken.document.expect("a document");
        let faults = Faults::of(&Document::read(text.as_bytes()).expect("it is read"));
        assert!(!faults.refusals.is_empty(), "{faults:?}");
        check_refused(&edit("ours", 0, Some("{".to_owned())), "no JSON");
        check_refused(
            &edit("ours", 0, Some(document("web-shell", |_| {}))),
            "is that of `web-shell`",
        );
        check_refused(
            &with(|value| value["description"] = "card 4111111111111111".into()),
            "/description",
        );
        for name in ["", "Ours", "a b", "new", "import", "../x", &"x".repeat(65)] {
            check_refused(
                &edit(name, 0, Some(document("web-shell", own_id))),
                "a name has",
            );
        }
        let large = with(|value| value["labels"] = json!(vec!["x".repeat(1000); 300]));
        check_refused(&large, "bytes, at most");
    }

    #[test]
    fn every_shipped_one_could_be_kept_as_an_own_one() {
        for one in Playbooks::default().all() {
            let text = one.document.value().to_string();
            assert_eq!(sound(&one.document), Ok(()), "{}", one.name);
            assert_eq!(
                Playbooks::default().may(&edit(&one.name, 0, Some(text))),
                Ok(()),
                "{}",
                one.name
            );
        }
    }

    #[test]
    fn identifiers_and_names_are_what_they_are() {
        assert!(is_identifier(ID) && is_name("web-shell"));
        assert!(!is_name("4111111111111111") && !is_name("a-4111-1111-1111-1111"));
        assert!(!is_identifier("x--4111-1111-1111-1111") && !is_identifier("4111111111111111"));
    }
}
