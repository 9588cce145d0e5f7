//! Sigma YAML → compiled rules. Several documents a file; correlations name rules of the same file set.

use std::collections::BTreeMap;

use memchr::memmem::Finder;
use model::{Field, Level};
use serde_json::Value as Yaml;

use super::condition;
use super::examples::Example;
use super::matcher::{Item, Order, Selection, Test};
use super::{About, Rule, WindowSpec};
use crate::RuleFacts;

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
        for name in correlated(&document).map_err(fail)? {
            let index = *names
                .get(&name)
                .ok_or_else(|| fail(format!("it counts rule `{name}`, which is not there")))?;
            let window = window(&document, &facts).map_err(fail)?;
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

fn rule(document: &Yaml, facts: RuleFacts) -> Result<Rule, String> {
    let named = document["logsource"]["category"]
        .as_str()
        .ok_or("it has no logsource.category")?;
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
            selections.push(selection(value)?);
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
        distinct: None,
        bytes_least: 0,
        about: about(document, facts.level),
    };
    let examples = examples(document, &facts.id);
    Ok(Rule {
        facts,
        category,
        condition,
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

fn field(name: &str) -> Option<Field> {
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

fn window(document: &Yaml, facts: &RuleFacts) -> Result<WindowSpec, String> {
    let correlation = &document["correlation"];
    let condition = &correlation["condition"];
    let least = condition["gte"]
        .as_u64()
        .or_else(|| condition["gt"].as_u64().map(|more| more + 1))
        .ok_or("its condition needs `gte` or `gt`")?;
    let distinct = match correlation["type"].as_str() {
        Some("event_count") => None,
        Some("value_count") => {
            let name = condition["field"]
                .as_str()
                .ok_or("value_count needs condition.field")?;
            Some(field(name).ok_or(format!("`{name}` is no field"))?)
        }
        other => {
            return Err(format!(
                "correlation type `{}` can't be used; event_count and value_count can",
                other.unwrap_or_default()
            ));
        }
    };
    Ok(WindowSpec {
        facts: facts.clone(),
        group: fields(&texts(correlation, "group-by"))?,
        timespan_seconds: timespan(correlation["timespan"].as_str().unwrap_or_default())?,
        least: usize::try_from(least).unwrap_or(usize::MAX).max(1),
        distinct,
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

fn selection(value: &Yaml) -> Result<Selection, String> {
    let maps = match value {
        Yaml::Object(_) => vec![items(value)?],
        Yaml::Array(list) if list.iter().all(Yaml::is_object) => {
            list.iter().map(items).collect::<Result<_, _>>()?
        }
        // Keywords: in the message, the statement or the address.
        Yaml::Array(_) | Yaml::String(_) => {
            let words = if let Yaml::Array(list) = value {
                list.clone()
            } else {
                vec![value.clone()]
            };
            let mut maps = Vec::new();
            for field in [Field::Message, Field::Context, Field::Statement, Field::Uri] {
                let tests = words
                    .iter()
                    .map(|word| test(word, &["contains"]))
                    .collect::<Result<_, _>>()?;
                maps.push(vec![Item {
                    field,
                    tests,
                    all: false,
                }]);
            }
            maps
        }
        _ => return Err("a selection is a map, a list of maps or a list of keywords".to_owned()),
    };
    Ok(Selection { maps })
}

fn items(map: &Yaml) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for (key, value) in map.as_object().into_iter().flatten() {
        let mut parts = key.split('|');
        let name = parts.next().unwrap_or_default();
        let field = field(name).ok_or(format!("`{name}` is no field"))?;
        let modifiers: Vec<&str> = parts.collect();
        let values = if let Yaml::Array(list) = value {
            list.clone()
        } else {
            vec![value.clone()]
        };
        let tests = values
            .iter()
            .map(|value| test(value, &modifiers))
            .collect::<Result<_, _>>()?;
        items.push(Item {
            field,
            tests,
            all: modifiers.contains(&"all"),
        });
    }
    Ok(items)
}

fn test(value: &Yaml, modifiers: &[&str]) -> Result<Test, String> {
    let known = [
        "contains",
        "startswith",
        "endswith",
        "all",
        "cased",
        "re",
        "i",
        "gt",
        "gte",
        "lt",
        "lte",
        "exists",
    ];
    if let Some(unknown) = modifiers.iter().find(|name| !known.contains(*name)) {
        return Err(format!("modifier `{unknown}` can't be used"));
    }
    let has = |name: &str| modifiers.contains(&name);
    if value.is_null() {
        return Ok(Test::Null);
    }
    if has("exists") {
        return Ok(Test::Exists(value == &Yaml::Bool(true)));
    }
    let orders = [
        ("gt", Order::Greater),
        ("gte", Order::GreaterOrEqual),
        ("lt", Order::Less),
        ("lte", Order::LessOrEqual),
    ];
    if let Some((_, order)) = orders.into_iter().find(|(name, _)| has(name)) {
        return Ok(Test::Number(
            order,
            value.as_i64().ok_or("a comparison needs a whole number")?,
        ));
    }
    if let Some(number) = value.as_i64() {
        return Ok(Test::Number(Order::Equal, number));
    }
    let text = value.as_str().ok_or("a value is a text or a number")?;
    if has("re") {
        let flag = if has("i") { "(?i)" } else { "" };
        return Regex::new(&format!("{flag}{text}"))
            .map(Test::Pattern)
            .map_err(|error| error.to_string());
    }
    if has("cased") {
        return Ok(Test::Cased(text.to_owned()));
    }
    let lower = text.to_ascii_lowercase();
    Ok(if has("contains") {
        wildcards(&lower, true, true)?
    } else if has("startswith") {
        wildcards(&lower, false, true)?
    } else if has("endswith") {
        wildcards(&lower, true, false)?
    } else {
        wildcards(&lower, false, false)?
    })
}

use regex::Regex;

/// A text with Sigma's wildcards `*` and `?` (escaped by `\`), open at either end where asked.
fn wildcards(text: &str, open_start: bool, open_end: bool) -> Result<Test, String> {
    let inner_wild = text.contains(['*', '?']);
    if !inner_wild {
        let plain = text.replace("\\\\", "\\");
        return Ok(match (open_start, open_end) {
            (true, true) => Test::Contains(Box::new(Finder::new(plain.as_bytes()).into_owned())),
            (false, true) => Test::Starts(plain),
            (true, false) => Test::Ends(plain),
            (false, false) => Test::Equals(plain),
        });
    }
    let mut pattern = String::from("(?is)");
    if !open_start {
        pattern.push('^');
    }
    let mut escaped = false;
    for character in text.chars() {
        match character {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            '*' if !escaped => pattern.push_str(".*"),
            '?' if !escaped => pattern.push('.'),
            other => pattern.push_str(&regex::escape(&other.to_string())),
        }
        escaped = false;
    }
    if !open_end {
        pattern.push('$');
    }
    Regex::new(&pattern)
        .map(Test::Pattern)
        .map_err(|error| error.to_string())
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
