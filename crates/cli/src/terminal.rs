//! What goes to a terminal: progress, colours, and text made inert.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use model::Level;

/// Whether standard output is a terminal that may show colours.
pub(crate) fn colours() -> bool {
    std::io::stdout().is_terminal() && !cfg!(test)
}

/// Makes any text from a log fit for one line of a terminal: inert, without line ends and tabs.
pub(crate) fn inert(text: &str) -> String {
    report::inert(text).replace(['\n', '\t'], " ")
}

/// A severity's word, coloured on a terminal.
pub(crate) fn level(level: Level) -> String {
    let name = level.name();
    if !colours() {
        return name.to_owned();
    }
    let colour = match level {
        Level::Critical => "1;35",
        Level::High => "1;31",
        Level::Medium => "1;33",
        Level::Low => "36",
        Level::Informational => "2",
    };
    format!("\u{1b}[{colour}m{name}\u{1b}[0m")
}

/// A progress bar over bytes, on standard error, only on a terminal.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// Starts a bar over `total` bytes.
    pub(crate) fn bytes(total: u64, what: &'static str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let style = "{msg} {wide_bar} {bytes}/{total_bytes} {eta}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.set_message(what);
        Self(bar)
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

impl engine::analyze::Progress for Bar {
    fn advance(&mut self, bytes: u64) {
        self.0.inc(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::inert;

    #[test]
    fn makes_escapes_and_direction_marks_inert() {
        assert_eq!(
            inert("a\u{1b}[31mb\u{202e}c\nd"),
            "a\u{fffd}[31mb\u{fffd}c d"
        );
    }
}
