//! Asks a gateway what happened, with a key that can only read: for shops at which no webhook can arrive.
//!
//! Stripe lists events of thirty days, the newest first (`GET /v1/events`). Each look walks back to what is known, and
//! ten minutes further, since an event may be listed late. Ids of those are kept under a code beside the ledger, once they are
//! sealed. Of the gateways only Stripe has both a list of events and keys that only read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use model::{Field, SourceId, Timestamp};
use serde::Deserialize;
use serde_json::Value as Json;
use ureq::Agent;

use super::{Told, observe, stripe};
use crate::baseline::{self, Kept};
use crate::source::{Given, Hand, Kind, News, NotSealed, Recorder, Source};
use crate::{SourceError, private, settings};

/// Where Stripe answers.
const STRIPE: &str = "https://api.stripe.com";
/// Events asked for at once; the most there are.
const PAGE: usize = 100;
/// Pages walked at one look.
const PAGES_MAX: usize = 100;
/// Longest answer; one event is some kilobytes.
const ANSWER_BYTES_MAX: u64 = 32 << 20;
/// Bytes kept of an event's text; an observation keeps no more.
const TEXT_BYTES_MAX: usize = crate::observation::TEXT_BYTES_MAX + 4;
/// Longest time one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How far back of the newest known event it looks, in seconds.
const LATE_SECONDS: i64 = 600;
/// How far back it looks at the very first, in seconds.
const FIRST_SECONDS: i64 = 86_400;
/// How long sealing is waited for before the look is made again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The kind `gateway_poll`.
pub(crate) struct Polls;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// File of the key (mode 0600): restricted, with the right to read events and no other.
    stripe: PathBuf,
    #[serde(default = "url")]
    url: String,
    #[serde(default = "every_seconds")]
    every_seconds: u64,
}

fn url() -> String {
    STRIPE.to_owned()
}

const fn every_seconds() -> u64 {
    60
}

impl Kind for Polls {
    fn name(&self) -> &'static str {
        "gateway_poll"
    }

    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError> {
        let settings: Settings = settings(self.name(), table)?;
        let wrong = |why: &str| SourceError::Settings {
            kind: "gateway_poll",
            why: why.to_owned(),
        };
        // The key would go over the line.
        let is_safe = settings.url.starts_with("https://")
            || settings.url.starts_with("http://127.0.0.1:")
            || settings.url.starts_with("http://[::1]:");
        if !is_safe {
            return Err(wrong("url: it begins with https://"));
        }
        let text = private::read(&settings.stripe)?;
        let key = text.trim().to_owned();
        if key.starts_with("sk_") {
            return Err(wrong(
                "the key may do everything at Stripe: make a restricted one (rk_…) that only reads events",
            ));
        }
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong("the file of the key holds none"));
        }
        let id = SourceId("gateway_poll:stripe".to_owned());
        Ok(Box::new(Poll {
            key,
            url: settings.url.trim_end_matches('/').to_owned(),
            every: Duration::from_secs(settings.every_seconds.max(5)),
            kept: given.data.join("gateway_poll-stripe"),
            code: given.key,
            recorder: Recorder::observing(id, given.now),
            clock: given.clock,
        }))
    }
}

struct Poll {
    key: String,
    url: String,
    every: Duration,
    kept: PathBuf,
    code: [u8; 32],
    recorder: Recorder,
    clock: fn() -> Timestamp,
}

/// Ids of events that are sealed, and when they were made, in seconds.
type Sealed = BTreeMap<String, i64>;

impl Source for Poll {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        let agent: Agent = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .user_agent("magewarden")
            .build()
            .into();
        let mut sealed = match baseline::load::<i64>(&self.kept, &self.code)? {
            Kept::Whole(sealed) => sealed,
            Kept::None => Sealed::new(),
            Kept::Changed => {
                let why = "what was remembered of events was changed by somebody else or is damaged; those of a day are told once more";
                hand.tell(
                    self.id(),
                    News::Refused {
                        why: why.to_owned(),
                    },
                );
                Sealed::new()
            }
        };
        let mut is_said = false;
        while !hand.stopped() {
            let Look { fresh, is_cut } = self.look(&agent, &sealed)?;
            if is_cut {
                let why = format!(
                    "there were over {} events since the last look; older ones weren't read",
                    PAGE * PAGES_MAX
                );
                hand.tell(self.id(), News::Refused { why });
            }
            match self.tell(&fresh, &mut sealed, hand) {
                // They are told at the next look: nothing is remembered that isn't sealed.
                Ok(()) | Err(NotSealed::Late) => {}
                Err(NotSealed::Stopped) => return Ok(()),
            }
            if !is_said {
                let what = format!("asks Stripe each {} s what happened", self.every.as_secs());
                hand.tell(self.id(), News::Well { what });
                is_said = true;
            }
            hand.pause(self.every);
        }
        Ok(())
    }

    fn id(&self) -> SourceId {
        self.recorder.source().clone()
    }
}

/// What one look found.
#[derive(Default)]
struct Look {
    /// What isn't known yet, the newest first, with the event as it was listed.
    fresh: Vec<(Told, String)>,
    /// There was more than is walked.
    is_cut: bool,
}

impl Poll {
    /// Walks from the newest event back to what is known.
    fn look(&self, agent: &Agent, sealed: &Sealed) -> Result<Look, SourceError> {
        let now = (self.clock)().0.div_euclid(Timestamp::SECOND);
        let newest = sealed.values().max();
        let until = newest.map_or(now - FIRST_SECONDS, |newest| newest - LATE_SECONDS);
        let mut look = Look::default();
        let mut after = String::new();
        for _ in 0..PAGES_MAX {
            let page = self.page(agent, &after)?;
            let events = page.get("data").and_then(Json::as_array);
            let events = events.map(Vec::as_slice).unwrap_or_default();
            let mut is_older = false;
            for event in events {
                let text = event.to_string();
                let Some(told) = stripe::told(text.as_bytes()).filter(|told| !told.id.is_empty())
                else {
                    continue;
                };
                is_older = told.seconds.is_some_and(|seconds| seconds < until);
                after.clone_from(&told.id);
                if !is_older && !sealed.contains_key(&told.id) {
                    // A record holds no more of it, and there may be ten thousand.
                    let end = text.floor_char_boundary(TEXT_BYTES_MAX);
                    look.fresh
                        .push((told, text.get(..end).unwrap_or_default().to_owned()));
                }
            }
            let has_more = page.get("has_more") == Some(&Json::Bool(true));
            if is_older || !has_more || events.is_empty() {
                return Ok(look);
            }
        }
        look.is_cut = true;
        Ok(look)
    }

    fn page(&self, agent: &Agent, after: &str) -> Result<Json, SourceError> {
        let mut request = agent
            .get(format!("{}/v1/events", self.url))
            .header("Authorization", format!("Bearer {}", self.key))
            .query("limit", PAGE.to_string());
        if !after.is_empty() {
            request = request.query("starting_after", after);
        }
        let failed = |why: String| SourceError::Unusable { why };
        let mut answer = request.call().map_err(|error| match error {
            ureq::Error::StatusCode(401 | 403) => failed(
                "Stripe refuses the key: it must be a restricted one with the right to read events"
                    .to_owned(),
            ),
            error => failed(format!("Stripe doesn't answer: {error}")),
        })?;
        let text = answer
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string()
            .map_err(|error| failed(format!("Stripe's answer breaks off: {error}")))?;
        serde_json::from_str(&text).map_err(|_| failed("Stripe's answer is no JSON".to_owned()))
    }

    /// Hands over what is new, the oldest first; returns once it is sealed and remembered.
    fn tell(
        &mut self,
        fresh: &[(Told, String)],
        sealed: &mut Sealed,
        hand: &Hand,
    ) -> Result<(), NotSealed> {
        let now = (self.clock)();
        for batch in fresh.rchunks(PAGE) {
            let mut chunks = Vec::new();
            for (told, text) in batch.iter().rev() {
                let time = told
                    .seconds
                    .and_then(|seconds| seconds.checked_mul(Timestamp::SECOND))
                    .map_or(now, Timestamp);
                // What the gateway itself answered over TLS needs no signature.
                let record = observe("stripe", told, time)
                    .text(Field::Signed, "yes")
                    .text(Field::Message, text)
                    .record();
                chunks.push(self.recorder.chunk(record));
            }
            hand.give_and_wait(chunks, PATIENCE)?;
            let seconds = now.0.div_euclid(Timestamp::SECOND);
            for (told, _) in batch {
                sealed.insert(told.id.clone(), told.seconds.unwrap_or(seconds));
            }
            let newest = sealed.values().max().copied().unwrap_or_default();
            sealed.retain(|_, made| *made >= newest - LATE_SECONDS);
            if let Err(error) = baseline::save(&self.kept, &baseline::write(&self.code, sealed)) {
                // They are told once more after a start; no event is lost.
                let why = error.to_string();
                hand.tell(self.id(), News::Refused { why });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{FIRST_SECONDS, Poll, Sealed};
    use crate::source::Recorder;
    use model::{SourceId, Timestamp};
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    const NOW: i64 = 1_790_000_000;

    /// A gateway with events, the newest first, that gives `page` at a time and remembers what it was asked.
    fn gateway(events: Vec<(String, i64)>, page: usize) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let theirs = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let first = lines.next().unwrap_or_default();
                let rest: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                theirs.lock().expect("whole").push(first.clone());
                let is_known = rest.iter().any(|line| line.ends_with("Bearer rk_test"));
                let after = first
                    .split("starting_after=")
                    .nth(1)
                    .and_then(|id| id.split(['&', ' ']).next());
                let from = after.map_or(0, |after| {
                    events
                        .iter()
                        .position(|(id, _)| id == after)
                        .map_or(0, |at| at + 1)
                });
                let listed: Vec<String> = events
                    .iter()
                    .skip(from)
                    .take(page)
                    .map(|(id, made)| format!(r#"{{"id":"{id}","type":"charge.succeeded","created":{made},"data":{{"object":{{"id":"ch_{id}","amount":500,"currency":"eur"}}}}}}"#))
                    .collect();
                let more = from + listed.len() < events.len();
                let body = format!(
                    r#"{{"object":"list","data":[{}],"has_more":{more}}}"#,
                    listed.join(",")
                );
                let status = if is_known {
                    "200 OK"
                } else {
                    "401 Unauthorized"
                };
                let answer = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                drop((&stream).write_all(answer.as_bytes()));
            }
        });
        (url, asked)
    }

    fn poll(url: &str, key: &str) -> Poll {
        Poll {
            key: key.to_owned(),
            url: url.to_owned(),
            every: std::time::Duration::from_secs(60),
            kept: "/nowhere".into(),
            code: [0; 32],
            recorder: Recorder::observing(SourceId("x".to_owned()), Timestamp(0)),
            clock: || Timestamp::from_seconds(NOW),
        }
    }

    fn ids(poll: &Poll, sealed: &Sealed) -> Vec<String> {
        let look = poll.look(&ureq::Agent::new_with_defaults(), sealed);
        let fresh = look.map(|look| look.fresh).unwrap_or_default();
        fresh.into_iter().map(|(told, _)| told.id).collect()
    }

    #[test]
    fn walks_back_to_what_is_known_and_a_little_further() {
        let events: Vec<_> = (0..40)
            .map(|at| (format!("evt_{at}"), NOW - 100 * at))
            .collect();
        let (url, asked) = gateway(events, 10);
        let poll = poll(&url, "rk_test");
        // The very first: all of a day.
        assert_eq!(ids(&poll, &Sealed::new()).len(), 40);
        assert_eq!(asked.lock().expect("whole").len(), 4);
        // Then what is newer than the newest known, and one of the last ten minutes that was listed late.
        let known: Sealed = (5..40)
            .filter(|at| *at != 8)
            .map(|at| (format!("evt_{at}"), NOW - 100 * at))
            .collect();
        assert_eq!(
            ids(&poll, &known),
            ["evt_0", "evt_1", "evt_2", "evt_3", "evt_4", "evt_8"]
        );
        assert_eq!(asked.lock().expect("whole").len(), 6);
    }

    #[test]
    fn what_is_older_than_a_day_is_not_told_at_first() {
        let events = vec![
            ("evt_new".to_owned(), NOW),
            ("evt_old".to_owned(), NOW - FIRST_SECONDS - 1),
        ];
        let (url, _) = gateway(events, 10);
        assert_eq!(ids(&poll(&url, "rk_test"), &Sealed::new()), ["evt_new"]);
    }

    #[test]
    fn a_refused_key_is_said_without_it() {
        let (url, _) = gateway(Vec::new(), 10);
        let poll = poll(&url, "rk_wrong");
        let error = poll.look(&ureq::Agent::new_with_defaults(), &Sealed::new());
        let why = error
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        assert!(
            why.contains("refuses the key") && !why.contains("rk_wrong"),
            "{why}"
        );
    }
}
