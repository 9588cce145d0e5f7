//! Websites of the shop and their store views, by their codes.

use super::{Database, rows};
use crate::ActionError;

/// Number of a website; refused when there is none, or when it is the back end's.
pub(crate) fn id(database: &mut Database<'_>, website: &str) -> Result<String, ActionError> {
    let key = rows::cells([("code", website)]);
    let found = rows::find(database, "store_website", &key, &["website_id"])?;
    let mut ids = found.into_iter().flatten().filter_map(|(_, id)| id);
    // 0 is the back end's.
    let id = ids.next().filter(|id| id != "0");
    id.ok_or_else(|| ActionError::refused(format!("the shop has no website {website}")))
}

/// Numbers and codes of a website's views.
pub(crate) fn views(
    database: &mut Database<'_>,
    website_id: &str,
) -> Result<Vec<(String, String)>, ActionError> {
    let key = rows::cells([("website_id", website_id)]);
    let found = rows::find(database, "store", &key, &["store_id", "code"])?;
    let one = |mut row: rows::Cells| Some((row.remove("store_id")??, row.remove("code")??));
    Ok(found.into_iter().filter_map(one).collect())
}
