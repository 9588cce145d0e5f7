//! The ledger's laws on real files: what was sealed is read, a payload can be destroyed while every
//! proof holds, and whatever else is changed is found.

use std::fs;
use std::path::Path;

use engine::ledger::{EntryKind, Ledger, NewEntry, Opening, Query, verify};
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

/// The framed records of a segment file.
fn records(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).expect("a segment");
    let (mut rest, mut found) = (bytes.as_slice(), Vec::new());
    while let Some((prefix, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*prefix) as usize;
        found.push(rest[..4 + length].to_vec());
        rest = &after[length..];
    }
    found
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

    #[test]
    fn an_entry_dropped_swapped_or_put_in_again_is_found_against_a_checkpoint_held_elsewhere(
        count in 2_usize..600, at in 0_usize..600, other in 0_usize..600, what in 0_u8..3,
    ) {
        let (at, other) = (at % count, other % count);
        proptest::prop_assume!(what != 1 || at != other);
        let folder = tempfile::tempdir().expect("a folder");
        drop(sealed(folder.path(), count));
        for ending in ["leaf", "data"] {
            let path = folder.path().join(format!("ledger/segments/00000000.{ending}"));
            let mut records = records(&path);
            match what {
                0 => drop(records.remove(at)),
                1 => records.swap(at, other),
                _ => records.insert(at, records[other].clone()),
            }
            fs::write(&path, records.concat()).expect("written");
        }
        proptest::prop_assert!(!holds(folder.path()));
        // Whoever starts on it goes on, in a new ledger, and doesn't touch the old one.
        let (ledger, opening) = open(folder.path());
        if what == 0 {
            let broken = matches!(opening, Opening::Broken { .. });
            proptest::prop_assert!(broken, "{:?}", opening);
            proptest::prop_assert_eq!(ledger.len(), 0);
        }
    }
}

#[test]
fn entries_are_found_by_actor_scope_source_and_time_after_a_start_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut ledger, _) = open(folder.path());
    let line = |number: usize| {
        format!(
            "203.0.113.{} - - [05/Aug/2026:10:{:02}:{:02} +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"x\"",
            number % 200,
            number / 60,
            number % 60
        )
    };
    let key = ledger.token_key();
    let entries: Vec<_> = (0..1000)
        .map(|number| {
            let payload = line(number).into_bytes();
            NewEntry {
                said: Some(Timestamp::from_seconds(number as i64)),
                tokens: engine::intake::tokens(
                    key,
                    "nginx_combined",
                    &payload,
                    &Context::default(),
                ),
                payload,
                ..entry(number)
            }
        })
        .collect();
    ledger.append(&entries).expect("sealed");
    ledger.checkpoint().expect("signed");
    let by_actor = Query {
        tokens: vec![key.token(model::Field::ClientIp, "203.0.113.7")],
        ..Query::default()
    };
    let wanted: Vec<_> = (0..5).map(|round| Sequence(7 + round * 200)).collect();
    assert_eq!(ledger.find(&by_actor, 100).expect("found"), wanted);
    assert_eq!(ledger.find(&by_actor, 2).expect("found"), wanted[..2]);
    drop(ledger);
    let (ledger, opening) = open(folder.path());
    assert!(matches!(opening, Opening::Resumed { .. }), "{opening:?}");
    assert_eq!(ledger.find(&by_actor, 100).expect("found"), wanted);
    let by_time_and_source = Query {
        from: Some(Timestamp::from_seconds(600)),
        to: Some(Timestamp::from_seconds(605)),
        source: Some(SourceId("file:0.log".to_owned())),
        ..Query::default()
    };
    let found = ledger.find(&by_time_and_source, 100).expect("found");
    assert_eq!(found, [Sequence(600), Sequence(603)]);
}

#[test]
fn proofs_from_stored_subtrees_check_against_the_root() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = sealed(folder.path(), 700);
    let old = ledger.root();
    ledger.append(&[entry(700), entry(701)]).expect("sealed");
    for number in [0, 255, 256, 511, 699, 701] {
        let proof = ledger
            .inclusion_proof(Sequence(number))
            .expect("read")
            .expect("there");
        let leaf = ledger.read(Sequence(number)).expect("read").leaf_hash;
        assert!(custody::check_inclusion(
            &leaf,
            number,
            702,
            &proof,
            &ledger.root()
        ));
    }
    let proof = ledger.consistency_proof(700).expect("read").expect("there");
    assert!(custody::check_consistency(
        700,
        702,
        &proof,
        &old,
        &ledger.root()
    ));
}

#[test]
fn a_redaction_that_a_crash_cut_short_is_finished_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut ledger = sealed(folder.path(), 30);
    let data = folder.path().join("ledger/segments/00000000.data");
    let keys = folder.path().join("ledger/payload-keys");
    let (before, old_keys) = (fs::read(&data).expect("read"), copies(&keys));
    ledger
        .redact(
            &[Sequence(7)],
            ["anna", "ben"],
            "a test",
            Timestamp::default(),
        )
        .expect("redacted");
    drop(ledger);
    // As if the decision alone had reached the disk: payloads and keys as they were before it.
    let mut after = fs::read(&data).expect("read");
    after[..before.len()].copy_from_slice(&before);
    fs::write(&data, after).expect("written");
    for (path, bytes) in old_keys {
        fs::write(path, bytes).expect("written");
    }
    let (mut ledger, _) = open(folder.path());
    assert!(ledger.read(Sequence(7)).expect("read").payload.is_some());
    assert!(ledger.finish_redaction(Sequence(30)).expect("finished"));
    assert!(!ledger.finish_redaction(Sequence(30)).expect("nothing left"));
    assert_eq!(ledger.read(Sequence(7)).expect("read").payload, None);
    assert_eq!(
        ledger.read(Sequence(4)).expect("read").payload,
        Some(b"record 4".to_vec())
    );
    ledger.checkpoint().expect("signed");
    drop(ledger);
    assert!(holds(folder.path()));
}

fn copies(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("read").path())
        .map(|path| (path.clone(), fs::read(path).expect("read")))
        .collect()
}
