//! A run whose every text is one string: the playbook's, people's, and its host's.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::containment::{HostSeen, Playbooks, Standing, plan_of};
use engine::desk::{Desk, Update};
use model::{
    Ask, Guard, Happened, Order, Person, Piece, RUN_VERSION, RunChange, RunEntry, Sequence,
    StoreMap, Work,
};
use playbook::{Run, Turn, hash_words};

use crate::NOW;

/// Shows one on an incident: what its host kept, changed and failed at, and what a person said.
pub(crate) fn show(desk: &Desk, incident: &str, text: &str) {
    let values = [
        ("__file__", "pub/media/x.php"),
        ("__network__", "203.0.113.66"),
    ];
    let values: BTreeMap<_, _> = values
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut plan = plan_of(
        &Playbooks::default(),
        "web-shell",
        &values,
        &StoreMap::default(),
    )
    .expect("a plan");
    plan.playbook.name = text.to_owned();
    plan.because = text.to_owned();
    for step in &mut plan.steps {
        step.name = text.to_owned();
        step.only_if = vec![Guard {
            condition: text.to_owned(),
            holds: true,
        }];
        match &mut step.work {
            Work::Action {
                arguments,
                stays_open,
                undo,
                ..
            } => {
                arguments.insert("also".to_owned(), text.to_owned());
                text.clone_into(stays_open);
                text.clone_into(&mut undo.words);
            }
            Work::Person { does } => does.push(text.to_owned()),
        }
    }
    let by = Person {
        account: "ana".to_owned(),
        name: text.to_owned(),
    };
    let order = Order {
        id: "o1".to_owned(),
        run: "run-1".to_owned(),
        incident: incident.to_owned(),
        by: by.clone(),
        at: NOW,
        note: text.to_owned(),
        ask: Ask::Propose {
            host: text.to_owned(),
            hash: hash_words(&plan),
            plan: Box::new(plan.clone()),
            answers: BTreeMap::from([(text.to_owned(), true)]),
            signs: true,
        },
    };
    let mut standing = Standing::proposed(&order, Sequence(1)).expect("a proposal");
    let first = RunEntry {
        v: RUN_VERSION,
        run: "run-1".to_owned(),
        number: 0,
        at: NOW,
        order: "o1".to_owned(),
        what: Happened::Approved {
            hash: hash_words(&plan),
            plan: Box::new(plan),
            by: vec![by],
            answers: BTreeMap::from([(text.to_owned(), true)]),
        },
    };
    standing.hear(&first, Sequence(2)).expect("it begins");
    while let Some(what) = standing.carried.as_ref().and_then(|run| next(run, text)) {
        let entry = standing.carried.as_ref().expect("begun").entry(what, NOW);
        standing
            .hear(&entry, Sequence(2 + entry.number))
            .expect("it follows");
    }
    desk.publish(Update::Runs(vec![Arc::new(standing)]));
    let orders = model::Orders {
        last_10_minutes: 1,
        hour_before: 2,
    };
    let seen = HostSeen {
        at: NOW,
        program: text.to_owned(),
        actions: vec![text.to_owned()],
        frozen: text.to_owned(),
        trouble: text.to_owned(),
        ahead_seconds: 0,
        sales: Some(model::Sales {
            at: NOW,
            views: BTreeMap::from([(text.to_owned(), orders)]),
            revenue: BTreeMap::from([(
                text.to_owned(),
                model::Revenue {
                    hundredths: u64::MAX,
                    currency: text.to_owned(),
                },
            )]),
        }),
    };
    desk.publish(Update::Host(text.to_owned(), seen));
}

/// What happens next at a host that keeps evidence and surveys, and fails at everything.
fn next(run: &Run, text: &str) -> Option<Happened> {
    let text = || text.to_owned();
    Some(match run.turn() {
        Turn::Wait(playbook::Wait::Answer { condition, .. }) => Happened::Answered {
            condition,
            holds: true,
            by: Person {
                account: text(),
                name: text(),
            },
        },
        Turn::Keep(step) => Happened::Kept {
            step,
            pieces: vec![Piece {
                name: text(),
                bytes: 1,
                hash: "0".repeat(64),
                lacks: text(),
            }],
        },
        Turn::Survey(step) => Happened::Surveyed {
            step,
            changes: vec![RunChange {
                what: text(),
                now: text(),
                then: text(),
            }],
            kept: "0".repeat(64),
            already: false,
        },
        Turn::Act(step) => Happened::Intended {
            step,
            unsealed: false,
        },
        Turn::Settle(step) => Happened::Failed {
            step,
            why: text(),
            partly: text(),
        },
        _ => return None,
    })
}
