//! Every rule as people read it: what it looks for, and its text. What of a file's text is a rule's is told by its lines;
//! whether a rule can be used at all, `detect` and `sources` said when they read it.

use std::collections::BTreeMap;

use model::Level;

use crate::content;

/// What kind of rule it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleKind {
    /// A Sigma rule.
    Sigma,
    /// A Sigma correlation: counts what other rules match within a time.
    Correlation,
    /// A detector in code.
    Code,
    /// Literals that contents of files, rows and scripts are looked through for.
    Signature,
    /// The same, in YARA's language.
    Yara,
}

impl RuleKind {
    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sigma => "sigma",
            Self::Correlation => "correlation",
            Self::Code => "code",
            Self::Signature => "signature",
            Self::Yara => "yara",
        }
    }

    /// Whether it is told in entries, to Sigma rules, and makes no findings of its own.
    #[must_use]
    pub const fn is_of_content(self) -> bool {
        matches!(self, Self::Signature | Self::Yara)
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleText {
    /// Its id; of a rule in YARA's language as entries name it, `yara:NAME`.
    pub id: String,
    /// Its title.
    pub title: String,
    /// What it looks for; may be empty.
    pub description: String,
    /// How bad; `None` where it says nothing.
    pub level: Option<Level>,
    /// What kind it is.
    pub kind: RuleKind,
    /// File it is from.
    pub file: String,
    /// As it is written.
    pub text: String,
}

/// Every rule by id.
#[derive(Clone, Debug, Default)]
pub struct RuleBook(BTreeMap<String, RuleText>);

impl RuleBook {
    /// What is embedded, and the merchant's own Sigma rules.
    #[must_use]
    pub fn new(own: &[(String, String)]) -> Self {
        let mut files: Vec<(&str, &str)> = content::under("rules/", ".yml").collect();
        files.extend(
            own.iter()
                .map(|(name, text)| (name.as_str(), text.as_str())),
        );
        let mut all = Vec::new();
        for (file, text) in files {
            all.extend(text.split("\n---\n").filter_map(|text| sigma(file, text)));
        }
        for (file, text) in content::under("signatures/", ".toml") {
            let parts = text.split("[[signature]]").skip(1);
            all.extend(parts.filter_map(|part| signature(file, part)));
        }
        for (file, text) in content::under("yara/", ".yar") {
            let parts = text.split("\nrule ").skip(1);
            all.extend(parts.filter_map(|part| yara(file, part)));
        }
        Self(
            all.into_iter()
                .map(|rule| (rule.id.clone(), rule))
                .collect(),
        )
    }

    /// Every rule, by id.
    pub fn all(&self) -> impl Iterator<Item = &RuleText> {
        self.0.values()
    }

    /// One rule.
    #[must_use]
    pub fn named(&self, id: &str) -> Option<&RuleText> {
        self.0.get(id)
    }
}

/// The value of a document's key that stands at the beginning of a line.
fn value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let line = line.trim_start().split(" #").next().unwrap_or_default();
    let line = line.trim().trim_matches(['\'', '"']);
    (!line.is_empty()).then(|| line.to_owned())
}

fn sigma(file: &str, text: &str) -> Option<RuleText> {
    let title = value(text, "title:")?;
    let level = value(text, "level:");
    let is_correlation = text.lines().any(|line| line.starts_with("correlation:"));
    Some(RuleText {
        id: value(text, "id:").unwrap_or_else(|| title.clone()),
        title,
        description: value(text, "description:").unwrap_or_default(),
        level: level.and_then(|level| Level::named(&level)),
        kind: if is_correlation {
            RuleKind::Correlation
        } else {
            RuleKind::Sigma
        },
        file: file.to_owned(),
        text: text.trim().to_owned(),
    })
}

fn signature(file: &str, part: &str) -> Option<RuleText> {
    let text = format!("[[signature]]{part}");
    Some(RuleText {
        id: value(part, "id =")?,
        title: value(part, "what =")?,
        description: String::new(),
        level: None,
        kind: RuleKind::Signature,
        file: file.to_owned(),
        text: text.trim().to_owned(),
    })
}

fn yara(file: &str, part: &str) -> Option<RuleText> {
    let name = part.split([' ', '{', ':', '\n']).next()?;
    let trimmed: Vec<&str> = part.lines().map(str::trim_start).collect();
    // What follows the rule's end is a comment on the next one.
    let end = part.find("\n}").map_or(part.len(), |at| at + 2);
    Some(RuleText {
        id: format!("yara:{name}"),
        title: value(&trimmed.join("\n"), "description =").unwrap_or_else(|| name.to_owned()),
        description: String::new(),
        level: None,
        kind: RuleKind::Yara,
        file: file.to_owned(),
        text: format!("rule {}", part.get(..end).unwrap_or(part).trim()),
    })
}

#[cfg(test)]
mod tests {
    use super::{RuleBook, RuleKind};
    use detect::{Detector, RuleSource, Settings};
    use model::Level;

    #[test]
    fn every_rule_that_is_used_stands_in_the_book_as_it_is_read() {
        let book = RuleBook::new(&[]);
        let files: Vec<_> = crate::content::under("rules/", ".yml")
            .map(|(name, text)| RuleSource { name, text })
            .collect();
        let detector = Detector::new(&files, Settings::default()).expect("embedded rules");
        let mut count = 0;
        for rule in detector.rules() {
            let told = book.named(&rule.id);
            let told = told.map(|told| (told.title.as_str(), told.level, told.file.as_str()));
            let expected = (rule.title.as_str(), Some(rule.level), rule.file.as_str());
            assert_eq!(told, Some(expected), "{}", rule.id);
            count += 1;
        }
        let of = |kind| book.all().filter(|rule| rule.kind == kind).count();
        assert!(of(RuleKind::Sigma) + of(RuleKind::Correlation) >= count);
        assert!(of(RuleKind::Correlation) > 3);
        let signatures: usize = crate::content::under("signatures/", ".toml")
            .map(|(_, text)| text.matches("[[signature]]").count())
            .sum();
        assert_eq!(of(RuleKind::Signature), signatures);
        let yara = book
            .named("yara:js_card_fields_to_reversed_host")
            .expect("embedded");
        assert_eq!(
            yara.title,
            "names card fields and turns round an address to send to"
        );
        assert!(yara.text.starts_with("rule js_") && yara.text.ends_with('}'));
    }

    #[test]
    fn a_rule_of_ones_own_is_read_by_its_lines() {
        let text =
            "title: 'Mine' # a remark\nlevel: high\ndescription: \"What I look for\"\n".to_owned();
        let book = RuleBook::new(&[("own.yml".to_owned(), text)]);
        let rule = book.named("Mine").expect("without an id by its title");
        assert_eq!(
            (rule.level, rule.description.as_str()),
            (Some(Level::High), "What I look for")
        );
        assert_eq!(rule.file, "own.yml");
    }
}
