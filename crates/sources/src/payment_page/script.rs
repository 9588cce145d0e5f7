//! The code of an inline script: what it does, without the values that differ for each shopper.
//!
//! An inline script of a checkout carries form keys, totals and cart ids. Its code is the same for all: strings and numbers
//! are left out, unless a string names a host, is a name (`"key":`), or the script turns strings into code.

use std::collections::BTreeSet;

/// Words of a script that runs or writes what a string holds: then strings are code.
const SINKS: [&str; 9] = [
    "eval",
    "Function",
    "atob",
    "fromCharCode",
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "createElement",
    "constructor",
];
/// Hosts kept of one script.
const HOSTS_MAX: usize = 64;
/// Characters kept of a string that is code.
const STRING_MAX: usize = 4096;

/// A script without its values; equal for two that do the same. Linear in the script.
pub(super) fn code(script: &str) -> String {
    let strings_are_code = SINKS.iter().any(|sink| script.contains(sink))
        || (script.contains("document") && script.contains(".write"));
    let mut out = String::with_capacity(script.len() / 2);
    let mut rest = script;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '"' | '\'' | '`' => {
                let end = string_end(rest, first);
                let text = rest.get(1..end.saturating_sub(1)).unwrap_or_default();
                let after = rest.get(end..).unwrap_or_default().trim_start();
                out.push('"');
                let runs_code = first == '`' && text.contains("${");
                if strings_are_code || runs_code || (after.starts_with(':') && is_name(text)) {
                    out.extend(text.chars().take(STRING_MAX));
                } else {
                    for host in hosts(text) {
                        out.push_str("//");
                        out.push_str(&host);
                    }
                }
                out.push('"');
                end
            }
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest
                .get(2..)
                .and_then(|body| body.find("*/"))
                .map_or(rest.len(), |at| at + 4),
            '/' if begins_pattern(&out) => {
                let end = pattern_end(rest);
                out.push_str(rest.get(..end).unwrap_or_default());
                end
            }
            '0'..='9' if !out.ends_with(is_word) => {
                out.push('0');
                rest.find(|c: char| !(is_word(c) || c == '.'))
                    .unwrap_or(rest.len())
            }
            blank if blank.is_whitespace() => {
                // `a b` is not `ab`; other blanks mean nothing.
                let end = rest
                    .find(|c: char| !c.is_whitespace())
                    .unwrap_or(rest.len());
                let next = rest.get(end..).and_then(|after| after.chars().next());
                if out.ends_with(is_word) && next.is_some_and(is_word) {
                    out.push(' ');
                }
                end
            }
            other => {
                out.push(other);
                other.len_utf8()
            }
        };
        rest = rest.get(taken.max(1)..).unwrap_or_default();
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

/// Whether a string before a colon names something, and is no id or hash that differs each time.
fn is_name(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    text.len() <= 64 && digits * 4 <= text.len()
}

/// Where a string ends, its closing mark included; a string never closed ends with its line, a template with the script.
fn string_end(text: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' if mark != '`' => return at,
            c if c == mark => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether a `/` behind this begins a pattern and divides nothing.
fn begins_pattern(out: &str) -> bool {
    out.chars()
        .next_back()
        .is_none_or(|c| "(,=:[!&|?{};+-*%<>~^".contains(c))
        || out.ends_with("return")
        || out.ends_with("typeof")
}

fn pattern_end(text: &str) -> usize {
    let (mut escaped, mut in_class) = (false, false);
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '\n' => return at,
            '/' if !in_class => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The hosts a text names behind `//`, in lower case; at most 64.
pub(super) fn hosts(text: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    // As JSON and JavaScript may write it, too.
    for (at, mark) in text.match_indices("//").chain(text.match_indices("\\/\\/")) {
        let after = text.get(at + mark.len()..).unwrap_or_default();
        let end = after
            .find(|c: char| {
                !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@' | ':' | '[' | ']'))
            })
            .unwrap_or(after.len());
        let host = after.get(..end).unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.trim_matches('.').to_ascii_lowercase();
        let is_host = name.contains('.') && name.len() <= 253 || name.starts_with('[');
        if is_host && out.len() < HOSTS_MAX {
            out.insert(name);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{code, hosts};
    use proptest::prelude::*;

    #[test]
    fn values_are_left_out_and_code_is_not() {
        let config = |key: &str, total: &str| {
            format!(
                "window.checkoutConfig = {{\"formKey\":\"{key}\",\"total\":{total}, /* made at {key} */ \"a\": /x[/]y/.test(b) }};"
            )
        };
        assert_eq!(code(&config("4f2a", "10.5")), code(&config("99b1", "1e3")));
        assert_ne!(
            code(&config("4f2a", "10.5")),
            code(&format!("{};steal()", config("4f2a", "10.5")))
        );
        assert_eq!(code("var a  = 1;\nvar b"), code("var a=2;var b"));
        assert_ne!(code("return a"), code("returna"));
        // Another host, another name, and strings that are run are code.
        assert_ne!(
            code("j.src='https://www.example.com/gtm.js'"),
            code("j.src='https://www.example.net/gtm.js'")
        );
        assert_ne!(
            code("x({\"Magento_Ui/js/a\":{}})"),
            code("x({\"Evil_Ui/js/a\":{}})")
        );
        assert_ne!(code("eval('a')"), code("eval('b')"));
        assert_ne!(code("f('a')//'"), code("g('a')//'"));
        assert_ne!(code("f(`a${b}`)"), code("f(`a${steal()}`)"));
        // What hides behind a division, a pattern or a string never closed is still seen.
        assert_ne!(code("a = b / c; d('x')"), code("a = b / c; e('x')"));
        assert_ne!(code("var a = 'x\nsteal(1)"), code("var a = 'x\n"));
    }

    #[test]
    fn hosts_are_those_behind_two_slashes() {
        let found = hosts(
            r#"a("wss://user@Evil.example:8443/x"), "https:\/\/b.example\/y", '//c.example', // note
            "//localhost", 'x//y'"#,
        );
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            ["b.example", "c.example", "evil.example"]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,200}", key in "[a-f0-9]{8,16}") {
            let _read = code(&text);
            let _hosts = hosts(&text);
            // Code before a value doesn't change what comes out, whatever the value is.
            let with = |value: &str| code(&format!("var k = {{\"formKey\": \"{value}\"}};"));
            prop_assert_eq!(with(&key), with("0"));
        }
    }
}
