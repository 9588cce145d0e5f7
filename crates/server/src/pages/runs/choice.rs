//! Words to a run as buttons of its page: what one means depends on what the run waits for.

use model::Word;
use playbook::Wait;

/// What a person may say to a run now, and what it means.
pub(super) struct Choice {
    pub(super) word: Word,
    /// What stands on the button.
    pub(super) label: &'static str,
    pub(super) means: &'static str,
}

/// A word as a button, where a run waits like this or, without one, whatever it waits for.
pub(super) const fn choice(word: Word, wait: Option<&Wait>) -> Choice {
    let (label, means) = match word {
        Word::Yes if matches!(wait, Some(Wait::Guard(_))) => (
            "Keep it",
            "the step holds although a store suffers, and the run goes on: say why",
        ),
        Word::Yes => ("Yes, it holds", "the run goes on as if it does"),
        Word::No => ("No, it doesn't", "the run goes on as if it doesn't"),
        Word::Done => (
            "A person did it",
            "say what was done: nobody but a person undoes it",
        ),
        Word::Skip => ("Leave the step out", "the run goes on without it"),
        Word::Retry => ("Try it again", "it is done anew"),
        Word::Waive => (
            "Go on without evidence",
            "two people say so; what is changed then can't be shown to a court as it was",
        ),
        Word::Undo => (
            "Undo the whole run",
            "what holds is taken back, last step first; evidence stays",
        ),
        Word::Close => (
            "End it for good",
            "what undoes it is destroyed on the host: it can't be undone any more",
        ),
    };
    Choice { word, label, means }
}
