//! Magento's maintenance mode on this host: everything is closed but to exempt addresses.

use std::path::PathBuf;

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Reach, Undo};

use crate::action::{Action, ActionError, Change, Effect, Survey};
use crate::host::Host;

static FACTS: ActionFacts = ActionFacts {
    name: "maintenance",
    about: "Turns on Magento's maintenance mode on this host (var/.maintenance.flag); exempt addresses stay as they are",
    parameters: &[],
    forensic_impact: ForensicImpact::None,
    undo: Undo::Whole,
    layer: Layer::Application,
    reach: Reach::Installation,
    acts_on_cause: false,
    closes: true,
    stays_open: "bin/magento, cron and its jobs go on; other hosts of the installation that don't share var/; pages that Varnish \
        or a CDN serves from memory; PHP that isn't Magento's. Each refused request writes a line to var/log/system.log",
};

/// What is kept when the flag was there before, and when it wasn't.
const WAS_THERE: &[u8] = b"was there";
const WAS_NOT: &[u8] = b"was not";

/// `maintenance`.
pub(crate) struct Maintenance;

impl Action for Maintenance {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, _arguments: &Arguments) -> Result<Survey, ActionError> {
        let is_on = is_on(host)?;
        let change = Change {
            what: "maintenance mode of this host".to_owned(),
            now: if is_on { "on" } else { "off" }.to_owned(),
            then: "on".to_owned(),
        };
        Ok(Survey {
            changes: vec![change],
            kept: if is_on { WAS_THERE } else { WAS_NOT }.to_vec(),
        })
    }

    fn act(&self, host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        was_there(kept)?;
        if is_on(host)? {
            return Ok(());
        }
        host.disk.replace(&flag(host)?, b"", None)
    }

    fn read_back(
        &self,
        host: &Host,
        _arguments: &Arguments,
        _kept: &[u8],
    ) -> Result<Effect, ActionError> {
        Ok(if is_on(host)? {
            Effect::InEffect
        } else {
            Effect::NotInEffect
        })
    }

    fn undo(&self, host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let flag = flag(host)?;
        host.disk.remove(&crate::disk::temporary(&flag))?;
        if was_there(kept)? {
            return Ok(());
        }
        host.disk.remove(&flag)
    }
}

fn was_there(kept: &[u8]) -> Result<bool, ActionError> {
    match kept {
        WAS_THERE => Ok(true),
        WAS_NOT => Ok(false),
        _ => Err(ActionError::Kept),
    }
}

/// The flag (`Magento\Framework\App\MaintenanceMode`); its folder has to be there: else this is no Magento.
fn flag(host: &Host) -> Result<PathBuf, ActionError> {
    let var = host.magento()?.root.join("var");
    if !var.is_dir() {
        return Err(ActionError::NotSetUp {
            what: format!("{} is no folder: is `root` Magento's root?", var.display()),
        });
    }
    Ok(var.join(".maintenance.flag"))
}

fn is_on(host: &Host) -> Result<bool, ActionError> {
    let flag = flag(host)?;
    flag.try_exists()
        .map_err(ActionError::file("look at", &flag))
}
