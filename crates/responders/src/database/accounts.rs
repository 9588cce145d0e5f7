//! Accounts of the database: which may be touched at all, and whether one is locked.

use model::Argument;

use super::{Database, quote};
use crate::ActionError;
use crate::config_files;
use crate::host::Host;

/// Accounts that the server itself can't do without.
const OF_THE_SERVER: [&str; 3] = ["mariadb.sys", "mysql.sys", "mysql.session"];

/// Refuses what would hit the shop itself, ourselves, or the server.
pub(crate) fn refuse_needed(
    host: &Host,
    database: &Database<'_>,
    account: &Argument,
) -> Result<(), ActionError> {
    refuse_ours(database, account)?;
    let (user, _) = quote::parts(account);
    // By its name alone: which of several accounts of a name the shop is taken for depends on where it comes from.
    if config_files::shop_accounts(host)?
        .iter()
        .any(|shop| shop == user)
    {
        return Err(ActionError::refused(format!(
            "{account} has the name by which the shop itself logs in (app/etc/env.php): locked, it would sell nothing. Change its \
             password here and in env.php together, then end_connections"
        )));
    }
    Ok(())
}

/// Refuses our own account and the server's.
pub(crate) fn refuse_ours(database: &Database<'_>, account: &Argument) -> Result<(), ActionError> {
    let (user, _) = quote::parts(account);
    let ours = database.account.rsplit_once('@').map(|(user, _)| user);
    if ours == Some(user) {
        return Err(ActionError::refused(format!(
            "{account} has the name by which magewarden itself is here: give [database] another account first"
        )));
    }
    if OF_THE_SERVER.contains(&user) {
        return Err(ActionError::refused(format!(
            "{account} is the server's own"
        )));
    }
    Ok(())
}

/// Whether an account is locked; refused when there is none, or when it is a role, which nobody logs in as.
pub(crate) fn is_locked(
    database: &mut Database<'_>,
    account: &Argument,
) -> Result<bool, ActionError> {
    let (user, at) = quote::parts(account);
    let asked = "SELECT CAST(COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') AS CHAR), \
        CAST(COALESCE(JSON_VALUE(Priv, '$.is_role'), '0') AS CHAR) FROM mysql.global_priv WHERE User = ? AND Host = ?";
    let values = [Some(user.to_owned()), Some(at.to_owned())];
    let found = database.rows("look at the account", asked, &values)?;
    let yes = |cell: Option<&Option<String>>| {
        let text = cell.and_then(|cell| cell.as_deref());
        matches!(text, Some("1" | "true"))
    };
    let Some(row) = found.first() else {
        return Err(ActionError::refused(format!(
            "the server has no account {account}"
        )));
    };
    if yes(row.get(1)) {
        return Err(ActionError::refused(format!("{account} is a role")));
    }
    Ok(yes(row.first()))
}

/// How many other accounts have its name.
pub(crate) fn namesakes(
    database: &mut Database<'_>,
    account: &Argument,
) -> Result<Vec<String>, ActionError> {
    let (user, at) = quote::parts(account);
    let asked = "SELECT CAST(Host AS CHAR) FROM mysql.global_priv WHERE User = ? AND Host <> ? ORDER BY Host";
    let values = [Some(user.to_owned()), Some(at.to_owned())];
    let found = database.rows("look at accounts", asked, &values)?;
    Ok(found
        .into_iter()
        .flatten()
        .flatten()
        .map(|host| format!("{user}@{host}"))
        .collect())
}
