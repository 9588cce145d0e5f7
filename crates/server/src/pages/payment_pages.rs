//! What is on each store's payment page, since when, and who authorised it (PCI DSS v4.0.1 req. 6.4.3, 11.6.1).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use engine::desk::{Sight, SourceView};
use engine::inventory::{List, PageList, Part, page_of};
use serde_json::json;

use super::{Frame, encoded, json, number, page};
use crate::access::Seen;

/// Parts shown on one page.
const PARTS_MAX: usize = 25;
/// Changes shown on top, the places of one, and the parts that are looked through for them.
const LATELY_MAX: usize = 5;
const PLACES_MAX: usize = 6;
const CHANGED_MAX: usize = 40;
/// Pages listed.
const PAGES_MAX: usize = 30;
/// Bytes shown of a difference.
const DIFFERENCE_BYTES: usize = 700;

/// Answers to whether a part is authorised, and kinds of parts, in the order they are shown.
const AUTHORISED: [&str; 3] = ["no", "unknown", "yes"];
const KINDS: [&str; 9] = [
    "script", "inline", "handler", "frame", "host", "form", "base", "field", "header",
];

/// A page and how it is looked at.
struct Watched {
    view: String,
    way: String,
    list: Option<Arc<List>>,
    /// How its source is, where it runs.
    source: Option<SourceView>,
}

impl Watched {
    /// Every page that is or was looked at, in order of view and way.
    fn all(sight: &Sight) -> Vec<Self> {
        let (lists, mut sources) = (sight.lists(), BTreeMap::new());
        for source in sight.sources() {
            sources.insert(source.id.clone(), source);
        }
        let named: BTreeSet<&str> = lists
            .keys()
            .map(|source| source.0.as_str())
            .chain(sources.keys().map(String::as_str))
            .collect();
        let known = |id: &str| lists.iter().find(|(source, _)| source.0 == id);
        named
            .into_iter()
            .filter_map(|id| {
                let (view, way) = page_of(id)?;
                Some(Self {
                    view: view.to_owned(),
                    way: way.to_owned(),
                    list: known(id).map(|(_, list)| Arc::clone(list)),
                    source: sources.get(id).cloned(),
                })
            })
            .collect()
    }

    fn page(&self) -> Option<&PageList> {
        match self.list.as_deref()? {
            List::Page(page) => Some(page),
            _ => None,
        }
    }

    /// The parts that are there and of which a claim holds.
    fn count(&self, authorised: &str) -> usize {
        let parts = self.page().into_iter().flat_map(|page| page.parts(false));
        parts.filter(|part| part.authorised == authorised).count()
    }

    /// Whether its source does what it should.
    fn is_well(&self) -> bool {
        self.source
            .as_ref()
            .is_some_and(|source| source.state == "reading")
    }
}

/// A part as a page shows it.
struct Line<'a> {
    watched: &'a Watched,
    part: &'a Part,
}

impl Line<'_> {
    /// What its last record says, in words.
    fn state(&self) -> &'static str {
        state(&self.part.history.state)
    }
}

/// A change that came at one or several pages.
struct Lately<'a> {
    lines: Vec<Line<'a>>,
    /// What went and what came.
    difference: String,
}

impl<'a> Lately<'a> {
    /// The last changes of `all`, which are in order, the newest first; the same at several pages is one.
    fn all(sight: &Sight, all: &[Line<'a>]) -> Vec<Self> {
        let mut found: Vec<Self> = Vec::new();
        let changed = all.iter().filter(|line| line.part.history.state != "seen");
        for &Line { watched, part } in changed.take(CHANGED_MAX) {
            let difference = difference(sight, part.history.entry);
            let is_same = |one: &&mut Self| {
                let first = one.lines.first().map(|line| line.part);
                one.difference == difference
                    && first.is_some_and(|first| {
                        let is_named = difference.is_empty() && first.name != part.name;
                        first.kind == part.kind
                            && first.history.state == part.history.state
                            && !is_named
                    })
            };
            let line = Line { watched, part };
            match found.iter_mut().find(is_same) {
                Some(one) => one.lines.push(line),
                None => found.push(Self {
                    lines: vec![line],
                    difference,
                }),
            }
        }
        found.truncate(LATELY_MAX);
        found
    }

    /// Where it came, as far as it is shown, and how many more there are.
    fn places(&self) -> (&[Line<'a>], usize) {
        let shown = self.lines.len().min(PLACES_MAX);
        (self.lines.split_at(shown).0, self.lines.len() - shown)
    }
}

/// What became of a thing, in words.
pub(super) fn state(state: &str) -> &'static str {
    match state {
        "seen" => "there at the first look",
        "created" => "came",
        "modified" => "changed",
        "removed" => "gone",
        _ => "unknown",
    }
}

/// What is asked for.
#[derive(Default)]
struct Wanted {
    text: String,
    view: String,
    way: String,
    authorised: String,
    gone: bool,
}

impl Wanted {
    fn new(query: &BTreeMap<String, String>) -> Self {
        let text = |name| query.get(name).cloned().unwrap_or_default();
        Self {
            text: text("q"),
            view: text("view"),
            way: text("way"),
            authorised: text("authorised"),
            gone: query.contains_key("gone"),
        }
    }

    fn fits(&self, watched: &Watched, part: &Part) -> bool {
        let text = self.text.to_lowercase();
        let is = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
        let has = |value: &str| value.to_lowercase().contains(&text);
        is(&self.view, &watched.view)
            && is(&self.way, &watched.way)
            && is(&self.authorised, &part.authorised)
            && (has(&part.kind)
                || has(&part.name)
                || part.authorisation.as_deref().is_some_and(has)
                || part
                    .hosts
                    .iter()
                    .chain(&part.signatures)
                    .any(|one| has(one)))
    }

    fn is_all(&self) -> bool {
        self.text.is_empty()
            && self.view.is_empty()
            && self.way.is_empty()
            && self.authorised.is_empty()
    }
}

#[derive(Template)]
#[template(path = "payment_pages.html")]
struct PaymentPages<'a> {
    frame: Frame,
    pages: &'a [Watched],
    wanted: Wanted,
    lately: Vec<Lately<'a>>,
    lines: Vec<Line<'a>>,
    total: usize,
    skipped: usize,
}

impl PaymentPages<'_> {
    fn link(&self, next: bool) -> String {
        let from = if next {
            self.skipped + PARTS_MAX
        } else {
            self.skipped.saturating_sub(PARTS_MAX)
        };
        let wanted = &self.wanted;
        format!(
            "/payment-pages?from={from}&q={}&view={}&way={}&authorised={}{}",
            encoded(&wanted.text),
            encoded(&wanted.view),
            encoded(&wanted.way),
            encoded(&wanted.authorised),
            if wanted.gone { "&gone=1" } else { "" }
        )
    }

    /// Store views there are.
    fn views(&self) -> BTreeSet<&str> {
        let views = self.pages.iter().map(|watched| watched.view.as_str());
        views.take(PAGES_MAX).collect()
    }

    /// The pages listed, and how many there are beyond.
    fn listed(&self) -> (&[Watched], usize) {
        let listed = self.pages.len().min(PAGES_MAX);
        (self.pages.split_at(listed).0, self.pages.len() - listed)
    }
}

/// The parts of the payment pages; `?q=`, `view=`, `way=`, `authorised=` keep some, `gone=1` shows also what went.
pub(crate) async fn payment_pages(
    Seen(sight): Seen,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let (pages, wanted) = (Watched::all(&sight), Wanted::new(&query));
    let mut all: Vec<Line<'_>> = pages
        .iter()
        .flat_map(|watched| {
            let parts = watched.page().into_iter().flat_map(|page| page.parts(true));
            parts.map(move |part| Line { watched, part })
        })
        .filter(|line| wanted.fits(line.watched, line.part))
        .collect();
    all.sort_by(|a, b| b.part.history.changed.cmp(&a.part.history.changed));
    let lately = Lately::all(&sight, &all);
    all.retain(|line| wanted.gone || !line.part.history.is_gone());
    // What nobody authorised comes first, and code before the rest.
    let rank = |list: &[&str], value: &str| list.iter().position(|one| *one == value);
    all.sort_by_key(|Line { watched, part }| {
        (
            rank(&AUTHORISED, &part.authorised),
            rank(&KINDS, &part.kind),
            (&watched.view, &watched.way, &part.name),
        )
    });
    let total = all.len();
    let skipped = number(&query, "from").min(total);
    let lines = all.into_iter().skip(skipped).take(PARTS_MAX).collect();
    page(&PaymentPages {
        frame: Frame::new(&sight).at("/payment-pages", model::Timestamp::default()),
        pages: &pages,
        wanted,
        lately,
        lines,
        total,
        skipped,
    })
}

/// What an entry tells of a change: the difference, or the text that came.
fn difference(sight: &Sight, entry: u64) -> String {
    let Some(understood) = sight.entry(entry).and_then(|entry| entry.understood) else {
        return String::new();
    };
    let told = |wanted: &str| {
        let field = understood.fields.iter().find(|(name, _)| *name == wanted);
        field.map(|(_, text)| text.as_str()).unwrap_or_default()
    };
    let text = match told("page.difference") {
        "" => told("page.text"),
        difference => difference,
    };
    report::excerpt(text, DIFFERENCE_BYTES)
}

/// Every payment page with its parts as JSON, those that are gone, too.
pub(crate) async fn api_payment_pages(Seen(sight): Seen) -> Response {
    let pages: Vec<_> = Watched::all(&sight)
        .iter()
        .map(|watched| {
            let page = watched.page();
            json!({
                "view": watched.view,
                "way": watched.way,
                "state": watched.source.as_ref().map(|source| &source.state),
                "url": page.map(|page| &page.url),
                "looks": page.map_or(0, |page| page.looks),
                "last": page.and_then(|page| page.last.as_ref()),
                "kept": page.map_or(&[][..], |page| &page.kept),
                "left_out": page.map_or(0, |page| page.left_out),
                "parts": page.into_iter().flat_map(|page| page.parts(true)).map(|part| json!(**part)).collect::<Vec<_>>(),
            })
        })
        .collect();
    json(&json!({ "version": 1, "pages": pages }))
}
