//! Evidence that the server asks for, handed over on a thread of its own: a large file holds up no report.

use std::collections::{BTreeSet, VecDeque};
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

/// Pieces that are handed over by one thread, and that wait for it at most.
const AT_ONCE: usize = 8;
const WAITING_MAX: usize = 1000;

/// What is to be handed over, and the thread that does.
#[derive(Default)]
pub(super) struct Handing {
    thread: Option<JoinHandle<Vec<String>>>,
    waiting: VecDeque<WantedPiece>,
    /// What was said already: it is asked for again.
    said: BTreeSet<String>,
}

impl Handing {
    /// Takes what is wanted.
    pub(super) fn want(&mut self, wanted: &[WantedPiece]) {
        for piece in wanted {
            if self.waiting.len() < WAITING_MAX && !self.waiting.contains(piece) {
                self.waiting.push_back(piece.clone());
            }
        }
    }

    /// Hands some of it over, unless it is at it.
    pub(super) fn go_on(&mut self, folder: &Path) {
        if self.waiting.is_empty() || self.thread.is_some() {
            return;
        }
        let count = self.waiting.len().min(AT_ONCE);
        let wanted: Vec<_> = self.waiting.drain(..count).collect();
        let folder = folder.to_owned();
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
