//! What a file's bytes are and which signatures they have, in one pass over blocks.
//!
//! Signatures are content (`content/signatures/*.toml`): groups of literals, of each of which one must be there. One automaton
//! finds all literals of all signatures; time is linear in the file whatever it holds.

use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use serde::Deserialize;

/// Longest literal: so many bytes of a block are looked at again with the next.
const LITERAL_BYTES_MAX: usize = 96;

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

/// Signatures, ready to be looked for.
pub struct Signatures {
    automaton: AhoCorasick,
    /// Number of literals that tell kinds; those of signatures follow.
    list: Vec<Signature>,
}

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
    /// Reads files of signatures: names and texts. Their own examples must hold.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] when one can't be read, or an example doesn't hold.
    pub fn parse(files: &[(&str, &str)]) -> Result<Self, SignatureError> {
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
        let signatures = Self { automaton, list };
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
    /// The signatures that a script, or a page with scripts, has.
    pub(crate) fn of_script(&self, text: &str) -> Vec<String> {
        let mut look = Look::new(self);
        look.block(text.as_bytes());
        look.end("page.js").signatures
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
        )])
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
        assert!(Signatures::parse(&[("a", text)]).is_err());
    }
}
