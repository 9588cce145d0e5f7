//! Holds logs as they are now, so that what rotation or cleaning deletes or empties by age is kept.
//!
//! Copies, not other names of the same files: logrotate's `copytruncate` empties a hard link with its original.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Reach, Undo};
use nix::sys::statvfs::fstatvfs;

use crate::action::{Action, ActionError, Change, Effect, Survey, keep};
use crate::aside::is_outside;
use crate::hold::{self, Hold, LOGS_MAX};
use crate::host::{HoldSettings, Host};

static FACTS: ActionFacts = ActionFacts {
    name: "hold_retention",
    about: "Holds a copy of every log as it is now, so that rotation and cleaning by age take nothing of it away",
    parameters: &[],
    forensic_impact: ForensicImpact::None,
    undo: Undo::Whole,
    layer: Layer::Evidence,
    reach: Reach::Nobody,
    acts_on_cause: false,
    closes: false,
    stays_open: "what is written after it; logs that are in no folder of [hold], or in folders of those; rows that Magento's cron \
        deletes (admin_user_session and password_reset_request_event after a day, cron_schedule, quote), the database's binary \
        log, systemd's journal, backups; what was deleted or emptied before; other hosts. The copies hold whatever secrets, personal \
        data and card numbers the logs hold",
};

/// Kept free of the file system that holds are on: one part of so many.
const PART_FREE: u64 = 10;
/// No more than that is kept free of a large one, in bytes: evidence isn't refused for room that nobody needs.
const FREE_MAX: u64 = 4 << 30;
/// What a file takes beyond its bytes, at most: the rest of a block.
const BLOCK_BYTES: u64 = 4096;

/// Bytes of a file system.
#[derive(Clone, Copy)]
pub(crate) struct Space {
    free: u64,
    total: u64,
}

/// `hold_retention`.
pub(crate) struct HoldRetention {
    /// How much room there is.
    pub(crate) space: fn(&File) -> std::io::Result<Space>,
}

impl Action for HoldRetention {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, _arguments: &Arguments) -> Result<Survey, ActionError> {
        let settings = settings(host)?;
        let (mut logs, mut seen) = (Vec::new(), Vec::new());
        for folder in &settings.logs {
            let found = hold::logs_in(folder)?;
            let now = found
                .as_ref()
                .map_or_else(|| "the folder isn't there".to_owned(), |logs| size(logs));
            seen.push((folder, now, found.is_some()));
            logs.extend(found.unwrap_or_default());
            hold::once(&mut logs);
            if logs.len() > LOGS_MAX {
                return Err(hold::too_many(folder));
            }
        }
        if !seen.iter().any(|(_, _, is_there)| *is_there) {
            return Err(ActionError::NotSetUp {
                what: "no folder that `logs` of [hold] names is there".to_owned(),
            });
        }
        self.has_room(settings, &logs)?;
        let hold = Hold::on(&settings.folder, logs)?;
        let then = |is_there| match is_there {
            true => format!("held in {}", hold.place().display()),
            false => "nothing is held of it".to_owned(),
        };
        let changes = seen.into_iter().map(|(folder, now, is_there)| Change {
            what: format!("logs in {}", folder.display()),
            now,
            then: then(is_there),
        });
        Ok(Survey {
            changes: changes.collect(),
            kept: keep(&hold)?,
        })
    }

    fn act(&self, host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let hold = Hold::read(kept, &settings(host)?.folder)?;
        if hold.standing()? == Effect::InEffect {
            return Ok(());
        }
        let Err(error) = hold.keep(host) else {
            return Ok(());
        };
        if !matches!(error, ActionError::Ended { .. }) {
            // A disk that is full is full of our copies.
            let _first_error_is_told = hold.release(host);
        }
        Err(error)
    }

    fn read_back(
        &self,
        host: &Host,
        _arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        Hold::read(kept, &settings(host)?.folder)?.standing()
    }

    fn undo(&self, host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        Hold::read(kept, &settings(host)?.folder)?.release(host)
    }
}

impl HoldRetention {
    /// Refuses what would fill the disk: a shop that can't write stands still.
    fn has_room(&self, settings: &HoldSettings, logs: &[hold::Log]) -> Result<(), ActionError> {
        let failed = || ActionError::file("look at", &settings.folder);
        let folder = File::open(&settings.folder).map_err(failed())?;
        let space = (self.space)(&folder).map_err(failed())?;
        let of = |log: &hold::Log| log.bytes.saturating_add(BLOCK_BYTES);
        let needed = logs.iter().map(of).fold(0, u64::saturating_add);
        let least = needed.saturating_add((space.total / PART_FREE).min(FREE_MAX));
        if space.free >= least {
            return Ok(());
        }
        Err(ActionError::NotSetUp {
            what: format!(
                "{} has {} bytes free; with {needed} for the logs and a tenth of its file system, 4 GiB at most, left free it needs {least}: {} more",
                settings.folder.display(),
                space.free,
                least - space.free
            ),
        })
    }
}

/// What a file system has for us.
pub(crate) fn space(folder: &File) -> std::io::Result<Space> {
    let about = fstatvfs(folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(about.fragment_size());
    Ok(Space {
        free: bytes(about.blocks_available()),
        total: bytes(about.blocks()),
    })
}

/// The part [hold], with a folder that nobody else may look into.
fn settings(host: &Host) -> Result<&HoldSettings, ActionError> {
    let settings = host.hold()?;
    let folder = &settings.folder;
    let about = folder.metadata();
    let about = about.map_err(ActionError::file("look at", folder))?;
    let is_ours = about.uid() == nix::unistd::geteuid().as_raw();
    let is_served = match &host.settings.magento {
        Some(magento) => !is_outside(folder, &magento.root)?,
        None => false,
    };
    if about.is_dir() && about.mode() & 0o077 == 0 && is_ours && !is_served {
        return Ok(settings);
    }
    Err(ActionError::NotSetUp {
        what: format!(
            "{} has to be a folder of the account that magewarden runs as, for it alone (0700), outside Magento's root",
            folder.display()
        ),
    })
}

fn size(logs: &[hold::Log]) -> String {
    let bytes = logs.iter().map(|log| log.bytes);
    let bytes = bytes.fold(0, u64::saturating_add);
    match logs.len() {
        1 => format!("1 file, {bytes} bytes"),
        files => format!("{files} files, {bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_BYTES, HoldRetention, Space};
    use crate::action::Action as _;
    use crate::memory;
    use model::Arguments;

    /// What the two logs of the host in memory take.
    const NEEDED: u64 = 36 + 2 * BLOCK_BYTES;
    const TOTAL: u64 = 1_000_000;

    #[track_caller]
    fn check(space: fn(&std::fs::File) -> std::io::Result<Space>, expected: Result<(), &str>) {
        let folder = tempfile::tempdir().expect("a folder");
        let host = memory::host(folder.path()).expect("a host");
        let surveyed = HoldRetention { space }.survey(&host, &Arguments::new());
        match (surveyed, expected) {
            (Ok(_), Ok(())) => {}
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (surveyed, _) => panic!("{surveyed:?}"),
        }
        let held = std::fs::read_dir(folder.path().join("hold")).expect("a folder");
        assert_eq!(held.count(), 0);
    }

    #[test]
    fn leaves_a_tenth_of_the_file_system_free() {
        check(
            |_| {
                Ok(Space {
                    free: NEEDED + TOTAL / 10,
                    total: TOTAL,
                })
            },
            Ok(()),
        );
        check(
            |_| {
                Ok(Space {
                    free: NEEDED + TOTAL / 10 - 1,
                    total: TOTAL,
                })
            },
            Err("it needs 108228: 1 more"),
        );
        check(|_| Ok(Space { free: 0, total: 0 }), Err("8228 more"));
        check(
            |_| {
                Ok(Space {
                    free: NEEDED + super::FREE_MAX,
                    total: u64::MAX,
                })
            },
            Ok(()),
        );
        check(
            |_| Err(std::io::ErrorKind::PermissionDenied.into()),
            Err("can't look at"),
        );
    }
}
