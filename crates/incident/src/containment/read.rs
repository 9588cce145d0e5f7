//! What the masked records of a finding name that findings themselves don't: the setting a statement writes, the trigger it makes.
//!
//! Reads no grammar: it looks for the few forms by which Magento's tables and both servers are written to, and gives nothing
//! where it isn't sure.

use super::quote;

/// Settings and triggers of one text that are looked at.
const READ_MAX: usize = 8;
/// Bytes of one text that are read.
const TEXT_MAX: usize = 64 * 1024;

/// A row of `core_config_data`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Setting {
    /// E.g. `design/head/includes`.
    pub(super) path: String,
    /// `default`, `websites` or `stores`, and the number of the website or view; `None` where the text doesn't say.
    pub(super) scope: Option<(&'static str, u32)>,
}

/// Settings that a text writes.
pub(super) fn settings(text: &str) -> Vec<Setting> {
    let text = begin(text);
    if !text.contains("core_config_data") {
        return Vec::new();
    }
    let mut out: Vec<Setting> = Vec::new();
    let quoted = literals(text);
    for (at, literal) in quoted.iter().enumerate() {
        let Some(path) = quote::setting(literal.text) else {
            continue;
        };
        // As Magento's columns stand: scope, scope_id, path, value.
        let before = at.checked_sub(1).and_then(|at| quoted.get(at));
        let scope = before.and_then(|scope| {
            let kind = ["default", "websites", "stores"]
                .into_iter()
                .find(|kind| *kind == scope.text)?;
            let between = text.get(scope.end..literal.begin)?;
            let number: String = between.chars().filter(char::is_ascii_digit).collect();
            let is_only_number = between
                .chars()
                .all(|c| c.is_ascii_digit() || "\\', ".contains(c));
            Some((kind, number.parse().ok().filter(|_| is_only_number)?))
        });
        let setting = Setting {
            path: path.to_owned(),
            scope,
        };
        if out.len() < READ_MAX && !out.contains(&setting) {
            out.push(setting);
        }
    }
    out
}

/// Triggers, events and routines that a text makes: kind and name.
pub(super) fn objects(text: &str) -> Vec<(&'static str, String)> {
    let text = begin(text);
    let lower = text.to_ascii_lowercase();
    let mut out = Vec::new();
    for (word, kind) in [
        ("trigger", "TRIGGER"),
        ("procedure", "PROCEDURE"),
        ("function", "FUNCTION"),
        ("event", "EVENT"),
    ] {
        for (at, _) in lower.match_indices(word).take(READ_MAX) {
            let before = lower.get(..at).unwrap_or_default();
            let statement = before
                .rfind("create")
                .and_then(|create| before.get(create..));
            // Between the two: a definer and `OR REPLACE`, no other statement.
            if statement.is_none_or(|between| between.len() > 200 || between.contains(';')) {
                continue;
            }
            let rest = lower.get(at + word.len()..).unwrap_or_default();
            if !rest.starts_with(' ') {
                continue;
            }
            let rest = text.get(at + word.len()..).unwrap_or_default().trim_start();
            let rest = strip(rest, "if not exists ");
            let name: String = rest
                .trim_start_matches('`')
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            let after = rest
                .trim_start_matches('`')
                .get(name.len()..)
                .unwrap_or_default();
            let ends = after.is_empty() || after.starts_with([' ', '`', '(', '\n', '\t']);
            if ends && let Some(name) = quote::object(&name) {
                let made = (kind, name.to_owned());
                if !out.contains(&made) {
                    out.push(made);
                }
            }
        }
    }
    out
}

fn strip<'a>(text: &'a str, prefix: &str) -> &'a str {
    match text.get(..prefix.len()) {
        Some(begin) if begin.eq_ignore_ascii_case(prefix) => {
            text.get(prefix.len()..).unwrap_or_default()
        }
        _ => text,
    }
}

fn begin(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_MAX))
        .unwrap_or_default()
}

struct Literal<'a> {
    text: &'a str,
    begin: usize,
    end: usize,
}

/// What stands between single quotes, which a log may have escaped.
fn literals(text: &str) -> Vec<Literal<'_>> {
    let places: Vec<usize> = text.match_indices('\'').map(|(at, _)| at).collect();
    let pairs = places.windows(2).filter_map(|pair| {
        let [begin, end] = pair else { return None };
        let inner = text.get(begin + 1..*end)?;
        Some(Literal {
            text: inner.trim_end_matches('\\'),
            begin: *begin,
            end: end + 1,
        })
    });
    pairs
        .filter(|literal| literal.text.len() <= 255 && !literal.text.contains([' ', ',']))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{objects, settings};

    #[track_caller]
    fn check(text: &str, expected: &[(&str, Option<(&str, u32)>)]) {
        let found = settings(text);
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.path.as_str(), one.scope))
            .collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn reads_a_settings_path_and_scope() {
        check(
            "INSERT INTO core_config_data (scope,scope_id,path,value) VALUES ('stores',2,'design/head/includes','<script>')",
            &[("design/head/includes", Some(("stores", 2)))],
        );
        check(
            r"QUERY,shop,'INSERT INTO core_config_data (scope,scope_id,path,value) VALUES (\'default\',0,\'design/head/includes\',\'<script src=\')',0",
            &[("design/head/includes", Some(("default", 0)))],
        );
        check(
            "UPDATE `core_config_data` SET value='x' WHERE path='design/footer/copyright'",
            &[("design/footer/copyright", None)],
        );
    }

    #[test]
    fn reads_no_setting_elsewhere() {
        check("UPDATE cms_block SET content='a/b/c'", &[]);
        check(
            "UPDATE core_config_data SET value='https://cdn.example/a/b.js'",
            &[],
        );
    }

    #[test]
    fn reads_what_is_made_in_the_database() {
        let of = |text| objects(text);
        assert_eq!(
            of("CREATE TRIGGER `t1` AFTER INSERT ON quote_payment"),
            [("TRIGGER", "t1".to_owned())]
        );
        assert_eq!(
            of("create definer=`a`@`%` procedure p2() begin end"),
            [("PROCEDURE", "p2".to_owned())]
        );
        assert_eq!(
            of("CREATE EVENT IF NOT EXISTS e3 ON SCHEDULE"),
            [("EVENT", "e3".to_owned())]
        );
        assert_eq!(of("CREATE TRIGGER `a'; DROP` AFTER"), []);
        assert_eq!(of("SELECT trigger FROM event"), []);
    }
}
