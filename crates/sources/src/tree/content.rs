//! What a file's bytes are and which signatures they have, in one pass over blocks.
//!
//! Signatures are content (`content/signatures/*.toml`): groups of literals, of each of which one must be there. One automaton
//! finds all literals of all signatures; time is linear in the file whatever it holds. Beside them stand content rules in
//! YARA's language (`yara.rs`).

use std::collections::BTreeSet;
use std::path::Path;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::rules::{ExampleOutcome, Refused, read_folder};
use super::yara::{Rules, Scanner};
use crate::SourceError;

/// Longest literal: so many bytes of a block are looked at again with the next.
const LITERAL_BYTES_MAX: usize = 96;

/// Bytes of a picture that are no text: they follow what it begins with.
const PICTURE_HEAD: std::ops::Range<usize> = 24..88;

/// Literals that tell what a content is.
const KINDS: [(&str, &str); 11] = [
    ("<?php", "php"),
    ("<?=", "php"),
    ("<script language=\"php\"", "php"),
    ("<script language=php", "php"),
    ("__halt_compiler", "php"),
    ("<html", "html"),
    ("<script", "html"),
    ("-- mysql dump", "sql"),
    ("-- mariadb dump", "sql"),
    ("insert into `", "sql"),
    ("create table `", "sql"),
];

/// First bytes that tell what a content is.
const MAGIC: [(&[u8], &str); 12] = [
    (b"\x89PNG\r\n\x1a\n", "image"),
    (b"\xff\xd8\xff", "image"),
    (b"GIF8", "image"),
    (b"RIFF", "image"),
    (b"%PDF-", "image"),
    (b"\0\0\x01\0", "image"),
    (b"PK\x03\x04", "archive"),
    (b"\x1f\x8b", "archive"),
    (b"BZh", "archive"),
    (b"\xfd7zXZ\0", "archive"),
    (b"\x28\xb5\x2f\xfd", "archive"),
    (b"\x7fELF", "binary"),
];

/// A file of signatures.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    signature: Vec<Written>,
}

/// A signature as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    /// What it is, in words.
    #[serde(rename = "what")]
    _what: String,
    /// Kinds of content it is looked for in; all when there are none.
    #[serde(default)]
    only: Vec<String>,
    /// Of each group one literal must be there, in either case.
    all: Vec<Vec<String>>,
    /// Contents that have it.
    #[serde(rename = "match")]
    matching: Vec<String>,
    /// Contents that don't.
    pass: Vec<String>,
}

/// Signatures and content rules, ready to be looked for.
pub struct Signatures {
    automaton: AhoCorasick,
    list: Vec<Signature>,
    /// Our files of content rules.
    own: Vec<(String, Vec<u8>)>,
    rules: Rules,
    refused: Vec<Refused>,
    /// The first literal without which our content rules aren't asked.
    needs_from: usize,
    /// SHA-256 of all texts: others find something else.
    pub(super) code: [u8; 32],
}

#[derive(Clone)]
struct Signature {
    id: String,
    only: Vec<String>,
    /// Numbers of the literals of each group.
    all: Vec<Vec<usize>>,
}

/// Why signatures can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the signatures of {file}: {why}")]
pub struct SignatureError {
    /// The file.
    pub file: String,
    /// What is wrong.
    pub why: String,
}

impl Signatures {
    /// Reads files of signatures, whose own examples must hold, and of our content rules: names and texts.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] when one can't be read, or an example of a signature doesn't hold.
    pub fn parse(files: &[(&str, &str)], rules: &[(&str, &str)]) -> Result<Self, SignatureError> {
        let mut literals: Vec<String> = KINDS.iter().map(|(text, _)| (*text).to_owned()).collect();
        let (mut list, mut examples) = (Vec::new(), Vec::new());
        for (name, text) in files {
            let wrong = |why: String| SignatureError {
                file: (*name).to_owned(),
                why,
            };
            let file: File = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
            for written in file.signature {
                let mut all = Vec::new();
                for group in &written.all {
                    if group.is_empty()
                        || group
                            .iter()
                            .any(|one| one.is_empty() || one.len() > LITERAL_BYTES_MAX)
                    {
                        return Err(wrong(format!(
                            "{}: a literal has 1 to 96 bytes",
                            written.id
                        )));
                    }
                    all.push((literals.len()..literals.len() + group.len()).collect());
                    literals.extend(group.iter().cloned());
                }
                examples.push((
                    name.to_string(),
                    written.id.clone(),
                    written.matching,
                    written.pass,
                ));
                list.push(Signature {
                    id: written.id,
                    only: written.only,
                    all,
                });
            }
        }
        let own: Vec<_> = rules
            .iter()
            .map(|(name, text)| (name.to_string(), text.as_bytes().to_vec()))
            .collect();
        let (rules, refused) = Rules::compile(&own, &[]);
        if let Some(refused) = refused.first() {
            return Err(SignatureError {
                file: refused.file.clone(),
                why: refused.to_string(),
            });
        }
        let needs_from = literals.len();
        literals.extend(rules.needs());
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            // Four times as fast over a tree's files as what is chosen by itself, for less than a megabyte.
            .kind(Some(AhoCorasickKind::DFA))
            .build(&literals)
            .map_err(|error| SignatureError {
                file: String::new(),
                why: error.to_string(),
            })?;
        let mut texts = Sha256::new();
        for text in files
            .iter()
            .map(|(_, text)| text.as_bytes())
            .chain(own.iter().map(|(_, text)| text.as_slice()))
        {
            texts.update(Sha256::digest(text));
        }
        let signatures = Self {
            automaton,
            list,
            own,
            rules,
            refused,
            needs_from,
            code: texts.finalize().into(),
        };
        for (file, id, matching, pass) in examples {
            for (texts, expected) in [(matching, true), (pass, false)] {
                for text in texts {
                    let mut look = Look::new(&signatures);
                    look.block(text.as_bytes());
                    let found = look.end("").signatures.contains(&id);
                    if found != expected {
                        let why = format!(
                            "{id}: an example must {}match: {text}",
                            if expected { "" } else { "not " }
                        );
                        return Err(SignatureError { file, why });
                    }
                }
            }
        }
        Ok(signatures)
    }
}

impl Signatures {
    /// These, and a merchant's own content rules: those of the files `*.yar` and `*.yara` in a folder.
    ///
    /// # Errors
    ///
    /// [`SourceError`] when one can't be read, there are more than 1 000 or more than 16 MiB of them, or rules aren't built in.
    pub fn with(&self, folder: &Path) -> Result<Self, SourceError> {
        let merchants = read_folder(folder)?;
        let mut texts = Sha256::new_with_prefix(self.code);
        for (name, text) in &merchants {
            texts.update(Sha256::digest(name));
            texts.update(Sha256::digest(text));
        }
        let (rules, refused) = Rules::compile(&self.own, &merchants);
        Ok(Self {
            automaton: self.automaton.clone(),
            list: self.list.clone(),
            own: self.own.clone(),
            rules,
            refused,
            needs_from: self.needs_from,
            code: texts.finalize().into(),
        })
    }

    /// The signatures that a script, or a page with scripts, has.
    pub(crate) fn of_script(&self, text: &str) -> Vec<String> {
        let mut look = Look::new(self);
        look.block(text.as_bytes());
        let mut rules = Vec::new();
        if look.asks_rules() {
            let mut scanner = self.scanner();
            scanner.begin("page.js", 0);
            scanner.part(0, text.as_bytes(), true);
            rules = scanner.end().names;
        }
        let mut found = look.end("page.js").signatures;
        found.append(&mut rules);
        found
    }

    /// Content rules that can't be used, in order of their files.
    #[must_use]
    pub fn refused(&self) -> &[Refused] {
        &self.refused
    }

    /// Each content rule's name, as findings have it, and its `description`.
    #[must_use]
    pub fn rules(&self) -> Vec<(String, String)> {
        self.rules.names()
    }

    /// Tries the contents that content rules name in `match` and `pass` of their `meta`.
    #[must_use]
    pub fn test_rules(&self) -> Vec<ExampleOutcome> {
        let (mut scanner, mut outcomes) = (self.scanner(), Vec::<ExampleOutcome>::new());
        for example in self.rules.examples() {
            let mut look = Look::new(self);
            look.block(&example.content);
            scanner.begin("", 0);
            if look.asks_rules() {
                scanner.part(0, &example.content, true);
            }
            let found = scanner.end();
            let word = if example.matches { "match" } else { "pass" };
            let alike =
                |one: &&ExampleOutcome| one.rule == example.rule && one.example.starts_with(word);
            let number = outcomes.iter().filter(alike).count() + 1;
            let is_found = found.names.contains(&example.rule);
            outcomes.push(ExampleOutcome {
                passed: !found.is_unfinished && is_found == example.matches,
                rule: example.rule,
                example: format!("{word} {number}"),
            });
        }
        outcomes
    }

    /// How many there are, in words.
    pub(super) fn words(&self) -> String {
        let names = self.rules();
        let is_merchants = |name: &&(String, String)| name.0.starts_with("merchant:");
        let merchants = names.iter().filter(is_merchants).count();
        let refused = match self.refused() {
            [] => String::new(),
            [first, ..] => format!(" ({} can't be used: {first} …)", self.refused.len()),
        };
        format!(
            "{} signatures, {} content rules, {merchants} of the merchant's{refused}",
            self.list.len(),
            names.len() - merchants
        )
    }

    /// One that runs the content rules.
    pub(super) fn scanner(&self) -> Scanner<'_> {
        self.rules.scanner()
    }
}

/// What was found in a content.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) kinds: Vec<&'static str>,
    pub(super) signatures: Vec<String>,
}

/// A content being looked at, block by block.
pub(super) struct Look<'a> {
    signatures: &'a Signatures,
    seen: BTreeSet<usize>,
    magic: Option<&'static str>,
    is_text: bool,
    /// It begins as a picture and goes on as text.
    is_odd: bool,
    begun: bool,
    tail: Vec<u8>,
}

impl<'a> Look<'a> {
    pub(super) fn new(signatures: &'a Signatures) -> Self {
        Self {
            signatures,
            seen: BTreeSet::new(),
            magic: None,
            is_text: true,
            is_odd: false,
            begun: false,
            tail: Vec::new(),
        }
    }

    pub(super) fn block(&mut self, bytes: &[u8]) {
        if !self.begun {
            self.begun = true;
            self.magic = MAGIC
                .iter()
                .find(|(magic, _)| bytes.starts_with(magic))
                .map(|(_, kind)| *kind);
            self.is_odd = self.magic == Some("image")
                && bytes.get(PICTURE_HEAD).is_some_and(|head| {
                    head.iter()
                        .all(|byte| matches!(byte, b'\r' | b'\n' | b' '..=b'~'))
                });
        }
        self.is_text &= memchr::memchr(0, bytes).is_none();
        if !self.tail.is_empty() {
            // What lies across two blocks.
            let mut seam = std::mem::take(&mut self.tail);
            seam.extend_from_slice(bytes.get(..LITERAL_BYTES_MAX).unwrap_or(bytes));
            self.find(&seam);
        }
        self.find(bytes);
        let from = bytes.len().saturating_sub(LITERAL_BYTES_MAX);
        self.tail = bytes.get(from..).unwrap_or_default().to_vec();
    }

    fn find(&mut self, bytes: &[u8]) {
        for found in self.signatures.automaton.find_overlapping_iter(bytes) {
            self.seen.insert(found.pattern().as_usize());
        }
    }

    /// Whether content rules can match what was looked at: ours only where a literal is that one of them needs, a
    /// merchant's anywhere.
    pub(super) fn asks_rules(&self) -> bool {
        self.is_odd
            || self.signatures.rules.has_merchants()
            || self
                .seen
                .range(self.signatures.needs_from..)
                .next()
                .is_some()
    }

    /// What the whole was; a script by its name's ending.
    pub(super) fn end(self, path: &str) -> Content {
        let mut kinds: BTreeSet<&'static str> = KINDS
            .iter()
            .enumerate()
            .filter(|(at, _)| self.seen.contains(at))
            .map(|(_, (_, kind))| *kind)
            .collect();
        kinds.extend(self.magic);
        if path.to_ascii_lowercase().ends_with(".js") {
            kinds.insert("javascript");
        }
        if kinds.is_empty() && self.begun {
            kinds.insert(if self.is_text { "text" } else { "binary" });
        }
        let signatures = self
            .signatures
            .list
            .iter()
            .filter(|signature| {
                (signature.only.is_empty()
                    || path.is_empty()
                    || signature
                        .only
                        .iter()
                        .any(|only| kinds.contains(only.as_str())))
                    && signature
                        .all
                        .iter()
                        .all(|group| group.iter().any(|literal| self.seen.contains(literal)))
            })
            .map(|signature| signature.id.clone())
            .collect();
        Content {
            kinds: kinds.into_iter().collect(),
            signatures,
        }
    }
}

impl Content {
    pub(super) fn is(&self, kind: &str) -> bool {
        self.kinds.contains(&kind)
    }

    /// A picture, document or archive that is PHP, too.
    pub(super) fn is_polyglot(&self) -> bool {
        self.is("php") && (self.is("image") || self.is("archive"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Content, Look, Signatures};

    fn signatures() -> Signatures {
        Signatures::parse(&[(
            "own.toml",
            "[[signature]]\nid = 'shell'\nwhat = 'x'\nonly = ['php']\nall = [['eval('], ['$_POST', 'php://input']]\n\
             match = ['<?php EVAL($_post[1]);']\npass = ['<?php eval(1);', '$_POST']\n",
        )], &[])
        .expect("reads")
    }

    fn look(path: &str, bytes: &[u8], size: usize) -> Content {
        let signatures = signatures();
        let mut look = Look::new(&signatures);
        for block in bytes.chunks(size) {
            look.block(block);
        }
        look.end(path)
    }

    #[test]
    fn finds_the_same_however_blocks_are_cut() {
        let text = [
            &b"\xff\xd8\xff some picture "[..],
            &b"x".repeat(300),
            b"<?php eval($_POST['a']);",
        ]
        .concat();
        let whole = look("a.jpg", &text, text.len());
        assert!(whole.is_polyglot() && whole.signatures == ["shell"]);
        for size in [7, 97, 100, 311] {
            assert_eq!(look("a.jpg", &text, size), whole, "{size}");
        }
    }

    #[test]
    fn a_signature_is_looked_for_in_its_kinds_only() {
        assert_eq!(look("a.txt", b"eval($_POST)", 100).signatures, [""; 0]);
        assert_eq!(look("a.txt", b"plain words", 100).kinds, ["text"]);
        assert_eq!(look("a", b"", 100).kinds, [""; 0]);
    }

    #[test]
    fn an_example_that_does_not_hold_is_refused() {
        let text = "[[signature]]\nid='a'\nwhat='x'\nall=[['b']]\nmatch=['c']\npass=[]\n";
        assert!(Signatures::parse(&[("a", text)], &[]).is_err());
    }
}
