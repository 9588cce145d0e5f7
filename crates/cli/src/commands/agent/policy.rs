//! `agent policy`: what a host's owner allows, and what that says to a plan.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use engine::agent::{Around, Policy};
use model::{Plan, StoreMap};
use responders::HostSettings;

use super::say;
use crate::commands::FOUND;
use crate::commands::settings::read_stores;
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// What is shown.
#[derive(Args)]
pub(super) struct Show {
    /// The policy (TOML; docs/agent.md); without one, what holds then
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// A plan, as `magewarden playbooks plan --json` prints it
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// What is there on the host: its proxies are never blocked
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,
    /// Websites and views of the shop
    #[arg(long, value_name = "FILE")]
    stores: Option<PathBuf>,
}

/// The policy of a file, or what holds without one.
pub(super) fn read(path: Option<&Path>) -> Result<Policy, Failure> {
    let Some(path) = path else {
        return Ok(Policy::default());
    };
    let text = std::fs::read_to_string(path).or_fail("check the path of --policy")?;
    Policy::read(&text, playbook::EXPECTED).or_fail("docs/agent.md shows one")
}

impl Show {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let policy = read(self.policy.as_deref())?;
        let settings: HostSettings = match &self.host {
            None => HostSettings::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).or_fail("check the path of --host")?;
                toml::from_str(&text).or_fail("docs/containment.md shows one")?
            }
        };
        let stores = match &self.stores {
            None => StoreMap::default(),
            path => read_stores(path.as_deref())?,
        };
        let proxies = settings.nginx.map(|one| one.proxies).unwrap_or_default();
        let Some(plan) = &self.plan else {
            return say(&shown(&policy, &proxies));
        };
        let text = std::fs::read(plan).or_fail("check the path of --plan")?;
        let plan: Plan = serde_json::from_slice(&text)
            .or_fail("`magewarden playbooks plan --json` prints one")?;
        let around = Around {
            facts: playbook::EXPECTED,
            stores: &stores,
            proxies: &proxies,
        };
        let reasons = policy.refuses(&plan, around);
        if reasons.is_empty() {
            return say(&format!(
                "allowed, when {} people approve it\n",
                policy.people
            ));
        }
        let lines = reasons.iter().map(|one| format!("  {}\n", inert(one)));
        say(&format!("refused whole:\n{}", lines.collect::<String>()))?;
        Ok(ExitCode::from(FOUND))
    }
}

fn shown(policy: &Policy, proxies: &[String]) -> String {
    let mut out = "may be done:\n".to_owned();
    for facts in playbook::EXPECTED {
        if policy.actions.contains(facts.name) {
            let here =
                match responders::action(facts.name).is_some() || facts.name == "keep_evidence" {
                    true => "",
                    false => " (by a person: magewarden doesn't do it yet)",
                };
            out.push_str(&format!("  {:<26} {}{here}\n", facts.name, facts.about));
        }
    }
    out.push_str(&format!(
        "people who have to approve a plan: {}; without any: {}\n",
        policy.people,
        if policy.automatic {
            "carried out, too"
        } else {
            "refused"
        }
    ));
    for (list, entries) in policy.never() {
        out.push_str(&format!(
            "never touched, {list}: {}\n",
            inert(&entries.join(", "))
        ));
    }
    if !proxies.is_empty() {
        let proxies = inert(&proxies.join(", "));
        out.push_str(&format!("never blocked, proxies of --host: {proxies}\n"));
    }
    out.push_str("undoing is always allowed, and so is freezing on this host\n");
    out
}
