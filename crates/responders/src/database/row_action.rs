//! Actions that change rows and nothing else: each says which rows, and all are done, read back and undone the same way.

use model::{ActionFacts, Arguments};

use super::Database;
use super::rows::{self, RowChange};
use crate::action::{Action, ActionError, Change, Effect, Survey, keep, read_kept};
use crate::host::Host;

/// An action that is rows changed together.
pub(crate) trait RowAction: Sync {
    fn facts(&self) -> &'static ActionFacts;

    /// What would change, in words, and its rows; none when all are so already.
    fn rows(
        &self,
        host: &Host,
        database: &mut Database<'_>,
        arguments: &Arguments,
    ) -> Result<(Change, Vec<RowChange>), ActionError>;

    /// Refuses where something wins over the rows: asked before they are changed, and told when they are read back.
    fn refuse(
        &self,
        _host: &Host,
        _database: &mut Database<'_>,
        _arguments: &Arguments,
    ) -> Result<(), ActionError> {
        Ok(())
    }
}

/// Such an action, as it is listed.
pub(crate) struct ByRows<A>(pub(crate) A);

impl<A: RowAction> Action for ByRows<A> {
    fn facts(&self) -> &'static ActionFacts {
        self.0.facts()
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let database = &mut Database::open(host)?;
        self.0.refuse(host, database, arguments)?;
        let (change, rows) = self.0.rows(host, database, arguments)?;
        Ok(Survey {
            changes: vec![change],
            kept: keep(&rows)?,
        })
    }

    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let rows: Vec<_> = read_kept(kept)?;
        let database = &mut Database::open(host)?;
        self.0.refuse(host, database, arguments)?;
        rows::act(database, &rows)
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let rows: Vec<_> = read_kept(kept)?;
        let database = &mut Database::open(host)?;
        let effect = rows::read_back(database, &rows)?;
        if effect != Effect::InEffect {
            return Ok(effect);
        }
        match self.0.refuse(host, database, arguments) {
            Err(ActionError::Refused { why }) => {
                Ok(Effect::Partly(format!("the rows are so, but {why}")))
            }
            refused => refused.map(|()| effect),
        }
    }

    fn undo(&self, host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let rows: Vec<_> = read_kept(kept)?;
        rows::undo(&mut Database::open(host)?, &rows)
    }
}
