//! Incidents that began about when another did: how long before or after, and what the two share so far.
//!
//! Apart from grouping, which joins by what two findings share: what lies near in time and shares nothing yet may be one attacker all
//! the same, and only a person can say so.

use std::collections::BTreeSet;

use engine::desk::{Brief, Sight, Work};
use model::{Actor, Incident, IncidentState, Timestamp};

use super::shortened;

/// Seconds between two beginnings that are told of.
const SECONDS_MAX: i64 = 600;
/// Incidents told of, and things that they share.
const NEAR_MAX: usize = 4;
const SHARED_MAX: usize = 4;

/// An incident that began about when another did.
pub(super) struct Near {
    pub(super) work: Work,
    /// When this one began against it, e.g. `12 s after`.
    pub(super) when: String,
    /// What they share, each in words; nothing yet where it is empty.
    pub(super) shared: Vec<String>,
}

/// How long after another one began.
fn after(this: Timestamp, other: Timestamp) -> String {
    let seconds = this.seconds_since(other);
    let span = match seconds.unsigned_abs() {
        0 => return "in the same second as".to_owned(),
        span @ 1..120 => format!("{span} s"),
        span => format!("{} min", span / 60),
    };
    let side = if seconds > 0 { "after" } else { "before" };
    format!("{span} {side}")
}

/// What two incidents have in common, in words.
fn shared(this: &Incident, other: &Brief) -> Vec<String> {
    let actor = |actor: &Actor| format!("{} {}", actor.kind.name(), shortened(&actor.value, 60));
    let theirs: BTreeSet<&Actor> = other.actors.iter().collect();
    let actors = this.actors.iter().filter(|one| theirs.contains(one));
    let names: BTreeSet<_> = other
        .assets
        .iter()
        .map(|one| (one.kind, &one.name))
        .collect();
    let assets = this.assets.iter();
    let assets = assets.filter(|one| names.contains(&(one.kind, &one.name)));
    let assets = assets.map(|one| shortened(&one.name, 60));
    actors.map(actor).chain(assets).take(SHARED_MAX).collect()
}

/// Incidents that began within minutes of one, the nearest first; those it is known to hang together with are left out.
pub(super) fn near(sight: &Sight, incident: &Incident, related: &[(Work, String)]) -> Vec<Near> {
    let all = sight.incidents();
    let distance = |work: &Work| work.incident.first.seconds_since(incident.first).abs();
    let mut found: Vec<&Work> = all
        .iter()
        .filter(|work| {
            work.incident.id != incident.id
                && work.incident.lane == incident.lane
                && !matches!(
                    work.state,
                    IncidentState::Merged | IncidentState::FalsePositive
                )
                && distance(work) <= SECONDS_MAX
                && related
                    .iter()
                    .all(|(known, _)| known.incident.id != work.incident.id)
        })
        .collect();
    found.sort_by_key(|work| (distance(work), &work.incident.id));
    found.truncate(NEAR_MAX);
    let told = found.into_iter().map(|work| Near {
        when: after(incident.first, work.incident.first),
        shared: shared(incident, &work.incident),
        work: work.clone(),
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::after;
    use model::Timestamp;

    #[test]
    fn a_beginning_is_told_from_anothers() {
        let at = Timestamp::from_seconds;
        for (this, other, words) in [
            (100, 88, "12 s after"),
            (88, 100, "12 s before"),
            (100, 100, "in the same second as"),
            (700, 100, "10 min after"),
        ] {
            assert_eq!(after(at(this), at(other)), words);
        }
    }
}
