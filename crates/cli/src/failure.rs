//! What went wrong, to what, and what to do next: the only place that turns errors into text.

use std::error::Error;
use std::io::Write as _;

use crate::terminal::inert;

/// An error on its way to a person, with the hint apart from it.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    causes: Vec<String>,
    hint: String,
}

impl Failure {
    /// Makes a failure from an error with its causes.
    pub(crate) fn new(error: &(dyn Error + 'static), hint: impl Into<String>) -> Self {
        let mut failure = Self::say(error.to_string(), hint);
        let mut cause = error.source();
        while let Some(error) = cause {
            failure.causes.push(error.to_string());
            cause = error.source();
        }
        failure
    }

    /// Makes a failure from words.
    pub(crate) fn say(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            causes: Vec::new(),
            hint: hint.into(),
        }
    }

    /// Writes it to standard error.
    pub(crate) fn print(&self) {
        // Nobody is left to be told when standard error is closed.
        drop(std::io::stderr().write_all(self.text().as_bytes()));
    }

    /// The text: each part on a line of its own and inert, since a part may quote a log or a server.
    fn text(&self) -> String {
        let mut text = format!("error: {}\n", inert(&self.message));
        for cause in &self.causes {
            text.push_str(&format!("  because {}\n", inert(cause)));
        }
        if !self.hint.is_empty() {
            text.push_str(&format!("  try: {}\n", inert(&self.hint)));
        }
        text
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

#[cfg(test)]
mod tests {
    use super::Failure;

    #[test]
    fn what_a_log_says_can_neither_colour_a_terminal_nor_forge_a_line() {
        let cause = std::io::Error::other("x\u{1b}[2J\n  try: rm -rf /");
        let failure = Failure::new(&std::io::Error::other(cause), "look\u{202e}");
        assert_eq!(
            failure.text(),
            "error: x\u{fffd}[2J   try: rm -rf /\n  try: look\u{fffd}\n"
        );
        let told = Failure::say("a\nb", "");
        assert_eq!(told.text(), "error: a b\n");
    }
}
