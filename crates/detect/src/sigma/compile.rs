//! Sigma rules as `rsigma-parser` reads them → compiled rules. Several documents a file; correlations
//! name rules of the same file set. What is not built is refused by name, never ignored.

use std::collections::{BTreeMap, HashMap};

use model::{Category, Field, Level};
use rsigma_parser::{
    ConditionOperator, CorrelationCondition, CorrelationRule, CorrelationType, Detection,
    DetectionItem, SigmaRule, SigmaValue, WindowMode, parse_sigma_yaml,
};
use serde_json::Value as Yaml;

use super::condition;
use super::examples::Example;
use super::matcher::{Item, Selection, Test};
use super::values::{self, test};
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
    /// The file holds no Sigma rules that can be read.
    #[error("{file} can't be read as Sigma rules: {why}")]
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
        let unreadable = |why: String| RuleError::Yaml {
            file: source.name.to_owned(),
            why,
        };
        let read = parse_sigma_yaml(source.text).map_err(|error| unreadable(error.to_string()))?;
        if let Some(why) = read.errors.first() {
            return Err(unreadable(at_line(source.text, why)));
        }
        if let Some(filter) = read.filters.first() {
            return Err(unreadable(format!(
                "`{}` is a filter; write what it leaves out into the rule's condition",
                filter.title
            )));
        }
        for document in read.rules {
            let id = document
                .id
                .clone()
                .unwrap_or_else(|| document.title.clone());
            let rule = rule(&document, &id, source.name).map_err(|why| RuleError::Rule {
                file: source.name.to_owned(),
                rule: id.clone(),
                why,
            })?;
            for name in document.name.into_iter().chain([id]) {
                names.insert(name, rules.len());
            }
            rules.push(rule);
        }
        correlations.extend(read.correlations.into_iter().map(|one| (one, source.name)));
    }
    let mut silenced = std::collections::BTreeSet::new();
    for (document, file) in correlations {
        let id = document
            .id
            .clone()
            .unwrap_or_else(|| document.title.clone());
        let fail = |why: String| RuleError::Rule {
            file: file.to_owned(),
            rule: id.clone(),
            why,
        };
        let mut named = Vec::new();
        for name in &document.rules {
            named.push(
                *names
                    .get(name)
                    .ok_or_else(|| fail(format!("it counts rule `{name}`, which is not there")))?,
            );
        }
        let ids: Vec<u64> = named
            .iter()
            .filter_map(|index| rules.get(*index))
            .map(|rule: &Rule| fnv64(&[rule.facts.id.as_bytes()]))
            .collect();
        let own = own(&document.custom_attributes);
        // One that is named again, to be there so often in its order, is still one rule.
        for index in named.into_iter().collect::<std::collections::BTreeSet<_>>() {
            let window = window(&document, &own, &id, file, &ids).map_err(fail)?;
            let Some(rule) = rules.get_mut(index) else {
                continue;
            };
            if !document.generate && silenced.insert(index) {
                rule.windows.clear();
            }
            rule.windows.push(window);
            rule.examples.extend(examples(&own, &id));
        }
    }
    Ok(rules)
}

/// Adds to what is wrong in a file the line where the document begins that it is wrong in.
fn at_line(text: &str, why: &str) -> String {
    let mut line = 1;
    for document in text.split_inclusive("\n---\n") {
        let wrong = parse_sigma_yaml(document.trim_end_matches("---\n"))
            .map_or(true, |read| !read.errors.is_empty());
        if wrong {
            return format!("{why} (in the document that begins at line {line})");
        }
        line += document.matches('\n').count();
    }
    why.to_owned()
}

/// What a document says beside the standard's keys: `follows`, `examples`, `magewarden`.
fn own<V: serde::Serialize>(attributes: &HashMap<String, V>) -> Yaml {
    serde_json::to_value(attributes).unwrap_or(Yaml::Null)
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

fn facts(title: &str, level: Option<rsigma_parser::Level>, id: &str, file: &str) -> RuleFacts {
    use rsigma_parser::Level as Told;
    RuleFacts {
        id: id.to_owned(),
        title: title.to_owned(),
        level: match level {
            Some(Told::Critical) => Level::Critical,
            Some(Told::High) => Level::High,
            Some(Told::Medium) => Level::Medium,
            Some(Told::Low) => Level::Low,
            Some(Told::Informational) | None => Level::Informational,
        },
        file: file.to_owned(),
        unknown_fields: Vec::new(),
    }
}

fn about(own: &Yaml, tags: &[String], false_positives: &[String], level: Level) -> About {
    let magewarden = own.get("magewarden").unwrap_or(&Yaml::Null);
    About {
        attack: tags
            .iter()
            .filter_map(|tag| tag.strip_prefix("attack.t"))
            .map(|id| format!("T{id}"))
            .collect(),
        requirements: texts(own, "follows"),
        false_positives: false_positives.to_vec(),
        assets: texts(magewarden, "assets"),
        denied: magewarden.get("denied") == Some(&Yaml::Bool(true)),
        level,
    }
}

fn rule(document: &SigmaRule, id: &str, file: &str) -> Result<Rule, String> {
    let mut facts = facts(&document.title, document.level, id, file);
    // Rules of other products load, and see nothing.
    let named = document.logsource.category.as_deref().unwrap_or("other");
    let category = Category::named(named).map_or("other", Category::name);
    let named: BTreeMap<_, _> = document.detection.named.iter().collect();
    let (mut names, mut selections) = (Vec::new(), Vec::new());
    for (name, detection) in named {
        names.push(name.clone());
        selections.push(Selection {
            maps: selection(detection, &mut facts.unknown_fields)?,
        });
    }
    let condition = condition::convert(&document.detection.conditions, &names)?;
    let own = own(&document.custom_attributes);
    let group = match texts(own.get("magewarden").unwrap_or(&Yaml::Null), "group") {
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
        about: about(&own, &document.tags, &document.falsepositives, facts.level),
    };
    let examples = examples(&own, id);
    let needs = condition.needs(&|index| {
        selections
            .get(index)
            .map(Selection::needs)
            .unwrap_or_default()
    });
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
        "payment_page" => vec![Field::Url],
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

fn window(
    document: &CorrelationRule,
    own: &Yaml,
    id: &str,
    file: &str,
    rules: &[u64],
) -> Result<WindowSpec, String> {
    let facts = facts(&document.title, document.level, id, file);
    let CorrelationCondition::Threshold {
        predicates,
        field: of,
        ..
    } = &document.condition
    else {
        return Err("its condition can't be an expression; name rules and a number".to_owned());
    };
    if document.window != WindowMode::Sliding {
        return Err("its window can't be tumbling or a session; sliding can be used".to_owned());
    }
    if !document.aliases.is_empty() {
        return Err("aliases can't be used; name one field in group-by".to_owned());
    }
    let least = match predicates.as_slice() {
        [(ConditionOperator::Gte, least)] => *least,
        [(ConditionOperator::Gt, more)] => more.saturating_add(1),
        _ => return Err("its condition needs `gte` or `gt`, and nothing else".to_owned()),
    };
    let all = rules.len() as u64;
    let (counted, least) = match document.correlation_type {
        CorrelationType::EventCount => (Counted::Events, least),
        CorrelationType::Temporal => (Counted::Rules, if least <= 1 { all } else { least }),
        CorrelationType::TemporalOrdered => (
            Counted::RulesInOrder(rules.to_vec()),
            if least <= 1 { all } else { least },
        ),
        CorrelationType::ValueCount => {
            let Some([name]) = of.as_deref() else {
                return Err("value_count needs one condition.field".to_owned());
            };
            let of = field(name).ok_or(format!("`{name}` is no field"))?;
            (Counted::Values(of), least)
        }
        other => {
            return Err(format!(
                "correlation type `{other:?}` can't be used; event_count, value_count, temporal and temporal_ordered can"
            ));
        }
    };
    Ok(WindowSpec {
        about: about(own, &document.tags, &document.falsepositives, facts.level),
        facts,
        group: fields(&document.group_by)?,
        timespan_seconds: i64::try_from(document.timespan.seconds).unwrap_or(i64::MAX),
        least: usize::try_from(least).unwrap_or(usize::MAX).max(1),
        counted,
        bytes_least: own["magewarden"]["bytes_least"].as_i64().unwrap_or(0),
    })
}

/// The maps of a selection: one of them must hold.
fn selection(detection: &Detection, unknown: &mut Vec<String>) -> Result<Vec<Vec<Item>>, String> {
    match detection {
        Detection::AllOf(list) => Ok(vec![items(list, unknown)?]),
        Detection::AnyOf(list) => {
            let mut maps = Vec::new();
            for one in list {
                maps.extend(selection(one, unknown)?);
            }
            Ok(maps)
        }
        // Keywords: in the message, the statement or the address.
        Detection::Keywords(words) => {
            let mut maps = Vec::new();
            for field in [Field::Message, Field::Context, Field::Statement, Field::Uri] {
                let mut tests = Vec::new();
                for word in words {
                    tests.extend(test(&value(word)?, &["contains"])?);
                }
                maps.push(vec![Item {
                    field: Some(field),
                    tests: vec![tests],
                    all: false,
                }]);
            }
            Ok(maps)
        }
        _ => Err("a selection is a map, a list of maps or a list of keywords".to_owned()),
    }
}

fn items(list: &[DetectionItem], unknown: &mut Vec<String>) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for one in list {
        let name = one
            .field
            .name
            .as_deref()
            .ok_or("keywords can't have modifiers; name a field")?;
        let field = field(name);
        if field.is_none() && !unknown.iter().any(|known| known == name) {
            unknown.push(name.to_owned());
        }
        let modifiers = one
            .field
            .modifiers
            .iter()
            .map(|modifier| values::name(*modifier))
            .collect::<Result<Vec<_>, _>>()?;
        let tests = one
            .values
            .iter()
            .map(|told| test(&value(told)?, &modifiers))
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

/// A value as it was written.
fn value(told: &SigmaValue) -> Result<Yaml, String> {
    Ok(match told {
        SigmaValue::String(text) => Yaml::String(text.original.clone()),
        SigmaValue::Integer(number) => Yaml::from(*number),
        SigmaValue::Bool(truth) => Yaml::Bool(*truth),
        SigmaValue::Null => Yaml::Null,
        SigmaValue::Float(number) => {
            return Err(format!(
                "`{number}` is no whole number; quote it if it is a text"
            ));
        }
    })
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
