//! Evidence that the server asks for, handed over on a thread of its own: a large file holds up no report.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread::JoinHandle;

use link::Client;
use link::wire::{EVIDENCE, Taken};
use model::WantedPiece;

use super::hands::said;
use super::kept;
use crate::runs::{Place, evidence, read};

/// Troubles that were said, at most: then they are said once more.
const SAID_MAX: usize = 1000;

/// The thread, as long as it has something to hand over.
#[derive(Default)]
pub(super) struct Handing {
    thread: Option<JoinHandle<Vec<String>>>,
    /// What was said already: it is asked for again each minute.
    said: BTreeSet<String>,
}

impl Handing {
    /// Begins to hand over what is wanted, unless it is at it: what isn't handed over is asked for again.
    pub(super) fn begin(&mut self, folder: &Path, wanted: &[WantedPiece]) {
        if wanted.is_empty() || self.thread.is_some() {
            return;
        }
        let (folder, wanted) = (folder.to_owned(), wanted.to_vec());
        let thread = std::thread::Builder::new().name("evidence".to_owned());
        let thread = thread.spawn(move || hand_over(&folder, &wanted));
        self.thread = thread.ok();
    }

    /// Why something could not be handed over, once it is known and where that is new.
    pub(super) fn troubles(&mut self) -> Vec<String> {
        let ended = self.thread.take_if(|thread| thread.is_finished());
        let mut troubles = ended.map_or_else(Vec::new, |thread| thread.join().unwrap_or_default());
        if self.said.len() > SAID_MAX {
            self.said.clear();
        }
        troubles.retain(|trouble| self.said.insert(trouble.clone()));
        troubles
    }
}

fn hand_over(folder: &Path, wanted: &[WantedPiece]) -> Vec<String> {
    // As it is now: certificates are renewed elsewhere.
    let client = kept::identity(folder).map_err(|error| said(&error));
    let client = client.and_then(|one| Client::new(&one).map_err(|error| said(&error)));
    let client = match client {
        Ok(client) => client,
        Err(error) => return vec![error],
    };
    let place = Place::below(folder);
    let mut out = Vec::new();
    for piece in wanted {
        let WantedPiece { run, hash } = piece;
        let known = read(&place.journals(), run);
        let known = known.map_err(|error| said(&error));
        let content = known.and_then(|run| {
            let gone = "isn't here any more, or isn't what was kept".to_owned();
            evidence::find(&place, &run, hash).ok_or(gone)
        });
        let content = match content {
            Ok(content) => content,
            Err(why) => {
                out.push(format!("{run}: evidence {hash} {why}"));
                continue;
            }
        };
        let path = format!("{EVIDENCE}?run={run}&sha256={hash}");
        if let Err(error) = client.post_bytes::<Taken>(&path, &content) {
            out.push(format!("{run}: evidence {hash} isn't handed over: {error}"));
        }
    }
    out
}
