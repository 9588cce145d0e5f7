//! What a provider by SAML 2.0 is asked and answers (Web Browser SSO, begun here).
//!
//! Asked by a redirect, unsigned: it holds nothing but this console's own names. Answered by a form through the browser. Of
//! an answer first the shape is looked at ([`Answer::read`]); then somebody else checks its signatures; then what was
//! signed is read from the bytes that were digested ([`Answer::who`]). Invariant: nothing of somebody is read from anywhere
//! else. Every error says in words of ours what isn't right, and never what stands there.

mod answer;
mod shape;
mod xml;

use std::collections::BTreeSet;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use model::{Timestamp, Who};
use url::Url;

pub use shape::{Signed, Whole};
use xml::ANSWER_BYTES_MAX;
use xml::{ASSERTION, PROTOCOL, escaped};

/// What stands for the subject's NameID where an attribute could be named.
pub const NAME_ID: &str = "NameID";
/// Longest answer as a form sends it, in bytes: base64 with every letter of it escaped.
pub const FORM_BYTES_MAX: usize = 4 * ANSWER_BYTES_MAX;
const POST: &str = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST";

/// A provider as the settings have it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its entity id, as its answers name it.
    pub entity_id: String,
    /// Where it is asked, by a redirect.
    pub sso_url: String,
    /// The attribute that is its own word for somebody and never changes, or [`NAME_ID`].
    pub subject: String,
    /// The attribute that is an account's name here, or [`NAME_ID`].
    pub account: String,
    /// The attribute that is the name to be shown.
    pub shown: String,
    /// The attribute whose values stand for roles; empty for none.
    pub roles: String,
    /// Classes of `AuthnContextClassRef` that say that more than one factor was shown.
    pub factors: BTreeSet<String>,
}

/// Where an answer has to be for, and which log-in.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// This console's entity id.
    pub own: &'a str,
    /// Where the answer is sent to.
    pub place: &'a str,
    /// The request's ID.
    pub request: &'a str,
}

/// Where somebody is sent, with what has to come back beside the answer; nothing where the settings' address is none.
#[must_use]
pub fn request(
    settings: &Settings,
    expected: Expected<'_>,
    relay: &str,
    now: Timestamp,
) -> Option<String> {
    let mut place = Url::parse(&settings.sso_url).ok()?;
    let at = DateTime::from_timestamp(now.0.div_euclid(Timestamp::SECOND), 0)?;
    let request = format!(
        "<samlp:AuthnRequest xmlns:samlp=\"{PROTOCOL}\" xmlns:saml=\"{ASSERTION}\" ID=\"{}\" Version=\"2.0\" IssueInstant=\"{}\" Destination=\"{}\" AssertionConsumerServiceURL=\"{}\" ProtocolBinding=\"{POST}\"><saml:Issuer>{}</saml:Issuer><samlp:NameIDPolicy AllowCreate=\"true\"/></samlp:AuthnRequest>",
        escaped(expected.request),
        at.format("%Y-%m-%dT%H:%M:%SZ"),
        escaped(&settings.sso_url),
        escaped(expected.place),
        escaped(expected.own),
    );
    // Bindings §3.4.4.1: deflated without a header, then base64.
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
    packed.write_all(request.as_bytes()).ok()?;
    let packed = packed.finish().ok()?;
    place
        .query_pairs_mut()
        .append_pair("SAMLRequest", &STANDARD.encode(packed))
        .append_pair("RelayState", relay);
    Some(place.into())
}

/// An answer of the right shape, whose signatures nobody has checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    text: String,
    signed: Vec<Signed>,
}

impl Answer {
    /// Reads an answer to a log-in as a form has it (base64).
    ///
    /// # Errors
    ///
    /// What isn't right: its shape, or that it isn't for this log-in.
    pub fn read(
        form: &str,
        expected: Expected<'_>,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Self, &'static str> {
        if form.len() > FORM_BYTES_MAX {
            return Err("it is longer than 256 KiB");
        }
        let is_letter = |letter: &char| !letter.is_ascii_whitespace();
        let packed: String = form.chars().filter(is_letter).collect();
        let bytes = STANDARD.decode(packed).map_err(|_| "it isn't base64")?;
        let answer = Self::shaped(&bytes)?;
        // What can't be for this log-in isn't worth checking signatures for.
        let document = xml::read(&answer.text)?;
        answer::check_response(document.root_element(), &expected, settings, now)?;
        Ok(answer)
    }

    /// Reads what has the shape of a signed answer.
    ///
    /// # Errors
    ///
    /// Why it hasn't.
    pub fn shaped(bytes: &[u8]) -> Result<Self, &'static str> {
        let text = str::from_utf8(bytes).map_err(|_| "it isn't XML 1.0 in UTF-8")?;
        let document = xml::read(text)?;
        Ok(Self {
            signed: shape::signed(&document)?,
            // Without its declaration, as places in it are counted.
            text: document.input_text().to_owned(),
        })
    }

    /// What says that it is signed: the Response, its Assertion, or both, the widest first. There is one at least.
    #[must_use]
    pub fn signed(&self) -> &[Signed] {
        &self.signed
    }

    /// The whole document, without the key that one of its signatures brings: it isn't to be shown to anybody.
    #[must_use]
    pub fn without_key(&self, of: &Signed) -> String {
        let mut text = self.text.clone();
        if let Some(key_info) = of.key_info.clone() {
            text.replace_range(key_info, "");
        }
        text
    }

    /// Who an answer vouches for, by what its widest signature was found to be of: the bytes that were digested.
    ///
    /// # Errors
    ///
    /// What isn't right.
    pub fn who(
        &self,
        digested: &str,
        expected: Expected<'_>,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<Who, &'static str> {
        const OTHER: &str = "something else was signed than what was sent";
        let widest = self.signed.first().ok_or("it isn't signed")?;
        let verified = xml::read(digested)?;
        let root = verified.root_element();
        if root.attribute("ID") != Some(&widest.id) {
            return Err(OTHER);
        }
        let assertion = match widest.whole {
            Whole::Assertion if xml::is(root, ASSERTION, "Assertion") => root,
            Whole::Response if xml::is(root, PROTOCOL, "Response") => {
                answer::check_response(root, &expected, settings, now)?;
                xml::only(root, "Assertion").ok_or(OTHER)?
            }
            Whole::Response | Whole::Assertion => return Err(OTHER),
        };
        answer::who(assertion, &expected, settings, now)
    }
}

/// What this console says of itself (SAML 2.0 metadata): its entity id, and where answers are sent to.
#[must_use]
pub fn metadata(own: &str, place: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"{}\"><md:SPSSODescriptor AuthnRequestsSigned=\"false\" WantAssertionsSigned=\"true\" protocolSupportEnumeration=\"{PROTOCOL}\"><md:AssertionConsumerService Binding=\"{POST}\" Location=\"{}\" index=\"0\" isDefault=\"true\"/></md:SPSSODescriptor></md:EntityDescriptor>\n",
        escaped(own),
        escaped(place),
    )
}

#[cfg(test)]
mod tests;
