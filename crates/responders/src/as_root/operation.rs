//! What can be asked of the root helper, and what it answers: one line of JSON each.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::network::Network;
use crate::nginx::Rule;

/// Longest request, in bytes with the end of its line: some hundred rules of nginx.
pub(super) const REQUEST_BYTES_MAX: usize = 64 << 10;
/// Longest answer, in bytes: every network that can be dropped at once.
pub(super) const REPLY_BYTES_MAX: usize = 256 << 10;
/// Longest word of why, in characters.
const WHY_CHARS_MAX: usize = 1000;

/// One of the closed list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// nginx's configuration is tested.
    TestNginx,
    /// nginx takes its configuration anew.
    ReloadNginx,
    /// Our include file for `http{}` is written anew, from these rules and from root's own list of stores.
    PutRules {
        /// All that is closed afterwards.
        rules: Rules,
        /// When the file was changed, where an undo gives that back.
        modified: Option<SystemTime>,
    },
    /// Networks whose packets are dropped are told.
    ListNetworks,
    /// Packets of a network are dropped.
    AddNetwork(Network),
    /// They are no longer.
    RemoveNetwork(Network),
}

/// Rules of nginx, each read to its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(pub(crate) BTreeSet<Rule>);

/// Why a request is none. Holds nothing of it but what the reader of JSON says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It has no end within the limit.
    #[error("a request is one line of at most {REQUEST_BYTES_MAX} bytes")]
    Long,
    /// It is no JSON, has a word that isn't known, lacks one, or names no operation of the list.
    #[error(
        "no request: {why}; it is one of add_network, list_networks, put_rules, reload_nginx, remove_network, test_nginx"
    )]
    Form {
        /// What the reader said.
        why: String,
    },
    /// A network isn't one.
    #[error("`network` is no address and no network, e.g. 192.0.2.0/24")]
    Network,
    /// A rule isn't one.
    #[error("an entry of `rules` is no rule of nginx's")]
    Rule,
    /// A time isn't one.
    #[error("`modified` is no time")]
    Time,
}

/// A request as it is written.
#[derive(Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case", deny_unknown_fields)]
enum Written {
    // Braces, since a variant without them takes any further word.
    TestNginx {},
    ReloadNginx {},
    PutRules {
        rules: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        modified: Option<(u64, u32)>,
    },
    ListNetworks {},
    AddNetwork {
        network: String,
    },
    RemoveNetwork {
        network: String,
    },
}

impl Operation {
    /// Reads a request, with or without the end of its line.
    ///
    /// # Errors
    ///
    /// [`RequestError`] when it is none of the list, whole and with nothing besides.
    pub fn read(line: &[u8]) -> Result<Self, RequestError> {
        if line.len() > REQUEST_BYTES_MAX {
            return Err(RequestError::Long);
        }
        let written = serde_json::from_slice(line).map_err(|error| RequestError::Form {
            why: cut(&error.to_string()),
        })?;
        let network = |text: &str| Network::read(text).ok_or(RequestError::Network);
        Ok(match written {
            Written::TestNginx {} => Self::TestNginx,
            Written::ReloadNginx {} => Self::ReloadNginx,
            Written::PutRules { rules, modified } => {
                let rules: Option<_> = rules.iter().map(|rule| Rule::read(rule)).collect();
                let time = |(seconds, nanoseconds): (u64, u32)| {
                    let is_one = nanoseconds < 1_000_000_000;
                    let since = is_one.then(|| Duration::new(seconds, nanoseconds));
                    let time = since.and_then(|since| UNIX_EPOCH.checked_add(since));
                    time.ok_or(RequestError::Time)
                };
                Self::PutRules {
                    rules: Rules(rules.ok_or(RequestError::Rule)?),
                    modified: modified.map(time).transpose()?,
                }
            }
            Written::ListNetworks {} => Self::ListNetworks,
            Written::AddNetwork { network: text } => Self::AddNetwork(network(&text)?),
            Written::RemoveNetwork { network: text } => Self::RemoveNetwork(network(&text)?),
        })
    }

    /// The request as a line.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let written = match self {
            Self::TestNginx => Written::TestNginx {},
            Self::ReloadNginx => Written::ReloadNginx {},
            Self::PutRules { rules, modified } => Written::PutRules {
                rules: rules.0.iter().map(ToString::to_string).collect(),
                modified: modified.map(|time| {
                    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
                    (since.as_secs(), since.subsec_nanos())
                }),
            },
            Self::ListNetworks => Written::ListNetworks {},
            Self::AddNetwork(network) => Written::AddNetwork {
                network: network.to_string(),
            },
            Self::RemoveNetwork(network) => Written::RemoveNetwork {
                network: network.to_string(),
            },
        };
        line(&written)
    }
}

/// In words, for the log.
impl fmt::Display for Operation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TestNginx => out.write_str("test_nginx"),
            Self::ReloadNginx => out.write_str("reload_nginx"),
            Self::PutRules { rules, .. } => {
                let rules: Vec<_> = rules.0.iter().map(ToString::to_string).collect();
                write!(out, "put_rules [{}]", rules.join(", "))
            }
            Self::ListNetworks => out.write_str("list_networks"),
            Self::AddNetwork(network) => write!(out, "add_network {network}"),
            Self::RemoveNetwork(network) => write!(out, "remove_network {network}"),
        }
    }
}

/// What comes of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reply {
    /// It is done.
    Done {},
    /// Networks whose packets are dropped.
    Networks {
        /// Each, as text.
        networks: Vec<String>,
    },
    /// It isn't done, and won't be.
    Refused {
        /// Why, in words.
        why: String,
    },
    /// It was tried.
    Failed {
        /// What came of it, in words.
        why: String,
    },
}

impl Reply {
    /// A word of why, of bounded length.
    pub(super) fn refused(why: &str) -> Self {
        Self::Refused { why: cut(why) }
    }

    /// The same of what was tried.
    pub(super) fn failed(why: &str) -> Self {
        Self::Failed { why: cut(why) }
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// What the reader of JSON says.
    pub fn read(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// The answer as a line.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        line(self)
    }
}

fn line<T: Serialize>(value: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).expect("texts and numbers are JSON");
    line.push(b'\n');
    line
}

fn cut(why: &str) -> String {
    why.chars().take(WHY_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::{Operation, REQUEST_BYTES_MAX, Reply, Rules};
    use crate::network::Network;
    use crate::nginx::Rule;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[track_caller]
    fn check(line: &str, expected: Result<&str, &str>) {
        let read = Operation::read(line.as_bytes());
        match (read, expected) {
            (Ok(read), Ok(words)) => assert_eq!(read.to_string(), words),
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (read, expected) => assert_eq!(
                read.map(|read| read.to_string()),
                expected
                    .map(str::to_owned)
                    .map_err(|_| super::RequestError::Long)
            ),
        }
    }

    #[test]
    fn a_request_is_of_the_list_or_refused_with_what_to_do() {
        check(r#"{"operation":"test_nginx"}"#, Ok("test_nginx"));
        check("{\"operation\":\"reload_nginx\"}\n", Ok("reload_nginx"));
        check(r#"{"operation":"list_networks"}"#, Ok("list_networks"));
        check(
            r#"{"operation":"add_network","network":"::ffff:192.0.2.7"}"#,
            Ok("add_network 192.0.2.7"),
        );
        check(
            r#"{"operation":"remove_network","network":"2001:db8::/32"}"#,
            Ok("remove_network 2001:db8::/32"),
        );
        check(
            r#"{"operation":"put_rules","rules":["view fr","php"],"modified":[1,2]}"#,
            Ok("put_rules [view fr, php]"),
        );
        for (line, words) in [
            ("", "no request"),
            ("null", "no request"),
            ("\u{1b}[2J", "no request"),
            (
                r#"{"operation":"run","program":"/bin/sh"}"#,
                "one of add_network, list_networks",
            ),
            (
                r#"{"operation":"test_nginx","program":"/bin/sh"}"#,
                "unknown field `program`",
            ),
            (
                r#"{"operation":"test_nginx","operation":"reload_nginx"}"#,
                "duplicate field",
            ),
            (
                r#"{"operation":"test_nginx"}{"operation":"reload_nginx"}"#,
                "trailing characters",
            ),
            (r#"{"operation":"add_network"}"#, "missing field `network`"),
            (
                r#"{"operation":"add_network","network":"0.0.0.0/0"}"#,
                "no address and no network",
            ),
            (
                r#"{"operation":"add_network","network":"192.0.2.7 } ; flush ruleset"}"#,
                "no address and no network",
            ),
            (r#"{"operation":"add_network","network":7}"#, "invalid type"),
            (
                r#"{"operation":"put_rules","rules":["view fr;"]}"#,
                "no rule",
            ),
            (
                r#"{"operation":"put_rules","rules":["include /etc/shadow"]}"#,
                "no rule",
            ),
            (
                r#"{"operation":"put_rules","rules":[],"modified":[1,1000000000]}"#,
                "no time",
            ),
            (
                r#"{"operation":"put_rules","rules":[],"modified":[18446744073709551615,1]}"#,
                "no time",
            ),
        ] {
            check(line, Err(words));
        }
        check(
            &" ".repeat(REQUEST_BYTES_MAX + 1),
            Err("of at most 65536 bytes"),
        );
    }

    fn operations() -> impl Strategy<Value = Operation> {
        let network = (any::<std::net::IpAddr>(), 1_u32..=128)
            .prop_filter_map("a network", |(address, bits)| Network::of(address, bits));
        let rule = prop_oneof![
            network
                .clone()
                .prop_filter_map("a rule", |one| Rule::read(&format!("network {one}"))),
            "/[a-z/]{0,20}".prop_filter_map("a rule", |path| Rule::read(&format!("route {path}"))),
            Just(Rule::Php),
        ];
        let rules = prop::collection::btree_set(rule, 0..8).prop_map(Rules);
        let modified = prop::option::of(
            (0_u64..1 << 40, 0_u32..1_000_000_000)
                .prop_map(|(s, n)| UNIX_EPOCH + Duration::new(s, n)),
        );
        prop_oneof![
            Just(Operation::TestNginx),
            Just(Operation::ReloadNginx),
            Just(Operation::ListNetworks),
            network.clone().prop_map(Operation::AddNetwork),
            network.prop_map(Operation::RemoveNetwork),
            (rules, modified).prop_map(|(rules, modified)| Operation::PutRules { rules, modified }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(operation in operations()) {
            prop_assert_eq!(Operation::read(&operation.line()), Ok(operation));
        }

        #[test]
        fn any_bytes_are_a_request_or_refused_in_few_words(bytes: Vec<u8>, operation in operations(), at: prop::sample::Index, byte: u8) {
            let mut bent = operation.line();
            let at = at.index(bent.len());
            bent[at] = byte;
            for bytes in [bytes, bent] {
                match Operation::read(&bytes) {
                    Ok(read) => prop_assert_eq!(Operation::read(&read.line()), Ok(read)),
                    Err(error) => prop_assert!(error.to_string().len() < 8000),
                }
                drop(Reply::read(&bytes));
            }
        }
    }
}
