//! Locks an account of the database: whoever stole its password logs in no more.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};

use crate::action::{Action, ActionError, Change, Effect, Survey, argument};
use crate::database::{accounts, quote};
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "lock_database_account",
    about: "Locks an account of the database (ALTER USER … ACCOUNT LOCK); never the shop's own or ours",
    parameters: &[Parameter {
        name: "account",
        kind: ParameterKind::DatabaseAccount,
        is_required: true,
        about: "which one",
    }],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::Whole,
    layer: Layer::Database,
    reach: Reach::Actor,
    acts_on_cause: true,
    closes: false,
    stays_open: "connections that are open go on: end_connections after it; accounts of the same name for other hosts; other servers \
        of a cluster that don't replicate it; whatever program used the account – reports, backups, ERP – fails from now on",
};

/// Why the shop's own isn't locked.
const NEEDED: &str = "locked, it would sell nothing. Change its password here and in env.php together, then end_connections";
/// What is kept when the account was locked before, and when it wasn't.
const WAS_LOCKED: &[u8] = b"was locked";
const WAS_OPEN: &[u8] = b"was open";

/// `lock_database_account`.
pub(crate) struct LockDatabaseAccount;

impl Action for LockDatabaseAccount {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let account = argument(arguments, "account")?;
        let database = &mut accounts::open(host)?;
        accounts::refuse_needed(host, database, account, NEEDED)?;
        let is_locked = accounts::is_locked(database, account)?;
        let mut now = if is_locked { "locked" } else { "open" }.to_owned();
        let others = accounts::namesakes(database, account)?;
        if !others.is_empty() {
            now.push_str(&format!("; {} stay as they are", others.join(", ")));
        }
        Ok(Survey {
            changes: vec![Change {
                what: format!("database account {account}"),
                now,
                then: "locked".to_owned(),
            }],
            kept: if is_locked { WAS_LOCKED } else { WAS_OPEN }.to_vec(),
        })
    }

    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        was_locked(kept)?;
        let account = argument(arguments, "account")?;
        let database = &mut accounts::open(host)?;
        accounts::refuse_needed(host, database, account, NEEDED)?;
        if accounts::is_locked(database, account)? {
            return Ok(());
        }
        let statement = format!("ALTER USER {} ACCOUNT LOCK", quote::account(account));
        database.define("lock the account", &statement)
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        was_locked(kept)?;
        let is_locked =
            accounts::is_locked(&mut accounts::open(host)?, argument(arguments, "account")?)?;
        Ok(if is_locked {
            Effect::InEffect
        } else {
            Effect::NotInEffect
        })
    }

    fn undo(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let account = argument(arguments, "account")?;
        let database = &mut accounts::open(host)?;
        if was_locked(kept)? || !accounts::is_locked(database, account)? {
            return Ok(());
        }
        let statement = format!("ALTER USER {} ACCOUNT UNLOCK", quote::account(account));
        database.define("unlock the account", &statement)
    }
}

fn was_locked(kept: &[u8]) -> Result<bool, ActionError> {
    match kept {
        WAS_LOCKED => Ok(true),
        WAS_OPEN => Ok(false),
        _ => Err(ActionError::Kept),
    }
}
