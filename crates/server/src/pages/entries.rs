//! Sealed entries by time, source, who, where and number: a list of metadata whose every view is an address, and the same as JSON.
//!
//! What a record says is read on the entry's own page, which is sealed; nothing of it stands here.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use engine::desk::Sight;
use engine::evidence::{self, Entity, EntityKind, Line, Listed, Search};
use engine::ledger::Order;
use model::{Right, Timestamp};
use serde_json::{Value, json};

use super::{Frame, encoded, json as answer, page, problem};
use crate::access::{Seen, aside};

/// Entries on one page.
const LINES_MAX: usize = 40;
/// Times that is looked further back for entries that aren't notes of the time alone: more than an hour of silence.
const ROUNDS_MAX: usize = 16;
/// Entries in one answer of the API.
const ITEMS_MAX: usize = 200;
/// Sources and places offered to choose from.
const OFFERED_MAX: usize = 60;
/// Names of what may be asked, in the order of addresses.
const ASKED: [&str; 10] = [
    "from",
    "to",
    "source",
    "administrator",
    "account",
    "address",
    "module",
    "place",
    "least",
    "most",
];

/// What is asked for, as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter(BTreeMap<&'static str, String>);

impl Filter {
    fn new(query: &BTreeMap<String, String>) -> Self {
        let told = ASKED.into_iter().filter_map(|name| {
            let text = query.get(name)?.trim();
            (!text.is_empty()).then(|| (name, text.to_owned()))
        });
        Self(told.collect())
    }

    /// All of somebody or something.
    pub(super) fn of(entity: &Entity) -> Self {
        let name = match entity.kind {
            EntityKind::Store => "place",
            kind => kind.name(),
        };
        Self(BTreeMap::from([(name, entity.name.clone())]))
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As the address has it, with what leads on.
    pub(super) fn link(&self, before: Option<u64>) -> String {
        let told = ASKED.into_iter().filter_map(|name| {
            let text = self.0.get(name)?;
            Some(format!("{name}={}", encoded(text)))
        });
        let before = before.map(|number| format!("before={number}"));
        let all: Vec<String> = told.chain(before).collect();
        if all.is_empty() {
            return "/entries".to_owned();
        }
        format!("/entries?{}", all.join("&"))
    }

    /// What is to be looked for.
    ///
    /// # Errors
    ///
    /// What can't be understood, and how it is written.
    fn search(&self, sight: &Sight) -> Result<Search, &'static str> {
        let mut search = Search {
            order: Order::Newest,
            from: self.time("from", 0)?,
            to: self.time("to", 999_999)?,
            source: self.0.get("source").cloned(),
            first: self.number("least")?.unwrap_or(0),
            end: self.number("most")?.map(|most| most.saturating_add(1)),
            ..Search::default()
        };
        for kind in EntityKind::ALL {
            if let Some(name) = self.0.get(kind.name()) {
                let entity = Entity::new(kind, name);
                search
                    .entities
                    .push(entity.ok_or("a name has 1 to 160 bytes")?);
            }
        }
        if let Some(text) = self.0.get("place") {
            let known = evidence::place(text);
            let place = known.ok_or(
                "a place is website:CODE, store:CODE, view:CODE, host:NAME, installation or unknown",
            )?;
            search.places = evidence::within(&place, sight.stores());
        }
        Ok(search)
    }

    fn number(&self, name: &str) -> Result<Option<u64>, &'static str> {
        let number = self.0.get(name).map(|text| text.parse());
        number
            .transpose()
            .map_err(|_| "the number of an entry is a whole number from 0 on")
    }

    /// A time; `rest` fills the second that it names.
    fn time(&self, name: &str, rest: i64) -> Result<Option<Timestamp>, &'static str> {
        let Some(text) = self.0.get(name) else {
            return Ok(None);
        };
        // As a person writes it: without a zone it is UTC, as every time here.
        let local = text.trim_end_matches(" UTC");
        let whole = text
            .parse::<jiff::Timestamp>()
            .or_else(|_| format!("{local}Z").parse());
        let time = whole
            .map_err(|_| "a time is written 2026-08-05T10:15:00Z, or 2026-08-05 10:15 in UTC")?;
        // What was written is filled up to its end: the second, or the minute.
        let rest = match local.matches(':').count() {
            _ if text.contains('.') => 0,
            1 if rest > 0 => 60 * Timestamp::SECOND - 1,
            _ => rest,
        };
        Ok(Some(Timestamp(time.as_microsecond().saturating_add(rest))))
    }
}

#[derive(Template)]
#[template(path = "entries.html")]
struct Entries {
    frame: Frame,
    filter: Filter,
    lines: Vec<Line>,
    next: Option<u64>,
    /// Where this page begins, when it isn't the first.
    before: Option<u64>,
    fault: &'static str,
    /// Whether magewarden's own notes of the time are shown, and whether there are others to switch to.
    own: bool,
    sources: Vec<String>,
    places: Vec<String>,
    narrow: bool,
}

impl Entries {
    fn text(&self, name: &str) -> &str {
        self.filter.text(name)
    }

    fn link(&self, before: Option<u64>) -> String {
        with_own(self.filter.link(before), self.own)
    }

    /// The same list with, or without, the notes of the time.
    fn switched(&self) -> String {
        with_own(self.filter.link(self.before), !self.own)
    }
}

fn with_own(link: String, own: bool) -> String {
    match (own, link.contains('?')) {
        (false, _) => link,
        (true, false) => format!("{link}?own=1"),
        (true, true) => format!("{link}&own=1"),
    }
}

/// Finds what isn't magewarden's own note of the time: while nothing arrives there are six a minute, which say no more than that.
async fn find_others(
    sight: &Sight,
    search: &Search,
    mut before: Option<u64>,
) -> Result<Listed, Response> {
    let mut out = Listed::default();
    for _ in 0..ROUNDS_MAX {
        let limit = if out.lines.is_empty() {
            LINES_MAX
        } else {
            LINES_MAX - out.lines.len()
        };
        let found = find(sight, search.clone(), before, limit).await?;
        out.next = found.next;
        let others = found
            .lines
            .into_iter()
            .filter(|line| line.what != evidence::TIME_ALONE);
        out.lines.extend(others);
        before = found.next;
        if out.lines.len() >= LINES_MAX || before.is_none() {
            break;
        }
    }
    Ok(out)
}

/// The list.
pub(crate) async fn entries(
    Seen(sight): Seen,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let filter = Filter::new(&query);
    let before: Option<u64> = query.get("before").and_then(|text| text.parse().ok());
    let asks_for_them = filter.text("source") == "magewarden";
    let own = asks_for_them || query.get("own").is_some_and(|text| text == "1");
    let (listed, fault) = match filter.search(&sight) {
        Err(fault) => (Listed::default(), fault),
        Ok(search) => {
            let found = if own {
                find(&sight, search, before, LINES_MAX).await
            } else {
                find_others(&sight, &search, before).await
            };
            match found {
                Ok(listed) => (listed, ""),
                Err(response) => return response,
            }
        }
    };
    let page = page(&Entries {
        frame: Frame::new(&sight).at("/entries", Timestamp::default()),
        lines: listed.lines,
        next: listed.next,
        before,
        fault,
        own,
        sources: sight
            .sources()
            .into_iter()
            .map(|source| source.id)
            .take(OFFERED_MAX)
            .collect(),
        places: places(&sight),
        narrow: !sight.principal().may_all(Right::SeeEvidence),
        filter,
    });
    if fault.is_empty() {
        page
    } else {
        (StatusCode::BAD_REQUEST, page).into_response()
    }
}

/// Places they may see evidence of.
fn places(sight: &Sight) -> Vec<String> {
    let all = evidence::places(sight.stores());
    all.filter(|place| sight.may(Right::SeeEvidence, std::slice::from_ref(place)))
        .take(OFFERED_MAX)
        .map(|place| evidence::place_name(&place))
        .collect()
}

/// Finds aside: files are read.
pub(super) async fn find(
    sight: &Sight,
    mut search: Search,
    before: Option<u64>,
    limit: usize,
) -> Result<Listed, Response> {
    search.limit = limit;
    if let Some(before) = before {
        search.end = Some(search.end.map_or(before, |end| end.min(before)));
    }
    let sight = sight.clone();
    let found = aside(move || sight.entries(&search)).await;
    found.and_then(Result::ok).ok_or_else(|| {
        let why = "the ledger can't be read now; `magewarden verify` says whether it is whole\n";
        (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
    })
}

/// The list as JSON.
pub(crate) async fn api_entries(
    Seen(sight): Seen,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let bad = |why: &str| problem(StatusCode::BAD_REQUEST, why);
    let mut asked = BTreeMap::new();
    for (name, text) in query {
        let is_known =
            ASKED.contains(&name.as_str()) || ["cursor", "limit"].contains(&name.as_str());
        // What isn't known is refused, so that a misspelt filter shows nothing it shouldn't.
        if !is_known || asked.insert(name, text).is_some() {
            return bad(&format!(
                "what may be asked is cursor, limit, {}, each once",
                ASKED.join(", ")
            ));
        }
    }
    let search = match Filter::new(&asked).search(&sight) {
        Ok(search) => search,
        Err(why) => return bad(why),
    };
    let text = |name: &str| asked.get(name).map_or("", String::as_str);
    let before = match text("cursor") {
        "" => None,
        cursor => match cursor.parse() {
            Ok(number) => Some(number),
            Err(_) => return bad("the cursor isn't one that was given out"),
        },
    };
    let limit = match asked.get("limit").map(|text| text.parse()) {
        None => LINES_MAX,
        Some(Ok(limit @ 1..=ITEMS_MAX)) => limit,
        Some(_) => return bad("limit lies between 1 and 200"),
    };
    match find(&sight, search, before, limit).await {
        Err(_) => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "the ledger can't be read now",
        ),
        Ok(listed) => {
            let items: Vec<Value> = listed.lines.iter().map(item).collect();
            let next = listed.next.map(|number| number.to_string());
            answer(&json!({ "items": items, "next": next }))
        }
    }
}

/// An entry as the API tells it.
pub(super) fn item(line: &Line) -> Value {
    let names: Vec<Value> = line
        .names
        .iter()
        .map(|one| json!({ "kind": one.kind.name(), "name": one.name }))
        .collect();
    json!({
        "sequence": line.sequence,
        "time": line.time.to_string(),
        "time_of": if line.is_said { "record" } else { "receipt" },
        "source": line.source,
        "format": line.format,
        "lane": line.lane,
        "quarantined": line.quarantined,
        "masked": line.masked,
        "place": evidence::place_name(&line.place),
        "names": names,
        "what": line.what,
    })
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use engine::desk::{Desk, Sight};
    use model::{Principal, StoreMap};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn filter(query: &str) -> Filter {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query: BTreeMap<_, _> = pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Filter::new(&query)
    }

    #[test]
    fn every_view_of_the_entries_is_an_address() {
        assert_eq!(filter("").link(None), "/entries");
        assert_eq!(filter("address= &x=y").link(Some(7)), "/entries?before=7");
        let link = filter("place=view:fr&account=a&b&from=2026-08-05 10:15").link(Some(7));
        assert_eq!(
            link,
            "/entries?from=2026-08-05%2010%3A15&account=a&place=view%3Afr&before=7"
        );
    }

    /// What is looked for: times, first entry, end; or a part of what is said to be wrong.
    #[track_caller]
    fn check(query: &str, expected: &str) {
        let desk = Desk::new(Box::new(|_| None));
        let sight = Sight::new(desk, Principal::open(), Arc::new(StoreMap::default()));
        let found = match filter(query).search(&sight) {
            Ok(search) => {
                let time = |time: Option<model::Timestamp>| {
                    time.map_or_else(|| "-".to_owned(), |time| time.to_string())
                };
                let (from, to) = (time(search.from), time(search.to));
                format!("{from} {to} {} {:?}", search.first, search.end)
            }
            Err(fault) => fault.to_owned(),
        };
        assert!(found.contains(expected), "{query}: {found}");
    }

    #[test]
    fn times_numbers_and_places_are_read_or_said_to_be_wrong() {
        check("", "- - 0 None");
        check(
            "from=2026-08-05T10:15:00Z&to=2026-08-05 10:16:00",
            "2026-08-05T10:15:00Z 2026-08-05T10:16:00.999999Z 0 None",
        );
        check("to=2026-08-05 10:16", "- 2026-08-05T10:16:59.999999Z");
        check("from=2026-08-05 10:15:30 UTC", "2026-08-05T10:15:30Z -");
        check("from=2026-08-05T12:15:30+02:00", "2026-08-05T10:15:30Z -");
        check("least=3&most=9", "- - 3 Some(10)");
        check("most=18446744073709551615", "Some(18446744073709551615)");
        check("from=yesterday", "a time is written");
        check("least=-1", "number of an entry");
        check("place=fr", "a place is");
        check("place=view:", "a place is");
        check(&format!("address={}", "a".repeat(200)), "a name has");
    }
}
