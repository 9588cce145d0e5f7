//! Rights that accounts hold, as the server tells them (`information_schema.*_PRIVILEGES`, what it goes by), and what would hold
//! instead of one that is taken away.
//!
//! Apart because it is pure but for one question. Invariant: nothing of an account's password is read here.

use model::Argument;
use serde::{Deserialize, Serialize};

use super::{Cell, Database, quote};
use crate::ActionError;

/// Most names that are said in words.
const SAID_MAX: usize = 10;
/// Rights that are granted on the whole server alone.
const OF_THE_SERVER: [&str; 7] = [
    "CREATE USER",
    "FILE",
    "PROCESS",
    "RELOAD",
    "REPLICATION SLAVE",
    "SHUTDOWN",
    "SUPER",
];
/// Rights that no table has.
const OF_SCHEMAS: [&str; 4] = ["ALTER ROUTINE", "CREATE ROUTINE", "EVENT", "EXECUTE"];
/// What the server tells of whoever has a name: one row for each right at each place; `USAGE` where it is none but to grant.
const ASKED: &str = "SELECT CAST(GRANTEE AS CHAR), '', '', '', CAST(PRIVILEGE_TYPE AS CHAR), CAST(IS_GRANTABLE AS CHAR) \
    FROM information_schema.USER_PRIVILEGES WHERE GRANTEE LIKE ? \
    UNION ALL SELECT CAST(GRANTEE AS CHAR), CAST(TABLE_SCHEMA AS CHAR), '', '', CAST(PRIVILEGE_TYPE AS CHAR), CAST(IS_GRANTABLE AS CHAR) \
    FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE LIKE ? \
    UNION ALL SELECT CAST(GRANTEE AS CHAR), CAST(TABLE_SCHEMA AS CHAR), CAST(TABLE_NAME AS CHAR), '', CAST(PRIVILEGE_TYPE AS CHAR), \
    CAST(IS_GRANTABLE AS CHAR) FROM information_schema.TABLE_PRIVILEGES WHERE GRANTEE LIKE ? \
    UNION ALL SELECT CAST(GRANTEE AS CHAR), CAST(TABLE_SCHEMA AS CHAR), CAST(TABLE_NAME AS CHAR), CAST(COLUMN_NAME AS CHAR), \
    CAST(PRIVILEGE_TYPE AS CHAR), CAST(IS_GRANTABLE AS CHAR) FROM information_schema.COLUMN_PRIVILEGES WHERE GRANTEE LIKE ?";

/// Where a right is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// `*.*`
    Server,
    /// `shop.*`; the name is a pattern, as the server takes it.
    Schema(String),
    /// `shop.orders`
    Table(String, String),
}

impl Place {
    /// Reads what its kind let through.
    pub(crate) fn read(argument: &Argument) -> Self {
        match argument.as_str().split_once('.').unwrap_or(("*", "*")) {
            ("*", _) => Self::Server,
            (schema, "*") => Self::Schema(schema.to_owned()),
            (schema, table) => Self::Table(schema.to_owned(), table.to_owned()),
        }
    }

    /// As it stands in a statement.
    pub(crate) fn quoted(&self) -> String {
        match self {
            Self::Server => "*.*".to_owned(),
            Self::Schema(schema) => format!("{}.*", quote::name(schema)),
            Self::Table(schema, table) => quote::within(schema, table),
        }
    }

    /// Whether the server grants such a right at such a place at all.
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Server => true,
            Self::Schema(_) => !OF_THE_SERVER.contains(&name),
            Self::Table(..) => !OF_THE_SERVER.contains(&name) && !OF_SCHEMAS.contains(&name),
        }
    }

    /// Whether something of a schema is within it.
    pub(crate) fn reaches(&self, schema: &str) -> bool {
        match self {
            Self::Server => true,
            Self::Schema(pattern) => overlap(&pattern_of(pattern), &letters_of(schema)),
            Self::Table(of, _) => of == schema,
        }
    }
}

/// One right at one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Right {
    /// `'report'@'%'`
    pub(crate) grantee: String,
    /// Empty: of the server.
    pub(crate) schema: String,
    /// Empty: of the schema.
    pub(crate) table: String,
    /// Empty: of the table.
    pub(crate) column: String,
    pub(crate) name: String,
    pub(crate) is_grantable: bool,
}

impl Right {
    fn place(&self) -> String {
        match (self.schema.as_str(), self.table.as_str()) {
            ("", _) => "*.*".to_owned(),
            (schema, "") => format!("{schema}.*"),
            (schema, table) => format!("{schema}.{table}"),
        }
    }

    const fn is_of_schema(&self) -> bool {
        !self.schema.is_empty() && self.table.is_empty()
    }

    fn is_of_table(&self, schema: &str, table: &str) -> bool {
        self.schema == schema && self.table == table
    }
}

/// A right as an account holds it at one place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// At the place itself.
    pub(crate) whole: bool,
    /// On these columns of a table, in the server's order.
    pub(crate) columns: Vec<String>,
}

impl Held {
    pub(crate) const fn is_none(&self) -> bool {
        !self.whole && self.columns.is_empty()
    }

    /// Whether another one holds all of it.
    pub(crate) fn is_within(&self, other: &Self) -> bool {
        let columns = self.columns.iter();
        self.whole <= other.whole
            && columns
                .into_iter()
                .all(|column| other.columns.contains(column))
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        match (self.whole, self.columns.is_empty()) {
            (false, true) => "not granted".to_owned(),
            (true, true) => "granted".to_owned(),
            (true, false) => format!("granted, and on columns {}", said(&self.columns)),
            (false, false) => format!("granted on columns {}", said(&self.columns)),
        }
    }

    /// What is granted, as it stands behind `GRANT`.
    pub(crate) fn statement(&self, name: &str) -> String {
        let columns: Vec<_> = self.columns.iter().map(|one| quote::name(one)).collect();
        let columns = format!("{name} ({})", columns.join(", "));
        match (self.whole, self.columns.is_empty()) {
            (_, true) => name.to_owned(),
            (true, false) => format!("{name}, {columns}"),
            (false, false) => columns,
        }
    }
}

/// What an account holds, and what may hold instead of it.
pub(crate) struct Rights {
    /// `'report'@'%'`
    account: String,
    /// Rights of the account, of others of its name, and of accounts without a name: of these the server takes the one whose host and
    /// schema fit best, whoever logged in.
    all: Vec<Right>,
}

impl Rights {
    /// Asks. Without `SELECT` on `mysql.*` the server shows nobody's rights but ours, which looks as if others had none: then it is an error.
    pub(crate) fn of(database: &mut Database<'_>, account: &Argument) -> Result<Self, ActionError> {
        if !Self::ours(database)?.has_on_schema("SELECT", "mysql") {
            return Err(ActionError::NotSetUp {
                what: format!(
                    "rights of other accounts are shown only to one that has SELECT on mysql.*: grant it to {}",
                    database.account
                ),
            });
        }
        let (user, host) = quote::parts(account);
        let mut all = of_user(database, user)?;
        if !user.is_empty() {
            all.extend(of_user(database, "")?);
        }
        let account = grantee(user, host);
        Ok(Self { account, all })
    }

    /// Our own.
    pub(crate) fn ours(database: &mut Database<'_>) -> Result<Self, ActionError> {
        let account = database.account.clone();
        let (user, host) = account.rsplit_once('@').unwrap_or_default();
        let all = of_user(database, user)?;
        let account = grantee(user, host);
        Ok(Self { account, all })
    }

    fn own(&self) -> impl Iterator<Item = &Right> {
        self.all.iter().filter(|one| one.grantee == self.account)
    }

    /// How it holds a right at a place.
    pub(crate) fn held(&self, name: &str, place: &Place) -> Held {
        let mut out = Held::default();
        for one in self.own().filter(|one| one.name == name) {
            let is_there = match place {
                Place::Server => one.schema.is_empty(),
                Place::Schema(schema) => one.is_of_schema() && one.schema == *schema,
                Place::Table(schema, table) => one.is_of_table(schema, table),
            };
            match (is_there, one.column.as_str()) {
                (false, _) => {}
                (true, "") => out.whole = true,
                (true, column) => out.columns.push(column.to_owned()),
            }
        }
        out
    }

    /// Where else it holds it, in words; empty when nowhere.
    pub(crate) fn elsewhere(&self, name: &str, place: &str) -> String {
        let own = self.own().filter(|one| one.name == name);
        let mut places: Vec<_> = own.map(Right::place).collect();
        places.retain(|other| other != place);
        places.sort_unstable();
        places.dedup();
        said(&places)
    }

    /// Why taking it there would be in vain, or give another right instead; none when it isn't.
    pub(crate) fn refuses(&self, name: &str, place: &Place) -> Option<String> {
        let wider = |one: &&Right| match place {
            Place::Server => false,
            _ if one.schema.is_empty() => true,
            Place::Schema(schema) => {
                // Of several that fit, the server takes one and not what all of them give.
                let is_there = self.held(name, place).whole;
                !is_there && one.is_of_schema() && have_in_common(&one.schema, schema)
            }
            Place::Table(schema, _) => {
                one.is_of_schema() && overlap(&pattern_of(&one.schema), &letters_of(schema))
            }
        };
        if let Some(one) = self.own().filter(|one| one.name == name).find(wider) {
            let place = one.place();
            return Some(format!(
                "it has {name} on {place}, too, which holds there as well: take it on {place}"
            ));
        }
        let of_place = |one: &Right| match place {
            Place::Server => false,
            Place::Schema(schema) => one.is_of_schema() && one.schema == *schema,
            Place::Table(schema, table) => one.is_of_table(schema, table),
        };
        let fits_as_well = |one: &Right| match place {
            Place::Server => false,
            Place::Schema(schema) => {
                // Of one account's, a schema by its name comes before one by a pattern already.
                let is_before =
                    one.grantee == self.account && is_plain(&one.schema) && !is_plain(schema);
                one.is_of_schema() && !is_before && have_in_common(&one.schema, schema)
            }
            Place::Table(schema, table) => one.is_of_table(schema, table),
        };
        let mut own = self.own().filter(|one| of_place(one)).peekable();
        // A row without a right goes, and with it its precedence over others.
        let is_last = own.peek().is_some() && own.all(|one| one.name == name && !one.is_grantable);
        let mut others = self.all.iter();
        let instead =
            others.find(|one| fits_as_well(one) && !(one.grantee == self.account && of_place(one)));
        instead.filter(|_| is_last).map(|one| {
            format!(
                "it has nothing else there, and without it what {} has on {} holds for it instead: see to both by hand",
                one.grantee.replace('\'', ""),
                one.place()
            )
        })
    }

    /// Whether it may give a right there, and so take it: it has to hold it itself, and to have `GRANT OPTION` (MariaDB, *REVOKE*).
    pub(crate) fn gives(&self, name: &str, place: &Place) -> bool {
        let covers = |one: &&Right| {
            let schema = match place {
                _ if one.schema.is_empty() => return true,
                Place::Server => return false,
                Place::Schema(schema) | Place::Table(schema, _) => schema,
            };
            let fits = overlap(&pattern_of(&one.schema), &letters_of(schema));
            match place {
                Place::Table(schema, table) if !one.table.is_empty() => {
                    one.is_of_table(schema, table) && one.column.is_empty()
                }
                _ => one.is_of_schema() && (fits || one.schema == *schema),
            }
        };
        let covering = || self.own().filter(covers);
        covering().any(|one| one.name == name) && covering().any(|one| one.is_grantable)
    }

    /// Whether it holds a right on all of a schema.
    pub(crate) fn has_on_schema(&self, name: &str, schema: &str) -> bool {
        self.own().any(|one| {
            let fits = one.schema.is_empty()
                || (one.is_of_schema() && overlap(&pattern_of(&one.schema), &letters_of(schema)));
            one.name == name && fits
        })
    }
}

/// Roles that an account was given: what they give, it has by them.
pub(crate) fn roles(
    database: &mut Database<'_>,
    account: &Argument,
) -> Result<Vec<String>, ActionError> {
    let (user, host) = quote::parts(account);
    let asked = "SELECT CAST(Role AS CHAR) FROM mysql.roles_mapping WHERE User = ? AND Host = ? ORDER BY Role";
    let values = [Some(user.to_owned()), Some(host.to_owned())];
    let found = database.rows("look at the account's roles", asked, &values)?;
    Ok(found.into_iter().flatten().flatten().collect())
}

/// Names in words; of many the first.
pub(crate) fn said(names: &[String]) -> String {
    let rest = names.len().saturating_sub(SAID_MAX);
    let first = names.iter().take(SAID_MAX).cloned().collect::<Vec<_>>();
    match rest {
        0 => first.join(", "),
        _ => format!("{} and {rest} more", first.join(", ")),
    }
}

/// As the server names an account here.
fn grantee(user: &str, host: &str) -> String {
    format!("'{user}'@'{host}'")
}

fn of_user(database: &mut Database<'_>, user: &str) -> Result<Vec<Right>, ActionError> {
    let mut escaped = String::new();
    for letter in user.chars() {
        if matches!(letter, '\\' | '%' | '_') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    let pattern = || Some(format!("'{escaped}'@'%"));
    let values: [Cell; 4] = [pattern(), pattern(), pattern(), pattern()];
    let found = database.rows("look at rights", ASKED, &values)?;
    let begins = format!("'{user}'@'");
    let read = |row: Vec<Cell>| {
        let row: Vec<String> = row.into_iter().map(Option::unwrap_or_default).collect();
        let [grantee, schema, table, column, name, grants] = <[String; 6]>::try_from(row).ok()?;
        Some(Right {
            grantee,
            schema,
            table,
            column,
            name,
            is_grantable: grants == "YES",
        })
    };
    let all = found.into_iter().filter_map(read);
    // These columns are compared without regard to case, accounts aren't.
    Ok(all.filter(|one| one.grantee.starts_with(&begins)).collect())
}

/// One letter of a pattern, as `LIKE` has them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Letter {
    Is(char),
    Any,
    AnyMany,
}

fn letters_of(text: &str) -> Vec<Letter> {
    text.chars().map(Letter::Is).collect()
}

fn pattern_of(text: &str) -> Vec<Letter> {
    let mut letters = text.chars();
    let mut out = Vec::new();
    while let Some(letter) = letters.next() {
        out.push(match letter {
            '%' => Letter::AnyMany,
            '_' => Letter::Any,
            '\\' => Letter::Is(letters.next().unwrap_or('\\')),
            letter => Letter::Is(letter),
        });
    }
    out
}

/// Whether a name of a schema, as it is granted, fits one schema alone.
fn is_plain(name: &str) -> bool {
    let letters = pattern_of(name);
    letters.iter().all(|one| matches!(one, Letter::Is(_)))
}

/// Whether two names of schemas, as they are granted, fit one schema.
fn have_in_common(one: &str, other: &str) -> bool {
    overlap(&pattern_of(one), &pattern_of(other))
}

/// Whether some text fits both.
fn overlap(one: &[Letter], other: &[Letter]) -> bool {
    // Whether the rest of one and the rest of the other have a text in common, for every rest of the other.
    let mut below: Vec<bool> = Vec::new();
    for at in (0..=one.len()).rev() {
        let mut row = vec![false; other.len() + 1];
        for beside in (0..=other.len()).rev() {
            let next = |row: &[bool], at: usize| row.get(at).copied().unwrap_or(false);
            row[beside] = match (one.get(at), other.get(beside)) {
                (None, None) => true,
                (Some(Letter::AnyMany), _) => next(&below, beside) || next(&row, beside + 1),
                (_, Some(Letter::AnyMany)) => next(&row, beside + 1) || next(&below, beside),
                (None, _) | (_, None) => false,
                (Some(Letter::Any), _) | (_, Some(Letter::Any)) => next(&below, beside + 1),
                (Some(one), Some(other)) => one == other && next(&below, beside + 1),
            };
        }
        below = row;
    }
    below.first().copied().unwrap_or(false)
}

#[cfg(test)]
#[path = "rights_tests.rs"]
mod tests;
