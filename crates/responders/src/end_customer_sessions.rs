//! Ends customers' sessions, wherever they are kept: Magento refuses one that began before its customer's cut-off.
//!
//! `customer_entity.session_cutoff` (since Magento 2.4.4) is the only way to end those of one website: stores of sessions
//! know no website.

use model::{
    ActionFacts, Argument, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo,
};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionError, Change, Effect, Survey, keep, read_kept};
use crate::database::{Cell, Database, websites};
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "end_customer_sessions",
    about: "Ends customers' sessions of a website, or one customer's (customer_entity.session_cutoff, Magento 2.4.4 or later)",
    parameters: &[
        Parameter {
            name: "website",
            kind: ParameterKind::Website,
            is_required: false,
            about: "whose customers",
        },
        Parameter {
            name: "customer",
            kind: ParameterKind::Customer,
            is_required: false,
            about: "one customer",
        },
    ],
    forensic_impact: ForensicImpact::Destroys,
    undo: Undo::MadeAnew("sessions"),
    layer: Layer::Application,
    reach: Reach::Website,
    acts_on_cause: false,
    closes: false,
    stays_open: "guests' sessions and carts; customers' tokens (REST, GraphQL), which hold for an hour; whoever knows a password logs \
        in again. Undoing gives nothing back: customers log in again",
};

/// Customers whose sessions are ended by one statement.
const BATCH: u64 = 5000;

/// Whose sessions, and which of them.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// When it was surveyed, by the server's clock in UTC.
    since: String,
    /// Highest number of a customer then: later ones have no older session.
    last: u64,
}

/// Ends sessions of those who are named, or everybody's.
pub(crate) struct EndCustomerSessions {
    pub(crate) facts: &'static ActionFacts,
    pub(crate) is_everybody: bool,
}

/// `end_customer_sessions`.
pub(crate) static NAMED: EndCustomerSessions = EndCustomerSessions {
    facts: &FACTS,
    is_everybody: false,
};

impl Action for EndCustomerSessions {
    fn facts(&self) -> &'static ActionFacts {
        self.facts
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let database = &mut Database::open(host)?;
        let (condition, values) = self.whose(database, arguments)?;
        let asked = format!(
            "SELECT CAST(COUNT(*) AS CHAR), CAST(COALESCE(MAX(entity_id), 0) AS CHAR), CAST(UTC_TIMESTAMP() AS CHAR) FROM {} WHERE {condition}",
            database.table("customer_entity")
        );
        let found = database.rows("count customers", &asked, &values)?;
        let mut row = found.into_iter().flatten().flatten();
        let count = row.next().unwrap_or_default();
        let last = row.next().and_then(|last| last.parse().ok()).unwrap_or(0);
        if last == 0 {
            return Err(ActionError::refused("there are no such customers"));
        }
        let kept = Kept {
            since: row.next().unwrap_or_default(),
            last,
        };
        Ok(Survey {
            changes: vec![Change {
                what: format!("sessions of {count} customers"),
                now: "as they are".to_owned(),
                then: "ended at their next request".to_owned(),
            }],
            kept: keep(&kept)?,
        })
    }

    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let kept: Kept = read_kept(kept)?;
        let database = &mut Database::open(host)?;
        let (condition, values) = self.whose(database, arguments)?;
        let table = database.table("customer_entity");
        // The time of change stays: it may tell of the attack.
        let statement = format!(
            "UPDATE {table} SET session_cutoff = UTC_TIMESTAMP(), updated_at = updated_at WHERE {condition} \
             AND entity_id > CAST(? AS UNSIGNED) AND entity_id <= CAST(? AS UNSIGNED) AND COALESCE(session_cutoff < CAST(? AS DATETIME), 1)"
        );
        // By those that are there: numbers have gaps, and whoever adds one may give it any.
        let next = format!(
            "SELECT CAST(MAX(entity_id) AS CHAR) FROM (SELECT entity_id FROM {table} WHERE {condition} AND entity_id > CAST(? AS UNSIGNED) \
             AND entity_id <= CAST(? AS UNSIGNED) ORDER BY entity_id LIMIT {BATCH}) batch"
        );
        let last = Some(kept.last.to_string());
        let mut from = Some("0".to_owned());
        loop {
            let between = [values.as_slice(), &[from.clone(), last.clone()]].concat();
            let found = database.rows("find customers", &next, &between)?;
            let Some(to) = found.into_iter().flatten().flatten().next() else {
                break;
            };
            let mut values = values.clone();
            values.extend([from, Some(to.clone()), Some(kept.since.clone())]);
            database.change("end customers' sessions", &statement, &values)?;
            from = Some(to);
        }
        Ok(())
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let kept: Kept = read_kept(kept)?;
        let database = &mut Database::open(host)?;
        let (condition, mut values) = self.whose(database, arguments)?;
        let asked = format!(
            "SELECT CAST(COUNT(*) AS CHAR), CAST(COALESCE(SUM(COALESCE(session_cutoff < CAST(? AS DATETIME), 1)), 0) AS CHAR) FROM {} \
             WHERE {condition} AND entity_id <= CAST(? AS UNSIGNED)",
            database.table("customer_entity")
        );
        values.insert(0, Some(kept.since));
        values.push(Some(kept.last.to_string()));
        let found = database.rows("count customers", &asked, &values)?;
        let mut row = found.into_iter().flatten().flatten();
        let (all, open) = (
            row.next().unwrap_or_default(),
            row.next().unwrap_or_default(),
        );
        Ok(match open.as_str() {
            "0" => Effect::InEffect,
            _ if open == all => Effect::NotInEffect,
            _ => Effect::Partly(format!("sessions of {open} of {all} customers go on")),
        })
    }

    fn undo(&self, _host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        // A session that was stolen is given back to nobody.
        read_kept::<Kept>(kept).map(drop)
    }
}

impl EndCustomerSessions {
    /// The condition that finds the customers, and its values.
    fn whose(
        &self,
        database: &mut Database<'_>,
        arguments: &Arguments,
    ) -> Result<(String, Vec<Cell>), ActionError> {
        if self.is_everybody {
            return Ok(("1 = 1".to_owned(), Vec::new()));
        }
        let (mut parts, mut values) = (Vec::new(), Vec::new());
        if let Some(website) = arguments.get("website").map(Argument::as_str) {
            parts.push("website_id = ?");
            values.push(Some(websites::id(database, website)?));
        }
        if let Some(customer) = arguments.get("customer").map(Argument::as_str) {
            let is_number = customer.bytes().all(|byte| byte.is_ascii_digit());
            parts.push(if is_number {
                "entity_id = CAST(? AS UNSIGNED)"
            } else {
                "email = ?"
            });
            values.push(Some(customer.to_owned()));
        }
        if parts.is_empty() {
            return Err(ActionError::refused(
                "name a website or a customer; end_all_customer_sessions ends those of the whole installation",
            ));
        }
        Ok((parts.join(" AND "), values))
    }
}
