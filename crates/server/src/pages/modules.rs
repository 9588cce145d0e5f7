//! What is installed, what is known of it, and what it can touch (PCI DSS v4.0.1 req. 6.3.2, 6.5.1).

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::Query;
use axum::response::Response;
use engine::desk::{Sight, SourceView};
use engine::inventory::{List, Package, PackageList, Power};
use serde_json::json;

use super::payment_pages::state;
use super::{Frame, encoded, json, number, page};
use crate::access::Seen;

/// Packages shown on one page.
const PACKAGES_MAX: usize = 25;
/// Bytes shown of a text.
const TEXT_BYTES: usize = 120;

/// The list of one shop's source.
struct Shop {
    source: String,
    list: Arc<List>,
}

impl Shop {
    fn all(sight: &Sight) -> Vec<Self> {
        let lists = sight.lists().into_iter();
        lists
            .filter(|(_, list)| matches!(**list, List::Packages(_)))
            .map(|(source, list)| Self {
                source: source.0,
                list,
            })
            .collect()
    }

    fn packages(&self) -> Option<&PackageList> {
        match &*self.list {
            List::Packages(packages) => Some(packages),
            _ => None,
        }
    }
}

/// A package as a page shows it.
struct Line<'a> {
    package: &'a Package,
}

impl Line<'_> {
    fn state(&self) -> &'static str {
        state(&self.package.history.state)
    }

    /// What is grave of it, in words; empty when nothing was told.
    fn grave(&self) -> String {
        let has = |power| self.package.reach.iter().any(|one| Power::of(one) == power);
        let grave = [
            (Power::Open, "open to anyone"),
            (Power::Payment, "reaches payment"),
        ];
        let words: Vec<_> = grave
            .into_iter()
            .filter(|(power, _)| has(*power))
            .map(|(_, words)| words)
            .collect();
        words.join(", ")
    }
}

fn fits(package: &Package, text: &str) -> bool {
    let has = |value: &str| value.to_lowercase().contains(text);
    has(&package.name)
        || has(&package.module)
        || has(&package.kind)
        || has(&package.version)
        || package
            .advisories
            .iter()
            .chain(&package.reach)
            .any(|one| has(one))
}

#[derive(Template)]
#[template(path = "modules.html")]
struct Modules<'a> {
    frame: Frame,
    /// The source that tells, where it runs.
    source: Option<SourceView>,
    is_known: bool,
    lines: Vec<Line<'a>>,
    total: usize,
    skipped: usize,
    left_out: u64,
    filter: String,
    gone: bool,
}

impl Modules<'_> {
    fn link(&self, next: bool) -> String {
        let from = if next {
            self.skipped + PACKAGES_MAX
        } else {
            self.skipped.saturating_sub(PACKAGES_MAX)
        };
        let gone = if self.gone { "&gone=1" } else { "" };
        format!("/modules?from={from}&q={}{gone}", encoded(&self.filter))
    }
}

/// What is installed; `?q=` keeps what names a text, `gone=1` shows also what went.
pub(crate) async fn modules(
    Seen(sight): Seen,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let shops = Shop::all(&sight);
    let filter = query.get("q").cloned().unwrap_or_default();
    let (text, gone) = (filter.to_lowercase(), query.contains_key("gone"));
    let mut all: Vec<&Package> = shops
        .iter()
        .filter_map(Shop::packages)
        .flat_map(|list| list.packages.values())
        .map(|package| &**package)
        .filter(|package| (gone || !package.history.is_gone()) && fits(package, &text))
        .collect();
    // What is on and reaches payment, or is open to anyone, comes first; then what has a known hole.
    all.sort_by_key(|package| {
        let is_off = package.history.is_gone() || package.enabled == "no";
        let grave = matches!(package.power(), Power::Open | Power::Payment);
        (
            is_off || !grave,
            package.advisories.is_empty(),
            package.power(),
            &package.name,
        )
    });
    let total = all.len();
    let skipped = number(&query, "from").min(total);
    let lines = all.into_iter().skip(skipped).take(PACKAGES_MAX);
    let mut sources = sight.sources().into_iter();
    page(&Modules {
        frame: Frame::new(&sight).at("/modules", model::Timestamp::default()),
        source: sources.find(|source| source.id.starts_with("inventory:")),
        is_known: !shops.is_empty(),
        lines: lines.map(|package| Line { package }).collect(),
        total,
        skipped,
        left_out: shops
            .iter()
            .filter_map(Shop::packages)
            .map(|list| list.left_out)
            .sum(),
        filter,
        gone,
    })
}

/// What is installed as JSON, what is gone, too.
pub(crate) async fn api_modules(Seen(sight): Seen) -> Response {
    let shops: Vec<_> = Shop::all(&sight)
        .iter()
        .filter_map(|shop| {
            let list = shop.packages()?;
            Some(json!({
                "source": shop.source,
                "left_out": list.left_out,
                "packages": list.packages.values().map(|package| json!(**package)).collect::<Vec<_>>(),
            }))
        })
        .collect();
    json(&json!({ "version": 1, "shops": shops }))
}
