//! All that is known of somebody or something, as far as one person sees it: findings, incidents, what it touched, when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Asset, AssetKind, DataClass, Finding, Scope, Timestamp};

use super::{Brief, Sight, Work};
use crate::evidence::{self, Entity, EntityKind, Line, Search};
use crate::inventory::{List, Package};
use crate::ledger::{LedgerError, Order};

/// The newest entries that are looked at.
const ENTRIES_MAX: usize = 1000;
/// Entries that are shown of them.
const LINES_MAX: usize = 20;
/// Findings, incidents, names that are told of each.
const TOLD_MAX: usize = 16;
/// Hours of which activity is told, before it was seen last.
const HOURS_MAX: i64 = 72;
/// Hours that are shown even when it was seen in one of them alone: a day, of which one sees when.
const HOURS_MIN: i64 = 24;
/// Microseconds of one.
const HOUR: i64 = 3600 * Timestamp::SECOND;

/// Something touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Table, path, file, row.
    pub name: String,
    /// What it can hold, where a finding tells.
    pub class: Option<DataClass>,
    /// In how many findings.
    pub findings: u64,
    /// In how many of the entries looked at.
    pub entries: u64,
}

/// What is known.
#[derive(Clone, Debug)]
pub struct About {
    /// Of whom or what.
    pub entity: Entity,
    /// Seen first, as far as that is known.
    pub first: Option<Timestamp>,
    /// Seen last.
    pub last: Option<Timestamp>,
    /// Incidents it is in, the newest first; with its part in each, and in how many of its findings.
    pub incidents: Vec<(Work, &'static str, usize)>,
    /// How many incidents there are in all.
    pub incidents_total: usize,
    /// Findings that name it, the newest first, each with its incident's id.
    pub findings: Vec<(Arc<Finding>, Option<String>)>,
    /// How many there are in all.
    pub findings_total: usize,
    /// What it touched, what is worst first.
    pub touched: Vec<Touched>,
    /// Who else is named with it, the most frequent first.
    pub others: Vec<(Entity, u64)>,
    /// Places, the most frequent first.
    pub places: Vec<(Scope, u64)>,
    /// Entries an hour, every hour from the first to the last.
    pub hours: Vec<(Timestamp, u64)>,
    /// Its newest entries.
    pub lines: Vec<Line>,
    /// How many entries were looked at.
    pub looked: usize,
    /// Whether there may be more of them.
    pub has_more: bool,
    /// What is installed under its name.
    pub packages: Vec<Arc<Package>>,
}

impl Sight {
    /// What is known of somebody or something; `None` when there is nothing. Reads files.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when entries can't be read.
    pub fn about(&self, entity: &Entity) -> Result<Option<About>, LedgerError> {
        let packages = self.packages(entity);
        let names = Names::new(self, entity, &packages);
        let mut findings: Vec<(Arc<Finding>, Option<Arc<Brief>>)> = self.findings();
        let held: BTreeSet<String> = findings.iter().map(|(one, _)| one.id.clone()).collect();
        let old = self.findings_at_rest(|brief| names.are_of(brief));
        findings.extend(old.into_iter().filter(|(one, _)| !held.contains(&one.id)));
        findings.retain(|(finding, _)| names.are_in(finding));
        findings.sort_by(|(a, _), (b, _)| (b.last, &b.id).cmp(&(a.last, &a.id)));
        let search = |order, limit| Search {
            entities: vec![entity.clone()],
            order,
            limit,
            ..Search::default()
        };
        let newest = self.entries(&search(Order::Newest, ENTRIES_MAX))?;
        let oldest = self.entries(&search(Order::Oldest, 1))?;
        let is_known = !findings.is_empty()
            || !newest.lines.is_empty()
            || !packages.is_empty()
            || self.is_place_of_theirs(entity);
        if !is_known {
            return Ok(None);
        }
        let mut seen = Counts::default();
        for (finding, _) in &findings {
            seen.finding(finding, entity);
        }
        for line in newest.lines.iter().chain(&oldest.lines) {
            seen.at(line.time);
        }
        for line in &newest.lines {
            seen.line(line, entity);
        }
        let incidents = self.parts(entity, &names, &findings);
        let incidents_total = incidents.len();
        let findings_total = findings.len();
        let told = findings.into_iter().take(TOLD_MAX);
        Ok(Some(About {
            first: seen.first,
            last: seen.last,
            incidents: incidents.into_iter().take(TOLD_MAX).collect(),
            incidents_total,
            findings: told
                .map(|(finding, incident)| (finding, incident.map(|incident| incident.id.clone())))
                .collect(),
            findings_total,
            touched: seen.touched(),
            others: most(seen.others),
            places: most(seen.places),
            hours: hours(&newest.lines),
            looked: newest.lines.len(),
            has_more: newest.next.is_some(),
            lines: newest.lines.into_iter().take(LINES_MAX).collect(),
            entity: entity.clone(),
            packages,
        }))
    }

    /// Whether it is a place of the shop that they see, whatever happened there.
    fn is_place_of_theirs(&self, entity: &Entity) -> bool {
        entity.kind == EntityKind::Store
            && evidence::place(&entity.name).is_some_and(|place| {
                evidence::places(self.stores()).any(|known| known == place)
                    && self.principal().sees(&[place], self.stores())
            })
    }

    /// What is installed under a module's name.
    fn packages(&self, entity: &Entity) -> Vec<Arc<Package>> {
        if entity.kind != EntityKind::Module {
            return Vec::new();
        }
        let lists = self.lists().into_values();
        let packages = lists.flat_map(|list| match &*list {
            List::Packages(list) => list.packages.values().cloned().collect(),
            List::Page(_) => Vec::new(),
        });
        packages
            .filter(|package| package.name == entity.name || package.module == entity.name)
            .collect()
    }

    /// Incidents it is in, with its part in them, the newest first.
    fn parts(
        &self,
        entity: &Entity,
        names: &Names<'_>,
        findings: &[(Arc<Finding>, Option<Arc<Brief>>)],
    ) -> Vec<(Work, &'static str, usize)> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, incident) in findings {
            if let Some(incident) = incident {
                *counts.entry(&incident.id).or_default() += 1;
            }
        }
        let part = match entity.kind {
            EntityKind::Store => "where it happened",
            EntityKind::Module => "what was touched",
            _ => "who did it",
        };
        let all = self.incidents();
        let mut parts: Vec<(Work, &'static str, usize)> = all
            .iter()
            .filter_map(|work| {
                let count = counts.get(work.incident.id.as_str()).copied().unwrap_or(0);
                let is_in = count > 0 || names.are_of(&work.incident);
                is_in.then(|| (work.clone(), part, count))
            })
            .collect();
        parts.sort_by(|(a, ..), (b, ..)| {
            (b.incident.last, &b.incident.id).cmp(&(a.incident.last, &a.incident.id))
        });
        parts
    }
}

/// By what findings and incidents are known to be about it.
struct Names<'a> {
    entity: &'a Entity,
    places: Vec<Scope>,
    packages: BTreeSet<String>,
}

impl<'a> Names<'a> {
    fn new(sight: &Sight, entity: &'a Entity, packages: &[Arc<Package>]) -> Self {
        let place = Some(entity).filter(|entity| entity.kind == EntityKind::Store);
        let place = place.and_then(|entity| evidence::place(&entity.name));
        let mut names: BTreeSet<String> = packages.iter().map(|one| one.name.clone()).collect();
        names.insert(entity.name.clone());
        Self {
            entity,
            places: place.map_or_else(Vec::new, |place| evidence::within(&place, sight.stores())),
            packages: names,
        }
    }

    fn is_asset(&self, asset: &Asset) -> bool {
        // Findings about a package name it with its version.
        let name = asset
            .name
            .split_once(' ')
            .map_or(&*asset.name, |(name, _)| name);
        asset.kind == AssetKind::Path && self.packages.contains(name)
    }

    fn are_among(&self, actors: &[model::Actor], scopes: &[Scope], assets: &[Asset]) -> bool {
        match self.entity.kind {
            EntityKind::Store => scopes.iter().any(|scope| self.places.contains(scope)),
            EntityKind::Module => assets.iter().any(|asset| self.is_asset(asset)),
            _ => actors
                .iter()
                .any(|actor| Entity::of_actor(actor).as_ref() == Some(self.entity)),
        }
    }

    fn are_in(&self, finding: &Finding) -> bool {
        let scopes = std::slice::from_ref(&finding.scope);
        self.are_among(&finding.actors, scopes, &finding.assets)
    }

    fn are_of(&self, incident: &Brief) -> bool {
        self.are_among(&incident.actors, &incident.scopes, &incident.assets)
    }
}

#[derive(Default)]
struct Counts {
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    touched: BTreeMap<String, Touched>,
    others: BTreeMap<Entity, u64>,
    places: BTreeMap<Scope, u64>,
}

impl Counts {
    fn at(&mut self, time: Timestamp) {
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = self.last.max(Some(time));
    }

    fn finding(&mut self, finding: &Finding, of: &Entity) {
        self.at(finding.first);
        self.at(finding.last);
        for asset in &finding.assets {
            let touched = self.touch(&asset.name);
            touched.class = touched.class.max(Some(asset.class));
            touched.findings += 1;
        }
        let actors: BTreeSet<Entity> = finding.actors.iter().filter_map(Entity::of_actor).collect();
        for actor in actors.into_iter().filter(|actor| actor != of) {
            *self.others.entry(actor).or_default() += 1;
        }
        *self.places.entry(finding.scope.clone()).or_default() += 1;
    }

    fn line(&mut self, line: &Line, of: &Entity) {
        for name in &line.touched {
            self.touch(name).entries += 1;
        }
        for other in line.names.iter().filter(|other| *other != of) {
            *self.others.entry(other.clone()).or_default() += 1;
        }
        *self.places.entry(line.place.clone()).or_default() += 1;
    }

    fn touch(&mut self, name: &str) -> &mut Touched {
        let new = || Touched {
            name: name.to_owned(),
            class: None,
            findings: 0,
            entries: 0,
        };
        self.touched.entry(name.to_owned()).or_insert_with(new)
    }

    fn touched(&self) -> Vec<Touched> {
        let mut all: Vec<Touched> = self.touched.values().cloned().collect();
        all.sort_by(|a, b| {
            let weight = |one: &Touched| (one.class, one.findings, one.entries);
            weight(b).cmp(&weight(a)).then_with(|| a.name.cmp(&b.name))
        });
        all.truncate(TOLD_MAX);
        all
    }
}

/// What is most frequent, first.
fn most<T: Ord>(counts: BTreeMap<T, u64>) -> Vec<(T, u64)> {
    let mut all: Vec<(T, u64)> = counts.into_iter().collect();
    // Stable: what is as frequent stays in order.
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    all.truncate(TOLD_MAX);
    all
}

/// Entries an hour, of the last [`HOURS_MAX`] hours in which there are any.
fn hours(lines: &[Line]) -> Vec<(Timestamp, u64)> {
    let hour = |line: &Line| line.time.0.div_euclid(HOUR);
    let Some(last) = lines.iter().map(hour).max() else {
        return Vec::new();
    };
    let mut counts: BTreeMap<i64, u64> = BTreeMap::new();
    for at in lines.iter().map(hour).filter(|at| last - at < HOURS_MAX) {
        *counts.entry(at).or_default() += 1;
    }
    let first = counts.first_key_value().map_or(last, |(first, _)| *first);
    let first = first.min(last + 1 - HOURS_MIN);
    (first..=last)
        .map(|at| (Timestamp(at * HOUR), counts.get(&at).copied().unwrap_or(0)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{HOUR, hours};
    use crate::evidence::Line;
    use model::{Lane, Scope, Timestamp};

    fn line(time: i64) -> Line {
        Line {
            sequence: 0,
            time: Timestamp(time),
            is_said: true,
            source: String::new(),
            format: String::new(),
            lane: Lane::Live,
            quarantined: false,
            masked: 0,
            place: Scope::Unknown,
            names: Vec::new(),
            what: String::new(),
            touched: Vec::new(),
        }
    }

    #[test]
    fn activity_is_told_by_hour_without_gaps_and_for_so_long_at_most() {
        assert_eq!(hours(&[]), []);
        let counted = hours(&[line(3 * HOUR), line(HOUR + 5), line(HOUR - 1), line(HOUR)]);
        let counts: Vec<_> = counted
            .iter()
            .map(|(at, count)| (at.0 / HOUR, *count))
            .collect();
        assert_eq!(counts.len(), 24);
        assert_eq!(counts[20..], [(0, 1), (1, 2), (2, 0), (3, 1)]);
        let counted = hours(&[line(0), line(100 * HOUR), line(29 * HOUR)]);
        assert_eq!(counted.len(), 72);
        assert_eq!(counted[0], (Timestamp(29 * HOUR), 1));
    }
}
