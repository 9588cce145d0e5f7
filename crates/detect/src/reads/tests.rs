//! What is counted as a read, what is usual, and that neither order nor a start changes a number.

use std::collections::BTreeSet;

use model::{Category, Event, Field, Timestamp, Value};
use proptest::prelude::*;

use super::{ACCOUNTS_MAX, Account, Figure, HOURS_MAX, Hour, Like, Reads, Usual, Witness};
use crate::shape::Shape;

/// A statement as a log of a format tells it, in an hour of the test.
fn statement(format: &str, hour: i64, account: &str, text: &str) -> Event<'static> {
    let mut event = Event::new(Category::Database);
    event.time = Some(Hour(hour).begin());
    event.put_text(Field::Format, format.to_owned());
    event.put_text(Field::Operation, "query");
    event.put_text(Field::DbUser, account.to_owned());
    event.put_text(Field::Statement, text.to_owned());
    event
}

/// A TABLE record of a statement's number.
fn table(hour: i64, account: &str, query: i64, operation: &'static str) -> Event<'static> {
    let mut event = statement("mariadb_server_audit", hour, account, "");
    event.set(Field::Operation, Value::Text(operation.into()));
    event.put(
        Field::Tables,
        Value::List(vec!["sales_order_payment".into()]),
    );
    event.put_int(Field::ConnectionId, 1);
    event.put_int(Field::QueryId, query);
    event
}

fn take(reads: &mut Reads, event: &Event<'_>) {
    let shape = event
        .text(Field::Statement)
        .map(|text| Shape::of(text, false, ""));
    let received = event.time.unwrap_or_default();
    reads.take_table(event, received, true);
    reads.take(event, shape.as_ref(), received);
}

const PAYMENTS: &str = "sales_order_payment";
const READ: &str = "SELECT * FROM sales_order_payment WHERE parent_id = 7";

/// How often the table is told to be read in hour 1000.
#[track_caller]
fn check(events: &[Event<'_>], expected: Option<u64>) {
    let mut reads = Reads::default();
    for event in events {
        take(&mut reads, event);
    }
    let figure = reads.figure(PAYMENTS, None, Hour(1000));
    assert_eq!(figure.map(|figure| figure.reads), expected);
}

#[test]
fn what_reads_is_counted_and_what_writes_is_not() {
    let audit = |text: &str| [statement("mariadb_server_audit", 1000, "shop", text)];
    check(&audit(READ), Some(1));
    for text in [
        "INSERT INTO other SELECT * FROM sales_order_payment",
        "CREATE TABLE copy AS SELECT * FROM sales_order_payment",
        "SELECT 1 FROM dual UNION SELECT cc_last_4 FROM sales_order_payment",
        "DELETE o FROM other o JOIN sales_order_payment p ON p.parent_id = o.id",
    ] {
        check(&audit(text), Some(1));
    }
    for text in [
        "INSERT INTO sales_order_payment (parent_id) VALUES (7)",
        "UPDATE sales_order_payment SET method = 'x' WHERE entity_id = 7",
        "DELETE FROM sales_order_payment WHERE entity_id = 7",
        "ALTER TABLE sales_order_payment ADD COLUMN x INT",
        "DROP TABLE sales_order_payment",
        "EXPLAIN SELECT * FROM sales_order_payment",
        "SELECT * FROM sales_order",
        "",
    ] {
        check(&audit(text), Some(0));
    }
    let mut failed = statement("mariadb_server_audit", 1000, "shop", READ);
    failed.put_int(Field::ErrorCode, 1142);
    check(&[failed], Some(0));
    // Nothing was told of that hour.
    check(
        &[statement("mariadb_server_audit", 999, "shop", READ)],
        None,
    );
    check(&[statement("nginx_combined", 1000, "shop", READ)], None);
}

#[test]
fn one_statement_in_several_logs_counts_once() {
    let formats = ["mariadb_server_audit", "mysql_general", "mysql_slow"];
    let mut all: Vec<_> = formats
        .iter()
        .map(|format| statement(format, 1000, "shop", READ))
        .collect();
    all.push(table(1000, "shop", 5, "read"));
    check(&all, Some(1));
    // The slow log tells some of them, and their rows.
    let mut slow = statement("mysql_slow", 1000, "shop", READ);
    slow.put_int(Field::RowsSent, 40);
    let mut reads = Reads::default();
    let audit = statement("mariadb_server_audit", 1000, "shop", READ);
    for event in [&slow, &audit, &audit] {
        take(&mut reads, event);
    }
    let figure = Figure {
        reads: 2,
        rows: Some(40),
        witness: Witness::Audit,
    };
    assert_eq!(reads.figure(PAYMENTS, None, Hour(1000)), Some(figure));
}

#[test]
fn a_table_joined_with_itself_is_read_once_and_a_write_is_no_read() {
    let mut all = vec![
        table(1000, "shop", 5, "read"),
        table(1000, "shop", 5, "read"),
    ];
    check(&all, Some(1));
    all.push(table(1000, "shop", 6, "read"));
    check(&all, Some(2));
    check(&[table(1000, "shop", 5, "write")], Some(0));
    // TABLE records know what a cut statement no longer names.
    let cut = statement("mariadb_server_audit", 1000, "shop", "SELECT a FROM b");
    check(&[table(1000, "shop", 5, "read"), cut], Some(1));
}

#[test]
fn digests_count_calls_since_the_look_before_and_name_no_account() {
    let digest = |change: &'static str| {
        let mut event = statement("observation", 1000, "", READ);
        event.put_text(Field::Change, change);
        event.put_int(Field::ChangeCount, 30);
        event.put_int(Field::RowsSent, 900);
        event
    };
    check(&[digest("called")], Some(30));
    check(&[digest("seen")], None);
    let mut reads = Reads::default();
    take(&mut reads, &digest("called"));
    let shop = Account::Named("shop".into());
    assert_eq!(reads.figure(PAYMENTS, Some(&shop), Hour(1000)), None);
    let untold = reads.figure(PAYMENTS, Some(&Account::Untold), Hour(1000));
    assert_eq!(untold.and_then(|figure| figure.rows), Some(900));
}

/// Of each hour before the one held against them, how often the table was read.
#[track_caller]
fn check_usual(earlier: &[u64], expected: Option<(u64, u64, usize, Like)>) {
    let mut reads = Reads::default();
    let now = 10_000 + i64::try_from(earlier.len()).expect("few");
    for (hour, count) in (10_000..).zip(earlier) {
        take(&mut reads, &statement("mysql_general", hour, "shop", ""));
        for _ in 0..*count {
            take(&mut reads, &statement("mysql_general", hour, "shop", READ));
        }
    }
    let base = reads.base(PAYMENTS, None, Hour(now), &BTreeSet::new());
    let expected = expected.map(|(median, high, hours, like)| Usual {
        median,
        high,
        hours,
        like,
    });
    assert_eq!(base.usual(Witness::General, Hour(now)), expected);
    assert_eq!(base.usual(Witness::Slow, Hour(now)), None);
}

#[test]
fn usual_is_told_of_the_likest_hours_that_are_enough() {
    check_usual(&[], None);
    check_usual(&[3; 23], None);
    check_usual(&[3; 24], Some((3, 3, 24, Like::AnyHour)));
    let mut one_spike = vec![2; 100];
    one_spike[50] = 90;
    check_usual(&one_spike, Some((2, 2, 100, Like::AnyHour)));
    // A job at the same hour of each day, of eight days.
    let daily: Vec<u64> = (0..8 * 24)
        .map(|hour| u64::from(hour % 24 == 0) * 9)
        .collect();
    check_usual(&daily, Some((9, 9, 8, Like::HourOfDay)));
    // The same on one day of a week.
    let hours = 0..28 * 24;
    let weekly: Vec<u64> = hours.map(|hour| u64::from(hour % 168 == 0) * 9).collect();
    check_usual(&weekly, Some((9, 9, 4, Like::HourOfWeek)));
}

#[test]
fn more_than_usual_is_more_than_counting_adds() {
    for (high, most) in [(0, 0), (1, 4), (4, 10), (36, 54), (u64::MAX, u64::MAX)] {
        let usual = Usual {
            median: 0,
            high,
            hours: 30,
            like: Like::HourOfDay,
        };
        assert!(!usual.is_exceeded_by(most), "{high}");
        let more: Option<u64> = most.checked_add(1);
        assert!(more.is_none_or(|more| usual.is_exceeded_by(more)), "{high}");
    }
}

#[test]
fn hours_left_out_are_no_base() {
    let mut reads = Reads::default();
    for hour in 10_000..10_030 {
        take(&mut reads, &statement("mysql_slow", hour, "shop", READ));
    }
    let base = |left_out: std::ops::Range<i64>| {
        let left_out: BTreeSet<Hour> = left_out.map(Hour).collect();
        let base = reads.base(PAYMENTS, None, Hour(10_030), &left_out);
        base.usual(Witness::Slow, Hour(10_030))
            .map(|usual| usual.hours)
    };
    assert_eq!(base(0..0), Some(30));
    assert_eq!(base(10_000..10_006), Some(24));
    assert_eq!(base(10_000..10_007), None);
}

#[test]
fn a_line_that_tells_of_the_future_pushes_nothing_away() {
    let mut reads = Reads::default();
    take(&mut reads, &statement("mysql_slow", 1000, "shop", READ));
    let future = statement("mysql_slow", 9_000_000, "shop", READ);
    let shape = Shape::of(READ, false, "");
    reads.take(&future, Some(&shape), Hour(1000).begin());
    assert_eq!(reads.newest(), Hour(1001));
    // Nor does one that tells of a time without a beginning.
    let mut past = future;
    past.time = Some(Timestamp(i64::MIN));
    reads.take(&past, Some(&shape), Hour(1000).begin());
    let found = reads.figure(PAYMENTS, None, Hour(1000)).expect("known");
    assert_eq!(found.reads, 1);
}

#[test]
fn accounts_beyond_a_table_s_places_are_counted_together() {
    let mut reads = Reads::default();
    let account = |number: usize| statement("mysql_slow", 1000, &format!("a{number}"), READ);
    for number in 0..ACCOUNTS_MAX + 3 {
        take(&mut reads, &account(number));
    }
    take(
        &mut reads,
        &statement("mysql_slow", 1000, &"x".repeat(4000), READ),
    );
    let hours = || Hour(1000)..=Hour(1000);
    let accounts = reads.accounts(PAYMENTS, hours());
    assert_eq!(accounts.len(), ACCOUNTS_MAX + 1);
    let others = reads.figure(PAYMENTS, Some(&Account::Others), Hour(1000));
    assert_eq!(others.map(|figure| figure.reads), Some(4));
    // A place is free again once its last hour is gone.
    let later = 1000 + HOURS_MAX;
    take(&mut reads, &statement("mysql_slow", later, "new", READ));
    let new = BTreeSet::from([Account::Named("new".into())]);
    assert_eq!(reads.accounts(PAYMENTS, Hour(0)..=Hour(later)), new);
}

/// Records of several logs, hours, accounts and texts.
fn records() -> impl Strategy<Value = Vec<Event<'static>>> {
    let record =
        (0..4_usize, 0..900_i64, 0..6_usize, 0..3_usize).prop_map(|(log, hour, account, text)| {
            let account = ["shop", "", "it's <b>\u{0}", "a", "b", "c"][account];
            let text = [READ, "SELECT 1", "SELECT * FROM quote_payment"][text];
            match log {
                0 => statement("mariadb_server_audit", 5000 + hour, account, text),
                1 => statement("mysql_general", 5000 + hour, account, text),
                2 => statement("mysql_slow", 5000 + hour, account, text),
                _ => table(5000 + hour, account, hour, "read"),
            }
        });
    prop::collection::vec(record, 0..60)
}

fn all(reads: &Reads) -> Vec<(Hour, super::Kept)> {
    let mut reads = reads.clone();
    reads.unsave();
    reads.take_changed()
}

fn restored(saved: &[(Hour, super::Kept)]) -> Reads {
    let mut reads = Reads::default();
    for (hour, kept) in saved.iter().rev() {
        reads.restore(*hour, kept.clone());
    }
    reads
}

proptest! {
    #[test]
    fn a_start_in_between_changes_nothing(events in records(), at in 0..60_usize) {
        let at = at.min(events.len());
        let mut through = Reads::default();
        events.iter().for_each(|event| take(&mut through, event));
        let mut before = Reads::default();
        events[..at].iter().for_each(|event| take(&mut before, event));
        let mut after = restored(&all(&before));
        // What is read again to be warm isn't counted.
        for event in &events[..at] {
            after.take_table(event, Timestamp(i64::MAX), false);
        }
        events[at..].iter().for_each(|event| take(&mut after, event));
        prop_assert_eq!(all(&through), all(&after));
    }

    #[test]
    fn what_changed_is_all_that_changed(events in records()) {
        let mut reads = Reads::default();
        let mut rows = std::collections::BTreeMap::new();
        for event in &events {
            take(&mut reads, event);
            for (hour, kept) in reads.take_changed() {
                let table = match &kept {
                    super::Kept::Told(_) => "",
                    super::Kept::Table(table, _) => table,
                };
                rows.insert((hour, table), kept);
            }
            rows.retain(|(hour, _), _| *hour >= reads.oldest());
        }
        let rows: Vec<_> = rows.into_iter().map(|((hour, _), kept)| (hour, kept)).collect();
        prop_assert_eq!(rows, all(&reads));
    }

    #[test]
    fn no_order_of_records_within_what_is_kept_changes_a_number(events in records(), seed in any::<u64>()) {
        // All of one day, so that none is too old for another; TABLE records of one statement follow each other in any log.
        let mut events: Vec<_> = events
            .into_iter()
            .filter(|event| event.text(Field::Operation) == Some("query"))
            .collect();
        let mut straight = Reads::default();
        let within = |event: &mut Event<'_>| {
            let hour = Hour::of(event.time.unwrap_or_default()).0;
            event.time = Some(Hour(5000 + hour % 24).begin());
        };
        events.iter_mut().for_each(within);
        events.iter().for_each(|event| take(&mut straight, event));
        events.sort_by_cached_key(|event| {
            let hour = Hour::of(event.time.unwrap_or_default()).0.cast_unsigned();
            seed.rotate_left(u32::try_from(hour % 60).unwrap_or(0)) ^ hour.wrapping_mul(seed | 1)
        });
        let mut shuffled = Reads::default();
        events.iter().for_each(|event| take(&mut shuffled, event));
        prop_assert_eq!(all(&straight), all(&shuffled));
    }

    #[test]
    fn what_is_kept_is_bounded(hours in prop::collection::vec(0..100_000_i64, 1..80)) {
        let mut reads = Reads::default();
        for (number, hour) in hours.iter().enumerate() {
            take(&mut reads, &statement("mysql_slow", *hour, &format!("a{number}"), READ));
        }
        let kept = all(&reads);
        let newest = hours.iter().max().copied().unwrap_or_default();
        prop_assert_eq!(reads.newest(), Hour(newest));
        for (hour, kept) in kept {
            prop_assert!(hour.0 > newest - HOURS_MAX && hour.0 <= newest);
            if let super::Kept::Table(_, lines) = kept {
                prop_assert!(lines.len() <= (ACCOUNTS_MAX + 2) * Witness::ALL.len());
            }
        }
    }
}
