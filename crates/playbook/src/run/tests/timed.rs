//! Steps whose time is over.

use model::{Happened, Plan, Timestamp, WalkStage};

use super::{
    NOW, Run, StepState, Turn, Wait, approval, block, broken, by_hand, fails, keep, lock, only_if,
    person, plan, purge, timed,
};

fn at(milliseconds: u64) -> Timestamp {
    NOW.plus_milliseconds(milliseconds)
}

fn begun(steps: Vec<super::PlanStep>) -> Run {
    Run::begin(&approval(plan(steps), &["ann"])).expect("approved")
}

#[track_caller]
fn take(run: &mut Run, what: Happened, when: Timestamp) {
    run.take(&run.entry(what, when)).expect("it follows");
}

/// The first step is looked at and begun.
fn begin_first(run: &mut Run) {
    let (step, unsealed, already) = (0, false, false);
    let (changes, kept) = (Vec::new(), "k".to_owned());
    let surveyed = Happened::Surveyed {
        step,
        changes,
        kept,
        already,
    };
    take(run, surveyed, NOW);
    take(run, Happened::Intended { step, unsealed }, NOW);
}

#[track_caller]
fn refuses(run: &Run, step: usize, when: Timestamp, why: &str) {
    let error = run
        .clone()
        .take(&run.entry(Happened::TimedOut { step }, when));
    let error = error.expect_err("it doesn't follow").to_string();
    assert!(error.contains(why), "{error}");
}

#[test]
fn nobody_answers_and_what_is_there_for_a_failure_goes_on() {
    let steps = vec![
        timed(600_000, by_hand(0)),
        only_if(&fails("step 0"), true, block(1)),
        block(2),
    ];
    let mut run = begun(steps);
    assert_eq!(run.waits_until(), Some((0, at(600_000))));
    assert!(run.after_time_out(0).contains("begins: step 2 “step 1”"));
    assert_eq!(run.overdue(at(599_999)), None);
    refuses(&run, 0, at(599_999), "isn't over");
    refuses(&run, 1, at(600_000), "doesn't wait at this step");
    take(&mut run, Happened::TimedOut { step: 0 }, at(600_001));
    let why = "timed out: nobody answered within 10 minutes".to_owned();
    assert_eq!(run.steps[0].state, StepState::Failed { why });
    assert_eq!((run.turn(), run.waits_until()), (Turn::Survey(1), None));
    refuses(&run, 0, at(900_000), "doesn't wait at this step");
}

#[test]
fn without_anything_for_a_failure_the_run_waits_for_a_person_and_undoes_nothing() {
    let mut run = begun(vec![block(0), timed(1000, by_hand(1)), block(2)]);
    assert_eq!(run.waits_until(), None, "it isn't its turn");
    begin_first(&mut run);
    take(&mut run, Happened::Done { step: 0 }, at(5000));
    assert_eq!(
        run.waits_until(),
        Some((1, at(6000))),
        "since its turn came"
    );
    assert!(run.after_time_out(1).contains("nothing is done or undone"));
    take(&mut run, Happened::TimedOut { step: 1 }, at(6000));
    assert_eq!(run.turn(), Turn::Wait(Wait::Failed(1)));
    assert!(run.may_hold(0) && run.undo.is_none());
    // Failed, it has no time any more; tried again, the time is anew.
    assert_eq!(run.overdue(at(u64::MAX)), None);
    let (step, by) = (1, person("ann"));
    take(&mut run, Happened::Retry { step, by }, at(9000));
    assert_eq!(run.waits_until(), Some((1, at(10_000))));
    let (step, by, note) = (1, person("ann"), String::new());
    take(&mut run, Happened::PersonDid { step, by, note }, at(99_000));
    assert_eq!(
        run.turn(),
        Turn::Survey(2),
        "who answers late, and first, has answered"
    );
}

#[test]
fn evidence_and_a_cause_are_waited_for_as_long_as_a_step_has() {
    let mut run = begun(vec![
        timed(1000, keep(0)),
        timed(1000, lock(1)),
        timed(2000, purge(2)),
    ]);
    let failed = |step| {
        let (why, partly) = ("no".to_owned(), String::new());
        Happened::Failed { step, why, partly }
    };
    let left_out = |step| {
        let (why, by) = (String::new(), Some(person("ann")));
        Happened::Skipped { step, why, by }
    };
    take(&mut run, failed(0), NOW);
    assert_eq!(run.waits_until(), None, "what failed waits for ever");
    take(&mut run, left_out(0), NOW);
    assert_eq!(run.turn(), Turn::Wait(Wait::Evidence(1)));
    take(&mut run, Happened::TimedOut { step: 1 }, at(1000));
    take(&mut run, left_out(1), at(1000));
    assert_eq!(run.turn(), Turn::Wait(Wait::Evidence(2)));
    let (step, by, why) = (2, vec![person("ann"), person("bob")], String::new());
    take(&mut run, Happened::Waived { step, by, why }, at(2500));
    // The same step waits for something else: its time goes on.
    assert_eq!(run.turn(), Turn::Wait(Wait::Cause(2)));
    assert_eq!(run.waits_until(), Some((2, at(3000))));
}

#[test]
fn a_question_and_a_store_that_suffers_are_waited_for_as_long_as_it_takes() {
    let run = begun(vec![timed(1, only_if("c", true, by_hand(0)))]);
    assert!(matches!(run.turn(), Turn::Wait(Wait::Answer { .. })));
    assert_eq!((run.waits_until(), run.overdue(at(u64::MAX))), (None, None));
    let mut run = begun(vec![timed(1, block(0)), timed(1, by_hand(1))]);
    begin_first(&mut run);
    assert!(!run.is_out_of_time(0, NOW) && run.is_out_of_time(0, at(1)));
    take(&mut run, Happened::Done { step: 0 }, at(500));
    assert!(
        !run.is_out_of_time(0, at(900)),
        "what holds is done, however long it took"
    );
    let verdicts = [("de".to_owned(), broken(WalkStage::Payment))].into();
    take(&mut run, Happened::Guarded { step: 0, verdicts }, at(500));
    assert_eq!(run.turn(), Turn::Wait(Wait::Guard(0)));
    assert_eq!((run.waits_until(), run.overdue(at(u64::MAX))), (None, None));
    let (step, by, note) = (0, person("ann"), "so be it".to_owned());
    take(&mut run, Happened::Heeded { step, by, note }, at(700));
    assert_eq!(run.waits_until(), Some((1, at(701))));
}

#[test]
fn what_was_written_before_there_were_time_outs_is_read() {
    let written = serde_json::to_value(plan(vec![by_hand(0)])).expect("JSON");
    assert!(
        written["steps"][0].get("timeout_milliseconds").is_none(),
        "its hash is as it was"
    );
    let read: Plan = serde_json::from_value(written).expect("a plan");
    assert_eq!(read.steps[0].timeout_milliseconds, None);
    let line = br#"{"v":1,"run":"r","number":1,"at":7,"what":"timed_out","step":0}"#;
    let entry: model::RunEntry = serde_json::from_slice(line).expect("an entry");
    assert_eq!(entry.what, Happened::TimedOut { step: 0 });
}

#[test]
fn a_time_is_told_in_the_largest_unit_that_is_whole() {
    let words = |time| timed(time, by_hand(0)).timeout_words().expect("it has one");
    let told = [1, 1500, 1000, 90_000, 60_000, 7_200_000].map(words);
    assert_eq!(
        told,
        [
            "1 millisecond",
            "1500 milliseconds",
            "1 second",
            "90 seconds",
            "1 minute",
            "2 hours"
        ]
    );
    assert_eq!(by_hand(0).timeout_words(), None);
}
