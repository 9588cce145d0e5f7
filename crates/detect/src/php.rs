//! How PHP takes a query and a cookie apart: what a request asked for is what PHP read, not how it looks.

use std::borrow::Cow;

use model::percent_decoded;

/// Decodes as PHP decodes parameters and cookies.
pub(crate) fn decoded(text: &str) -> Cow<'_, str> {
    percent_decoded(text, true)
}

/// The value a parameter has in `$_GET`: the last one's. A list's is where Magento looks for it in one
/// (`[_data][code]`), else empty.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    query.split('&').rev().find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = decoded(key);
        let (base, index) = key.split_at(key.find('[').unwrap_or(key.len()));
        if !is_named(base.trim_start_matches(' '), name) {
            return None;
        }
        Some(match index {
            "" | "[_data][code]" => decoded(value),
            _ => Cow::Borrowed(""),
        })
    })
}

/// Whether a variable's name is `name` once PHP wrote `_` for dots and blanks, and cut it at a NUL.
fn is_named(key: &str, name: &str) -> bool {
    let key = key.split('\0').next().unwrap_or_default();
    key.len() == name.len()
        && key
            .bytes()
            .zip(name.bytes())
            .all(|(sent, named)| sent == named || (named == b'_' && matches!(sent, b'.' | b' ')))
}

#[cfg(test)]
mod tests {
    use super::{decoded, parameter};

    #[test]
    fn parameters_are_read_as_php_reads_them() {
        for (query, value) in [
            ("___store=fr", Some("fr")),
            ("a=1&___store=fr&___store=de", Some("de")),
            ("%5F%5f_store=f%72", Some("fr")),
            ("...store=fr", Some("fr")),
            ("+_._store=fr", Some("fr")),
            ("___store", Some("")),
            ("___store[_data][code]=fr", Some("fr")),
            ("___store%5B%5D=fr", Some("")),
            ("x=%26___store=fr", None),
            ("___Store=fr", None),
            ("x___store=fr", None),
            ("", None),
        ] {
            assert_eq!(parameter(query, "___store").as_deref(), value, "{query}");
        }
        assert_eq!(decoded("a%2"), "a%2");
        assert_eq!(decoded("%zz+%41"), "%zz A");
    }
}
