//! Files that people attach to incidents: masked or refused, cut into entries' payloads, and read back.
//!
//! Invariant: nothing is kept in which a card number can be read, as far as `cardholder` finds one at leisure. Text is
//! masked; what can't be – an office document, a picture, an archive – is looked into and refused when one is found.

use std::path::Path;

use cardholder::{Form, Scanner, search_deep};
use hmac::{Hmac, KeyInit as _, Mac as _};
use incident::handling::FILE_NAME_BYTES_MAX;
use model::{Attachment, MarkKind, Sequence};
use parse::Context;
use sha2::{Digest as _, Sha256};
use sources::{Limits, UnpackError, unpack};

use crate::hex::hex;
use crate::hide;
use crate::ledger::{Beside, Ledger, LedgerError};

/// Bytes of one entry's payload: whoever reads an entry holds no more.
pub(crate) const PART_BYTES: usize = 1 << 20;
/// Bytes that may lie in a packed file, all together.
const UNPACKED_BYTES_MAX: u64 = 64 << 20;
/// Files in a packed one.
const MEMBERS_MAX: usize = 10_000;
/// Bytes that are searched deep as one; a line is cut only where it is longer.
const BLOCK_BYTES: usize = 1 << 20;
/// Times that something is masked until nothing changes any more.
const MASKS_MAX: usize = 8;
/// Longest ending of a name that is kept when it is cut.
const ENDING_BYTES_MAX: usize = 16;

/// Why a file isn't taken. Each says what to do; none holds anything of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// There is nothing in it.
    #[error("the file is empty: choose another one")]
    Empty,
    /// A card number or what must never be kept stands where it can't be masked.
    #[error(
        "a card number or sensitive authentication data is in it ({form}), where it can't be masked: take it out, \
         or attach the part that is needed as plain text, which is masked"
    )]
    Number {
        /// How it is written.
        form: &'static str,
    },
    /// It is packed, and can't be looked into.
    #[error(
        "it can't be looked into for card numbers ({source}): attach what is needed of it, unpacked and without a password"
    )]
    Closed {
        /// Why.
        source: UnpackError,
    },
}

/// A file that may be kept.
#[derive(Debug)]
pub(crate) struct Vetted {
    pub(crate) attachment: Attachment,
    pub(crate) content: Vec<u8>,
}

/// Masks a file or refuses it. Takes seconds for a large one: not for a task that others wait for.
///
/// `key` is under which what was handed over is hashed when something is masked in it.
pub(crate) fn vet(
    name: &str,
    about: &str,
    mut content: Vec<u8>,
    key: &[u8; 32],
) -> Result<Vetted, Unfit> {
    if content.is_empty() {
        return Err(Unfit::Empty);
    }
    let before: [u8; 32] = Sha256::digest(&content).into();
    let mut keyed = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    keyed.update(&content);
    let masked = mask_all(&mut content)?;
    let (hash, hash_kind) = match masked {
        0 => (before, "sha256"),
        _ => (keyed.finalize().into_bytes().into(), "hmac-sha256"),
    };
    let attachment = Attachment {
        name: file_name(name),
        about: about.trim().to_owned(),
        size_bytes: content.len() as u64,
        masked: masked as u64,
        hash: hex(&hash),
        hash_kind: hash_kind.to_owned(),
        kept_hash: hash_of(&content),
        entries: u32::try_from(content.len().div_ceil(PART_BYTES)).unwrap_or(u32::MAX),
    };
    Ok(Vetted {
        attachment,
        content,
    })
}

/// Masks bytes of any kind as far as they are text.
///
/// # Errors
///
/// [`Unfit`] when something in them can't be masked and they may not be kept.
pub(crate) fn mask_all(content: &mut [u8]) -> Result<usize, Unfit> {
    let masked = if is_text(content) {
        hide::mask(content)
    } else {
        0
    };
    look(content)?;
    Ok(masked)
}

/// Masks as [`mask_all`] does until masking it once more changes nothing: what is masked may look like a secret again.
///
/// # Errors
///
/// [`Unfit`], also when that has no end.
pub(crate) fn mask_settled(content: &mut [u8]) -> Result<(), Unfit> {
    for _ in 0..MASKS_MAX {
        let before = hash_of(content);
        mask_all(content)?;
        if hash_of(content) == before {
            return Ok(());
        }
    }
    Err(Unfit::Number { form: "masked" })
}

/// SHA-256 of what is kept, hexadecimal.
pub(crate) fn hash_of(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

/// Whether masking it leaves what it is: text of any encoding that holds ASCII's letters as ASCII does, or UTF-16.
fn is_text(content: &[u8]) -> bool {
    if content.starts_with(&[0xff, 0xfe]) || content.starts_with(&[0xfe, 0xff]) {
        return content.len().is_multiple_of(2);
    }
    let is_known = |byte: &u8| matches!(byte, b'\t'..=b'\r' | 0x1b) || *byte >= b' ';
    content.iter().all(is_known)
}

/// Looks for what may not be kept, in the file itself and in what is packed into it.
fn look(content: &[u8]) -> Result<(), Unfit> {
    let limits = Limits {
        members_max: MEMBERS_MAX,
        decompressed_bytes_max: UNPACKED_BYTES_MAX,
        ..Limits::default()
    };
    let mut found = None;
    let looked = unpack(content, &limits, &mut |part| {
        if found.is_none() {
            found = search(part);
        }
    });
    match (found, looked) {
        (Some(form), _) => Err(Unfit::Number { form: form.name() }),
        (None, Err(source)) => Err(Unfit::Closed { source }),
        (None, Ok(())) => Ok(()),
    }
}

/// The form of a number that stands in some bytes.
fn search(part: &[u8]) -> Option<Form> {
    let mut found = None;
    // All of it at once: a number may lie across what looks like an end of a line.
    Scanner::new().push(part, true, &mut |hit| {
        if hit.kind != MarkKind::Secret {
            found = Some(Form::Plain);
        }
    });
    let mut rest = part;
    while found.is_none() && !rest.is_empty() {
        let (block, after) = rest.split_at(block_bytes(rest));
        search_deep(block, &mut |form, hit| {
            if hit.kind != MarkKind::Secret {
                found = Some(form);
            }
        });
        rest = after;
    }
    found
}

/// How many bytes are searched next: whole lines, as many as fit, or a part of one that is longer.
fn block_bytes(rest: &[u8]) -> usize {
    let most = rest.len().min(BLOCK_BYTES);
    let block = rest.get(..most).unwrap_or_default();
    match block.iter().rposition(|byte| *byte == b'\n') {
        Some(last) if most < rest.len() => last + 1,
        _ => most,
    }
}

/// A name that does nothing anywhere: no folder, no control or direction characters, no number, and not too long.
#[must_use]
pub fn file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let inert = report::inert(last).replace(['\u{fffd}', '\n', '\t'], "");
    let mut name = inert
        .trim_matches(|one: char| one.is_whitespace() || one == '.')
        .to_owned();
    hide::hide(&mut name);
    if name.len() > FILE_NAME_BYTES_MAX {
        let ending = name.rsplit_once('.').map(|(_, ending)| ending);
        let ending = ending
            .filter(|ending| ending.len() <= ENDING_BYTES_MAX)
            .map_or_else(String::new, |ending| format!(".{ending}"));
        let most = FILE_NAME_BYTES_MAX - ending.len();
        let end = (0..=most).rev().find(|end| name.is_char_boundary(*end));
        name.truncate(end.unwrap_or(0));
        name.push_str(&ending);
    }
    if name.is_empty() {
        "attachment".to_owned()
    } else {
        name
    }
}

/// What is kept of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// All of it, as it was sealed.
    Whole(Vec<u8>),
    /// It was destroyed by a sealed decision.
    Destroyed,
}

/// Why an attachment can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShelfError {
    /// The ledger can't be read.
    #[error("the ledger can't be read")]
    Ledger {
        /// What it said.
        source: LedgerError,
    },
    /// What its entries hold isn't what the decision says.
    #[error("what is kept isn't what was sealed: verify the ledger")]
    Changed,
}

/// Reads what people put into the ledger, beside whoever writes it.
pub struct Shelf(Beside);

impl Shelf {
    /// Opens the ledger to read. `context` as in [`crate::ledger::Ledger::create_or_open`].
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when it can't be read.
    pub fn open(ledger: &Path, keys: &Path, context: Context) -> Result<Self, LedgerError> {
        Ok(Self(Beside::open(ledger, keys, context)?))
    }

    /// Reads in the ledger, as it is once it holds `size` entries.
    pub(crate) fn with<T>(
        &self,
        size: u64,
        read: impl FnOnce(&Ledger) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.0.with(size, read)
    }

    /// Reads what is kept under a hash (SHA-256, hexadecimal) from the entries that hold it.
    ///
    /// # Errors
    ///
    /// [`ShelfError`] when it can't be read, or isn't what was sealed.
    pub fn content(
        &self,
        hash: &str,
        entries: std::ops::Range<u64>,
    ) -> Result<Content, ShelfError> {
        let content = self
            .with(entries.end, |ledger| {
                let mut whole = Vec::new();
                for number in entries {
                    let Some(part) = ledger.read(Sequence(number))?.payload else {
                        return Ok(Content::Destroyed);
                    };
                    whole.extend_from_slice(&part);
                }
                Ok(Content::Whole(whole))
            })
            .map_err(|source| ShelfError::Ledger { source })?;
        match &content {
            Content::Whole(whole) if hash_of(whole) != hash => Err(ShelfError::Changed),
            _ => Ok(content),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Unfit, file_name, vet};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    const NUMBER: &str = "4111111111111111";

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        // Stored, not compressed: RFC 1951 §3.2.4.
        let length = u16::try_from(text.len()).expect("short");
        out.push(1);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(text);
        out.extend_from_slice(&crc(text).to_le_bytes());
        out.extend_from_slice(&u32::from(length).to_le_bytes());
        out
    }

    /// RFC 1952 §8, bit by bit.
    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
                if sum & 1 == 1 {
                    sum >> 1 ^ 0xedb8_8320
                } else {
                    sum >> 1
                }
            })
        })
    }

    /// What is kept as text and how many places are masked; or why it isn't taken.
    #[track_caller]
    fn check(content: &[u8], expected: Result<(&str, u64), &str>) {
        let vetted = vet("a", "b", content.to_vec(), &[7; 32]);
        let told = vetted
            .as_ref()
            .map(|one| {
                (
                    String::from_utf8_lossy(&one.content).into_owned(),
                    one.attachment.masked,
                )
            })
            .map_err(ToString::to_string);
        match (told, expected) {
            (Ok((text, masked)), Ok(expected)) => {
                assert_eq!((text.as_str(), masked), expected);
            }
            (Err(told), Err(says)) => assert!(told.contains(says), "{told}"),
            (told, expected) => panic!("{told:?}, not {expected:?}"),
        }
        if let Ok(vetted) = vetted {
            assert_eq!(vetted.content.len(), content.len());
        }
    }

    #[test]
    fn text_is_masked_and_what_can_not_be_masked_is_refused() {
        check(b"", Err("empty"));
        check(b"a mail\n", Ok(("a mail\n", 0)));
        check(
            b"name;card\r\nAna;4111111111111111\r\nBo;5555 5555 5555 4444\r\n",
            Ok((
                "name;card\r\nAna;************1111\r\nBo;**** **** **** 4444\r\n",
                2,
            )),
        );
        // Latin-1, as office programs save tables.
        check(
            b"M\xfcller;4111111111111111",
            Ok(("M\u{fffd}ller;************1111", 1)),
        );
        let binary = |text: &str| [b"\x89PNG\0\x01", text.as_bytes()].concat();
        check(&binary("nothing"), Ok(("\u{fffd}PNG\0\u{1}nothing", 0)));
        check(&binary(NUMBER), Err("(plain), where it can't be masked"));
        check(STANDARD.encode(NUMBER).as_bytes(), Err("(base64)"));
        check(
            &gzip(b"nothing here"),
            Ok((&String::from_utf8_lossy(&gzip(b"nothing here")), 0)),
        );
        check(&gzip(NUMBER.as_bytes()), Err("(plain)"));
        check(
            &gzip(&gzip(STANDARD.encode(NUMBER).as_bytes())),
            Err("(base64)"),
        );
        check(
            b"PK\x03\x04 a zip, cut",
            Err("unpacked and without a password"),
        );
        let wide: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain(NUMBER.bytes().flat_map(|byte| [byte, 0]))
            .collect();
        let kept = vet("a", "b", wide, &[7; 32]).expect("taken").content;
        assert!(!kept.windows(8).any(|four| four == b"4\x001\x001\x001\0"));
    }

    #[test]
    fn what_is_hidden_is_found_wherever_lines_and_blocks_end() {
        let hidden = STANDARD.encode(NUMBER);
        for before in [0, super::BLOCK_BYTES - 30, super::BLOCK_BYTES - 1] {
            for line in ["a\n", "a line of some length\n"] {
                let text = line.repeat(before / line.len()) + &hidden + "\n" + line;
                check(text.as_bytes(), Err("(base64)"));
            }
        }
        let mut rest: &[u8] = &[b"a\n".repeat(super::BLOCK_BYTES), vec![b'b'; 3 << 20]].concat();
        let mut blocks = 0;
        while !rest.is_empty() {
            let next = super::block_bytes(rest);
            assert!((1..=super::BLOCK_BYTES).contains(&next));
            (rest, blocks) = (&rest[next..], blocks + 1);
        }
        assert_eq!(blocks, 5);
    }

    #[test]
    fn a_plain_hash_is_kept_only_where_nothing_was_masked() {
        let of = |content: &[u8], key: u8| {
            let vetted = vet("a", "b", content.to_vec(), &[key; 32]).expect("taken");
            vetted.attachment
        };
        // SHA-256 of "abc", FIPS 180-4.
        let plain = of(b"abc", 7);
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(
            (plain.hash.as_str(), plain.kept_hash.as_str()),
            (known, known)
        );
        assert_eq!(plain.hash_kind, "sha256");
        let masked = of(NUMBER.as_bytes(), 7);
        assert_eq!(masked.hash_kind, "hmac-sha256");
        assert_ne!(masked.hash, of(NUMBER.as_bytes(), 8).hash);
        assert_ne!(masked.hash, super::hash_of(NUMBER.as_bytes()));
        assert_eq!(masked.kept_hash, super::hash_of(b"************1111"));
    }

    #[test]
    fn a_name_does_nothing_anywhere() {
        for (name, expected) in [
            ("mail.txt", "mail.txt"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\ana\\mail.txt", "mail.txt"),
            ("..", "attachment"),
            ("", "attachment"),
            (" . ", "attachment"),
            ("a\u{202e}txt.exe", "atxt.exe"),
            ("a\r\nSet-Cookie: b", "aSet-Cookie: b"),
            ("a\0b\u{1b}[2J", "ab[2J"),
            ("<script>alert(1)<", "<script>alert(1)<"),
            ("4111111111111111.csv", "************1111.csv"),
            (".htaccess", "htaccess"),
        ] {
            assert_eq!(file_name(name), expected, "{name:?}");
        }
        let long = file_name(&format!("{}.pdf", "ä".repeat(10_000)));
        assert!(long.len() <= 200 && long.ends_with("ä.pdf"), "{long}");
        let dots = file_name(&"a.".repeat(10_000));
        assert!(dots.len() <= 200, "{dots}");
    }

    #[test]
    fn a_bomb_is_refused_before_it_fills_memory() {
        let refused = vet("a", "b", bomb(), &[7; 32]).err();
        assert!(matches!(refused, Some(Unfit::Closed { .. })), "{refused:?}");
    }

    /// A zstd frame of run-length blocks, each of 128 KiB of zeros (RFC 8878 §3.1.1.2): 80 MiB in two kilobytes.
    fn bomb() -> Vec<u8> {
        let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x58];
        for block in 0..640_u32 {
            let is_last = u32::from(block == 639);
            let header = is_last | 1 << 1 | (128 << 10) << 3;
            out.extend_from_slice(header.to_le_bytes().get(..3).unwrap_or_default());
            out.push(0);
        }
        out
    }
}
