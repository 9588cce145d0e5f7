//! Revokes an integration's tokens, which never expire, and makes the integration inactive.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};

use crate::action::{ActionError, Change, argument};
use crate::database::Database;
use crate::database::row_action::RowAction;
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
    closes: false,
    stays_open: "whoever holds an administrator's account activates it again; what it fed – ERP, feeds, stock – fails meanwhile; a token \
        that was made since the survey: survey it again. Undoing makes the same tokens hold again: where one was stolen, authorise the integration anew instead",
};

/// `revoke_integration`.
pub(crate) struct RevokeIntegration;

impl RowAction for RevokeIntegration {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn rows(
        &self,
        _host: &Host,
        database: &mut Database<'_>,
        arguments: &Arguments,
    ) -> Result<(Change, Vec<RowChange>), ActionError> {
        let name = argument(arguments, "integration")?;
        let columns = ["integration_id", "consumer_id"];
        let [id, consumer] =
            rows::named(database, "integration", ("name", name.as_str()), columns)?;
        let mut changes = Vec::new();
        let holding = match &consumer {
            Some(consumer) => {
                let key = cells([("consumer_id", consumer), ("revoked", "0")]);
                rows::find(database, "oauth_token", &key, &["entity_id"])?
            }
            None => Vec::new(),
        };
        let holding_count = holding.len();
        for key in holding {
            let after = cells([("revoked", "1")]);
            changes.extend(RowChange::survey(database, "oauth_token", key, after)?);
        }
        let key = [("integration_id".to_owned(), id)].into();
        let after = cells([("status", "0")]);
        let status = RowChange::survey(database, "integration", key, after)?;
        let change = Change {
            what: format!("integration {name}"),
            now: format!(
                "{}, {holding_count} tokens hold",
                if status.is_some() {
                    "active"
                } else {
                    "inactive"
                },
            ),
            then: "inactive, its tokens revoked".to_owned(),
        };
        changes.extend(status);
        Ok((change, changes))
    }
}
