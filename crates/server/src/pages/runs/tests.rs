//! How runs are told of, and which of them a page lists.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::containment::{ORDER_SECONDS_MAX, Playbooks, Stage, Standing, plan_of};
use model::{
    Ask, Happened, Order, Person, Piece, Plan, RUN_VERSION, RunEntry, Sequence, StoreMap,
    Timestamp, Word,
};
use playbook::{Run, StepState, Turn, hash_words};

use super::list::Lists;
use super::{RunLine, api, stage_words};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + seconds)
}

fn person() -> Person {
    Person {
        account: "ann".to_owned(),
        name: "ann".to_owned(),
    }
}

fn shell() -> Plan {
    let values = [
        ("__file__", "pub/media/x.php"),
        ("__network__", "203.0.113.66"),
    ];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
    plan_of(
        &Playbooks::default(),
        "web-shell",
        &BTreeMap::from(values),
        &StoreMap::default(),
    )
    .expect("a plan")
}

fn order(id: &str, seconds: i64, ask: Ask) -> Order {
    Order {
        id: id.to_owned(),
        run: "run-1".to_owned(),
        incident: "i1".to_owned(),
        by: person(),
        at: at(seconds),
        note: String::new(),
        ask,
    }
}

/// One that was asked for and approved.
fn asked() -> Standing {
    let plan = shell();
    let ask = Ask::Propose {
        host: "shop1".to_owned(),
        hash: hash_words(&plan),
        plan: Box::new(plan),
        answers: BTreeMap::new(),
        signs: true,
    };
    Standing::proposed(&order("o1", 0, ask), Sequence(1)).expect("a proposal")
}

fn begins(order: &str) -> RunEntry {
    let plan = shell();
    RunEntry {
        v: RUN_VERSION,
        run: "run-1".to_owned(),
        number: 0,
        at: at(1),
        order: order.to_owned(),
        what: Happened::Approved {
            hash: hash_words(&plan),
            plan: Box::new(plan),
            by: vec![person()],
            answers: BTreeMap::new(),
        },
    }
}

/// One of which so many steps were done.
fn carried(done: usize) -> Standing {
    let mut standing = asked();
    standing.hear(&begins("o1"), Sequence(2)).expect("begun");
    loop {
        let run = standing.carried.as_ref().expect("begun");
        let is_settled = !matches!(run.turn(), Turn::Settle(_));
        if run.holding() == done && is_settled {
            return standing;
        }
        let what = match run.turn() {
            Turn::Keep(step) => Happened::Kept {
                step,
                pieces: vec![Piece {
                    name: "processes".to_owned(),
                    bytes: 7,
                    hash: "0".repeat(64),
                    lacks: String::new(),
                }],
            },
            Turn::Survey(step) => Happened::Surveyed {
                step,
                changes: Vec::new(),
                kept: "1".repeat(64),
                already: false,
            },
            Turn::Act(step) => Happened::Intended {
                step,
                unsealed: false,
            },
            Turn::Settle(step) => Happened::Done { step },
            other => panic!("{other:?}"),
        };
        let entry = run.entry(what, at(2));
        standing.hear(&entry, Sequence(3)).expect("it follows");
    }
}

fn hears(standing: &mut Standing, what: Happened) {
    let run = standing.carried.as_ref().expect("begun");
    let entry = run.entry(what, at(3));
    standing.hear(&entry, Sequence(9)).expect("it follows");
}

fn line(standing: Standing, now: Timestamp) -> RunLine {
    RunLine {
        stage: standing.stage(now),
        standing: Arc::new(standing),
        incident: None,
        now,
    }
}

#[test]
fn what_is_said_of_a_run_is_true() {
    let words = |standing: &Standing, now| stage_words(&standing.stage(now), standing);
    let mut one = asked();
    // Whether its host did anything isn't known.
    assert_eq!(
        words(&one, at(ORDER_SECONDS_MAX)),
        "shop1 didn't tell within an hour that it heard of it"
    );
    one.take(&order("o2", 5, Ask::Withdraw), Sequence(2));
    assert_eq!(words(&one, at(6)), "withdrawn");
    for (done, wanted) in [
        (0, "ended for good"),
        (1, "ended for good; 1 step holds"),
        (2, "ended for good; 2 steps hold"),
    ] {
        let mut one = carried(done);
        hears(&mut one, Happened::Closed { by: person() });
        assert_eq!(words(&one, at(4)), wanted);
    }
}

#[test]
fn only_what_is_over_and_holds_nothing_is_folded_away_or_cut() {
    let closed = |done: usize| {
        let mut one = carried(done);
        hears(&mut one, Happened::Closed { by: person() });
        line(one, at(4))
    };
    let undone = || {
        let mut one = carried(1);
        let why = "a false alarm".to_owned();
        let by = person();
        hears(
            &mut one,
            Happened::UndoAsked {
                step: None,
                by,
                why,
            },
        );
        while let Some(Turn::Undo(step)) = one.carried.as_ref().map(Run::turn) {
            let run = one.carried.as_ref().expect("begun");
            let what = match run.steps[step].state {
                StepState::UndoIntended => Happened::Undone {
                    step,
                    lost: String::new(),
                },
                _ => Happened::UndoIntended { step },
            };
            hears(&mut one, what);
        }
        line(one, at(4))
    };
    let mut lines: Vec<_> = (0..5).map(|_| closed(0)).collect();
    lines.push(undone());
    // Older than all of them.
    lines.push(closed(1));
    lines.push(line(asked(), at(ORDER_SECONDS_MAX)));
    lines.push(line(carried(1), at(4)));
    let lists = Lists::of(lines.into_iter());
    let names = |lines: &[RunLine]| -> Vec<_> {
        let stages = lines.iter().map(|one| super::stage_name(&one.stage));
        stages.collect()
    };
    assert_eq!(names(&lists.waiting), ["lapsed"]);
    assert_eq!(names(&lists.going), ["ended", "running"]);
    assert_eq!(lists.over.len(), 6);
}

#[test]
fn a_word_that_lapsed_is_marked_and_one_begun_by_hand_takes_none_from_here() {
    let mut one = carried(1);
    assert_eq!(one.stage(at(4)), Stage::Running);
    let word = Word::Undo;
    one.take(&order("w1", 10, Ask::Say { seen: 0, word }), Sequence(20));
    let late = 10 + ORDER_SECONDS_MAX;
    for (now, lapsed) in [(late - 1, false), (late, true)] {
        let told = api::whole(&one, false, at(now));
        assert_eq!(told["orders"][0]["lapsed"], false, "it is no word");
        assert_eq!(told["orders"][1]["lapsed"], lapsed);
        assert_eq!(told["takes"], serde_json::json!(["undo", "close"]));
    }
    // Taken late, it is told all the same.
    let run = one.carried.as_ref().expect("begun");
    let said = run.said(word, &[person()], "late");
    let mut entry = run.entry(said.expect("fits"), at(late));
    entry.order = "w1".to_owned();
    one.hear(&entry, Sequence(21)).expect("it follows");
    let told = api::whole(&one, false, at(late));
    assert_eq!(told["orders"][1]["lapsed"], false);

    let mine = Standing::begun("shop1", &begins(""), Sequence(1)).expect("begun");
    assert!(mine.is_by_hand() && !one.is_by_hand());
    let told = api::whole(&mine, false, at(4));
    assert_eq!(told["takes"], serde_json::json!([]));
}

#[test]
fn until_when_a_person_is_waited_for_is_told() {
    let mut plan = shell();
    let by_hand = |step: &model::PlanStep| matches!(step.work, model::Work::Person { .. });
    plan.steps.retain(by_hand);
    plan.steps.truncate(1);
    for (time, told) in [(None, None), (Some(90_000), Some(at(91).to_string()))] {
        let mut entry = begins("o1");
        let step = plan.steps.first_mut().expect("a person does something");
        (step.timeout_milliseconds, step.only_if) = (time, Vec::new());
        if let Happened::Approved {
            plan: asked, hash, ..
        } = &mut entry.what
        {
            (**asked, *hash) = (plan.clone(), hash_words(&plan));
        }
        let standing = Standing::begun("shop1", &entry, Sequence(1)).expect("begun");
        let shown = api::whole(&standing, false, at(2));
        let told = told.map_or(serde_json::Value::Null, serde_json::Value::String);
        assert_eq!(shown["waits_until"], told);
    }
}
