//! What is wrong with a playbook, where, and what to do about it.

use std::fmt;

/// How much a problem weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// The playbook isn't planned with until it is mended.
    Refuses,
    /// It is kept as it is; whoever reads it should know.
    Notes,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// How much it weighs.
    pub weight: Weight,
    /// Where, as a JSON pointer (RFC 6901).
    pub path: String,
    /// What is wrong.
    pub says: String,
    /// What to do.
    pub hint: String,
}

impl Problem {
    pub(crate) fn refuses(path: &str, says: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            weight: Weight::Refuses,
            path: path.to_owned(),
            says: says.into(),
            hint: hint.into(),
        }
    }

    pub(crate) fn notes(path: &str, says: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            weight: Weight::Notes,
            ..Self::refuses(path, says, hint)
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() {
            "/"
        } else {
            &self.path
        };
        write!(out, "{path}: {} ({})", self.says, self.hint)
    }
}

/// A part of a document, short enough and without what is hidden, to stand in a sentence.
pub(crate) fn shown(text: &str) -> String {
    let is_plain = |c: &char| !model::is_hidden(*c);
    let mut out: String = text.chars().filter(is_plain).take(80).collect();
    if text.chars().nth(80).is_some() {
        out.push('…');
    }
    out
}

/// A part of a JSON pointer (RFC 6901 §3).
pub(crate) fn part(name: &str) -> String {
    shown(name).replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::{part, shown};

    #[test]
    fn what_is_shown_is_short_and_holds_nothing_hidden() {
        assert_eq!(shown("a\u{202e}b\n\u{1b}[31mc"), "ab[31mc");
        assert_eq!(shown(&"x".repeat(200)).chars().count(), 81);
        assert_eq!(part("a/b~c"), "a~1b~0c");
    }
}
