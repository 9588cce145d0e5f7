//! Tells nginx which store view a request would be served, as Magento and PHP tell it, and what is closed.
//!
//! Follows `StoreResolver`, `StorePathInfoValidator`, `StoreCookieManager`, `Webapi\Controller\PathProcessor` and
//! GraphQL's `StoreProcessor` of Magento 2.4, and `php_register_variable_ex` of PHP 8. Invariant: what goes into the text
//! is a code, a network or a route that was read to its kind, or a name of a host that is escaped here.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use model::{Argument, ParameterKind, RunType, StoreMap};
use sha2::{Digest as _, Sha256};

use super::rule::{Rule, closed, head};

/// Longest part of one regular expression; nginx takes at most 4096 bytes a word.
const EXPRESSION_BYTES_MAX: usize = 2500;
/// Variables of one address above which PHP may drop some (`max_input_vars`).
const VARIABLES_MAX: usize = 999;
/// PHP by the ending of its name; what Magento itself answers by.
const PHP: &str = r"\.(?:php[0-9]?|phtml|phar|phps|pht)(?:/|$)";
const ENTRY_POINTS: &str =
    r"^/(?:pub/)?(?:(?:index|get|static|health_check|errors/(?:report|404|503))\.php$|index\.php/)";

/// The rules for each server; the same whatever is closed.
pub(super) const SERVER: &str = r#"# Written by magewarden. Include it in each server{} of the shop, above its locations.
if ($magewarden_state) { return 204; }
if ($magewarden_refused) { return 403 "Refused.\n"; }
if ($magewarden_closed) { rewrite ^ /magewarden-closed last; }
location = /magewarden-closed {
  internal;
  default_type text/html;
  add_header Retry-After 3600 always;
  add_header Cache-Control no-store always;
  return 503 "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Closed for a while</title><h1>This shop is closed for a while</h1><p>Please come back later.</p></html>";
}
"#;

/// What `SERVER` answers for a closed view.
const HOLDING_PAGE: &str = r#"<!doctype html><html lang="en"><meta charset="utf-8"><title>Closed for a while</title><h1>This shop is closed for a while</h1><p>Please come back later.</p></html>"#;

/// What `SERVER` answers with a status.
pub(crate) fn refusal(status: u16) -> &'static str {
    match status {
        503 => HOLDING_PAGE,
        403 => "Refused.\n",
        _ => "",
    }
}

/// Whether an answer of status 503 has the holding page for its body: a rule of ours closes what was asked for.
pub(crate) fn is_holding_page(body: &[u8]) -> bool {
    body == HOLDING_PAGE.as_bytes()
}

/// The file for `http{}`.
pub(super) fn http(rules: &BTreeSet<Rule>, stores: &StoreMap) -> String {
    let mut out = format!(
        "# Written by magewarden; what is changed by hand goes with the next change. Include it once in http{{}}.\n{}",
        head(rules)
    );
    out.push_str(&channels(stores));
    out.push_str(&place(stores));
    let codes = closed(rules, stores);
    let mut map = Map::new(&mut out, "$magewarden_view", "$magewarden_closed", "0");
    // An expression, since other keys are compared without case; and a view may be called `default`, a word of nginx's.
    for code in &codes {
        map.add(&format!("~^{code}$"), "1");
    }
    if !codes.is_empty() {
        // A call for all stores reaches the closed one, and so may one with more variables than PHP takes.
        map.add("=all", "1");
        map.add("=many", "1");
    }
    map.end();
    out.push_str(&refused(rules));
    let state = state_path(&out);
    let mut map = Map::new(&mut out, "$request_uri", "$magewarden_state", "0");
    map.add(&state, "1");
    map.end();
    out
}

/// The address that only the configuration of this text answers with 204.
pub(super) fn state_of(content: &str) -> Option<String> {
    let at = content.rfind("\"/magewarden-")?;
    let text = content.get(at + 1..)?;
    text.split_once('"').map(|(path, _)| path.to_owned())
}

fn state_path(content: &str) -> String {
    let mut path = "/magewarden-".to_owned();
    for byte in Sha256::digest(content.as_bytes()).iter().take(12) {
        let _never_fails = write!(path, "{byte:02x}");
    }
    path
}

/// A `map` that is being written.
struct Map<'a>(&'a mut String);

impl<'a> Map<'a> {
    fn new(out: &'a mut String, from: &str, to: &str, default: &str) -> Self {
        let _never_fails = writeln!(out, "map \"{from}\" {to} {{\n  default \"{default}\";");
        Self(out)
    }

    fn add(&mut self, key: &str, value: &str) {
        let _never_fails = writeln!(self.0, "  \"{key}\" \"{value}\";");
    }

    fn end(self) {
        self.0.push_str("}\n");
    }
}

/// Codes as alternatives, in parts that nginx takes.
fn alternatives<'a>(codes: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for code in codes {
        match parts.last_mut() {
            Some(part) if part.len() + code.len() < EXPRESSION_BYTES_MAX => {
                part.push('|');
                part.push_str(code);
            }
            _ => parts.push(code.to_owned()),
        }
    }
    parts
}

/// A word as it may be written in an address: each letter as itself or by its number.
fn written(word: &str) -> String {
    let mut out = String::new();
    for byte in word.bytes() {
        let number: String = format!("{byte:02x}")
            .chars()
            .map(|digit| match digit {
                'a'..='f' => format!("[{digit}{}]", digit.to_ascii_uppercase()),
                _ => digit.to_string(),
            })
            .collect();
        let _never_fails = write!(out, "(?:{}|%{number})", char::from(byte));
    }
    out
}

fn is_code(code: &str) -> bool {
    Argument::read(ParameterKind::View, code).is_ok()
}

/// Every view, and those that the shop front serves.
fn codes(stores: &StoreMap) -> (Vec<&str>, Vec<&str>) {
    let all = stores.views.iter().filter(|(code, _)| is_code(code));
    let active = all.clone().filter(|(_, view)| view.is_active);
    (
        all.map(|(code, _)| code.as_str()).collect(),
        active.map(|(code, _)| code.as_str()).collect(),
    )
}

/// What each channel says: path, parameter, cookie, header.
fn channels(stores: &StoreMap) -> String {
    let (all, active) = codes(stores);
    let mut out = String::new();
    let mut map = Map::new(&mut out, "$request_uri", "$magewarden_path", "");
    map.add(
        r"~^/*+(?:index\.php/*+)?+(?<magewarden_1>[^?]*)",
        "$magewarden_1",
    );
    map.end();
    let mut map = Map::new(&mut out, "$magewarden_path", "$magewarden_path_code", "");
    if stores.code_in_path != Some(false) {
        for part in alternatives(active.iter().copied()) {
            map.add(
                &format!("~^(?<magewarden_2>{part})(?:/|$)"),
                "$magewarden_2",
            );
        }
    }
    map.end();
    // PHP turns dots, spaces and a first bracket in a name to `_`, and the last variable of a name wins.
    let (first, other) = ("(?:[_.]|%5[fF]|%2[eE])", r"(?:[_.+\[]|%5[fFbB]|%2[eE0])");
    let name = format!(r"(?:\+|%20)*+{first}{other}{other}{}", written("store"));
    let (open, close) = (r"(?:\[|%5[bB])", r"(?:\]|%5[dD])");
    let nested = format!(
        "{open}{}{close}{open}{}{close}[^&=]*+",
        written("_data"),
        written("code")
    );
    let mut map = Map::new(&mut out, "$args", "$magewarden_parameter", "-");
    map.add(&format!("~^(?:[^&]*+&){{{VARIABLES_MAX}}}"), "many");
    map.add(
        &format!("~^(?:.*&)?{name}(?:{nested}|%00[^&=]*+)?(?:=(?<magewarden_3>[^&]*+))?(?:&|$)"),
        "=$magewarden_3",
    );
    map.add(&format!("~^(?:.*&)?{name}{open}"), "=");
    map.end();
    let mut map = Map::new(&mut out, "$http_cookie", "$magewarden_cookie", "-");
    // PHP takes the first cookie of exactly this name; but a list of that name, wherever it stands, takes its place.
    map.add(
        r"~^(?:.*;)?\s*+store\[_data\]\[code\][^;=]*+=(?<magewarden_13>[^;]*+)",
        "=$magewarden_13",
    );
    map.add(r"~(?:^|;)\s*+store\[", "=");
    map.add(
        r"~(?:^|;)\s*+store(?:=(?<magewarden_4>[^;]*+))?(?:;|$)",
        "=$magewarden_4",
    );
    map.end();
    for channel in ["parameter", "cookie"] {
        let (from, to) = (
            format!("$magewarden_{channel}"),
            format!("$magewarden_{channel}_code"),
        );
        let mut map = Map::new(&mut out, &from, &to, "");
        map.add("-", "-");
        map.add("many", "=many");
        map.add(
            r"~^=(?<magewarden_5>[A-Za-z][A-Za-z0-9_]*)$",
            "$magewarden_5",
        );
        for code in &all {
            map.add(&format!("~^={}$", written(code)), code);
        }
        map.end();
    }
    let mut map = Map::new(&mut out, "$http_store", "$magewarden_header", "?");
    // An expression isn't asked of what is empty.
    map.add("", "-");
    // What PHP holds to be empty, too.
    map.add("0", "-");
    map.add(r"~^\s*$", "-");
    map.add(
        r"~^\s*(?<magewarden_6>[A-Za-z][A-Za-z0-9_]*)\s*$",
        "$magewarden_6",
    );
    map.end();
    out
}

/// Which view comes of it.
fn place(stores: &StoreMap) -> String {
    let (all, active) = codes(stores);
    let mut out = String::new();
    // The first of them that is there decides, whatever it says.
    let mut map = Map::new(
        &mut out,
        "$magewarden_path_code:$magewarden_parameter_code",
        "$magewarden_asked",
        "$magewarden_path_code",
    );
    map.add(":-", "$magewarden_cookie_code");
    map.add("~^:(?<magewarden_7>.*)$", "$magewarden_7");
    map.end();
    let mut runs: Vec<&(RunType, String)> = Vec::new();
    for run in stores.hosts.values() {
        if !runs.contains(&run) {
            runs.push(run);
        }
    }
    // What nobody says of a host is as Magento without a run code: the default website's default view, and all others.
    let default = default_view(stores, RunType::Website, &stores.default_website);
    let mut to_run = Map::new(&mut out, "$host", "$magewarden_run", "0");
    for (host, run) in &stores.hosts {
        let number = runs.iter().position(|known| *known == run);
        let number = number.map_or(0, |at| at + 1);
        to_run.add(&format!("~^{}$", quoted(host)), &number.to_string());
    }
    to_run.end();
    let mut map = Map::new(&mut out, "$magewarden_run", "$magewarden_default", default);
    for ((run, code), number) in runs.iter().copied().zip(1..) {
        map.add(&number.to_string(), default_view(stores, *run, code));
    }
    map.end();
    let mut map = Map::new(
        &mut out,
        "$magewarden_run:$magewarden_asked",
        "$magewarden_page",
        "$magewarden_default",
    );
    map.add("~:=many$", "=many");
    let none = std::iter::once((None, 0));
    let some = runs.iter().copied().map(Some).zip(1..);
    for (run, number) in none.chain(some) {
        let may_show = |code: &&str| match run {
            Some((RunType::Website, website)) => stores.views[*code].website == *website,
            Some((RunType::Store, store)) => stores.views[*code].store == *store,
            Some((RunType::View, _)) | None => true,
        };
        for part in alternatives(active.iter().copied().filter(may_show)) {
            map.add(
                &format!("~^{number}:(?<magewarden_8>{part})$"),
                "$magewarden_8",
            );
        }
    }
    map.end();
    let mut map = Map::new(
        &mut out,
        "$magewarden_header:$magewarden_cookie_code",
        "$magewarden_graphql",
        "$magewarden_header",
    );
    map.add("~^-:-?$", default);
    map.add("~^-:(?<magewarden_9>.+)$", "$magewarden_9");
    map.end();
    let mut map = Map::new(
        &mut out,
        "$magewarden_path_code:$magewarden_path",
        "$magewarden_inner",
        "",
    );
    map.add("~^:(?<magewarden_10>.*)$", "$magewarden_10");
    map.add("~^[^:]+:[^/]+/?(?<magewarden_11>.*)$", "$magewarden_11");
    map.end();
    out.push_str(&route(stores, &all));
    out
}

/// What the path is for, and the view that follows from it.
fn route(stores: &StoreMap, all: &[&str]) -> String {
    let mut out = String::new();
    let mut map = Map::new(&mut out, "$magewarden_inner", "$magewarden_named", "");
    map.add("~^(?:rest|soap)/+(?:all|admin)(?:/|$)", "=all");
    for part in alternatives(all.iter().copied()) {
        map.add(
            &format!("~^(?:rest|soap)/+(?<magewarden_12>{part})(?:/|$)"),
            "$magewarden_12",
        );
    }
    map.add("~^graphql(?:/|$)", "$magewarden_graphql");
    if !stores.back_end.is_empty() {
        map.add(
            &format!("~^{}(?:/|$)", quoted(&stores.back_end)),
            "=back_end",
        );
    }
    map.end();
    let mut map = Map::new(
        &mut out,
        "$magewarden_named",
        "$magewarden_shown",
        "$magewarden_named",
    );
    map.add("", "$magewarden_page");
    map.end();
    // What balancers and certificates need doesn't close with any view.
    let mut map = Map::new(
        &mut out,
        "$request_uri",
        "$magewarden_view",
        "$magewarden_shown",
    );
    map.add(
        r"~^/(?:health_check\.php$|\.well-known/acme-challenge/[A-Za-z0-9_-]+$)",
        "=open",
    );
    map.end();
    out
}

/// What is refused to whom.
fn refused(rules: &BTreeSet<Rule>) -> String {
    let mut out = "geo $remote_addr $magewarden_network {\n  default 0;\n".to_owned();
    for rule in rules {
        if let Rule::Network(network) = rule {
            let _never_fails = writeln!(out, "  {network} 1;");
        }
    }
    out.push_str("}\n");
    // By the path as nginx reads it, and by the one that Magento does.
    for (from, to) in [
        ("$uri", "$magewarden_uri_refused"),
        ("/$magewarden_path", "$magewarden_path_refused"),
    ] {
        let mut map = Map::new(&mut out, from, to, "0");
        for rule in rules {
            if let Rule::Route(route) = rule {
                let route = quoted(route.as_str().trim_matches('/')).replace('/', "/+");
                map.add(&format!(r"~*^/*(?:index\.php/+)?{route}(?:/|$)"), "1");
            }
        }
        if from == "$uri" && rules.contains(&Rule::Php) {
            map.add(&format!("~{ENTRY_POINTS}"), "0");
            map.add(&format!("~*{PHP}"), "1");
        }
        map.end();
    }
    let mut map = Map::new(
        &mut out,
        "$magewarden_network$magewarden_uri_refused$magewarden_path_refused",
        "$magewarden_refused",
        "1",
    );
    map.add("000", "0");
    map.end();
    out
}

/// The view that a host shows when nothing is asked for; `?` where nobody says.
pub(super) fn default_view<'a>(stores: &'a StoreMap, run: RunType, code: &str) -> &'a str {
    let shows = stores.views.iter().find(|(view, place)| match run {
        RunType::Website => place.website == code && place.is_default,
        RunType::Store => place.store == code && place.is_default,
        RunType::View => *view == code,
    });
    // A website or store of one view needs no word for it.
    let only = || {
        let mut all = stores.views.iter().filter(|(_, place)| match run {
            RunType::Website => place.website == code,
            RunType::Store => place.store == code,
            RunType::View => false,
        });
        all.next().filter(|_| all.next().is_none())
    };
    let shows = shows.or_else(only).map_or("?", |(view, _)| view.as_str());
    if is_code(shows) { shows } else { "?" }
}

/// A text that stands for itself in a regular expression between quotes; what can't is a dot.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '/' | '%' | '~' => out.push(c),
            '.' => out.push_str(r"\."),
            _ => out.push('.'),
        }
    }
    out
}

#[cfg(test)]
#[path = "maps_tests.rs"]
mod tests;
