//! XML as an answer of SAML may hold it: elements, attributes, text, and nothing else.
//!
//! Two readers of one document can differ where it has a DTD, entities, comments, CDATA, instructions or another
//! encoding: that is how signed words were read as other words. None of them is needed, so none is read. Follows SAML 2.0
//! core (§1.3), XML 1.0 and XML names; stricter than all of them.

use std::collections::BTreeSet;

use roxmltree::{Document, Node, ParsingOptions};

/// Longest answer, in bytes.
pub(crate) const ANSWER_BYTES_MAX: usize = 256 << 10;
/// Most nodes, attributes not among them.
const NODES_MAX: u32 = 20_000;
/// Deepest nesting; answers have about ten levels.
const DEPTH_MAX: usize = 40;

/// Assertions' namespace.
pub(crate) const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
/// The protocol's namespace.
pub(crate) const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
/// The one of attributes that XML itself has.
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Reads a document, and refuses what none of ours has.
pub(crate) fn read(text: &str) -> Result<Document<'_>, &'static str> {
    if text.len() > ANSWER_BYTES_MAX {
        return Err("it is longer than 256 KiB");
    }
    let body = without_declaration(text)?;
    // In XML nothing else begins so: `<` stands in no text and no attribute.
    if body.contains("<!") {
        return Err("it has a DTD, a comment or CDATA, which no answer needs");
    }
    if body.contains("<?") {
        return Err("it has a processing instruction, which no answer needs");
    }
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: NODES_MAX,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(body, options).map_err(|_| "it is no XML")?;
    let mut ids = BTreeSet::new();
    for node in document.descendants() {
        if node.is_comment() || node.is_pi() {
            return Err("it has a comment or a processing instruction, which no answer needs");
        }
        if node.ancestors().take(DEPTH_MAX + 2).count() > DEPTH_MAX {
            return Err("it is nested too deeply");
        }
        for attribute in node.attributes() {
            let (space, name) = (attribute.namespace(), attribute.name());
            // xml:id would be a second name of an element, xml:base another place.
            if space == Some(XML) && !matches!(name, "lang" | "space") {
                return Err("it has an attribute of XML's own that no answer needs");
            }
            if name.eq_ignore_ascii_case("id") {
                if !is_name(attribute.value()) {
                    return Err("it has an ID that is none");
                }
                if !ids.insert(attribute.value()) {
                    return Err("one of its IDs is there twice");
                }
            }
        }
    }
    Ok(document)
}

/// What follows a declaration of XML 1.0 in UTF-8, the only one that is taken.
fn without_declaration(text: &str) -> Result<&str, &'static str> {
    let Some(rest) = text.strip_prefix("<?xml") else {
        return Ok(text);
    };
    let (declared, body) = rest.split_once("?>").ok_or("it is no XML")?;
    let said = declared.replace('\'', "\"").to_ascii_lowercase();
    let said: Vec<_> = said.split_whitespace().collect();
    match said.as_slice() {
        ["version=\"1.0\""]
        | ["version=\"1.0\"", "encoding=\"utf-8\""]
        | [
            "version=\"1.0\"",
            "standalone=\"yes\"" | "standalone=\"no\"",
        ]
        | [
            "version=\"1.0\"",
            "encoding=\"utf-8\"",
            "standalone=\"yes\"" | "standalone=\"no\"",
        ] => Ok(body),
        _ => Err("it isn't XML 1.0 in UTF-8"),
    }
}

/// Whether an ID is one that needs no quoting anywhere.
fn is_name(id: &str) -> bool {
    let mut bytes = id.bytes();
    let first = bytes.next();
    id.len() <= 256
        && first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// Whether a node is the element of a name.
pub(crate) fn is(node: Node<'_, '_>, space: &str, name: &str) -> bool {
    node.is_element() && node.has_tag_name((space, name))
}

/// An element's children that are elements.
pub(crate) fn elements<'a, 'i>(node: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(Node::is_element)
}

/// Children of a name in assertions.
pub(crate) fn named<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Vec<Node<'a, 'i>> {
    elements(node)
        .filter(|child| is(*child, ASSERTION, name))
        .collect()
}

/// The one child of a name in assertions; nothing for none and for several.
pub(crate) fn only<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    match named(node, name).as_slice() {
        [one] => Some(*one),
        _ => None,
    }
}

/// An element's whole text, without space at its ends; nothing when it has elements, or no text.
pub(crate) fn text(node: Node<'_, '_>) -> Option<String> {
    if elements(node).next().is_some() {
        return None;
    }
    let all: String = node.children().filter_map(|child| child.text()).collect();
    let all = all.trim().to_owned();
    (!all.is_empty()).then_some(all)
}

/// Text as it is written into XML.
pub(crate) fn escaped(text: &str) -> String {
    let mut all = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => all.push_str("&amp;"),
            '<' => all.push_str("&lt;"),
            '>' => all.push_str("&gt;"),
            '"' => all.push_str("&quot;"),
            letter => all.push(letter),
        }
    }
    all
}
