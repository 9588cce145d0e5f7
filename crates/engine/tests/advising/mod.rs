//! Counsel's notes: in the ledger and nowhere else, opened by counsel's key alone, found again after every loss but that of it.

use std::fs;

use engine::counsel::{CounselError, Notes};
use engine::ledger::{Query, verify};
use model::{Grant, Principal, Right, Role, Scope, SourceId};

use crate::house::House;
use crate::opened::NOW;
use crate::person;

const MARKER: &str = "privileged-7f3a";

fn write(
    house: &mut House,
    who: &Principal,
    key: Option<&str>,
    incident: &str,
    text: &str,
) -> Result<u64, CounselError> {
    let (counsel, who, key) = (house.counsel.clone(), who.clone(), key.map(str::to_owned));
    let (incident, text) = (incident.to_owned(), text.to_owned());
    house.wait(async move { counsel.write(&who, key, &incident, &text, NOW).await })
}

fn texts(notes: Result<Notes, CounselError>) -> Vec<String> {
    let notes = notes.expect("read");
    notes.notes.into_iter().map(|note| note.text).collect()
}

#[test]
fn a_note_is_found_again_without_the_state_and_by_nothing_without_its_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let ids = house.dump(10..12);
    let cora = person(Role::Counsel);
    let first = format!("{MARKER}: the card was 4111 1111 1111 1111");
    let number = write(&mut house, &cora, None, &ids[0], &first).expect("sealed");
    write(&mut house, &cora, None, &ids[0], "a second").expect("sealed");
    write(&mut house, &cora, None, &ids[1], "on another").expect("sealed");
    let masked = format!("{MARKER}: the card was **** **** **** 1111");
    let wanted = [masked, "a second".to_owned()];
    assert_eq!(texts(house.counsel.notes(&cora, &ids[0])), wanted);
    assert_eq!(texts(house.counsel.notes(&cora, &ids[1])), ["on another"]);
    // Nothing of it in what pages, sinks, reports and rows are made of.
    assert_eq!(house.desk.handling(&ids[0]).version(), 0);
    house.pipeline.flush(NOW).expect("signed");
    let rows = engine::compare::Rows::read(house.pipeline.database()).expect("read");
    let compared = engine::compare::compare(house.pipeline.ledger(), rows).expect("compared");
    assert_eq!(compared.count, 0, "{compared:?}");
    // Whoever reads its entry reads that a note was sealed, and neither whose nor on what.
    let entry = house.desk.entry(number).expect("there");
    let text = entry.text.expect("not destroyed");
    assert!(text.contains("counsel_note"), "{text}");
    for word in [
        MARKER,
        ids[0].as_str(),
        "counsel\"",
        "id-counsel",
        "A counsel",
    ] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    let query = Query {
        source: Some(SourceId("magewarden:counsel".to_owned())),
        ..Query::default()
    };
    let found = house.pipeline.ledger().find(&query, 10).expect("found");
    assert_eq!(found.len(), 3);
    drop(house);
    for file in ["state.sqlite", "state.sqlite-wal", "state.sqlite-shm"] {
        let bytes = fs::read(folder.path().join(file)).unwrap_or_default();
        let holds = bytes
            .windows(MARKER.len())
            .any(|some| some == MARKER.as_bytes());
        assert!(!holds, "{file}");
        drop(fs::remove_file(folder.path().join(file)));
    }
    let mut house = House::open(folder.path());
    assert_eq!(texts(house.counsel.notes(&cora, &ids[0])), wanted);
    // One is destroyed, the proofs hold.
    house
        .pipeline
        .ledger_mut()
        .redact(&found[..1], ["Eve", "Adam"], "ordered", NOW)
        .expect("destroyed");
    house.pipeline.checkpoint(NOW).expect("signed");
    drop(house);
    assert!(
        verify(&folder.path().join("ledger"), None, None)
            .expect("read")
            .ok
    );
    let house = House::open(folder.path());
    let left = house.counsel.notes(&cora, &ids[0]).expect("read");
    assert_eq!((left.notes.len(), left.closed), (1, 1));
    drop(house);
    // Without the key it is closed, and said so.
    let key = folder.path().join("keys/counsel.key");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&key).expect("made").permissions());
    assert_eq!(mode & 0o777, 0o600);
    fs::remove_file(&key).expect("removed");
    let house = House::open(folder.path());
    let left = house.counsel.notes(&cora, &ids[0]).expect("read");
    assert_eq!((left.notes.len(), left.closed), (0, 3));
}

#[test]
fn whoever_lacks_the_right_there_is_told_that_there_is_no_incident() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let id = house.dump(10..11).remove(0);
    write(&mut house, &person(Role::Counsel), None, &id, MARKER).expect("sealed");
    let elsewhere = Principal {
        grants: vec![Grant {
            role: Role::Counsel,
            scope: Scope::View("us".to_owned()),
        }],
        ..person(Role::Counsel)
    };
    let others = Role::ALL.into_iter().map(person).chain([elsewhere]);
    for who in others {
        let may = who.may(
            Right::CounselNotes,
            &[Scope::Installation],
            &Default::default(),
        );
        let reads = house.counsel.notes(&who, &id);
        let writes = write(&mut house, &who, None, &id, "mine");
        if may {
            assert!(reads.is_ok() && writes.is_ok(), "{}", who.name);
        } else {
            assert!(matches!(reads, Err(CounselError::NotThere)), "{}", who.name);
            assert!(
                matches!(writes, Err(CounselError::NotThere)),
                "{}",
                who.name
            );
        }
    }
    let cora = person(Role::Counsel);
    for (text, why) in [
        (" ", "the note is empty"),
        (&"x".repeat(16_385), "the note is longer than 16384 bytes"),
    ] {
        let refused = write(&mut house, &cora, None, &id, text);
        assert_eq!(refused.expect_err("refused").to_string(), why);
    }
}

#[test]
fn a_note_told_twice_or_after_a_kill_is_sealed_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let id = house.dump(10..11).remove(0);
    let cora = person(Role::Counsel);
    let first = write(&mut house, &cora, Some("one"), &id, "text").expect("sealed");
    let again = write(&mut house, &cora, Some("one"), &id, "text").expect("the same");
    assert_eq!(first, again);
    let other = write(&mut house, &cora, Some("one"), &id, "another");
    assert!(matches!(other, Err(CounselError::OtherNote)));
    // No checkpoint: what became of it isn't written to the outbox.
    let size = house.pipeline.ledger().len();
    drop(house);
    let mut house = House::open(folder.path());
    house.pipeline.take_outbox(NOW).expect("taken");
    assert_eq!(house.pipeline.ledger().len(), size);
    assert_eq!(texts(house.counsel.notes(&cora, &id)), ["text"]);
}

#[test]
fn no_sink_and_no_report_holds_a_note() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut house = House::open(folder.path());
    let told = tempfile::NamedTempFile::new().expect("a file");
    let path = told.path().to_owned();
    house.pipeline.tell(Box::new(Tell(path.clone())));
    let id = house.dump(10..11).remove(0);
    write(&mut house, &person(Role::Counsel), None, &id, MARKER).expect("sealed");
    // What comes later is told with everything that sinks and reports get of the incident.
    house.dump(10..13);
    let told = fs::read_to_string(&path).expect("told");
    assert!(
        told.contains(&id) && !told.contains(MARKER) && !told.contains("counsel_note"),
        "{told}"
    );
    assert!(Tell(path).finding_count() > 0);
    let outcome = engine::analyze::Outcome::default();
    engine::report::write(&house.pipeline, &outcome, folder.path(), NOW).expect("written");
    for name in ["report.html", "report.json"] {
        let report = fs::read_to_string(folder.path().join(name)).expect("written");
        assert!(report.contains(&id) && !report.contains(MARKER), "{name}");
    }
}

/// Writes down whatever sinks are told.
struct Tell(std::path::PathBuf);

impl Tell {
    fn finding_count(&self) -> usize {
        let told = fs::read_to_string(&self.0).unwrap_or_default();
        told.matches("finding ").count()
    }

    fn write(&self, what: &str, value: &impl std::fmt::Debug) {
        use std::io::Write as _;
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(&self.0)
            .expect("there");
        writeln!(file, "{what} {value:?}").expect("written");
    }
}

impl sinks::Sink for Tell {
    fn name(&self) -> &'static str {
        "tell"
    }

    fn finding(&mut self, finding: &model::Finding, _: &str) -> Result<(), sinks::SinkError> {
        self.write("finding", finding);
        Ok(())
    }

    fn incident(&mut self, incident: &model::Incident, _: &str) -> Result<(), sinks::SinkError> {
        self.write("incident", incident);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), sinks::SinkError> {
        Ok(())
    }
}
