//! Switches a payment method off for a website, where nothing but the database says otherwise.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};

use crate::action::{ActionError, Change, argument};
use crate::config_files::{Php, locked};
use crate::database::row_action::RowAction;
use crate::database::rows::{RowChange, cells};
use crate::database::{Database, websites};
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "disable_payment_method",
    about: "Switches a payment method off on one website: payment/METHOD/active of the website and of its views is 0",
    parameters: &[
        Parameter {
            name: "website",
            kind: ParameterKind::Website,
            is_required: true,
            about: "where",
        },
        Parameter {
            name: "method",
            kind: ParameterKind::PaymentMethod,
            is_required: true,
            about: "which method",
        },
    ],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::Whole,
    layer: Layer::Application,
    reach: Reach::Website,
    acts_on_cause: false,
    closes: true,
    stays_open: "Magento goes by its cached settings until `bin/magento cache:clean config full_page`, after doing and after undoing; \
        a variable CONFIG__WEBSITES__…__PAYMENT__METHOD__ACTIVE of PHP's environment wins over the row and can't be seen from here; \
        the method's vault has a code of its own; a view that was given a setting of its own since the survey; orders that are paid already",
};

/// `disable_payment_method`.
pub(crate) struct DisablePaymentMethod;

impl RowAction for DisablePaymentMethod {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn rows(
        &self,
        _host: &Host,
        database: &mut Database<'_>,
        arguments: &Arguments,
    ) -> Result<(Change, Vec<RowChange>), ActionError> {
        let website = argument(arguments, "website")?.as_str();
        let setting = setting(arguments)?;
        let website_id = websites::id(database, website)?;
        let views = websites::views(database, &website_id)?;
        let mut changes = Vec::new();
        let mut off = |scope: &str, scope_id: &str| {
            let place = [("scope", scope), ("scope_id", scope_id), ("path", &setting)];
            let off = cells([("value", "0")]);
            RowChange::survey(database, "core_config_data", cells(place), off)
        };
        let row = off("websites", &website_id)?;
        let mut now = match &row {
            None => "off".to_owned(),
            Some(row) => match &row.before {
                None => "as the installation's setting or the module's default".to_owned(),
                Some(before) => format!(
                    "`{}`",
                    before.get("value").cloned().flatten().unwrap_or_default()
                ),
            },
        };
        changes.extend(row);
        // A view's own setting wins over its website's; where it has none there is nothing to change.
        for (view_id, view) in &views {
            let own = off("stores", view_id)?.filter(|row| row.before.is_some());
            if own.is_some() {
                now.push_str(&format!("; view {view} has a setting of its own"));
            }
            changes.extend(own);
        }
        let named: Vec<_> = views.into_iter().map(|(_, code)| code).collect();
        let change = Change {
            what: format!(
                "{setting} of website {website} (store views {})",
                named.join(", ")
            ),
            now,
            then: "off, once cached settings are cleaned".to_owned(),
        };
        Ok((change, changes))
    }

    /// What files set wins over rows: a step that changes nothing isn't done.
    fn refuse(
        &self,
        host: &Host,
        database: &mut Database<'_>,
        arguments: &Arguments,
    ) -> Result<(), ActionError> {
        let website = argument(arguments, "website")?.as_str();
        let setting = &setting(arguments)?;
        let refused = |place: String| {
            Err(ActionError::refused(format!(
                "{setting} is set in {place}, which wins over the database: change it there"
            )))
        };
        let website_id = websites::id(database, website)?;
        if let Some((_, place)) = locked(host, &["websites", website], setting)? {
            return refused(place);
        }
        for (_, view) in websites::views(database, &website_id)? {
            match locked(host, &["stores", &view], setting)? {
                Some((Php::Text(value), _)) if value.is_empty() || value == "0" => {}
                Some((_, place)) => return refused(place),
                None => {}
            }
        }
        Ok(())
    }
}

fn setting(arguments: &Arguments) -> Result<String, ActionError> {
    Ok(format!("payment/{}/active", argument(arguments, "method")?))
}
