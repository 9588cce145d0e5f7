//! Findings that other systems make: what they may say, cut to size and masked before it is written anywhere.
//!
//! Whatever they send is taken for hostile: it may be what an attacker wrote into a log over there. Invariants: an id of a
//! system is one finding for good, and what is sealed holds no card number, control or direction character.

mod fold;
mod tell;

use hmac::{Hmac, KeyInit as _, Mac as _};
use model::{Actor, ActorKind, Asset, External, Finding, Lane, Level, Scope, Timestamp, conceal};
use serde::Deserialize;
use sha2::Sha256;

use crate::hide::hide;

pub(crate) use fold::{Hearing, Pending};
pub use stores::Outcome;
pub(crate) use tell::Quota;
pub use tell::{CLAIMS_MAX, Heard, PER_MINUTE, TellError};

/// Longest name of a system.
const SYSTEM_BYTES_MAX: usize = 32;
/// Longest id in that system.
const ID_CHARS_MAX: usize = 128;
/// Longest title.
const TITLE_CHARS_MAX: usize = 200;
/// Longest reason.
const REASON_CHARS_MAX: usize = 2000;
/// Longest identifier of whoever did it, and name of what was touched.
const NAME_CHARS_MAX: usize = 256;
/// Longest address of it in that system.
const LINK_BYTES_MAX: usize = 512;
/// Longest code of a website, store or view (`store.code` is a varchar(32), `store_group.code` too).
const CODE_BYTES_MAX: usize = 32;
/// Longest name of a host with its port.
const HOST_BYTES_MAX: usize = 261;
/// Actors, assets, techniques and requirements, of each.
const EACH_MAX: usize = 16;
/// Seconds that another system's clock may be ahead.
const AHEAD_SECONDS: i64 = 3600;
/// Seconds that what is told may lie back: ten years.
const BACK_SECONDS: i64 = 3653 * 86_400;

/// A finding as another system tells it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The system: letters, digits, `-`, `_`, 1 to 32, a letter first; in lower case from here on.
    pub system: String,
    /// Its id there. Told again, it is the same finding.
    pub external_id: String,
    /// What was found.
    pub title: String,
    /// How bad, by Sigma's levels.
    pub level: Level,
    /// First event's time, RFC 3339.
    pub first: String,
    /// Last event's time; the first one's when it isn't told.
    #[serde(default)]
    pub last: Option<String>,
    /// Whoever did it, most telling identifier first.
    #[serde(default)]
    pub actors: Vec<Actor>,
    /// Where; the same for good.
    #[serde(default)]
    pub scope: Scope,
    /// What was touched.
    #[serde(default)]
    pub assets: Vec<Asset>,
    /// Why, in plain words.
    #[serde(default)]
    pub reason: String,
    /// MITRE ATT&CK technique ids.
    #[serde(default)]
    pub attack: Vec<String>,
    /// PCI DSS requirements it serves.
    #[serde(default)]
    pub requirements: Vec<String>,
    /// Its address there.
    #[serde(default)]
    pub link: Option<String>,
}

/// Makes the finding of a claim, under an id that only whoever has `key` can make: a plain hash of what may hold a card
/// number gives the number back.
///
/// # Errors
///
/// What doesn't fit, and how it would; none of what was sent.
pub(crate) fn vet(claim: Claim, key: &[u8; 32], now: Timestamp) -> Result<Finding, String> {
    let system = system(&claim.system)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in ["external finding", &system, claim.external_id.trim()] {
        mac.update(part.as_bytes());
        mac.update(&[0]);
    }
    let digest = mac.finalize().into_bytes();
    let id = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    let first = time(&claim.first, "first", now)?;
    let last = match &claim.last {
        Some(last) => time(last, "last", now)?,
        None => first,
    };
    if last < first {
        return Err("`last` lies before `first`".to_owned());
    }
    let counts = [
        ("actors", claim.actors.len()),
        ("assets", claim.assets.len()),
        ("attack", claim.attack.len()),
        ("requirements", claim.requirements.len()),
    ];
    if let Some((what, _)) = counts.into_iter().find(|(_, count)| *count > EACH_MAX) {
        return Err(format!("`{what}` holds at most {EACH_MAX}"));
    }
    let external_id = line(&claim.external_id, ID_CHARS_MAX, "external_id")?;
    let reason = match claim.reason.trim() {
        "" => format!("{system} tells it as {external_id}"),
        reason => line(reason, REASON_CHARS_MAX, "reason")?,
    };
    let link = claim.link.as_deref().map(link).transpose()?;
    let mut actors = Vec::new();
    for actor in claim.actors {
        actors.push(who(&actor)?);
    }
    let mut assets = Vec::new();
    for asset in claim.assets {
        let name = line(&asset.name, NAME_CHARS_MAX, "assets.name")?;
        assets.push(Asset { name, ..asset });
    }
    Ok(Finding {
        id: id.collect(),
        rule: format!("external:{system}"),
        title: line(&claim.title, TITLE_CHARS_MAX, "title")?,
        level: claim.level,
        lane: Lane::Live,
        first,
        last,
        actors,
        scope: place(claim.scope)?,
        assets,
        rows: None,
        bytes: None,
        event_count: 0,
        events: Vec::new(),
        reason,
        attack: named(claim.attack, is_technique, "attack", "T1059 or T1059.007")?,
        requirements: named(
            claim.requirements,
            is_requirement,
            "requirements",
            "10.4.1 or A1.1.1",
        )?,
        false_positives: Vec::new(),
        external: Some(Box::new(External {
            system,
            id: external_id,
            link,
        })),
    })
}

fn system(name: &str) -> Result<String, String> {
    let name = name.trim().to_ascii_lowercase();
    let fits =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let is_name = name.len() <= SYSTEM_BYTES_MAX
        && name.bytes().all(fits)
        && name
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_lowercase())
        && !holds_number(&name);
    if is_name {
        Ok(name)
    } else {
        Err("`system` has 1 to 32 letters, digits, `-` and `_`, a letter first".to_owned())
    }
}

/// Whether a name holds so many digits that it may hold a card number: masked, it would name nothing.
fn holds_number(name: &str) -> bool {
    conceal(name) != name
}

/// A text of one line, masked.
fn line(text: &str, chars_max: usize, what: &str) -> Result<String, String> {
    let mut text = report::inert(text.trim()).replace(['\n', '\t'], " ");
    let chars = text.chars().count();
    if chars == 0 || chars > chars_max {
        return Err(format!("`{what}` has 1 to {chars_max} characters"));
    }
    hide(&mut text);
    Ok(text)
}

fn time(text: &str, what: &str, now: Timestamp) -> Result<Timestamp, String> {
    let read: jiff::Timestamp = text.parse().map_err(|_| {
        format!("`{what}` is no time as RFC 3339 has it, e.g. 2026-08-05T10:15:30Z")
    })?;
    let at = Timestamp(read.as_microsecond());
    if at > now.plus_seconds(AHEAD_SECONDS) || at < now.plus_seconds(-BACK_SECONDS) {
        return Err(format!(
            "`{what}` lies more than an hour ahead, or more than ten years back"
        ));
    }
    Ok(at)
}

fn who(actor: &Actor) -> Result<Actor, String> {
    let mut value = line(&actor.value, NAME_CHARS_MAX, "actors.value")?;
    if actor.kind == ActorKind::Address {
        // As our own sources write it: by anything else it would be tied to nothing.
        let address: std::net::IpAddr = value
            .parse()
            .map_err(|_| "an actor of kind `address` is an IP address".to_owned())?;
        value = address.to_canonical().to_string();
    }
    Ok(Actor {
        kind: actor.kind,
        value,
    })
}

/// A place as roles name it.
fn place(scope: Scope) -> Result<Scope, String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let is_place = match &scope {
        Scope::Unknown | Scope::Installation => true,
        Scope::Website(code) | Scope::Store(code) | Scope::View(code) => {
            (1..=CODE_BYTES_MAX).contains(&code.len())
                && code.bytes().all(fits)
                && !holds_number(code)
        }
        Scope::Host(host) => {
            (1..=HOST_BYTES_MAX).contains(&host.len())
                && host.bytes().all(of_host)
                && !holds_number(host)
        }
    };
    if is_place {
        Ok(scope)
    } else {
        Err("`scope` names a website, store or view by its code, or a host".to_owned())
    }
}

fn named(
    all: Vec<String>,
    fits: fn(&str) -> bool,
    what: &str,
    example: &str,
) -> Result<Vec<String>, String> {
    if all.iter().all(|one| fits(one)) {
        Ok(all)
    } else {
        Err(format!("`{what}` holds names such as {example}"))
    }
}

/// `T1059`, or a sub-technique, `T1059.007`.
fn is_technique(text: &str) -> bool {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(rest) = text.strip_prefix('T') else {
        return false;
    };
    match rest.split_once('.') {
        Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
        None => digits(rest, 4),
    }
}

/// `10.4.1`, `A1.1.1`: PCI DSS v4.0.1 numbers in groups of two digits at most.
fn is_requirement(text: &str) -> bool {
    let rest = text.strip_prefix('A').unwrap_or(text);
    let mut groups = rest.split('.');
    rest.split('.').count() <= 5
        && groups.all(|group| {
            (1..=2).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// An address that a person may open: shown as text, followed by nobody here.
fn link(text: &str) -> Result<String, String> {
    let mut text = text.trim().to_owned();
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    // A user name could make one host look like another.
    let is_link = text.len() <= LINK_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['@', '\\', '"', '<', '>']));
    if !is_link {
        return Err(format!(
            "`link` is an address with https or http, without a user name, of at most {LINK_BYTES_MAX} characters"
        ));
    }
    hide(&mut text);
    Ok(text)
}

#[cfg(test)]
mod tests;
