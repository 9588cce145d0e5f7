//! A payment page as a consumer's browser receives it (PCI DSS v4.0.1 req. 11.6.1, 6.4.3): scripts, inline scripts by their
//! code, handlers, headers, frames, forms, card fields and hosts, compared with what was there before.
//!
//! One source is one page of one store view. It is looked at twice each time: what differs between two looks in a row differs
//! for each shopper. The first look makes the baseline, kept signed beside the ledger; a part once known stays known.

mod authorised;
mod browser;
mod compare;
mod fetch;
mod look;
mod script;
mod visit;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::{Category, Field, SourceId, Timestamp};
use serde::Deserialize;
use url::Url;

use self::compare::{Change, Known, Look, Now, cut};
use self::look::{Found, Kind as PartKind, difference, named_hosts};
use self::visit::{Step, Visit};
use crate::baseline::{self, Kept};
use crate::observation::Observation;
use crate::private::code;
use crate::source::{Alarm, Given, Hand, Kind, News, Recorder, Source};
use crate::tree::{CardCount, Signatures};
use crate::{SourceError, settings};

/// How often a page is looked at unless settings say else; weekly is what PCI DSS v4.0.1 req. 11.6.1 asks for at least.
const EVERY_SECONDS: u64 = 900;
/// Shortest pause between two looks.
const EVERY_SECONDS_MIN: u64 = 10;
/// Bytes of a text or a difference that are told.
const TOLD_MAX: usize = 8 * 1024;
/// How long sealing is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a page is asked as unless settings say else: the commonest browser.
const USER_AGENT: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

/// The kind `payment_page`.
pub(crate) struct PaymentPage;

/// Its settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The page's address, e.g. `https://shop.example.com/checkout`.
    url: String,
    /// Code of the store view it is of.
    view: String,
    /// How to look: `auto` (a browser where there is one), `browser` or `fetch`.
    #[serde(default)]
    by: By,
    /// The browser's program; one of Debian's places when it isn't said.
    browser: Option<PathBuf>,
    /// Whether the browser keeps what a page runs in its sandbox; without one whoever writes the page may run what he likes here.
    #[serde(default = "yes")]
    sandbox: bool,
    /// What is asked for first, so that the cart isn't empty: `/path`, or `POST /path form`.
    #[serde(default)]
    before: Vec<String>,
    /// Where hosts are, e.g. the shop's own behind its CDN.
    #[serde(default)]
    addresses: BTreeMap<String, IpAddr>,
    every_seconds: Option<u64>,
    user_agent: Option<String>,
    /// The list of what is authorised (TOML; docs/payment-page.md).
    authorised: Option<PathBuf>,
    /// Folder of the merchant's own content rules, `*.yar` and `*.yara`; read at the start.
    yara: Option<PathBuf>,
}

/// Reads a page's markup; see [`crate::hostile::page`].
pub(crate) fn parts(html: &str) -> (Vec<(&'static str, String)>, Vec<String>) {
    let mut found = Found::default();
    let page = Url::parse("https://shop.example/checkout").expect("an address");
    let scripts = found.read(html, &page);
    let parts = found.parts.into_keys();
    (
        parts.map(|(kind, name)| (kind.name(), name)).collect(),
        scripts.into_iter().map(String::from).collect(),
    )
}

/// Reads a script; see [`crate::hostile::script`].
pub(crate) fn code_and_hosts(text: &str) -> (String, Vec<String>) {
    (
        script::code(text),
        script::hosts(text).into_iter().collect(),
    )
}

const fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    #[default]
    Auto,
    Browser,
    Fetch,
}

impl Kind for PaymentPage {
    fn name(&self) -> &'static str {
        "payment_page"
    }

    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError> {
        let settings: Settings = settings(self.name(), table)?;
        let wrong = |why: String| SourceError::Settings {
            kind: "payment_page",
            why,
        };
        let url: Url = settings
            .url
            .parse()
            .map_err(|error| wrong(format!("url: {error}")))?;
        if !url.scheme().starts_with("http") || url.host_str().is_none() {
            return Err(wrong("url: it begins with https://".to_owned()));
        }
        let mut before = Vec::new();
        for step in &settings.before {
            let (address, form) = match step.strip_prefix("POST ") {
                Some(rest) => rest
                    .split_once(' ')
                    .map(|(address, form)| (address, Some(form.to_owned()))),
                None => Some((step.as_str(), None)),
            }
            .ok_or_else(|| wrong("before: `/path`, or `POST /path name=value&…`".to_owned()))?;
            let url = url
                .join(address)
                .ok()
                .filter(|to| to.host_str() == url.host_str());
            let url = url.ok_or_else(|| wrong("before: a path of the same host".to_owned()))?;
            before.push(Step { url, form });
        }
        let program = match (settings.by, settings.browser) {
            (By::Fetch, _) => None,
            (_, Some(program)) => Some(program),
            (by, None) => {
                let found = browser::BROWSERS
                    .iter()
                    .map(PathBuf::from)
                    .find(|program| program.is_file());
                if found.is_none() && matches!(by, By::Browser) {
                    return Err(wrong(format!(
                        "there is no browser at {}: install chromium, or name one with `browser`",
                        browser::BROWSERS.join(", ")
                    )));
                }
                found
            }
        };
        // Chromium has no sandbox as root, keeps rights that it is handed, and what runs in it is written by whoever reached
        // the page.
        let is_bare = settings.sandbox && has_rights();
        if is_bare && matches!(settings.by, By::Browser) {
            return Err(wrong(
                "a browser has no sandbox as root, and would have the capabilities that are handed on: run magewarden as an account of its own without them, or say `sandbox = false` where nothing is to be lost".to_owned(),
            ));
        }
        let program = program.filter(|_| !is_bare);
        let way = if program.is_some() {
            "browser"
        } else {
            "fetch"
        };
        let authorised = settings
            .authorised
            .as_deref()
            .map(authorised::read)
            .transpose()?;
        let signatures = match &settings.yara {
            Some(folder) => Arc::new(given.signatures.with(folder)?),
            None => Arc::clone(&given.signatures),
        };
        let id = SourceId(format!("payment_page:{}:{way}", settings.view));
        // Names of views are letters, digits and `_`; another could name a file elsewhere.
        let file: String = settings
            .view
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || c == '_' {
                    c
                } else {
                    '-'
                }
            })
            .collect();
        let address = look::digest(url.as_str().as_bytes());
        let kept = given.data.join(format!(
            "payment_page-{file}-{way}-{}",
            address.get(..8).unwrap_or_default()
        ));
        let random = code(&given.key, format!("form key {}", given.now.0).as_bytes());
        Ok(Box::new(Watched {
            visit: Visit {
                url,
                before,
                addresses: settings.addresses,
                user_agent: settings.user_agent.unwrap_or_else(|| USER_AGENT.to_owned()),
                sandbox: settings.sandbox,
                form_key: random.get(..16).unwrap_or_default().to_owned(),
            },
            view: settings.view,
            program,
            way,
            every: Duration::from_secs(
                settings
                    .every_seconds
                    .unwrap_or(EVERY_SECONDS)
                    .max(EVERY_SECONDS_MIN),
            ),
            list_at: settings.authorised,
            authorised,
            kept,
            key: given.key,
            signatures,
            cards: Arc::clone(&given.cards),
            clock: given.clock,
            recorder: Recorder::observing(id, given.now),
            markup: String::new(),
        }))
    }
}

/// What two looks saw.
struct Seen {
    parts: Look,
    is_cut: bool,
    /// As of the second look.
    markup: String,
}

/// One page that is watched.
struct Watched {
    visit: Visit,
    view: String,
    program: Option<PathBuf>,
    way: &'static str,
    every: Duration,
    list_at: Option<PathBuf>,
    authorised: Option<Vec<authorised::Authorised>>,
    kept: PathBuf,
    key: [u8; 32],
    signatures: Arc<Signatures>,
    cards: Arc<CardCount>,
    clock: fn() -> Timestamp,
    recorder: Recorder,
    /// SHA-256 of the markup that was kept last.
    markup: String,
}

impl Source for Watched {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        let mut due: Option<Instant> = None;
        let mut alarm = Alarm::default();
        while !hand.stopped() {
            let is_called = alarm.rings(hand);
            if is_called || due.is_none_or(|due| Instant::now() >= due) {
                if let Some(path) = &self.list_at {
                    self.authorised = Some(authorised::read(path)?);
                }
                let seen = self.look(hand)?;
                let what = self.compare(&seen, is_called, hand)?;
                hand.tell(self.id(), News::Well { what });
                due = Some(Instant::now() + self.every);
            }
            hand.pause(Duration::from_millis(500));
        }
        Ok(())
    }

    fn id(&self) -> SourceId {
        self.recorder.source().clone()
    }
}

impl Watched {
    /// Looks twice; what differs between the looks differs for each shopper.
    fn look(&self, hand: &Hand) -> Result<Seen, SourceError> {
        let once = || -> Result<Found, SourceError> {
            let profile = self.kept.with_extension("profile");
            let found = match &self.program {
                Some(program) => browser::look(program, &profile, &self.visit, hand),
                None => fetch::look(&self.visit, hand),
            };
            found.map_err(|why| SourceError::Unusable { why })
        };
        let (first, second) = (once()?, once()?);
        let (is_cut, markup) = (first.is_cut || second.is_cut, second.markup);
        let mut now = Look::new();
        for (key, part) in second.parts {
            now.insert(
                key,
                Now {
                    part,
                    varies: false,
                },
            );
        }
        for (key, part) in first.parts {
            match now.get_mut(&key) {
                Some(there) if there.part.value != part.value => {
                    // A script that is another text each time is known by its code, if that is the same.
                    let by_code = look::code_value(&part.text);
                    if key.0 == PartKind::Script && by_code == look::code_value(&there.part.text) {
                        there.part.value = by_code;
                    } else {
                        there.varies = true;
                    }
                }
                Some(_) => {}
                None => drop(now.insert(
                    key,
                    Now {
                        part,
                        varies: false,
                    },
                )),
            }
        }
        Ok(Seen {
            parts: now,
            is_cut,
            markup,
        })
    }

    /// Tells what differs from the baseline, and keeps the new one once that is sealed; the page itself is told with it at the first
    /// look, where something changed, and when an incident called for the look.
    fn compare(
        &mut self,
        seen: &Seen,
        is_called: bool,
        hand: &Hand,
    ) -> Result<String, SourceError> {
        let (before, is_first, is_changed) = match baseline::load::<Known>(&self.kept, &self.key)? {
            Kept::Whole(known) => (known, false, false),
            Kept::None => (BTreeMap::new(), true, false),
            Kept::Changed => (BTreeMap::new(), true, true),
        };
        let count = seen.parts.len();
        let (known, changes) = compare::compare(
            &before,
            &seen.parts,
            is_first,
            &self.signatures,
            &*self.cards,
        );
        let details: Vec<Vec<u8>> = changes
            .iter()
            .map(|change| self.observe(change).record())
            .collect();
        let changes = changes
            .iter()
            .filter(|change| change.what != "seen")
            .count();
        let written = baseline::write(&self.key, &known);
        let summary = match (is_changed, is_first) {
            (true, _) => "baseline_changed",
            (_, true) => "baseline",
            _ => "checked",
        };
        let what = format!("{count} parts, {changes} changes");
        let context = if seen.is_cut {
            format!("{what}; there are more than can be compared")
        } else {
            what.clone()
        };
        let summary = self.plain(summary).int(
            Field::ChangeCount,
            i64::try_from(changes).unwrap_or(i64::MAX),
        );
        let summary = summary
            .text(Field::FileHash, &written.code)
            .text(Field::Context, &context)
            .record();
        let page = look::digest(seen.markup.as_bytes());
        let is_kept = (is_called || is_first || changes > 0) && self.markup != page;
        let whole = is_kept.then(|| self.whole(&seen.markup));
        // First: what it says of the baseline holds for what follows.
        let records = std::iter::once(summary).chain(details).chain(whole);
        let chunks = records.map(|record| self.recorder.chunk(record)).collect();
        if hand.give_and_wait(chunks, PATIENCE).is_ok() {
            if is_kept {
                self.markup = page;
            }
            if known != before {
                baseline::save(&self.kept, &written)?;
            }
        }
        Ok(format!(
            "looks at {} by {}: {what}",
            self.visit.url, self.way
        ))
    }

    fn plain(&self, change: &str) -> Observation {
        Observation::new(Category::PaymentPage, (self.clock)())
            .text(Field::Url, self.visit.url.as_str())
            .text(Field::StoreView, &self.view)
            .text(Field::PageWay, self.way)
            .text(Field::Change, change)
    }

    /// The page itself, as evidence: what no rule reads.
    fn whole(&self, markup: &str) -> Vec<u8> {
        let (observation, kept) = self.plain("kept").whole(markup);
        let said = match markup.len() {
            bytes if bytes == kept => format!("{bytes} bytes"),
            bytes => format!("the first {kept} of {bytes} bytes"),
        };
        observation.text(Field::Context, &said).record()
    }

    fn observe(&self, change: &Change<'_>) -> Observation {
        let Change {
            what,
            kind,
            name,
            part,
            before,
        } = *change;
        let mut observation = self
            .plain(what)
            .text(Field::PagePart, kind.name())
            .text(Field::PageName, name)
            .text(Field::PageText, cut(&part.text, TOLD_MAX));
        if kind.is_code() && !part.value.is_empty() {
            observation = observation
                .text(Field::FileHash, &part.value)
                .list(Field::Signatures, self.signatures.of_script(&part.text))
                .list(Field::PageHosts, named_hosts(&part.text));
        }
        if let Some(list) = &self.authorised {
            let found = authorised::find(list, &self.view, kind, name, part);
            observation = observation.text(
                Field::PageAuthorised,
                if found.is_some() { "yes" } else { "no" },
            );
            if let Some(found) = found {
                observation = observation.text(Field::Context, &found.said());
            }
        }
        match before {
            Some(before) => observation.text(
                Field::PageDifference,
                &difference(before, &part.text, TOLD_MAX),
            ),
            None => observation,
        }
    }
}

/// Whether this runs as root, or with capabilities that a program it starts would have, too.
fn has_rights() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut handed_on = status
        .lines()
        .filter_map(|line| line.strip_prefix("CapAmb:"));
    let is_any = |bits: &str| bits.trim().bytes().any(|digit| digit != b'0');
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) || handed_on.any(is_any)
}
