//! Cloudflare: a rule of ours, the first one of the zone's custom rules (phase `http_request_firewall_custom`).
//!
//! From the documentation of its Rulesets API, not tried at the real service. A rule is added and deleted by itself, so that nobody
//! else's rule is written anew; each change makes a new version of the ruleset, which Cloudflare keeps.

use serde_json::{Value, json};

use super::api::{Api, Body, failed};
use super::{Is, Service};
use crate::ActionError;

/// The ruleset that the custom rules of a zone are in.
const PHASE: &str = "http_request_firewall_custom";

pub(super) struct Cloudflare<'a> {
    pub(super) api: Api<'a>,
    pub(super) id: &'a str,
}

/// The ruleset's number, and what there is of our rule.
struct Found {
    ruleset: Option<String>,
    rule: Option<(String, Is)>,
}

impl Cloudflare<'_> {
    fn found(&self, network: &str) -> Result<Found, ActionError> {
        let path = format!("/zones/{}/rulesets/phases/{PHASE}/entrypoint", self.id);
        let Some(answer) = self.api.get(&path)? else {
            return Ok(Found {
                ruleset: None,
                rule: None,
            });
        };
        let unclear = |what| failed("look", what);
        let ruleset = result(&answer)?;
        let id = word(ruleset, "id").ok_or_else(|| unclear("a ruleset has no id"))?;
        let rules = match ruleset.get("rules") {
            None | Some(Value::Null) => &[],
            Some(Value::Array(rules)) => rules.as_slice(),
            Some(_) => return Err(unclear("its rules are no list")),
        };
        let wanted = rule(network);
        let same = |rule: &Value, key: &str| rule.get(key) == wanted.get(key);
        let mut ours = rules.iter().filter(|rule| same(rule, "description"));
        let rule = match (ours.next(), ours.next()) {
            (None, _) => None,
            (Some(one), None) => {
                let id = word(one, "id").ok_or_else(|| unclear("a rule has no id"))?;
                let keys = ["action", "expression", "enabled"];
                let is_whole = keys.iter().all(|key| same(one, key));
                Some((id, if is_whole { Is::Whole } else { Is::Other }))
            }
            (Some(_), Some(_)) => Some((String::new(), Is::Other)),
        };
        Ok(Found {
            ruleset: Some(id),
            rule,
        })
    }
}

impl Service for Cloudflare<'_> {
    fn name(&self) -> String {
        format!("Cloudflare, zone {}", self.id)
    }

    fn look(&self, network: &str) -> Result<Is, ActionError> {
        let rule = self.found(network)?.rule;
        Ok(rule.map_or(Is::Absent, |(_, is)| is))
    }

    fn add(&self, network: &str) -> Result<(), ActionError> {
        let what = "add a rule";
        let mut rule = rule(network);
        let answer = match self.found(network)?.ruleset {
            Some(ruleset) => {
                // Before all others: one that lets somebody skip the rest would let them by.
                rule["position"] = json!({"index": 1});
                let path = format!("/zones/{}/rulesets/{ruleset}/rules", self.id);
                self.api.change(what, "POST", &path, &Body::Json(rule))?
            }
            None => {
                let made =
                    json!({"name": "default", "kind": "zone", "phase": PHASE, "rules": [rule]});
                let path = format!("/zones/{}/rulesets", self.id);
                self.api.change(what, "POST", &path, &Body::Json(made))?
            }
        };
        result(&answer).map(drop)
    }

    fn remove(&self, network: &str) -> Result<(), ActionError> {
        let found = self.found(network)?;
        let (Some(ruleset), Some((rule, Is::Whole))) = (found.ruleset, found.rule) else {
            return Err(failed(
                "remove our rule",
                "it was changed in between: do it again",
            ));
        };
        let path = format!("/zones/{}/rulesets/{ruleset}/rules/{rule}", self.id);
        let answer = self
            .api
            .change("remove our rule", "DELETE", &path, &Body::None)?;
        result(&answer).map(drop)
    }
}

/// The rule of a network; its description tells it from all others.
fn rule(network: &str) -> Value {
    json!({
        "action": "block",
        "expression": format!("(ip.src in {{{network}}})"),
        "description": format!("magewarden: block {network}"),
        "enabled": true,
    })
}

/// What an answer is about.
fn result(answer: &Value) -> Result<&Value, ActionError> {
    match (answer.get("success"), answer.get("result")) {
        (Some(Value::Bool(true)), Some(result)) => Ok(result),
        _ => Err(failed(
            "be asked",
            "its answer doesn't say that it was done",
        )),
    }
}

/// A text that may stand in a path.
fn word(value: &Value, key: &str) -> Option<String> {
    let text = value.get(key)?.as_str()?;
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (!text.is_empty() && text.len() <= 64 && text.bytes().all(is_fine)).then(|| text.to_owned())
}
