//! Branches: what is told of a whole workflow holds of every way through it, each way written out as a row of steps.

use playbook::{Document, EXPECTED, EXTENSION, Law, check, orders};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::orders::{any_step, row};
use crate::shipped;

type Act = (&'static str, Value);

/// A part of a workflow.
#[derive(Clone, Debug)]
enum Node {
    Act(Act),
    /// Goes on with these when it fails, and ends there.
    OrElse(Act, Vec<Self>),
    If(Vec<Self>, Vec<Self>),
    Same(Vec<Self>, Vec<Self>),
    Again(Vec<Self>),
}

#[derive(Default)]
struct Builder {
    steps: Map<String, Value>,
    count: usize,
}

impl Builder {
    fn id(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}--00000000-0000-4000-8000-{:012}", self.count)
    }

    fn act(&self, act: &Act) -> Value {
        json!({"type": "action", "name": act.0, "agent": "individual--00000000-0000-4000-8000-000000000000",
            "commands": [{"type": "manual", "command": "do it"}],
            "step_extensions": {EXTENSION: {"action": act.0, "arguments": act.1}}})
    }

    /// Writes steps and their end; the first one's identifier.
    fn chain(&mut self, nodes: &[Node]) -> String {
        let Some((first, rest)) = nodes.split_first() else {
            let end = self.id("end");
            self.steps.insert(end.clone(), json!({"type": "end"}));
            return end;
        };
        let next = self.chain(rest);
        let (kind, mut step) = match first {
            Node::Act(act) | Node::OrElse(act, _) => ("action", self.act(act)),
            Node::If(yes, no) => {
                let (yes, no) = (self.chain(yes), self.chain(no));
                (
                    "if-condition",
                    json!({"condition": "__a__:value = 1", "on_true": yes, "on_false": no}),
                )
            }
            Node::Same(one, two) => {
                let both = [self.chain(one), self.chain(two)];
                ("parallel", json!({"next_steps": both}))
            }
            Node::Again(body) => {
                let body = self.chain(body);
                (
                    "while-condition",
                    json!({"condition": "__a__:value = 1", "on_true": body,
                    "step_extensions": {EXTENSION: {"bound": 3}}}),
                )
            }
        };
        step["type"] = json!(kind);
        if let Node::OrElse(_, other) = first {
            step["on_success"] = json!(next);
            step["on_failure"] = json!(self.chain(other));
        } else {
            step["on_completion"] = json!(next);
        }
        let id = self.id(kind);
        self.steps.insert(id.clone(), step);
        id
    }
}

fn workflow(nodes: &[Node]) -> Document {
    let mut builder = Builder::default();
    let first = builder.chain(nodes);
    let start = builder.id("start");
    builder.steps.insert(
        start.clone(),
        json!({"type": "start", "on_completion": first}),
    );
    let mut value = shipped("web-shell").value().clone();
    value["playbook_variables"] = json!({"__a__": {"type": "integer", "value": null}});
    value["workflow"] = Value::Object(builder.steps);
    value["workflow_start"] = json!(start);
    value["agent_definitions"] = json!({"individual--00000000-0000-4000-8000-000000000000": {"type": "individual", "name": "a person"}});
    let document = Document::read(value.to_string().as_bytes()).expect("it is read");
    assert_eq!(check(&document), []);
    document
}

/// Every way through; of those that a failure ends, up to there and on, without what failed.
fn ways(nodes: &[Node]) -> Vec<Vec<Act>> {
    let Some((first, rest)) = nodes.split_first() else {
        return vec![Vec::new()];
    };
    let rest = ways(rest);
    let then = |before: Vec<Vec<Act>>| {
        let pairs = before.iter().flat_map(|one| {
            rest.iter()
                .map(move |two| [one.clone(), two.clone()].concat())
        });
        pairs.collect::<Vec<_>>()
    };
    match first {
        Node::Act(act) => then(vec![vec![act.clone()]]),
        Node::OrElse(act, other) => [then(vec![vec![act.clone()]]), ways(other)].concat(),
        Node::If(yes, no) => then([ways(yes), ways(no)].concat()),
        Node::Same(one, two) => {
            let (one, two) = (ways(one), ways(two));
            let both = one
                .iter()
                .flat_map(|one| two.iter().flat_map(|two| mixed(one, two)));
            then(both.collect())
        }
        Node::Again(body) => {
            let once = ways(body);
            let twice: Vec<_> = once
                .iter()
                .flat_map(|one| {
                    once.iter()
                        .map(move |two| [one.clone(), two.clone()].concat())
                })
                .collect();
            then([vec![Vec::new()], once.clone(), rounds(&twice)].concat())
        }
    }
}

/// Rows of two rounds, each step where it first stands: done again it is the same again.
fn rounds(rows: &[Vec<Act>]) -> Vec<Vec<Act>> {
    let once = |row: &Vec<Act>| {
        let mut out: Vec<Act> = Vec::new();
        for act in row {
            if !out.contains(act) {
                out.push(act.clone());
            }
        }
        out
    };
    rows.iter().map(once).collect()
}

/// Two rows in every order that keeps each.
fn mixed(one: &[Act], two: &[Act]) -> Vec<Vec<Act>> {
    match (one.split_first(), two.split_first()) {
        (None, _) => vec![two.to_vec()],
        (_, None) => vec![one.to_vec()],
        (Some((a, one_rest)), Some((b, two_rest))) => {
            let with = |head: &Act, rest: Vec<Vec<Act>>| {
                rest.into_iter()
                    .map(|row| [vec![head.clone()], row].concat())
                    .collect::<Vec<_>>()
            };
            [with(a, mixed(one_rest, two)), with(b, mixed(one, two_rest))].concat()
        }
    }
}

#[track_caller]
fn check_laws(nodes: &[Node], expected: &[Law]) {
    let refusals = orders(&workflow(nodes), EXPECTED);
    let laws: Vec<_> = refusals.iter().map(|one| one.law).collect();
    assert_eq!(laws, expected, "{refusals:#?}");
}

fn keep() -> Node {
    Node::Act(("keep_evidence", json!({})))
}

fn act(name: &'static str) -> Node {
    let arguments = match name {
        "lock_database_account" => json!({"account": "report@%"}),
        "close_view" => json!({"view": "us_en"}),
        "revert_row" => json!({"row": "cms_block:5"}),
        _ => json!({}),
    };
    Node::Act((name, arguments))
}

#[test]
fn what_one_branch_keeps_is_not_kept_on_the_other() {
    let lock = || act("lock_database_account");
    check_laws(
        &[Node::If(vec![keep()], vec![]), lock()],
        &[Law::EvidenceFirst],
    );
    check_laws(&[Node::If(vec![keep()], vec![keep()]), lock()], &[]);
    check_laws(&[Node::If(vec![keep(), lock()], vec![])], &[]);
    check_laws(&[Node::Again(vec![keep()]), lock()], &[Law::EvidenceFirst]);
}

#[test]
fn what_goes_on_at_the_same_time_comes_in_either_order() {
    let lock = || act("lock_database_account");
    check_laws(
        &[Node::Same(vec![keep()], vec![lock()])],
        &[Law::EvidenceFirst],
    );
    check_laws(&[Node::Same(vec![keep()], vec![keep()]), lock()], &[]);
    check_laws(
        &[keep(), Node::Same(vec![act("close_view")], vec![lock()])],
        &[Law::CauseBeforeSymptom],
    );
    check_laws(
        &[
            keep(),
            lock(),
            Node::Same(vec![act("close_view")], vec![act("purge_cache")]),
        ],
        &[],
    );
}

#[test]
fn what_failed_is_not_kept() {
    let keep_or = |other| Node::OrElse(("keep_evidence", json!({})), other);
    check_laws(
        &[keep_or(vec![act("lock_database_account")])],
        &[Law::EvidenceFirst],
    );
    check_laws(
        &[keep_or(vec![act("deny_php")]), act("lock_database_account")],
        &[],
    );
}

#[test]
fn a_loop_may_do_the_same_again_but_not_what_its_other_branch_forbids() {
    let again = |body| Node::Again(body);
    check_laws(
        &[keep(), again(vec![act("revert_row"), act("purge_cache")])],
        &[],
    );
    let either = Node::If(vec![act("close_view")], vec![act("lock_database_account")]);
    check_laws(&[keep(), either.clone()], &[]);
    check_laws(&[keep(), again(vec![either])], &[Law::CauseBeforeSymptom]);
}

/// Any workflow that passes the check, whatever its order.
pub(crate) fn any_workflow() -> impl Strategy<Value = Document> {
    any_nodes().prop_map(|nodes| workflow(&nodes))
}

fn any_nodes() -> impl Strategy<Value = Vec<Node>> {
    let leaf = any_step().prop_map(Node::Act);
    let node = leaf.prop_recursive(2, 8, 2, |inner| {
        let some = proptest::collection::vec(inner, 0..3);
        prop_oneof![
            (some.clone(), some.clone()).prop_map(|(yes, no)| Node::If(yes, no)),
            (some.clone(), some.clone()).prop_map(|(one, two)| Node::Same(one, two)),
            (any_step(), some.clone()).prop_map(|(act, other)| Node::OrElse(act, other)),
            some.prop_map(Node::Again),
        ]
    });
    // What begins with evidence passes often enough to prove something.
    proptest::collection::vec(node, 1..4).prop_map(|mut nodes| {
        nodes.insert(0, keep());
        nodes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_passes_passes_on_every_way(nodes in any_nodes()) {
        let all = orders(&workflow(&nodes), EXPECTED);
        if all.is_empty() {
            for way in ways(&nodes).into_iter().filter(|way| !way.is_empty()).take(50) {
                prop_assert_eq!(orders(&row(&way), EXPECTED), [], "{:?}", nodes);
            }
        }
    }
}

#[test]
fn many_steps_in_loops_in_loops_are_judged_at_once() {
    let begun = std::time::Instant::now();
    let mut nodes: Vec<Node> = (0..150).map(|_| act("revert_row")).collect();
    for _ in 0..6 {
        nodes = vec![Node::Again(nodes)];
    }
    nodes.insert(0, keep());
    check_laws(&nodes, &[]);
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}
