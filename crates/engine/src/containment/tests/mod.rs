//! What people may ask of a run, and what of a host is believed.

mod told;

use std::collections::BTreeMap;

use model::{
    Ask, Happened, Instructed, Order, Person, Plan, RUN_VERSION, Refused, RunEntry, Sequence,
    StoreMap, Timestamp, Word,
};
use playbook::{Run, Turn, Wait, hash_words};

use super::{Containments, Misfit, ORDER_SECONDS_MAX, Stage, Standing, places_of, plan_of, powers};

const HOST: &str = "shop1";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + seconds)
}

fn person(name: &str) -> Person {
    Person {
        account: name.to_owned(),
        name: name.to_owned(),
    }
}

fn plan(playbook: &str, values: &[(&str, &str)]) -> Plan {
    let values = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let values: BTreeMap<_, _> = values.collect();
    plan_of(
        &super::Playbooks::default(),
        playbook,
        &values,
        &StoreMap::default(),
    )
    .expect("a plan")
}

fn shell() -> Plan {
    plan(
        "web-shell",
        &[
            ("__file__", "pub/media/x.php"),
            ("__network__", "203.0.113.66"),
        ],
    )
}

/// One that needs two people.
fn danger() -> Plan {
    let plan = plan("key-compromise", &[]);
    assert!(plan.needs_two_people);
    plan
}

fn order(id: &str, by: &str, seconds: i64, ask: Ask) -> Order {
    Order {
        id: id.to_owned(),
        run: "run-1".to_owned(),
        incident: "i1".to_owned(),
        by: person(by),
        at: at(seconds),
        note: "because".to_owned(),
        ask,
    }
}

fn propose(by: &str, plan: &Plan, signs: bool) -> Order {
    let ask = Ask::Propose {
        host: HOST.to_owned(),
        hash: hash_words(plan),
        plan: Box::new(plan.clone()),
        answers: BTreeMap::new(),
        signs,
    };
    order("o1", by, 0, ask)
}

fn approve(id: &str, by: &str, seconds: i64, plan: &Plan) -> Order {
    let hash = hash_words(plan);
    order(id, by, seconds, Ask::Approve { hash })
}

/// Takes an order as the pipeline does: only what may be.
fn take(all: &mut Containments, one: &Order) -> Result<(), Misfit> {
    let next = all
        .all()
        .map(|standing| standing.orders.len())
        .sum::<usize>();
    if all.may(one)?.is_none() {
        let sequence = Sequence(next as u64);
        drop(all.take(one, sequence)?);
    }
    Ok(())
}

fn standing(all: &Containments) -> Standing {
    let one = all.all().next().expect("a run");
    Standing::clone(one)
}

/// The entries a host writes down when it begins what it is told to.
fn begun(all: &Containments, seconds: i64) -> RunEntry {
    let told = standing(all).instructions(at(seconds));
    let [
        (
            id,
            by,
            _,
            Instructed::Begin {
                plan,
                hash,
                answers,
            },
        ),
    ] = told.as_slice()
    else {
        panic!("{told:?}");
    };
    RunEntry {
        v: RUN_VERSION,
        run: "run-1".to_owned(),
        number: 0,
        at: at(seconds),
        order: id.clone(),
        what: Happened::Approved {
            plan: plan.clone(),
            hash: hash.clone(),
            by: by.clone(),
            answers: answers.clone(),
        },
    }
}

fn hear(all: &mut Containments, entry: &RunEntry) {
    assert_eq!(all.may_hear(HOST, entry), Ok(true));
    drop(
        all.hear(HOST, entry, Sequence(100 + entry.number))
            .expect("it follows"),
    );
}

#[test]
fn who_may_decide_begins_with_one_word_and_an_analyst_asks() {
    let plan = shell();
    let mut all = Containments::default();
    take(&mut all, &propose("lead", &plan, true)).expect("taken");
    assert_eq!(standing(&all).stage(at(1)), Stage::Ordered);

    let mut all = Containments::default();
    take(&mut all, &propose("analyst", &plan, false)).expect("taken");
    assert_eq!(standing(&all).stage(at(1)), Stage::Proposed { lacks: 1 });
    assert!(standing(&all).instructions(at(1)).is_empty());
    let own = take(&mut all, &approve("o2", "analyst", 1, &plan));
    assert_eq!(own, Err(Misfit::Own));
    take(&mut all, &approve("o3", "approver", 2, &plan)).expect("taken");
    assert_eq!(standing(&all).stage(at(3)), Stage::Ordered);
    // Told again, it counts once; said by others, it is too late.
    take(&mut all, &approve("o3", "approver", 2, &plan)).expect("known");
    assert!(matches!(
        take(&mut all, &approve("o4", "third", 3, &plan)),
        Err(Misfit::Late(_))
    ));
    assert_eq!(standing(&all).orders.len(), 2);
}

#[test]
fn what_needs_two_people_waits_for_two_different_ones() {
    let plan = danger();
    for (signs, more) in [(true, 1), (false, 2)] {
        let mut all = Containments::default();
        take(&mut all, &propose("ann", &plan, signs)).expect("taken");
        for nth in 0..more {
            assert_eq!(
                standing(&all).stage(at(1)),
                Stage::Proposed { lacks: more - nth }
            );
            let by = format!("approver{nth}");
            take(&mut all, &approve(&by, &by, 2, &plan)).expect("taken");
            if nth + 1 < more {
                let twice = take(&mut all, &approve("again", &by, 2, &plan));
                assert_eq!(twice, Err(Misfit::Twice));
            }
        }
        let told = standing(&all).instructions(at(3));
        assert_eq!(told.len(), 1);
        let by = &told.first().expect("one").1;
        assert_eq!(by.len(), 2, "{by:?}");
    }
}

#[test]
fn another_plan_than_the_one_that_was_read_is_neither_proposed_nor_approved_nor_believed() {
    let (plan, other) = (shell(), danger());
    let mut all = Containments::default();
    let mut forged = propose("lead", &plan, true);
    if let Ask::Propose { hash, .. } = &mut forged.ask {
        *hash = hash_words(&other);
    }
    assert_eq!(take(&mut all, &forged), Err(Misfit::OtherPlan));
    take(&mut all, &propose("analyst", &plan, false)).expect("taken");
    assert_eq!(
        take(&mut all, &approve("o2", "lead", 1, &other)),
        Err(Misfit::OtherPlan)
    );
    take(&mut all, &approve("o3", "lead", 1, &plan)).expect("taken");
    let mut entry = begun(&all, 2);
    let honest = entry.clone();
    if let Happened::Approved { plan, hash, by, .. } = &mut entry.what {
        **plan = other.clone();
        *hash = hash_words(&other);
        *by = vec![person("a"), person("b")];
    }
    assert!(all.may_hear(HOST, &entry).is_err());
    // Of another host nothing of it is believed, and without the order that let it begin neither.
    assert!(all.may_hear("shop2", &honest).is_err());
    let unordered = RunEntry {
        order: String::new(),
        ..honest.clone()
    };
    assert!(all.may_hear(HOST, &unordered).is_err());
    hear(&mut all, &honest);
    assert_eq!(all.may_hear(HOST, &honest), Ok(false));
    assert_eq!(standing(&all).stage(at(3)), Stage::Running);
}

#[test]
fn what_its_host_does_not_hear_in_an_hour_is_not_done_and_may_be_approved_anew() {
    let plan = shell();
    let mut all = Containments::default();
    take(&mut all, &propose("lead", &plan, true)).expect("taken");
    let late = ORDER_SECONDS_MAX;
    assert_eq!(standing(&all).stage(at(late - 1)), Stage::Ordered);
    assert_eq!(standing(&all).stage(at(late)), Stage::Lapsed);
    assert!(standing(&all).instructions(at(late)).is_empty());
    take(&mut all, &approve("o2", "lead", late, &plan)).expect("anew");
    let told = standing(&all).instructions(at(late + 1));
    assert_eq!(told.first().map(|one| one.0.as_str()), Some("o2"));

    let refused = Refused {
        run: "run-1".to_owned(),
        order: "o2".to_owned(),
        why: "the policy of this host says no".to_owned(),
        at: at(late + 2),
    };
    assert!(!all.may_refuse("shop2", &refused));
    assert!(all.refuse(HOST, &refused).is_some());
    assert!(all.refuse(HOST, &refused).is_none());
    assert!(matches!(
        standing(&all).stage(at(late + 3)),
        Stage::Refused { .. }
    ));
    let withdrawn = order("o3", "lead", late + 4, Ask::Withdraw);
    take(&mut all, &withdrawn).expect("taken");
    assert_eq!(standing(&all).stage(at(late + 5)), Stage::Withdrawn);
    assert!(take(&mut all, &approve("o4", "lead", late + 6, &plan)).is_err());
}

#[test]
fn after_a_lapse_one_person_never_restarts_a_plan_that_takes_two() {
    let plan = danger();
    let mut all = Containments::default();
    take(&mut all, &propose("ann", &plan, true)).expect("taken");
    take(&mut all, &approve("o2", "ben", 10, &plan)).expect("taken");
    assert_eq!(standing(&all).stage(at(11)), Stage::Ordered);
    let weeks = 21 * 86_400;
    assert_eq!(standing(&all).stage(at(weeks)), Stage::Lapsed);
    // Whoever approved before may do so anew, and it takes another one besides.
    take(&mut all, &approve("o3", "ann", weeks, &plan)).expect("anew");
    assert_eq!(
        standing(&all).stage(at(weeks + 1)),
        Stage::Proposed { lacks: 1 }
    );
    assert!(standing(&all).instructions(at(weeks + 1)).is_empty());
    let twice = take(&mut all, &approve("o4", "ann", weeks + 2, &plan));
    assert_eq!(twice, Err(Misfit::Twice));
    // Alone for an hour, it is as if nobody had.
    let later = weeks + ORDER_SECONDS_MAX;
    assert_eq!(standing(&all).stage(at(later)), Stage::Lapsed);
    take(&mut all, &approve("o5", "ben", later, &plan)).expect("anew");
    take(&mut all, &approve("o6", "cid", later + 1, &plan)).expect("the second");
    let told = standing(&all).instructions(at(later + 2));
    let [(id, by, ..)] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert_eq!(
        (id.as_str(), by.as_slice()),
        ("o6", [person("ben"), person("cid")].as_slice())
    );
    // The older of the two is no longer young enough, the order that both made is.
    let until = later + ORDER_SECONDS_MAX;
    assert_eq!(standing(&all).stage(at(until)), Stage::Ordered);
    assert_eq!(standing(&all).stage(at(until + 1)), Stage::Lapsed);
}

#[test]
fn after_a_refusal_all_approve_anew_and_who_could_only_ask_never_does() {
    let refused = |order: &str| Refused {
        run: "run-1".to_owned(),
        order: order.to_owned(),
        why: "frozen".to_owned(),
        at: at(20),
    };
    let plan = danger();
    let mut all = Containments::default();
    take(&mut all, &propose("ann", &plan, true)).expect("taken");
    take(&mut all, &approve("o2", "ben", 10, &plan)).expect("taken");
    assert!(all.refuse(HOST, &refused("o2")).is_some());
    let stage = standing(&all).stage(at(21));
    assert!(matches!(stage, Stage::Refused { .. }), "{stage:?}");
    take(&mut all, &approve("o3", "ben", 22, &plan)).expect("anew");
    let stage = standing(&all).stage(at(23));
    assert_eq!(stage, Stage::Proposed { lacks: 1 });
    take(&mut all, &approve("o4", "ann", 24, &plan)).expect("the second");
    assert_eq!(standing(&all).stage(at(25)), Stage::Ordered);

    let plan = shell();
    let mut all = Containments::default();
    take(&mut all, &propose("analyst", &plan, false)).expect("taken");
    take(&mut all, &approve("o2", "lead", 10, &plan)).expect("taken");
    let late = 10 + ORDER_SECONDS_MAX;
    assert_eq!(standing(&all).stage(at(late)), Stage::Lapsed);
    let own = take(&mut all, &approve("o3", "analyst", late, &plan));
    assert_eq!(own, Err(Misfit::Own));
    assert_eq!(standing(&all).stage(at(late)), Stage::Lapsed);
    take(&mut all, &approve("o4", "lead", late, &plan)).expect("one is enough");
    assert_eq!(standing(&all).stage(at(late + 1)), Stage::Ordered);
}

#[test]
fn a_word_is_for_what_the_person_saw_and_a_waiver_takes_two() {
    let plan = shell();
    let mut all = Containments::default();
    take(&mut all, &propose("lead", &plan, true)).expect("taken");
    let first = begun(&all, 1);
    hear(&mut all, &first);
    // Its evidence can't be had: the run waits.
    let run = fail_on(&mut all);
    let Stage::Waits(wait) = standing(&all).stage(at(2)) else {
        panic!("{:?}", standing(&all).stage(at(2)));
    };
    let seen = run.entries;
    let say = |id: &str, by: &str, seen: u64, word| order(id, by, 3, Ask::Say { seen, word });
    assert_eq!(
        take(&mut all, &say("w0", "ann", seen - 1, Word::Skip)),
        Err(Misfit::Moved)
    );
    let odd = if wait.takes(Word::Yes) {
        Word::Retry
    } else {
        Word::Yes
    };
    assert!(matches!(
        take(&mut all, &say("w1", "ann", seen, odd)),
        Err(Misfit::Unfit(_))
    ));
    take(&mut all, &say("w2", "ann", seen, Word::Skip)).expect("taken");
    assert!(matches!(
        take(&mut all, &say("w3", "ann", seen, Word::Skip)),
        Err(Misfit::Late(_))
    ));
    let told = standing(&all).instructions(at(4));
    assert_eq!(told.len(), 1, "{told:?}");
    // The host carries it out: it isn't told again.
    let skipped = run
        .said(Word::Skip, &[person("ann")], "because")
        .expect("fits");
    let mut entry = run.entry(skipped, at(5));
    entry.order = "w2".to_owned();
    hear(&mut all, &entry);
    assert!(standing(&all).instructions(at(6)).is_empty());
    // What alters evidence waits now, since none was kept.
    let run = loop {
        let run = fail_on(&mut all);
        if matches!(run.turn(), Turn::Wait(Wait::Evidence(_))) {
            break run;
        }
        let skipped = run.said(Word::Skip, &[person("ann")], "by hand");
        let entry = run.entry(skipped.expect("fits"), at(6));
        hear(&mut all, &entry);
    };
    let seen = run.entries;
    take(&mut all, &say("v1", "ann", seen, Word::Waive)).expect("the first");
    assert!(standing(&all).instructions(at(8)).is_empty());
    assert!(take(&mut all, &say("v2", "ann", seen, Word::Waive)).is_err());
    take(&mut all, &say("v3", "ben", seen, Word::Waive)).expect("the second");
    let told = standing(&all).instructions(at(9));
    assert_eq!(told.len(), 1);
    let (_, by, _, what) = told.first().expect("one");
    assert_eq!(by.len(), 2);
    assert!(matches!(
        what,
        Instructed::Say {
            word: Word::Waive,
            ..
        }
    ));
}

/// Goes on as a host at which everything fails, until the run waits.
fn fail_on(all: &mut Containments) -> Run {
    loop {
        let run = standing(all).carried.expect("begun");
        match failing(&run) {
            Some(entry) => hear(all, &entry),
            None => return run,
        }
    }
}

/// What a host writes down next whose evidence and surveys all fail, `None` where the run waits.
fn failing(run: &Run) -> Option<RunEntry> {
    let failed = |step| Happened::Failed {
        step,
        why: "it can't be had".to_owned(),
        partly: String::new(),
    };
    let what = match run.turn() {
        Turn::Keep(step) | Turn::Survey(step) => failed(step),
        Turn::Skip(step, why) => Happened::Skipped {
            step,
            why,
            by: None,
        },
        _ => return None,
    };
    Some(run.entry(what, at(2)))
}

#[test]
fn whatever_right_a_token_has_only_people_approve() {
    use model::{Grant, Principal, Role, Via};
    let lead = |via| Principal {
        account: "lead".to_owned(),
        name: "lead".to_owned(),
        shown: "lead".to_owned(),
        grants: vec![Grant::all(Role::IncidentLead)],
        via,
    };
    let raised = Via::BreakGlass { until: at(60) };
    for (via, is_person) in [(Via::Session, true), (raised, true), (Via::Token, false)] {
        let may = powers(&lead(via), &shell(), &StoreMap::default());
        assert_eq!((may.approve, may.decide), (is_person, is_person));
    }
}

#[test]
fn who_may_decide_on_a_plan_follows_from_whom_it_reaches() {
    use model::Scope;
    assert_eq!(places_of(&shell()), [Scope::Installation]);
    assert_eq!(places_of(&danger()), [Scope::Installation]);
}
