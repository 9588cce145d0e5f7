//! What an answer has to say before anybody is let in by it: from whom, for whom, for which log-in, and when.
//!
//! Follows SAML 2.0 profiles §4.1.4 and core §2. What is read of somebody comes from bytes that were verified; what only
//! the frame around them says can refuse, never admit.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use model::{Timestamp, Who};
use roxmltree::Node;

use crate::xml::{ASSERTION, PROTOCOL, elements, is, named, only, text};
use crate::{Expected, NAME_ID, Settings};

/// Seconds by which clocks may differ.
const DRIFT_SECONDS: i64 = 180;
/// Oldest assertion, in seconds: it was made for the log-in that was begun minutes ago.
const OLD_SECONDS_MAX: i64 = 600;
/// Longest word of the provider's for somebody, in bytes.
const SUBJECT_BYTES_MAX: usize = 512;
/// Most words of an attribute.
const WORDS_MAX: usize = 1000;
/// Somebody's own possession of the assertion: it came with them.
const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
/// A name that is another one the next time.
const TRANSIENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";

/// Checks the frame: whether it is the provider's answer to this log-in, and says that somebody is there.
pub(crate) fn check_response(
    response: Node<'_, '_>,
    expected: &Expected<'_>,
    settings: &Settings,
    now: Timestamp,
) -> Result<(), &'static str> {
    if response.attribute("Version") != Some("2.0") {
        return Err("it is of another version than 2.0");
    }
    if response.attribute("Destination") != Some(expected.place) {
        return Err("it was made for another address");
    }
    if response.attribute("InResponseTo") != Some(expected.request) {
        return Err("it was made for another log-in");
    }
    check_issued(response, now)?;
    // It may be left out here, but not in the assertion.
    if let Some(issuer) = only(response, "Issuer") {
        check_issuer(issuer, settings)?;
    }
    let mut status = elements(response).filter(|child| is(*child, PROTOCOL, "Status"));
    let code = status.next().and_then(|status| {
        let mut codes = elements(status).filter(|child| is(*child, PROTOCOL, "StatusCode"));
        codes.next()?.attribute("Value")
    });
    if code != Some("urn:oasis:names:tc:SAML:2.0:status:Success") || status.next().is_some() {
        return Err("the provider says that it didn't log you in");
    }
    Ok(())
}

/// What the one Assertion of an answer says of somebody, once everything about it is right.
pub(crate) fn who(
    assertion: Node<'_, '_>,
    expected: &Expected<'_>,
    settings: &Settings,
    now: Timestamp,
) -> Result<Who, &'static str> {
    if assertion.attribute("Version") != Some("2.0") {
        return Err("it is of another version than 2.0");
    }
    check_issued(assertion, now)?;
    let issuer = only(assertion, "Issuer").ok_or("it doesn't say who made it")?;
    check_issuer(issuer, settings)?;
    let subject = only(assertion, "Subject").ok_or("it doesn't say whom it is about")?;
    check_subject(subject, expected, now)?;
    let conditions = only(assertion, "Conditions").ok_or("it doesn't say for whom it was made")?;
    check_conditions(conditions, expected, now)?;
    let statement = only(assertion, "AuthnStatement").ok_or("it doesn't say how they logged in")?;
    if let Some(until) = moment(statement, "SessionNotOnOrAfter")?
        && is_over(until, now)
    {
        return Err("its time is over");
    }
    let context = only(statement, "AuthnContext");
    let class = context.and_then(|context| only(context, "AuthnContextClassRef"));
    let class = class.and_then(text);
    let name_id = only(subject, "NameID");
    let attributes = attributes(assertion)?;
    let said = |name: &str| match name {
        NAME_ID => name_id.and_then(text),
        name => match attributes.get(name)?.as_slice() {
            [Some(one)] => Some(one.clone()),
            _ => None,
        },
    };
    if settings.subject == NAME_ID
        && name_id.and_then(|name| name.attribute("Format")) == Some(TRANSIENT)
    {
        return Err(
            "its name for you is another one each time: have the provider send a persistent NameID, or set `subject` to an attribute",
        );
    }
    let who =
        said(&settings.subject).ok_or("it doesn't have the one word that `subject` asks for")?;
    if who.len() > SUBJECT_BYTES_MAX || who.chars().any(char::is_control) {
        return Err("its word for you is too long, or no word");
    }
    let account = said(&settings.account);
    let words = (!settings.roles.is_empty()).then(|| attributes.get(&settings.roles));
    let words = words.flatten().map(|words| {
        let all = words.iter().flatten().take(WORDS_MAX);
        all.cloned().collect::<BTreeSet<_>>()
    });
    Ok(Who {
        subject: who,
        account: account.ok_or("it doesn't have the one word that `account` asks for")?,
        shown: said(&settings.shown).unwrap_or_default(),
        words,
        has_factors: class.is_some_and(|class| settings.factors.contains(&class)),
    })
}

/// Attributes by their names, each value as text; nothing for a value that is something else.
fn attributes(
    assertion: Node<'_, '_>,
) -> Result<BTreeMap<String, Vec<Option<String>>>, &'static str> {
    let mut all = BTreeMap::new();
    for statement in named(assertion, "AttributeStatement") {
        for attribute in named(statement, "Attribute") {
            let name = attribute
                .attribute("Name")
                .ok_or("one of its attributes has no name")?;
            let values = named(attribute, "AttributeValue");
            let values: Vec<_> = values.into_iter().map(text).collect();
            if all.insert(name.to_owned(), values).is_some() {
                return Err("one of its attributes is there twice");
            }
        }
    }
    Ok(all)
}

fn check_issuer(issuer: Node<'_, '_>, settings: &Settings) -> Result<(), &'static str> {
    if text(issuer).as_deref() == Some(&settings.entity_id) {
        return Ok(());
    }
    Err("another provider made it")
}

fn check_issued(node: Node<'_, '_>, now: Timestamp) -> Result<(), &'static str> {
    let issued = moment(node, "IssueInstant")?.ok_or("it doesn't say when it was made")?;
    let age = seconds(now).saturating_sub(issued);
    if age < -DRIFT_SECONDS {
        return Err("its time hasn't come");
    }
    if age > OLD_SECONDS_MAX + DRIFT_SECONDS {
        return Err("its time is over");
    }
    Ok(())
}

/// Whether one of those by whom it may be brought is whoever brings it, here and now, for this log-in.
fn check_subject(
    subject: Node<'_, '_>,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<(), &'static str> {
    let mut why = "nobody may bring it who simply has it";
    for confirmation in named(subject, "SubjectConfirmation") {
        if confirmation.attribute("Method") != Some(BEARER) {
            continue;
        }
        let data = only(confirmation, "SubjectConfirmationData");
        let data = data.ok_or("it doesn't say who may bring it")?;
        match check_bearer(data, expected, now) {
            Ok(()) => return Ok(()),
            Err(other) => why = other,
        }
    }
    Err(why)
}

fn check_bearer(
    data: Node<'_, '_>,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<(), &'static str> {
    if data.attribute("Recipient") != Some(expected.place) {
        return Err("it was made for another recipient");
    }
    if data.attribute("InResponseTo") != Some(expected.request) {
        return Err("it was made for another log-in");
    }
    let until = moment(data, "NotOnOrAfter")?.ok_or("it has no end")?;
    check_times(moment(data, "NotBefore")?, Some(until), now)
}

fn check_conditions(
    conditions: Node<'_, '_>,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<(), &'static str> {
    let (from, until) = (
        moment(conditions, "NotBefore")?,
        moment(conditions, "NotOnOrAfter")?,
    );
    check_times(from, until, now)?;
    let mut is_ours = false;
    for condition in elements(conditions) {
        // All of them have to hold, so none that isn't known may.
        if !condition.has_tag_name((ASSERTION, "AudienceRestriction")) {
            if is(condition, ASSERTION, "OneTimeUse")
                || is(condition, ASSERTION, "ProxyRestriction")
            {
                continue;
            }
            return Err("it has a condition that isn't known here");
        }
        let audiences = named(condition, "Audience");
        if !audiences
            .into_iter()
            .any(|one| text(one).as_deref() == Some(expected.own))
        {
            return Err("it was made for another audience");
        }
        is_ours = true;
    }
    if is_ours {
        return Ok(());
    }
    Err("it doesn't say for which audience it was made")
}

fn check_times(from: Option<i64>, until: Option<i64>, now: Timestamp) -> Result<(), &'static str> {
    if from.is_some_and(|from| seconds(now) + DRIFT_SECONDS < from) {
        return Err("its time hasn't come");
    }
    if until.is_some_and(|until| is_over(until, now)) {
        return Err("its time is over");
    }
    Ok(())
}

fn is_over(until: i64, now: Timestamp) -> bool {
    seconds(now) - DRIFT_SECONDS >= until
}

fn seconds(now: Timestamp) -> i64 {
    now.0.div_euclid(Timestamp::SECOND)
}

/// A moment in seconds; in UTC, as core §1.3.3 has it.
fn moment(node: Node<'_, '_>, name: &str) -> Result<Option<i64>, &'static str> {
    const NONE: &str = "one of its times is none";
    let Some(text) = node.attribute(name) else {
        return Ok(None);
    };
    if !text.ends_with('Z') || text.len() > 40 {
        return Err(NONE);
    }
    let read = DateTime::parse_from_rfc3339(text).map_err(|_| NONE)?;
    Ok(Some(read.timestamp()))
}
