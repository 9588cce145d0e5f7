//! What of an answer is signed, by its shape alone: signature wrapping is refused here, before any signature is looked at.
//!
//! There is one Response and in it one Assertion. A Signature is a child of one of them, right behind its Issuer, at most
//! one each, and refers to that very parent, whole. Follows SAML 2.0 core §5.4 and XML-DSig; stricter than both.

use std::ops::Range;

use roxmltree::{Document, Node};

use crate::xml::{ASSERTION, PROTOCOL, elements, is};

/// Signatures' namespace.
pub(crate) const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";
/// Exclusive canonical XML, without comments.
const CANONICAL: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
/// Leaves the signature itself out.
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
/// Encryption's namespace.
const ENCRYPTION: &str = "http://www.w3.org/2001/04/xmlenc#";
/// Signatures that are taken: by a public key, and none of SHA-1 (RFC 6931).
const METHODS: [&str; 6] = [
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
    "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
    "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
    "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
    "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
];
/// Digests that are taken.
const DIGESTS: [&str; 3] = [
    "http://www.w3.org/2001/04/xmlenc#sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512",
];

/// What a signature is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whole {
    /// The Response, and so all it holds.
    Response,
    /// The Assertion alone.
    Assertion,
}

impl Whole {
    /// The element's name, with its namespace before it, as xmlsec1 wants it.
    #[must_use]
    pub fn element(self) -> String {
        match self {
            Self::Response => format!("{PROTOCOL}:Response"),
            Self::Assertion => format!("{ASSERTION}:Assertion"),
        }
    }
}

/// Something that says it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// What.
    pub whole: Whole,
    /// Its ID, which the signature refers to.
    pub id: String,
    /// Where its signature's KeyInfo lies, in bytes of what was parsed.
    pub(crate) key_info: Option<Range<usize>>,
}

/// What says that it is signed: the Response, its Assertion, or both, in this order.
pub(crate) fn signed(document: &Document<'_>) -> Result<Vec<Signed>, &'static str> {
    let response = document.root_element();
    let assertion = assertion_of(response)?;
    let mut all = Vec::new();
    let mut known = Vec::new();
    for (whole, parent) in [(Whole::Response, response), (Whole::Assertion, assertion)] {
        let mut signatures = elements(parent).filter(|child| is(*child, SIGNATURE, "Signature"));
        let Some(signature) = signatures.next() else {
            continue;
        };
        if signatures.next().is_some() {
            return Err("one part of it is signed twice");
        }
        let id = parent.attribute("ID").ok_or("what is signed has no ID")?;
        all.push(Signed {
            whole,
            id: id.to_owned(),
            key_info: of_parent(signature, id)?,
        });
        known.push(signature);
    }
    let is_elsewhere = |node: Node<'_, '_>| {
        if node.tag_name().name() == "Signature" {
            return !known.contains(&node);
        }
        node.tag_name().namespace() == Some(SIGNATURE)
            && !node.ancestors().any(|above| known.contains(&above))
    };
    if document.descendants().any(is_elsewhere) {
        return Err("a signature is where none may be");
    }
    if all.is_empty() {
        return Err("it isn't signed");
    }
    Ok(all)
}

/// The one Assertion of the one Response.
fn assertion_of<'a, 'i>(response: Node<'a, 'i>) -> Result<Node<'a, 'i>, &'static str> {
    if !is(response, PROTOCOL, "Response") {
        return Err("it is no Response of SAML 2.0");
    }
    let all = |name: &str| {
        let below = response.descendants();
        below
            .filter(|node| node.is_element() && node.tag_name().name() == name)
            .count()
    };
    let is_encrypted = |node: Node<'_, '_>| {
        node.tag_name().namespace() == Some(ENCRYPTION)
            || node.is_element() && node.tag_name().name().starts_with("Encrypted")
    };
    if response.descendants().any(is_encrypted) {
        return Err(
            "it is encrypted, which isn't read here: turn encryption of assertions off at the provider",
        );
    }
    // In whatever namespace: another one's is no reason to look away.
    if all("Response") != 1 {
        return Err("it holds more than one Response");
    }
    if all("Assertion") > 1 {
        return Err("it holds more than one Assertion");
    }
    let mut children = elements(response).filter(|child| is(*child, ASSERTION, "Assertion"));
    children.next().ok_or("it holds no Assertion")
}

/// Checks one signature, and that it is its parent's; gives where its KeyInfo lies.
fn of_parent(signature: Node<'_, '_>, id: &str) -> Result<Option<Range<usize>>, &'static str> {
    // The first one below its parent, as whoever looks for one finds it.
    let mut before = signature.prev_siblings().skip(1).filter(Node::is_element);
    let issuer = before.next();
    if before.next().is_some()
        || issuer.is_some_and(|one| !is(one, ASSERTION, "Issuer") || elements(one).next().is_some())
    {
        return Err("a signature isn't right behind its Issuer");
    }
    let parts: Vec<_> = elements(signature).collect();
    let (info, key_info) = match parts.as_slice() {
        [info, value] if names([*info, *value], ["SignedInfo", "SignatureValue"]) => (*info, None),
        [info, value, key]
            if names(
                [*info, *value, *key],
                ["SignedInfo", "SignatureValue", "KeyInfo"],
            ) =>
        {
            (*info, Some(key.range()))
        }
        _ => return Err("a signature has other parts than it may"),
    };
    let [canonical, method, reference] = three(info)?;
    if !names(
        [canonical, method, reference],
        ["CanonicalizationMethod", "SignatureMethod", "Reference"],
    ) {
        return Err("a signature has other parts than it may");
    }
    if !is_canonical(canonical) {
        return Err("it isn't signed by exclusive canonical XML without comments");
    }
    const WEAK: &str = "it isn't signed by RSA or ECDSA with SHA-256 or better";
    if !is_one_of(method, &METHODS) {
        return Err(WEAK);
    }
    if reference.attribute("URI") != Some(&format!("#{id}")) || reference.attributes().len() != 1 {
        return Err("a signature refers to something else than its own parent");
    }
    let [transforms, digest, value] = three(reference)?;
    if !names(
        [transforms, digest, value],
        ["Transforms", "DigestMethod", "DigestValue"],
    ) {
        return Err("a signature has other parts than it may");
    }
    let steps: Vec<_> = elements(transforms).collect();
    let fits = match steps.as_slice() {
        [first, second] => {
            names([*first, *second], ["Transform", "Transform"])
                && is_one_of(*first, &[ENVELOPED])
                && is_canonical(*second)
        }
        _ => false,
    };
    if !fits {
        return Err("a signature has other transforms than enveloped and exclusive canonical XML");
    }
    if !is_one_of(digest, &DIGESTS) {
        return Err(WEAK);
    }
    Ok(key_info)
}

fn three<'a, 'i>(node: Node<'a, 'i>) -> Result<[Node<'a, 'i>; 3], &'static str> {
    let all: Vec<_> = elements(node).collect();
    all.try_into()
        .map_err(|_| "a signature has other parts than it may, or more than one reference")
}

fn names<const N: usize>(nodes: [Node<'_, '_>; N], expected: [&str; N]) -> bool {
    let pairs = nodes.into_iter().zip(expected);
    pairs
        .into_iter()
        .all(|(node, name)| is(node, SIGNATURE, name))
}

/// Whether an element names one of these algorithms, and nothing beside.
fn is_one_of(node: Node<'_, '_>, all: &[&str]) -> bool {
    let named = node.attribute("Algorithm");
    named.is_some_and(|named| all.contains(&named)) && elements(node).next().is_none()
}

/// Whether an element names exclusive canonical XML; it may list prefixes.
fn is_canonical(node: Node<'_, '_>) -> bool {
    let mut inside = elements(node);
    let is_list = |child: Node<'_, '_>| is(child, CANONICAL, "InclusiveNamespaces");
    node.attribute("Algorithm") == Some(CANONICAL)
        && inside.next().is_none_or(is_list)
        && inside.next().is_none()
}
