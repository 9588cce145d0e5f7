//! Ends the connections that an account of the database has open.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionError, Change, Effect, Survey, argument, keep, read_kept};
use crate::database::{Cell, Database, accounts, quote};
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "end_connections",
    about: "Ends (KILL) the open connections of a database account, by its name and the hosts it is granted for",
    parameters: &[Parameter {
        name: "account",
        kind: ParameterKind::DatabaseAccount,
        is_required: true,
        about: "whose",
    }],
    forensic_impact: ForensicImpact::Destroys,
    undo: Undo::MadeAnew("connections"),
    layer: Layer::Database,
    reach: Reach::Actor,
    acts_on_cause: false,
    closes: false,
    stays_open: "whoever knows the password connects again: lock_database_account or a new password before it. Undoing gives \
        nothing back. What was running is rolled back; of the shop's own account, requests that run fail",
};

/// Times that those still open are asked for, and what is waited in between.
const TURNS: u32 = 20;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
/// Connections that are named in a survey.
const NAMED_MAX: usize = 5;

/// Connections of that account's name – to the letter: `Report` is another account than `report` – from hosts that it is granted for: `LIKE` reads `%` and `_` as accounts do; a network is
/// written `address/mask`. A host's port is cut off.
const OPEN: &str = "SELECT CAST(ID AS CHAR), CAST(from_host AS CHAR), CAST(FROM_UNIXTIME(UNIX_TIMESTAMP() - TIME) AS CHAR) FROM ( \
    SELECT ID, TIME, IF(HOST REGEXP ':[0-9]+$', LEFT(HOST, LENGTH(HOST) - LENGTH(SUBSTRING_INDEX(HOST, ':', -1)) - 1), HOST) AS from_host \
    FROM information_schema.PROCESSLIST WHERE USER = BINARY ? AND ID < CAST(? AS UNSIGNED) AND ID <> CONNECTION_ID()) open \
    WHERE from_host LIKE ? OR (INSTR(?, '/') > 0 AND INET_ATON(from_host) & INET_ATON(SUBSTRING_INDEX(?, '/', -1)) \
    = INET_ATON(SUBSTRING_INDEX(?, '/', 1))) ORDER BY ID";

/// What tells old connections from new ones: numbers only grow.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Number of the first connection after those that were surveyed.
    before: u64,
}

/// `end_connections`.
pub(crate) struct EndConnections;

impl Action for EndConnections {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let account = argument(arguments, "account")?;
        let database = &mut Database::open(host)?;
        accounts::refuse_ours(database, account)?;
        let before = database.id;
        let found = open(database, account, before)?;
        let named = found
            .iter()
            .take(NAMED_MAX)
            .map(|one| format!("from {} (last statement began {} UTC)", one.host, one.since));
        let mut now = format!("{} open", found.len());
        for one in named {
            now.push_str("; ");
            now.push_str(&one);
        }
        let kept = keep(&Kept { before })?;
        Ok(Survey {
            changes: vec![Change {
                what: format!("connections of {account}"),
                now,
                then: "ended; new ones may come".to_owned(),
            }],
            kept,
        })
    }

    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        read_kept::<Kept>(kept)?;
        let account = argument(arguments, "account")?;
        let database = &mut Database::open(host)?;
        accounts::refuse_ours(database, account)?;
        // All that were open when this began, not only those that were surveyed.
        let before = database.id;
        for turn in 0..TURNS {
            let found = open(database, account, before)?;
            if found.is_empty() {
                return Ok(());
            }
            for one in found {
                let statement = format!("KILL HARD CONNECTION {}", one.id);
                // One that ended by itself meanwhile is ended.
                match database.define("end a connection", &statement) {
                    Err(ActionError::Database { how, .. }) if how.contains("1094") => {}
                    done => done?,
                }
            }
            if turn + 1 < TURNS {
                host.world.pause(PAUSE);
            }
        }
        Err(ActionError::NotSeen {
            what: format!(
                "connections of {account} are told to end and haven't yet: they roll back what they did"
            ),
        })
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let before = read_kept::<Kept>(kept)?.before;
        let account = argument(arguments, "account")?;
        let left = open(&mut Database::open(host)?, account, before)?;
        Ok(if left.is_empty() {
            Effect::InEffect
        } else {
            Effect::NotInEffect
        })
    }

    fn undo(&self, _host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        read_kept::<Kept>(kept).map(drop)
    }
}

struct Open {
    id: u64,
    host: String,
    since: String,
}

/// An account's connections with a number below this one.
fn open(
    database: &mut Database<'_>,
    account: &model::Argument,
    before: u64,
) -> Result<Vec<Open>, ActionError> {
    let (user, hosts) = quote::parts(account);
    let text = |text: &str| Some(text.to_owned());
    let values: [Cell; 6] = [
        text(user),
        Some(before.to_string()),
        text(hosts),
        text(hosts),
        text(hosts),
        text(hosts),
    ];
    let found = database.rows("list connections", OPEN, &values)?;
    let one = |row: Vec<Cell>| {
        let mut cells = row.into_iter();
        Some(Open {
            id: cells.next()??.parse().ok()?,
            host: cells.next()??,
            since: cells.next()??,
        })
    };
    Ok(found.into_iter().filter_map(one).collect())
}
