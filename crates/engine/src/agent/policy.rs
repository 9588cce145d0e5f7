//! What the shop's owner lets be done on a host, whoever signs: actions by name, how many people, and what is never touched.
//!
//! Pure. A plan with one step that isn't allowed is refused whole, with every reason: what is left of a plan without a step is
//! another plan, which nobody approved. Invariant: where it can't be told whether two names are one to MySQL or Magento, they are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use model::{ActionFacts, Argument, Layer, ParameterKind, Person, Plan, StoreMap, Work};
use serde::Deserialize;

/// What is allowed where no policy says more: keeping evidence, and refusing an address, which reaches nobody else.
const ALLOWED: [&str; 3] = ["block_network", "hold_retention", "keep_evidence"];
/// Closes every view at once without naming one.
const CLOSES_ALL: &str = "maintenance";

/// Why a policy can't be used. The owner mends the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It is no TOML of this form.
    #[error("the policy can't be read: {why}")]
    Form {
        /// What the reader said, with the line.
        why: String,
    },
    /// There is no such action.
    #[error("`{name}` of `actions` is no action of magewarden")]
    NoAction {
        /// Its name.
        name: String,
    },
    /// An entry of `[never]` isn't what it should be.
    #[error("`{entry}` of `{list}` is no {wanted}")]
    Entry {
        /// The list.
        list: &'static str,
        /// The entry.
        entry: String,
        /// What was wanted.
        wanted: &'static str,
    },
    /// Nobody approves nothing.
    #[error("`people` is at least 1; what nobody approved is allowed by `automatic = true`")]
    Nobody,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    actions: Vec<String>,
    people: usize,
    automatic: bool,
    never: NeverFile,
}

impl Default for File {
    fn default() -> Self {
        Self {
            actions: ALLOWED.map(str::to_owned).to_vec(),
            people: 1,
            automatic: false,
            never: NeverFile::default(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NeverFile {
    networks: Vec<String>,
    administrators: Vec<String>,
    accounts: Vec<String>,
    files: Vec<String>,
    views: Vec<String>,
    websites: Vec<String>,
    payment_methods: Vec<String>,
}

/// What is allowed on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Actions by name; all else is refused.
    pub actions: BTreeSet<String>,
    /// How many different people have to approve a plan at least.
    pub people: usize,
    /// Whether a plan that no person approved is carried out.
    pub automatic: bool,
    never: BTreeMap<&'static str, Vec<String>>,
}

/// What is known of the host when a plan is judged.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Facts of every action.
    pub facts: &'a [ActionFacts],
    /// Websites and views.
    pub stores: &'a StoreMap,
    /// Networks that the web server's settings say are never blocked.
    pub proxies: &'a [String],
}

/// Lists of `[never]` with what their entries are.
const LISTS: [(&str, ParameterKind); 7] = [
    ("networks", ParameterKind::Network),
    ("administrators", ParameterKind::Administrator),
    ("accounts", ParameterKind::DatabaseAccount),
    ("files", ParameterKind::File),
    ("views", ParameterKind::View),
    ("websites", ParameterKind::Website),
    ("payment_methods", ParameterKind::PaymentMethod),
];

impl Default for Policy {
    fn default() -> Self {
        let File {
            actions,
            people,
            automatic,
            ..
        } = File::default();
        Self {
            actions: actions.into_iter().collect(),
            people,
            automatic,
            never: BTreeMap::new(),
        }
    }
}

impl Policy {
    /// Reads one (TOML). What it doesn't say is as where there is none.
    ///
    /// # Errors
    ///
    /// [`PolicyError`]: a word that isn't known, an action that isn't one, an entry that could never match.
    pub fn read(text: &str, facts: &[ActionFacts]) -> Result<Self, PolicyError> {
        let file: File = toml::from_str(text).map_err(|error| PolicyError::Form {
            why: error.to_string(),
        })?;
        if file.people == 0 {
            return Err(PolicyError::Nobody);
        }
        for name in &file.actions {
            if !facts.iter().any(|known| known.name == name) {
                return Err(PolicyError::NoAction { name: name.clone() });
            }
        }
        let never = file.never;
        let lists = [
            never.networks,
            never.administrators,
            never.accounts,
            never.files,
            never.views,
            never.websites,
            never.payment_methods,
        ];
        let mut read = BTreeMap::new();
        for ((list, kind), entries) in LISTS.into_iter().zip(lists) {
            let entries = entries.into_iter().map(|entry| {
                let is_read = read_entry(kind, &entry);
                is_read.ok_or_else(|| PolicyError::Entry {
                    list,
                    entry,
                    wanted: kind.words(),
                })
            });
            read.insert(list, entries.collect::<Result<Vec<_>, _>>()?);
        }
        Ok(Self {
            actions: file.actions.into_iter().collect(),
            people: file.people,
            automatic: file.automatic,
            never: read,
        })
    }

    /// What is never touched: lists that hold something, with their entries.
    pub fn never(&self) -> impl Iterator<Item = (&'static str, &[String])> {
        let lists = self.never.iter().map(|(list, all)| (*list, all.as_slice()));
        lists.filter(|(_, all)| !all.is_empty())
    }

    /// Why these people's approval isn't enough; nothing when it is.
    #[must_use]
    pub fn refuses_people(&self, by: &[Person]) -> Option<String> {
        // What no person decided has no account.
        let people: BTreeSet<_> = by.iter().map(|one| one.account.as_str()).collect();
        let count = people.iter().filter(|one| !one.is_empty()).count();
        match (count, self.automatic) {
            (0, true) => None,
            (0, false) => {
                Some("no person approved it, and this host does nothing by itself".into())
            }
            _ if count < self.people => Some(format!(
                "{count} of {} people approved it that this host asks for",
                self.people
            )),
            _ => None,
        }
    }

    /// Every reason why a plan isn't carried out here; none when it is.
    #[must_use]
    pub fn refuses(&self, plan: &Plan, around: Around<'_>) -> Vec<String> {
        let mut reasons = Vec::new();
        for (at, step) in plan.steps.iter().enumerate() {
            let Work::Action {
                action, arguments, ..
            } = &step.work
            else {
                continue;
            };
            let mut say = |why: String| reasons.push(format!("step {} {action}: {why}", at + 1));
            if !self.actions.contains(action) {
                say("this host's policy doesn't allow the action".to_owned());
            }
            let Some(facts) = around.facts.iter().find(|known| known.name == action) else {
                say("there is no such action".to_owned());
                continue;
            };
            // What only reads touches nothing.
            if facts.layer == Layer::Evidence {
                continue;
            }
            if action == CLOSES_ALL && (self.has("views") || self.has("websites")) {
                say("it closes views or websites that are never to be touched".to_owned());
            }
            for (name, text) in arguments {
                let parameter = facts.parameters.iter().find(|known| known.name == name);
                let read = parameter.map(|known| (known.kind, Argument::read(known.kind, text)));
                match read {
                    Some((kind, Ok(read))) => {
                        for why in self.touches(kind, read.as_str(), around) {
                            say(why);
                        }
                    }
                    // What can't be read can't be held against a list.
                    _ => say(format!("`{name}` isn't what the action takes")),
                }
            }
            if facts.name == "end_all_customer_sessions" && self.has("websites") {
                say("it reaches websites that are never to be touched".to_owned());
            }
        }
        // The web server's settings may name what the policy names.
        reasons.dedup();
        reasons
    }

    fn has(&self, list: &str) -> bool {
        !self.entries(list).is_empty()
    }

    fn entries(&self, list: &str) -> &[String] {
        self.never.get(list).map(Vec::as_slice).unwrap_or_default()
    }

    /// What of an argument is never to be touched.
    fn touches(&self, kind: ParameterKind, text: &str, around: Around<'_>) -> Vec<String> {
        let mut out = Vec::new();
        let mut say = |entry: &str| out.push(format!("{entry} is never to be touched"));
        match kind {
            ParameterKind::Network => {
                let proxies = around.proxies.iter();
                for entry in self.entries("networks").iter().chain(proxies) {
                    if overlap(entry, text) {
                        say(entry);
                    }
                }
            }
            ParameterKind::View => {
                let place = around.stores.views.iter();
                let mut place = place.filter(|(code, _)| code.eq_ignore_ascii_case(text));
                let website = place.next().map(|(_, place)| place.website.as_str());
                let views = self.entries("views").iter();
                views
                    .filter(|entry| entry.eq_ignore_ascii_case(text))
                    .for_each(|entry| say(&format!("view {entry}")));
                let websites = self.entries("websites").iter();
                let of = |entry: &&String| {
                    // A view that isn't known may be of any.
                    website.is_none_or(|website| entry.eq_ignore_ascii_case(website))
                };
                websites
                    .filter(of)
                    .for_each(|entry| say(&format!("website {entry}")));
            }
            ParameterKind::Website => {
                let websites = self.entries("websites").iter();
                websites
                    .filter(|entry| entry.eq_ignore_ascii_case(text))
                    .for_each(|entry| say(&format!("website {entry}")));
                for entry in self.entries("views") {
                    let places = around.stores.views.iter();
                    let mut places = places.filter(|(code, _)| code.eq_ignore_ascii_case(entry));
                    let website = places.next().map(|(_, place)| place.website.as_str());
                    if website.is_none_or(|website| website.eq_ignore_ascii_case(text)) {
                        say(&format!("view {entry}"));
                    }
                }
            }
            ParameterKind::Administrator => {
                for entry in self.entries("administrators") {
                    if same_name(entry, text) {
                        say(&format!("administrator {entry}"));
                    }
                }
            }
            ParameterKind::DatabaseAccount => {
                for entry in self.entries("accounts") {
                    if same_account(entry, text) {
                        say(&format!("account {entry}"));
                    }
                }
            }
            ParameterKind::File => {
                for entry in self.entries("files") {
                    if is_below(text, entry) || is_below(entry, text) {
                        say(&format!("file {entry}"));
                    }
                }
            }
            ParameterKind::PaymentMethod => {
                let methods = self.entries("payment_methods").iter();
                methods
                    .filter(|entry| entry.eq_ignore_ascii_case(text))
                    .for_each(|entry| say(&format!("payment method {entry}")));
            }
            _ => {}
        }
        out
    }
}

/// An entry of a list: what an argument is, and for files a folder, for accounts a name for every host.
fn read_entry(kind: ParameterKind, entry: &str) -> Option<String> {
    let written = match kind {
        ParameterKind::File => entry.trim_end_matches('/').to_owned(),
        ParameterKind::DatabaseAccount if !entry.contains('@') => format!("{entry}@%"),
        _ => entry.to_owned(),
    };
    let read = Argument::read(kind, &written).ok()?;
    Some(read.as_str().to_owned())
}

/// A network's first address and how many bits of it count; IPv4 is within IPv6 (RFC 4291 §2.5.5.2), so that both ways of writing one
/// address are one.
fn network(text: &str) -> Option<(u128, u32)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let (whole, most, offset): (Ipv6Addr, u32, u32) = match address.parse().ok()? {
        IpAddr::V4(address) => (address.to_ipv6_mapped(), 32, 96),
        IpAddr::V6(address) => (address, 128, 0),
    };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some((u128::from(whole), bits + offset))
}

/// Whether two networks have an address in common; one that can't be read has with all.
fn overlap(one: &str, other: &str) -> bool {
    let (Some((one, bits)), Some((other, other_bits))) = (network(one), network(other)) else {
        return true;
    };
    let shorter = bits.min(other_bits);
    let mask = u128::MAX.checked_shl(128 - shorter).unwrap_or_default();
    one & mask == other & mask
}

/// Whether two names may be one row of `admin_user`: MySQL's collations ignore case and spaces at the end, and take letters beyond ASCII
/// for others in ways that differ by version.
fn same_name(one: &str, other: &str) -> bool {
    let is_plain = one.is_ascii() && other.is_ascii();
    !is_plain || one.trim_end().eq_ignore_ascii_case(other.trim_end())
}

/// Whether two accounts may share connections: the same name, and hosts that are one or a pattern.
fn same_account(one: &str, other: &str) -> bool {
    let split = |text: &str| {
        let (name, host) = text.rsplit_once('@').unwrap_or((text, "%"));
        (name.to_owned(), host.to_ascii_lowercase())
    };
    let ((name, host), (other_name, other_host)) = (split(one), split(other));
    let is_pattern = |host: &str| host.contains(['%', '_', '/']);
    name == other_name && (host == other_host || is_pattern(&host) || is_pattern(&other_host))
}

/// Whether a path is another one or lies below it.
fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
