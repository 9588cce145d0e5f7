//! A ledger read beside whoever writes it.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use parse::Context;

use super::{Ledger, LedgerError};

/// A ledger that is read while another writes it; takes in what was sealed when it is asked for.
pub struct Beside {
    context: Context,
    open: Mutex<Ledger>,
}

impl Beside {
    /// Opens a ledger to read. `context` as in [`Ledger::create_or_open`].
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when files or keys can't be read.
    pub fn open(folder: &Path, keys: &Path, context: Context) -> Result<Self, LedgerError> {
        let open = Mutex::new(Ledger::open_read(folder, keys, &context)?);
        Ok(Self { context, open })
    }

    /// Reads in the ledger, as it is once it holds `size` entries.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] when it can't be read.
    pub fn with<T>(
        &self,
        size: u64,
        read: impl FnOnce(&Ledger) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if size > open.len() {
            open.look_again(&self.context)?;
        }
        read(&open)
    }
}
