//! Limits an account of the database that something needs: so many statements an hour, so many connections at a time.

use model::{
    ActionFacts, Argument, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo,
};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionError, Change, Effect, Survey, argument, keep, read_kept};
use crate::database::{Database, accounts, quote};
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "limit_database_account",
    about: "Limits an account of the database (ALTER USER … WITH MAX_QUERIES_PER_HOUR, MAX_USER_CONNECTIONS); never the shop's own or ours",
    parameters: &[
        Parameter {
            name: "account",
            kind: ParameterKind::DatabaseAccount,
            is_required: true,
            about: "which one",
        },
        Parameter {
            name: QUERIES,
            kind: ParameterKind::Count,
            is_required: false,
            about: "statements an hour, 1 to 1000000",
        },
        Parameter {
            name: CONNECTIONS,
            kind: ParameterKind::Count,
            is_required: false,
            about: "connections at a time, 1 to 1000000",
        },
    ],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::Whole,
    layer: Layer::Database,
    reach: Reach::Actor,
    acts_on_cause: false,
    closes: false,
    stays_open: "whoever has the account goes on within the limits, and one statement can read a whole table; connections that are open go on \
        under the limits they began with, if any: end_connections after it; the limits are shared, so whoever asks first leaves the \
        others nothing; accounts of the same name for other hosts; other servers of a cluster that don't replicate it",
};

const QUERIES: &str = "queries_per_hour";
const CONNECTIONS: &str = "connections";
/// Why the shop's own isn't limited.
const NEEDED: &str = "who shares it shares its limits, so a thief would use them up and every page would fail. Change its password here and \
    in env.php together, then end_connections";
/// Largest limit: what is above limits nobody.
const LIMIT_MAX: u32 = 1_000_000;

/// Limits of an account, as the server has them: 0 is none, and fewer than none let nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Limits {
    queries: i64,
    connections: i64,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    queries: Option<u32>,
    connections: Option<u32>,
}

impl Wanted {
    fn of(arguments: &Arguments) -> Result<Self, ActionError> {
        let one = |name: &'static str| {
            let given = arguments.get(name).map(|given| given.as_str().parse());
            match given {
                None => Ok(None),
                Some(Ok(limit @ 1..=LIMIT_MAX)) => Ok(Some(limit)),
                Some(_) => Err(ActionError::refused(format!(
                    "`{name}` is from 1 to {LIMIT_MAX}; to let nobody in is lock_database_account's to do"
                ))),
            }
        };
        let (queries, connections) = (one(QUERIES)?, one(CONNECTIONS)?);
        if queries.is_none() && connections.is_none() {
            return Err(ActionError::Missing { name: QUERIES });
        }
        Ok(Self {
            queries,
            connections,
        })
    }

    /// What it makes of limits; one that is stricter already stays.
    fn made_of(self, before: Limits) -> Limits {
        let stricter = |before: i64, wanted: Option<u32>| match wanted.map(i64::from) {
            Some(wanted) if before == 0 || wanted < before => wanted,
            _ => before,
        };
        Limits {
            queries: stricter(before.queries, self.queries),
            connections: stricter(before.connections, self.connections),
        }
    }
}

impl Limits {
    fn read(database: &mut Database<'_>, account: &Argument) -> Result<Self, ActionError> {
        let keys = ["max_questions", "max_user_connections"];
        let told = accounts::told(database, account, keys)?;
        let [Ok(queries), Ok(connections)] = told.map(|text| text.parse()) else {
            return Err(ActionError::refused(format!(
                "what mysql.global_priv has of the limits of {account} is no number: see to it by hand"
            )));
        };
        Ok(Self {
            queries,
            connections,
        })
    }

    fn words(self) -> String {
        let one = |limit: i64, what: &str| match limit {
            0 => format!("any number of {what}"),
            limit => format!("{limit} {what}"),
        };
        format!(
            "{}, {}",
            one(self.queries, "statements an hour"),
            one(self.connections, "connections at a time")
        )
    }

    /// The statement that makes these of others; only what differs is named, so that all else of the account stays.
    fn statement(self, from: Self, account: &Argument) -> String {
        let mut out = format!("ALTER USER {} WITH", quote::account(account));
        if self.queries != from.queries {
            out.push_str(&format!(" MAX_QUERIES_PER_HOUR {}", self.queries));
        }
        if self.connections != from.connections {
            out.push_str(&format!(" MAX_USER_CONNECTIONS {}", self.connections));
        }
        out
    }
}

/// `limit_database_account`.
pub(crate) struct LimitDatabaseAccount;

impl Action for LimitDatabaseAccount {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let wanted = Wanted::of(arguments)?;
        let account = argument(arguments, "account")?;
        let database = &mut accounts::open(host)?;
        accounts::refuse_needed(host, database, account, NEEDED)?;
        let before = Limits::read(database, account)?;
        let after = wanted.made_of(before);
        let mut now = before.words();
        let others = accounts::namesakes(database, account)?;
        if !others.is_empty() {
            now.push_str(&format!("; {} stay as they are", others.join(", ")));
        }
        let then = match after == before {
            true => "so already, or stricter".to_owned(),
            false => after.words(),
        };
        Ok(Survey {
            changes: vec![Change {
                what: format!("limits of database account {account}"),
                now,
                then,
            }],
            kept: keep(&before)?,
        })
    }

    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let before: Limits = read_kept(kept)?;
        let after = Wanted::of(arguments)?.made_of(before);
        let account = argument(arguments, "account")?;
        let database = &mut accounts::open(host)?;
        accounts::refuse_needed(host, database, account, NEEDED)?;
        change(database, account, "limit the account", before, after)
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let before: Limits = read_kept(kept)?;
        let after = Wanted::of(arguments)?.made_of(before);
        let now = Limits::read(&mut accounts::open(host)?, argument(arguments, "account")?)?;
        Ok(match now {
            now if now == after => Effect::InEffect,
            now if now == before => Effect::NotInEffect,
            now => Effect::Partly(format!("somebody else set: {}", now.words())),
        })
    }

    fn undo(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let before: Limits = read_kept(kept)?;
        let after = Wanted::of(arguments)?.made_of(before);
        let account = argument(arguments, "account")?;
        let database = &mut accounts::open(host)?;
        change(database, account, "give the limits back", after, before)
    }
}

/// Makes one of the other; what is neither is somebody else's and stays.
fn change(
    database: &mut Database<'_>,
    account: &Argument,
    what: &str,
    from: Limits,
    to: Limits,
) -> Result<(), ActionError> {
    let now = Limits::read(database, account)?;
    if now == to {
        return Ok(());
    }
    if now != from {
        return Err(ActionError::refused(format!(
            "somebody else set the limits of {account} since it was surveyed ({}): see to it by hand, or survey again",
            now.words()
        )));
    }
    database.define(what, &to.statement(from, account))
}

#[cfg(test)]
mod tests {
    use super::{Limits, Wanted};
    use model::{Argument, ParameterKind};

    fn limits((queries, connections): (i64, i64)) -> Limits {
        Limits {
            queries,
            connections,
        }
    }

    #[track_caller]
    fn check(
        before: (i64, i64),
        wanted: (Option<u32>, Option<u32>),
        after: (i64, i64),
        statement: &str,
    ) {
        let (queries, connections) = wanted;
        let wanted = Wanted {
            queries,
            connections,
        };
        let (before, after) = (limits(before), limits(after));
        assert_eq!(wanted.made_of(before), after);
        let account = Argument::read(ParameterKind::DatabaseAccount, "erp@%").expect("an account");
        if before != after {
            let told = after.statement(before, &account);
            assert_eq!(told, format!("ALTER USER `erp`@`%` WITH {statement}"));
        }
    }

    #[test]
    fn only_what_is_asked_for_becomes_stricter() {
        let both = "MAX_QUERIES_PER_HOUR 60 MAX_USER_CONNECTIONS 1";
        check((0, 0), (Some(60), Some(1)), (60, 1), both);
        check((0, 0), (Some(60), None), (60, 0), "MAX_QUERIES_PER_HOUR 60");
        check(
            (100, 9),
            (None, Some(1)),
            (100, 1),
            "MAX_USER_CONNECTIONS 1",
        );
        // No step loosens what is there; fewer than none let nobody in.
        check((10, 1), (Some(60), Some(2)), (10, 1), "");
        check(
            (10, 4),
            (Some(60), Some(2)),
            (10, 2),
            "MAX_USER_CONNECTIONS 2",
        );
        check((0, -1), (None, Some(2)), (0, -1), "");
    }
}
