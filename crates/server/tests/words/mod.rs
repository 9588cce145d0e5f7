//! Pages read by whoever knows nothing of them: what to do next, which stores, what lies near, whom to call, whose duties.

use engine::desk::{Desk, Update};
use engine::evidence::Listed;
use model::{Incident, Scope, Timestamp};

use crate::{NOW, finding, get, incident};

fn desk_of(incidents: Vec<Incident>) -> Desk {
    let desk = Desk::searching(Box::new(|_| None), Box::new(|_| Ok(Listed::default())));
    desk.publish(Update::Decided {
        findings: vec![finding("a1", "x")],
        incidents,
    });
    desk
}

fn with(id: &str, change: impl FnOnce(&mut Incident)) -> Incident {
    let mut one = incident(id, "x", &[&finding("a1", "x")]);
    change(&mut one);
    one
}

#[test]
fn something_is_next_with_no_incident_and_on_every_one() {
    let (_, _, quiet) = get(&desk_of(Vec::new()), "/");
    assert!(quiet.contains("<h2>What next?</h2><ol><li><a href=\"/payment-pages\">"));
    let desk = desk_of(vec![with("b1", |_| {})]);
    assert!(!get(&desk, "/").2.contains("<h2>What next?</h2><ol>"));
    // A console that only shows says what is to be read.
    let (_, _, page) = get(&desk, "/incidents/b1");
    assert!(page.contains("<li><a href=\"#stop\">read what stops it"));
    assert!(page.contains("<li><a href=\"#tell\">see whom to tell"));
}
