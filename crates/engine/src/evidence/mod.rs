//! Sealed entries for pages: one that is read, and lists of them by what the index knows.
//!
//! A list tells metadata alone – when, from where, who, where, what kind of thing – and no text of a record: whoever
//! reads that opens the entry, which is sealed (`crate::trail`).

mod entity;
mod line;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{Field, Grant, Role, Scope, Sequence, SourceId, StoreMap, Timestamp};
use parse::Context;

use crate::desk::{EntryFinder, EntryReader, EntryView};
use crate::intake::TokenKey;
use crate::judge::understand;
use crate::ledger::{Entry, Ledger, LedgerError, Order, Query, Tallied};

pub use entity::{Entity, EntityKind};
pub use line::{Line, TIME_ALONE};

/// Blocks of 256 entries in whose index one search looks; it says where it stopped.
const BLOCKS_MAX: u64 = 4096;
/// The same for counting, which reads all of them at once; and entries that are counted.
const TALLY_BLOCKS_MAX: u64 = 1024;
const TALLIED_MAX: usize = 20_000;

/// Which entries are asked for; what is empty is any.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Earliest time, said or else received.
    pub from: Option<Timestamp>,
    /// Latest time.
    pub to: Option<Timestamp>,
    /// Source.
    pub source: Option<String>,
    /// Who or what must all be named in it.
    pub entities: Vec<Entity>,
    /// A signature or content rule that its content has.
    pub signature: Option<String>,
    /// Signatures and content rules that are to be counted: then no entry is listed, and of what is asked for `from` and
    /// `places` count alone.
    pub tally: Vec<String>,
    /// Places, of which it must be at one.
    pub places: Vec<Scope>,
    /// First entry.
    pub first: u64,
    /// The entry after the last one.
    pub end: Option<u64>,
    /// Which come first.
    pub order: Order,
    /// How many at most.
    pub limit: usize,
}

/// What was found, as far as was looked.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Entries in the order asked for.
    pub lines: Vec<Line>,
    /// Where to go on, as [`Search::end`] or, oldest first, as [`Search::first`]; `None` when all was looked through.
    pub next: Option<u64>,
    /// What was counted.
    pub tallied: Tallied,
}

/// A place as addresses and commands name it: `website:us`, `store:main`, `view:fr`, `host:shop.example`, `unknown`,
/// `installation`.
#[must_use]
pub fn place(text: &str) -> Option<Scope> {
    match text.split_once(':') {
        None if text == "unknown" => Some(Scope::Unknown),
        None if text == "installation" => Some(Scope::Installation),
        Some((_, "")) | None => None,
        Some(("website", code)) => Some(Scope::Website(code.to_owned())),
        Some(("store", code)) => Some(Scope::Store(code.to_owned())),
        Some(("view", code)) => Some(Scope::View(code.to_owned())),
        Some(("host", name)) => Some(Scope::Host(name.to_owned())),
        Some(_) => None,
    }
}

/// What [`place`] reads.
#[must_use]
pub fn place_name(place: &Scope) -> String {
    match place {
        Scope::Unknown => "unknown".to_owned(),
        Scope::Installation => "installation".to_owned(),
        Scope::Website(code) => format!("website:{code}"),
        Scope::Store(code) => format!("store:{code}"),
        Scope::View(code) => format!("view:{code}"),
        Scope::Host(name) => format!("host:{name}"),
    }
}

/// A place and those of the shop that lie in it.
#[must_use]
pub fn within(place: &Scope, stores: &StoreMap) -> Vec<Scope> {
    let mut all = vec![place.clone()];
    if matches!(place, Scope::Website(_) | Scope::Store(_)) {
        let whole = Grant {
            role: Role::Viewer,
            scope: place.clone(),
        };
        let others = places(stores);
        all.extend(others.filter(|other| other != place && whole.covers(other, stores)));
    }
    all
}

/// Every place a shop has, each once.
pub fn places(stores: &StoreMap) -> impl Iterator<Item = Scope> {
    let mut all = std::collections::BTreeSet::new();
    for (code, place) in &stores.views {
        all.insert(Scope::View(code.clone()));
        if !place.website.is_empty() {
            all.insert(Scope::Website(place.website.clone()));
        }
        if !place.store.is_empty() {
            all.insert(Scope::Store(place.store.clone()));
        }
    }
    all.extend(stores.hosts.keys().cloned().map(Scope::Host));
    all.into_iter()
}

/// Makes a reader and a finder of a ledger's entries for pages, which understand them by `context`. Both take in what was
/// sealed since they looked last.
///
/// # Errors
///
/// [`LedgerError`] when the ledger can't be read.
pub fn of_ledger(
    folder: &Path,
    keys: &Path,
    context: Context,
) -> Result<(EntryReader, EntryFinder), LedgerError> {
    let open = Ledger::open_read(folder, keys, &context)?;
    let open = Arc::new((Mutex::new(open), context));
    let other = Arc::clone(&open);
    let read: EntryReader = Box::new(move |sequence| {
        let (ledger, context) = &*open;
        let mut ledger = locked(ledger);
        if sequence >= ledger.len() {
            ledger.look_again(context).ok()?;
        }
        let entry = ledger.read(Sequence(sequence)).ok()?;
        Some(view(entry, Some(context)))
    });
    let find: EntryFinder = Box::new(move |search| {
        let (ledger, context) = &*other;
        let mut ledger = locked(ledger);
        ledger.look_again(context)?;
        find(&ledger, search, context)
    });
    Ok((read, find))
}

fn locked(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

fn find(ledger: &Ledger, search: &Search, context: &Context) -> Result<Listed, LedgerError> {
    let key = ledger.token_key();
    let mut any: Vec<Vec<u64>> = search
        .entities
        .iter()
        .map(|entity| tokens(key, entity, &context.stores))
        .collect();
    if !search.places.is_empty() {
        any.push(search.places.iter().map(|place| key.place(place)).collect());
    }
    let query = Query {
        from: search.from,
        to: search.to,
        source: search.source.clone().map(SourceId),
        tokens: search
            .signature
            .iter()
            .map(|name| key.token(Field::Signatures, name))
            .collect(),
        any,
        first: search.first,
        end: search.end,
    };
    if !search.tally.is_empty() {
        let names = search.tally.iter();
        let tokens: Vec<u64> = names
            .map(|name| key.token(Field::Signatures, name))
            .collect();
        return Ok(Listed {
            tallied: ledger.tally(&query, &tokens, TALLIED_MAX, TALLY_BLOCKS_MAX)?,
            ..Listed::default()
        });
    }
    let found = ledger.find_in(&query, search.order, search.limit, BLOCKS_MAX)?;
    let lines = found.entries.iter().map(|(sequence, _)| {
        // One that can't be opened keeps none of the others from being listed.
        Ok(match ledger.read(*sequence) {
            Ok(entry) => Line::of(&view(entry, Some(context))),
            Err(_) => Line::unopened(ledger.header(*sequence)?),
        })
    });
    Ok(Listed {
        lines: lines.collect::<Result<_, LedgerError>>()?,
        next: found.next,
        tallied: Tallied::default(),
    })
}

/// Hashes of which an entry that names somebody or something has one.
fn tokens(key: TokenKey, entity: &Entity, stores: &StoreMap) -> Vec<u64> {
    let name = &entity.name;
    match entity.kind {
        EntityKind::Administrator => vec![key.administrator(name)],
        EntityKind::Account => vec![key.token(Field::DbUser, name)],
        EntityKind::Address => vec![key.token(Field::ClientIp, name)],
        EntityKind::Module => [Field::Module, Field::Package]
            .map(|field| key.token(field, name))
            .to_vec(),
        EntityKind::Store => {
            let place = place(name);
            let places = place.map_or_else(Vec::new, |place| within(&place, stores));
            places.iter().map(|place| key.place(place)).collect()
        }
    }
}

/// `context` where what it says is wanted.
pub(crate) fn view(entry: Entry, context: Option<&Context>) -> EntryView {
    let read = |payload| understand(&entry.header.format, payload, context?);
    EntryView {
        understood: entry.payload.as_deref().and_then(read),
        sequence: entry.header.sequence.0,
        source: entry.header.source.0,
        format: entry.header.format,
        said: entry.header.said,
        received: entry.header.received,
        lane: entry.header.lane,
        quarantined: entry.header.quarantined,
        text: entry
            .payload
            .map(|payload| String::from_utf8_lossy(&payload).into_owned()),
        marks: entry.header.marks,
        leaf_hash: entry
            .leaf_hash
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        offset_bytes: entry
            .header
            .identity
            .map(|identity| identity.position.offset_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::{place, place_name, within};
    use model::{Scope, StoreMap, ViewPlace};

    #[test]
    fn a_place_is_read_as_it_is_named() {
        for text in [
            "unknown",
            "installation",
            "website:us",
            "store:main",
            "view:fr",
            "host:a:80",
        ] {
            assert_eq!(place_name(&place(text).expect("a place")), text);
        }
        for text in ["", "fr", "view:", "installation:x", "unknown:", "shop:fr"] {
            assert_eq!(place(text), None, "{text}");
        }
    }

    #[test]
    fn a_website_has_the_views_and_stores_that_are_its_own_alone() {
        let view = |website: &str, store: &str| ViewPlace {
            website: website.to_owned(),
            store: store.to_owned(),
            ..ViewPlace::default()
        };
        let stores = StoreMap {
            views: [
                ("de", view("eu", "eu_main")),
                ("fr", view("eu", "eu_main")),
                ("us", view("us", "us_main")),
            ]
            .map(|(code, place)| (code.to_owned(), place))
            .into(),
            ..StoreMap::default()
        };
        let names = |text: &str| -> Vec<String> {
            let all = within(&place(text).expect("a place"), &stores);
            all.iter().map(place_name).collect()
        };
        assert_eq!(
            names("website:eu"),
            ["website:eu", "store:eu_main", "view:de", "view:fr"]
        );
        assert_eq!(names("store:us_main"), ["store:us_main", "view:us"]);
        assert_eq!(names("view:de"), ["view:de"]);
        assert_eq!(names("unknown"), ["unknown"]);
        assert_eq!(within(&Scope::Installation, &stores).len(), 1);
    }
}
