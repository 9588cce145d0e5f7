//! What the guard asks of the shop's database, and the one thing it removes there: a cart of its own.

use std::collections::BTreeMap;

use model::{Orders, Revenue};

use crate::ActionError;
use crate::database::Database;
use crate::host::Host;

/// Longest that the server counts orders, in milliseconds: on a shop that is under load it isn't counted at all.
const COUNT_MILLISECONDS_MAX: u32 = 50;

/// What is counted of a shop's orders.
pub(super) struct Counted {
    /// By the view's code: every one that `stores.toml` knows.
    pub(super) orders: BTreeMap<String, Orders>,
    /// By the view's code; empty where the account may not see what orders come to.
    pub(super) revenue: BTreeMap<String, Revenue>,
}

/// Orders of the last 70 minutes and what they come to; by the index on `sales_order.created_at`.
pub(super) fn counted(host: &Host) -> Result<Counted, ActionError> {
    let mut database = Database::open(host)?;
    let orders = orders(host, &mut database)?;
    // Two more columns are a right that not everybody grants: what they cost the judgement is nothing.
    let revenue = revenue(&mut database).unwrap_or_default();
    Ok(Counted { orders, revenue })
}

/// `SELECT` that the server itself ends.
fn select(database: &Database<'_>) -> String {
    if database.is_mariadb() {
        let seconds = f64::from(COUNT_MILLISECONDS_MAX) / 1000.0;
        format!("SET STATEMENT max_statement_time = {seconds} FOR SELECT")
    } else {
        format!("SELECT /*+ MAX_EXECUTION_TIME({COUNT_MILLISECONDS_MAX}) */")
    }
}

fn revenue(database: &mut Database<'_>) -> Result<BTreeMap<String, Revenue>, ActionError> {
    let statement = format!(
        "{} `s`.`code`, `o`.`currency`, `o`.`amount` FROM (SELECT `store_id` + 0 AS `store_id`, `base_currency_code` AS `currency`, \
         CAST(ROUND(SUM(`base_grand_total`) * 100) AS CHAR) AS `amount` \
         FROM {} WHERE `created_at` >= UTC_TIMESTAMP() - INTERVAL 70 MINUTE GROUP BY `store_id` + 0, `base_currency_code`) AS `o` \
         JOIN {} AS `s` ON `s`.`store_id` = `o`.`store_id`",
        select(database),
        database.table("sales_order"),
        database.table("store")
    );
    let rows = database.shown("add up orders", &statement)?;
    let mut out: BTreeMap<String, Option<Revenue>> = BTreeMap::new();
    for row in rows {
        let Ok([Some(code), currency, amount]) = <[_; 3]>::try_from(row) else {
            continue;
        };
        let is_code =
            |text: &String| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        let read = |currency, amount: String| {
            let hundredths = amount.parse().ok()?;
            Some(Revenue {
                hundredths,
                currency,
            })
        };
        let told = currency
            .filter(is_code)
            .zip(amount)
            .and_then(|(currency, amount)| read(currency, amount));
        // A view with two currencies comes to no one amount.
        let known = out.entry(code);
        known.and_modify(|one| *one = None).or_insert(told);
    }
    let known = out.into_iter();
    Ok(known.filter_map(|(code, one)| Some((code, one?))).collect())
}

/// Orders of every view that `stores.toml` knows.
fn orders(
    host: &Host,
    database: &mut Database<'_>,
) -> Result<BTreeMap<String, Orders>, ActionError> {
    // `+ 0`: grouped by the bare column, the server may go through all orders of a view by its index instead.
    let statement = format!(
        "{} `s`.`code`, `o`.`last`, `o`.`before` FROM (SELECT `store_id` + 0 AS `store_id`, \
         SUM(`created_at` >= UTC_TIMESTAMP() - INTERVAL 10 MINUTE) AS `last`, SUM(`created_at` < UTC_TIMESTAMP() - INTERVAL 10 MINUTE) AS `before` \
         FROM {} WHERE `created_at` >= UTC_TIMESTAMP() - INTERVAL 70 MINUTE GROUP BY `store_id` + 0) AS `o` \
         JOIN {} AS `s` ON `s`.`store_id` = `o`.`store_id`",
        select(database),
        database.table("sales_order"),
        database.table("store")
    );
    let rows = database.shown("count orders", &statement)?;
    let none = Orders {
        last_10_minutes: 0,
        hour_before: 0,
    };
    let known = host.stores.views.keys();
    let mut out: BTreeMap<_, _> = known.map(|code| (code.clone(), none)).collect();
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
    for row in rows {
        let Ok([Some(code), last, before]) = <[_; 3]>::try_from(row) else {
            continue;
        };
        let orders = Orders {
            last_10_minutes: number(last),
            hour_before: number(before),
        };
        out.insert(code, orders);
    }
    Ok(out)
}

/// Removes the row of a guest's cart, and by Magento's own foreign keys what hangs on it.
///
/// The id is what the shop answered, and a shop that was broken into may answer any: only a young cart of this view that nobody has
/// put a name to is removed.
pub(super) fn remove_cart(host: &Host, view: &str, cart: &str) -> Result<(), ActionError> {
    let mut database = Database::open(host)?;
    // One row by its primary key: `IN (SELECT …)` would look at every cart of the shop.
    let statement = format!(
        "DELETE FROM {} WHERE `entity_id` = (SELECT MAX(`quote_id`) FROM {} WHERE `masked_id` = ?) \
         AND `store_id` = (SELECT MAX(`store_id`) FROM {} WHERE `code` = ?) AND `customer_id` IS NULL AND `customer_email` IS NULL \
         AND `reserved_order_id` IS NULL AND `created_at` >= UTC_TIMESTAMP() - INTERVAL 10 MINUTE",
        database.table("quote"),
        database.table("quote_id_mask"),
        database.table("store")
    );
    let values = [Some(cart.to_owned()), Some(view.to_owned())];
    match database.change("remove the guard's cart", &statement, &values)? {
        0 => Err(ActionError::NotSeen {
            what: format!("the database has no such new cart of {view}"),
        }),
        _ => Ok(()),
    }
}
