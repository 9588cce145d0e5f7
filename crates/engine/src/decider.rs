//! Where a person's decision enters: may they, does it fit, what in it must be masked; then the outbox, and the wait until it is sealed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use incident::handling::{check, moves};
use model::{Act, Decision, Handling, Incident, Person, Principal, Right, StoreMap, Timestamp};
use sha2::{Digest as _, Sha256};
use sources::Waker;
use stores::{Outbox, OutboxRow, Outcome, Put, StoreError};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use crate::attach::{Unfit, vet};
use crate::content::flows;
use crate::desk::Desk;
use crate::external::Quota;
use crate::handled::state_of;
use crate::hide::hide;
use crate::sealed::{Decided, VERSION};

/// Longest wait for a decision's being sealed; it is safe before that, and counts after.
pub(crate) const SEAL_MAX: Duration = Duration::from_secs(5);

/// Files that are looked into at once: each may take some seconds and, unpacked, a hundred megabytes.
const VETTED_AT_ONCE: usize = 1;

/// Why a decision isn't taken, or isn't known to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecideError {
    /// The person's roles don't include it there.
    #[error("your roles don't let you {} here; ask {} to do it, or an administrator for the role", right.words(), who(*right))]
    NotAllowed {
        /// What it takes.
        right: Right,
    },
    /// There is no such incident, or not for this person.
    #[error("there is no such incident")]
    NotThere,
    /// It doesn't fit how things stand.
    #[error("{why}")]
    Refused {
        /// Why, and what to do.
        why: String,
    },
    /// A file can't be kept as it is.
    #[error("the file wasn't attached: {source}")]
    Unfit {
        /// Why, and what to do.
        source: Unfit,
    },
    /// Its id was used for another decision.
    #[error("this key was used for another decision: use a new one")]
    OtherDecision,
    /// The database is away: nothing was written.
    #[error("nothing was recorded, since the database can't be used; try again in a minute")]
    Away {
        /// What it said.
        source: StoreError,
    },
    /// It can't be written as JSON, which the types rule out.
    #[error("the decision can't be written")]
    Encode {
        /// What serde said.
        source: serde_json::Error,
    },
    /// The program is being stopped: nothing was written.
    #[error("nothing was recorded, since magewarden is being stopped; try again in a minute")]
    Stopped,
    /// It is written and not sealed yet: it counts once it is.
    #[error("recorded, and not sealed yet: it counts once it is in the ledger")]
    Waiting {
        /// Its id.
        id: String,
    },
}

/// Who has a right, for whoever lacks it.
fn who(right: Right) -> &'static str {
    match right {
        Right::Decide => "an incident lead",
        _ => "an analyst",
    }
}

/// What somebody wants to decide.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The caller's word for it: asked twice with one, it counts once.
    pub key: Option<String>,
    /// The incident.
    pub incident: String,
    /// How many decisions the person had seen.
    pub seen: u64,
    /// What.
    pub act: Act,
    /// Why.
    pub reason: String,
}

/// A file that somebody wants to attach.
#[derive(Clone, Debug)]
pub struct Handed {
    /// As of [`Wish`].
    pub key: Option<String>,
    /// The incident.
    pub incident: String,
    /// Its name, as it was sent.
    pub name: String,
    /// What it is.
    pub about: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// Takes decisions. Clones share it.
#[derive(Clone)]
pub struct Decider(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) outbox: Outbox,
    pub(crate) desk: Desk,
    pub(crate) stores: Arc<StoreMap>,
    pub(crate) waker: Waker,
    pub(crate) hash_key: [u8; 32],
    /// Of findings that other systems tell.
    pub(crate) quota: Mutex<Quota>,
    pub(crate) vetting: Arc<Semaphore>,
}

impl Decider {
    /// Makes one that puts decisions into `outbox` and wakes the pipeline. Files in which something is masked, and
    /// ids in other systems, are hashed under `hash_key`, which only this installation has.
    #[must_use]
    pub fn new(
        outbox: Outbox,
        desk: Desk,
        stores: Arc<StoreMap>,
        waker: Waker,
        hash_key: [u8; 32],
    ) -> Self {
        Self(Arc::new(Inner {
            outbox,
            desk,
            stores,
            waker,
            hash_key,
            quota: Mutex::default(),
            vetting: Arc::new(Semaphore::new(VETTED_AT_ONCE)),
        }))
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Takes a decision; gives the number of its entry.
    ///
    /// # Errors
    ///
    /// [`DecideError`], each with what to do.
    pub async fn decide(
        &self,
        by: &Principal,
        wish: Wish,
        now: Timestamp,
    ) -> Result<u64, DecideError> {
        if matches!(wish.act, Act::Attach(_)) {
            let why = "a file is attached by handing it over, not by telling of it".to_owned();
            return Err(DecideError::Refused { why });
        }
        self.take(by, wish, None, now).await
    }

    /// Attaches a file, masked; gives the number of its decision's entry.
    ///
    /// # Errors
    ///
    /// [`DecideError`], each with what to do.
    pub async fn attach(
        &self,
        by: &Principal,
        handed: Handed,
        now: Timestamp,
    ) -> Result<u64, DecideError> {
        let inner = &*self.0;
        // Asked before the work of looking into it, and again with the decision.
        self.may(by, &handed.incident, |_, _| Right::Work)?;
        let stopped = |_| DecideError::Stopped;
        let turn = Arc::clone(&inner.vetting);
        let turn = turn
            .acquire_owned()
            .await
            .map_err(|_| DecideError::Stopped)?;
        let (name, about, key) = (handed.name, handed.about, inner.hash_key);
        let vetted = tokio::task::spawn_blocking(move || {
            let vetted = vet(&name, &about, handed.content, &key);
            drop(turn);
            vetted.map(|vetted| (vetted.attachment, BASE64.encode(vetted.content)))
        });
        let vetted = vetted.await.map_err(stopped)?;
        let (attachment, content) = vetted.map_err(|source| DecideError::Unfit { source })?;
        let wish = Wish {
            key: handed.key,
            seen: inner.desk.handling(&handed.incident).version(),
            incident: handed.incident,
            act: Act::Attach(attachment),
            reason: String::new(),
        };
        self.take(by, wish, Some(content), now).await
    }

    /// The incident, if they see it and may do there what `right` says.
    fn may(
        &self,
        by: &Principal,
        incident: &str,
        right: impl FnOnce(&Incident, &Handling) -> Right,
    ) -> Result<(Arc<Incident>, Arc<Handling>, Right), DecideError> {
        let inner = &*self.0;
        let incident = inner.desk.incident(incident).ok_or(DecideError::NotThere)?;
        if !by.sees(&incident.scopes, &inner.stores) {
            return Err(DecideError::NotThere);
        }
        let handling = inner.desk.handling(&incident.id);
        let right = right(&incident, &handling);
        if !by.may(right, &incident.scopes, &inner.stores) {
            return Err(DecideError::NotAllowed { right });
        }
        Ok((incident, handling, right))
    }

    async fn take(
        &self,
        by: &Principal,
        wish: Wish,
        content: Option<String>,
        now: Timestamp,
    ) -> Result<u64, DecideError> {
        let inner = &*self.0;
        let (incident, handling, right) = self.may(by, &wish.incident, |incident, handling| {
            right_of(&wish.act, state_of(incident, Some(handling)))
        })?;
        let id = id_of(by, wish.key);
        let mut decision = Decision {
            id,
            incident: wish.incident,
            by: Person {
                account: by.account.clone(),
                name: by.shown.clone(),
            },
            at: now,
            seen: wish.seen,
            act: wish.act,
            reason: wish.reason,
        };
        if let Act::Severity { told, .. } = &mut decision.act {
            *told = incident.severity;
        }
        mask(&mut decision);
        let other = |id: &str| {
            let other = inner
                .desk
                .incident(id)
                .filter(|other| by.sees(&other.scopes, &inner.stores))?;
            Some(state_of(&*other, Some(&inner.desk.handling(id))))
        };
        // Asked again for the same decision, it isn't refused for what it did itself.
        if let Some(taken) = handling
            .taken
            .iter()
            .find(|taken| taken.decision.id == decision.id)
        {
            let same = is_same(&taken.decision, &decision);
            return if same {
                Ok(taken.sequence.0)
            } else {
                Err(DecideError::OtherDecision)
            };
        }
        // Both are changed: who may only look at the other one merges nothing into it.
        if let Act::Merge { into } = &decision.act
            && let Some(other) = inner.desk.incident(into)
            && by.sees(&other.scopes, &inner.stores)
            && !by.may(right, &other.scopes, &inner.stores)
        {
            return Err(DecideError::NotAllowed { right });
        }
        check(&incident, &handling, flows(), &decision, &other).map_err(|refusal| {
            DecideError::Refused {
                why: refusal.to_string(),
            }
        })?;
        self.put(decision, content).await
    }

    async fn put(&self, decision: Decision, content: Option<String>) -> Result<u64, DecideError> {
        let (id, written) = (decision.id.clone(), decision.at);
        let decided = Decided::Decision {
            v: VERSION,
            decision: Box::new(decision.clone()),
        };
        let is_known = |known: &Decided| matches!(known, Decided::Decision { decision: known, .. } if is_same(known, &decision));
        let put = self.seal((id, written), decided, content, is_known);
        Ok(put.await?.sequence)
    }

    /// Puts what somebody wants into the outbox, under an id, and waits until it is sealed or refused. What was put there before under
    /// this id counts, if `is_known` takes it for the same wish.
    ///
    /// # Errors
    ///
    /// [`DecideError`], each with what to do.
    pub(crate) async fn seal(
        &self,
        (id, written): (String, Timestamp),
        decided: Decided,
        content: Option<String>,
        is_known: impl FnOnce(&Decided) -> bool,
    ) -> Result<Sealed, DecideError> {
        let inner = &*self.0;
        let body =
            serde_json::to_string(&decided).map_err(|source| DecideError::Encode { source })?;
        drop(decided);
        let row = OutboxRow {
            id: id.clone(),
            written: written.0,
            body,
        };
        // From before it is put: news in between wake the wait below.
        let version = inner.desk.version();
        let put = inner.outbox.put_with(&row, content.as_deref()).await;
        let put = put.map_err(|source| DecideError::Away { source })?;
        drop((row, content));
        inner.waker.wake();
        let (known, outcome) = match put {
            Put::New => (None, None),
            Put::Known { body, outcome } => match serde_json::from_str(&body) {
                Ok(known) if is_known(&known) => (Some(known), outcome),
                _ => return Err(DecideError::OtherDecision),
            },
        };
        match sealed(&inner.desk, version, &id, outcome).await {
            Some(Outcome::Sealed(sequence)) => Ok(Sealed { sequence, known }),
            Some(Outcome::Refused(why)) => Err(DecideError::Refused { why }),
            None => Err(DecideError::Waiting { id }),
        }
    }
}

/// Where what somebody wanted was sealed.
pub(crate) struct Sealed {
    /// Number of its entry.
    pub(crate) sequence: u64,
    /// What was put before under the same id, where something was.
    pub(crate) known: Option<Decided>,
}

/// Waits until the desk tells what became of a row; `None` when it doesn't in time. `version` is from before it was put.
pub(crate) async fn sealed(
    desk: &Desk,
    mut version: watch::Receiver<u64>,
    id: &str,
    known: Option<Outcome>,
) -> Option<Outcome> {
    let until = Instant::now() + SEAL_MAX;
    loop {
        if let Some(outcome) = known.clone().or_else(|| desk.outcome(id)) {
            return Some(outcome);
        }
        if !matches!(timeout_at(until, version.changed()).await, Ok(Ok(()))) {
            return None;
        }
    }
}

/// Masks whatever somebody typed, or a program sent.
fn mask(decision: &mut Decision) {
    hide(&mut decision.reason);
    hide(&mut decision.by.name);
    match &mut decision.act {
        Act::Comment { text, .. } => hide(text),
        Act::Stage { fields, .. } => fields.values_mut().for_each(hide),
        Act::Lead { to: Some(person) } => mask_person(person),
        Act::AddTask { title, owner, .. } => {
            hide(title);
            owner.iter_mut().for_each(mask_person);
        }
        Act::ChangeTask { owner, .. } => owner.iter_mut().for_each(mask_person),
        Act::Attach(attachment) => {
            hide(&mut attachment.name);
            hide(&mut attachment.about);
        }
        _ => {}
    }
}

fn mask_person(person: &mut Person) {
    hide(&mut person.account);
    hide(&mut person.name);
}

/// Whether two are one wish, asked at different times.
fn is_same(one: &Decision, other: &Decision) -> bool {
    (&one.by, &one.incident, &one.reason, &one.act)
        == (&other.by, &other.incident, &other.reason, &other.act)
}

/// The decision's own id: of a key its hash under the account, so that nobody takes another's and nothing typed is kept.
pub(crate) fn id_of(by: &Principal, key: Option<String>) -> String {
    let Some(key) = key else {
        return crate::trail::new_id();
    };
    let hash = Sha256::new()
        .chain_update(by.account.as_bytes())
        .chain_update([0])
        .chain_update(key.as_bytes())
        .finalize();
    hash.iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What a decision takes.
fn right_of(act: &Act, from: model::IncidentState) -> Right {
    match act {
        Act::Move { to } => {
            let leads = moves(from)
                .find(|step| step.to == *to)
                .is_none_or(|step| step.leads);
            if leads { Right::Decide } else { Right::Work }
        }
        Act::Severity { .. } | Act::Merge { .. } | Act::Split { .. } => Right::Decide,
        _ => Right::Work,
    }
}
