//! What people decide and attach: put once, waiting in order, and what became of it.

use stores::{Database, Outbox, OutboxRow, Outcome, Put, SettledRow, State, StateUpdate};

use super::{everywhere, on, owner, wait};

#[test]
fn content_is_put_with_its_row_and_gone_once_that_is_settled() {
    everywhere(|place| {
        let database = Database::open(place).expect("opened");
        let mut state = State::open(&database, &owner("a", "shop")).expect("taken");
        let outbox = Outbox::new(database.clone());
        let row = |id: &str| OutboxRow {
            id: id.to_owned(),
            written: 10,
            body: "{}".to_owned(),
        };
        let put =
            |id: &str, content: &str| wait(outbox.put_with(&row(id), Some(content))).expect("put");
        let large = "x".repeat(14 << 20);
        assert_eq!(put("a", &large), Put::New);
        assert_eq!(put("b", "second"), Put::New);
        // Told again, it keeps what it had.
        assert!(matches!(put("b", "another"), Put::Known { .. }));
        assert_eq!(state.upload("a").expect("read").as_ref(), Some(&large));
        assert_eq!(state.upload("b").expect("read").as_deref(), Some("second"));
        assert_eq!(state.upload("c").expect("read"), None);
        let settled = |id: &str, outcome| SettledRow {
            id: id.to_owned(),
            outcome,
        };
        let update = StateUpdate {
            reflects: 8,
            settled: vec![
                settled("a", Outcome::Sealed(7)),
                settled("b", Outcome::Refused("no".to_owned())),
            ],
            ..StateUpdate::default()
        };
        state.apply(&update).expect("written");
        assert_eq!(on(&database, "SELECT COUNT(*) FROM upload"), 0);
        // Where the ledger has to forget, what was sealed from here is forgotten, too; what waits isn't.
        put("c", "waits");
        state.forget().expect("forgotten");
        assert_eq!(on(&database, "SELECT COUNT(*) FROM outbox"), 1);
        assert_eq!(state.upload("c").expect("read").as_deref(), Some("waits"));
    });
}

#[test]
fn a_decision_is_put_once_and_says_what_became_of_it() {
    everywhere(|place| {
        let database = Database::open(place).expect("opened");
        let mut state = State::open(&database, &owner("a", "shop")).expect("taken");
        let outbox = Outbox::new(database);
        let row = |id: &str, written| OutboxRow {
            id: id.to_owned(),
            written,
            body: format!("{{\"of\":\"{id} it's 😀\"}}"),
        };
        let put = |row: &OutboxRow| wait(outbox.put(row)).expect("put");
        assert_eq!(put(&row("late", 20)), Put::New);
        assert_eq!(put(&row("early", 10)), Put::New);
        assert_eq!(put(&row("never", 30)), Put::New);
        let known = |row: &OutboxRow, outcome| Put::Known {
            body: row.body.clone(),
            outcome,
        };
        let early = row("early", 10);
        assert_eq!(put(&early), known(&early, None));
        let waiting = [row("early", 10), row("late", 20), row("never", 30)];
        assert_eq!(state.waiting().expect("read"), waiting);
        let settled = |id: &str, outcome| SettledRow {
            id: id.to_owned(),
            outcome,
        };
        let update = StateUpdate {
            reflects: 8,
            settled: vec![
                settled("early", Outcome::Sealed(7)),
                settled("never", Outcome::Refused("somebody was first".to_owned())),
            ],
            ..StateUpdate::default()
        };
        state.apply(&update).expect("written");
        assert_eq!(state.waiting().expect("read"), [row("late", 20)]);
        assert_eq!(put(&early), known(&early, Some(Outcome::Sealed(7))));
        let refused = Outcome::Refused("somebody was first".to_owned());
        assert_eq!(wait(outbox.outcome("never")).expect("read"), Some(refused));
        let other = OutboxRow {
            body: "another".to_owned(),
            ..early.clone()
        };
        assert_eq!(put(&other), known(&early, Some(Outcome::Sealed(7))));
        // What people decided is nothing that can be made again.
        state.clear().expect("cleared");
        assert_eq!(state.waiting().expect("read"), [row("late", 20)]);
    });
}
