//! Counts changes down to a death that tests ask for, whatever it is that changes: a file or the database.

use std::fmt::Display;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::ActionError;

/// Every change takes one step of it before it is made.
pub(crate) struct Steps {
    left: AtomicU32,
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            left: AtomicU32::new(u32::MAX),
        }
    }
}

impl Steps {
    /// From now on as many steps are done as `steps` says, and then none, as if the process had been killed.
    pub(crate) fn die_after(&self, steps: u32) {
        self.left.store(steps, Ordering::SeqCst);
    }

    /// Whether that came to pass.
    pub(crate) fn died(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    /// One step is about to be done.
    pub(crate) fn step(&self, what: impl Display) -> Result<(), ActionError> {
        let count = |left: u32| match left {
            0 => None,
            u32::MAX => Some(u32::MAX),
            left => Some(left - 1),
        };
        let counted = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, count);
        counted.map(drop).map_err(|_| ActionError::Ended {
            before: what.to_string(),
        })
    }
}
