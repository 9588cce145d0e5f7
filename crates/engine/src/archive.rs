//! Where what was decided is in the ledger: findings and incidents that rest are read there, and not held.
//!
//! A few bytes of memory for each finding, however long it is and however old. What is read is what was sealed.

use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::Path;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use model::{Finding, Incident, IncidentState, Sequence, Timestamp};
use parse::Context;
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::compact::Compact;
use crate::ledger::{Beside, Ledger};
use crate::sealed::Decided;

/// Reads the payload of an entry; `None` when it isn't there or was destroyed.
pub type PayloadReader = Box<dyn Fn(Sequence) -> Option<Vec<u8>> + Send + Sync>;

/// Where findings and incidents are. Clones share it.
#[derive(Clone)]
pub struct Archive(Arc<Inner>);

struct Inner {
    places: RwLock<Places>,
    read: PayloadReader,
}

#[derive(Default)]
struct Places {
    findings: Compact<Place>,
    /// Names of incidents and the entries of their last states.
    incidents: Vec<(Arc<str>, Option<Sequence>)>,
    numbers: BTreeMap<Arc<str>, NonZeroU32>,
}

/// Where in the list the incident of a number is.
const fn at(number: NonZeroU32) -> usize {
    number.get() as usize - 1
}

#[derive(Clone, Copy, Default)]
struct Place {
    /// The entry's number and one, so that none takes no room.
    after: Option<NonZeroU64>,
    detected: Timestamp,
    /// The incident's place in the list and one.
    incident: Option<NonZeroU32>,
}

impl Archive {
    /// Makes one that knows of nothing yet and reads by `read`.
    #[must_use]
    pub fn new(read: PayloadReader) -> Self {
        let places = RwLock::default();
        Self(Arc::new(Inner { places, read }))
    }

    /// Reads from the ledger in a folder; it is opened when something is read first.
    #[must_use]
    pub fn of_ledger(ledger: &Path, keys: &Path, context: Context) -> Self {
        let (folder, keys) = (ledger.to_owned(), keys.to_owned());
        let open = OnceLock::new();
        Self::new(Box::new(move |sequence| {
            let opened = open.get_or_init(|| Beside::open(&folder, &keys, context.clone()).ok());
            let read = |ledger: &Ledger| ledger.read(sequence);
            opened.as_ref()?.with(sequence.0 + 1, read).ok()?.payload
        }))
    }

    /// Takes that an incident's latest state is sealed, and which findings are in it.
    pub fn note_incident(&self, incident: &Incident, sequence: Sequence) {
        let mut places = self
            .0
            .places
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let places = &mut *places;
        let number = match places.numbers.get(incident.id.as_str()) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(places.incidents.len() + 1).ok();
                let Some(number) = number.and_then(NonZeroU32::new) else {
                    return;
                };
                let name: Arc<str> = incident.id.as_str().into();
                places.incidents.push((Arc::clone(&name), None));
                places.numbers.insert(name, number);
                number
            }
        };
        if let Some((_, known)) = places.incidents.get_mut(at(number)) {
            *known = Some(sequence);
        }
        // What went into another is told of by the other.
        if incident.state == IncidentState::Merged {
            return;
        }
        for joined in &incident.findings {
            let place = places.findings.entry(key(&joined.finding));
            place.incident = Some(number);
        }
    }

    /// Takes that a finding's latest state is sealed; when it was sealed first, the earliest told counts.
    pub fn note_finding(&self, id: &str, sequence: Sequence, detected: Timestamp) {
        let mut places = self
            .0
            .places
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let place = places.findings.entry(key(id));
        place.detected = match place.after {
            Some(_) => place.detected.min(detected),
            None => detected,
        };
        place.after = NonZeroU64::new(sequence.0 + 1);
    }

    /// Whether a finding was sealed.
    #[must_use]
    pub fn knows(&self, finding: &str) -> bool {
        self.place(finding)
            .is_some_and(|place| place.after.is_some())
    }

    /// How many findings were sealed, each counted once.
    #[must_use]
    pub fn findings(&self) -> usize {
        let places = self.0.places.read().unwrap_or_else(PoisonError::into_inner);
        places.findings.len()
    }

    /// A finding's last sealed state, and when it was sealed first.
    #[must_use]
    pub fn finding(&self, id: &str) -> Option<(Finding, Timestamp)> {
        let place = self.place(id)?;
        match self.read(Sequence(place.after?.get() - 1))? {
            Decided::Finding { finding, .. } if finding.id == id => {
                Some((*finding, place.detected))
            }
            _ => None,
        }
    }

    /// An incident's last sealed state.
    #[must_use]
    pub fn incident(&self, id: &str) -> Option<Incident> {
        let sequence = {
            let places = self.0.places.read().unwrap_or_else(PoisonError::into_inner);
            let number = *places.numbers.get(id)?;
            places.incidents.get(at(number))?.1?
        };
        match self.read(sequence)? {
            Decided::Incident { incident, .. } if incident.id == id => Some(*incident),
            _ => None,
        }
    }

    /// The incident a finding is in.
    #[must_use]
    pub fn incident_of(&self, finding: &str) -> Option<String> {
        let number = self.place(finding)?.incident?;
        let places = self.0.places.read().unwrap_or_else(PoisonError::into_inner);
        places
            .incidents
            .get(at(number))
            .map(|(name, _)| name.to_string())
    }

    fn place(&self, finding: &str) -> Option<Place> {
        let places = self.0.places.read().unwrap_or_else(PoisonError::into_inner);
        places.findings.get(key(finding))
    }

    fn read(&self, sequence: Sequence) -> Option<Decided> {
        let payload = (self.0.read)(sequence)?;
        serde_json::from_slice(&payload).ok()
    }
}

/// Ids are 32 hexadecimal digits; what isn't, is of an earlier version or a test.
fn key(id: &str) -> u128 {
    let hashed = || {
        let mut hasher = SipHasher13::new();
        hasher.write(id.as_bytes());
        hasher.finish128().as_u128()
    };
    match id.len() {
        32 => u128::from_str_radix(id, 16).unwrap_or_else(|_| hashed()),
        _ => hashed(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Archive, key};
    use model::{Sequence, Timestamp};

    #[test]
    fn an_id_is_its_own_key_and_other_names_have_one_too() {
        assert_eq!(key("000000000000000000000000000000ff"), 255);
        assert_ne!(key("a"), key("b"));
        assert_ne!(
            key("zz0000000000000000000000000000ff"),
            key("000000000000000000000000000000ff")
        );
    }

    #[test]
    fn what_cannot_be_read_any_more_is_not_there() {
        let archive = Archive::new(Box::new(|_| None));
        assert!(!archive.knows("a"));
        archive.note_finding("a", Sequence(3), Timestamp(7));
        archive.note_finding("a", Sequence(9), Timestamp(8));
        assert!(archive.knows("a") && archive.finding("a").is_none());
        assert_eq!(archive.findings(), 1);
    }
}
