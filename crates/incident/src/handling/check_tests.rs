//! Claims about what people may decide, and that nothing leads round what closing asks for.

use std::collections::BTreeMap;

use model::{
    Act, Attachment, CommentKind, Decision, Exposure, Handling, Incident, IncidentState, Joined,
    Lane, Level, Person, Sequence, TaskState, Timestamp,
};
use proptest::prelude::*;

use super::{Flows, check};
use crate::handling::{ATTACHED_BYTES_MAX, MEASURES, measure};

const FLOW: &str = "id = \"pan_leak\"\ntitle = \"Stray card data\"\nfollows = \"12.10.7\"\nrequirement = \"12.10.7\"\n\
[[stage]]\nid = \"lessons\"\ntitle = \"What was learnt\"\nmeaning = \"m\"\n[[stage.field]]\nid = \"text\"\nlabel = \"Text\"\n";

fn flows() -> Flows {
    Flows::parse(&[("pan.toml", FLOW)]).expect("a flow")
}

fn incident() -> Incident {
    let joined = |finding: &str| Joined {
        finding: finding.to_owned(),
        because: String::new(),
    };
    Incident {
        id: "i1".to_owned(),
        title: "t".to_owned(),
        state: IncidentState::Signal,
        lane: Lane::Live,
        severity: Level::Critical,
        severity_because: Vec::new(),
        severity_floor: Level::High,
        first: Timestamp::from_seconds(0),
        last: Timestamp::from_seconds(5),
        detected: Timestamp::from_seconds(10),
        actors: Vec::new(),
        assets: Vec::new(),
        scopes: Vec::new(),
        findings: vec![joined("i1"), joined("f2")],
        exposure: Exposure {
            assets: Vec::new(),
            scopes: Vec::new(),
            first: Timestamp(0),
            last: Timestamp(0),
            rows: None,
            bytes: None,
            channels: Vec::new(),
            basis: Vec::new(),
        },
        obligations: Vec::new(),
        requirements: vec!["12.10.7".to_owned()],
        related: Vec::new(),
    }
}

struct Desk {
    incident: Incident,
    handling: Handling,
}

impl Desk {
    fn new() -> Self {
        Self {
            incident: incident(),
            handling: Handling::default(),
        }
    }

    fn decision(&self, act: Act, reason: &str) -> Decision {
        Decision {
            id: "d".to_owned(),
            incident: "i1".to_owned(),
            by: Person {
                account: "a".to_owned(),
                name: "Ana".to_owned(),
            },
            at: Timestamp::from_seconds(20 + i64::try_from(self.handling.version()).expect("few")),
            seen: self.handling.version(),
            act,
            reason: reason.to_owned(),
        }
    }

    fn ask(&self, decision: &Decision) -> Result<(), String> {
        let other = |id: &str| match id {
            "i1" | "i2" => Some(IncidentState::Signal),
            "gone" => Some(IncidentState::Merged),
            _ => None,
        };
        check(&self.incident, &self.handling, &flows(), decision, &other)
            .map_err(|refusal| refusal.to_string())
    }

    #[track_caller]
    fn does(&mut self, act: Act, reason: &str) {
        let decision = self.decision(act, reason);
        self.ask(&decision).expect("allowed");
        self.handling.take(Sequence(1), decision);
    }

    #[track_caller]
    fn refuses(&self, act: Act, reason: &str, why: &str) {
        assert_eq!(self.ask(&self.decision(act, reason)), Err(why.to_owned()));
    }

    #[track_caller]
    fn moves(&mut self, to: IncidentState, reason: &str) {
        self.does(Act::Move { to }, reason);
    }
}

fn stage() -> Act {
    Act::Stage {
        flow: "pan_leak".to_owned(),
        stage: "lessons".to_owned(),
        fields: BTreeMap::from([("text".to_owned(), "no debug log in production".to_owned())]),
    }
}

fn recovered() -> Desk {
    let mut desk = Desk::new();
    for to in [
        IncidentState::Suspected,
        IncidentState::Declared,
        IncidentState::Contained,
        IncidentState::Eradicated,
        IncidentState::Recovered,
    ] {
        desk.moves(to, "");
    }
    desk
}

#[test]
fn closing_refuses_while_a_required_stage_is_empty_or_a_task_is_open() {
    let mut desk = recovered();
    let close = || Act::Move {
        to: IncidentState::Closed,
    };
    desk.does(
        Act::AddTask {
            title: "Ring the acquirer".to_owned(),
            owner: None,
            due: None,
        },
        "",
    );
    desk.refuses(close(), "", "say why: the reason is part of the record");
    desk.refuses(
        close(),
        "done",
        "the stage “What was learnt” of “Stray card data” is empty: fill it before closing",
    );
    desk.does(stage(), "");
    desk.refuses(
        close(),
        "done",
        "1 task(s) are open, the first is “Ring the acquirer”: finish or drop them before closing",
    );
    let change = |state| Act::ChangeTask {
        task: 1,
        owner: None,
        due: None,
        state,
    };
    desk.refuses(
        change(TaskState::Dropped),
        "",
        "say why: the reason is part of the record",
    );
    desk.does(change(TaskState::Done), "");
    desk.moves(IncidentState::Closed, "done");
    assert_eq!(desk.handling.state, IncidentState::Closed);
}

#[test]
fn a_move_that_is_not_there_is_refused() {
    let desk = Desk::new();
    desk.refuses(
        Act::Move {
            to: IncidentState::Closed,
        },
        "x",
        "an incident that is signal can't become closed",
    );
    desk.refuses(
        Act::Move {
            to: IncidentState::FalsePositive,
        },
        " ",
        "say why: the reason is part of the record",
    );
}

#[test]
fn severity_is_not_lowered_below_its_floor_nor_without_a_reason() {
    let mut desk = Desk::new();
    let to = |level| Act::Severity {
        to: Some(level),
        told: Level::Critical,
    };
    desk.refuses(
        to(Level::Medium),
        "calm",
        "the severity can't go below high: the standard itself weighs what was found",
    );
    desk.refuses(
        to(Level::High),
        "",
        "say why: the reason is part of the record",
    );
    desk.does(to(Level::High), "nothing was read");
    assert_eq!(desk.handling.severity, Some((Level::High, Level::Critical)));
}

#[test]
fn what_somebody_changed_meanwhile_is_not_overwritten() {
    let mut desk = Desk::new();
    let mine = desk.decision(
        Act::Move {
            to: IncidentState::FalsePositive,
        },
        "scanner",
    );
    desk.moves(IncidentState::Suspected, "");
    assert_eq!(
        desk.ask(&mine),
        Err(
            "Ana changed the state meanwhile: look at it as it is now, and decide again".to_owned()
        )
    );
    let mut all_knowing = desk.decision(
        Act::Move {
            to: IncidentState::Declared,
        },
        "",
    );
    all_knowing.seen = 1 << 40;
    assert!(
        desk.ask(&all_knowing)
            .is_err_and(|why| why.contains("nobody can have seen"))
    );
    // A remark overwrites nothing.
    let mut remark = desk.decision(
        Act::Comment {
            text: "x".to_owned(),
            kind: CommentKind::Fact,
        },
        "",
    );
    remark.seen = 0;
    assert_eq!(desk.ask(&remark), Ok(()));
}

#[test]
fn a_file_has_a_name_a_line_about_it_and_room() {
    let mut desk = Desk::new();
    let file = |name: &str, about: &str, size_bytes| {
        Act::Attach(Attachment {
            name: name.to_owned(),
            about: about.to_owned(),
            size_bytes,
            masked: 0,
            hash: String::new(),
            hash_kind: String::new(),
            kept_hash: String::new(),
            entries: 1,
        })
    };
    desk.refuses(file(" ", "x", 1), "", "the file's name is empty");
    desk.refuses(
        file(&"n".repeat(201), "x", 1),
        "",
        "the file's name is longer than 200 bytes",
    );
    desk.refuses(file("a", " ", 1), "", "say in a line what the file is");
    desk.refuses(
        file("a", &"ä".repeat(501), 1),
        "",
        "the line about the file is longer than 500 characters",
    );
    desk.does(file("a", "the mail", ATTACHED_BYTES_MAX - 1), "");
    desk.refuses(
        file("b", "one more", 2),
        "",
        "the files attached to this incident would be more than 1073741824 bytes together",
    );
    desk.does(file("b", "one more", 1), "");
    let (_, second, entries) = desk.handling.attachments().nth(1).expect("two");
    let at = desk.handling.taken[1].sequence.0;
    assert_eq!((second.name.as_str(), entries), ("b", at - 1..at));
}

#[test]
fn merging_and_splitting_name_what_is_there() {
    let mut desk = Desk::new();
    let merge = |into: &str| Act::Merge {
        into: into.to_owned(),
    };
    desk.refuses(merge("i1"), "x", "an incident can't be put into itself");
    desk.refuses(
        merge("gone"),
        "x",
        "there is no incident that goes on, gone",
    );
    let split = |findings: &[&str]| Act::Split {
        findings: findings.iter().map(|id| (*id).to_owned()).collect(),
    };
    desk.refuses(
        split(&[]),
        "x",
        "name some of its findings, not none and not all",
    );
    desk.refuses(
        split(&["i1", "f2"]),
        "x",
        "name some of its findings, not none and not all",
    );
    desk.refuses(
        split(&["f9"]),
        "x",
        "there is no finding in this incident f9",
    );
    desk.does(split(&["f2"]), "another attacker");
    desk.does(merge("i2"), "one act");
    desk.refuses(
        Act::Acknowledge,
        "",
        "it was put into incident i2: work goes on there",
    );
}

#[test]
fn measures_lie_between_recorded_times() {
    let mut desk = recovered();
    let times = |desk: &Desk| {
        MEASURES
            .iter()
            .map(|one| measure(one, &desk.incident, &desk.handling))
            .collect::<Vec<_>>()
    };
    // Detected at 10; suspected at 20, then each second.
    assert_eq!(
        times(&desk),
        [Some(10), Some(10), Some(1), Some(1), Some(3), None]
    );
    desk.moves(IncidentState::Declared, "it came back");
    assert_eq!(
        times(&desk),
        [Some(10), Some(10), Some(1), None, None, None]
    );
    desk.moves(IncidentState::Contained, "");
    assert_eq!(times(&desk).get(3), Some(&Some(5)));
}

fn any_act() -> impl Strategy<Value = (Act, String)> {
    let text = "\\PC{0,40}";
    let act = prop_oneof![
        Just(Act::Acknowledge),
        (0..11_usize).prop_map(|at| Act::Move {
            to: IncidentState::ALL[at]
        }),
        (0..5_usize).prop_map(|at| Act::Severity {
            to: Level::ALL.get(at).copied(),
            told: Level::Critical
        }),
        text.prop_map(|title| Act::AddTask {
            title,
            owner: None,
            due: None
        }),
        (0..4_u32).prop_map(|task| Act::ChangeTask {
            task,
            owner: None,
            due: None,
            state: TaskState::Done
        }),
        text.prop_map(|into| Act::Merge { into }),
        prop::collection::vec(text.prop_map(String::from), 0..3)
            .prop_map(|findings| Act::Split { findings }),
        Just(stage()),
        any::<bool>().prop_map(|on| Act::Watch { on }),
    ];
    (act, text.prop_map(String::from))
}

proptest! {
    /// Whatever people try: nothing is closed with an empty stage or an open task, and the fold of what was
    /// allowed is the same however often it is made.
    #[test]
    fn no_path_leads_round_what_closing_asks_for(acts in prop::collection::vec(any_act(), 0..60)) {
        let mut desk = Desk::new();
        for (act, reason) in acts {
            let decision = desk.decision(act, &reason);
            if desk.ask(&decision).is_err() {
                continue;
            }
            desk.handling.take(Sequence(desk.handling.version()), decision);
            if desk.handling.state == IncidentState::Closed {
                prop_assert!(desk.handling.stages.contains_key("pan_leak"));
            }
        }
        let mut again = Handling::default();
        for taken in &desk.handling.taken {
            again.take(taken.sequence, taken.decision.clone());
        }
        prop_assert_eq!(&again, &desk.handling);
        let json = serde_json::to_string(&desk.handling).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Handling>(&json).expect("read"), desk.handling);
    }
}
