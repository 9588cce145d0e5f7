//! Accounts of the database: which may be touched at all, whether one is locked, and what else the server keeps of one.

use model::Argument;

use super::{Database, quote};
use crate::ActionError;
use crate::config_files;
use crate::host::Host;

/// Accounts that the server itself can't do without.
const OF_THE_SERVER: [&str; 3] = ["mariadb.sys", "mysql.sys", "mysql.session"];

/// Logs in where accounts can be looked at: `mysql.global_priv`, and with it locks and limits, is there since MariaDB 10.4.
pub(crate) fn open(host: &Host) -> Result<Database<'_>, ActionError> {
    let database = Database::open(host)?;
    database.since(10, 4)?;
    Ok(database)
}

/// Refuses what would hit the shop itself, ourselves, or the server; `because` says what would become of the shop, and what to do.
pub(crate) fn refuse_needed(
    host: &Host,
    database: &Database<'_>,
    account: &Argument,
    because: &str,
) -> Result<(), ActionError> {
    refuse_ours(database, account)?;
    if is_shops(host, account)? {
        return Err(ActionError::refused(format!(
            "{account} has the name by which the shop itself logs in (app/etc/env.php): {because}"
        )));
    }
    Ok(())
}

/// Whether the shop logs in by it.
pub(crate) fn is_shops(host: &Host, account: &Argument) -> Result<bool, ActionError> {
    let (user, _) = quote::parts(account);
    // By its name alone: which of several accounts of a name the shop is taken for depends on where it comes from.
    let names = config_files::shop_accounts(host)?;
    Ok(names.iter().any(|shop| shop == user))
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
    let [locked] = told(database, account, ["account_locked"])?;
    Ok(is_yes(&locked))
}

/// Refuses a role, and what isn't there.
pub(crate) fn refuse_none(
    database: &mut Database<'_>,
    account: &Argument,
) -> Result<(), ActionError> {
    told(database, account, []).map(|[]| ())
}

/// What `mysql.global_priv` has of an account under some keys, `0` where it has nothing; refused when there is none, or when it is a role.
pub(crate) fn told<const N: usize>(
    database: &mut Database<'_>,
    account: &Argument,
    keys: [&'static str; N],
) -> Result<[String; N], ActionError> {
    let (user, at) = quote::parts(account);
    let value = |key: &&str| format!("CAST(COALESCE(JSON_VALUE(Priv, '$.{key}'), '0') AS CHAR)");
    let chosen: Vec<_> = ["is_role"].iter().chain(&keys).map(value).collect();
    let asked = format!(
        "SELECT {} FROM mysql.global_priv WHERE User = ? AND Host = ?",
        chosen.join(", ")
    );
    let values = [Some(user.to_owned()), Some(at.to_owned())];
    let found = database.rows("look at the account", &asked, &values)?;
    let Some(row) = found.into_iter().next() else {
        return Err(ActionError::refused(format!(
            "the server has no account {account}"
        )));
    };
    let mut cells = row.into_iter().map(Option::unwrap_or_default);
    if cells.next().is_some_and(|told| is_yes(&told)) {
        return Err(ActionError::refused(format!("{account} is a role")));
    }
    Ok([(); N].map(|()| cells.next().unwrap_or_default()))
}

fn is_yes(told: &str) -> bool {
    matches!(told, "1" | "true")
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
