//! Sigma's conditions: `selection and not 1 of filter_*`.

use model::FieldSet;
use rsigma_parser::{ConditionExpr, Quantifier, SelectorPattern};

/// A condition over selections by number.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    Is(usize),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl Condition {
    pub(crate) fn holds(&self, matched: &mut dyn FnMut(usize) -> bool) -> bool {
        match self {
            Self::Is(index) => matched(*index),
            Self::Not(inner) => !inner.holds(matched),
            Self::All(parts) => parts.iter().all(|part| part.holds(matched)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(matched)),
        }
    }
}

impl Condition {
    /// What must be there for it to hold, from what each selection needs.
    pub(crate) fn needs(&self, of: &dyn Fn(usize) -> FieldSet) -> FieldSet {
        match self {
            Self::Is(index) => of(*index),
            Self::Not(_) => FieldSet::default(),
            Self::All(parts) => parts
                .iter()
                .map(|part| part.needs(of))
                .fold(FieldSet::default(), FieldSet::joined),
            Self::Any(parts) => parts
                .iter()
                .map(|part| part.needs(of))
                .reduce(FieldSet::common)
                .unwrap_or_default(),
        }
    }
}

/// Takes conditions over the names of selections; any of them may hold.
///
/// # Errors
///
/// What is wrong, in words.
pub(crate) fn convert(told: &[ConditionExpr], names: &[String]) -> Result<Condition, String> {
    let parts: Result<Vec<_>, _> = told.iter().map(|one| part(one, names)).collect();
    Ok(one_or(parts?, Condition::Any))
}

fn part(told: &ConditionExpr, names: &[String]) -> Result<Condition, String> {
    let parts = |list: &[ConditionExpr]| {
        list.iter()
            .map(|one| part(one, names))
            .collect::<Result<Vec<_>, String>>()
    };
    Ok(match told {
        ConditionExpr::And(list) => one_or(parts(list)?, Condition::All),
        ConditionExpr::Or(list) => one_or(parts(list)?, Condition::Any),
        ConditionExpr::Not(inner) => Condition::Not(Box::new(part(inner, names)?)),
        ConditionExpr::Identifier(name) => names
            .iter()
            .position(|known| known == name)
            .map(Condition::Is)
            .ok_or(format!(
                "the condition names `{name}`, which is no selection"
            ))?,
        ConditionExpr::Selector {
            quantifier,
            pattern,
        } => {
            let fits = |name: &str| match pattern {
                // A leading underscore keeps a selection out of `them`.
                SelectorPattern::Them => !name.starts_with('_'),
                SelectorPattern::Pattern(pattern) => fits(pattern.as_bytes(), name.as_bytes()),
            };
            let parts: Vec<Condition> = names
                .iter()
                .enumerate()
                .filter(|(_, name)| fits(name))
                .map(|(index, _)| Condition::Is(index))
                .collect();
            if parts.is_empty() {
                return Err(format!("no selection fits `{pattern}`"));
            }
            match quantifier {
                Quantifier::Any | Quantifier::Count(1) => Condition::Any(parts),
                Quantifier::All => Condition::All(parts),
                Quantifier::Count(number) => {
                    return Err(format!(
                        "`{number} of` can't be used; `1 of` and `all of` can"
                    ));
                }
            }
        }
    })
}

/// Whether a name fits a pattern with `*`.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => {
            (0..=name.len()).any(|at| name.get(at..).is_some_and(|left| fits(rest, left)))
        }
        Some((letter, rest)) => name
            .split_first()
            .is_some_and(|(first, left)| first == letter && fits(rest, left)),
    }
}

fn one_or(mut parts: Vec<Condition>, make: impl FnOnce(Vec<Condition>) -> Condition) -> Condition {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            make(parts)
        }
        None => make(parts),
    }
}

#[cfg(test)]
mod tests {
    use super::convert;

    #[track_caller]
    fn check(text: &str, matched: &[&str], expected: Result<bool, &str>) {
        let names: Vec<String> = ["selection", "filter_a", "filter_b"]
            .map(str::to_owned)
            .to_vec();
        let told = rsigma_parser::parse_condition(text).expect("a condition");
        let result = convert(&[told], &names).map(|condition| {
            condition.holds(&mut |index| matched.contains(&names[index].as_str()))
        });
        assert_eq!(result, expected.map_err(str::to_owned));
    }

    #[test]
    fn follows_the_grammar() {
        check("selection", &["selection"], Ok(true));
        check("selection and not 1 of filter_*", &["selection"], Ok(true));
        check(
            "selection and not 1 of filter_*",
            &["selection", "filter_b"],
            Ok(false),
        );
        check("all of them", &["selection", "filter_a"], Ok(false));
        check(
            "selection or filter_a and filter_b",
            &["selection"],
            Ok(true),
        );
        check(
            "(selection or filter_a) and filter_b",
            &["selection"],
            Ok(false),
        );
        check(
            "selection and missing",
            &[],
            Err("the condition names `missing`, which is no selection"),
        );
        check("1 of other_*", &[], Err("no selection fits `other_*`"));
        check(
            "2 of filter_*",
            &[],
            Err("`2 of` can't be used; `1 of` and `all of` can"),
        );
    }
}
