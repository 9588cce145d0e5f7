//! Revokes an integration's tokens, which never expire, and makes the integration inactive.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};

use crate::action::{Action, ActionError, Change, Effect, Survey, argument};
use crate::database::Database;
use crate::database::rows::{self, RowChange, cells};
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "revoke_integration",
    about: "Revokes all tokens of an integration (oauth_token.revoked) and makes it inactive",
    parameters: &[Parameter {
        name: "integration",
        kind: ParameterKind::Integration,
        is_required: true,
        about: "which one",
    }],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::Whole,
    layer: Layer::Application,
    reach: Reach::Actor,
    acts_on_cause: true,
    stays_open: "whoever holds an administrator's account activates it again; what it fed – ERP, feeds, stock – fails meanwhile. \
        Undoing makes the same tokens hold again: where one was stolen, authorise the integration anew instead",
};

/// `revoke_integration`.
pub(crate) struct RevokeIntegration;

impl Action for RevokeIntegration {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let name = argument(arguments, "integration")?;
        let database = &mut Database::open(host)?;
        let key = cells([("name", name.as_str())]);
        let columns = ["integration_id", "consumer_id"].map(str::to_owned);
        let found = rows::find(database, "integration", &key, &columns, "")?;
        let [one] = found.as_slice() else {
            return Err(ActionError::refused(format!(
                "the shop has {} integrations named {name}",
                found.len()
            )));
        };
        let cell = |column: &str| one.get(column).cloned().flatten();
        let id = cell("integration_id").unwrap_or_default();
        let mut changes = Vec::new();
        let consumer = cell("consumer_id");
        let holding = match &consumer {
            Some(consumer) => {
                let key = cells([("consumer_id", consumer), ("revoked", "0")]);
                rows::find(database, "oauth_token", &key, &["entity_id".to_owned()], "")?
            }
            None => Vec::new(),
        };
        for token in &holding {
            let token = token.get("entity_id").cloned().flatten();
            let key = cells([("entity_id", token.as_deref().unwrap_or_default())]);
            let after = Some(cells([("revoked", "1")]));
            changes.extend(RowChange::survey(database, "oauth_token", key, after)?);
        }
        let key = cells([("integration_id", &id)]);
        let after = Some(cells([("status", "0")]));
        let status = RowChange::survey(database, "integration", key, after)?;
        let change = Change {
            what: format!("integration {name}"),
            now: format!(
                "{}, {} tokens hold",
                if status.is_some() {
                    "active"
                } else {
                    "inactive"
                },
                holding.len()
            ),
            then: "inactive, its tokens revoked".to_owned(),
        };
        changes.extend(status);
        Ok(Survey {
            changes: vec![change],
            kept: rows::keep(&changes)?,
        })
    }

    fn act(&self, host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        rows::act(&mut Database::open(host)?, &rows::kept(kept)?)
    }

    fn read_back(
        &self,
        host: &Host,
        _arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        rows::read_back(&mut Database::open(host)?, &rows::kept(kept)?)
    }

    fn undo(&self, host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        rows::undo(&mut Database::open(host)?, &rows::kept(kept)?)
    }
}
