//! Consoles with incidents of one finding, as pages that explain themselves are looked at.

use engine::desk::{Desk, Update};
use engine::evidence::Listed;
use engine::merchant::EntityProfile;
use model::Incident;

use crate::{finding, incident};

/// A console with one finding and these incidents.
pub(crate) fn desk_of(incidents: Vec<Incident>) -> Desk {
    desk_for(EntityProfile::default(), incidents)
}

/// The same for a merchant.
pub(crate) fn desk_for(merchant: EntityProfile, incidents: Vec<Incident>) -> Desk {
    let desk = Desk::searching(Box::new(|_| None), Box::new(|_| Ok(Listed::default())));
    desk.concerns(merchant);
    desk.publish(Update::Decided {
        findings: vec![finding("a1", "x")],
        incidents,
    });
    desk
}

/// An incident of that finding, but for what is changed.
pub(crate) fn with(id: &str, change: impl FnOnce(&mut Incident)) -> Incident {
    let mut one = incident(id, "x", &[&finding("a1", "x")]);
    change(&mut one);
    one
}
