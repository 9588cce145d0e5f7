//! Drops a trigger of the shop's schema, e.g. one that copies what is paid; its definition is kept to the letter.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionError, Change, Effect, Survey, argument, keep, read_kept};
use crate::database::{Database, quote};
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "drop_trigger",
    about: "Drops a trigger; its definition is kept with definer, mode, character set, place among others and time",
    parameters: &[Parameter {
        name: "trigger",
        kind: ParameterKind::Trigger,
        is_required: true,
        about: "which one",
    }],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::Whole,
    layer: Layer::Database,
    reach: Reach::Installation,
    acts_on_cause: true,
    closes: false,
    stays_open: "what it copied already; whoever made it may make it again; events and procedures. One of Magento's own, \
        trg_*_after_*, is needed: without it an index that is updated on schedule misses changes",
};

/// A trigger as `SHOW CREATE TRIGGER` and `information_schema.TRIGGERS` tell it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    statement: String,
    /// What `statement` ends with: what the trigger does.
    body: String,
    sql_mode: String,
    client: String,
    collation: String,
    /// Seconds since 1970, with fraction.
    created: String,
    /// The trigger of the same time and event that runs right before it, and the one right after it.
    after: Option<String>,
    before: Option<String>,
    /// When and on which table it runs, in words.
    place: String,
}

impl Kept {
    /// Whether our bytes of it are read as they stand under the character set that it was made in.
    ///
    /// Its text comes and goes as UTF-8. Under another set the same bytes are other characters: in GBK or Shift JIS half of one
    /// takes the backslash or the quote behind it, and what was inside of a text is run as a statement.
    fn is_told_whole(&self) -> bool {
        let beside = [&self.after, &self.before].into_iter().flatten();
        let mut texts = beside.chain([&self.statement]);
        match self.client.as_str() {
            "utf8" | "utf8mb3" | "utf8mb4" => true,
            "latin1" => texts.all(|text| text.is_ascii()),
            _ => false,
        }
    }
}

/// `drop_trigger`.
pub(crate) struct DropTrigger;

impl Action for DropTrigger {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let trigger = argument(arguments, "trigger")?.as_str();
        let found = look(&mut Database::open(host)?, trigger)?;
        let found = found.ok_or_else(|| {
            ActionError::refused(format!("the shop's schema has no trigger {trigger}"))
        })?;
        if !found.statement.ends_with(&found.body) {
            return Err(ActionError::refused(format!(
                "the server tells {trigger} in two ways: keep SHOW CREATE TRIGGER and drop it by hand"
            )));
        }
        if !found.is_told_whole() {
            return Err(ActionError::refused(format!(
                "{trigger} was made in the character set {}, in which it can't be made again from here to the letter: keep SHOW CREATE \
                 TRIGGER as it is in that character set, and drop it by hand",
                found.client
            )));
        }
        Ok(Survey {
            changes: vec![Change {
                what: format!("trigger {trigger}"),
                now: found.place.clone(),
                then: "dropped".to_owned(),
            }],
            kept: keep(&found)?,
        })
    }

    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let kept: Kept = read_kept(kept)?;
        let trigger = argument(arguments, "trigger")?.as_str();
        let database = &mut Database::open(host)?;
        match look(database, trigger)? {
            None => Ok(()),
            Some(found) if is_same(&found, &kept) => {
                let name = quote::within(database.schema(), trigger);
                database.define("drop the trigger", &format!("DROP TRIGGER {name}"))
            }
            Some(_) => Err(another(trigger)),
        }
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let kept: Kept = read_kept(kept)?;
        let trigger = argument(arguments, "trigger")?.as_str();
        Ok(match look(&mut Database::open(host)?, trigger)? {
            None => Effect::InEffect,
            Some(found) if is_same(&found, &kept) => Effect::NotInEffect,
            Some(_) => Effect::Partly("another trigger has its name".to_owned()),
        })
    }

    fn undo(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let kept: Kept = read_kept(kept)?;
        let trigger = argument(arguments, "trigger")?.as_str();
        let database = &mut Database::open(host)?;
        match look(database, trigger)? {
            Some(found) if is_same(&found, &kept) => return Ok(()),
            Some(_) => return Err(another(trigger)),
            None => {}
        }
        let statement = again(database, &kept)?;
        // What a session says is what the trigger runs by from then on; its time is when it was made.
        let set = "SET character_set_client = ?, collation_connection = ?, sql_mode = ?, timestamp = CAST(? AS DECIMAL(20,6))";
        let values = [&kept.client, &kept.collation, &kept.sql_mode, &kept.created];
        let set = set_values(set, &values.map(String::as_str))?;
        let schema = quote::name(database.schema());
        database.run("choose the schema", &format!("USE {schema}"))?;
        database.run("set how the trigger is made", &set)?;
        database.define("make the trigger again", &statement)
    }
}

/// A `SET` can't be prepared with values everywhere, so what is put in is held to what such values are made of.
fn set_values(statement: &str, values: &[&str]) -> Result<String, ActionError> {
    let mut out = statement.to_owned();
    for value in values {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"_,.".contains(&byte);
        if !value.bytes().all(is_fine) {
            return Err(ActionError::Kept);
        }
        out = out.replacen('?', &format!("'{value}'"), 1);
    }
    Ok(out)
}

/// The statement that makes it, with its place among those of its time and event, which the server doesn't tell.
fn again(database: &mut Database<'_>, kept: &Kept) -> Result<String, ActionError> {
    let head = kept
        .statement
        .strip_suffix(&kept.body)
        .ok_or(ActionError::Kept)?;
    let mut place = String::new();
    for (word, other) in [("FOLLOWS", &kept.after), ("PRECEDES", &kept.before)] {
        if let Some(other) = other
            && look(database, other)?.is_some()
        {
            place = format!("{word} {} ", quote::name(other));
            break;
        }
    }
    Ok(format!("{head}{place}{}", kept.body))
}

fn another(trigger: &str) -> ActionError {
    ActionError::refused(format!(
        "{trigger} is another trigger than was surveyed: survey it by itself"
    ))
}

/// The same trigger, whatever stands beside it now.
fn is_same(found: &Kept, kept: &Kept) -> bool {
    let bare = |one: &Kept| Kept {
        after: None,
        before: None,
        place: String::new(),
        ..one.clone()
    };
    bare(found) == bare(kept)
}

fn look(database: &mut Database<'_>, trigger: &str) -> Result<Option<Kept>, ActionError> {
    let asked = "SELECT ACTION_STATEMENT, SQL_MODE, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, \
        CAST(UNIX_TIMESTAMP(CREATED) AS CHAR), ACTION_TIMING, EVENT_MANIPULATION, EVENT_OBJECT_TABLE, CAST(ACTION_ORDER AS CHAR) \
        FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ? AND TRIGGER_NAME = ?";
    let values = [Some(database.schema().to_owned()), Some(trigger.to_owned())];
    let found = database.rows("look at the trigger", asked, &values)?;
    let Some(row) = found.into_iter().next() else {
        return Ok(None);
    };
    let row: Vec<String> = row.into_iter().map(Option::unwrap_or_default).collect();
    let [
        body,
        sql_mode,
        client,
        collation,
        created,
        timing,
        event,
        table,
        order,
    ] = <[String; 9]>::try_from(row).map_err(|_| ActionError::Kept)?;
    let name = quote::within(database.schema(), trigger);
    let shown = database.shown("show the trigger", &format!("SHOW CREATE TRIGGER {name}"))?;
    let statement = shown
        .into_iter()
        .next()
        .and_then(|row| row.into_iter().nth(2));
    let statement = statement.flatten().unwrap_or_default();
    let order: u32 = order.parse().unwrap_or(0);
    let mut beside = |order: u32| {
        let asked = "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ? AND EVENT_OBJECT_TABLE = ? \
            AND ACTION_TIMING = ? AND EVENT_MANIPULATION = ? AND ACTION_ORDER = CAST(? AS UNSIGNED)";
        let values = [
            Some(database.schema().to_owned()),
            Some(table.clone()),
            Some(timing.clone()),
            Some(event.clone()),
            Some(order.to_string()),
        ];
        let found = database.rows("look at triggers beside it", asked, &values)?;
        Ok::<_, ActionError>(found.into_iter().flatten().flatten().next())
    };
    Ok(Some(Kept {
        after: beside(order.saturating_sub(1))?,
        before: beside(order + 1)?,
        place: format!("{timing} {event} ON {table}"),
        statement,
        body,
        sql_mode,
        client,
        collation,
        created,
    }))
}

#[cfg(test)]
mod tests {
    use super::Kept;

    #[track_caller]
    fn check(client: &str, statement: &str, beside: &str, expected: bool) {
        let kept = Kept {
            statement: statement.to_owned(),
            body: String::new(),
            sql_mode: String::new(),
            client: client.to_owned(),
            collation: String::new(),
            created: String::new(),
            after: Some(beside.to_owned()),
            before: None,
            place: String::new(),
        };
        assert_eq!(kept.is_told_whole(), expected, "{client} {statement}");
    }

    #[test]
    fn only_what_comes_back_to_the_letter_is_dropped() {
        check("utf8mb4", "SET @a = 'é'", "é", true);
        check("utf8mb3", "SET @a = 'é'", "a", true);
        check("latin1", "SET @a = 'e'", "a", true);
        check("latin1", "SET @a = 'é'", "a", false);
        check("latin1", "SET @a = 'e'", "é", false);
        // In GBK the last byte of the character and the backslash are one character, and the quote ends the text.
        check("gbk", "SET @a = '誠\\'; DROP TABLE a -- '", "a", false);
        check("gbk", "SET @a = 'e'", "a", false);
    }
}
