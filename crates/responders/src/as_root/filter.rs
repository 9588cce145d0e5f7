//! One table of our own at nftables: packets of networks that are listed in it are dropped before any connection is looked up.
//!
//! A set for each length of a network's prefix, each with a rule of its own: so that networks that hold one another are added and removed
//! apart, which one set of intervals refuses or merges. Everything of one change is one transaction of the kernel's.
//! Invariant: no name but the table's own is ever written; it is removed with its last network, if nothing of others is in it.
//!
//! The format is that of `nft --json` (libnftables-json(5)), and was read from nft 1.0.6.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::ActionError;
use crate::host::World;
use crate::network::Network;

const TABLE: &str = "magewarden";
const CHAIN: &str = "drops";
/// Comment of the rule that lets the host talk to itself.
const LOOP: &str = "lo";
/// Before connections are looked up (`NF_IP_PRI_RAW`), and so before every other table's usual chains.
const PRIORITY: i64 = -300;
const LIMIT: Duration = Duration::from_secs(10);
/// Networks at once.
const NETWORKS_MAX: usize = 1000;

/// nftables by one program.
pub(crate) struct Filter<'a> {
    /// Runs it.
    pub(crate) world: &'a dyn World,
    /// Its path.
    pub(crate) program: &'a str,
}

/// Our table as it is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Table {
    /// Whether it is there.
    is_there: bool,
    /// Whether its chain is where packets come by.
    has_chain: bool,
    /// Comments of rules that do what ours do.
    rules: BTreeSet<String>,
    /// Names of sets.
    sets: BTreeSet<String>,
    /// What they hold.
    elements: BTreeSet<Network>,
    /// Whether something isn't ours.
    has_others: bool,
}

impl Filter<'_> {
    /// Networks whose packets are dropped.
    pub(crate) fn list(&self) -> Result<Vec<Network>, ActionError> {
        Ok(self.table()?.dropped().collect())
    }

    /// Drops packets of a network.
    pub(crate) fn add(&self, network: Network) -> Result<(), ActionError> {
        let table = self.table()?;
        if table.dropped().any(|one| one == network) {
            return Ok(());
        }
        if table.elements.len() >= NETWORKS_MAX {
            return Err(ActionError::refused(format!(
                "{NETWORKS_MAX} networks are dropped already: block wider ones, or at what stands in front"
            )));
        }
        self.run(&table.adding(network))
    }

    /// Lets them through again.
    pub(crate) fn remove(&self, network: Network) -> Result<(), ActionError> {
        let table = self.table()?;
        match table.elements.contains(&network) {
            true => self.run(&table.removing(network)),
            false => Ok(()),
        }
    }

    fn run(&self, text: &str) -> Result<(), ActionError> {
        let program = [self.program.to_owned(), text.to_owned()];
        self.world.run(&program, LIMIT)
    }

    fn table(&self) -> Result<Table, ActionError> {
        let told = |words: &[&str]| {
            let words = [self.program, "--json"]
                .into_iter()
                .chain(words.iter().copied());
            let program: Vec<_> = words.map(str::to_owned).collect();
            let told = self.world.read(&program, LIMIT)?;
            let read: Result<Told, _> = serde_json::from_slice(&told);
            read.map_err(|error| ActionError::Program {
                program: program.join(" "),
                how: format!("says what can't be read: {error}"),
            })
        };
        // Asked for by its name, a table that isn't there is an error like any other.
        let tables = told(&["list", "tables", "inet"])?;
        let is_ours = |one: &Value| {
            one.get("table")
                .is_some_and(|table| text(table, "name") == TABLE)
        };
        match tables.nftables.iter().any(is_ours) {
            true => Ok(Table::read(
                &told(&["list", "table", "inet", TABLE])?.nftables,
            )),
            false => Ok(Table::default()),
        }
    }
}

/// What `nft --json` prints.
#[derive(Deserialize)]
struct Told {
    nftables: Vec<Value>,
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

impl Table {
    fn read(all: &[Value]) -> Self {
        let mut table = Self {
            is_there: true,
            ..Self::default()
        };
        for one in all {
            let Some((kind, about)) = one.as_object().and_then(|one| one.iter().next()) else {
                continue;
            };
            match (kind.as_str(), text(about, "name")) {
                ("metainfo" | "table", _) => {}
                ("chain", CHAIN) => {
                    let priority = about.get("prio").and_then(Value::as_i64);
                    table.has_chain =
                        text(about, "hook") == "prerouting" && priority == Some(PRIORITY);
                }
                ("set", name) => match bits_of(name) {
                    Some(bits) => {
                        table.sets.insert(name.to_owned());
                        let elements = about.get("elem").and_then(Value::as_array);
                        let elements = elements
                            .into_iter()
                            .flatten()
                            .filter_map(|one| element(one, bits));
                        table.elements.extend(elements);
                    }
                    None => table.has_others = true,
                },
                ("rule", _) => {
                    let comment = text(about, "comment");
                    let wanted = if comment == LOOP { "accept" } else { "drop" };
                    let last = about.get("expr").and_then(Value::as_array);
                    let last = last.and_then(|parts| parts.last());
                    let does_it = last.is_some_and(|last| last.get(wanted).is_some());
                    match does_it && (comment == LOOP || bits_of(comment).is_some()) {
                        true => drop(table.rules.insert(comment.to_owned())),
                        false => table.has_others = true,
                    }
                }
                _ => table.has_others = true,
            }
        }
        table
    }

    /// What is in a set whose rule stands.
    fn dropped(&self) -> impl Iterator<Item = Network> {
        let stands = |network: &&Network| self.has_chain && self.rules.contains(&set_of(**network));
        self.elements.iter().filter(stands).copied()
    }

    /// The transaction that drops a network's packets; what is there already isn't made again.
    fn adding(&self, network: Network) -> String {
        let (set, mut out) = (set_of(network), String::new());
        let mut say = |line: String| {
            let _never_fails = writeln!(out, "{line}");
        };
        if !self.is_there {
            say(format!("add table inet {TABLE}"));
        }
        if !self.has_chain {
            say(format!(
                "add chain inet {TABLE} {CHAIN} {{ type filter hook prerouting priority {PRIORITY} ; policy accept ; }}"
            ));
        }
        if !self.rules.contains(LOOP) {
            // What the host says to itself goes by whatever address it has.
            say(format!(
                "insert rule inet {TABLE} {CHAIN} iifname \"lo\" accept comment \"{LOOP}\""
            ));
        }
        let (kind, word) = match network.address() {
            IpAddr::V4(_) => ("ipv4_addr", "ip"),
            IpAddr::V6(_) => ("ipv6_addr", "ip6"),
        };
        if !self.sets.contains(&set) {
            say(format!("add set inet {TABLE} {set} {{ type {kind} ; }}"));
        }
        if !self.rules.contains(&set) {
            let mask = network.mask();
            say(format!(
                "add rule inet {TABLE} {CHAIN} {word} saddr & {mask} @{set} drop comment \"{set}\""
            ));
        }
        say(format!(
            "add element inet {TABLE} {set} {{ {} }}",
            network.address()
        ));
        out
    }

    /// The transaction that lets them through.
    fn removing(&self, network: Network) -> String {
        match self.elements.len() == 1 && !self.has_others {
            true => format!("delete table inet {TABLE}\n"),
            false => format!(
                "delete element inet {TABLE} {} {{ {} }}\n",
                set_of(network),
                network.address()
            ),
        }
    }
}

/// Name of the set for networks like this one, e.g. `v4_24`.
fn set_of(network: Network) -> String {
    let version = if network.address().is_ipv4() { 4 } else { 6 };
    format!("v{version}_{}", network.bits())
}

/// How many bits count of what is in a set of ours.
fn bits_of(name: &str) -> Option<u32> {
    let (version, bits) = name.split_once('_')?;
    let most = match version {
        "v4" => 32,
        "v6" => 128,
        _ => return None,
    };
    bits.parse().ok().filter(|bits| (1..=most).contains(bits))
}

/// An entry of a set: an address, or one with what else is known of it.
fn element(told: &Value, bits: u32) -> Option<Network> {
    let inner = told.get("elem").and_then(|inner| inner.get("val"));
    let address = inner.unwrap_or(told).as_str()?.parse().ok()?;
    Network::of(address, bits)
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
