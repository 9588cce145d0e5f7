//! Fastly: two VCL snippets of ours in a version of the service that is made of the active one.
//!
//! From the documentation of its API, not tried at the real service. Snippets and not entries of an ACL, because those have no versions.
//! An active version can't be changed any more, so one whose comment says that we made it *with its own number* is the one before and our
//! part, and nothing else: undone, the one before is active again. In any other our part is taken out in a new version on top.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::api::{Api, Body, failed};
use super::{Is, Service};
use crate::ActionError;

pub(super) struct Fastly<'a> {
    pub(super) api: Api<'a>,
    pub(super) id: &'a str,
}

/// A version of the service.
struct Version {
    number: u64,
    comment: String,
}

/// A snippet: name, where it stands, content.
type Snippet = (String, &'static str, String);

impl Fastly<'_> {
    fn path(&self, version: u64, rest: &str) -> String {
        format!("/service/{}/version/{version}{rest}", self.id)
    }

    fn active(&self) -> Result<Version, ActionError> {
        let path = format!("/service/{}/version", self.id);
        let answer = self.api.get(&path)?;
        let answer = answer.ok_or_else(|| failed("look", "there is no such service (404)"))?;
        let versions = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut active = versions
            .iter()
            .filter(|version| version.get("active") == Some(&Value::Bool(true)));
        let (Some(version), None) = (active.next(), active.next()) else {
            return Err(failed("look", "the service has no active version"));
        };
        Ok(Version {
            number: number(version)?,
            comment: text(version, "comment").to_owned(),
        })
    }

    fn there(&self, version: u64, network: &str) -> Result<Is, ActionError> {
        let answer = self.api.get(&self.path(version, "/snippet"))?;
        let answer = answer.ok_or_else(|| failed("look", "its snippets aren't there (404)"))?;
        let there = answer.as_array();
        let there = there.ok_or_else(|| failed("look", "its snippets are no list"))?;
        let ours = snippets(network);
        let mut count = 0;
        let mut is_other = false;
        for one in there {
            let Some((_, kind, content)) = ours.iter().find(|(name, ..)| text(one, "name") == name)
            else {
                continue;
            };
            count += 1;
            is_other |= text(one, "type") != *kind || text(one, "content") != content;
        }
        Ok(match count {
            0 => Is::Absent,
            2 if !is_other => Is::Whole,
            _ => Is::Other,
        })
    }

    /// A version made of the active one, with a change; active in the end, if nobody made another one active meanwhile.
    fn changed(
        &self,
        base: u64,
        network: &str,
        comment: &dyn Fn(u64) -> String,
        change: &dyn Fn(u64) -> Result<(), ActionError>,
        wanted: Is,
    ) -> Result<(), ActionError> {
        let clone = self.path(base, "/clone");
        let made = self
            .api
            .change("make a version", "PUT", &clone, &Body::None)?;
        let made = number(&made)?;
        change(made)?;
        let said = comment(made);
        let fields = [("comment", said.as_str())];
        let noted = self.path(made, "");
        self.api.change(
            "note what a version is for",
            "PUT",
            &noted,
            &Body::Form(&fields),
        )?;
        let checked = self
            .api
            .get(&self.path(made, "/validate"))?
            .unwrap_or_default();
        if text(&checked, "status") != "ok" {
            return Err(failed(
                "take our version",
                &format!("version {made} isn't valid there: see to it in the service's console"),
            ));
        }
        if self.there(made, network)? != wanted {
            return Err(failed(
                "take our version",
                &format!("version {made} was changed by somebody else: do it again"),
            ));
        }
        self.activate(base, made)
    }

    /// Makes a version active in place of another.
    fn activate(&self, from: u64, to: u64) -> Result<(), ActionError> {
        let now = self.active()?.number;
        if now != from {
            return Err(failed(
                "make a version active",
                &format!(
                    "somebody else made version {now} active meanwhile, which stays: do it again"
                ),
            ));
        }
        let path = self.path(to, "/activate");
        self.api
            .change("make a version active", "PUT", &path, &Body::None)?;
        let now = self.active()?.number;
        if now != to {
            return Err(failed(
                "make a version active",
                &format!("version {now} is active, not {to}"),
            ));
        }
        Ok(())
    }
}

impl Service for Fastly<'_> {
    fn name(&self) -> String {
        format!("Fastly, service {}", self.id)
    }

    fn look(&self, network: &str) -> Result<Is, ActionError> {
        let active = self.active()?.number;
        self.there(active, network)
    }

    fn add(&self, network: &str) -> Result<(), ActionError> {
        let base = self.active()?.number;
        let add = |made: u64| {
            for (name, kind, content) in snippets(network) {
                let fields = [
                    ("name", name.as_str()),
                    ("dynamic", "0"),
                    ("type", kind),
                    // Before all others: one that answers would let them by.
                    ("priority", "1"),
                    ("content", content.as_str()),
                ];
                let path = self.path(made, "/snippet");
                self.api
                    .change("add a snippet", "POST", &path, &Body::Form(&fields))?;
            }
            Ok(())
        };
        self.changed(
            base,
            network,
            &|made| blocks(network, base, made),
            &add,
            Is::Whole,
        )
    }

    fn remove(&self, network: &str) -> Result<(), ActionError> {
        let active = self.active()?;
        let before = base_of(&active.comment, network, active.number);
        if let Some(before) = before
            && self.there(before, network)? == Is::Absent
        {
            return self.activate(active.number, before);
        }
        let base = active.number;
        let comment = |made: u64| {
            format!("magewarden: {network} no longer blocked, version {made} of version {base}")
        };
        let remove = |made: u64| {
            for (name, ..) in snippets(network) {
                let path = self.path(made, &format!("/snippet/{name}"));
                self.api
                    .change("remove a snippet", "DELETE", &path, &Body::None)?;
            }
            Ok(())
        };
        self.changed(base, network, &comment, &remove, Is::Absent)
    }
}

/// What a version of ours says of itself.
fn blocks(network: &str, base: u64, made: u64) -> String {
    format!("magewarden: {network} blocked, version {made} of version {base}")
}

/// The version that one of ours was made of; none when it isn't ours, or a copy of ours that somebody else made.
fn base_of(comment: &str, network: &str, number: u64) -> Option<u64> {
    let (_, base) = comment.rsplit_once(' ')?;
    let base = base.parse().ok()?;
    (comment == blocks(network, base, number)).then_some(base)
}

/// Our part: a list with the network, and what refuses whoever is in it.
fn snippets(network: &str) -> [Snippet; 2] {
    let digest = Sha256::digest(network.as_bytes());
    let name: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name = format!("magewarden_block_{name}");
    let (address, bits) = network.split_once('/').unwrap_or((network, ""));
    let entry = if bits.is_empty() {
        format!("\"{address}\"")
    } else {
        format!("\"{address}\"/{bits}")
    };
    let list = format!("acl {name} {{\n  {entry};\n}}\n");
    let refusal = format!("if (client.ip ~ {name}) {{\n  error 403 \"Forbidden\";\n}}\n");
    [
        (format!("{name}_list"), "init", list),
        (format!("{name}_refuse"), "recv", refusal),
    ]
}

fn number(version: &Value) -> Result<u64, ActionError> {
    let number = version.get("number");
    let number = number.and_then(Value::as_u64);
    number.ok_or_else(|| failed("look", "a version has no number"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{base_of, blocks, snippets};
    use model::{Argument, ParameterKind};
    use proptest::prelude::*;

    #[test]
    fn a_copy_of_our_version_is_not_ours() {
        let comment = blocks("192.0.2.0/24", 12, 13);
        assert_eq!(base_of(&comment, "192.0.2.0/24", 13), Some(12));
        assert_eq!(base_of(&comment, "192.0.2.0/24", 14), None);
        assert_eq!(base_of(&comment, "192.0.3.0/24", 13), None);
        for other in [
            "",
            "12",
            "made of version 12",
            "magewarden: version 13 of version 12",
        ] {
            assert_eq!(base_of(other, "192.0.2.0/24", 13), None, "{other}");
        }
    }

    #[test]
    fn a_network_is_an_entry_of_a_list() {
        let [(_, _, list), (_, _, refusal)] = snippets("2001:db8::/32");
        assert!(list.contains("\n  \"2001:db8::\"/32;\n"), "{list}");
        assert!(refusal.contains("error 403"), "{refusal}");
        let [(_, _, list), _] = snippets("192.0.2.7");
        assert!(list.contains("\n  \"192.0.2.7\";\n"), "{list}");
    }

    proptest! {
        #[test]
        fn no_text_leaves_its_quotes(text in "[0-9a-f:./\"\\\\;{} %]{1,24}") {
            if let Ok(network) = Argument::read(ParameterKind::Network, &text) {
                let [(_, _, list), _] = snippets(network.as_str());
                prop_assert_eq!(list.matches('"').count(), 2);
                prop_assert_eq!(list.lines().count(), 3);
            }
        }
    }
}
