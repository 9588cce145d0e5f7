//! How long things took, each by one definition, from recorded times alone.

use model::{Handling, Incident, IncidentState, Timestamp};

/// A measure: its name, and the two times it lies between.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// In the API and in metrics, e.g. `time_to_contain`.
    pub id: &'static str,
    /// As shown.
    pub title: &'static str,
    /// How it is computed, for whoever reads the number.
    pub definition: &'static str,
    from: fn(&Incident, &Handling) -> Option<Timestamp>,
    to: fn(&Incident, &Handling) -> Option<Timestamp>,
}

/// Every measure, in the order of a life.
pub static MEASURES: [Measure; 6] = [
    Measure {
        id: "time_to_detect",
        title: "Time to detect",
        definition: "From the first event that a finding rests on to the first finding's being sealed. What happened before the first event isn't in it.",
        from: |incident, _| Some(incident.first),
        to: |incident, _| Some(incident.detected),
    },
    Measure {
        id: "time_to_acknowledge",
        title: "Time to acknowledge",
        definition: "From the first finding's being sealed to the first person who said that they look, or moved it.",
        from: |incident, _| Some(incident.detected),
        to: |_, handling| handling.acknowledged,
    },
    Measure {
        id: "time_to_declare",
        title: "Time to declare",
        definition: "From the acknowledgement to the declaration.",
        from: |_, handling| handling.acknowledged,
        to: |_, handling| reached(handling, IncidentState::Declared),
    },
    Measure {
        id: "time_to_contain",
        title: "Time to contain",
        definition: "From the declaration (the suspicion, where none was declared) to the containment that held.",
        from: |_, handling| called_out(handling),
        to: |_, handling| held(handling, IncidentState::Contained),
    },
    Measure {
        id: "time_to_recover",
        title: "Time to recover",
        definition: "From the declaration (the suspicion, where none was declared) to the shop's working as it should.",
        from: |_, handling| called_out(handling),
        to: |_, handling| held(handling, IncidentState::Recovered),
    },
    Measure {
        id: "time_to_close",
        title: "Time to close",
        definition: "From the first finding's being sealed to closing, the last one where it was reopened.",
        from: |incident, _| Some(incident.detected),
        to: |_, handling| held(handling, IncidentState::Closed),
    },
];

/// When the response began.
fn called_out(handling: &Handling) -> Option<Timestamp> {
    let declared = reached(handling, IncidentState::Declared);
    declared.or_else(|| reached(handling, IncidentState::Suspected))
}

fn reached(handling: &Handling, state: IncidentState) -> Option<Timestamp> {
    handling.reached.get(&state).copied()
}

/// When a state was reached that still holds: what somebody took back since was none.
fn held(handling: &Handling, state: IncidentState) -> Option<Timestamp> {
    let order = |state: IncidentState| IncidentState::ALL.iter().position(|known| *known == state);
    let over = matches!(
        handling.state,
        IncidentState::Reopened | IncidentState::FalsePositive | IncidentState::Merged
    );
    if over || order(handling.state) < order(state) {
        return None;
    }
    reached(handling, state)
}

/// Gives a measure of one incident in seconds; `None` while it isn't known.
#[must_use]
pub fn measure(measure: &Measure, incident: &Incident, handling: &Handling) -> Option<i64> {
    let (from, to) = (
        (measure.from)(incident, handling)?,
        (measure.to)(incident, handling)?,
    );
    // Clocks of shops go wrong; a time before its beginning is no time.
    Some(to.seconds_since(from)).filter(|seconds| *seconds >= 0)
}
