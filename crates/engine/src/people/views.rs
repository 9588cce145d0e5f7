//! Views of the queue that people keep under a name.

use model::Via;
use stores::ViewRow;

use super::{Act, People, PeopleError};
use crate::hide::hide;

/// Views of one person.
pub(super) const VIEWS_MAX: i64 = 30;
/// Characters of a view's name, and bytes of its query.
pub(super) const VIEW_NAME_CHARACTERS_MAX: usize = 60;
const QUERY_BYTES_MAX: usize = 1000;

/// A view of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedView {
    /// Its name.
    pub name: String,
    /// The query of the queue's address; empty is what is to work on.
    pub query: String,
}

/// Whose views are kept: of people who logged in, not of tokens.
fn has_views(act: Act<'_>) -> bool {
    matches!(act.by.via, Via::Session | Via::BreakGlass { .. })
}

impl People {
    /// One's own views, by name; none for who isn't a person that logged in.
    ///
    /// # Errors
    ///
    /// [`PeopleError`] when they can't be read.
    pub async fn views(&self, act: Act<'_>) -> Result<Vec<SavedView>, PeopleError> {
        if !has_views(act) {
            return Ok(Vec::new());
        }
        let rows = self.store().views_of(&act.by.account).await?.into_iter();
        Ok(rows
            .map(|row| SavedView {
                name: row.name,
                query: row.query,
            })
            .collect())
    }

    /// Keeps a view, in place of one's own of that name; answers it as it is kept.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NotLoggedIn`], [`PeopleError::View`], [`PeopleError::Views`], or that it can't be written.
    pub async fn save_view(
        &self,
        act: Act<'_>,
        name: &str,
        query: &str,
    ) -> Result<SavedView, PeopleError> {
        if !has_views(act) {
            return Err(PeopleError::NotLoggedIn);
        }
        // What people type is masked like remarks.
        let (mut name, mut query) = (name.trim().to_owned(), query.to_owned());
        hide(&mut name);
        hide(&mut query);
        let is_name = (1..=VIEW_NAME_CHARACTERS_MAX).contains(&name.chars().count());
        if !is_name || name.chars().any(char::is_control) || query.len() > QUERY_BYTES_MAX {
            return Err(PeopleError::View);
        }
        let row = ViewRow {
            account: act.by.account.clone(),
            name,
            query,
            made: act.now.0,
        };
        let is_kept = self.store().put_view(&row, VIEWS_MAX).await?;
        if !is_kept {
            return Err(PeopleError::Views);
        }
        Ok(SavedView {
            name: row.name,
            query: row.query,
        })
    }

    /// Removes one of one's own; false when there is none of that name.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NotLoggedIn`], or that it can't be written.
    pub async fn remove_view(&self, act: Act<'_>, name: &str) -> Result<bool, PeopleError> {
        if !has_views(act) {
            return Err(PeopleError::NotLoggedIn);
        }
        // None is kept with a control character, and PostgreSQL takes no zero byte to look for.
        if name.chars().any(char::is_control) {
            return Ok(false);
        }
        Ok(self.store().remove_view(&act.by.account, name).await?)
    }
}
