//! That magewarden itself is alive (PCI DSS v4.0.1 req. 10.7.2): `ping` tells a monitor elsewhere for as long as records are
//! sealed here; `peer` looks at a magewarden elsewhere and is trouble when that one stops.

use std::time::Duration;

use model::{Category, Field, SourceId, Timestamp};
use serde::Deserialize;
use ureq::Agent;

use crate::observation::Observation;
use crate::source::{Given, Hand, Kind, News, Recorder, Source};
use crate::{SourceError, settings};

/// Longest time one answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long sealing is waited for; a magewarden that takes longer isn't well.
const PATIENCE: Duration = Duration::from_secs(30);
/// Looks in a row that may fail: one lost packet pages nobody.
const FAILURES_MAX: u32 = 3;
/// Seconds that the counters of a peer may be old.
const HEARTBEAT_MAX: i64 = 120;
/// Looks between two records that a peer was well.
const RECORD_EACH: u64 = 120;
/// Bytes read of a peer's metrics.
const METRICS_MAX: u64 = 16 << 20;

/// The kind `ping`.
pub(crate) struct Ping;
/// The kind `peer`.
pub(crate) struct Peer;

/// Their settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `ping`: the address a monitor gave; `peer`: the console of the other magewarden.
    url: String,
    every_seconds: Option<u64>,
}

impl Settings {
    fn every(&self, seconds: u64) -> Duration {
        Duration::from_secs(self.every_seconds.unwrap_or(seconds).max(1))
    }
}

fn agent() -> Agent {
    Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent("magewarden")
        .build()
        .into()
}

/// Only where it says: the address may hold the monitor's secret.
fn place(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    host.rsplit('@').next().unwrap_or_default().to_owned()
}

fn open(kind: &'static str, table: toml::Table) -> Result<Settings, SourceError> {
    let settings: Settings = settings(kind, table)?;
    let url = &settings.url;
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(settings);
    }
    Err(SourceError::Settings {
        kind,
        why: "url: it begins with https:// or http://".to_owned(),
    })
}

impl Kind for Ping {
    fn name(&self) -> &'static str {
        "ping"
    }

    fn open(&self, table: toml::Table, _given: &Given) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(Pinger(open("ping", table)?)))
    }
}

struct Pinger(Settings);

impl Source for Pinger {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        let agent = agent();
        let place = place(&self.0.url);
        let (mut failures, mut is_said) = (0, false);
        while !hand.stopped() {
            // What is handed over comes back once all before it is sealed.
            if hand.give_and_wait(Vec::new(), PATIENCE).is_ok() {
                match agent.get(&self.0.url).call() {
                    Ok(_) => {
                        failures = 0;
                        if !is_said {
                            hand.tell(
                                self.id(),
                                News::Well {
                                    what: format!("tells {place} that this magewarden is alive"),
                                },
                            );
                            is_said = true;
                        }
                    }
                    Err(_) => failures += 1,
                }
                if failures >= FAILURES_MAX {
                    return Err(SourceError::Unusable {
                        why: format!(
                            "{place} doesn't take the sign of life: nobody there notices if this magewarden stops"
                        ),
                    });
                }
            }
            hand.pause(self.0.every(60));
        }
        Ok(())
    }

    fn id(&self) -> SourceId {
        SourceId(format!("ping:{}", place(&self.0.url)))
    }
}

impl Kind for Peer {
    fn name(&self) -> &'static str {
        "peer"
    }

    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError> {
        let settings = open("peer", table)?;
        let id = SourceId(format!("peer:{}", place(&settings.url)));
        Ok(Box::new(Watcher {
            settings,
            clock: given.clock,
            recorder: Recorder::observing(id, given.now),
            entries: 0,
        }))
    }
}

struct Watcher {
    settings: Settings,
    clock: fn() -> Timestamp,
    recorder: Recorder,
    /// Entries the peer's ledger had.
    entries: i64,
}

impl Source for Watcher {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        let agent = agent();
        let url = format!("{}/metrics", self.settings.url.trim_end_matches('/'));
        let place = place(&self.settings.url);
        let (mut failures, mut looks) = (0, 0_u64);
        while !hand.stopped() {
            match self.look(&agent, &url) {
                Ok(entries) => {
                    failures = 0;
                    let is_shorter = entries < self.entries;
                    if is_shorter || looks.is_multiple_of(RECORD_EACH) {
                        let what = format!("{place} is alive, its ledger has {entries} entries");
                        let record = Observation::new(Category::Health, (self.clock)())
                            .text(
                                Field::HealthKind,
                                if is_shorter {
                                    "peer shorter"
                                } else {
                                    "peer alive"
                                },
                            )
                            .text(Field::HealthSource, &self.id().0)
                            .int(Field::ChangeCount, entries)
                            .text(
                                Field::Message,
                                &if is_shorter {
                                    format!("{what}; before it had {}", self.entries)
                                } else {
                                    what.clone()
                                },
                            )
                            .record();
                        let chunk = self.recorder.chunk(record);
                        if hand.give_and_wait(vec![chunk], PATIENCE).is_ok() {
                            self.entries = entries;
                        }
                        hand.tell(self.id(), News::Well { what });
                    } else {
                        self.entries = entries;
                    }
                    looks += 1;
                }
                Err(why) => {
                    failures += 1;
                    if failures >= FAILURES_MAX {
                        return Err(SourceError::Unusable {
                            why: format!("the magewarden at {place} isn't alive: {why}"),
                        });
                    }
                }
            }
            hand.pause(self.settings.every(15));
        }
        Ok(())
    }

    fn id(&self) -> SourceId {
        self.recorder.source().clone()
    }
}

impl Watcher {
    /// Entries of the peer's ledger, if it is well.
    fn look(&self, agent: &Agent, url: &str) -> Result<i64, String> {
        // Its console answers to this name only; on the way there is a tunnel or a proxy.
        let mut answer = agent
            .get(url)
            .header("Host", "localhost")
            .call()
            .map_err(|error| error.to_string())?;
        let body = answer
            .body_mut()
            .with_config()
            .limit(METRICS_MAX)
            .lossy_utf8(true);
        let text = body.read_to_string().map_err(|error| error.to_string())?;
        let metric = |name: &str| -> Option<i64> {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            line.trim().parse().ok()
        };
        let beat = metric("magewarden_heartbeat_seconds")
            .ok_or("it answers, and is no magewarden that has begun")?;
        let now = (self.clock)().0 / Timestamp::SECOND;
        if now - beat > HEARTBEAT_MAX {
            return Err(format!(
                "its counters are {} s old: it has stopped working, or the clocks differ",
                now - beat
            ));
        }
        metric("magewarden_ledger_entries")
            .ok_or_else(|| "it tells nothing of its ledger".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn what_is_shown_of_an_address_holds_no_secret() {
        assert_eq!(
            place("https://user:word@hc.example:8443/a-secret?x"),
            "hc.example:8443"
        );
    }
}
