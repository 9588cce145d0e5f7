//! The ledger's laws on real files: what was sealed is read, a payload can be destroyed while every
//! proof holds, and whatever else is changed is found.

use std::fs;
use std::path::Path;

use engine::ledger::{EntryKind, Ledger, NewEntry, Opening, verify};
use model::{InstallationId, Lane, Sequence, SourceId, Timestamp};
use parse::Context;

fn entry(number: usize) -> NewEntry {
    NewEntry {
        kind: EntryKind::Observed,
        lane: Lane::Live,
        identity: None,
        source: SourceId(format!("file:{}.log", number % 3)),
        said: None,
        received: Timestamp::from_seconds(1_785_924_930),
        format: "nginx_combined".into(),
        quarantined: false,
        marks: Vec::new(),
        payload: format!("record {number}").into_bytes(),
        tokens: Vec::new(),
    }
}

fn open(folder: &Path) -> (Ledger, Opening) {
    let installation = InstallationId("shop".to_owned());
    Ledger::create_or_open(
        &folder.join("ledger"),
        &folder.join("keys"),
        &installation,
        Some(&folder.join("copy")),
        &Context::default(),
    )
    .expect("the ledger opens")
}

/// Seals `count` entries and signs.
fn sealed(folder: &Path, count: usize) -> Ledger {
    let (mut ledger, opening) = open(folder);
    assert_eq!(opening, Opening::Fresh);
    let entries: Vec<_> = (0..count).map(entry).collect();
    ledger.append(&entries).expect("sealed");
    ledger.checkpoint().expect("signed");
    ledger
}

fn holds(folder: &Path) -> bool {
    verify(&folder.join("ledger"), None, Some(&folder.join("copy")))
        .expect("readable")
        .ok
}

#[test]
fn what_was_sealed_is_read_again_and_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(sealed(folder.path(), 300));
    let (mut ledger, opening) = open(folder.path());
    assert!(
        matches!(opening, Opening::Resumed { size: 300, .. }),
        "{opening:?}"
    );
    assert_eq!(
        ledger.read(Sequence(299)).expect("read").payload,
        Some(b"record 299".to_vec())
    );
    ledger.append(&[entry(300)]).expect("sealed");
    ledger.checkpoint().expect("signed");
    assert!(holds(folder.path()));
}

#[test]
fn a_payload_can_be_destroyed_and_every_proof_holds() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = sealed(folder.path(), 30);
    let now = Timestamp::from_seconds(1_785_924_990);
    ledger
        .redact(
            &[Sequence(7)],
            ["anna", "ben"],
            "a number the mask missed",
            now,
        )
        .expect("redacted");
    ledger.checkpoint().expect("signed");
    assert_eq!(ledger.read(Sequence(7)).expect("read").payload, None);
    for number in [4_u64, 6, 8, 10] {
        let payload = ledger.read(Sequence(number)).expect("read").payload;
        assert_eq!(payload, Some(format!("record {number}").into_bytes()));
    }
    drop(ledger);
    assert!(holds(folder.path()));
}

#[test]
fn a_payload_zeroed_without_a_decision_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(sealed(folder.path(), 30));
    let data = folder.path().join("ledger/segments/00000000.data");
    let mut bytes = fs::read(&data).expect("payloads");
    let length = u32::from_be_bytes(bytes[..4].try_into().expect("a length")) as usize;
    bytes[4..4 + length].fill(0);
    fs::write(&data, bytes).expect("written");
    assert!(!holds(folder.path()));
}

#[test]
fn any_flipped_bit_of_leaves_and_payloads_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(sealed(folder.path(), 5));
    for ending in ["leaf", "data"] {
        let path = folder
            .path()
            .join(format!("ledger/segments/00000000.{ending}"));
        let whole = fs::read(&path).expect("a segment");
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).expect("written");
            assert!(!holds(folder.path()), "byte {at} of {ending}");
        }
        fs::write(&path, &whole).expect("written");
    }
    assert!(holds(folder.path()));
}

#[test]
fn a_ledger_that_no_longer_fits_its_checkpoint_is_set_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(sealed(folder.path(), 5));
    let path = folder.path().join("ledger/segments/00000000.leaf");
    let mut bytes = fs::read(&path).expect("a segment");
    // The last byte of a leaf is of its payload's hash: still a leaf, another one.
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(&path, bytes).expect("written");
    let (ledger, opening) = open(folder.path());
    assert!(matches!(opening, Opening::Broken { .. }), "{opening:?}");
    assert_eq!(ledger.len(), 0);
}
