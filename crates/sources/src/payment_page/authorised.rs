//! The list of what may be on a payment page, who said so and why (PCI DSS v4.0.1 req. 6.4.3).

use std::path::Path;

use serde::Deserialize;

use super::look::{Kind, Part};
use crate::SourceError;

/// A file of `authorised`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    script: Vec<Authorised>,
}

/// One entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Authorised {
    /// The part's name as magewarden tells it; `*` stands for anything.
    name: String,
    /// Views it is authorised for; all when none is named.
    #[serde(default)]
    views: Vec<String>,
    /// SHA-256 of the texts it may have; any when none is named.
    #[serde(default)]
    sha256: Vec<String>,
    /// Who authorised it.
    by: String,
    /// Why it is needed.
    justification: String,
}

impl Authorised {
    /// Who and why, in words.
    pub(super) fn said(&self) -> String {
        format!("authorised by {}: {}", self.by, self.justification)
    }
}

/// Reads the list.
pub(super) fn read(path: &Path) -> Result<Vec<Authorised>, SourceError> {
    let text = std::fs::read_to_string(path).map_err(SourceError::io(path))?;
    let wrong = |why: String| SourceError::Settings {
        kind: "payment_page",
        why: format!("{}: {why}", path.display()),
    };
    let file: File = toml::from_str(&text).map_err(|error| wrong(error.message().to_owned()))?;
    for one in &file.script {
        if one.by.trim().is_empty() || one.justification.trim().is_empty() {
            return Err(wrong(format!(
                "`{}` says not by whom it was authorised, or why",
                one.name
            )));
        }
    }
    Ok(file.script)
}

/// The entry that lets a part be on a view's page.
pub(super) fn find<'a>(
    list: &'a [Authorised],
    view: &str,
    kind: Kind,
    name: &str,
    part: &Part,
) -> Option<&'a Authorised> {
    list.iter().find(|one| {
        (one.views.is_empty() || one.views.iter().any(|named| named == view))
            && (one.sha256.is_empty() || one.sha256.contains(&part.value))
            && (fits(&one.name, name) || fits(&one.name, &format!("{} {name}", kind.name())))
    })
}

/// Whether a name fits a pattern in which `*` stands for anything. Linear for each `*`.
fn fits(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else {
        return rest.is_empty();
    };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{find, fits, read};
    use crate::payment_page::look::{Kind, Part};

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, fit) in [
            ("https://js.example/v3", "https://js.example/v3", true),
            ("https://js.example/*", "https://js.example/v3/a", true),
            ("https://js.example/*", "https://js.example.evil/", false),
            ("*.js", "a.css", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
        ] {
            assert_eq!(fits(pattern, name), fit, "{pattern} {name}");
        }
    }

    #[test]
    fn an_entry_says_by_whom_and_why() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("scripts.toml");
        std::fs::write(&path, "[[script]]\nname = 'script https://js.example/*'\nby = 'J. Doe'\njustification = 'card fields'\nviews = ['de']\nsha256 = ['aa']\n").expect("written");
        let list = read(&path).expect("reads");
        let part = |value: &str| Part {
            value: value.to_owned(),
            ..Part::default()
        };
        let known = |view, value| {
            find(
                &list,
                view,
                Kind::Script,
                "https://js.example/v3",
                &part(value),
            )
            .is_some()
        };
        assert!(known("de", "aa"));
        assert!(!known("fr", "aa"));
        assert!(!known("de", "bb"));
        std::fs::write(
            &path,
            "[[script]]\nname = 'x'\nby = ' '\njustification = 'y'\n",
        )
        .expect("written");
        assert!(
            read(&path)
                .expect_err("nobody")
                .to_string()
                .contains("by whom")
        );
    }
}
