//! The records of what came, changed and went.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use model::{Category, Field};

use super::packages::{Found, Judged};
use super::scan::{FoundContent, ReadFile, Unread};
use super::{Tree, layout};
use crate::observation::Observation;

/// Files of one package that aren't what was distributed and are told by name; the rest is a number.
pub(super) const NAMED_OF_PACKAGE_MAX: usize = 20;

/// Content rules that can't be used and are told by name; the rest is a number.
const REFUSED_MAX: usize = 50;

/// Files that aren't what was distributed, by their folder and what is said of them.
#[derive(Default)]
pub(super) struct Crowd(BTreeMap<(String, Judged), usize>);

impl Crowd {
    /// Takes one more; tells whether it is to be told by its name.
    pub(super) fn takes(&mut self, name: &str, judged: &Judged) -> bool {
        let folder: Vec<_> = name.splitn(4, '/').take(3).collect();
        let count = self
            .0
            .entry((folder.join("/"), judged.clone()))
            .or_default();
        *count += 1;
        *count <= NAMED_OF_PACKAGE_MAX
    }
}

impl Tree {
    /// Says what a file is to its package, and remembers it; `None` when it went.
    pub(super) fn judge(&mut self, name: &str, read: Option<&ReadFile>) -> Judged {
        let found = read.map_or(Found::Gone, |read| {
            read.hash.map_or(Found::Unread, Found::Content)
        });
        let judged = self.packages.judge(name, found);
        if let Some(state) = self.files.get_mut(name) {
            state.known = judged.known;
        }
        judged
    }

    pub(super) fn plain(&self, change: &str, count: usize) -> Observation {
        Observation::new(Category::File, (self.clock)())
            .text(Field::Change, change)
            .text(Field::Against, &self.root.display().to_string())
            .int(Field::ChangeCount, i64::try_from(count).unwrap_or(i64::MAX))
    }

    pub(super) fn observe(
        &self,
        name: &str,
        change: &str,
        read: Option<&ReadFile>,
        judged: &Judged,
    ) -> Vec<u8> {
        let mut observation = Observation::new(Category::File, (self.clock)())
            .text(Field::FilePath, name)
            .text(Field::Change, change)
            .text(Field::FileClass, layout::class(name));
        observation = say(observation, judged);
        if layout::may_not_run(layout::place(name)) && layout::is_executable_name(name) {
            observation = observation.text(Field::Context, "named as code where none may run");
        }
        if let Some(read) = read {
            observation = observation
                .int(
                    Field::FileBytes,
                    i64::try_from(read.state.size).unwrap_or(i64::MAX),
                )
                .text(Field::FileMode, &format!("{:04o}", read.state.mode))
                .text(Field::FileOwner, &self.accounts.name(read.state.owner))
                .text(Field::FileHash, &read.state.hash)
                .list(
                    Field::FileContent,
                    read.content
                        .kinds
                        .iter()
                        .chain(read.content.is_polyglot.then_some(&"polyglot")),
                )
                .list(Field::Signatures, &read.content.signatures);
            if read.content.cards > 0 {
                observation = observation.int(Field::FileCards, i64::from(read.content.cards));
            }
            let why = [
                (read.content.is_unread, "it can't be read"),
                (
                    read.content.is_unfinished,
                    "content rules took too long for it",
                ),
                (read.content.is_unstable, "it changed while it was read"),
            ];
            if let Some((_, why)) = why.iter().find(|(is, _)| *is) {
                observation = observation.text(Field::Against, why);
            }
            if let Some(writer) = &read.writer {
                observation = writer.put(observation, &self.accounts);
            }
        }
        observation.record()
    }

    /// The record of content rules that can't be used, if there are any; a number, and the first by name.
    pub(super) fn rules_refused(&self) -> Option<Vec<u8>> {
        let refused = self.reading.signatures.refused();
        let record = self.plain("rules_refused", refused.len()).list(
            Field::RowValues,
            refused.iter().take(REFUSED_MAX).map(ToString::to_string),
        );
        (!refused.is_empty()).then(|| record.record())
    }

    /// Tells how many more there were of what was told by name.
    pub(super) fn rest(&self, crowd: Crowd) -> Vec<Vec<u8>> {
        let more = crowd.0.into_iter().filter_map(|((folder, judged), count)| {
            let more = count
                .checked_sub(NAMED_OF_PACKAGE_MAX)
                .filter(|more| *more > 0)?;
            let observation = self
                .plain("seen", more)
                .text(Field::FileClass, "vendor")
                .text(Field::Context, &format!("more files of code in {folder}"));
            Some(say(observation, &judged).record())
        });
        more.collect()
    }
}

fn say(observation: Observation, judged: &Judged) -> Observation {
    observation
        .text(Field::FileKnown, judged.known.name())
        .text(Field::Package, &judged.package)
        .text(Field::PackageVersion, &judged.version)
        .list(Field::PackagePatches, &judged.patches)
}

/// Whether a file has no business where it is, and is told by itself whatever comes with it.
///
/// Code holds long numbers of its own that look like a card's, so they count where no code lies.
pub(super) fn stands_alone(name: &str, content: &FoundContent) -> bool {
    let runs = layout::is_executable_name(name)
        || layout::is_server_settings(name)
        || content.kinds.contains(&"php");
    !content.signatures.is_empty()
        || content.is_unfinished
        || content.is_polyglot
        || (content.cards > 0 && !layout::is_deployed(layout::place(name)))
        || (layout::may_not_run(layout::place(name)) && runs)
}

/// Whether a file is code, for PHP, for Magento or for a browser, and not what was distributed.
pub(super) fn is_foreign_code(name: &str, content: &FoundContent, judged: &Judged) -> bool {
    let is_code = layout::is_code_name(name)
        || content
            .kinds
            .iter()
            .any(|kind| matches!(*kind, "php" | "javascript" | "html"));
    judged.known.is_foreign() && is_code
}

pub(super) fn unread_words(unread: &Unread) -> String {
    let (refused, special) = (
        unread.refused.load(Ordering::Relaxed),
        unread.special.load(Ordering::Relaxed),
    );
    format!("{refused} can't be read, {special} are links, sockets or devices")
}
