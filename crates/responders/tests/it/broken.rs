//! Actions that are broken on purpose: the contract at a real MariaDB sees what each does wrong.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Reach, Undo};
use responders::contract::{Trial, check_at, seen_in_database};
use responders::{Action, ActionError, Change, Effect, Host, Survey};

use crate::database::{root, settings, shop};

static FACTS: ActionFacts = ActionFacts {
    name: "broken",
    about: "Switches a block off",
    parameters: &[],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::Whole,
    layer: Layer::Database,
    reach: Reach::Installation,
    acts_on_cause: false,
    closes: false,
    stays_open: "everything",
};

/// Switches the shop's block 1 off by statements of its own; each is a step.
struct Switch {
    socket: PathBuf,
    act: &'static [&'static str],
    undo: &'static str,
}

const OFF: &str = "UPDATE shop.mg_cms_block SET is_active = 0 WHERE block_id = 1";
const ON: &str = "UPDATE shop.mg_cms_block SET is_active = 1, title = 'Note', update_time = '2026-02-03' WHERE block_id = 1 AND is_active = 0";
const ON_WITHOUT_TIME: &str = "UPDATE shop.mg_cms_block SET is_active = 1 WHERE block_id = 1";
const LONGER: &str = "UPDATE shop.mg_cms_block SET title = CONCAT(title, '!') WHERE block_id = 1";
const RENAMED: &str = "UPDATE shop.mg_cms_block SET title = 'gone' WHERE block_id = 1";

impl Action for Switch {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, _host: &Host, _arguments: &Arguments) -> Result<Survey, ActionError> {
        let change = Change {
            what: "block 1".to_owned(),
            now: "on".to_owned(),
            then: "off".to_owned(),
        };
        Ok(Survey {
            changes: vec![change],
            kept: Vec::new(),
        })
    }

    fn act(&self, host: &Host, _arguments: &Arguments, _kept: &[u8]) -> Result<(), ActionError> {
        for statement in self.act {
            host.step(Path::new("a row"))?;
            root(&self.socket, statement);
        }
        Ok(())
    }

    fn read_back(
        &self,
        _host: &Host,
        _arguments: &Arguments,
        _kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let seen = seen_in_database(&settings(&self.socket, "root", None, None))?;
        let blocks = seen.get("table mg_cms_block");
        // The fifth column, as its bytes in hexadecimal.
        let is_off = blocks.is_some_and(|rows| rows.contains("Some(\"30\"), Some(\""));
        Ok(if is_off {
            Effect::InEffect
        } else {
            Effect::NotInEffect
        })
    }

    fn undo(&self, host: &Host, _arguments: &Arguments, _kept: &[u8]) -> Result<(), ActionError> {
        host.step(Path::new("a row"))?;
        root(&self.socket, self.undo);
        Ok(())
    }
}

/// What the contract says of it; none when it keeps it.
fn said(socket: &Path, act: &'static [&'static str], undo: &'static str) -> Option<String> {
    let switch = Switch {
        socket: socket.to_owned(),
        act,
        undo,
    };
    let folder = tempfile::tempdir().expect("a folder");
    let trial = Trial {
        folder: folder.path(),
        make: &|folder| shop(socket, folder),
        see: &|| seen_in_database(&settings(socket, "root", None, None)),
        stays: &[],
    };
    let tried = AssertUnwindSafe(|| check_at(&switch, &trial, &Arguments::new()));
    let panic = catch_unwind(tried).err()?;
    let words = panic.downcast_ref::<String>();
    Some(words.expect("an assertion with words").clone())
}

/// Tries them; one that does all right passes, so that the others fail by what is broken alone.
pub(crate) fn is_caught(socket: &Path) {
    assert_eq!(said(socket, &[OFF], ON), None);
    #[track_caller]
    fn check(said: Option<String>, expected: &str) {
        let said = said.expect("it is caught");
        assert!(said.contains(expected), "{said}");
    }
    check(
        said(socket, &[OFF], ON_WITHOUT_TIME),
        "undoing restores: table mg_cms_block",
    );
    check(
        said(socket, &[OFF, LONGER], ON),
        "twice is as once: table mg_cms_block",
    );
    // Its undo asks the second change whether there is anything to undo.
    check(
        said(socket, &[RENAMED, OFF], ON),
        "undone after 1 changes: table mg_cms_block",
    );
}
