//! A database as it is, for comparing: every row of the shop, every account with its lock and grants, every trigger.

use model::StoreMap;

use super::Seen;
use crate::ActionError;
use crate::database::{Cell, Database, quote};
use crate::host::{DatabaseSettings, Host, HostSettings};

/// What the server keeps of grants. Of `global_priv` all but what is 0 or false, which says no more than what isn't there; of
/// `tables_priv` all but who granted and when, which no grant gives back.
const GRANTS: [(&str, &str); 6] = [
    (
        "global_priv",
        "SELECT User, Host, REGEXP_REPLACE(Priv, ',?\"[a-z_]+\":(0|false)(?=[,}])', '') FROM mysql.global_priv",
    ),
    ("db", "SELECT * FROM mysql.db"),
    (
        "tables_priv",
        "SELECT Host, Db, User, Table_name, Table_priv, Column_priv FROM mysql.tables_priv",
    ),
    ("columns_priv", "SELECT * FROM mysql.columns_priv"),
    (
        "proxies_priv",
        "SELECT Host, User, Proxied_host, Proxied_user, With_grant FROM mysql.proxies_priv",
    ),
    ("roles_mapping", "SELECT * FROM mysql.roles_mapping"),
];

/// Looks at it with an account that may see all.
///
/// # Errors
///
/// [`ActionError`] when it can't be asked.
pub fn seen_in_database(settings: &DatabaseSettings) -> Result<Seen, ActionError> {
    let settings = HostSettings {
        database: Some(settings.clone()),
        ..HostSettings::default()
    };
    let host = Host::new(settings, StoreMap::default());
    let database = &mut Database::open(&host)?;
    let mut seen = Seen::new();
    let schema = [Some(database.schema().to_owned())];
    let tables =
        "SELECT CAST(table_name AS CHAR) FROM information_schema.tables WHERE table_schema = ?";
    for table in list(database, tables, &schema)? {
        let columns = "SELECT CAST(column_name AS CHAR) FROM information_schema.columns \
            WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position";
        let place = [schema.as_slice(), &[Some(table.clone())]].concat();
        // As bytes: a text of any character set is compared whole.
        let columns = list(database, columns, &place)?
            .into_iter()
            .map(|column| format!("HEX(CAST({} AS BINARY))", quote::name(&column)))
            .collect::<Vec<_>>();
        let name = quote::within(database.schema(), &table);
        let rows = format!("SELECT {} FROM {name}", columns.join(", "));
        let rows = database.rows("show rows", &rows, &[])?;
        seen.insert(format!("table {table}"), format!("{rows:?}"));
    }
    let accounts = "SELECT CAST(User AS CHAR), CAST(Host AS CHAR) FROM mysql.global_priv \
        WHERE COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) = 0 AND Host <> ''";
    for account in database.rows("show accounts", accounts, &[])? {
        let mut parts = account.into_iter().flatten();
        let (user, host) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let account = format!("{}@{}", quote::name(&user), quote::name(&host));
        for asked in ["SHOW CREATE USER", "SHOW GRANTS FOR"] {
            let told = database.shown("show an account", &format!("{asked} {account}"));
            // One of a host's name isn't there for a server that resolves none.
            let is_resolved = !matches!(host.as_str(), "%" | "localhost");
            let mut told = match told {
                Err(_) if is_resolved => Vec::new(),
                told => told?,
            };
            // The server tells grants, and the columns of one, in the order in which they were given since it began.
            for grant in told.iter_mut().flatten().flatten() {
                *grant = with_sorted_columns(grant);
            }
            told.sort_unstable();
            seen.insert(
                format!("account {user}@{host} {asked}"),
                format!("{told:?}"),
            );
        }
    }
    for (name, asked) in GRANTS {
        let mut rows = database.shown("show grants", asked)?;
        rows.sort_unstable();
        seen.insert(format!("rows of mysql.{name}"), format!("{rows:?}"));
    }
    let triggers = "SELECT CAST(trigger_name AS CHAR) FROM information_schema.triggers WHERE trigger_schema = ?";
    for trigger in list(database, triggers, &schema)? {
        let name = quote::within(database.schema(), &trigger);
        let told = database.shown("show a trigger", &format!("SHOW CREATE TRIGGER {name}"))?;
        let order = "SELECT CAST(action_order AS CHAR) FROM information_schema.triggers WHERE trigger_schema = ? AND trigger_name = ?";
        let place = [schema.as_slice(), &[Some(trigger.clone())]].concat();
        let order = list(database, order, &place)?;
        seen.insert(format!("trigger {trigger}"), format!("{told:?} {order:?}"));
    }
    Ok(seen)
}

/// A grant whose lists of columns, which stand in brackets, are sorted.
fn with_sorted_columns(grant: &str) -> String {
    let mut parts = grant.split('(');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (columns, rest) = part.split_once(')').unwrap_or((part, ""));
        let mut columns: Vec<_> = columns.split(", ").collect();
        columns.sort_unstable();
        out.push_str(&format!("({}){rest}", columns.join(", ")));
    }
    out
}

/// The first column of an answer.
fn list(
    database: &mut Database<'_>,
    statement: &str,
    values: &[Cell],
) -> Result<Vec<String>, ActionError> {
    let rows = database.rows("list what there is", statement, values)?;
    Ok(rows
        .into_iter()
        .filter_map(|row| row.into_iter().next().flatten())
        .collect())
}
