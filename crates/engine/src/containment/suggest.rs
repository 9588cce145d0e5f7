//! Which playbooks answer an incident, and what of it their variables take.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{ActionFacts, ActorKind, AssetKind, Incident, Scope};
use playbook::EXPECTED;

use super::{Playbook, Playbooks};

/// Values told of one variable, at most.
const VALUES_MAX: usize = 20;

/// A playbook for an incident.
#[derive(Clone, Debug)]
pub struct Suggestion {
    /// The playbook.
    pub playbook: Arc<Playbook>,
    /// Rules of the incident that it answers; empty when it answers none of them.
    pub rules: BTreeSet<String>,
    /// By variable, what the incident knows of it, most telling first.
    pub values: BTreeMap<String, Vec<String>>,
}

/// Facts of every action: of those that can be done as they say themselves, of others as playbooks count on them.
#[must_use]
pub fn facts() -> Vec<ActionFacts> {
    let known = |expected: &ActionFacts| {
        responders::action(expected.name).map_or(*expected, |action| *action.facts())
    };
    EXPECTED.iter().map(known).collect()
}

/// Every playbook with what an incident knows of its variables: those that answer most of the rules first. `rules` are those of
/// its findings.
#[must_use]
pub fn suggest(
    playbooks: &Playbooks,
    incident: &Incident,
    rules: &BTreeSet<String>,
) -> Vec<Suggestion> {
    let known = Known::of(incident);
    let one = |playbook: &Arc<Playbook>| {
        let answers = playbook.document.answers();
        let fits = |rule: &&String| self::answers(&answers.rules, rule);
        let values = answers.values.iter();
        let values = values.map(|(name, kind)| (name.clone(), known.values(kind)));
        Suggestion {
            playbook: Arc::clone(playbook),
            rules: rules.iter().filter(fits).cloned().collect(),
            values: values.collect(),
        }
    };
    let mut all: Vec<_> = playbooks.all().map(one).collect();
    // A stable sort: of as many, the order of names.
    all.sort_by_key(|one| std::cmp::Reverse(one.rules.len()));
    all
}

/// Whether a playbook that names these answers a rule.
#[must_use]
pub fn answers(rules: &[String], rule: &str) -> bool {
    rules.iter().any(|glob| matches(glob, rule))
}

/// A name, or how names begin with `*` after it.
fn matches(glob: &str, rule: &str) -> bool {
    match glob.strip_suffix('*') {
        Some(head) => rule.starts_with(head),
        None => glob == rule,
    }
}

/// What an incident names, by what a variable may be.
struct Known<'a> {
    incident: &'a Incident,
}

impl<'a> Known<'a> {
    fn of(incident: &'a Incident) -> Self {
        Self { incident }
    }

    fn values(&self, kind: &str) -> Vec<String> {
        let incident = self.incident;
        let actors = |kind: ActorKind| -> Vec<String> {
            let of_kind = incident.actors.iter().filter(|actor| actor.kind == kind);
            of_kind.map(|actor| actor.value.clone()).collect()
        };
        let assets = |kind: AssetKind| -> Vec<String> {
            let of_kind = incident.assets.iter().filter(|asset| asset.kind == kind);
            of_kind.map(|asset| asset.name.clone()).collect()
        };
        let scopes = |read: fn(&Scope) -> Option<&String>| -> Vec<String> {
            incident.scopes.iter().filter_map(read).cloned().collect()
        };
        let mut all = match kind {
            "address" => actors(ActorKind::Address),
            "administrator" => actors(ActorKind::Administrator),
            "database_account" => actors(ActorKind::DatabaseAccount),
            "integration" => actors(ActorKind::Token),
            "path" => files(&assets(AssetKind::Path)),
            "route" => {
                let mut paths = assets(AssetKind::Path);
                paths.retain(|path| path.starts_with('/') && !is_script(path));
                paths
            }
            "row" => assets(AssetKind::Row),
            "view" => scopes(|scope| match scope {
                Scope::View(code) => Some(code),
                _ => None,
            }),
            "website" => scopes(|scope| match scope {
                Scope::Website(code) => Some(code),
                _ => None,
            }),
            _ => Vec::new(),
        };
        let mut seen = BTreeSet::new();
        all.retain(|value| seen.insert(value.clone()));
        all.truncate(VALUES_MAX);
        all
    }
}

/// Files below the root: as findings of files name them; then those that the web server was asked to run, which lie in `pub`.
fn files(paths: &[String]) -> Vec<String> {
    let named = paths.iter().filter(|path| !path.starts_with('/')).cloned();
    let asked = paths
        .iter()
        .filter(|path| path.starts_with('/') && is_script(path));
    named
        .chain(asked.map(|path| format!("pub{path}")))
        .collect()
}

/// Whether a path of the web server is that of a script, and nothing else stands behind it.
fn is_script(path: &str) -> bool {
    let ends = |ending: &&str| path.to_ascii_lowercase().ends_with(*ending);
    [".php", ".phtml", ".phar"].iter().any(ends)
}

#[cfg(test)]
mod tests {
    use super::{files, matches};
    use crate::containment::Playbooks;
    use crate::content;

    #[test]
    fn every_shipped_playbook_says_which_incidents_it_answers() {
        let all = Playbooks::default();
        assert!(all.all().count() >= 14);
        for one in all.all() {
            let answers = one.document.answers();
            assert!(!answers.rules.is_empty(), "{}: no rule", one.name);
            for variable in answers.values.keys() {
                let known = one.document.variables.contains_key(variable);
                assert!(known, "{}: no variable {variable}", one.name);
            }
        }
    }

    #[test]
    fn every_rule_that_a_playbook_answers_is_there() {
        let rules: String = content::under("rules/", ".yml")
            .map(|(_, text)| text)
            .collect();
        let ids: Vec<&str> = rules
            .lines()
            .filter_map(|line| line.trim().strip_prefix("id: "))
            .map(str::trim)
            .collect();
        for one in Playbooks::default().all() {
            for glob in one.document.answers().rules {
                let is_there = ids.iter().any(|id| matches(&glob, id));
                // What isn't a rule of Sigma: shapes, baselines and such, by their own names.
                assert!(
                    is_there || glob.starts_with("shape-"),
                    "{}: {glob}",
                    one.name
                );
            }
        }
    }

    #[test]
    fn scripts_that_the_web_server_ran_are_files_in_pub() {
        let paths = ["/media/x.php", "var/y.php", "/rest/V1/search", "/a/b.PHTML"];
        let paths = paths.map(str::to_owned);
        assert_eq!(
            files(&paths),
            ["var/y.php", "pub/media/x.php", "pub/a/b.PHTML"]
        );
    }

    #[test]
    fn a_star_stands_for_how_names_end() {
        assert!(matches("web-shell-*", "web-shell-run"));
        assert!(!matches("web-shell", "web-shell-run"));
    }
}
