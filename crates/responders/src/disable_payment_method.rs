//! Switches a payment method off for a website, where nothing but the database says otherwise.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};

use crate::action::{Action, ActionError, Change, Effect, Survey, argument};
use crate::config_files::{Php, locked};
use crate::database::Database;
use crate::database::rows::{self, RowChange, cells};
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
    stays_open: "Magento goes by its cached settings until `bin/magento cache:clean config full_page`, after doing and after undoing; \
        a variable CONFIG__WEBSITES__…__PAYMENT__METHOD__ACTIVE of PHP's environment wins over the row and can't be seen from here; \
        the method's vault has a code of its own; orders that are paid already",
};

/// `disable_payment_method`.
pub(crate) struct DisablePaymentMethod;

impl Action for DisablePaymentMethod {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let website = argument(arguments, "website")?.as_str();
        let setting = setting(arguments)?;
        let database = &mut Database::open(host)?;
        let website_id = website_id(database, website)?;
        let views = views(database, &website_id)?;
        refuse_locked(host, website, &views, &setting)?;
        let mut changes = Vec::new();
        let place = [
            ("scope", "websites"),
            ("scope_id", &website_id),
            ("path", &setting),
        ];
        let off = || Some(cells([("value", "0")]));
        let row = RowChange::survey(database, "core_config_data", cells(place), off())?;
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
        // A view's own setting wins over its website's.
        for (view_id, view) in &views {
            let place = [
                ("scope", "stores"),
                ("scope_id", view_id),
                ("path", &setting),
            ];
            let own = rows::find(
                database,
                "core_config_data",
                &cells(place),
                &["value".to_owned()],
                "",
            )?;
            if own.is_empty() {
                continue;
            }
            let row = RowChange::survey(database, "core_config_data", cells(place), off())?;
            if row.is_some() {
                now.push_str(&format!("; view {view} has a setting of its own"));
            }
            changes.extend(row);
        }
        let named: Vec<_> = views.into_iter().map(|(_, code)| code).collect();
        Ok(Survey {
            changes: vec![Change {
                what: format!(
                    "{setting} of website {website} (store views {})",
                    named.join(", ")
                ),
                now,
                then: "off, once cached settings are cleaned".to_owned(),
            }],
            kept: rows::keep(&changes)?,
        })
    }

    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let database = &mut Database::open(host)?;
        refuse(host, database, arguments)?;
        rows::act(database, &rows::kept(kept)?)
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let database = &mut Database::open(host)?;
        let effect = rows::read_back(database, &rows::kept(kept)?)?;
        match (effect, refuse(host, database, arguments)) {
            (Effect::InEffect, Err(ActionError::Refused { why })) => {
                Ok(Effect::Partly(format!("the rows are so, but {why}")))
            }
            (_, Err(error @ (ActionError::File { .. } | ActionError::Database { .. }))) => {
                Err(error)
            }
            (effect, _) => Ok(effect),
        }
    }

    fn undo(&self, host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        rows::undo(&mut Database::open(host)?, &rows::kept(kept)?)
    }
}

fn setting(arguments: &Arguments) -> Result<String, ActionError> {
    Ok(format!("payment/{}/active", argument(arguments, "method")?))
}

fn refuse(
    host: &Host,
    database: &mut Database<'_>,
    arguments: &Arguments,
) -> Result<(), ActionError> {
    let website = argument(arguments, "website")?.as_str();
    let website_id = website_id(database, website)?;
    let views = views(database, &website_id)?;
    refuse_locked(host, website, &views, &setting(arguments)?)
}

/// What files set wins over rows: a step that changes nothing isn't done.
fn refuse_locked(
    host: &Host,
    website: &str,
    views: &[(String, String)],
    setting: &str,
) -> Result<(), ActionError> {
    let refused = |place: String| {
        Err(ActionError::refused(format!(
            "{setting} is set in {place}, which wins over the database: change it there"
        )))
    };
    if let Some((_, place)) = locked(host, &["websites", website], setting)? {
        return refused(place);
    }
    for (_, view) in views {
        match locked(host, &["stores", view], setting)? {
            Some((Php::Text(value), _)) if value.is_empty() || value == "0" => {}
            Some((_, place)) => return refused(place),
            None => {}
        }
    }
    Ok(())
}

fn website_id(database: &mut Database<'_>, website: &str) -> Result<String, ActionError> {
    let key = cells([("code", website)]);
    let found = rows::find(
        database,
        "store_website",
        &key,
        &["website_id".to_owned()],
        "",
    )?;
    let id = found
        .into_iter()
        .next()
        .and_then(|mut row| row.remove("website_id")?);
    // 0 is the back end's.
    id.filter(|id| id != "0")
        .ok_or_else(|| ActionError::refused(format!("the shop has no website {website}")))
}

/// Numbers and codes of a website's views.
fn views(
    database: &mut Database<'_>,
    website_id: &str,
) -> Result<Vec<(String, String)>, ActionError> {
    let key = cells([("website_id", website_id)]);
    let columns = ["store_id", "code"].map(str::to_owned);
    let found = rows::find(database, "store", &key, &columns, "")?;
    let one = |mut row: rows::Cells| Some((row.remove("store_id")??, row.remove("code")??));
    Ok(found.into_iter().filter_map(one).collect())
}
