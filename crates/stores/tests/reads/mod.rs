//! Hours of reads: written, written over, gone.

use stores::{ReadRow, State, StateUpdate};

use super::{everywhere, open};

/// A row with names as logs may hold them.
pub(crate) fn row(hour: i64, name: &str, number: u64) -> ReadRow {
    ReadRow {
        hour,
        name: name.to_owned(),
        body: format!("{{\"account\":\"it's \\u0000 {number}\"}}"),
    }
}

#[test]
fn hours_of_reads_go_when_they_are_too_old_and_others_are_written_over() {
    everywhere(|place| {
        let mut state = open(place);
        let hours = |reflects: u64, from: Option<i64>, hours: &[i64]| StateUpdate {
            reflects,
            reads: hours
                .iter()
                .flat_map(|hour| {
                    [
                        row(*hour, "", reflects),
                        row(*hour, "quote_payment", reflects),
                    ]
                })
                .collect(),
            reads_from: from,
            ..StateUpdate::default()
        };
        let known = |state: &mut State| -> Vec<(i64, bool)> {
            let rows = state.reads().expect("read");
            rows.iter()
                .map(|row| (row.hour, row.body.contains("u0000 2")))
                .collect()
        };
        state.apply(&hours(1, None, &[3, 1, 2])).expect("written");
        assert_eq!(
            known(&mut state),
            [1, 1, 2, 2, 3, 3].map(|hour| (hour, false))
        );
        state
            .apply(&hours(2, Some(2), &[3, i64::MAX - 1]))
            .expect("written");
        let last = i64::MAX - 1;
        let left = [
            (2, false),
            (2, false),
            (3, true),
            (3, true),
            (last, true),
            (last, true),
        ];
        assert_eq!(known(&mut state), left);
        // All of them go before those that come.
        state
            .apply(&hours(3, Some(i64::MAX), &[1]))
            .expect("written");
        assert_eq!(known(&mut state), [(1, false), (1, false)]);
    });
}
