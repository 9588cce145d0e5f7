//! Windows: matches of one rule by one group within a time span, by event time.
//!
//! A finding opens when the window first holds enough, grows while matches keep coming within the
//! span, and is told again when somebody or something new is in it, when it has doubled, when asked, and at the end. Bounded: the stalest window goes first.
//!
//! Twins – the same act in another log – count once: same connection and shape, or same client,
//! address and status, within the same second, from another format.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{
    Actor, Asset, Category, Count, Event, EventRef, Field, Finding, Grade, Lane, Scope, Timestamp,
    Value,
};

use crate::hash::{fnv64, fnv128};
use crate::sigma::{Counted, Rule, WindowSpec};
use crate::{Settings, finding};

/// Matches kept of one window.
const MATCHES_MAX: usize = 4096;
/// Events named by a finding.
const EVENTS_MAX: usize = 256;
/// Matches looked at for twins.
const TWINS_LOOK: usize = 128;

/// What windows need of an event, read once for all rules.
pub(crate) struct Seen {
    time: Timestamp,
    refs: Vec<EventRef>,
    lane: Lane,
    scope: Scope,
    twin: u64,
    format: u64,
    rows: Option<i64>,
    bytes: i64,
}

impl Seen {
    pub(crate) fn new(event: &Event<'_>, refs: &[EventRef], lane: Lane, scope: &Scope) -> Self {
        let time = event.time.unwrap_or_default();
        let second = time.0.div_euclid(Timestamp::SECOND).to_be_bytes();
        let text = |field| event.text(field).unwrap_or_default().as_bytes();
        let number = |field| event.int(field).unwrap_or(0).to_be_bytes();
        let twin = if event.category == Category::Database {
            fnv64(&[
                &number(Field::ConnectionId),
                text(Field::ShapeFingerprint),
                text(Field::Operation),
                &second,
            ])
        } else if event.category == Category::Webserver {
            fnv64(&[
                text(Field::ClientIp),
                text(Field::Uri),
                &number(Field::Status),
                &second,
            ])
        } else {
            // What nobody else tells of has no twin.
            let own = refs.first().map_or(0, |at| at.sequence.0);
            fnv64(&[&own.to_be_bytes(), &second])
        };
        Self {
            time,
            refs: refs.to_vec(),
            lane,
            scope: scope.clone(),
            twin,
            format: fnv64(&[text(Field::Format)]),
            rows: event.int(Field::RowsSent),
            bytes: event
                .int(Field::BytesSent)
                .or_else(|| event.int(Field::ResponseBytes))
                .unwrap_or(0),
        }
    }
}

/// One match in a window.
#[derive(Clone, Debug)]
struct Match {
    time: Timestamp,
    refs: Vec<EventRef>,
    twin: u64,
    format: u64,
    value: u64,
    rows: Option<i64>,
    bytes: i64,
}

/// What was told of an open finding.
#[derive(Debug)]
struct Told {
    id: String,
    first: Timestamp,
    count: u64,
    rows: Option<u64>,
    bytes: u64,
    events: Vec<EventRef>,
    /// Events, and actors and assets together, when it was told last.
    told_at: (u64, usize),
    last: Timestamp,
}

#[derive(Debug)]
struct Window {
    rule: usize,
    matches: VecDeque<Match>,
    actors: BTreeSet<Actor>,
    assets: BTreeSet<Asset>,
    scope: Scope,
    lane: Lane,
    open: Option<Told>,
    touched: u64,
}

/// Every window.
pub(crate) struct Windows {
    settings: Settings,
    windows: BTreeMap<(String, String), Window>,
    specs: Vec<WindowSpec>,
    clock: u64,
    evicted: u64,
}

impl Windows {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            windows: BTreeMap::new(),
            specs: Vec::new(),
            clock: 0,
            evicted: 0,
        }
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(crate) fn push(
        &mut self,
        rule: &Rule,
        spec: &WindowSpec,
        event: &Event<'_>,
        seen: &Seen,
        out: &mut Vec<Finding>,
    ) {
        let mut key = (spec.facts.id.clone(), group(spec, event));
        // What happens at two stores is two findings, each of which knows its own. Places are known ones: there are no more
        // than the shop has. A rule that counts goes on counting over all.
        if spec.least == 1
            && matches!(
                seen.scope,
                Scope::View(_) | Scope::Website(_) | Scope::Store(_)
            )
        {
            key.1.push_str(&seen.scope.to_string());
        }
        if self
            .windows
            .get(&key)
            .is_some_and(|window| window.is_past(spec, seen.time))
        {
            // Told late, of a time the window has left behind: another act, in a window of its own.
            key.1.push_str(
                &seen
                    .time
                    .0
                    .div_euclid(Timestamp::SECOND)
                    .div_euclid(spec.timespan_seconds.max(1))
                    .to_string(),
            );
        }
        self.clock += 1;
        if !self.windows.contains_key(&key) {
            self.make_room();
            let place = self
                .specs
                .iter()
                .position(|known| known.facts.id == spec.facts.id)
                .unwrap_or_else(|| {
                    self.specs.push(spec.clone());
                    self.specs.len() - 1
                });
            let window = Window {
                rule: place,
                matches: VecDeque::new(),
                actors: BTreeSet::new(),
                assets: BTreeSet::new(),
                scope: seen.scope.clone(),
                lane: seen.lane,
                open: None,
                touched: 0,
            };
            self.windows.insert(key.clone(), window);
        }
        let Some(window) = self.windows.get_mut(&key) else {
            return;
        };
        window.touched = self.clock;
        window.take(rule, spec, event, seen);
        if let Some(finding) = window.judge(spec, &key.1, &self.settings) {
            out.push(finding);
        }
    }

    /// Gives up the stalest quarter when there are too many.
    fn make_room(&mut self) {
        if self.windows.len() < self.settings.state_entries_max {
            return;
        }
        let mut ages: Vec<u64> = self.windows.values().map(|window| window.touched).collect();
        ages.sort_unstable();
        let limit = ages.get(ages.len() / 4).copied().unwrap_or(0);
        let before = self.windows.len();
        self.windows.retain(|_, window| window.touched > limit);
        self.evicted += (before - self.windows.len()) as u64;
    }

    /// Tells the latest state of what grew.
    pub(crate) fn flush(&mut self, out: &mut Vec<Finding>) {
        for ((_, group), window) in &mut self.windows {
            let Some(spec) = self.specs.get(window.rule) else {
                continue;
            };
            if window
                .open
                .as_ref()
                .is_some_and(|told| told.count > told.told_at.0)
            {
                out.extend(window.tell(spec, group, &self.settings));
            }
        }
    }
}

/// The group an event belongs to, as text.
fn group(spec: &WindowSpec, event: &Event<'_>) -> String {
    let mut key = String::new();
    for field in &spec.group {
        match event.get(*field) {
            Some(Value::Text(text)) => key.push_str(text),
            Some(Value::Int(number)) => key.push_str(&number.to_string()),
            Some(Value::List(list)) => key.push_str(&list.join(",")),
            None => {}
        }
        key.push('\u{1f}');
    }
    key
}

impl Window {
    /// Whether a time lies further back than the window and its finding reach.
    fn is_past(&self, spec: &WindowSpec, time: Timestamp) -> bool {
        let newest = self
            .matches
            .back()
            .is_some_and(|last| last.time.seconds_since(time) > spec.timespan_seconds);
        newest
            && self
                .open
                .as_ref()
                .is_none_or(|told| told.first.seconds_since(time) > spec.timespan_seconds)
    }

    /// How many actors and assets it names; both are bounded.
    fn named(&self) -> usize {
        self.actors.len() + self.assets.len()
    }

    /// Whether the rules of `order` matched one after the other.
    fn in_order(&self, order: &[u64]) -> bool {
        let mut wanted = order.iter().peekable();
        for one in &self.matches {
            wanted.next_if(|next| **next == one.value);
        }
        wanted.peek().is_none()
    }

    /// Takes a match in order of time; a twin of one that is there only adds to it.
    fn take(&mut self, rule: &Rule, spec: &WindowSpec, event: &Event<'_>, seen: &Seen) {
        let span = spec.timespan_seconds;
        let stale = self
            .matches
            .back()
            .is_some_and(|last| seen.time.seconds_since(last.time) > span);
        if stale {
            // The next act of this group is another finding.
            self.matches.clear();
            self.actors.clear();
            self.assets.clear();
            self.open = None;
            self.scope = seen.scope.clone();
        }
        finding::actors(event, &mut self.actors);
        finding::assets(event, spec, &mut self.assets);
        if self.scope != seen.scope {
            self.scope = if self.scope == Scope::Unknown {
                seen.scope.clone()
            } else if seen.scope == Scope::Unknown {
                self.scope.clone()
            } else {
                Scope::Unknown
            };
        }
        let value = match &spec.counted {
            Counted::Events => 0,
            Counted::Values(field) => match event.get(*field) {
                Some(Value::Text(text)) => fnv64(&[text.as_bytes()]),
                Some(Value::Int(number)) => fnv64(&[&number.to_be_bytes()]),
                Some(Value::List(list)) => fnv64(&[list.join(",").as_bytes()]),
                None => 0,
            },
            Counted::Rules | Counted::RulesInOrder(_) => fnv64(&[rule.facts.id.as_bytes()]),
        };
        let twin = self
            .matches
            .iter_mut()
            .rev()
            .take(TWINS_LOOK)
            .find(|other| {
                other.twin == seen.twin
                    && other.format != seen.format
                    && seen.time.seconds_since(other.time).abs() <= 1
            });
        if let Some(twin) = twin {
            if twin.rows.is_none()
                && let Some(rows) = seen.rows
            {
                twin.rows = Some(rows);
                if let Some(told) = &mut self.open {
                    told.rows = Some(told.rows.unwrap_or(0) + u64::try_from(rows).unwrap_or(0));
                }
            }
            if seen.bytes > twin.bytes {
                if let Some(told) = &mut self.open {
                    told.bytes += u64::try_from(seen.bytes - twin.bytes).unwrap_or(0);
                }
                twin.bytes = seen.bytes;
            }
            // A twin may itself be the twin of a third log.
            twin.refs.extend(seen.refs.iter().take(8));
            return;
        }
        let new = Match {
            time: seen.time,
            refs: seen.refs.clone(),
            twin: seen.twin,
            format: seen.format,
            value,
            rows: seen.rows,
            bytes: seen.bytes,
        };
        if let Some(told) = &mut self.open {
            told.add(&new);
        }
        let at = self
            .matches
            .iter()
            .rposition(|other| other.time <= new.time)
            .map_or(0, |at| at + 1);
        self.matches.insert(at, new);
        let newest = self.matches.back().map_or(seen.time, |last| last.time);
        while self.matches.len() > MATCHES_MAX
            || self
                .matches
                .front()
                .is_some_and(|first| newest.seconds_since(first.time) > span)
        {
            self.matches.pop_front();
        }
    }

    /// Opens or grows the finding when the window holds enough.
    fn judge(&mut self, spec: &WindowSpec, group: &str, settings: &Settings) -> Option<Finding> {
        if let Some(told) = &self.open {
            let (count, named) = told.told_at;
            let due = told.count >= count.saturating_mul(2) || self.named() > named;
            return if due {
                self.tell(spec, group, settings)
            } else {
                None
            };
        }
        let enough = match &spec.counted {
            Counted::Events => self.matches.len() >= spec.least,
            // Cheap no first: there can't be more values than matches.
            Counted::Values(_) | Counted::Rules => {
                self.matches.len() >= spec.least
                    && self
                        .matches
                        .iter()
                        .map(|one| one.value)
                        .collect::<BTreeSet<_>>()
                        .len()
                        >= spec.least
            }
            Counted::RulesInOrder(order) => self.in_order(order),
        };
        let bytes: i64 = self.matches.iter().map(|one| one.bytes).sum();
        if !enough || bytes < spec.bytes_least {
            return None;
        }
        let first = self.matches.front()?;
        let event = first.refs.first()?;
        let id = fnv128(&[
            settings.installation.0.as_bytes(),
            spec.facts.id.as_bytes(),
            group.as_bytes(),
            &event.sequence.0.to_be_bytes(),
            &event.index.to_be_bytes(),
        ]);
        let mut told = Told {
            id,
            first: first.time,
            count: 0,
            rows: None,
            bytes: 0,
            events: Vec::new(),
            told_at: (0, 0),
            last: first.time,
        };
        for one in &self.matches {
            told.add(one);
        }
        self.open = Some(told);
        self.tell(spec, group, settings)
    }

    fn tell(&mut self, spec: &WindowSpec, _group: &str, settings: &Settings) -> Option<Finding> {
        let _ = settings;
        let named = self.named();
        let told = self.open.as_mut()?;
        told.told_at = (told.count, named);
        let rows = if spec.about.denied {
            Some(Count {
                lower: 0,
                upper: Some(0),
                grade: Grade::Exact,
            })
        } else {
            told.rows.map(|rows| Count {
                lower: rows,
                upper: Some(rows),
                grade: Grade::Exact,
            })
        };
        let span = told.last.seconds_since(told.first);
        Some(Finding {
            id: told.id.clone(),
            rule: spec.facts.id.clone(),
            title: spec.facts.title.clone(),
            level: spec.about.level,
            lane: self.lane,
            first: told.first,
            last: told.last,
            actors: self.actors.iter().cloned().collect(),
            scope: self.scope.clone(),
            assets: self.assets.iter().cloned().collect(),
            rows,
            bytes: (told.bytes > 0 && !spec.about.denied).then_some(told.bytes),
            event_count: told.count,
            events: told.events.clone(),
            reason: match (told.count, spec.least) {
                (1, _) => "one event that the rule describes".to_owned(),
                (count, 0 | 1) => format!("{count} events that the rule describes, in {span} s"),
                (count, least) => format!(
                    "{count} matching events in {span} s (rule asks for {least} within {} s)",
                    spec.timespan_seconds
                ),
            },
            attack: spec.about.attack.clone(),
            requirements: spec.about.requirements.clone(),
            false_positives: spec.about.false_positives.clone(),
            external: None,
        })
    }
}

impl Told {
    fn add(&mut self, one: &Match) {
        self.count += 1;
        self.first = self.first.min(one.time);
        self.last = self.last.max(one.time);
        self.bytes += u64::try_from(one.bytes).unwrap_or(0);
        if let Some(rows) = one.rows {
            self.rows = Some(self.rows.unwrap_or(0) + u64::try_from(rows).unwrap_or(0));
        }
        if self.events.len() < EVENTS_MAX {
            self.events.extend(one.refs.iter().take(8));
        }
    }
}
