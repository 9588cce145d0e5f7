//! Calls to the server on a thread of their own: whoever stops doesn't wait for an answer that waits.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use link::wire::{Certified, LINK_VERSION, RENEW, REPORT};
use link::{CallError, Client, Identity, LinkError};
use model::{HostReply, HostReport, Timestamp};

use super::kept::keep_identity;
use super::seals::Seals;

/// Shortest and longest pause after a call that came to nothing.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Something for the server.
struct Ask {
    report: HostReport,
    wait_seconds: u64,
    now: Timestamp,
}

/// The thread, and what it was asked last.
pub(super) struct Calls {
    ask: SyncSender<Ask>,
    answers: Receiver<Result<HostReply, CallError>>,
    is_out: bool,
}

impl Calls {
    /// Begins; it ends with the process, or when this is dropped and no answer is waited for.
    pub(super) fn begin(folder: &Path, identity: Identity) -> Result<Self, BeginError> {
        let (ask, asked) = sync_channel(1);
        let (answer, answers) = sync_channel(1);
        let mut caller = Caller {
            client: Client::new(&identity)?,
            identity,
            folder: folder.to_owned(),
        };
        std::thread::Builder::new()
            .name("link".to_owned())
            .spawn(move || {
                while let Ok(ask) = asked.recv() {
                    if answer.send(caller.call(&ask)).is_err() {
                        return;
                    }
                }
            })
            .map_err(|source| BeginError::Thread { source })?;
        Ok(Self {
            ask,
            answers,
            is_out: false,
        })
    }

    pub(super) fn is_out(&self) -> bool {
        self.is_out
    }

    pub(super) fn ask(&mut self, report: HostReport, wait_seconds: u64) {
        let ask = Ask {
            now: report.at,
            report,
            wait_seconds,
        };
        self.is_out = self.ask.try_send(ask).is_ok();
    }

    /// What comes back within a time, if anything does; the whole time passes where nothing is asked and no step begins to wait.
    pub(super) fn answer(
        &mut self,
        within: Duration,
        seals: &Seals,
    ) -> Option<Result<HostReply, CallError>> {
        if !self.is_out {
            seals.rest(within);
            return None;
        }
        match self.answers.recv_timeout(within) {
            Ok(answer) => {
                self.is_out = false;
                Some(answer)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                self.is_out = false;
                let why = "the thread that calls it broke".to_owned();
                Some(Err(CallError::Away { why }))
            }
        }
    }
}

/// Why calls can't be begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// What was enrolled with can't be used.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// There is no thread.
    #[error("the machine has no room for another thread")]
    Thread {
        /// What it said.
        source: std::io::Error,
    },
}

struct Caller {
    client: Client,
    identity: Identity,
    folder: PathBuf,
}

impl Caller {
    fn call(&mut self, ask: &Ask) -> Result<HostReply, CallError> {
        let is_renewed = match self.identity.is_to_renew(ask.now) {
            true => self.renew(),
            false => Ok(()),
        };
        if is_renewed.is_err() && self.identity.is_over(ask.now) {
            let until = self.identity.certificate.until;
            return Err(CallError::Away {
                why: format!("this host's certificate was over at {until}: enrol it anew"),
            });
        }
        // A report needs the old one alone, as long as it holds.
        self.client.post(REPORT, &ask.report, ask.wait_seconds)
    }

    fn renew(&mut self) -> Result<(), CallError> {
        let away = |why: String| CallError::Away { why };
        let body = serde_json::json!({ "v": LINK_VERSION });
        let certificate: Certified = self.client.post(RENEW, &body, 0)?;
        let identity = self.identity.renewed(certificate);
        let client = Client::new(&identity).map_err(|error| away(error.to_string()))?;
        keep_identity(&self.folder, &identity).map_err(|error| away(error.to_string()))?;
        (self.client, self.identity) = (client, identity);
        Ok(())
    }
}

/// How long to wait after so many calls that came to nothing; `chance` keeps hosts of one shop from calling at once.
pub(super) fn pause(failures: u32, chance: u8) -> Duration {
    let doubled = PAUSE_MIN * 2_u32.saturating_pow(failures.saturating_sub(1).min(5));
    let most = doubled.min(PAUSE_MAX);
    // Between half of it and all of it.
    most / 2 + most / 2 * u32::from(chance) / 255
}

#[cfg(test)]
mod tests {
    use super::pause;
    use std::time::Duration;

    #[test]
    fn pauses_grow_to_half_a_minute_and_differ_by_chance() {
        let seconds: Vec<_> = (1..9)
            .map(|failures| pause(failures, 255).as_secs())
            .collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(pause(3, 0), Duration::from_secs(2));
        assert!(pause(u32::MAX, 128) < Duration::from_secs(30));
        assert!(pause(0, 0) >= Duration::from_millis(500));
    }
}
