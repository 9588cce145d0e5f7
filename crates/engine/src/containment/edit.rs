//! Where a person's change of a playbook enters: may they, does it fit; then the outbox, as of any decision.

use model::{Person, Principal, Right, Timestamp};
use playbook::Document;

use super::{PlaybookEdit, sound};
use crate::decider::{DecideError, Decider, id_of};
use crate::hide::hide;
use crate::sealed::{Decided, VERSION};

/// Characters of a note, at most.
const NOTE_CHARS_MAX: usize = 500;

/// What somebody wants of a playbook.
#[derive(Clone, Debug)]
pub struct PlaybookWish {
    /// The caller's word for it: asked twice with one, it counts once.
    pub key: Option<String>,
    /// Its name.
    pub name: String,
    /// The version they saw: number of its entry, 0 where there was no own one.
    pub seen: u64,
    /// As it is to be; `None`: the own one is given up.
    pub document: Option<Document>,
    /// Why.
    pub note: String,
}

impl Decider {
    /// Keeps a playbook, or gives up an own one; gives the number of the entry.
    ///
    /// # Errors
    ///
    /// [`DecideError`], each with what to do.
    pub async fn keep_playbook(
        &self,
        by: &Principal,
        wish: PlaybookWish,
        now: Timestamp,
    ) -> Result<u64, DecideError> {
        let inner = self.inner();
        // Plans are made from it for every store.
        let right = Right::Decide;
        if !by.may_all(right) {
            return Err(DecideError::NotAllowed { right });
        }
        let refused = |why: String| DecideError::Refused { why };
        let mut edit = PlaybookEdit {
            name: wish.name,
            by: Person {
                account: by.account.clone(),
                name: by.shown.clone(),
            },
            at: now,
            seen: wish.seen,
            document: wish
                .document
                .as_ref()
                .map(|document| document.value().to_string()),
            note: wish.note.trim().to_owned(),
        };
        if edit.note.chars().count() > NOTE_CHARS_MAX {
            let why = format!("a note has {NOTE_CHARS_MAX} characters at most");
            return Err(refused(why));
        }
        hide(&mut edit.note);
        hide(&mut edit.by.name);
        let id = id_of(by, wish.key.map(|key| format!("playbook {key}")));
        let decided = Decided::Playbook {
            v: VERSION,
            id: id.clone(),
            edit: Box::new(edit.clone()),
        };
        // As things stand; the one who seals looks once more. What was asked before with this key is known there.
        if inner.desk.outcome(&id).is_none() {
            inner.desk.playbooks().may(&edit).map_err(refused)?;
            if let Some(document) = wish.document {
                let looked = tokio::task::spawn_blocking(move || sound(&document)).await;
                looked.map_err(|_| DecideError::Stopped)?.map_err(refused)?;
            }
        }
        let is_known = |known: &Decided| matches!(known, Decided::Playbook { edit: known, .. } if is_same(known, &edit));
        let put = self.seal((id, now), decided, None, is_known);
        Ok(put.await?.sequence)
    }
}

/// Whether two are one wish, asked at different times.
fn is_same(one: &PlaybookEdit, other: &PlaybookEdit) -> bool {
    let parts = |edit: &PlaybookEdit| {
        let PlaybookEdit {
            name,
            by,
            at: _,
            seen,
            document,
            note,
        } = edit.clone();
        (name, by, seen, document, note)
    };
    parts(one) == parts(other)
}
