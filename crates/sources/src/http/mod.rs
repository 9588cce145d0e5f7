//! HTTP intake: lines or NDJSON, Splunk's HTTP Event Collector, and OTLP logs; answered once all is sealed.
//!
//! A sender that hears 200 knows its records are durable; one that hears anything else, or nothing, sends again. To keep
//! that from doubling records, a sender may number its bytes (`offset`): what is sealed already is skipped and
//! counted. Without a token nobody is let in; the token's place is a file. Limits have names, and going over one is an answer.

mod hec;
mod otlp;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use model::{Generation, Position, SourceId};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::source::{Chunk, Framing, Given, Hand, Kind, News, NotSealed, Positions, Source};
use crate::{SourceError, settings};

/// Longest body, as sent and after it is decompressed.
const BODY_BYTES_MAX: usize = 16 << 20;
/// Records of one request.
const RECORDS_MAX: usize = 100_000;
/// Longest name of a source.
const NAME_BYTES_MAX: usize = 128;
/// Names of sources, over which no new one is taken.
const NAMES_MAX: usize = 1024;
/// How long sealing is waited for before the sender is told to come again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests at work at a time; the others wait.
const REQUESTS_MAX: usize = 64;

/// The kind `http`.
pub(crate) struct Http;

/// Its settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Address and port.
    listen: SocketAddr,
    /// File with one token a line; blank lines and those that begin with `#` are none.
    tokens: PathBuf,
}

impl Kind for Http {
    fn name(&self) -> &'static str {
        "http"
    }

    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError> {
        let settings: Settings = settings(self.name(), table)?;
        let text =
            std::fs::read_to_string(&settings.tokens).map_err(SourceError::io(&settings.tokens))?;
        let tokens: Vec<[u8; 32]> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|token| Sha256::digest(token).into())
            .collect();
        if tokens.is_empty() {
            return Err(SourceError::Settings {
                kind: "http",
                why: "the file of tokens holds none".to_owned(),
            });
        }
        let failed = |source| SourceError::Network {
            place: format!("http://{}", settings.listen),
            source,
        };
        let listener = std::net::TcpListener::bind(settings.listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        Ok(Box::new(Listener {
            bound,
            listener,
            tokens,
            names: Arc::new(Mutex::new(Names::new(given))),
            formats: given.formats.clone().into(),
        }))
    }
}

struct Listener {
    bound: SocketAddr,
    listener: std::net::TcpListener,
    tokens: Vec<[u8; 32]>,
    names: Arc<Mutex<Names>>,
    formats: Arc<[&'static str]>,
}

impl Source for Listener {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        let failed = |source| SourceError::Network {
            place: format!("http://{}", self.bound),
            source,
        };
        let desk = Desk {
            tokens: self.tokens.clone().into(),
            names: Arc::clone(&self.names),
            numbered: Arc::new(Mutex::new(())),
            formats: Arc::clone(&self.formats),
            hand: hand.clone(),
            turns: Arc::new(tokio::sync::Semaphore::new(REQUESTS_MAX)),
        };
        let listener = self.listener.try_clone().map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(REQUESTS_MAX)
            .build()
            .map_err(failed)?;
        let what = format!("takes records at http://{}/", self.bound);
        hand.tell(self.id(), News::Well { what });
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
            let hand = hand.clone();
            let stopped = async move {
                while !hand.stopped() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            };
            axum::serve(listener, router(desk))
                .with_graceful_shutdown(stopped)
                .await
                .map_err(failed)
        })
    }

    fn id(&self) -> SourceId {
        SourceId(format!("http:{}", self.bound))
    }
}

/// What a request is handled with.
#[derive(Clone)]
struct Desk {
    tokens: Arc<[[u8; 32]]>,
    names: Arc<Mutex<Names>>,
    /// One request that numbers its bytes at a time, so that two copies of it can't both be new.
    numbered: Arc<Mutex<()>>,
    /// Names of the formats there are.
    formats: Arc<[&'static str]>,
    hand: Hand,
    turns: Arc<tokio::sync::Semaphore>,
}

/// Where each named source stands.
struct Names {
    generation: Generation,
    /// Generation and next byte of each.
    at: BTreeMap<String, (Generation, u64)>,
    sealed: Positions,
}

impl Names {
    fn new(given: &Given) -> Self {
        Self {
            generation: Generation {
                inode: given.now.0.unsigned_abs(),
                ..Generation::default()
            },
            at: BTreeMap::new(),
            sealed: given.resume.clone(),
        }
    }
}

/// One record of a request.
pub(super) struct Item {
    /// The source it names, without `http:`.
    pub(super) name: String,
    /// The format it names.
    pub(super) format: Option<String>,
    pub(super) bytes: Vec<u8>,
}

/// Why a request isn't taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NoToken,
    BadToken,
    NoData,
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
            Self::NoData | Self::BadData(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyNames | Self::Late => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn text(&self) -> &'static str {
        match self {
            Self::NoToken => "a token is needed: Authorization: Bearer TOKEN",
            Self::BadToken => "this token isn't known",
            Self::NoData => "the body holds no record",
            Self::BadData(why) => why,
            Self::TooLarge => "over 16 MiB or 100000 records: send less at once",
            Self::TooManyNames => "no more names of sources are taken",
            Self::Late => "not sealed in time: send it again",
        }
    }
}

fn router(desk: Desk) -> Router {
    Router::new()
        .route("/v1/records", post(records))
        .route("/v1/logs", post(otlp::logs))
        .route("/services/collector", post(hec::events))
        .route("/services/collector/event", post(hec::events))
        .route("/services/collector/event/1.0", post(hec::events))
        .route("/services/collector/raw", post(hec::raw))
        .route("/services/collector/raw/1.0", post(hec::raw))
        .route("/services/collector/health", get(hec::health))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(desk)
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
    let result = async {
        desk.admit(&headers)?;
        let body = inflate(&headers, body)?;
        let mut records = Vec::new();
        for line in body.split_inclusive(|byte| *byte == b'\n') {
            records.push(Item {
                name: told.source.clone(),
                format: told.format.clone(),
                bytes: line.to_vec(),
            });
        }
        desk.seal(records, told.offset.map(|offset| (told.generation, offset)))
            .await
    }
    .await;
    match result {
        Ok(taken) => axum::Json(serde_json::json!({
            "sealed": taken.sealed, "skipped": taken.skipped, "next_offset": taken.next
        }))
        .into_response(),
        Err(refusal) => (
            refusal.status(),
            axum::Json(serde_json::json!({ "error": refusal.text() })),
        )
            .into_response(),
    }
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

    /// Seals records; answers when they are durable.
    async fn seal(
        &self,
        records: Vec<Item>,
        numbered: Option<(u64, u64)>,
    ) -> Result<Taken, Refusal> {
        if records.len() > RECORDS_MAX {
            return Err(Refusal::TooLarge);
        }
        let _turn = self.turns.acquire().await.map_err(|_| Refusal::Late)?;
        let desk = self.clone();
        let work = tokio::task::spawn_blocking(move || desk.hand_over(records, numbered));
        work.await.unwrap_or(Err(Refusal::Late))
    }

    fn hand_over(
        &self,
        records: Vec<Item>,
        numbered: Option<(u64, u64)>,
    ) -> Result<Taken, Refusal> {
        let _one = numbered.map(|_| self.numbered.lock().unwrap_or_else(PoisonError::into_inner));
        let mut taken = Taken::default();
        let mut chunks = Vec::new();
        let mut offset = numbered.map(|(_, offset)| offset);
        let mut moved: BTreeMap<String, (Generation, u64)> = BTreeMap::new();
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            let (id, format) = self.identify(&record, numbered.is_some())?;
            let (generation, next) = match moved.get(&id) {
                Some(at) => *at,
                None => names.next(&id, numbered)?,
            };
            let at = offset.unwrap_or(next);
            let end = at + record.bytes.len() as u64;
            offset = offset.map(|_| end);
            if at < next {
                taken.skipped += 1;
                continue;
            }
            // A line end is the line's, not the record's.
            let bytes = record.bytes.trim_ascii_end();
            if bytes.is_empty() {
                continue;
            }
            taken.sealed += 1;
            chunks.push(Chunk {
                source: SourceId(id.clone()),
                generation,
                offset_bytes: at,
                bytes: bytes.to_vec(),
                framing: Framing::OneRecord,
                format,
                end_of_generation: false,
                news: None,
            });
            moved.insert(id, (generation, end));
        }
        taken.next = offset;
        if taken.sealed == 0 && taken.skipped == 0 {
            return Err(Refusal::NoData);
        }
        if numbered.is_none() {
            // Places are taken before the wait: others go on meanwhile.
            names.at.extend(std::mem::take(&mut moved));
        }
        drop(names);
        match self.hand.give_and_wait(chunks, PATIENCE) {
            Ok(()) => {}
            Err(NotSealed::Late | NotSealed::Stopped) => return Err(Refusal::Late),
        }
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.at.extend(moved);
        Ok(taken)
    }

    /// The source a record is of, and its format where it is named.
    fn identify(
        &self,
        record: &Item,
        numbered: bool,
    ) -> Result<(String, Option<&'static str>), Refusal> {
        let name = record.name.as_str();
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(Refusal::BadData(
                "a source's name has 1 to 128 bytes, none of them a control character",
            ));
        }
        let format = match &record.format {
            None if numbered => {
                return Err(Refusal::BadData("numbered records want a format, too"));
            }
            None => None,
            Some(name) => Some(
                self.formats
                    .iter()
                    .copied()
                    .find(|known| known == name)
                    .ok_or(Refusal::BadData(
                        "no such format; `magewarden parse --help` lists them",
                    ))?,
            ),
        };
        Ok((format!("http:{name}"), format))
    }
}

/// The body, decompressed where it says that it is.
fn inflate(headers: &HeaderMap, body: Bytes) -> Result<Bytes, Refusal> {
    match headers
        .get(header::CONTENT_ENCODING)
        .map(|value| value.as_bytes())
    {
        None | Some(b"identity") => Ok(body),
        Some(b"gzip") => {
            let mut out = Vec::new();
            flate2::read::MultiGzDecoder::new(body.as_ref())
                .take(BODY_BYTES_MAX as u64 + 1)
                .read_to_end(&mut out)
                .map_err(|_| Refusal::BadData("the body is no gzip"))?;
            if out.len() > BODY_BYTES_MAX {
                return Err(Refusal::TooLarge);
            }
            Ok(out.into())
        }
        Some(_) => Err(Refusal::BadData("Content-Encoding: gzip or none")),
    }
}

impl Names {
    /// The generation of a source, and its first byte that isn't sealed.
    fn next(
        &mut self,
        id: &str,
        numbered: Option<(u64, u64)>,
    ) -> Result<(Generation, u64), Refusal> {
        let own = match numbered {
            None => self.generation,
            Some((generation, _)) => Generation {
                inode: generation,
                ..Generation::default()
            },
        };
        if let Some((generation, next)) = self.at.get(id)
            && *generation == own
        {
            return Ok((own, *next));
        }
        if self.at.len() >= NAMES_MAX && !self.at.contains_key(id) {
            return Err(Refusal::TooManyNames);
        }
        let sealed = self.sealed.get(&SourceId(id.to_owned()));
        let next = match sealed {
            Some((generation, Position { offset_bytes })) if *generation == own => *offset_bytes,
            _ => 0,
        };
        self.at.insert(id.to_owned(), (own, next));
        Ok((own, next))
    }
}
