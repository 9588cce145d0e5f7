//! A host in memory that carries out what the console tells it, and tells what came of it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use engine::containment::HostDesk;
use engine::link::{Hosts as _, ReportError};
use model::{
    Happened, HostReply, HostReport, Instructed, Instruction, ORDER_VERSION, Piece, Refused,
    RunChange, RunEntry,
};
use playbook::{Run, Turn};

use super::attaching::Sealing;
use crate::hostile::HOSTILE;
use crate::opened::NOW;

pub(super) const HOST: &str = "shop1";
/// What it kept, with its SHA-256.
pub(super) const PROCESSES: &[u8] = b"pid\tuser\n1\troot\n";
pub(super) const PROCESSES_HASH: &str =
    "934634c61e6cefc8fe6466012ad8911ff6fd45edff5dfc12a3f456f15265b1d0";
/// What it kept without masking it.
pub(super) const READABLE: &[u8] = b"card 4111111111111111\n";
pub(super) const READABLE_HASH: &str =
    "138f50b6346daed21278f97e119626f49bfc7cf45dbb792365f26b3fe4c8a500";

fn piece(name: &str, content: &[u8], hash: &str) -> Piece {
    Piece {
        name: name.to_owned(),
        bytes: content.len() as u64,
        hash: hash.to_owned(),
        lacks: String::new(),
    }
}

/// A host that does what it is told, in memory: each entry as the real one writes it down.
pub(super) struct Shop<'a> {
    on: &'a Sealing,
    pub(super) desk: HostDesk,
    runs: RefCell<BTreeMap<String, Run>>,
}

impl<'a> Shop<'a> {
    pub(super) fn of(on: &'a Sealing) -> Self {
        let plans = link::Plans::new(&[7; 32]);
        let desk = HostDesk::new(on.decider.clone(), "shop".to_owned(), plans, || NOW);
        Self {
            on,
            desk,
            runs: RefCell::default(),
        }
    }

    pub(super) fn try_report(
        &self,
        host: &str,
        entries: &[RunEntry],
        refused: &[Refused],
    ) -> Result<HostReply, ReportError> {
        let report = HostReport {
            v: ORDER_VERSION,
            at: NOW,
            program: "magewarden 0".to_owned(),
            actions: vec!["block_network".to_owned()],
            frozen: String::new(),
            entries: entries.to_vec(),
            refused: refused.to_vec(),
            sales: None,
        };
        let reported = self.desk.report(host, report, NOW);
        self.on.stage.runtime.block_on(reported)
    }

    pub(super) fn report(&self, entries: &[RunEntry]) -> Vec<Instruction> {
        let reply = self.try_report(HOST, entries, &[]).expect("taken");
        let texts = reply.instructions.iter();
        texts
            .map(|one| serde_json::from_str(&one.text).expect("an instruction"))
            .collect()
    }

    /// Something happens at its only run.
    pub(super) fn happens(&self, what: impl FnOnce(&Run) -> Happened) {
        let entry = {
            let mut runs = self.runs.borrow_mut();
            let run = runs.values_mut().next().expect("a run");
            let entry = run.entry(what(run), NOW);
            run.take(&entry).expect("follows");
            entry
        };
        self.report(&[entry]);
    }

    /// Takes what there is to do, and goes on until the run waits.
    pub(super) fn work(&self) -> Vec<RunEntry> {
        let mut told = Vec::new();
        for one in self.report(&[]) {
            let mut runs = self.runs.borrow_mut();
            let entry = match one.what {
                Instructed::Begin {
                    plan,
                    hash,
                    answers,
                } => {
                    let entry = RunEntry {
                        v: model::RUN_VERSION,
                        run: one.run.clone(),
                        number: 0,
                        at: NOW,
                        order: one.order,
                        what: Happened::Approved {
                            plan,
                            hash,
                            by: one.by,
                            answers,
                        },
                    };
                    runs.insert(one.run.clone(), Run::begin(&entry).expect("begins"));
                    entry
                }
                Instructed::Say { word, note, .. } => {
                    let run = runs.get_mut(&one.run).expect("begun");
                    let said = run.said(word, &one.by, &note).expect("fits");
                    let mut entry = run.entry(said, NOW);
                    entry.order = one.order;
                    run.take(&entry).expect("follows");
                    entry
                }
                _ => continue,
            };
            told.push(entry);
            let run = runs.get_mut(&one.run).expect("begun");
            while let Some(what) = next(run) {
                let entry = run.entry(what, NOW);
                run.take(&entry).expect("follows");
                told.push(entry);
            }
        }
        if !told.is_empty() {
            assert_eq!(self.report(&told), Vec::new(), "nothing is told twice");
        }
        told
    }
}

/// What happens next at a host at which everything works.
fn next(run: &Run) -> Option<Happened> {
    Some(match run.turn() {
        Turn::Keep(step) => Happened::Kept {
            step,
            pieces: vec![
                piece("processes", PROCESSES, PROCESSES_HASH),
                piece("file pub/media/x.php", READABLE, READABLE_HASH),
            ],
        },
        Turn::Survey(step) => Happened::Surveyed {
            step,
            changes: vec![RunChange {
                what: "network".to_owned(),
                now: format!("let in {}", HOSTILE[0]),
                then: "refused".to_owned(),
            }],
            kept: "1".repeat(64),
            already: false,
        },
        Turn::Act(step) => Happened::Intended {
            step,
            unsealed: false,
        },
        Turn::Settle(step) => Happened::Done { step },
        Turn::Skip(step, why) => Happened::Skipped {
            step,
            why,
            by: None,
        },
        Turn::Undo(step) => match run.steps.get(step).map(|one| &one.state) {
            Some(playbook::StepState::UndoIntended) => Happened::Undone {
                step,
                lost: String::new(),
            },
            _ => Happened::UndoIntended { step },
        },
        Turn::Wait(_) | Turn::Nothing => return None,
    })
}
