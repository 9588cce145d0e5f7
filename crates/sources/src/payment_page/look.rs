//! The parts of a page: scripts, inline scripts, handlers, frames, forms, card fields, headers, and the hosts it asks.

use std::collections::{BTreeMap, BTreeSet};

use scraper::{ElementRef, Html, Selector};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::script;

/// Headers that decide what a page may do (PCI DSS v4.0.1 req. 11.6.1); others are the shop's own affair.
const HEADERS: [&str; 13] = [
    "content-security-policy",
    "content-security-policy-report-only",
    "strict-transport-security",
    "x-frame-options",
    "x-content-type-options",
    "referrer-policy",
    "permissions-policy",
    "cross-origin-opener-policy",
    "cross-origin-embedder-policy",
    "cross-origin-resource-policy",
    "reporting-endpoints",
    "report-to",
    "access-control-allow-origin",
];
/// Parts kept of one page; a page with more is told as one that can't be compared.
const PARTS_MAX: usize = 4000;
/// Bytes of a part's name.
const NAME_MAX: usize = 2048;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A script by its address.
    Script,
    /// A script in the page, or made while it runs, by its code.
    Inline,
    /// Code in an attribute (`onload`), or a `javascript:` address.
    Handler,
    /// A header that decides what the page may do, or its `meta`.
    Header,
    /// Another page in it.
    Frame,
    /// Where a form sends to.
    Form,
    /// A field a card number or code is typed into, in the page itself.
    Field,
    /// A host the browser asked.
    Host,
    /// What addresses in the page are relative to.
    Base,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Script,
        Self::Inline,
        Self::Handler,
        Self::Header,
        Self::Frame,
        Self::Form,
        Self::Field,
        Self::Host,
        Self::Base,
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Whether its text is code.
    pub(super) const fn is_code(self) -> bool {
        matches!(self, Self::Script | Self::Inline | Self::Handler)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Inline => "inline",
            Self::Handler => "handler",
            Self::Header => "header",
            Self::Frame => "frame",
            Self::Form => "form",
            Self::Field => "field",
            Self::Host => "host",
            Self::Base => "base",
        }
    }
}

/// One part as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// SHA-256 of its text, hexadecimal; of a header its text.
    pub(super) value: String,
    /// Its text.
    pub(super) text: String,
}

/// What one look found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) parts: BTreeMap<(Kind, String), Part>,
    /// More than [`PARTS_MAX`] were there.
    pub(super) is_cut: bool,
    /// Its markup: as it was in the end, by a browser; as it was sent, by a fetch.
    pub(super) markup: String,
}

impl Found {
    fn put(&mut self, kind: Kind, name: &str, part: Part) {
        if self.parts.len() >= PARTS_MAX {
            self.is_cut = true;
            return;
        }
        let end = name.floor_char_boundary(NAME_MAX);
        self.parts
            .insert((kind, name.get(..end).unwrap_or_default().to_owned()), part);
    }

    /// A part that is its name.
    pub(super) fn name(&mut self, kind: Kind, name: &str) {
        self.put(kind, name, Part::default());
    }

    pub(super) fn script(&mut self, url: &str, text: &str) {
        self.put(Kind::Script, &address(url), part(text));
    }

    /// A script by its code: what it is called stays the same while it does the same.
    pub(super) fn code(&mut self, kind: Kind, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        let hash = digest(script::code(text).as_bytes());
        let name = hash.get(..16).unwrap_or_default();
        self.put(kind, name, part(text));
    }

    pub(super) fn header(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_lowercase();
        if HEADERS.contains(&name.as_str()) {
            let value = same_each_time(value);
            self.put(
                Kind::Header,
                &name,
                Part {
                    value: value.clone(),
                    text: value,
                },
            );
        }
    }

    /// Adds the parts of a page's markup; gives the addresses of its scripts, resolved against where the page is.
    pub(super) fn read(&mut self, html: &str, page: &url::Url) -> Vec<url::Url> {
        let html = Html::parse_document(html);
        let all = |selector: &str| {
            let selector = Selector::parse(selector).ok();
            selector.map_or_else(Vec::new, |selector| {
                html.select(&selector).collect::<Vec<ElementRef<'_>>>()
            })
        };
        let base = all("base[href]").first().and_then(|base| {
            let href = base.attr("href").unwrap_or_default();
            self.name(Kind::Base, href);
            page.join(href).ok()
        });
        let base = base.unwrap_or_else(|| page.clone());
        let resolved = |address: &str| base.join(address.trim()).ok();
        let mut scripts = Vec::new();
        for element in all("script") {
            match element.attr("src").or_else(|| element.attr("href")) {
                Some(src) => match resolved(src) {
                    Some(url) if url.scheme().starts_with("http") => scripts.push(url),
                    // `data:` and the like are code in the page.
                    Some(url) => self.code(Kind::Inline, url.as_str()),
                    None => self.name(Kind::Script, src),
                },
                None => self.code(Kind::Inline, &element.text().collect::<String>()),
            }
        }
        for element in all("*") {
            for (name, value) in element.value().attrs() {
                let is_address =
                    ["href", "src", "action", "formaction", "data", "xlink:href"].contains(&name);
                if is_address && is_code(value) || name.len() > 2 && name.starts_with("on") {
                    self.code(Kind::Handler, value);
                }
            }
            let value = element.value();
            match value.name() {
                "iframe" | "frame" | "embed" => {
                    if let Some(text) = value.attr("srcdoc") {
                        self.code(Kind::Inline, text);
                    }
                    self.place(Kind::Frame, value.attr("src").and_then(resolved));
                }
                "object" => self.place(Kind::Frame, value.attr("data").and_then(resolved)),
                "form" => self.place(
                    Kind::Form,
                    resolved(value.attr("action").unwrap_or_default()),
                ),
                "button" | "input" if value.attr("formaction").is_some() => {
                    self.place(
                        Kind::Form,
                        resolved(value.attr("formaction").unwrap_or_default()),
                    );
                }
                "meta" => {
                    if let Some(name) = value.attr("http-equiv") {
                        let content = same_each_time(value.attr("content").unwrap_or_default());
                        let part = Part {
                            value: content.clone(),
                            text: content,
                        };
                        self.put(
                            Kind::Header,
                            &format!("meta {}", name.to_ascii_lowercase()),
                            part,
                        );
                    }
                }
                _ => {}
            }
            if let Some(field) = card_field(value) {
                self.name(Kind::Field, &field);
            }
        }
        scripts
    }

    /// Where something goes: host and path, without what differs each time.
    pub(super) fn place(&mut self, kind: Kind, url: Option<url::Url>) {
        let Some(url) = url else { return };
        if url.scheme().starts_with("http") {
            self.name(kind, &address(url.as_str()));
        } else if !["about", "blob"].contains(&url.scheme()) {
            self.code(Kind::Inline, url.as_str());
        }
    }
}

/// Whether an address is code; browsers leave out tabs and line ends in it.
fn is_code(address: &str) -> bool {
    let plain = address.trim_start().to_ascii_lowercase();
    plain
        .replace(['\t', '\n', '\r'], "")
        .starts_with("javascript:")
}

/// A field a card is typed into, by its name.
fn card_field(element: &scraper::node::Element) -> Option<String> {
    if !["input", "select", "textarea"].contains(&element.name())
        || element.attr("type") == Some("hidden")
    {
        return None;
    }
    let said = |name: &str| element.attr(name).unwrap_or_default().to_ascii_lowercase();
    let (name, id, auto) = (said("name"), said("id"), said("autocomplete"));
    let is_card = |text: &str| {
        let plain = text.replace(['-', '_', '[', ']', '.', ' '], "");
        [
            "ccnumber",
            "cardnumber",
            "cccid",
            "cccvv",
            "cvv",
            "cvc",
            "ccexp",
            "cccsc",
            "securitycode",
        ]
        .iter()
        .any(|word| plain.contains(word))
    };
    let named = [&name, &id, &auto].into_iter().find(|text| is_card(text))?;
    Some(format!("{} {named}", element.name()))
}

/// A header without what differs each time: nonces, and hashes of inline scripts, which are parts themselves.
fn same_each_time(value: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let is_hash = |word: &String| word.trim_end_matches(';') == "'hash'";
    for word in value.split(' ') {
        let kept = match word.trim_end_matches(';') {
            nonce if nonce.starts_with("'nonce-") => word.replace(nonce, "'nonce-*'"),
            hash if ["'sha256-", "'sha384-", "'sha512-"]
                .iter()
                .any(|kind| hash.starts_with(kind)) =>
            {
                word.replace(hash, "'hash'")
            }
            _ => word.to_owned(),
        };
        // However many there are.
        if is_hash(&kept) && words.last().is_some_and(is_hash) {
            words.pop();
        }
        words.push(kept);
    }
    words.join(" ")
}

/// An address without what differs each time: Magento's version of static files, fragments, values of parameters that are numbers or hashes.
pub(super) fn address(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else {
        return url.to_owned();
    };
    parsed.set_fragment(None);
    let path: Vec<String> = parsed
        .path()
        .split('/')
        .map(|part| match part.strip_prefix("version") {
            Some(rest) if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()) => {
                "version*".to_owned()
            }
            _ => part.to_owned(),
        })
        .collect();
    let query: Vec<String> = parsed
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .map(|pair| match pair.split_once('=') {
            Some((name, value)) if differs(value) => format!("{name}=*"),
            _ => pair.to_owned(),
        })
        .collect();
    let query = if query.is_empty() {
        String::new()
    } else {
        format!("?{}", query.join("&"))
    };
    let origin = parsed.origin().ascii_serialization();
    format!("{origin}{}{query}", path.join("/"))
}

fn differs(value: &str) -> bool {
    !value.is_empty()
        && (value
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
            || value.len() >= 16
                && value
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'%')))
}

fn part(text: &str) -> Part {
    Part {
        value: digest(text.as_bytes()),
        text: text.to_owned(),
    }
}

/// What a script is known by that isn't the same text twice: its code.
pub(super) fn code_value(text: &str) -> String {
    format!("code {}", digest(script::code(text).as_bytes()))
}

pub(super) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What of a text went and what came, with a little of what is around; each at most `max` bytes.
pub(super) fn difference(before: &str, after: &str, max: usize) -> String {
    const AROUND: usize = 60;
    let start: usize = before
        .chars()
        .zip(after.chars())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len_utf8())
        .sum();
    let (gone, came) = (
        before.get(start..).unwrap_or_default(),
        after.get(start..).unwrap_or_default(),
    );
    let end: usize = gone
        .chars()
        .rev()
        .zip(came.chars().rev())
        .take_while(|(a, b)| a == b)
        .map(|(a, _)| a.len_utf8())
        .sum();
    let cut = |text: &str| {
        let text = text.get(..text.len() - end).unwrap_or_default();
        let at = text.floor_char_boundary(max);
        let rest = if at < text.len() { "…" } else { "" };
        format!("{}{rest}", text.get(..at).unwrap_or_default())
    };
    let lead = after
        .get(after.floor_char_boundary(start.saturating_sub(AROUND))..start)
        .unwrap_or_default();
    let tail = after.len() - end;
    let tail = after
        .get(tail..after.floor_char_boundary(tail + AROUND))
        .unwrap_or_default();
    format!("{lead}[-{}-]{{+{}+}}{tail}", cut(gone), cut(came))
}

/// Hosts a page's parts name.
pub(super) fn named_hosts(text: &str) -> BTreeSet<String> {
    script::hosts(text)
}

#[cfg(test)]
mod tests {
    use super::{Found, Kind, address, difference, same_each_time};
    use proptest::prelude::*;

    fn names(html: &str) -> Vec<String> {
        let mut found = Found::default();
        let page = "https://shop.example/checkout".parse().expect("an address");
        let scripts = found.read(html, &page);
        let parts = found
            .parts
            .into_keys()
            .map(|(kind, name)| format!("{} {name}", kind.name()));
        parts
            .chain(scripts.into_iter().map(|url| url.to_string()))
            .collect()
    }

    #[test]
    fn every_part_that_can_run_or_take_a_card_is_found() {
        let found = names(
            "<base href=/x/><script src=a.js></script><script>a()</script><img src=x onerror='b()'><a href=' java\nscript:c()'>
             <iframe src=//pay.example/f?session=1234567890abcdef1234></iframe><iframe srcdoc='<script>d()</script>'></iframe>
             <form action=https://evil.example/p><input name=payment[cc_number]><input autocomplete=cc-csc><input name=email></form>
             <meta http-equiv=Content-Security-Policy content=\"script-src 'nonce-abc'\"><svg><script href=e.js /></svg>
             <script src='data:text/javascript,f()'></script><template><script>g()</script></template>",
        );
        let count = |start: &str| found.iter().filter(|name| name.starts_with(start)).count();
        assert_eq!(count("inline"), 4, "{found:?}");
        assert_eq!(count("handler"), 2, "{found:?}");
        for one in [
            "base /x/",
            "frame https://pay.example/f?session=*",
            "form https://evil.example/p",
            "field input payment[cc_number]",
            "field input cc-csc",
            "header meta content-security-policy",
            "https://shop.example/x/a.js",
            "https://shop.example/x/e.js",
        ] {
            assert!(found.iter().any(|name| name == one), "{one}: {found:?}");
        }
    }

    #[test]
    fn what_differs_each_time_is_left_out() {
        assert_eq!(
            address("https://Shop.example/static/version1718/frontend/a.js?v=17.2&id=GTM-AB12#x"),
            "https://shop.example/static/version*/frontend/a.js?v=*&id=GTM-AB12"
        );
        assert_eq!(
            same_each_time("script-src 'self' 'nonce-r4nd' 'sha256-a=' 'sha384-b='; img-src *"),
            "script-src 'self' 'nonce-*' 'hash'; img-src *"
        );
    }

    #[test]
    fn a_difference_shows_what_came_and_went() {
        assert_eq!(
            difference("a();b();c();", "a();x('é');c();", 100),
            "a();[-b(-]{+x('é'+});c();"
        );
        assert_eq!(difference("", "abc", 2), "[--]{+ab…+}");
    }

    proptest! {
        #[test]
        fn any_page_is_read(html in "(<|>|script|src=|on|'|\"|\\PC){0,60}", other in "\\PC{0,40}") {
            let mut found = Found::default();
            let page = "https://shop.example/checkout".parse().expect("an address");
            let _scripts = found.read(&html, &page);
            found.code(Kind::Inline, &html);
            let _name = address(&html);
            let shown = difference(&html, &other, 10);
            prop_assert!(shown.len() < 400);
        }
    }
}
