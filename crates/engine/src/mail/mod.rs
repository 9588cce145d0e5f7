//! Whom to tell by mail of what: a clerk beside the pipeline, who looks at how things stand and at what each address was told.
//!
//! What differs is told ([`occasions`]), in letters made as they are sent ([`compose`]): so nothing waits in a queue that could be
//! lost or fill up, what came while a letter could not go is in the next one, and the pipeline never waits. Each address gets a
//! letter of an incident at most once per quiet time, and at most so many in an hour; what is more goes together into one.

mod compose;
mod occasions;
#[cfg(test)]
mod run_tests;
mod sink;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use model::{Level, StoreMap, Timestamp};
use sinks::mail::{Letter, Post, PostError};
use stores::{Mailed, MailedRow};

use crate::containment::Standing;
use crate::desk::{Desk, Update, Work};
use crate::people::People;
use compose::{News, Sender};
use occasions::{Known, Limits, Look, Reader, look};
pub use sink::{MailSink, MailState};

/// Pause between two looks, so that what comes at once is told at once.
const PAUSE: Duration = Duration::from_secs(3);
/// Longest time between two looks: clocks run without any news.
const LOOK: Duration = Duration::from_secs(30);
/// Pause after a server that couldn't be used; it doubles up to the second.
const AWAY_SECONDS: (i64, i64) = (5, 300);
/// The same for an address that a server doesn't take.
const REFUSED_SECONDS: (i64, i64) = (300, 6 * 3600);
/// What was found this long before an address is told anything is told to it, too: somebody just named it for that.
const BEFORE_SECONDS: i64 = 3600;
/// Span of the most letters to one address.
const HOUR_SECONDS: i64 = 3600;
/// Findings that are looked through for the first lever.
const FINDINGS_MAX: usize = 50;

/// Whom to tell, and how much.
#[derive(Clone, Debug)]
pub struct MailSettings {
    /// Addresses told of every incident from a severity on.
    pub to: Vec<String>,
    /// That severity.
    pub severity: Level,
    /// Seconds between two letters of one incident to one address.
    pub quiet_seconds: i64,
    /// Letters to one address within an hour, at least two.
    pub per_hour: usize,
    /// Seconds before a duty's time ends from which on it is told.
    pub clock_seconds: i64,
    /// Where the console is reached, without a slash at its end.
    pub url: String,
    /// Name of the installation.
    pub installation: String,
}

/// What an address was told of an incident, and when it got the last letter of it.
#[derive(Clone, Debug, Default)]
struct Kept {
    known: Known,
    sent: i64,
}

/// Something to tell one address of one incident.
struct Due {
    work: Work,
    look: Look,
    /// Since when it is known that there is something.
    since: Timestamp,
    mark: String,
}

/// When something that failed is tried again, and how often it failed.
#[derive(Clone, Copy, Debug, Default)]
struct Again {
    at: i64,
    times: u32,
}

impl Again {
    fn failed(self, (first, last): (i64, i64), now: Timestamp) -> Self {
        let seconds = first.saturating_mul(1 << self.times.min(16)).min(last);
        Self {
            at: now.plus_seconds(seconds).0,
            times: self.times + 1,
        }
    }
}

/// Tells by mail.
pub struct Clerk {
    desk: Desk,
    stores: Arc<StoreMap>,
    people: Option<People>,
    mailed: Mailed,
    post: Arc<dyn Post>,
    settings: MailSettings,
    sender: Sender,
    state: Arc<MailState>,
    /// By address, then incident.
    kept: BTreeMap<String, BTreeMap<String, Kept>>,
    /// Since when each address is told anything.
    since: BTreeMap<String, Timestamp>,
    /// When letters went to each address, within the last hour.
    sent: BTreeMap<String, VecDeque<i64>>,
    /// Since when there is something to tell.
    waiting: BTreeMap<(String, String), Timestamp>,
    refused: BTreeMap<String, Again>,
    away: Again,
    /// Rows that couldn't be written yet.
    unsaved: Vec<MailedRow>,
}

impl Clerk {
    /// Makes one that knows what was told before.
    ///
    /// # Errors
    ///
    /// [`stores::StoreError`] when that can't be read.
    pub async fn open(
        desk: Desk,
        stores: Arc<StoreMap>,
        people: Option<People>,
        mailed: Mailed,
        post: Arc<dyn Post>,
        settings: MailSettings,
    ) -> Result<Self, stores::StoreError> {
        let rows = mailed.all().await?;
        let sender = Sender {
            installation: settings.installation.clone(),
            url: settings.url.clone(),
        };
        let mut clerk = Self {
            desk,
            stores,
            people,
            mailed,
            post,
            settings,
            sender,
            state: Arc::default(),
            kept: BTreeMap::new(),
            since: BTreeMap::new(),
            sent: BTreeMap::new(),
            waiting: BTreeMap::new(),
            refused: BTreeMap::new(),
            away: Again::default(),
            unsaved: Vec::new(),
        };
        for row in rows {
            clerk.read(row);
        }
        Ok(clerk)
    }

    fn read(&mut self, row: MailedRow) {
        if row.incident.is_empty() {
            self.since.insert(row.address, Timestamp(row.sent));
            return;
        }
        if row.sent > 0 {
            // At least these: of several letters of one incident the last is known.
            let sent = self.sent.entry(row.address.clone()).or_default();
            let at = sent.partition_point(|one| *one <= row.sent);
            sent.insert(at, row.sent);
        }
        // One that a newer version wrote: better told twice.
        let known = serde_json::from_str(&row.body).unwrap_or_default();
        let sent = row.sent;
        let kept = self.kept.entry(row.address).or_default();
        kept.insert(row.incident, Kept { known, sent });
    }

    fn kept(&self, address: &str, incident: &str) -> Option<&Kept> {
        self.kept.get(address)?.get(incident)
    }

    /// What of it is shown.
    #[must_use]
    pub fn state(&self) -> Arc<MailState> {
        Arc::clone(&self.state)
    }

    /// Tells until `stop` is set. What isn't told then is told after the next start.
    pub async fn run(mut self, now: fn() -> Timestamp, stop: Arc<AtomicBool>) {
        let mut version = self.desk.version();
        let mut seen = 0;
        let mut last = Timestamp::default();
        while !stop.load(Ordering::SeqCst) {
            let at = *version.borrow_and_update();
            let has_news = self
                .desk
                .changed_since(seen)
                .is_none_or(|all| !all.is_empty());
            let is_late = now().seconds_since(last) >= LOOK.as_secs().cast_signed();
            if has_news || is_late || self.is_due(now()) {
                (seen, last) = (at, now());
                self.pass(now, &stop).await;
                self.desk.publish(Update::Mail(self.state.counts()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Whether a pause after a failure has ended.
    fn is_due(&self, now: Timestamp) -> bool {
        let ends = self.refused.values().chain([&self.away]);
        let mut ends = ends.filter(|again| again.times > 0);
        self.state.counts().waiting > 0 && ends.any(|again| again.at <= now.0)
    }

    /// Looks once, and sends what may be sent.
    async fn pass(&mut self, now: fn() -> Timestamp, stop: &AtomicBool) {
        let Some(readers) = self.readers(now()).await else {
            return;
        };
        let mut runs: BTreeMap<String, Vec<Arc<Standing>>> = BTreeMap::new();
        for run in self.desk.runs() {
            runs.entry(run.incident.clone()).or_default().push(run);
        }
        let works = self.desk.incidents();
        let mut waiting = 0;
        let mut due = Vec::new();
        // Whom the settings don't name is told of nothing in which no person acted: hundreds of people don't look through all there is.
        let acted = works.iter().filter(|work| {
            let id = &work.incident.id;
            work.handling.version() > 0 || runs.contains_key(id)
        });
        let acted: Vec<&Work> = acted.collect();
        let all: Vec<&Work> = works.iter().collect();
        for reader in readers {
            let works = if reader.is_on_duty { &all } else { &acted };
            let all = self.due(&reader, works, &runs, now());
            waiting += all.len() as u64;
            due.push((reader, all));
        }
        self.state.waits(waiting);
        // Where nothing is to be told any more, nobody is refused.
        let with_news = due.iter().filter(|(_, all)| !all.is_empty());
        let with_news: BTreeSet<&str> = with_news.map(|(one, _)| one.address.as_str()).collect();
        self.refused
            .retain(|address, _| with_news.contains(address.as_str()));
        for (reader, all) in due {
            self.tell(&reader, all, now, stop).await;
        }
        self.save().await;
        if self.refused.is_empty() && self.away.times == 0 && self.unsaved.is_empty() {
            self.state.works();
        }
        self.waiting
            .retain(|_, since| now().seconds_since(*since) < 30 * 86_400);
    }

    /// Whoever may be told now; `None` when it isn't known.
    async fn readers(&mut self, now: Timestamp) -> Option<Vec<Reader>> {
        let people = match &self.people {
            Some(people) => match people.readers().await {
                Ok(people) => people,
                Err(error) => {
                    self.state.fails(&error.to_string());
                    return None;
                }
            },
            None => Vec::new(),
        };
        let mut readers: BTreeMap<String, Reader> = BTreeMap::new();
        let to = self.settings.to.clone().into_iter();
        let to = to.map(|to| (to.to_ascii_lowercase(), None));
        let all = to.chain(
            people
                .into_iter()
                .map(|one| (one.address, Some(one.principal))),
        );
        for (address, person) in all {
            let since = self.since(&address, now);
            let reader = readers.entry(address.clone()).or_insert(Reader {
                address,
                is_on_duty: false,
                people: Vec::new(),
                since,
            });
            reader.is_on_duty |= person.is_none();
            reader.people.extend(person);
        }
        Some(readers.into_values().collect())
    }

    fn since(&mut self, address: &str, now: Timestamp) -> Timestamp {
        if let Some(since) = self.since.get(address) {
            return *since;
        }
        let since = now.plus_seconds(-BEFORE_SECONDS);
        self.since.insert(address.to_owned(), since);
        self.unsaved.push(MailedRow {
            address: address.to_owned(),
            incident: String::new(),
            body: "{}".to_owned(),
            sent: since.0,
        });
        since
    }

    /// What an address has to be told, what waited longest first. What is known without being told is noted.
    fn due(
        &mut self,
        reader: &Reader,
        works: &[&Work],
        runs: &BTreeMap<String, Vec<Arc<Standing>>>,
        now: Timestamp,
    ) -> Vec<Due> {
        let limits = Limits {
            severity: self.settings.severity,
            clock_seconds: self.settings.clock_seconds,
        };
        let mut all = Vec::new();
        for work in works {
            let incident = &work.incident.id;
            let kept = self.kept(&reader.address, incident);
            let runs = runs.get(incident).map_or(&[][..], Vec::as_slice);
            let known = kept.map(|kept| &kept.known);
            let Some(look) = look(reader, work, runs, known, limits, &self.stores, now) else {
                continue;
            };
            let (sent, is_known) = (kept.map_or(0, |kept| kept.sent), known == Some(&look.then));
            let key = (reader.address.clone(), incident.clone());
            if look.occasions.is_empty() {
                self.waiting.remove(&key);
                if !is_known {
                    self.keep(key, look.then, sent);
                }
                continue;
            }
            let since = *self.waiting.entry(key).or_insert(now);
            let then = serde_json::to_string(&look.then).unwrap_or_default();
            all.push(Due {
                work: (*work).clone(),
                look,
                since,
                mark: format!("{sent} {then}"),
            });
        }
        all.sort_by_key(|due| (due.since, due.work.incident.detected));
        all
    }

    fn keep(&mut self, key: (String, String), known: Known, sent: i64) {
        let body = serde_json::to_string(&known).unwrap_or_default();
        self.unsaved.push(MailedRow {
            address: key.0.clone(),
            incident: key.1.clone(),
            body,
            sent,
        });
        let kept = self.kept.entry(key.0).or_default();
        kept.insert(key.1, Kept { known, sent });
    }

    /// Tells one address what may be told now.
    async fn tell(
        &mut self,
        reader: &Reader,
        mut all: Vec<Due>,
        now: fn() -> Timestamp,
        stop: &AtomicBool,
    ) {
        let again = self
            .refused
            .get(&reader.address)
            .map_or(0, |again| again.at);
        let is_quiet = |clerk: &Self, due: &Due| {
            let kept = clerk.kept(&reader.address, &due.work.incident.id);
            let sent = kept.map_or(0, |kept| kept.sent);
            let quiet = clerk.settings.quiet_seconds;
            sent == 0 || now().seconds_since(Timestamp(sent)) >= quiet
        };
        all.retain(|due| is_quiet(self, due));
        while !all.is_empty() && !stop.load(Ordering::SeqCst) {
            let at = now();
            if again > at.0 || self.away.at > at.0 {
                return;
            }
            let sent = self.sent.entry(reader.address.clone()).or_default();
            while sent
                .front()
                .is_some_and(|first| at.seconds_since(Timestamp(*first)) >= HOUR_SECONDS)
            {
                sent.pop_front();
            }
            let went = sent.len();
            let may = self.settings.per_hour.saturating_sub(went);
            if may == 0 {
                return;
            }
            // The last letter of an hour is one of all that waits, and says so.
            let is_many = all.len() >= may;
            let together = if is_many { all.len() } else { 1 };
            let now_told: Vec<Due> = all.drain(..together).collect();
            let letter = match now_told.as_slice() {
                [one] if !is_many => self.letter(&reader.address, one, at),
                many => self.digest(&reader.address, many, went, at),
            };
            if !self.send(reader, letter, at).await {
                return;
            }
            if now_told.len() > 1 {
                self.state.joins(now_told.len() as u64 - 1);
            }
            let sent = self.sent.entry(reader.address.clone()).or_default();
            sent.push_back(at.0);
            for due in now_told {
                let key = (reader.address.clone(), due.work.incident.id.clone());
                self.waiting.remove(&key);
                self.keep(key, due.look.then, at.0);
            }
            // Known before the next one goes: a crash tells one letter twice, not many.
            self.save().await;
        }
    }

    fn letter(&self, to: &str, due: &Due, now: Timestamp) -> Letter {
        let whole = self.desk.incident(&due.work.incident.id);
        let findings = whole.iter().flat_map(|one| one.findings.iter());
        let findings = findings.take(FINDINGS_MAX);
        let findings: Vec<_> = findings
            .filter_map(|joined| self.desk.finding(&joined.finding))
            .collect();
        let news = News {
            work: &due.work,
            occasions: &due.look.occasions,
            mark: &due.mark,
        };
        self.sender.one(to, &news, whole.as_deref(), &findings, now)
    }

    fn digest(&self, to: &str, due: &[Due], sent: usize, now: Timestamp) -> Letter {
        let mut news: Vec<News<'_>> = due
            .iter()
            .map(|due| News {
                work: &due.work,
                occasions: &due.look.occasions,
                mark: &due.mark,
            })
            .collect();
        news.sort_by_key(|one| std::cmp::Reverse(one.work.severity));
        let went = (sent, self.settings.per_hour);
        self.sender.many(to, &news, went, now)
    }

    /// Sends a letter; whether it went.
    async fn send(&mut self, reader: &Reader, letter: Letter, now: Timestamp) -> bool {
        let post = Arc::clone(&self.post);
        let sent = tokio::task::spawn_blocking(move || post.send(&letter)).await;
        let Ok(sent) = sent else {
            return false;
        };
        match sent {
            Ok(()) => {
                self.state.sent();
                self.away = Again::default();
                self.refused.remove(&reader.address);
                true
            }
            Err(error) => {
                self.state.fails(&error.to_string());
                match error {
                    PostError::Letter { .. } => {
                        let again = self.refused.entry(reader.address.clone()).or_default();
                        *again = again.failed(REFUSED_SECONDS, now);
                    }
                    _ => self.away = self.away.failed(AWAY_SECONDS, now),
                }
                false
            }
        }
    }

    /// Writes down what is known; what can't be written now is written later.
    async fn save(&mut self) {
        if self.unsaved.is_empty() {
            return;
        }
        match self.mailed.keep(&self.unsaved).await {
            Ok(()) => self.unsaved.clear(),
            Err(error) => self.state.fails(&error.to_string()),
        }
    }
}
