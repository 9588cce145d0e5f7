//! What is written is read as the same, and nothing else is read.

use super::{Batch, Carried, Happened, Record, RecordsError, Status, body, read_body};
use model::{Brand, Generation, Mark, MarkKind, Position};
use proptest::prelude::*;

fn generation() -> impl Strategy<Value = Generation> {
    (any::<u64>(), any::<u64>(), any::<[u8; 16]>()).prop_map(|(device, inode, head_hash)| {
        Generation {
            device,
            inode,
            head_hash,
        }
    })
}

fn mark(length: u32) -> impl Strategy<Value = Mark> {
    let kind = proptest::sample::select(MarkKind::BY_NUMBER.to_vec());
    let brand = proptest::option::of(proptest::sample::select(Brand::BY_NUMBER.to_vec()));
    let four = proptest::option::of(proptest::array::uniform4(b'0'..=b'9'));
    let fingerprint = proptest::option::of(any::<[u8; 16]>());
    (kind, brand, four, fingerprint, any::<bool>(), 0..length).prop_map(
        move |(kind, brand, last_four, fingerprint, is_test, offset_bytes)| Mark {
            offset_bytes,
            length_bytes: length - offset_bytes,
            kind,
            brand,
            digits: 16,
            last_four,
            fingerprint,
            is_test,
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    proptest::collection::vec(any::<u8>(), 1..60).prop_flat_map(|bytes| {
        let length = u32::try_from(bytes.len()).expect("short");
        proptest::collection::vec(mark(length), 0..3).prop_map(move |mut marks| {
            marks.sort_by_key(|mark| mark.offset_bytes);
            Record {
                offset_bytes: 0,
                marks,
                bytes: bytes.clone(),
            }
        })
    })
}

fn happened() -> impl Strategy<Value = Happened> {
    prop_oneof![
        Just(Happened::Truncated),
        Just(Happened::Rotated),
        Just(Happened::Deleted),
        Just(Happened::Appeared),
        Just(Happened::Missing),
        Just(Happened::Unreadable),
        (0..1_u64 << 40).prop_map(Happened::Lost),
        (0..1_u64 << 40).prop_map(Happened::Dropped),
    ]
}

fn batch() -> impl Strategy<Value = Batch> {
    let records = (
        generation(),
        0..1_u64 << 40,
        proptest::collection::vec(record(), 1..6),
    )
        .prop_map(|(generation, mut at, mut records)| {
            for record in &mut records {
                record.offset_bytes = at;
                at = record.end();
            }
            Carried::Records {
                generation,
                format: "nginx_combined".to_owned(),
                records,
            }
        });
    let what = prop_oneof![records, happened().prop_map(Carried::Happened)];
    let after = proptest::option::of((generation(), 0..1_u64 << 40));
    ("file:/[a-z]{1,20}", after, what).prop_map(|(source, after, what)| Batch {
        source,
        after: after.map(|(generation, offset_bytes)| (generation, Position { offset_bytes })),
        what,
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(batches in proptest::collection::vec(batch(), 0..5), waits in any::<Option<i64>>()) {
        let frames: Vec<u8> = batches.iter().flat_map(Batch::frame).collect();
        let status = Status { v: 1, spool_bytes: 7, waits_since: waits.map(model::Timestamp), ..Status::default() };
        let whole = body(&status, &frames);
        prop_assert_eq!(read_body(&whole), Ok((status, batches)));
    }

    #[test]
    fn a_frame_with_one_byte_changed_or_cut_is_none(batch in batch(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let frame = batch.frame();
        prop_assert_eq!(Batch::unframe(&frame), Ok((batch, frame.len())));
        let mut bent = frame.clone();
        bent[at.index(frame.len())] ^= 1 << bit;
        prop_assert!(Batch::unframe(&bent).is_err());
        prop_assert_eq!(Batch::unframe(&frame[..at.index(frame.len())]), Err(RecordsError::Length));
    }

    #[test]
    fn any_bytes_are_read_or_refused_and_what_is_read_is_written_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(batch) = Batch::decode(&bytes) {
            prop_assert_eq!(batch.encode(), bytes.clone());
        }
        drop(read_body(&bytes));
    }

    #[test]
    fn what_comes_behind_a_record_is_the_rest(batch in batch(), at in any::<prop::sample::Index>()) {
        let Carried::Records { generation, records, .. } = &batch.what else { return Ok(()) };
        let last = at.index(records.len());
        let place = (*generation, Position { offset_bytes: records[last].end() });
        let rest = batch.behind(place).expect("a place in it");
        prop_assert_eq!(rest.records(), records.len() - last - 1);
        prop_assert_eq!(rest.after, Some(place));
        prop_assert_eq!(rest.is_empty(), last + 1 == records.len());
        let before = (*generation, Position { offset_bytes: records[0].offset_bytes });
        prop_assert_eq!(batch.behind(before), None);
    }
}

/// A batch with something in it that can't have come about.
#[track_caller]
fn refused(change: impl FnOnce(&mut Batch), expected: &str) {
    let record = |offset_bytes| Record {
        offset_bytes,
        marks: Vec::new(),
        bytes: b"a line\n".to_vec(),
    };
    let mut batch = Batch {
        source: "file:/a".to_owned(),
        after: None,
        what: Carried::Records {
            generation: Generation::default(),
            format: "plain".to_owned(),
            records: vec![record(0), record(7)],
        },
    };
    assert!(Batch::decode(&batch.encode()).is_ok());
    change(&mut batch);
    let error = Batch::decode(&batch.encode()).expect_err("refused");
    assert!(error.to_string().contains(expected), "{error}");
}

fn records(batch: &mut Batch) -> &mut Vec<Record> {
    match &mut batch.what {
        Carried::Records { records, .. } => records,
        Carried::Happened(_) => panic!("records"),
    }
}

#[test]
fn what_cannot_have_come_about_is_refused() {
    refused(
        |batch| records(batch)[1].offset_bytes = 6,
        "place of a record",
    );
    refused(
        |batch| records(batch)[1].offset_bytes = u64::MAX,
        "position",
    );
    refused(|batch| records(batch).clear(), "count of records");
    refused(
        |batch| records(batch)[0].bytes.clear(),
        "length of a record",
    );
    refused(|batch| batch.source.clear(), "source");
    refused(
        |batch| batch.source = "file:/a\u{1b}[2J".to_owned(),
        "source",
    );
    refused(|batch| batch.source = "a".repeat(1001), "source");
    let mark = |offset_bytes, last_four| Mark {
        offset_bytes,
        length_bytes: 4,
        kind: MarkKind::Pan,
        brand: None,
        digits: 16,
        last_four: Some(last_four),
        fingerprint: None,
        is_test: false,
    };
    refused(
        |batch| records(batch)[0].marks = vec![mark(4, *b"1111")],
        "place of a mark",
    );
    refused(
        |batch| records(batch)[0].marks = vec![mark(2, *b"1111"), mark(1, *b"1111")],
        "place of a mark",
    );
    // Four digits are all that a mark can say.
    refused(
        |batch| records(batch)[0].marks = vec![mark(0, [0x41, 1, 2, 3])],
        "a mark",
    );
}
