//! What mail is for the pipeline: a sink that takes everything at once, since the clerk looks for himself, and says whether letters go.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::{Finding, Incident};
use sinks::{Decided, Sink, SinkError};

use crate::desk::MailCounts;

/// Whether letters go, and how many did. Shared by the clerk and whoever shows it.
#[derive(Debug, Default)]
pub struct MailState {
    sent: AtomicU64,
    failed: AtomicU64,
    joined: AtomicU64,
    waiting: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl MailState {
    pub(super) fn sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn joins(&self, more: u64) {
        self.joined.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn waits(&self, count: u64) {
        self.waiting.store(count, Ordering::Relaxed);
    }

    pub(super) fn fails(&self, why: &str) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        *self.trouble() = Some(why.to_owned());
    }

    pub(super) fn works(&self) {
        *self.trouble() = None;
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counters since the start.
    #[must_use]
    pub fn counts(&self) -> MailCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        MailCounts {
            sent: read(&self.sent),
            failed: read(&self.failed),
            joined: read(&self.joined),
            waiting: read(&self.waiting),
        }
    }

    fn result(&self) -> Result<(), SinkError> {
        match &*self.trouble() {
            None => Ok(()),
            Some(why) => {
                let waiting = self.waiting.load(Ordering::Relaxed);
                let why = format!("{why}; {waiting} incidents wait to be told, it is tried again");
                Err(SinkError::Refused { why })
            }
        }
    }
}

/// Mail among the sinks.
pub struct MailSink(pub Arc<MailState>);

impl Sink for MailSink {
    fn name(&self) -> &'static str {
        "mail"
    }

    fn finding(&mut self, _: &Finding, _: &str) -> Result<(), SinkError> {
        self.0.result()
    }

    fn incident(&mut self, _: &Incident, _: &str) -> Result<(), SinkError> {
        self.0.result()
    }

    fn decision(&mut self, _: &Decided<'_>, _: &str) -> Result<(), SinkError> {
        self.0.result()
    }

    fn works(&self) -> Option<Result<(), SinkError>> {
        Some(self.0.result())
    }

    /// Waits for nothing: what isn't told yet is told after the next start.
    fn flush(&mut self) -> Result<(), SinkError> {
        self.0.result()
    }
}
