//! A run that another store suffers from: it waits, a person keeps the step or undoes it.

use model::{Happened, OnBreach, PlanStep, UnknownWhy, Verdict, WalkStage, Word};

use super::{
    NOW, Run, StepState, Turn, Wait, approval, block, broken, by_hand, keep, lock, person, plan,
};

fn done(step: usize) -> Vec<Happened> {
    let (changes, kept) = (Vec::new(), "k".to_owned());
    vec![
        Happened::Surveyed {
            step,
            changes,
            kept,
            already: false,
        },
        Happened::Intended {
            step,
            unsealed: false,
        },
        Happened::Done { step },
    ]
}

fn says(step: usize, verdict: Verdict) -> Happened {
    let verdicts = [("de".to_owned(), verdict)].into();
    Happened::Guarded { step, verdicts }
}

fn take(run: &mut Run, told: Vec<Happened>) {
    for what in told {
        run.take(&run.entry(what, NOW)).expect("it follows");
    }
}

/// Two steps, the first of which is done and guarded.
fn guarded(verdict: Verdict) -> Run {
    let first = approval(plan(vec![block(0), block(1)]), &["ann"]);
    let mut run = Run::begin(&first).expect("approved");
    take(&mut run, done(0));
    take(&mut run, vec![says(0, verdict)]);
    run
}

#[test]
fn only_a_store_that_broke_since_stops_a_run() {
    let unknown = |why| Verdict::Unknown { why };
    for verdict in [
        Verdict::Fine,
        Verdict::WasBroken,
        unknown(UnknownWhy::Overload),
        unknown(UnknownWhy::Before),
        unknown(UnknownWhy::After),
    ] {
        assert_eq!(
            guarded(verdict.clone()).turn(),
            Turn::Survey(1),
            "{verdict:?}"
        );
    }
    let run = guarded(broken(WalkStage::Payment));
    assert_eq!(run.turn(), Turn::Wait(Wait::Guard(0)));
    // Closing is for people, at any rest.
    assert!(run.may(&Happened::Closed { by: person("ann") }).is_ok());
}

#[test]
fn a_person_keeps_the_step_with_a_reason_or_undoes_it() {
    let run = guarded(broken(WalkStage::Payment));
    let by = [person("ann")];
    for word in [Word::No, Word::Done, Word::Skip, Word::Retry, Word::Waive] {
        assert!(run.said(word, &by, "because").is_err(), "{word:?}");
    }
    let told = run
        .said(Word::Yes, &by, " ")
        .map_err(|error| error.to_string());
    assert_eq!(
        told,
        Err("say why the step is kept although a store suffers".to_owned())
    );
    let skipped = Happened::Skipped {
        step: 0,
        why: String::new(),
        by: Some(person("ann")),
    };
    assert!(run.may(&skipped).is_err(), "it was done");

    let mut kept = run.clone();
    let heeded = run
        .said(Word::Yes, &by, "the leak is worse")
        .expect("a word");
    take(&mut kept, vec![heeded.clone()]);
    assert_eq!(kept.turn(), Turn::Survey(1));
    assert_eq!(kept.steps[0].note, "the leak is worse");
    assert!(kept.may(&heeded).is_err(), "once is enough");

    let mut undone = run.clone();
    take(
        &mut undone,
        vec![run.said(Word::Undo, &by, "").expect("a word")],
    );
    assert_eq!(undone.turn(), Turn::Undo(0));
    take(&mut undone, vec![Happened::UndoIntended { step: 0 }]);
    let lost = String::new();
    take(&mut undone, vec![Happened::Undone { step: 0, lost }]);
    assert_eq!(undone.turn(), Turn::Nothing);

    let mut one = run;
    let (by, why) = (person("ann"), String::new());
    let step = Some(0);
    take(&mut one, vec![Happened::UndoAsked { step, by, why }]);
    take(&mut one, vec![Happened::UndoIntended { step: 0 }]);
    let lost = String::new();
    take(&mut one, vec![Happened::Undone { step: 0, lost }]);
    assert_eq!(one.turn(), Turn::Survey(1), "the other step goes on");
}

#[test]
fn each_step_of_ours_is_guarded_once_it_was_done_and_once() {
    let first = approval(plan(vec![keep(0), block(1), by_hand(2)]), &["ann"]);
    let mut run = Run::begin(&first).expect("approved");
    let fine = |step| says(step, Verdict::Fine);
    let pieces = Vec::new();
    take(&mut run, vec![Happened::Kept { step: 0, pieces }]);
    let verdicts = [("<b>".to_owned(), Verdict::Fine)].into();
    let hostile = Happened::Guarded { step: 1, verdicts };
    assert!(run.may(&fine(0)).is_err(), "evidence changes no store");
    assert!(run.may(&fine(1)).is_err(), "it wasn't done");
    take(&mut run, done(1));
    assert_eq!(run.unguarded().collect::<Vec<_>>(), [1]);
    assert!(run.may(&hostile).is_err(), "no view has such a code");
    take(&mut run, vec![fine(1)]);
    assert!(run.may(&fine(1)).is_err(), "it was said");
    let (by, note) = (person("ann"), String::new());
    take(&mut run, vec![Happened::PersonDid { step: 2, by, note }]);
    assert!(run.may(&fine(2)).is_err(), "a person did it");
    assert!(run.may(&fine(3)).is_err(), "there is none");
    assert_eq!(run.unguarded().count(), 0);
}

#[test]
fn what_was_undone_before_the_guard_looked_is_guarded_and_stops_nothing() {
    let first = approval(plan(vec![block(0), block(1)]), &["ann"]);
    let mut run = Run::begin(&first).expect("approved");
    take(&mut run, done(0));
    let (step, by, why) = (Some(0), person("ann"), String::new());
    take(&mut run, vec![Happened::UndoAsked { step, by, why }]);
    take(&mut run, vec![Happened::UndoIntended { step: 0 }]);
    assert_eq!(run.unguarded().count(), 0, "under way");
    let lost = String::new();
    take(&mut run, vec![Happened::Undone { step: 0, lost }]);
    assert_eq!(run.unguarded().collect::<Vec<_>>(), [0]);
    take(&mut run, vec![says(0, broken(WalkStage::Home))]);
    assert_eq!(run.turn(), Turn::Survey(1), "it holds nothing");
    assert!(matches!(run.steps[0].state, StepState::Undone { .. }));
}

#[test]
fn what_is_said_is_said_in_words() {
    let run = guarded(broken(WalkStage::Payment));
    let mut step = run.steps[0].clone();
    assert_eq!(
        step.broken_words(),
        "the view de no longer sells (at payment: 403)"
    );
    let more = [
        ("at".to_owned(), Verdict::WasBroken),
        ("fr".to_owned(), Verdict::Fine),
        (
            "us".to_owned(),
            Verdict::Unknown {
                why: UnknownWhy::Overload,
            },
        ),
    ];
    step.guarded.get_or_insert_default().extend(more);
    let said = "at: broken already before this step; de: broken at payment since this step: 403; fr still sells; \
        us: not known, since it fails as under load";
    assert_eq!(step.guard_words(), said);
    step.heeded = true;
    assert_eq!(
        step.guard_words(),
        format!("{said}; it holds because a person says so")
    );
    assert_eq!(run.steps[1].guard_words(), "");
}

/// A step that is to be undone on a breach, then one that takes the cause away; the first is done and broke a store.
fn to_unwind(stage: WalkStage) -> Run {
    let undoes = PlanStep {
        on_breach: OnBreach::Undo,
        ..block(1)
    };
    let first = approval(plan(vec![keep(0), undoes, lock(2), by_hand(3)]), &["ann"]);
    let mut run = Run::begin(&first).expect("approved");
    let pieces = Vec::new();
    take(&mut run, vec![Happened::Kept { step: 0, pieces }]);
    take(&mut run, done(1));
    take(&mut run, vec![says(1, broken(stage))]);
    run
}

fn unwound(step: usize) -> Happened {
    let why = "de".to_owned();
    Happened::Unwound { step, why }
}

#[test]
fn a_step_is_undone_without_a_person_once_the_cause_is_gone_and_not_before() {
    let mut run = to_unwind(WalkStage::Payment);
    // Held up here, the leak would only go on.
    assert_eq!(run.turn(), Turn::Survey(2));
    assert_eq!(run.unwinds(1), None);
    assert!(run.may(&unwound(1)).is_err());
    take(&mut run, done(2));
    assert_eq!(run.turn(), Turn::Wait(Wait::Guard(1)));
    assert_eq!(run.unwinds(1), Some(NOW));
    assert!(run.may(&unwound(2)).is_err(), "it acts on the cause");
    take(&mut run, vec![unwound(1)]);
    assert_eq!(run.turn(), Turn::Undo(1));
    assert!(run.may(&unwound(1)).is_err(), "once is enough");
    let lost = String::new();
    take(
        &mut run,
        vec![
            Happened::UndoIntended { step: 1 },
            Happened::Undone { step: 1, lost },
        ],
    );
    // Nothing goes on past it: what it was for isn't there.
    assert_eq!(run.turn(), Turn::Wait(Wait::Failed(1)));
    assert_eq!(run.unguarded().collect::<Vec<_>>(), [1, 2]);
    take(&mut run, vec![says(1, Verdict::Fine)]);
    assert_eq!(
        run.unguarded().count(),
        1,
        "the guard has yet to look at the other"
    );
    let words = "the guard had it undone, as the plan says; since then de sells";
    assert!(run.steps[1].guard_words().ends_with(words));
    assert_eq!(
        run.steps[1].words(),
        "undone: all is as before; by the guard, since de"
    );
    for (word, turn) in [
        (Word::Retry, Turn::Survey(1)),
        (Word::Skip, Turn::Wait(Wait::Person(3))),
        (Word::Done, Turn::Wait(Wait::Person(3))),
        (Word::Undo, Turn::Undo(2)),
    ] {
        let mut run = run.clone();
        let said = run.said(word, &[person("ann")], "so").expect("a word");
        take(&mut run, vec![said]);
        assert_eq!(run.turn(), turn, "{word:?}");
        if word == Word::Retry {
            take(&mut run, done(1));
            assert_eq!(
                run.turn(),
                Turn::Wait(Wait::Person(3)),
                "it isn't undone again"
            );
            assert_eq!(run.unguarded().collect::<Vec<_>>(), [1, 2]);
        }
    }
}

#[test]
fn what_somebody_could_cause_undoes_nothing() {
    // Whoever buys the guard's product up, and opens the door by that.
    let mut run = to_unwind(WalkStage::Item);
    take(&mut run, done(2));
    assert_eq!(
        (run.turn(), run.unwinds(1)),
        (Turn::Wait(Wait::Guard(1)), None)
    );
    // The cause isn't gone: it failed, was left out by a person, is undone, or none is known.
    for (at, what) in [
        (
            2,
            Happened::Failed {
                step: 2,
                why: String::new(),
                partly: String::new(),
            },
        ),
        (
            2,
            Happened::Intended {
                step: 2,
                unsealed: false,
            },
        ),
    ] {
        let mut run = to_unwind(WalkStage::Payment);
        take(&mut run, done(at)[..1].to_vec());
        take(&mut run, vec![what]);
        assert_eq!(run.unwinds(1), None);
    }
    let none = PlanStep {
        on_breach: OnBreach::Undo,
        ..block(0)
    };
    let first = approval(plan(vec![none, block(1)]), &["ann"]);
    let mut run = Run::begin(&first).expect("approved");
    take(&mut run, done(0));
    take(&mut run, vec![says(0, broken(WalkStage::Home))]);
    assert_eq!(
        (run.turn(), run.unwinds(0)),
        (Turn::Wait(Wait::Guard(0)), None)
    );
}

#[test]
fn the_last_step_is_undone_first_and_what_sells_again_clears_the_others() {
    let undoes = |at| PlanStep {
        on_breach: OnBreach::Undo,
        ..block(at)
    };
    let first = approval(plan(vec![keep(0), lock(1), undoes(2), undoes(3)]), &["ann"]);
    let begun = Run::begin(&first).expect("approved");
    for (after, turn) in [
        (Verdict::Fine, Turn::Wait(Wait::Failed(3))),
        (broken(WalkStage::Home), Turn::Wait(Wait::Guard(2))),
    ] {
        let mut run = begun.clone();
        let pieces = Vec::new();
        take(&mut run, vec![Happened::Kept { step: 0, pieces }]);
        for step in [1, 2, 3] {
            take(&mut run, done(step));
        }
        // All were done before anybody looked, the one that acts on the cause as well.
        for step in [1, 2, 3] {
            take(&mut run, vec![says(step, broken(WalkStage::Home))]);
        }
        assert_eq!(run.turn(), Turn::Wait(Wait::Guard(3)));
        let lost = String::new();
        take(
            &mut run,
            vec![
                unwound(3),
                Happened::UndoIntended { step: 3 },
                Happened::Undone { step: 3, lost },
                says(3, after),
            ],
        );
        assert_eq!(run.turn(), turn);
    }
}
