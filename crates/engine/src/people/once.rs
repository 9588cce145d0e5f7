//! What a program asks under a key of its own is done once: asked again it is answered as before, without what is shown once.

use stores::AskedRow;

use super::{Act, People, PeopleError, hash};
use crate::decider::id_of;

/// Seconds for which an answer is kept.
pub(super) const KEPT_SECONDS: i64 = 24 * 3600;

/// What becomes of something that is asked.
#[derive(Debug)]
#[must_use]
pub enum Once {
    /// It is to be done; the answer goes to [`People::answered`], or nothing was done and it goes to [`People::unanswered`].
    New(Ticket),
    /// It was done: the answer, as JSON.
    Done(String),
}

/// What was begun under a key; empty where none was sent.
#[derive(Debug)]
pub struct Ticket(Option<String>);

impl People {
    /// Looks whether something was asked before under a key. `what` is all that was asked.
    ///
    /// # Errors
    ///
    /// [`PeopleError::OtherAsked`], [`PeopleError::UnderWay`], [`PeopleError::Store`].
    pub async fn once(
        &self,
        act: Act<'_>,
        key: Option<String>,
        what: &str,
    ) -> Result<Once, PeopleError> {
        let Some(key) = key else {
            return Ok(Once::New(Ticket(None)));
        };
        // Apart from the keys of decisions, and from other people's.
        let row = AskedRow {
            id: id_of(act.by, Some(format!("people {key}"))),
            what: hash(what),
            answer: String::new(),
            written: act.now.0,
        };
        match self.store().begin_asked(&row).await? {
            None => Ok(Once::New(Ticket(Some(row.id)))),
            Some(known) if known.what != row.what => Err(PeopleError::OtherAsked),
            Some(known) if known.answer.is_empty() => Err(PeopleError::UnderWay),
            Some(known) => Ok(Once::Done(known.answer)),
        }
    }

    /// Keeps the answer, which must hold nothing that is shown once.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Store`].
    pub async fn answered(&self, ticket: Ticket, answer: &str) -> Result<(), PeopleError> {
        if let Ticket(Some(id)) = ticket {
            self.store().end_asked(&id, answer).await?;
        }
        Ok(())
    }

    /// Lets go of a key under which nothing was done: mended, it may be asked again.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Store`].
    pub async fn unanswered(&self, ticket: Ticket) -> Result<(), PeopleError> {
        if let Ticket(Some(id)) = ticket {
            self.store().forget_asked(&id).await?;
        }
        Ok(())
    }
}
