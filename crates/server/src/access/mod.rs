//! Who may use the console, and how each request's caller is known to the pages.
//!
//! Open is for consoles that only show, on loopback: `analyze`, `demo`. With people nothing is answered to whom nobody
//! knows, but the pages by which one comes in.

mod cookie;
mod fields;
mod guard;
pub(crate) mod multipart;
mod upload;

use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use engine::attach::Shelf;
use engine::counsel::Counsel;
use engine::decider::Decider;
use engine::desk::{Desk, Sight};
use engine::people::{Act, People};
use engine::trail::Trail;
use engine::watching::Watching;
use engine::zone::Zone;
use model::{Principal, StoreMap, Timestamp};
use tokio::sync::Semaphore;

use crate::pages::Telling;

pub(crate) use cookie::Cookies;
pub(crate) use fields::Fields;
pub(crate) use guard::{
    allow, allow_incident, guard, is_loopback_name, is_refresh, local, only_logged_in,
};
pub(crate) use upload::Unread;

/// Who may use a console.
#[derive(Clone)]
pub enum Access {
    /// Anybody who reaches it, to look.
    Open,
    /// People with accounts, and programs with tokens.
    People {
        /// The people.
        people: People,
        /// Tells the time: the edge reads the clock.
        now: fn() -> Timestamp,
    },
}

/// A console: what it shows, to whom, and under which names.
#[derive(Clone)]
pub struct Console {
    pub(crate) desk: Desk,
    pub(crate) access: Access,
    pub(crate) stores: Arc<StoreMap>,
    /// Names it answers to beside those of loopback, in lower case.
    pub(crate) names: Arc<[String]>,
    /// Whether browsers reach it by TLS: cookies then travel by nothing else.
    pub(crate) is_secure: bool,
    /// Tells the time where nobody logs in; pages of one without it tell no time that passed.
    pub(crate) clock: Option<fn() -> Timestamp>,
    /// What takes people's decisions; none where the console only shows.
    pub(crate) decider: Option<Decider>,
    /// What notes who read evidence.
    pub(crate) trail: Option<Trail>,
    /// What takes and reads counsel's notes.
    pub(crate) counsel: Option<Counsel>,
    /// What knows who looked at what.
    pub(crate) watching: Option<Watching>,
    /// Where attached files are read from.
    pub(crate) shelf: Option<Arc<Shelf>>,
    /// Whom to tell, by the settings.
    pub(crate) telling: Arc<Telling>,
    /// In which times are told to whoever chose no zone.
    pub(crate) zone: Zone,
    /// Bytes of the largest file that is taken.
    pub(crate) attachment_bytes_max: usize,
    /// Whose turn it is to send a large body.
    uploads: Arc<Semaphore>,
}

/// Bytes of the largest file that is taken, where settings say nothing else.
const ATTACHMENT_BYTES_MAX: usize = 10 << 20;

impl From<Desk> for Console {
    /// One that only shows, on loopback.
    fn from(desk: Desk) -> Self {
        Self {
            desk,
            access: Access::Open,
            stores: Arc::default(),
            names: Arc::default(),
            is_secure: false,
            clock: None,
            decider: None,
            trail: None,
            counsel: None,
            watching: None,
            shelf: None,
            telling: Arc::default(),
            zone: Zone::default(),
            attachment_bytes_max: ATTACHMENT_BYTES_MAX,
            uploads: Arc::new(Semaphore::new(upload::AT_ONCE)),
        }
    }
}

impl Console {
    /// Lets people decide on it, and notes what they read.
    #[must_use]
    pub fn deciding(self, decider: Decider, trail: Trail) -> Self {
        Self {
            decider: Some(decider),
            trail: Some(trail),
            ..self
        }
    }

    /// Tells how long ago things were, where nobody logs in: the edge reads the clock.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> Timestamp) -> Self {
        Self {
            clock: Some(clock),
            ..self
        }
    }

    /// Takes counsel's notes, and shows them to counsel.
    #[must_use]
    pub fn advised(self, counsel: Counsel) -> Self {
        Self {
            counsel: Some(counsel),
            ..self
        }
    }

    /// Tells people what is new at incidents they watch or lead.
    #[must_use]
    pub fn watching(self, watching: Watching) -> Self {
        Self {
            watching: Some(watching),
            ..self
        }
    }

    /// Gives out attached files.
    #[must_use]
    pub fn reading(self, shelf: Arc<Shelf>) -> Self {
        Self {
            shelf: Some(shelf),
            ..self
        }
    }

    /// Says whom to tell.
    #[must_use]
    pub fn telling(self, telling: Telling) -> Self {
        Self {
            telling: Arc::new(telling),
            ..self
        }
    }

    /// Tells times in a zone to whoever chose none.
    #[must_use]
    pub fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    /// Takes files of at most so many bytes.
    #[must_use]
    pub fn taking_up_to(self, attachment_bytes_max: usize) -> Self {
        Self {
            attachment_bytes_max,
            ..self
        }
    }

    /// One for people, whose roles are held against the shop's stores.
    #[must_use]
    pub fn new(desk: Desk, access: Access, stores: StoreMap) -> Self {
        Self {
            access,
            stores: Arc::new(stores),
            ..desk.into()
        }
    }

    /// Lets it answer to names beside those of loopback. Browsers use TLS for them: its own, or that of a proxy in front.
    #[must_use]
    pub fn named(self, names: impl IntoIterator<Item = String>) -> Self {
        let names: Arc<[String]> = names
            .into_iter()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        Self {
            is_secure: self.is_secure || !names.is_empty(),
            names,
            ..self
        }
    }

    /// Says that it is reached by TLS.
    #[must_use]
    pub fn over_tls(self) -> Self {
        Self {
            is_secure: true,
            ..self
        }
    }
}

impl FromRef<Console> for Desk {
    fn from_ref(console: &Console) -> Self {
        console.desk.clone()
    }
}

/// Who makes a request.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Principal,
    /// What forms of their session send; empty without one.
    pub(crate) csrf: String,
    /// Their session's token; empty without one.
    pub(crate) session: String,
    /// The address they come from; empty when it isn't known.
    pub(crate) from: String,
    /// When the request came.
    pub(crate) now: Timestamp,
    /// In which they are told times, where they chose one.
    pub(crate) zone: Option<Zone>,
}

impl Console {
    /// Notes that somebody reads entries of the ledger.
    ///
    /// # Errors
    ///
    /// The answer instead of them, when it can't be noted.
    pub(crate) async fn read(
        &self,
        sight: &Sight,
        caller: &Caller,
        entries: &[u64],
    ) -> Result<(), Response> {
        let noted = match &self.trail {
            Some(trail) => trail.read(&sight.person(), entries, caller.now).await,
            None => true,
        };
        if noted {
            return Ok(());
        }
        let why = "Who reads evidence is recorded, and the database that records it can't be used now. Nothing is lost meanwhile; try again in a minute.";
        Err(crate::pages::refused(StatusCode::SERVICE_UNAVAILABLE, why))
    }
}

/// Does what reads files or takes long where nobody waits behind it; `None` when it panicked.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

impl Caller {
    /// As the engine wants to know who does something.
    pub(crate) fn act(&self) -> Act<'_> {
        Act {
            by: &self.principal,
            from: &self.from,
            now: self.now,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        // Invariant: the guard lets nobody through to a page that asks for a caller without one.
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or(StatusCode::UNAUTHORIZED)
    }
}

/// What the caller sees.
pub(crate) struct Seen(pub(crate) Sight);

impl FromRequestParts<Console> for Seen {
    type Rejection = StatusCode;

    async fn from_request_parts(
        parts: &mut Parts,
        console: &Console,
    ) -> Result<Self, Self::Rejection> {
        let caller = Caller::from_request_parts(parts, console).await?;
        let stores = Arc::clone(&console.stores);
        let zone = caller.zone.unwrap_or_else(|| console.zone.clone());
        let sight = Sight::new(console.desk.clone(), caller.principal, stores);
        Ok(Self(sight.in_zone(zone)))
    }
}

/// The people, where there are any, and where a request comes from: for pages by which one comes in.
pub(crate) struct Entrance {
    pub(crate) people: People,
    pub(crate) from: String,
    pub(crate) now: Timestamp,
    pub(crate) cookies: Cookies,
}

impl FromRequestParts<Console> for Entrance {
    type Rejection = StatusCode;

    async fn from_request_parts(
        parts: &mut Parts,
        console: &Console,
    ) -> Result<Self, Self::Rejection> {
        let Access::People { people, now } = &console.access else {
            return Err(StatusCode::NOT_FOUND);
        };
        Ok(Self {
            people: people.clone(),
            from: guard::from(&parts.extensions),
            now: now(),
            cookies: Cookies::new(&parts.headers, console.is_secure),
        })
    }
}
