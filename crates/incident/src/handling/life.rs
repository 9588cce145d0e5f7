//! An incident's life: which move is possible from where, and what it asks for.

use model::IncidentState::{
    self, Closed, Contained, Declared, Eradicated, FalsePositive, Recovered, Reopened, Signal,
    Suspected, Triaged,
};

/// A move that is possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// From this state.
    pub from: IncidentState,
    /// To this one.
    pub to: IncidentState,
    /// Whether only who leads incidents may: it calls people out, or says that something is over.
    pub leads: bool,
    /// Whether a reason must be given.
    pub reason: bool,
    /// The button's words.
    pub words: &'static str,
    /// What it means, for whoever is about to do it.
    pub meaning: &'static str,
}

const fn step(
    from: IncidentState,
    to: IncidentState,
    words: &'static str,
    meaning: &'static str,
) -> Move {
    Move {
        from,
        to,
        leads: false,
        reason: false,
        words,
        meaning,
    }
}

const fn leads(mut step: Move) -> Move {
    step.leads = true;
    step
}

const fn why(mut step: Move) -> Move {
    step.reason = true;
    step
}

const TRIAGE: &str = "Somebody looked: it is worth working on. Starts no clock.";
const SUSPECT: &str = "Account data may be at risk. PCI DSS v4.0.1 req. 12.10 asks to respond at once, without waiting for proof; clocks that start from suspicion start now.";
const DECLARE: &str =
    "Calls out the response: whoever is on the plan is told, and time to contain counts from now.";
const CONTAIN: &str = "The attacker or the leak can no longer act: account, file, key or page closed, caches that could still serve it emptied.";
const ERADICATE: &str =
    "What made it possible is gone: the hole closed, every copy and back door found.";
const RECOVER: &str = "The shop works as it should, and looked at again shows nothing.";
const CLOSE: &str = "Done. Refused while a required stage is empty or a task is open.";
const DISMISS: &str =
    "Looked at, and nothing of the kind. Say what it was: the next one is judged by it.";
const BACK: &str =
    "It goes on after all. The time to contain is counted to the containment that held.";
const REOPEN: &str = "Something new: it is worked on again. What was filled in stays.";

/// Every move there is; what isn't here isn't possible.
const MOVES: [Move; 25] = [
    step(Signal, Triaged, "Take it on", TRIAGE),
    step(Signal, Suspected, "Suspect a leak", SUSPECT),
    leads(step(Signal, Declared, "Declare", DECLARE)),
    why(step(Signal, FalsePositive, "False positive", DISMISS)),
    step(Triaged, Suspected, "Suspect a leak", SUSPECT),
    leads(step(Triaged, Declared, "Declare", DECLARE)),
    why(step(Triaged, FalsePositive, "False positive", DISMISS)),
    leads(why(step(Triaged, Closed, "Close", CLOSE))),
    leads(step(Suspected, Declared, "Declare", DECLARE)),
    leads(step(Suspected, Contained, "Contained", CONTAIN)),
    leads(why(step(
        Suspected,
        FalsePositive,
        "False positive",
        DISMISS,
    ))),
    leads(step(Declared, Contained, "Contained", CONTAIN)),
    leads(why(step(
        Declared,
        FalsePositive,
        "False positive",
        DISMISS,
    ))),
    leads(step(Contained, Eradicated, "Eradicated", ERADICATE)),
    leads(why(step(Contained, Declared, "Not contained", BACK))),
    leads(step(Eradicated, Recovered, "Recovered", RECOVER)),
    leads(why(step(Eradicated, Declared, "Not contained", BACK))),
    leads(why(step(Recovered, Closed, "Close", CLOSE))),
    leads(why(step(Recovered, Declared, "Not contained", BACK))),
    leads(why(step(Closed, Reopened, "Reopen", REOPEN))),
    why(step(FalsePositive, Reopened, "Reopen", REOPEN)),
    step(Reopened, Suspected, "Suspect a leak", SUSPECT),
    leads(step(Reopened, Declared, "Declare", DECLARE)),
    leads(why(step(Reopened, Closed, "Close", CLOSE))),
    why(step(Reopened, FalsePositive, "False positive", DISMISS)),
];

/// The moves that are possible from a state, the likeliest first.
pub fn moves(from: IncidentState) -> impl Iterator<Item = &'static Move> {
    MOVES.iter().filter(move |step| step.from == from)
}

#[cfg(test)]
mod tests {
    use super::{Closed, Declared, FalsePositive, IncidentState, MOVES, Signal, moves};
    use std::collections::BTreeSet;

    #[test]
    fn every_state_is_reached_and_left_but_for_merged() {
        let mut reached = BTreeSet::from([Signal]);
        let mut more = true;
        while more {
            let next: Vec<_> = reached
                .iter()
                .flat_map(|from| moves(*from))
                .map(|step| step.to)
                .collect();
            let before = reached.len();
            reached.extend(next);
            more = reached.len() > before;
        }
        for state in IncidentState::ALL {
            assert_eq!(
                reached.contains(&state),
                state != IncidentState::Merged,
                "{state:?}"
            );
            assert_eq!(
                moves(state).next().is_some(),
                state != IncidentState::Merged,
                "{state:?}"
            );
        }
    }

    #[test]
    fn calling_people_out_and_ending_what_was_suspected_is_for_who_leads() {
        for step in &MOVES {
            if step.to == Declared || step.to == Closed {
                assert!(step.leads, "{step:?}");
            }
            if matches!(step.to, Closed | FalsePositive) {
                assert!(step.reason, "an end without a reason: {step:?}");
            }
        }
    }

    #[test]
    fn a_move_is_listed_once() {
        let pairs: BTreeSet<_> = MOVES.iter().map(|step| (step.from, step.to)).collect();
        assert_eq!(pairs.len(), MOVES.len());
    }
}
