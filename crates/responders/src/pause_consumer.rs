//! Holds a consumer of Magento's message queue, by the list of those that cron starts.
//!
//! Cron's job `consumers_runner` starts the consumers that `cron_consumers_runner/consumers` of `app/etc/env.php` names, and all where it
//! names none (`Magento\MessageQueue\Model\Cron\ConsumersRunner`); every run reads the file anew. One that runs already compares
//! `queue_poison_pill` before each message and ends when it changed (`Magento\MessageQueue\Model\CallbackInvoker`, from 2.3.2): the message goes
//! back to the queue. So the list comes first, then the pill.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::action::{Action, ActionError, Change, Effect, Survey, argument, keep, read_kept};
use crate::config_files::Php;
use crate::database::Database;
use crate::env_file::{Edit, EnvFile, Is, quoted};
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "pause_consumer",
    about: "Keeps Magento's cron from starting a consumer of its message queue, by the list in env.php, and ends those that run at their \
        next message",
    parameters: &[Parameter {
        name: "consumer",
        kind: ParameterKind::Job,
        is_required: true,
        about: "name of the consumer, e.g. exportProcessor",
    }],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::AllBut("the times of change of env.php's inode"),
    layer: Layer::Application,
    reach: Reach::Installation,
    acts_on_cause: false,
    closes: false,
    stays_open: "the message that is being worked on; a consumer that a supervisor, a line of crontab or another host's env.php starts; one that was started without \
        --max-messages, which never looks at the pill; whoever does the same without the queue. Messages wait meanwhile, and those in the database are \
        deleted after a week. Every consumer ends at its next message and is started anew by cron within a minute, or by whoever started it",
};

/// Where cron's settings of consumers are.
const RUNNER: &str = "cron_consumers_runner";
const LIST: &str = "consumers";
/// What stands in a list that would be empty: no consumer's name, for of an empty list all are started.
const NOBODY: &str = "held-by-magewarden";

#[derive(Serialize, Deserialize)]
struct Kept {
    /// The change of the list; none when cron doesn't start it as it is.
    edit: Option<Edit>,
    /// The pill before; empty when there was none.
    pill: String,
    /// The pill after.
    ours: String,
}

/// `pause_consumer`.
pub(crate) struct PauseConsumer;

impl Action for PauseConsumer {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let consumer = argument(arguments, "consumer")?.as_str();
        let file = EnvFile::read(host)?;
        let edit = edit(host, &file, consumer)?;
        let pill = pill(&mut Database::open(host)?)?;
        let mut changes = vec![Change {
            what: format!("consumer {consumer}"),
            now: if edit.is_some() {
                "started by cron".to_owned()
            } else {
                "not started by cron".to_owned()
            },
            then: "held: cron doesn't start it".to_owned(),
        }];
        if edit.is_some() {
            changes.push(Change {
                what: "consumers that run".to_owned(),
                now: "wait for messages".to_owned(),
                then: "end at their next message, which goes back to the queue".to_owned(),
            });
        }
        let seed = Sha256::digest(format!("{pill} {consumer}"));
        let seed: String = seed.iter().take(8).map(|b| format!("{b:02x}")).collect();
        let ours = format!("version-magewarden-{seed}");
        Ok(Survey {
            changes,
            kept: keep(&Kept { edit, pill, ours })?,
        })
    }

    fn act(&self, host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let kept: Kept = read_kept(kept)?;
        let Some(edit) = &kept.edit else {
            return Ok(());
        };
        // First whether the pill can be changed at all: a list alone holds nothing that runs.
        let mut database = Database::open(host)?;
        let now = pill(&mut database)?;
        EnvFile::read(host)?.act(host, edit)?;
        if now == kept.pill {
            set(&mut database, &now, &kept.ours)?;
        }
        Ok(())
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let kept: Kept = read_kept(kept)?;
        let file = EnvFile::read(host)?;
        let Some(edit) = &kept.edit else {
            let consumer = argument(arguments, "consumer")?.as_str();
            let is_held = edit(host, &file, consumer)?.is_none();
            return Ok(if is_held {
                Effect::InEffect
            } else {
                Effect::Partly("cron starts it again since it was surveyed".to_owned())
            });
        };
        let is_new = pill(&mut Database::open(host)?)? != kept.pill;
        Ok(match (file.is(edit), is_new) {
            (Is::After, true) => Effect::InEffect,
            (Is::After, false) => {
                Effect::Partly("cron doesn't start it, and one that runs goes on".to_owned())
            }
            (Is::Before, true) if is_ours(host, &kept)? => {
                Effect::Partly("cron starts it, and those that run end".to_owned())
            }
            (Is::Before, _) => Effect::NotInEffect,
            (Is::Other, _) => {
                Effect::Partly("the list of consumers in env.php is another one".to_owned())
            }
        })
    }

    fn undo(&self, host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let kept: Kept = read_kept(kept)?;
        let Some(edit) = &kept.edit else {
            return Ok(());
        };
        EnvFile::read(host)?.undo(host, edit)?;
        // One that Magento, or another step, set since is theirs.
        if is_ours(host, &kept)? {
            set(&mut Database::open(host)?, &kept.ours, &kept.pill)?;
        }
        Ok(())
    }
}

fn is_ours(host: &Host, kept: &Kept) -> Result<bool, ActionError> {
    Ok(pill(&mut Database::open(host)?)? == kept.ours)
}

/// What takes a consumer out of cron's list; none when it isn't in it.
fn edit(host: &Host, file: &EnvFile, consumer: &str) -> Result<Option<Edit>, ActionError> {
    if let Some(Php::Text(runs)) = file.value(&[RUNNER, "cron_run"])?
        && matches!(runs.as_str(), "" | "0")
    {
        return Err(ActionError::refused(format!(
            "cron starts no consumers here ({RUNNER}/cron_run): whatever starts {consumer} is asked to hold it"
        )));
    }
    let known = &host.magento()?.consumers;
    let listed = match file.value(&[RUNNER, LIST])? {
        Some(Php::Array(entries)) => {
            let names = entries.into_iter().map(|(_, value)| match value {
                Php::Text(name) => Ok(name),
                _ => Err(ActionError::refused(format!(
                    "{RUNNER}/{LIST} of env.php isn't a list of names: it is changed by hand"
                ))),
            });
            names.collect::<Result<Vec<_>, _>>()?
        }
        _ => Vec::new(),
    };
    // Cron starts all where the list is empty: then all others are named.
    let is_all = listed.is_empty();
    let names = if is_all { known } else { &listed };
    if names.is_empty() {
        return Err(ActionError::NotSetUp {
            what: "env.php lists no consumers, so cron starts all: name them all in `consumers` of [magento], as `bin/magento queue:consumers:list` does".to_owned(),
        });
    }
    if !names.iter().any(|name| name == consumer) {
        if !is_all && known.iter().any(|name| name == consumer) {
            return Ok(None);
        }
        return Err(ActionError::refused(format!(
            "{consumer} is no consumer that cron starts here: it is misspelt, or something else starts it"
        )));
    }
    let mut left: Vec<_> = names.iter().filter(|name| *name != consumer).collect();
    let nobody = NOBODY.to_owned();
    if left.is_empty() {
        left.push(&nobody);
    }
    let list: Vec<_> = left.into_iter().map(|name| quoted(name)).collect();
    let list = format!("[{}]", list.join(", "));
    let edit = if file.value(&[RUNNER])?.is_some() {
        file.edit(&[RUNNER], LIST, list)
    } else {
        file.edit(&[], RUNNER, format!("[{} => {list}]", quoted(LIST)))
    };
    edit.map(Some)
}

/// The pill's version; empty when there is none.
fn pill(database: &mut Database<'_>) -> Result<String, ActionError> {
    let table = database.table("queue_poison_pill");
    let asked = format!("SELECT version FROM {table} LIMIT 2");
    let rows = database.rows("read queue_poison_pill", &asked, &[])?;
    let mut found = rows.into_iter().flatten().flatten();
    match (found.next(), found.next()) {
        (pill, None) => Ok(pill.unwrap_or_default()),
        _ => Err(ActionError::refused(
            "queue_poison_pill has several rows: one is what Magento keeps there",
        )),
    }
}

/// Makes it another one; an empty one is no row.
fn set(database: &mut Database<'_>, from: &str, to: &str) -> Result<(), ActionError> {
    let table = database.table("queue_poison_pill");
    let (from, to) = (Some(from.to_owned()), Some(to.to_owned()));
    let (statement, values) = match (from.as_deref(), to.as_deref()) {
        (Some(""), _) => (
            format!("INSERT INTO {table} (version) VALUES (?)"),
            vec![to],
        ),
        (_, Some("")) => (format!("DELETE FROM {table} WHERE version = ?"), vec![from]),
        _ => (
            format!("UPDATE {table} SET version = ? WHERE version = ?"),
            vec![to, from],
        ),
    };
    let changed = database.change("change queue_poison_pill", &statement, &values)?;
    if changed == 1 {
        return Ok(());
    }
    Err(ActionError::refused(
        "queue_poison_pill was changed by somebody else in between: do it again",
    ))
}
