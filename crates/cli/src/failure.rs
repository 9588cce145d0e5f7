//! What went wrong, to what, and what to do next: the only place that turns errors into text.

use std::error::Error;
use std::io::Write as _;

/// An error on its way to a person, with the hint apart from it.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: String,
}

impl Failure {
    /// Makes a failure from an error with its causes.
    pub(crate) fn new(error: &(dyn Error + 'static), hint: impl Into<String>) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message.push_str(&format!("\n  because {error}"));
            cause = error.source();
        }
        Self {
            message,
            hint: hint.into(),
        }
    }

    /// Makes a failure from words.
    pub(crate) fn say(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// Writes it to standard error.
    pub(crate) fn print(&self) {
        let mut out = std::io::stderr().lock();
        // Nobody is left to be told when standard error is closed.
        drop(writeln!(out, "error: {}", self.message));
        if !self.hint.is_empty() {
            drop(writeln!(out, "  try: {}", self.hint));
        }
    }
}

/// Turns any error into a [`Failure`] with a hint.
pub(crate) trait OrFail<T> {
    /// Adds what to do next.
    fn or_fail(self, hint: &str) -> Result<T, Failure>;
}

impl<T, E: Error + 'static> OrFail<T> for Result<T, E> {
    fn or_fail(self, hint: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(&error, hint))
    }
}
