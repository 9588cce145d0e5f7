//! Sigma's conditions: `selection and not 1 of filter_*`.

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
    /// What must be there for it to hold, from what each selection needs, a bit each.
    pub(crate) fn needs(&self, of: &dyn Fn(usize) -> u64) -> u64 {
        match self {
            Self::Is(index) => of(*index),
            Self::Not(_) => 0,
            Self::All(parts) => parts.iter().fold(0, |mask, part| mask | part.needs(of)),
            Self::Any(parts) => parts
                .iter()
                .map(|part| part.needs(of))
                .reduce(|left, right| left & right)
                .unwrap_or(0),
        }
    }
}

/// Reads a condition over the names of selections.
///
/// # Errors
///
/// What is wrong, in words.
pub(crate) fn parse(text: &str, names: &[String]) -> Result<Condition, String> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser {
        words: &words,
        at: 0,
        names,
        depth: 0,
    };
    let condition = parser.any()?;
    if parser.at == words.len() {
        Ok(condition)
    } else {
        Err(format!(
            "`{}` is not expected in the condition",
            words.get(parser.at).unwrap_or(&"")
        ))
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    at: usize,
    names: &'a [String],
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let is = self
            .peek()
            .is_some_and(|next| next.eq_ignore_ascii_case(word));
        self.at += usize::from(is);
        is
    }

    fn any(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.all()?];
        while self.take("or") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Condition::Any))
    }

    fn all(&mut self) -> Result<Condition, String> {
        let mut parts = vec![self.unit()?];
        while self.take("and") {
            parts.push(self.unit()?);
        }
        Ok(one_or(parts, Condition::All))
    }

    fn unit(&mut self) -> Result<Condition, String> {
        self.depth += 1;
        if self.depth > 64 {
            return Err("the condition is nested too deep".to_owned());
        }
        let unit = if self.take("not") {
            Condition::Not(Box::new(self.unit()?))
        } else if self.take("(") {
            let inner = self.any()?;
            if !self.take(")") {
                return Err("a bracket is not closed in the condition".to_owned());
            }
            inner
        } else {
            self.named()?
        };
        self.depth -= 1;
        Ok(unit)
    }

    fn named(&mut self) -> Result<Condition, String> {
        let word = self.peek().ok_or("the condition ends early")?.to_owned();
        self.at += 1;
        let quantified =
            matches!(word.to_ascii_lowercase().as_str(), "1" | "any" | "all") && self.take("of");
        if !quantified {
            return self
                .names
                .iter()
                .position(|name| *name == word)
                .map(Condition::Is)
                .ok_or(format!(
                    "the condition names `{word}`, which is no selection"
                ));
        }
        let pattern = self.peek().ok_or("the condition ends early")?.to_owned();
        self.at += 1;
        let parts: Vec<Condition> = self
            .names
            .iter()
            .enumerate()
            .filter(|(_, name)| {
                pattern == "them"
                    || pattern
                        .strip_suffix('*')
                        .map_or(**name == pattern, |start| name.starts_with(start))
            })
            .map(|(index, _)| Condition::Is(index))
            .collect();
        if parts.is_empty() {
            return Err(format!("no selection fits `{pattern}`"));
        }
        Ok(if word.eq_ignore_ascii_case("all") {
            Condition::All(parts)
        } else {
            Condition::Any(parts)
        })
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
    use super::parse;

    #[track_caller]
    fn check(text: &str, matched: &[&str], expected: Result<bool, &str>) {
        let names: Vec<String> = ["selection", "filter_a", "filter_b"]
            .map(str::to_owned)
            .to_vec();
        let result = parse(text, &names).map(|condition| {
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
        check(
            "(selection",
            &[],
            Err("a bracket is not closed in the condition"),
        );
    }
}
