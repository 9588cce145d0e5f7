//! What of a page is another than it was, and what is known of it from then on.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::look::{Kind, Part};
use crate::tree::{CardCount, Signatures};

/// Looks at which a part must be missing before it is told as gone.
const MISSING_LOOKS: u32 = 3;
/// Texts of one script that are known.
const VALUES_MAX: usize = 32;
/// Bytes kept of a text, to show a change as a difference.
const TEXT_MAX: usize = 1 << 20;
/// Parts kept of a page; beyond, those that are gone are forgotten, and are new when they come back.
const KNOWN_MAX: usize = 10_000;

/// A part as the baseline knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Texts it had, by hash; of a header the last one's text. Empty until one was read.
    values: BTreeSet<String>,
    /// Its text differs for each shopper, and is not compared.
    varies: bool,
    /// The last text, cut at [`TEXT_MAX`].
    text: String,
    /// Signatures it has.
    signatures: BTreeSet<String>,
    /// Looks in a row at which it was missing.
    missing: u32,
    /// It was told as gone.
    gone: bool,
}

/// A part of one look: as it is, and whether its text differs for each shopper.
pub(super) struct Now {
    pub(super) part: Part,
    pub(super) varies: bool,
}

/// The parts of one look.
pub(super) type Look = BTreeMap<(Kind, String), Now>;

/// What is told of one part.
pub(super) struct Change<'a> {
    /// `seen` (at a first look), `created`, `modified`, `removed`.
    pub(super) what: &'static str,
    pub(super) kind: Kind,
    pub(super) name: &'a str,
    pub(super) part: &'a Part,
    /// Its text before.
    pub(super) before: Option<&'a str>,
}

/// Nothing, of what is gone.
static NO_PART: Part = Part {
    value: String::new(),
    text: String::new(),
};

/// Compares a look with what is known; gives what is known then, and what is to be told.
pub(super) fn compare<'a>(
    before: &'a BTreeMap<String, Known>,
    now: &'a Look,
    is_first: bool,
    signatures: &Signatures,
    cards: &CardCount,
) -> (BTreeMap<String, Known>, Vec<Change<'a>>) {
    let (mut known, mut changes) = (before.clone(), Vec::new());
    let mut present = BTreeSet::new();
    for ((kind, name), Now { part, varies }) in now {
        let key = format!("{} {name}", kind.name());
        let old = before.get(&key).filter(|old| !old.gone);
        present.insert(key.clone());
        let one = known.entry(key).or_default();
        let found: BTreeSet<String> = match kind.is_code() {
            true => signatures.of_script(&part.text).into_iter().collect(),
            false => BTreeSet::new(),
        };
        // A script that couldn't be had this time is there, and says nothing.
        let is_unread = *kind == Kind::Script && part.value.is_empty();
        let mut tell = |what, before| {
            changes.push(Change {
                what,
                kind: *kind,
                name,
                part,
                before,
            })
        };
        match old {
            None => {
                *one = Known::default();
                tell(if is_first { "seen" } else { "created" }, None);
            }
            Some(old) => {
                // What is another text each time can't be compared: that it became so is told, and every signature.
                let is_same = is_unread
                    || old.varies
                    || (!*varies && (old.values.is_empty() || old.values.contains(&part.value)));
                if !is_same || !found.is_subset(&old.signatures) {
                    tell("modified", Some(old.text.as_str()));
                }
            }
        }
        if !is_unread {
            one.varies |= *varies;
            // A header is what it was last; a script may go back and forth between texts that are known.
            if one.varies || *kind == Kind::Header || one.values.len() >= VALUES_MAX {
                one.values.clear();
            }
            if !one.varies {
                one.values.insert(part.value.clone());
            }
            // The baseline lies beside the ledger as it is: no card number is kept in it.
            let text = cut(&part.text, TEXT_MAX);
            let has_cards = cards(text.as_bytes()) > 0;
            if has_cards { "" } else { text }.clone_into(&mut one.text);
            one.signatures = found;
        }
        one.missing = 0;
    }
    for (key, one) in &mut known {
        if present.contains(key) || one.gone {
            continue;
        }
        let Some((old_key, old)) = before.get_key_value(key) else {
            continue;
        };
        let Some((kind, name)) = old_key
            .split_once(' ')
            .and_then(|(kind, name)| Some((Kind::named(kind)?, name)))
        else {
            continue;
        };
        one.missing += 1;
        if kind == Kind::Header || one.missing >= MISSING_LOOKS {
            one.gone = true;
            changes.push(Change {
                what: "removed",
                kind,
                name,
                part: &NO_PART,
                before: Some(old.text.as_str()),
            });
        }
    }
    if known.len() > KNOWN_MAX {
        known.retain(|_, one| !one.gone);
    }
    (known, changes)
}

/// A text's beginning, at most `max` bytes.
pub(super) fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Known, Look, Now, compare};
    use crate::payment_page::look::{Kind, Part};
    use crate::tree::Signatures;

    const SIGNATURE: &str = "[[signature]]\nid = 'js-bad'\nwhat = 'x'\nonly = ['javascript']\nall = [['steal(']]\nmatch = ['<script>steal(1)</script>']\npass = ['a']\n";

    /// A page that is looked at again and again.
    struct Page {
        known: BTreeMap<String, Known>,
        signatures: Signatures,
        looks: usize,
    }

    impl Page {
        fn new() -> Self {
            let signatures = Signatures::parse(
                &[("x", &SIGNATURE.replace("only = ['javascript']\n", ""))],
                &[],
            )
            .expect("reads");
            Self {
                known: BTreeMap::new(),
                signatures,
                looks: 0,
            }
        }

        /// Looks: parts by kind, name, text and whether it varies. Gives what is told.
        fn look(&mut self, parts: &[(Kind, &str, &str, bool)]) -> Vec<String> {
            let now: Look = parts
                .iter()
                .map(|(kind, name, text, varies)| {
                    let part = Part {
                        value: (*text).to_owned(),
                        text: (*text).to_owned(),
                    };
                    (
                        (*kind, (*name).to_owned()),
                        Now {
                            part,
                            varies: *varies,
                        },
                    )
                })
                .collect();
            let before = self.known.clone();
            let (known, changes) =
                compare(&before, &now, self.looks == 0, &self.signatures, &|bytes| {
                    u32::from(bytes.starts_with(b"card"))
                });
            self.known = known;
            self.looks += 1;
            changes
                .iter()
                .map(|change| format!("{} {}", change.what, change.name))
                .collect()
        }
    }

    #[test]
    fn what_comes_changes_and_goes_is_told_once() {
        let mut page = Page::new();
        let script = |text| (Kind::Script, "a.js", text, false);
        let header = |text| (Kind::Header, "csp", text, false);
        assert_eq!(
            page.look(&[script("1"), header("x")]),
            ["seen a.js", "seen csp"]
        );
        assert!(page.look(&[script("1"), header("x")]).is_empty());
        assert_eq!(
            page.look(&[script("2"), header("y")]),
            ["modified a.js", "modified csp"]
        );
        // A script may go back to a text that is known; a header may not without a word.
        assert_eq!(page.look(&[script("1"), header("x")]), ["modified csp"]);
        // A header is missed at once, a script after three looks, and both are new when they come back.
        assert_eq!(page.look(&[]), ["removed csp"]);
        assert!(page.look(&[]).is_empty());
        assert_eq!(page.look(&[]), ["removed a.js"]);
        assert_eq!(
            page.look(&[script("1"), header("x")]),
            ["created a.js", "created csp"]
        );
        // Missing twice is nothing.
        assert!(page.look(&[header("x")]).is_empty() && page.look(&[header("x")]).is_empty());
        assert!(page.look(&[script("1"), header("x")]).is_empty());
    }

    #[test]
    fn no_card_number_is_kept() {
        let mut page = Page::new();
        let script = |text| (Kind::Script, "a.js", text, false);
        assert_eq!(page.look(&[script("card 1")]).len(), 1);
        assert!(page.known.values().all(|known| known.text.is_empty()));
        assert_eq!(page.look(&[script("card 2")]), ["modified a.js"]);
    }

    #[test]
    fn what_differs_each_time_hides_no_harm() {
        let mut page = Page::new();
        let script = |text, varies| (Kind::Script, "a.js", text, varies);
        assert_eq!(page.look(&[script("1", false)]).len(), 1);
        assert_eq!(
            page.look(&[script("2", true)]),
            ["modified a.js"],
            "that it began to vary"
        );
        assert!(page.look(&[script("3", true)]).is_empty());
        assert_eq!(
            page.look(&[script("steal(3)", true)]),
            ["modified a.js"],
            "a signature"
        );
        assert!(page.look(&[script("steal(4)", true)]).is_empty());
        // One that can't be had says nothing, and what is known stays known.
        let mut page = Page::new();
        assert_eq!(page.look(&[script("1", false)]).len(), 1);
        assert!(page.look(&[script("", false)]).is_empty());
        assert!(page.look(&[script("1", false)]).is_empty());
        assert_eq!(page.look(&[script("2", false)]), ["modified a.js"]);
    }
}
