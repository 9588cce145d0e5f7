//! What our include file holds, read from its own head: one line a rule.
//!
//! State and configuration are one file, so that no kill can leave them apart.

use std::collections::BTreeSet;
use std::fmt;

use model::{Argument, ParameterKind, StoreMap};

/// Before each rule, in the file's head.
const BEGINS: &str = "# rule: ";

/// One thing that is closed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// A store view.
    View(Argument),
    /// Every view of a website.
    Website(Argument),
    /// An address or network.
    Network(Argument),
    /// A path and all below it.
    Route(Argument),
    /// PHP outside Magento's entry points.
    Php,
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::View(code) => write!(out, "view {code}"),
            Self::Website(code) => write!(out, "website {code}"),
            Self::Network(network) => write!(out, "network {network}"),
            Self::Route(route) => write!(out, "route {route}"),
            Self::Php => out.write_str("php"),
        }
    }
}

impl Rule {
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(' ').unwrap_or((text, ""));
        let value = |kind| Argument::read(kind, value).ok();
        Some(match kind {
            "view" => Self::View(value(ParameterKind::View)?),
            "website" => Self::Website(value(ParameterKind::Website)?),
            "network" => Self::Network(value(ParameterKind::Network)?),
            "route" => Self::Route(value(ParameterKind::Route)?),
            "php" => Self::Php,
            _ => return None,
        })
    }
}

/// The rules of a file; `None` where a line isn't one, so that nothing is dropped unseen.
pub(super) fn read(content: &str) -> Option<BTreeSet<Rule>> {
    let lines = content.lines().filter_map(|line| line.strip_prefix(BEGINS));
    lines.map(Rule::read).collect()
}

/// The head of a file.
pub(super) fn head(rules: &BTreeSet<Rule>) -> String {
    rules
        .iter()
        .map(|rule| format!("{BEGINS}{rule}\n"))
        .collect()
}

/// Codes of the views that rules close.
pub(super) fn closed<'a>(rules: &BTreeSet<Rule>, stores: &'a StoreMap) -> BTreeSet<&'a str> {
    let is_closed = |code: &str, website: &str| {
        rules.iter().any(|rule| match rule {
            Rule::View(closed) => closed.as_str() == code,
            Rule::Website(closed) => closed.as_str() == website,
            Rule::Network(_) | Rule::Route(_) | Rule::Php => false,
        })
    };
    let views = stores.views.iter();
    views
        .filter(|(code, view)| is_closed(code, &view.website))
        .map(|(code, _)| code.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{head, read};

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let told = read(text).map(|rules| head(&rules));
        assert_eq!(told.as_deref(), expected, "{text}");
    }

    #[test]
    fn rules_are_read_as_they_are_written_and_nothing_else_is() {
        let rules = "# rule: view fr\n# rule: website base\n# rule: network 192.0.2.0/24\n# rule: route /rest/V1\n# rule: php\n";
        check(rules, Some(rules));
        check("map $host $x { }\n", Some(""));
        for broken in ["view", "view a;b", "network 0.0.0.0/0", "route x", "door"] {
            check(&format!("# rule: {broken}\n"), None);
        }
    }
}
