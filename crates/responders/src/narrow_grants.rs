//! Takes one right at one place away from an account of the database, e.g. `FILE` on `*.*`; all else that it was granted stays.
//!
//! Invariant: a right is taken by its name and place alone, so passwords, roles, `REQUIRE`, limits and `GRANT OPTION` are never
//! written, and no hash of a password is read or kept.

use model::{
    ActionFacts, Argument, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo,
};

use crate::action::{Action, ActionError, Change, Effect, Survey, argument, keep, read_kept};
use crate::database::rights::{Held, Place, Rights, roles, said};
use crate::database::{Database, accounts, quote};
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "narrow_grants",
    about: "Takes one right at one place away from an account of the database (REVOKE); of the shop's own only what no shop needs",
    parameters: &[
        Parameter {
            name: "account",
            kind: ParameterKind::DatabaseAccount,
            is_required: true,
            about: "whose",
        },
        Parameter {
            name: "privilege",
            kind: ParameterKind::Privilege,
            is_required: true,
            about: "which right",
        },
        Parameter {
            name: "on",
            kind: ParameterKind::GrantPlace,
            is_required: true,
            about: "where it is granted, as SHOW GRANTS has it",
        },
    ],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::AllBut("who granted a right on one table, and when"),
    layer: Layer::Database,
    reach: Reach::Actor,
    acts_on_cause: true,
    closes: false,
    stays_open: "connections that are open keep rights on *.*, and those on the schema they chose: end_connections after it; what the account \
        has by a role, by PUBLIC or by an account of the same name for another host; what was read or written with it already; \
        views, routines and events that run by the account's rights, and whatever else used the right, fail from now on",
};

/// Rights that Magento doesn't sell by, wherever the shop's own account has them. `TRIGGER` isn't one of them: triggers run by the rights
/// of whoever made them, and with it every change of a table that has one would fail.
const UNNEEDED: [&str; 10] = [
    "ALTER ROUTINE",
    "CREATE ROUTINE",
    "CREATE USER",
    "EVENT",
    "FILE",
    "PROCESS",
    "RELOAD",
    "REPLICATION SLAVE",
    "SHUTDOWN",
    "SUPER",
];
/// Rights that what a trigger does may need, checked each time it runs against the account that made it.
const OF_TRIGGERS: [&str; 6] = ["DELETE", "EXECUTE", "INSERT", "SELECT", "TRIGGER", "UPDATE"];
/// The server's own schema, of which no shop needs anything.
const OF_THE_SERVER: &str = "mysql";
/// Without this the server makes an account, with no password, of a `GRANT` to one that is gone.
const NO_NEW_ACCOUNT: &str = "SET sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_CREATE_USER'";

/// What is taken from whom.
struct Asked<'a> {
    account: &'a Argument,
    name: &'a str,
    on: &'a str,
    place: Place,
}

impl<'a> Asked<'a> {
    fn of(arguments: &'a Arguments) -> Result<Self, ActionError> {
        let (name, on) = (
            argument(arguments, "privilege")?,
            argument(arguments, "on")?,
        );
        let place = Place::read(on);
        if !place.has(name.as_str()) {
            return Err(ActionError::refused(format!(
                "{name} isn't granted at such a place: give `on` as SHOW GRANTS has it, for rights of the server *.*"
            )));
        }
        Ok(Self {
            account: argument(arguments, "account")?,
            name: name.as_str(),
            on: on.as_str(),
            place,
        })
    }

    fn held(&self, database: &mut Database<'_>) -> Result<Held, ActionError> {
        accounts::refuse_none(database, self.account)?;
        Ok(Rights::of(database, self.account)?.held(self.name, &self.place))
    }

    /// Refuses what would stop the shop, or ourselves, or the server.
    fn refuse_needed(&self, host: &Host, database: &Database<'_>) -> Result<(), ActionError> {
        accounts::refuse_ours(database, self.account)?;
        let is_of_server = match &self.place {
            Place::Server => false,
            Place::Schema(schema) | Place::Table(schema, _) => schema == OF_THE_SERVER,
        };
        if is_of_server || UNNEEDED.contains(&self.name) || !accounts::is_shops(host, self.account)?
        {
            return Ok(());
        }
        Err(ActionError::refused(format!(
            "{} has the name by which the shop itself logs in (app/etc/env.php): without {} on {} it may sell nothing. It can lose {}, and \
             what it has on {OF_THE_SERVER}.*; for all else give the shop another account",
            self.account,
            self.name,
            self.on,
            UNNEEDED.join(", ")
        )))
    }

    /// Refuses what triggers of the shop run by: orders are changes of rows, too.
    fn refuse_triggers(&self, database: &mut Database<'_>) -> Result<(), ActionError> {
        let schema = database.schema().to_owned();
        if !OF_TRIGGERS.contains(&self.name) || !self.place.reaches(&schema) {
            return Ok(());
        }
        if !Rights::ours(database)?.has_on_schema("TRIGGER", &schema) {
            return Err(ActionError::NotSetUp {
                what: format!(
                    "whether triggers of the shop run by the rights of {} is told only to an account that has TRIGGER on {schema}.*: grant \
                     it, or take {} away by hand",
                    self.account, self.name
                ),
            });
        }
        let asked = "SELECT CAST(TRIGGER_NAME AS CHAR) FROM information_schema.TRIGGERS \
            WHERE TRIGGER_SCHEMA = ? AND CAST(DEFINER AS BINARY) = CAST(? AS BINARY) ORDER BY TRIGGER_NAME";
        let values = [Some(schema), Some(self.account.as_str().to_owned())];
        let found = database.rows("look at triggers", asked, &values)?;
        let triggers: Vec<_> = found.into_iter().flatten().flatten().collect();
        if triggers.is_empty() {
            return Ok(());
        }
        Err(ActionError::refused(format!(
            "triggers of the shop run by the rights of {}, and what sets them off would fail without {}: drop_trigger first, or see to {}",
            self.account,
            self.name,
            said(&triggers)
        )))
    }

    /// Refuses what can't be taken away here, or not given back.
    fn refuse(
        &self,
        host: &Host,
        database: &mut Database<'_>,
        rights: &Rights,
    ) -> Result<(), ActionError> {
        self.refuse_needed(host, database)?;
        if let Some(why) = rights.refuses(self.name, &self.place) {
            return Err(ActionError::refused(format!("{}: {why}", self.account)));
        }
        if rights.held(self.name, &self.place).is_none() {
            return Ok(());
        }
        self.refuse_triggers(database)?;
        let ours = Rights::ours(database)?;
        if !ours.gives(self.name, &self.place) {
            return Err(ActionError::NotSetUp {
                what: format!(
                    "only an account that has {} on {} and may grant it can take it away and give it back: GRANT {} ON {} TO {} WITH GRANT \
                     OPTION, or do it by hand",
                    self.name,
                    self.on,
                    self.name,
                    self.place.quoted(),
                    ours_quoted(&database.account)
                ),
            });
        }
        Ok(())
    }
}

/// Our account, as it is written in statements.
fn ours_quoted(account: &str) -> String {
    let (user, host) = account.rsplit_once('@').unwrap_or_default();
    format!("{}@{}", quote::name(user), quote::name(host))
}

/// `narrow_grants`.
pub(crate) struct NarrowGrants;

impl Action for NarrowGrants {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let asked = Asked::of(arguments)?;
        let database = &mut accounts::open(host)?;
        // Before it is looked for: one of the shop's name is refused whether or not it is there.
        asked.refuse_needed(host, database)?;
        accounts::refuse_none(database, asked.account)?;
        let rights = Rights::of(database, asked.account)?;
        asked.refuse(host, database, &rights)?;
        let held = rights.held(asked.name, &asked.place);
        let mut now = held.words();
        let elsewhere = rights.elsewhere(asked.name, asked.on);
        if !elsewhere.is_empty() {
            now.push_str(&format!("; it stays on {elsewhere}"));
        }
        let roles = roles(database, asked.account)?;
        if !roles.is_empty() {
            now.push_str(&format!("; what roles give stays: {}", said(&roles)));
        }
        let others = accounts::namesakes(database, asked.account)?;
        if !others.is_empty() {
            now.push_str(&format!("; {} stay as they are", others.join(", ")));
        }
        let then = if held.is_none() {
            "so already"
        } else {
            "taken away"
        };
        Ok(Survey {
            changes: vec![Change {
                what: format!(
                    "right {} on {} of database account {}",
                    asked.name, asked.on, asked.account
                ),
                now,
                then: then.to_owned(),
            }],
            kept: keep(&held)?,
        })
    }

    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let kept: Held = read_kept(kept)?;
        let asked = Asked::of(arguments)?;
        let database = &mut accounts::open(host)?;
        accounts::refuse_none(database, asked.account)?;
        let rights = Rights::of(database, asked.account)?;
        let held = rights.held(asked.name, &asked.place);
        if held.is_none() {
            return Ok(());
        }
        if !held.is_within(&kept) {
            return Err(ActionError::refused(format!(
                "{} was given {} on {} since it was surveyed: survey it again",
                asked.account, asked.name, asked.on
            )));
        }
        asked.refuse(host, database, &rights)?;
        let statement = format!(
            "REVOKE {} ON {} FROM {}",
            asked.name,
            asked.place.quoted(),
            quote::account(asked.account)
        );
        database.define("take the right away", &statement)
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let kept: Held = read_kept(kept)?;
        let held = Asked::of(arguments)?.held(&mut accounts::open(host)?)?;
        Ok(if held.is_none() {
            Effect::InEffect
        } else if kept.is_within(&held) {
            Effect::NotInEffect
        } else {
            Effect::Partly(format!("of it there is: {}", held.words()))
        })
    }

    fn undo(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let kept: Held = read_kept(kept)?;
        let asked = Asked::of(arguments)?;
        let database = &mut accounts::open(host)?;
        if kept.is_none() || kept.is_within(&asked.held(database)?) {
            return Ok(());
        }
        let statement = format!(
            "GRANT {} ON {} TO {}",
            kept.statement(asked.name),
            asked.place.quoted(),
            quote::account(asked.account)
        );
        database.run("be set up", NO_NEW_ACCOUNT)?;
        database.define("give the right back", &statement)
    }
}
