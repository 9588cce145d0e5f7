//! Moves a file of the shop to where it is neither served nor run, as it is: content, mode, owner, times, attributes.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};

use crate::action::{Action, ActionError, Change, Effect, Survey, argument, keep};
use crate::aside::{Ends, Moved, is_plain, look, refused, rename};
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "quarantine_file",
    about: "Moves a file out of Magento's root to a folder that isn't served, with its mode, owner, times and attributes",
    parameters: &[Parameter {
        name: "file",
        kind: ParameterKind::File,
        is_required: true,
        about: "the file to move",
    }],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::AllBut("the times of change of its inode and of its folders"),
    layer: Layer::Files,
    reach: Reach::Host,
    acts_on_cause: true,
    closes: false,
    stays_open: "what made the file may make it again; PHP goes on running it from OPcache until php-fpm is reloaded where \
        opcache.validate_timestamps is 0; other hosts of the installation have their own copy; an include of it fails",
};

/// Files without which the shop doesn't answer at all: these are restored, not moved.
const ENTRY_POINTS: [&str; 13] = [
    "pub/index.php",
    "pub/get.php",
    "pub/static.php",
    "pub/cron.php",
    "pub/health_check.php",
    "pub/errors/404.php",
    "pub/errors/503.php",
    "pub/errors/report.php",
    "bin/magento",
    "app/bootstrap.php",
    "app/autoload.php",
    "app/etc/env.php",
    "app/etc/config.php",
];

/// `quarantine_file`.
pub(crate) struct QuarantineFile;

impl Action for QuarantineFile {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let ends = ends(host, arguments)?;
        let found = look(&ends.from, &ends.name, &ends.shown)?;
        let found = found.ok_or_else(|| refused(&ends.shown, "isn't there"))?;
        if !is_plain(&found) {
            return Err(refused(&ends.shown, "is no plain file"));
        }
        ends.on_one_file_system(&found)?;
        let change = Change {
            what: format!("file {}", ends.shown.display()),
            now: format!("{} bytes, mode {:o}", found.st_size, found.st_mode & 0o7777),
            then: "kept aside, not served".to_owned(),
        };
        Ok(Survey {
            changes: vec![change],
            kept: keep(&Moved::of(&found, &ends.shown))?,
        })
    }

    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let (ends, kept) = (ends(host, arguments)?, Moved::read(kept)?);
        let is_there = look(&ends.from, &ends.name, &ends.shown)?;
        match (is_there, kept.is_aside(&ends)?) {
            (None, true) => Ok(()),
            (Some(found), false) if kept.is(&found) => {
                host.disk.step(&ends.shown)?;
                rename(&ends.from, &ends.name, &ends.to, &kept.name, &ends.shown)
            }
            (Some(_), _) => Err(refused(&ends.shown, "is another file than was surveyed")),
            (None, false) => Err(refused(&ends.shown, "isn't there")),
        }
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let (ends, kept) = (ends(host, arguments)?, Moved::read(kept)?);
        let is_there = look(&ends.from, &ends.name, &ends.shown)?;
        let words = match (is_there, kept.is_aside(&ends)?) {
            (None, true) => return Ok(Effect::InEffect),
            (Some(found), false) if kept.is(&found) => return Ok(Effect::NotInEffect),
            (Some(_), true) => "the file is kept aside, and another one is in its place again",
            (Some(_), false) => "another file is in its place, and it isn't kept aside",
            (None, false) => "the file is neither in its place nor kept aside",
        };
        Ok(Effect::Partly(words.to_owned()))
    }

    fn undo(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let (ends, kept) = (ends(host, arguments)?, Moved::read(kept)?);
        let is_there = look(&ends.from, &ends.name, &ends.shown)?;
        match (is_there, kept.is_aside(&ends)?) {
            (Some(found), false) if kept.is(&found) => Ok(()),
            (None, true) => {
                host.disk.step(&ends.shown)?;
                rename(&ends.to, &kept.name, &ends.from, &ends.name, &ends.shown)
            }
            (Some(_), _) => Err(refused(
                &ends.shown,
                "is there again: move that aside first",
            )),
            (None, false) => Err(refused(&ends.shown, "isn't kept aside any more")),
        }
    }
}

/// Both ends of the move; what the shop doesn't answer without stays.
fn ends(host: &Host, arguments: &Arguments) -> Result<Ends, ActionError> {
    let file = argument(arguments, "file")?.as_str();
    if ENTRY_POINTS.contains(&file) {
        let why =
            "is one of Magento's entry points, which the shop needs: put it back (restore_file)";
        return Err(refused(file.as_ref(), why));
    }
    Ends::open(host, file)
}
