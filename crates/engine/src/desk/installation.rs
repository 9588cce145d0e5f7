//! What the desk knows of the installation itself, of no incident: its sources, what is there, and what is counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::SourceId;

use super::{Desk, GapView, MailCounts, Overview, SourceView};
use crate::inventory::List;
use crate::pause::Held;
use crate::rulebook::RuleBook;

impl Desk {
    /// Every source.
    #[must_use]
    pub fn sources(&self) -> Vec<SourceView> {
        self.state().sources.clone()
    }

    /// Whether a source of this name is read: sinks and the state, which stand among them, aren't.
    pub(crate) fn reads_source(&self, source: &str) -> bool {
        let is_it = |known: &SourceView| known.id == source && known.is_source();
        self.state().sources.iter().any(is_it)
    }

    /// Pauses of sources, as they were told last: ask each whether it holds.
    #[must_use]
    pub fn pauses(&self) -> Vec<Held> {
        self.state().pauses.clone()
    }

    /// Every gap.
    #[must_use]
    pub fn gaps(&self) -> Vec<GapView> {
        self.state().gaps.clone()
    }

    /// Lists of what is there, by their sources.
    #[must_use]
    pub fn lists(&self) -> BTreeMap<SourceId, Arc<List>> {
        self.state().lists.clone()
    }

    /// The rules that are judged by.
    #[must_use]
    pub fn rules(&self) -> Arc<RuleBook> {
        Arc::clone(&self.state().rules)
    }

    /// The counters, once there are any.
    #[must_use]
    pub fn overview(&self) -> Option<Overview> {
        self.state().overview.clone()
    }

    /// Counters of mail; `None` where nobody is told by it.
    #[must_use]
    pub fn mail(&self) -> Option<MailCounts> {
        self.state().mail
    }
}
