//! What of a finding may tie it to others: keys, each with the longest gap it bridges.
//!
//! Two findings belong together when they have a key in common and lie within its gap. That is all
//! there is to grouping but for twins, so it can't depend on the order of arrival.

use model::{Actor, ActorKind, Asset, AssetKind, Finding, Lane, Level};

use crate::GroupingSettings;
use crate::sharing::Sharing;

/// One thing that may tie a finding to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Equal keys tie.
    pub(crate) key: String,
    /// Longest gap it bridges, in microseconds.
    pub(crate) gap: i64,
    /// In plain words.
    pub(crate) because: String,
    /// Whether the finding says who did what the other tells of.
    pub(crate) says_who: bool,
}

/// Separates the parts of a key; occurs in no identifier that matters.
const SEPARATOR: char = '\u{1f}';
/// Actors and assets of one finding that are looked at; more would tie everything to everything.
const TIES_MAX: usize = 64;

/// Whether a finding opens an incident.
pub(crate) fn opens(finding: &Finding) -> bool {
    finding.level >= Level::Medium
}

/// Gives what may tie a finding to others, most telling first.
pub(crate) fn links(
    finding: &Finding,
    settings: &GroupingSettings,
    sharing: &Sharing,
) -> Vec<Link> {
    let mut out = Collector {
        finding,
        settings,
        links: Vec::new(),
    };
    for actor in finding.actors.iter().take(TIES_MAX) {
        let shared = sharing.is_shared(actor, settings);
        match actor.kind {
            ActorKind::DatabaseConnection => {
                out.alone(actor, settings.connection_seconds);
            }
            ActorKind::DatabaseAccount => {
                if sharing.is_private(actor, settings) {
                    out.with_assets(actor, settings.private_account_seconds);
                }
                out.same_act(actor, settings.shared_same_act_seconds);
            }
            ActorKind::HostProcess | ActorKind::HostAccount => {
                out.same_act(actor, settings.private_account_seconds)
            }
            _ if shared => out.same_act(actor, settings.shared_same_act_seconds),
            ActorKind::Address => {
                out.same_kind(actor, settings.address_same_kind_seconds);
                out.alone(actor, settings.address_any_kind_seconds);
            }
            ActorKind::Session => out.alone(actor, settings.session_seconds),
            _ => out.alone(actor, settings.address_any_kind_seconds),
        }
    }
    out.distributed(sharing);
    if is_hosts_own(finding) || is_administrators(finding) {
        out.on_one_thing(settings.nameless_seconds);
    }
    if finding.actors.is_empty() {
        out.nameless(settings.nameless_seconds);
    }
    out.links
}

struct Collector<'a> {
    finding: &'a Finding,
    settings: &'a GroupingSettings,
    links: Vec<Link>,
}

impl Collector<'_> {
    fn put(&mut self, parts: &[&str], seconds: i64, because: String) {
        let mut key = String::from(match self.finding.lane {
            Lane::Live => "live",
            Lane::Exercise => "exercise",
        });
        for part in parts {
            key.push(SEPARATOR);
            key.push_str(part);
        }
        let gap = seconds
            .min(self.settings.idle_seconds)
            .saturating_mul(1_000_000);
        self.links.push(Link {
            key,
            gap,
            because,
            says_who: false,
        });
    }

    fn alone(&mut self, actor: &Actor, seconds: i64) {
        let because = format!("same {}, at most {seconds} s apart", named(actor));
        self.put(
            &["actor", actor.kind.name(), &actor.value],
            seconds,
            because,
        );
    }

    fn same_kind(&mut self, actor: &Actor, seconds: i64) {
        for family in families(self.finding) {
            let because = format!(
                "same {} doing the same kind of thing, at most {seconds} s apart",
                named(actor)
            );
            self.put(
                &["kind", actor.kind.name(), &actor.value, &family],
                seconds,
                because,
            );
        }
    }

    fn with_assets(&mut self, actor: &Actor, seconds: i64) {
        for asset in self.finding.assets.iter().take(TIES_MAX) {
            let because = format!(
                "same {} on the same {}, at most {seconds} s apart",
                named(actor),
                asset.name
            );
            let name = asset_key(asset);
            self.put(
                &["asset", actor.kind.name(), &actor.value, &name],
                seconds,
                because,
            );
        }
    }

    /// A shared identifier ties only what looks like one act: same kind of rule, same asset.
    fn same_act(&mut self, actor: &Actor, seconds: i64) {
        let value = &actor.value;
        for family in families(self.finding) {
            let because = format!(
                "same kind of act by the shared {}, at most {seconds} s apart",
                named(actor)
            );
            let kind = actor.kind.name();
            if self.finding.assets.is_empty() {
                self.put(&["act", kind, value, &family], seconds, because);
                continue;
            }
            for asset in self.finding.assets.iter().take(TIES_MAX) {
                let because = format!("{because}, on the same {}", asset.name);
                let name = asset_key(asset);
                self.put(&["act", kind, value, &family, &name], seconds, because);
            }
        }
        if is_database(self.finding) && tells_of_injection(self.finding) {
            let twin = self.settings.twin_seconds;
            let because = format!(
                "SQL injected through the same {}, at most {twin} s apart",
                named(actor)
            );
            self.put(&["injection", actor.kind.name(), value], twin, because);
        }
    }

    /// A rule that saw many addresses at once tells of one act spread over them.
    fn distributed(&mut self, sharing: &Sharing) {
        // Many hosts that ask the database are the shop's own web servers.
        if is_database(self.finding) {
            return;
        }
        let addresses = self
            .finding
            .actors
            .iter()
            .filter(|a| a.kind == ActorKind::Address && !sharing.is_shared(a, self.settings))
            .count();
        if addresses >= 3 {
            let seconds = self.settings.address_same_kind_seconds;
            let because = format!("same rule over many addresses, at most {seconds} s apart");
            self.put(&["distributed", &self.finding.rule], seconds, because);
        }
    }

    fn nameless(&mut self, seconds: i64) {
        let rule = &self.finding.rule;
        if self.finding.assets.is_empty() {
            let scope = self.finding.scope.to_string();
            let because = format!("same rule and place ({scope}), nobody named");
            self.put(&["nameless scope", rule, &scope], seconds.min(60), because);
        }
        for asset in self.finding.assets.iter().take(TIES_MAX) {
            let because = format!("same rule on the same {}, nobody named", asset.name);
            let name = asset_key(asset);
            self.put(&["nameless", rule, &name], seconds, because);
        }
    }

    /// Everybody uses a table; what two rules tell of one file, row or page is one act, whether or not a program was seen at it.
    /// A row knows nobody; what an administrator did to it, as the action log has it, says who changed it.
    fn on_one_thing(&mut self, seconds: i64) {
        let says_who = is_administrators(self.finding);
        let assets = self.finding.assets.iter().take(TIES_MAX);
        for asset in assets.filter(|asset| {
            asset.kind == AssetKind::Row || (!says_who && asset.kind != AssetKind::Table)
        }) {
            let because = if says_who {
                format!(
                    "by the action log an administrator changed the same {}, at most {seconds} s apart",
                    asset.name
                )
            } else {
                format!("on the same {}, no client named", asset.name)
            };
            let name = asset_key(asset);
            self.put(&["one thing", &name], seconds, because);
            if let Some(link) = self.links.last_mut() {
                link.says_who = says_who;
            }
        }
    }
}

/// The rule and the techniques (without their sub-technique) it tells of.
pub(crate) fn families(finding: &Finding) -> Vec<String> {
    let mut out = vec![finding.rule.clone()];
    for technique in finding.attack.iter().take(8) {
        let base = technique
            .split('.')
            .next()
            .unwrap_or(technique)
            .to_ascii_uppercase();
        if !out.contains(&base) {
            out.push(base);
        }
    }
    out
}

fn asset_key(asset: &Asset) -> String {
    format!("{:?} {}", asset.kind, asset.name)
}

/// Names an actor in words, e.g. `address 192.0.2.7`.
pub(crate) fn named(actor: &Actor) -> String {
    format!("{} {}", actor.kind.name(), actor.value)
}

/// Whether no client is named: nobody at all, or only what on a host did it, whoever had that done.
pub(crate) fn is_hosts_own(finding: &Finding) -> bool {
    let mut actors = finding.actors.iter();
    actors.all(|a| matches!(a.kind, ActorKind::HostProcess | ActorKind::HostAccount))
}

/// Whether it names an administrator of the shop.
fn is_administrators(finding: &Finding) -> bool {
    let mut actors = finding.actors.iter();
    actors.any(|actor| actor.kind == ActorKind::Administrator)
}

/// Whether it tells of a file or another path, and names no client.
pub(crate) fn is_of_a_file(finding: &Finding) -> bool {
    let mut assets = finding.assets.iter();
    is_hosts_own(finding) && assets.any(|asset| asset.kind == AssetKind::Path)
}

/// Whether the database's logs told it.
pub(crate) fn is_database(finding: &Finding) -> bool {
    finding.actors.iter().any(|a| {
        matches!(
            a.kind,
            ActorKind::DatabaseAccount | ActorKind::DatabaseConnection
        )
    })
}

/// Whether the web's logs told it: it names somebody who speaks HTTP. The address of a connection to the database doesn't.
pub(crate) fn is_web(finding: &Finding) -> bool {
    let is_database = is_database(finding);
    finding.actors.iter().any(|a| match a.kind {
        ActorKind::Administrator | ActorKind::Session | ActorKind::Token => true,
        ActorKind::Address => !is_database,
        _ => false,
    })
}

/// Whether rule or title speak of SQL injection, or the technique does at the database.
pub(crate) fn tells_of_injection(finding: &Finding) -> bool {
    let says = says_any(
        finding,
        &[
            "sqli",
            "sql-injection",
            "sql_injection",
            "sql injection",
            "inject",
        ],
    );
    // T1190 is any exploit of a public face; seen at the database it can only be by SQL.
    says || (!is_web(finding)
        && finding
            .attack
            .iter()
            .any(|t| t.to_ascii_uppercase().starts_with("T1190")))
}

/// Whether rule id or title have one of some lower-case words.
pub(crate) fn says_any(finding: &Finding, words: &[&str]) -> bool {
    let rule = finding.rule.to_lowercase();
    let title = finding.title.to_lowercase();
    words
        .iter()
        .any(|word| rule.contains(word) || title.contains(word))
}

/// Whether a finding came from the database's side alone.
pub(crate) fn from_database(finding: &Finding) -> bool {
    is_database(finding) && !is_web(finding)
}
