//! Reads the small XML files a module brings, element by element, without building a tree.
//!
//! By hand, because these files are hostile input and little of XML is needed: no document types, so no entities of
//! their own; nothing is fetched; time grows with the length, memory with the depth, which is bounded. What the shop's own
//! parser might read otherwise is a [`Fault`], never passed over.

use std::borrow::Cow;

/// Deepest nesting read.
const DEPTH_MAX: usize = 64;
/// Most attributes of one element.
const ATTRIBUTES_MAX: usize = 64;
/// Encodings in which all that is looked for is written as in UTF-8.
const ENCODINGS: [&str; 5] = [
    "utf-8",
    "us-ascii",
    "iso-8859-1",
    "iso-8859-15",
    "windows-1252",
];

/// Why a file was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// Written in an encoding that isn't read.
    #[error("its encoding isn't read")]
    Encoding,
    /// It has a document type, which could define entities.
    #[error("it has a document type")]
    DocumentType,
    /// It is nested deeper than is read.
    #[error("it is nested too deep")]
    TooDeep,
    /// It is no well-formed XML.
    #[error("no XML at byte {offset_bytes}")]
    Broken {
        /// Where, from the file's start.
        offset_bytes: usize,
    },
}

/// An element that is open.
pub(super) struct Element<'a> {
    /// Its name as written, with its prefix.
    pub(super) name: &'a str,
    attributes: Vec<(&'a str, Cow<'a, str>)>,
}

impl Element<'_> {
    /// The value of an attribute; empty when it has none of that name.
    pub(super) fn get(&self, name: &str) -> &str {
        self.attributes
            .iter()
            .find(|(known, _)| *known == name)
            .map_or("", |(_, value)| value.trim())
    }
}

/// Calls `see` at the start of every element and at every text in it, with the elements that are open there, outermost
/// first, and the text.
///
/// # Errors
///
/// [`Fault`] where reading ended; what came before was seen.
pub(super) fn walk<'a>(
    bytes: &'a [u8],
    see: &mut dyn FnMut(&[Element<'a>], Option<&str>),
) -> Result<(), Fault> {
    // Other encodings of XML begin with a byte of zero, or with one that UTF-8 doesn't have.
    let text = match std::str::from_utf8(bytes) {
        Ok(text) if !bytes.contains(&0) => text.strip_prefix('\u{feff}').unwrap_or(text),
        _ => return Err(Fault::Encoding),
    };
    let mut rest = text;
    let mut open: Vec<Element<'a>> = Vec::new();
    let mut is_rooted = false;
    while !rest.is_empty() {
        let broken = Fault::Broken {
            offset_bytes: bytes.len() - rest.len(),
        };
        if let Some(after) = rest.strip_prefix("<!--") {
            rest = after.split_once("-->").ok_or(broken)?.1;
        } else if let Some(after) = rest.strip_prefix("<?") {
            let (inside, after) = after.split_once("?>").ok_or(broken)?;
            declared(inside)?;
            rest = after;
        } else if let Some(after) = rest.strip_prefix("<![CDATA[") {
            let (inside, after) = after.split_once("]]>").ok_or(broken)?;
            if open.is_empty() {
                return Err(broken);
            }
            see(&open, Some(inside));
            rest = after;
        } else if rest.starts_with("<!") {
            return Err(Fault::DocumentType);
        } else if let Some(after) = rest.strip_prefix("</") {
            let (name, after) = after.split_once('>').ok_or(broken)?;
            if open.pop().is_none_or(|one| one.name != name.trim_end()) {
                return Err(broken);
            }
            rest = after;
        } else if let Some(after) = rest.strip_prefix('<') {
            if open.is_empty() && is_rooted {
                return Err(broken);
            }
            if open.len() == DEPTH_MAX {
                return Err(Fault::TooDeep);
            }
            let (element, is_closed, after) = element(after).ok_or(broken)?;
            open.push(element);
            is_rooted = true;
            see(&open, None);
            if is_closed {
                open.pop();
            }
            rest = after;
        } else {
            let end = rest.find('<').unwrap_or(rest.len());
            let (inside, after) = rest.split_at(end);
            let plain = unescape(inside).ok_or(broken)?;
            if !plain.trim().is_empty() {
                if open.is_empty() {
                    return Err(broken);
                }
                see(&open, Some(&plain));
            }
            rest = after;
        }
    }
    if open.is_empty() && is_rooted {
        Ok(())
    } else {
        Err(Fault::Broken {
            offset_bytes: bytes.len(),
        })
    }
}

/// Refuses a declaration of an encoding that isn't read; other instructions say nothing.
fn declared(instruction: &str) -> Result<(), Fault> {
    let Some(attributes) = instruction.strip_prefix("xml ") else {
        return Ok(());
    };
    let Some((_, value)) = attributes.split_once("encoding") else {
        return Ok(());
    };
    let name = value
        .trim_start_matches(|letter: char| letter == '=' || letter.is_whitespace())
        .trim_start_matches(['"', '\''])
        .split(['"', '\''])
        .next()
        .unwrap_or_default();
    if ENCODINGS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
    {
        Ok(())
    } else {
        Err(Fault::Encoding)
    }
}

/// Reads an element behind its `<`: the element, whether it is closed already, and what follows.
fn element(rest: &str) -> Option<(Element<'_>, bool, &str)> {
    let end = rest.find(|letter: char| letter.is_whitespace() || matches!(letter, '/' | '>'))?;
    let (name, mut rest) = rest.split_at(end);
    if name.is_empty() || name.contains(['<', '=', '"', '\'', '&']) {
        return None;
    }
    let mut attributes: Vec<(&str, Cow<'_, str>)> = Vec::new();
    loop {
        let trimmed = rest.trim_start();
        if let Some(after) = trimmed.strip_prefix("/>") {
            return Some((Element { name, attributes }, true, after));
        }
        if let Some(after) = trimmed.strip_prefix('>') {
            return Some((Element { name, attributes }, false, after));
        }
        if trimmed.len() == rest.len() || attributes.len() == ATTRIBUTES_MAX {
            return None;
        }
        let (key, after) = trimmed.split_once('=')?;
        let key = key.trim_end();
        let after = after.trim_start();
        let quote = after
            .chars()
            .next()
            .filter(|letter| matches!(letter, '"' | '\''))?;
        let (value, after) = after.strip_prefix(quote)?.split_once(quote)?;
        let is_name = !key.is_empty()
            && !key.contains(|letter: char| letter.is_whitespace() || "<>/&".contains(letter));
        if !is_name || value.contains('<') || attributes.iter().any(|(known, _)| *known == key) {
            return None;
        }
        attributes.push((key, unescape(value)?));
        rest = after;
    }
}

/// Puts letters in the place of references; `None` for one that needs a document type.
fn unescape(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('&') {
        return Some(Cow::Borrowed(text));
    }
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, after) = part.split_once(';')?;
        let letter = match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = name.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(digits) => u32::from_str_radix(digits, 16),
                    None => number.parse(),
                };
                char::from_u32(code.ok()?)?
            }
        };
        plain.push(letter);
        plain.push_str(after);
    }
    Some(Cow::Owned(plain))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Fault, walk};

    /// What is seen of a text, a piece a line, and the fault's text where there is one.
    fn seen(bytes: &[u8]) -> Vec<String> {
        let mut seen = Vec::new();
        let end = walk(bytes, &mut |path, text| {
            let names: Vec<_> = path.iter().map(|one| one.name).collect();
            let value = path.last().map_or("", |one| one.get("a"));
            seen.push(match text {
                Some(text) => format!("{}: {text}", names.join("/")),
                None => format!("{} {value}", names.join("/")).trim_end().to_owned(),
            });
        });
        seen.extend(end.err().map(|fault| fault.to_string()));
        seen
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(seen(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn sees_elements_attributes_and_texts() {
        check("<r/>", &["r"]);
        check(
            "\u{feff}<?xml version=\"1.0\" encoding='UTF-8'?>\n<!-- <no/> --><r>\n <b  a = 'x&#121;&#x7A;&amp;' /></r >\n",
            &["r", "r/b xyz&"],
        );
        check(
            "<r><b>one &lt; two</b><b><![CDATA[<c/>]]></b></r>",
            &["r", "r/b", "r/b: one < two", "r/b", "r/b: <c/>"],
        );
        check("<r a='\">'/>", &["r \">"]);
    }

    #[test]
    fn says_where_it_is_no_xml_and_keeps_what_came_before() {
        for (text, expected) in [
            ("", &["no XML at byte 0"][..]),
            ("text", &["no XML at byte 0"]),
            ("<r>", &["r", "no XML at byte 3"]),
            ("<r><b></r>", &["r", "r/b", "no XML at byte 6"]),
            ("<r/><r/>", &["r", "no XML at byte 4"]),
            ("<r><!-- ", &["r", "no XML at byte 3"]),
            ("<r><b a=x/></r>", &["r", "no XML at byte 3"]),
            ("<r><b a='<'/></r>", &["r", "no XML at byte 3"]),
            ("<r><b a='1' a='2'/></r>", &["r", "no XML at byte 3"]),
            ("<r><b a='&own;'/></r>", &["r", "no XML at byte 3"]),
            ("<r>&#xD800;</r>", &["r", "no XML at byte 3"]),
            ("<r", &["no XML at byte 0"]),
            ("<>", &["no XML at byte 0"]),
        ] {
            check(text, expected);
        }
    }

    #[test]
    fn refuses_what_the_shop_could_read_otherwise() {
        check(
            "<!DOCTYPE r [<!ENTITY own 'payment'>]><r a='&own;'/>",
            &["it has a document type"],
        );
        check(
            "<?xml version='1.0' encoding='UTF-7'?><r/>",
            &["its encoding isn't read"],
        );
        let wide: Vec<u8> = "<r/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(seen(&wide), ["its encoding isn't read"]);
        assert_eq!(seen(b"<r>\xff</r>"), ["its encoding isn't read"]);
    }

    #[test]
    fn depth_and_attributes_are_bounded() {
        let deep = "<r>".repeat(1_000_000);
        assert_eq!(
            walk(deep.as_bytes(), &mut |_, _| {}),
            Err(Fault::TooDeep),
            "a million levels"
        );
        let many: String = (0..100).map(|number| format!(" a{number}='1'")).collect();
        check(&format!("<r{many}/>"), &["no XML at byte 0"]);
    }

    proptest! {
        #[test]
        fn never_panics(text in "[<>/!?\\[\\]a-c=\"' &;#x\\-é\n]{0,200}") {
            seen(text.as_bytes());
        }
    }
}
