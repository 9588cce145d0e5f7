//! What the guard asks of the shop's database, and the one thing it removes there: a cart of its own.

use std::collections::BTreeMap;

use model::Orders;

use crate::ActionError;
use crate::database::Database;
use crate::host::Host;

/// Longest that the server counts orders, in milliseconds: on a shop that is under load it isn't counted at all.
const COUNT_MILLISECONDS_MAX: u32 = 50;

/// Orders of every view that `stores.toml` knows; by the index on `sales_order.created_at`.
pub(super) fn orders(host: &Host) -> Result<BTreeMap<String, Orders>, ActionError> {
    let mut database = Database::open(host)?;
    let within = if database.is_mariadb() {
        let seconds = f64::from(COUNT_MILLISECONDS_MAX) / 1000.0;
        format!("SET STATEMENT max_statement_time = {seconds} FOR SELECT")
    } else {
        format!("SELECT /*+ MAX_EXECUTION_TIME({COUNT_MILLISECONDS_MAX}) */")
    };
    // `+ 0`: grouped by the bare column, the server may go through all orders of a view by its index instead.
    let statement = format!(
        "{within} `s`.`code`, `o`.`last`, `o`.`before` FROM (SELECT `store_id` + 0 AS `store_id`, \
         SUM(`created_at` >= UTC_TIMESTAMP() - INTERVAL 10 MINUTE) AS `last`, SUM(`created_at` < UTC_TIMESTAMP() - INTERVAL 10 MINUTE) AS `before` \
         FROM {} WHERE `created_at` >= UTC_TIMESTAMP() - INTERVAL 70 MINUTE GROUP BY `store_id` + 0) AS `o` \
         JOIN {} AS `s` ON `s`.`store_id` = `o`.`store_id`",
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
