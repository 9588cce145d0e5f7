//! HTTP intake: lines or NDJSON, Splunk's HTTP Event Collector, and OTLP logs; answered once all is sealed.
//!
//! A sender that hears 200 knows its records are durable; one that hears anything else, or nothing, sends again. To keep
//! that from doubling records, a sender may number its bytes (`offset`): what is sealed already is skipped and
//! counted. Without a token nobody is let in; the token's place is a file. Limits have names, and going over one is an answer.

mod hec;
mod names;
mod otlp;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use model::{Generation, SourceId};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::listen::Door;
use crate::source::{Chunk, Given, Hand, Kind, News, NotSealed, Pending, Source};
use crate::{SourceError, private, settings};
use names::{Names, Origin, origin};

/// Longest body, as sent and after it is decompressed.
const BODY_BYTES_MAX: usize = 16 << 20;
/// Records of one request.
const RECORDS_MAX: usize = 100_000;
/// Greatest number of a byte.
const OFFSET_MAX: u64 = 1 << 62;
/// How long sealing is waited for before the sender is told to come again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests at work at a time; the others wait. With their bodies they bound the memory that senders take.
const REQUESTS_MAX: usize = 8;

/// The kind `http`.
pub(crate) struct Http;

/// Its settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Address and port.
    listen: SocketAddr,
    /// File with one token a line, its owner's alone; blank lines and those that begin with `#` are none.
    tokens: PathBuf,
}

impl Kind for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError> {
        let settings: Settings = settings(self.name(), table)?;
        let text = private::read(&settings.tokens)?;
        let tokens: Vec<[u8; 32]> = private::lines(self.name(), &settings.tokens, &text)?
            .iter()
            .map(|token| Sha256::digest(token).into())
            .collect();
        Ok(Box::new(Listener {
            door: Door::open(settings.listen)?,
            tokens: tokens.into(),
            names: Arc::new(Mutex::new(Names::new(given))),
            formats: given.formats.clone().into(),
        }))
    }
}

struct Listener {
    door: Door,
    tokens: Arc<[[u8; 32]]>,
    names: Arc<Mutex<Names>>,
    formats: Arc<[&'static str]>,
}

impl Source for Listener {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        let desk = Desk {
            tokens: Arc::clone(&self.tokens),
            names: Arc::clone(&self.names),
            numbered: Arc::new(Mutex::new(BTreeMap::new())),
            formats: Arc::clone(&self.formats),
            hand: hand.clone(),
        };
        let what = format!("takes records at http://{}/", self.door.address());
        hand.tell(self.id(), News::Well { what });
        self.door.serve(router(desk), REQUESTS_MAX, hand)
    }

    fn id(&self) -> SourceId {
        SourceId(format!("http:{}", self.door.address()))
    }
}

/// What a request is handled with.
#[derive(Clone)]
struct Desk {
    tokens: Arc<[[u8; 32]]>,
    names: Arc<Mutex<Names>>,
    /// One request that numbers its bytes at a time, so that two copies of it can't both be new; and of each source what was
    /// handed over and not sealed in time.
    numbered: Arc<Mutex<BTreeMap<SourceId, Late>>>,
    /// Names of the formats there are.
    formats: Arc<[&'static str]>,
    hand: Hand,
}

/// Numbered records that were handed over and may be sealed yet.
struct Late {
    pending: Pending,
    generation: Generation,
    /// The byte behind them.
    next: u64,
}

/// The records of a request, and what each is of.
#[derive(Default)]
struct Items(Vec<(Arc<Origin>, Vec<u8>)>);

impl Items {
    fn push(&mut self, origin: &Arc<Origin>, bytes: &[u8]) -> Result<(), Refusal> {
        if self.0.len() >= RECORDS_MAX {
            return Err(Refusal::TooLarge);
        }
        self.0.push((Arc::clone(origin), bytes.to_vec()));
        Ok(())
    }

    /// One record a line, with its end; blank ones are counted like the others.
    fn lines(origin: &Arc<Origin>, body: &[u8]) -> Result<Self, Refusal> {
        let mut items = Self::default();
        for line in body.split_inclusive(|byte| *byte == b'\n') {
            items.push(origin, line)?;
        }
        Ok(items)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why a request isn't taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NoToken,
    BadToken,
    NoData,
    /// An envelope without an event (HEC).
    NoEvent,
    BadData(&'static str),
    TooLarge,
    TooManyNames,
    Late,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoToken => StatusCode::UNAUTHORIZED,
            Self::BadToken => StatusCode::FORBIDDEN,
            Self::NoData | Self::NoEvent | Self::BadData(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyNames | Self::Late => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn text(&self) -> &'static str {
        match self {
            Self::NoToken => "a token is needed: Authorization: Bearer TOKEN",
            Self::BadToken => "this token isn't known",
            Self::NoData => "the body holds no record",
            Self::NoEvent => "an envelope holds no event",
            Self::BadData(why) => why,
            Self::TooLarge => "over 16 MiB (OTLP: 4 MiB) or 100000 records: send less at once",
            Self::TooManyNames => "no more names of sources are taken",
            Self::Late => "not sealed in time: send it again",
        }
    }
}

/// How a protocol says no.
type Refuse = fn(&Refusal) -> Response;

/// Every address; a request without a known token is answered before its body is read.
fn router(desk: Desk) -> Router {
    let guarded = |router: Router<Desk>, refuse: Refuse| {
        router.route_layer(from_fn_with_state((desk.clone(), refuse), admit))
    };
    let lines = Router::new().route("/v1/records", post(records));
    let hec = Router::new()
        .route("/services/collector", post(hec::events))
        .route("/services/collector/event", post(hec::events))
        .route("/services/collector/event/1.0", post(hec::events))
        .route("/services/collector/raw", post(hec::raw))
        .route("/services/collector/raw/1.0", post(hec::raw));
    let otlp = Router::new()
        .route("/v1/logs", post(otlp::logs))
        .layer(DefaultBodyLimit::max(otlp::BODY_BYTES_MAX));
    guarded(lines, refuse)
        .merge(guarded(hec, hec::refuse))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(guarded(otlp, otlp::refuse))
        .route("/services/collector/health", get(hec::health))
        .with_state(desk)
}

/// Lets in whose token is known.
async fn admit(
    State((desk, refuse)): State<(Desk, Refuse)>,
    request: Request,
    next: Next,
) -> Response {
    match desk.admit(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refuse(&refusal),
    }
}

/// What `/v1/records` may be told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    /// Name of the source.
    source: String,
    /// Format of its records; recognised when it isn't said.
    format: Option<String>,
    /// The sender's own number of the body's first byte: what is sealed already is skipped.
    offset: Option<u64>,
    /// Which incarnation the offsets are of, e.g. an inode; another one begins at its offset.
    #[serde(default)]
    generation: u64,
}

/// Takes lines, one a record.
async fn records(
    State(desk): State<Desk>,
    Query(told): Query<Told>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let numbered = told.offset.map(|offset| (told.generation, offset));
    let result = async {
        let body = inflate(&headers, body, BODY_BYTES_MAX)?;
        let format = told
            .format
            .as_deref()
            .map(|name| desk.format(name))
            .transpose()?;
        let origin = match numbered {
            None => origin("http", &told.source, format)?,
            Some(_) if format.is_none() => {
                return Err(Refusal::BadData("numbered records want a format, too"));
            }
            Some(_) => origin("http+offset", &told.source, format)?,
        };
        desk.seal(Items::lines(&origin, &body)?, numbered).await
    }
    .await;
    match result {
        Ok(taken) => axum::Json(serde_json::json!({
            "sealed": taken.sealed, "skipped": taken.skipped, "next_offset": taken.next
        }))
        .into_response(),
        Err(refusal) => refuse(&refusal),
    }
}

fn refuse(refusal: &Refusal) -> Response {
    let said = serde_json::json!({ "error": refusal.text() });
    (refusal.status(), axum::Json(said)).into_response()
}

/// What became of a request.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) sealed: usize,
    pub(super) skipped: usize,
    pub(super) next: Option<u64>,
}

impl Desk {
    /// Whether the request's token is known. `Bearer`, `Splunk`, or Basic with the token as password (HEC).
    fn admit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        use base64::Engine as _;
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .ok_or(Refusal::NoToken)?;
        let (scheme, rest) = given.trim().split_once(' ').ok_or(Refusal::NoToken)?;
        let token = if scheme.eq_ignore_ascii_case("basic") {
            base64::engine::general_purpose::STANDARD
                .decode(rest.trim())
                .ok()
                .and_then(|pair| {
                    let colon = pair.iter().position(|byte| *byte == b':')?;
                    pair.get(colon + 1..).map(<[u8]>::to_vec)
                })
                .ok_or(Refusal::BadToken)?
        } else if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("splunk") {
            rest.trim().as_bytes().to_vec()
        } else {
            return Err(Refusal::NoToken);
        };
        // Hashes of one length are compared, and all of them: time tells neither length nor place.
        let hash: [u8; 32] = Sha256::digest(&token).into();
        let known = self
            .tokens
            .iter()
            .fold(subtle::Choice::from(0), |known, one| {
                known | one.ct_eq(&hash)
            });
        if bool::from(known) {
            Ok(())
        } else {
            Err(Refusal::BadToken)
        }
    }

    /// A format by its name.
    fn format(&self, name: &str) -> Result<&'static str, Refusal> {
        let known = self.formats.iter().copied().find(|known| *known == name);
        known.ok_or(Refusal::BadData(
            "no such format; `magewarden parse --help` lists them",
        ))
    }

    /// Seals records; answers when they are durable.
    async fn seal(&self, items: Items, numbered: Option<(u64, u64)>) -> Result<Taken, Refusal> {
        let desk = self.clone();
        let work = tokio::task::spawn_blocking(move || match numbered {
            None => desk.hand_over(items),
            Some((generation, offset)) => desk.hand_over_numbered(items, generation, offset),
        });
        work.await.unwrap_or(Err(Refusal::Late))
    }

    fn hand_over(&self, items: Items) -> Result<Taken, Refusal> {
        let mut chunks = Vec::new();
        let mut names = self.names();
        for (origin, mut record) in items.0 {
            // A line end is the line's, not the record's.
            record.truncate(record.trim_ascii_end().len());
            if !record.is_empty() {
                chunks.push(names.chunk(&origin, record)?);
            }
        }
        drop(names);
        let sealed = chunks.len();
        if sealed == 0 {
            return Err(Refusal::NoData);
        }
        self.wait(chunks)?;
        Ok(Taken {
            sealed,
            ..Taken::default()
        })
    }

    /// Seals what of numbered records isn't sealed already. All of them are of one source.
    fn hand_over_numbered(
        &self,
        items: Items,
        generation: u64,
        offset: u64,
    ) -> Result<Taken, Refusal> {
        if offset > OFFSET_MAX {
            return Err(Refusal::BadData("an offset is at most 2^62"));
        }
        let mut late = self.numbered.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((origin, _)) = items.0.first() else {
            return Err(Refusal::NoData);
        };
        let origin = Arc::clone(origin);
        let generation = Generation {
            inode: generation,
            ..Generation::default()
        };
        // What was sent before and is being sealed still must be known first.
        if let Some(one) = late.get(&origin.id) {
            match one.pending.wait(PATIENCE) {
                Ok(()) => self.names().sealed(&origin.id, one.generation, one.next),
                Err(NotSealed::Late) => return Err(Refusal::Late),
                Err(NotSealed::Stopped) => {}
            }
            late.remove(&origin.id);
        }
        let next = self.names().next(&origin.id, generation)?;
        let (mut at, mut skipped, mut chunks) = (offset, 0, Vec::new());
        for (_, mut record) in items.0 {
            let begin = at;
            at += record.len() as u64;
            record.truncate(record.trim_ascii_end().len());
            if record.is_empty() {
                continue;
            }
            if begin < next {
                skipped += 1;
                continue;
            }
            let id = origin.id.clone();
            chunks.push(Chunk::record(id, generation, begin, record, origin.format));
        }
        let sealed = chunks.len();
        if sealed == 0 && skipped == 0 {
            return Err(Refusal::NoData);
        }
        if sealed > 0 {
            let pending = self
                .hand
                .offer(chunks, PATIENCE)
                .map_err(|_| Refusal::Late)?;
            if let Err(why) = pending.wait(PATIENCE) {
                let one = Late {
                    pending,
                    generation,
                    next: at.max(next),
                };
                if why == NotSealed::Late {
                    late.insert(origin.id.clone(), one);
                }
                return Err(Refusal::Late);
            }
        }
        self.names().sealed(&origin.id, generation, at.max(next));
        Ok(Taken {
            sealed,
            skipped,
            next: Some(at),
        })
    }

    fn wait(&self, chunks: Vec<Chunk>) -> Result<(), Refusal> {
        self.hand
            .give_and_wait(chunks, PATIENCE)
            .map_err(|_| Refusal::Late)
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body, decompressed where it says that it is.
fn inflate(headers: &HeaderMap, body: Bytes, limit: usize) -> Result<Bytes, Refusal> {
    match headers
        .get(header::CONTENT_ENCODING)
        .map(|value| value.as_bytes())
    {
        None | Some(b"identity") => Ok(body),
        Some(b"gzip") => {
            let mut out = Vec::new();
            flate2::read::MultiGzDecoder::new(body.as_ref())
                .take(limit as u64 + 1)
                .read_to_end(&mut out)
                .map_err(|_| Refusal::BadData("the body is no gzip"))?;
            if out.len() > limit {
                return Err(Refusal::TooLarge);
            }
            Ok(out.into())
        }
        Some(_) => Err(Refusal::BadData("Content-Encoding: gzip or none")),
    }
}
