//! Sigma YAML → compiled rules. Several documents a file; correlations name rules of the same file set.

use std::collections::BTreeMap;

use model::{Field, Level};
use serde_json::Value as Yaml;

use super::condition;
use super::examples::Example;
use super::matcher::{Item, Selection, Test};
use super::values::test;
use super::{About, Counted, Rule, WindowSpec};
use crate::RuleFacts;
use crate::hash::fnv64;

/// A file of rules.
#[derive(Clone, Copy, Debug)]
pub struct RuleSource<'a> {
    /// Its name, for messages.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// Why a rule can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The file isn't YAML.
    #[error("{file} can't be read as YAML: {why}")]
    Yaml {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// A rule says something that can't be used.
    #[error("rule `{rule}` in {file}: {why}")]
    Rule {
        /// The file.
        file: String,
        /// The rule's id or title.
        rule: String,
        /// What is wrong.
        why: String,
    },
}

/// Seconds within which matches of a rule that nobody counts are one finding.
const PLAIN_TIMESPAN: i64 = 60;

/// Compiles every document.
pub(crate) fn compile(sources: &[RuleSource<'_>]) -> Result<Vec<Rule>, RuleError> {
    let (mut rules, mut correlations) = (Vec::new(), Vec::new());
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for source in sources {
        let documents: Vec<Yaml> =
            serde_saphyr::from_multiple(source.text).map_err(|error| RuleError::Yaml {
                file: source.name.to_owned(),
                why: error.to_string(),
            })?;
        for document in documents.into_iter().filter(|document| !document.is_null()) {
            let id = text(&document, "id")
                .or_else(|| text(&document, "title"))
                .unwrap_or_else(|| "without id".to_owned());
            let fail = |why: String| RuleError::Rule {
                file: source.name.to_owned(),
                rule: id.clone(),
                why,
            };
            let facts = facts(&document, source.name, &id).map_err(fail)?;
            if document.get("correlation").is_some() {
                correlations.push((document, facts));
                continue;
            }
            let rule = rule(&document, facts).map_err(fail)?;
            for name in [text(&document, "name"), Some(id.clone())]
                .into_iter()
                .flatten()
            {
                names.insert(name, rules.len());
            }
            rules.push(rule);
        }
    }
    let mut silenced = std::collections::BTreeSet::new();
    for (document, facts) in correlations {
        let fail = |why: String| RuleError::Rule {
            file: facts.file.clone(),
            rule: facts.id.clone(),
            why,
        };
        let mut named = Vec::new();
        for name in correlated(&document).map_err(fail)? {
            named.push(
                *names
                    .get(&name)
                    .ok_or_else(|| fail(format!("it counts rule `{name}`, which is not there")))?,
            );
        }
        let ids: Vec<u64> = named
            .iter()
            .filter_map(|index| rules.get(*index))
            .map(|rule: &Rule| fnv64(&[rule.facts.id.as_bytes()]))
            .collect();
        for index in named {
            let window = window(&document, &facts, &ids).map_err(fail)?;
            let Some(rule) = rules.get_mut(index) else {
                continue;
            };
            if document["correlation"]["generate"] != Yaml::Bool(true) && silenced.insert(index) {
                rule.windows.clear();
            }
            rule.windows.push(window);
            rule.examples.extend(examples(&document, &facts.id));
        }
    }
    Ok(rules)
}

fn text(document: &Yaml, key: &str) -> Option<String> {
    document.get(key).and_then(Yaml::as_str).map(str::to_owned)
}

fn texts(document: &Yaml, key: &str) -> Vec<String> {
    match document.get(key) {
        Some(Yaml::String(text)) => vec![text.clone()],
        Some(Yaml::Array(list)) => list
            .iter()
            .filter_map(Yaml::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

fn facts(document: &Yaml, file: &str, id: &str) -> Result<RuleFacts, String> {
    let level = match text(document, "level").as_deref() {
        None | Some("informational") => Level::Informational,
        Some("low") => Level::Low,
        Some("medium") => Level::Medium,
        Some("high") => Level::High,
        Some("critical") => Level::Critical,
        Some(other) => return Err(format!("`{other}` is no level")),
    };
    let title = text(document, "title").ok_or("it has no title")?;
    Ok(RuleFacts {
        id: id.to_owned(),
        title,
        level,
        file: file.to_owned(),
        unknown_fields: Vec::new(),
    })
}

fn about(document: &Yaml, level: Level) -> About {
    let own = document.get("magewarden").unwrap_or(&Yaml::Null);
    About {
        attack: texts(document, "tags")
            .iter()
            .filter_map(|tag| tag.strip_prefix("attack.t"))
            .map(|id| format!("T{id}"))
            .collect(),
        requirements: texts(document, "follows"),
        false_positives: texts(document, "falsepositives"),
        assets: texts(own, "assets"),
        denied: own.get("denied") == Some(&Yaml::Bool(true)),
        level,
    }
}

fn rule(document: &Yaml, mut facts: RuleFacts) -> Result<Rule, String> {
    // Rules of other products load, and see nothing.
    let named = document["logsource"]["category"]
        .as_str()
        .unwrap_or("other");
    let categories = [
        "database",
        "webserver",
        "webserver_error",
        "application",
        "syslog",
        "health",
    ];
    let category = categories
        .iter()
        .copied()
        .find(|known| *known == named)
        .unwrap_or("other");
    let detection = document["detection"]
        .as_object()
        .ok_or("it has no detection")?;
    let (mut names, mut selections) = (Vec::new(), Vec::new());
    for (name, value) in detection {
        if name != "condition" && name != "timeframe" {
            names.push(name.clone());
            selections.push(selection(value, &mut facts.unknown_fields)?);
        }
    }
    let condition = condition::parse(
        detection
            .get("condition")
            .and_then(Yaml::as_str)
            .ok_or("it has no condition")?,
        &names,
    )?;
    let own = document.get("magewarden").unwrap_or(&Yaml::Null);
    let group = match texts(own, "group") {
        none if none.is_empty() => default_group(category),
        some => fields(&some)?,
    };
    let window = WindowSpec {
        facts: facts.clone(),
        group,
        timespan_seconds: PLAIN_TIMESPAN,
        least: 1,
        counted: Counted::Events,
        bytes_least: 0,
        about: about(document, facts.level),
    };
    let examples = examples(document, &facts.id);
    let needs = condition.needs(&|index| selections.get(index).map_or(0, Selection::needs));
    Ok(Rule {
        facts,
        category,
        condition,
        needs,
        selections,
        windows: vec![window],
        examples,
    })
}

fn default_group(category: &str) -> Vec<Field> {
    match category {
        "database" => vec![Field::DbUser, Field::ConnectionId],
        "webserver" | "webserver_error" => vec![Field::ClientIp],
        _ => Vec::new(),
    }
}

fn fields(names: &[String]) -> Result<Vec<Field>, String> {
    names
        .iter()
        .map(|name| field(name).ok_or(format!("`{name}` is no field")))
        .collect()
}

pub(super) fn field(name: &str) -> Option<Field> {
    Field::ALL
        .iter()
        .copied()
        .find(|field| field.name() == name)
}

fn correlated(document: &Yaml) -> Result<Vec<String>, String> {
    let rules = texts(&document["correlation"], "rules");
    if rules.is_empty() {
        Err("its correlation names no rules".to_owned())
    } else {
        Ok(rules)
    }
}

fn window(document: &Yaml, facts: &RuleFacts, rules: &[u64]) -> Result<WindowSpec, String> {
    let correlation = &document["correlation"];
    let condition = &correlation["condition"];
    let all = u64::try_from(rules.len()).ok();
    let temporal = correlation["type"]
        .as_str()
        .is_some_and(|name| name.starts_with("temporal"));
    let least = condition["gte"]
        .as_u64()
        .or_else(|| condition["gt"].as_u64().map(|more| more.saturating_add(1)));
    let least = least
        .or(all.filter(|_| temporal))
        .ok_or("its condition needs `gte` or `gt`")?;
    let counted = match correlation["type"].as_str() {
        Some("event_count") => Counted::Events,
        Some("temporal") => Counted::Rules,
        Some("temporal_ordered") => Counted::RulesInOrder(rules.to_vec()),
        Some("value_count") => {
            let name = condition["field"]
                .as_str()
                .ok_or("value_count needs condition.field")?;
            Counted::Values(field(name).ok_or(format!("`{name}` is no field"))?)
        }
        other => {
            return Err(format!(
                "correlation type `{}` can't be used; event_count, value_count, temporal and temporal_ordered can",
                other.unwrap_or_default()
            ));
        }
    };
    Ok(WindowSpec {
        facts: facts.clone(),
        group: fields(&texts(correlation, "group-by"))?,
        timespan_seconds: timespan(correlation["timespan"].as_str().unwrap_or_default())?,
        least: usize::try_from(least).unwrap_or(usize::MAX).max(1),
        counted,
        bytes_least: document["magewarden"]["bytes_least"].as_i64().unwrap_or(0),
        about: about(document, facts.level),
    })
}

fn timespan(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is no timespan; e.g. 30s, 5m, 1h, 1d");
    let number = text
        .get(..text.len().saturating_sub(1))
        .and_then(|number| number.parse::<i64>().ok())
        .ok_or_else(wrong)?;
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => return Err(wrong()),
    };
    Ok(number * unit)
}

fn selection(value: &Yaml, unknown: &mut Vec<String>) -> Result<Selection, String> {
    let maps = match value {
        Yaml::Object(_) => vec![items(value, unknown)?],
        Yaml::Array(list) if list.iter().all(Yaml::is_object) => list
            .iter()
            .map(|map| items(map, unknown))
            .collect::<Result<_, _>>()?,
        // Keywords: in the message, the statement or the address.
        Yaml::Array(_) | Yaml::String(_) => {
            let words = if let Yaml::Array(list) = value {
                list.clone()
            } else {
                vec![value.clone()]
            };
            let mut maps = Vec::new();
            for field in [Field::Message, Field::Context, Field::Statement, Field::Uri] {
                let mut tests = Vec::new();
                for word in &words {
                    tests.extend(test(word, &["contains"])?);
                }
                maps.push(vec![Item {
                    field: Some(field),
                    tests: vec![tests],
                    all: false,
                }]);
            }
            maps
        }
        _ => return Err("a selection is a map, a list of maps or a list of keywords".to_owned()),
    };
    Ok(Selection { maps })
}

fn items(map: &Yaml, unknown: &mut Vec<String>) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for (key, value) in map.as_object().into_iter().flatten() {
        let mut parts = key.split('|');
        let name = parts.next().unwrap_or_default();
        let field = field(name);
        if field.is_none() && !unknown.iter().any(|known| known == name) {
            unknown.push(name.to_owned());
        }
        let modifiers: Vec<&str> = parts.collect();
        let values = if let Yaml::Array(list) = value {
            list.clone()
        } else {
            vec![value.clone()]
        };
        let tests = values
            .iter()
            .map(|value| test(value, &modifiers))
            .collect::<Result<Vec<_>, _>>()?;
        items.push(Item {
            field,
            tests,
            all: modifiers.contains(&"all"),
        });
    }
    // Each must hold, so the cheap ones are asked first.
    items.sort_by_key(|item| item.tests.iter().flatten().map(Test::cost).max());
    Ok(items)
}

fn examples(document: &Yaml, rule: &str) -> Vec<Example> {
    let mut found = Vec::new();
    for (key, must) in [("match", true), ("pass", false)] {
        for example in document["examples"][key].as_array().into_iter().flatten() {
            let Some(record) = example["record"].as_str() else {
                continue;
            };
            let repeat = example["repeat"].as_u64().unwrap_or(1).clamp(1, 1000);
            found.push(Example {
                rule: rule.to_owned(),
                must,
                format: example["as"].as_str().unwrap_or_default().to_owned(),
                record: record.to_owned(),
                repeat,
            });
        }
    }
    found
}
