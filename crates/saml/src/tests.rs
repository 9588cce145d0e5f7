//! An answer's shape, and what it has to say; signatures themselves are for `tests/services/saml.py`.

use std::collections::BTreeSet;

use model::Timestamp;
use proptest::prelude::*;

use model::Who;

use crate::{Answer, Expected, NAME_ID, Settings, answer, metadata, xml};

/// 2026-11-30T12:00:00Z.
const NOW: Timestamp = Timestamp::from_seconds(1_796_040_000);
const EXPECTED: Expected<'_> = Expected {
    own: "https://console.example.com/login/metadata/corp",
    place: "https://console.example.com/login/back/corp",
    request: "_begun",
};

fn settings() -> Settings {
    Settings {
        entity_id: "https://idp.example.com".to_owned(),
        sso_url: "https://idp.example.com/sso".to_owned(),
        subject: NAME_ID.to_owned(),
        account: "mail".to_owned(),
        shown: "displayName".to_owned(),
        roles: "groups".to_owned(),
        factors: BTreeSet::from(["urn:mfa".to_owned()]),
    }
}

fn shape_of(bytes: &[u8]) -> Result<usize, &'static str> {
    Answer::shaped(bytes).map(|answer| answer.signed().len())
}

fn signature(id: &str) -> String {
    format!(
        "<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:SignedInfo>\
         <ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/>\
         <ds:SignatureMethod Algorithm=\"http://www.w3.org/2001/04/xmldsig-more#rsa-sha256\"/>\
         <ds:Reference URI=\"#{id}\"><ds:Transforms>\
         <ds:Transform Algorithm=\"http://www.w3.org/2000/09/xmldsig#enveloped-signature\"/>\
         <ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/></ds:Transforms>\
         <ds:DigestMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/>\
         <ds:DigestValue>AA==</ds:DigestValue></ds:Reference></ds:SignedInfo>\
         <ds:SignatureValue>AA==</ds:SignatureValue><ds:KeyInfo><ds:KeyName>k</ds:KeyName></ds:KeyInfo></ds:Signature>"
    )
}

fn assertion() -> String {
    format!(
        "<saml:Assertion ID=\"_a\" Version=\"2.0\" IssueInstant=\"2026-11-30T12:00:00Z\">\
         <saml:Issuer>https://idp.example.com</saml:Issuer>{}<saml:Subject>\
         <saml:NameID Format=\"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent\">u-17</saml:NameID>\
         <saml:SubjectConfirmation Method=\"urn:oasis:names:tc:SAML:2.0:cm:bearer\">\
         <saml:SubjectConfirmationData Recipient=\"{place}\" InResponseTo=\"_begun\" NotOnOrAfter=\"2026-11-30T12:05:00Z\"/>\
         </saml:SubjectConfirmation></saml:Subject>\
         <saml:Conditions NotBefore=\"2026-11-30T11:59:00Z\" NotOnOrAfter=\"2026-11-30T12:05:00Z\">\
         <saml:AudienceRestriction><saml:Audience>{own}</saml:Audience></saml:AudienceRestriction></saml:Conditions>\
         <saml:AuthnStatement AuthnInstant=\"2026-11-30T12:00:00Z\"><saml:AuthnContext>\
         <saml:AuthnContextClassRef>urn:pwd</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>\
         <saml:AttributeStatement>\
         <saml:Attribute Name=\"mail\"><saml:AttributeValue>anna@example.com</saml:AttributeValue></saml:Attribute>\
         <saml:Attribute Name=\"groups\"><saml:AttributeValue>fraud</saml:AttributeValue><saml:AttributeValue>it</saml:AttributeValue></saml:Attribute>\
         </saml:AttributeStatement></saml:Assertion>",
        signature("_a"),
        place = EXPECTED.place,
        own = EXPECTED.own,
    )
}

fn response() -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<samlp:Response xmlns:samlp=\"urn:oasis:names:tc:SAML:2.0:protocol\" \
         xmlns:saml=\"urn:oasis:names:tc:SAML:2.0:assertion\" ID=\"_r\" Version=\"2.0\" IssueInstant=\"2026-11-30T12:00:00Z\" \
         Destination=\"{}\" InResponseTo=\"_begun\"><saml:Issuer>https://idp.example.com</saml:Issuer>\
         <samlp:Status><samlp:StatusCode Value=\"urn:oasis:names:tc:SAML:2.0:status:Success\"/></samlp:Status>{}</samlp:Response>",
        EXPECTED.place,
        assertion(),
    )
}

/// The answer with one thing changed, which has to be there.
fn changed(from: &str, to: &str) -> String {
    let whole = response();
    assert!(whole.contains(from), "{from:?} is in the answer");
    whole.replacen(from, to, 1)
}

#[track_caller]
fn shape(text: &str, expected: Result<usize, &str>) {
    match (shape_of(text.as_bytes()), expected) {
        (Err(why), Err(words)) => assert!(why.contains(words), "{why:?} isn't {words:?}"),
        (found, expected) => assert_eq!(found, expected.map_err(|_| "refused"), "{text}"),
    }
}

#[test]
fn an_answer_has_the_shape_of_one() {
    shape(&response(), Ok(1));
    let both = changed(
        "<samlp:Status>",
        &format!("{}<samlp:Status>", signature("_r")),
    );
    shape(&both, Ok(2));
    let listed = changed(
        "<ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/>",
        "<ds:CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"><e:InclusiveNamespaces xmlns:e=\"http://www.w3.org/2001/10/xml-exc-c14n#\" PrefixList=\"xs\"/></ds:CanonicalizationMethod>",
    );
    shape(&listed, Ok(1));
}

#[test]
fn what_two_readers_could_read_differently_is_not_read() {
    let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    for (from, to, why) in [
        (">u-17<", ">u-<!-- -->17<", "a comment"),
        (">u-17<", "><![CDATA[u-17]]><", "CDATA"),
        (">u-17<", ">u-<?x y?>17<", "a processing instruction"),
        (">u-17<", ">&who;<", "no XML"),
        (head, "<!DOCTYPE x [<!ENTITY who \"root\">]>", "a DTD"),
        (head, "<?xml version=\"1.0\" encoding=\"UTF-7\"?>", "UTF-8"),
        (head, "<?xml version=\"1.1\"?>", "1.0"),
        ("ID=\"_r\"", "ID=\"_r\" xml:id=\"_a\"", "XML's own"),
        ("ID=\"_r\"", "ID=\"_a\"", "twice"),
        ("ID=\"_r\"", "ID=\"_r\" id=\"_a\"", "twice"),
        ("ID=\"_r\"", "ID=\"x y\"", "an ID that is none"),
        ("</samlp:Response>", "", "no XML"),
    ] {
        shape(&changed(from, to), Err(why));
    }
    let deep = format!("{}{}", "<a>".repeat(500), "</a>".repeat(500));
    shape(
        &changed("<samlp:Status>", &format!("{deep}<samlp:Status>")),
        Err("too deeply"),
    );
    // As deep as its bytes allow, which must not end the process.
    shape(&"<a>".repeat(80_000), Err("no XML"));
    let deepest = format!("{}{}", "<a>".repeat(37_000), "</a>".repeat(37_000));
    assert!(shape_of(deepest.as_bytes()).is_err());
    shape(&" ".repeat(300_000), Err("longer than 256 KiB"));
    assert!(shape_of(b"\xff\xfe<\0").is_err());
}

#[test]
fn a_signature_is_of_its_own_parent_or_nothing_is() {
    let one = assertion();
    let evil = one.replace("_a", "_evil").replace("u-17", "root");
    let bare = one.replace(&signature("_a"), "");
    let wrapped = bare.replace("_a", "_evil").replace("u-17", "root");
    let put = |to: &str| changed(&one, to);
    for (text, why) in [
        (put(&format!("{one}{evil}")), "more than one Assertion"),
        (put(&format!("{wrapped}{one}")), "more than one Assertion"),
        (
            put(&wrapped.replace("<saml:Subject>", &format!("{one}<saml:Subject>"))),
            "more than one Assertion",
        ),
        (
            put(&format!("<samlp:Extensions>{one}</samlp:Extensions>")),
            "no Assertion",
        ),
        (
            put(&wrapped.replace(
                "<saml:Subject>",
                &format!("{}<saml:Subject>", signature("_a")),
            )),
            "something else than its own parent",
        ),
        (
            put(&bare.replace(
                "<saml:Conditions",
                &format!("{}<saml:Conditions", signature("_a")),
            )),
            "right behind its Issuer",
        ),
        (
            put(&bare.replace(
                "<saml:Subject>",
                &format!(
                    "<saml:Advice>{}</saml:Advice><saml:Subject>",
                    signature("_a")
                ),
            )),
            "where none may be",
        ),
        (
            put(&one.replace("<ds:KeyInfo>", "<ds:Object><x/></ds:Object><ds:KeyInfo>")),
            "other parts",
        ),
        (
            put(&one.replace("<ds:KeyName>k</ds:KeyName>", &signature("_r"))),
            "where none may be",
        ),
        (put(&bare), "isn't signed"),
        (put(""), "no Assertion"),
        (put("<saml:EncryptedAssertion/>"), "turn encryption"),
        (
            changed("<saml:NameID", "<saml:EncryptedID/><saml:NameID"),
            "turn encryption",
        ),
        (
            format!(
                "<x>{}</x>",
                response().replace("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "")
            ),
            "no Response",
        ),
        (
            changed("<samlp:Status>", "<samlp:Response/><samlp:Status>"),
            "more than one Response",
        ),
        (changed("URI=\"#_a\"", "URI=\"\""), "something else"),
        (
            changed("URI=\"#_a\"", "URI=\"#xpointer(id('_a'))\""),
            "something else",
        ),
        (
            changed("URI=\"#_a\"", "URI=\"#_a\" Type=\"x\""),
            "something else",
        ),
        (
            changed("more#rsa-sha256", "more#rsa-md5"),
            "SHA-256 or better",
        ),
        (
            changed(
                "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
                "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
            ),
            "SHA-256 or better",
        ),
        (
            changed("more#rsa-sha256", "more#hmac-sha256"),
            "SHA-256 or better",
        ),
        (
            changed(
                "http://www.w3.org/2001/04/xmlenc#sha256",
                "http://www.w3.org/2000/09/xmldsig#sha1",
            ),
            "SHA-256 or better",
        ),
        (
            changed(
                "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
                "http://www.w3.org/TR/1999/REC-xslt-19991116",
            ),
            "other transforms",
        ),
        (
            changed(
                "<ds:Transform Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#\"/></ds:Transforms>",
                "</ds:Transforms>",
            ),
            "other transforms",
        ),
        (
            changed(
                "CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#",
                "CanonicalizationMethod Algorithm=\"http://www.w3.org/2001/10/xml-exc-c14n#WithComments",
            ),
            "without comments",
        ),
        (
            changed(
                "</ds:SignedInfo>",
                "<ds:Reference URI=\"#_r\"/></ds:SignedInfo>",
            ),
            "more than one reference",
        ),
    ] {
        shape(&text, Err(why));
    }
}

/// What an answer says once its signature was found right.
fn read(text: &str) -> Result<Who, &'static str> {
    let document = xml::read(text)?;
    let response = document.root_element();
    answer::check_response(response, &EXPECTED, &settings(), NOW)?;
    let assertion = xml::only(response, "Assertion").ok_or("no Assertion")?;
    answer::who(assertion, &EXPECTED, &settings(), NOW)
}

#[test]
fn who_somebody_is_comes_from_the_words_that_are_set() {
    let who = read(&response()).expect("right");
    assert_eq!(
        (who.subject.as_str(), who.account.as_str()),
        ("u-17", "anna@example.com")
    );
    assert_eq!(
        who.words,
        Some(BTreeSet::from(["fraud".to_owned(), "it".to_owned()]))
    );
    assert!(!who.has_factors && who.shown.is_empty());
    let who = read(&changed(">urn:pwd<", "> urn:mfa\n<")).expect("right");
    assert!(who.has_factors);
    let who = read(&changed(">u-17<", ">&#x75;-&lt;17<")).expect("right");
    assert_eq!(who.subject, "u-<17");
}

#[test]
fn what_is_for_another_or_another_time_is_refused() {
    let (place, own) = (EXPECTED.place, EXPECTED.own);
    for (from, to, why) in [
        (
            format!("Destination=\"{place}\""),
            "Destination=\"https://evil.example/\"",
            "another address",
        ),
        (format!("Destination=\"{place}\""), "", "another address"),
        (
            "InResponseTo=\"_begun\"><saml:Issuer>".to_owned(),
            "><saml:Issuer>",
            "another log-in",
        ),
        (
            "InResponseTo=\"_begun\"><saml:Issuer>".to_owned(),
            "InResponseTo=\"_x\"><saml:Issuer>",
            "another log-in",
        ),
        (
            "InResponseTo=\"_begun\" NotOnOrAfter".to_owned(),
            "NotOnOrAfter",
            "another log-in",
        ),
        (
            format!("Recipient=\"{place}\""),
            "Recipient=\"https://evil.example/\"",
            "another recipient",
        ),
        (
            format!(">{own}<"),
            ">https://other.example<",
            "another audience",
        ),
        (
            format!(
                "<saml:AudienceRestriction><saml:Audience>{own}</saml:Audience></saml:AudienceRestriction>"
            ),
            "",
            "for which audience",
        ),
        (
            "</saml:Conditions>".to_owned(),
            "<saml:AudienceRestriction><saml:Audience>x</saml:Audience></saml:AudienceRestriction></saml:Conditions>",
            "another audience",
        ),
        (
            "</saml:Conditions>".to_owned(),
            "<saml:Condition/></saml:Conditions>",
            "isn't known",
        ),
        (
            "status:Success".to_owned(),
            "status:Responder",
            "didn't log you in",
        ),
        (
            ">https://idp.example.com<".to_owned(),
            ">https://evil.example<",
            "another provider",
        ),
        (
            "NotBefore=\"2026-11-30T11:59:00Z\"".to_owned(),
            "NotBefore=\"2026-11-30T12:04:00Z\"",
            "hasn't come",
        ),
        (
            "NotOnOrAfter=\"2026-11-30T12:05:00Z\"><saml:Aud".to_owned(),
            "NotOnOrAfter=\"2026-11-30T11:56:00Z\"><saml:Aud",
            "is over",
        ),
        (
            "NotOnOrAfter=\"2026-11-30T12:05:00Z\"/>".to_owned(),
            "NotOnOrAfter=\"2026-11-30T11:57:00Z\"/>",
            "is over",
        ),
        (
            "NotOnOrAfter=\"2026-11-30T12:05:00Z\"/>".to_owned(),
            "/>",
            "no end",
        ),
        (
            "NotOnOrAfter=\"2026-11-30T12:05:00Z\"/>".to_owned(),
            "NotOnOrAfter=\"2026-11-30T12:05:00+02:00\"/>",
            "times is none",
        ),
        ("cm:bearer".to_owned(), "cm:sender-vouches", "simply has it"),
        (
            "IssueInstant=\"2026-11-30T12:00:00Z\" ".to_owned(),
            "IssueInstant=\"2026-11-30T11:40:00Z\" ",
            "is over",
        ),
        (
            "IssueInstant=\"2026-11-30T12:00:00Z\" ".to_owned(),
            "IssueInstant=\"2026-11-30T12:10:00Z\" ",
            "hasn't come",
        ),
        (
            "AuthnInstant=\"2026-11-30T12:00:00Z\"".to_owned(),
            "SessionNotOnOrAfter=\"2026-11-30T11:00:00Z\"",
            "is over",
        ),
        (
            "nameid-format:persistent".to_owned(),
            "nameid-format:transient",
            "another one each time",
        ),
        (">u-17<".to_owned(), "><b>u</b><", "`subject`"),
        (">u-17<".to_owned(), ">u&#10;17<", "no word"),
        (
            ">anna@example.com</saml:AttributeValue>".to_owned(),
            ">a</saml:AttributeValue><saml:AttributeValue>b</saml:AttributeValue>",
            "`account`",
        ),
        ("Name=\"groups\"".to_owned(), "Name=\"mail\"", "there twice"),
        ("Version=\"2.0\"".to_owned(), "Version=\"1.1\"", "version"),
    ] {
        let told = read(&changed(&from, to)).expect_err(&from);
        assert!(told.contains(why), "{from}: {told:?} isn't {why:?}");
    }
    // Clocks may differ by three minutes.
    assert!(
        read(&changed(
            "NotBefore=\"2026-11-30T11:59:00Z\"",
            "NotBefore=\"2026-11-30T12:02:59Z\""
        ))
        .is_ok()
    );
    assert!(
        read(&changed(
            "NotOnOrAfter=\"2026-11-30T12:05:00Z\"/>",
            "NotOnOrAfter=\"2026-11-30T11:57:01Z\"/>"
        ))
        .is_ok()
    );
}

#[test]
fn what_the_console_says_of_itself_is_xml_whatever_its_name() {
    let text = metadata("https://a/\"<&", "https://a/b");
    let document = roxmltree::Document::parse(&text).expect("XML");
    assert_eq!(
        document.root_element().attribute("entityID"),
        Some("https://a/\"<&")
    );
}

/// Where markup can be put: behind any of the answer's tags.
fn places() -> Vec<usize> {
    let text = response();
    let all = text.match_indices('>').map(|(at, _)| at + 1);
    all.collect()
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(shape_of(&bytes).is_err());
    }

    #[test]
    fn an_answer_bent_anywhere_is_refused_or_still_signed_as_one(at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let mut bytes = response().into_bytes();
        let at = at.index(bytes.len());
        if let Some(byte) = bytes.get_mut(at) {
            *byte = with;
        }
        prop_assert!(shape_of(&bytes).is_err() || shape_of(&bytes) == Ok(1));
    }

    #[test]
    fn nothing_put_in_anywhere_is_taken_for_what_is_signed(
        at in any::<prop::sample::Index>(),
        which in 0_usize..6,
    ) {
        let evil = assertion().replace("_a", "_evil").replace("u-17", "root");
        let put = [
            evil.clone(),
            evil.replace(&signature("_evil"), ""),
            format!("<x>{evil}</x>"),
            signature("_a"),
            "<!-- -->".to_owned(),
            response().replace("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", ""),
        ];
        let places = places();
        let mut text = response();
        text.insert_str(places[at.index(places.len())], &put[which]);
        prop_assert!(shape_of(text.as_bytes()).is_err());
    }
}
