//! Playbooks: which there are and what they answer; one in words, as a drawing, and as the document it is; own ones written.

mod api;
mod editor;
mod forms;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use engine::containment::{Playbook, Playbooks as Book, answers};
use engine::desk::{Behaviour, Sight, Work};
use model::{Right, Stops, Timestamp};
use playbook::{Document, Item, Step, StepKind, outline};
use serde_json::{Value, json};

use super::drawn::{Picture, effect_words, facts_of, kind_words, step_anchor, way_words};
use super::{Frame, missing, page, problem, shortened};
use crate::access::{Caller, Console, Seen, aside};

pub(crate) use api::{give_up as api_give_up, keep as api_keep, list as api_list, one as api_one};
pub(crate) use editor::{BODY_BYTES_MAX, change, edit, give_up, import};

/// Incidents told of one playbook.
const TOLD_MAX: usize = 25;
/// Bytes of a text of a document, as a page shows it.
const TEXT_BYTES: usize = 2000;

/// A playbook in the list.
struct Row {
    playbook: Arc<Playbook>,
    /// Steps of ours that are actions, and those for a person.
    actions: usize,
    people: usize,
    /// Incidents at hand with findings that it answers.
    incidents: BTreeSet<String>,
}

impl Row {
    fn new(playbook: &Arc<Playbook>, did: &BTreeMap<String, Behaviour>) -> Self {
        let rules = playbook.document.answers().rules;
        let fit = did
            .iter()
            .filter(|(rule, _)| answers(&rules, rule))
            .flat_map(|(_, did)| did.incidents.iter().cloned());
        let steps = playbook.document.steps.values();
        let works = steps.filter(|step| is_work(step));
        let (actions, people): (Vec<&Step>, Vec<&Step>) =
            works.partition(|step| facts_of(step).is_some());
        Self {
            actions: actions.len(),
            people: people.len(),
            incidents: fit.collect(),
            playbook: Arc::clone(playbook),
        }
    }

    fn rules(&self) -> Vec<String> {
        self.playbook.document.answers().rules
    }

    /// Whether a step of it acts on the cause.
    fn contains(&self) -> bool {
        let mut steps = self.playbook.document.steps.values();
        steps.any(|step| {
            let wanted = step.wanted.as_ref();
            wanted.and_then(|wanted| wanted.effect) == Some(Stops::Contains)
        })
    }

    /// Whether it stands in for a shipped one.
    fn replaces(&self) -> bool {
        self.playbook.own.is_some() && Book::ships(&self.playbook.name)
    }

    fn told(&self) -> Value {
        let document = &self.playbook.document;
        let own = self.playbook.own.as_ref();
        json!({
            "name": self.playbook.name,
            "version": self.playbook.version(),
            "own": own.map(|own| json!({ "by": own.by.name, "at": own.at.to_string(), "note": own.note })),
            "replaces": self.replaces(),
            "id": document.id,
            "title": document.name,
            "description": document.description,
            "modified": document.modified,
            "rules": self.rules(),
            "actions": self.actions,
            "people": self.people,
            "contains": self.contains(),
            "incidents": self.incidents,
        })
    }
}

/// Whether something is done in a step, by a host or a person.
const fn is_work(step: &Step) -> bool {
    matches!(
        step.kind,
        StepKind::Action { .. } | StepKind::PlaybookAction { .. }
    )
}

/// Every playbook, those first that answer most incidents at hand. Reads findings.
async fn all(sight: &Sight, now: Timestamp) -> Vec<Row> {
    let eyes = sight.clone();
    let did = aside(move || eyes.behaviour(now)).await.unwrap_or_default();
    let mut rows: Vec<Row> = sight
        .playbooks()
        .all()
        .map(|one| Row::new(one, &did))
        .collect();
    // A stable sort: of as many, the order of names.
    rows.sort_by_key(|row| std::cmp::Reverse(row.incidents.len()));
    rows
}

#[derive(Template)]
#[template(path = "playbooks.html")]
struct Playbooks {
    frame: Frame,
    rows: Vec<Row>,
    /// What the settings of containment don't come to.
    remarks: Vec<String>,
    /// Whether this person may save one, and here.
    may: bool,
    is_open: bool,
    problem: String,
    csrf: String,
}

/// The list.
pub(crate) async fn playbooks(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
) -> Response {
    list(&console, &sight, &caller, (StatusCode::OK, String::new())).await
}

/// The list, with why something wasn't done.
async fn list(
    console: &Console,
    sight: &Sight,
    caller: &Caller,
    (status, problem): (StatusCode, String),
) -> Response {
    let mut response = page(&Playbooks {
        rows: all(sight, caller.now).await,
        remarks: sight.mode_remarks(),
        frame: Frame::new(sight).at("/playbooks", Timestamp::default()),
        may: sight.principal().may_all(Right::Decide),
        is_open: console.decider.is_some(),
        problem,
        csrf: caller.csrf.clone(),
    });
    *response.status_mut() = status;
    response
}

/// A line of the outline, as the page tells it.
struct Told {
    /// How far in; further than this looks the same.
    deep: usize,
    /// Place on the page; empty of what is no step.
    anchor: String,
    name: String,
    kind: String,
    effect: String,
    /// What it does, in sentences.
    about: String,
    /// What it is given.
    arguments: Vec<(String, String)>,
    /// What a person does, as the document has it.
    commands: Vec<String>,
    more: Vec<String>,
}

/// Furthest in that a line is shown.
const DEEP_MAX: usize = 6;

fn told(document: &Document) -> Vec<Told> {
    let lines = outline(document).into_iter();
    lines
        .filter_map(|line| {
            let deep = line.deep.min(DEEP_MAX);
            match line.what {
                Item::Step(id) => {
                    let step = document.steps.get(&id)?;
                    let is_edge = matches!(step.kind, StepKind::Start | StepKind::End);
                    (!is_edge).then(|| of_step(document, (&id, step), deep))
                }
                Item::Branch(way) => Some(of_words(deep, branch_words(&way))),
                Item::Exception => Some(of_words(deep, "When anything else fails".to_owned())),
            }
        })
        .collect()
}

fn of_words(deep: usize, name: String) -> Told {
    Told {
        deep,
        anchor: String::new(),
        name,
        kind: String::new(),
        effect: String::new(),
        about: String::new(),
        arguments: Vec::new(),
        commands: Vec::new(),
        more: Vec::new(),
    }
}

fn branch_words(way: &playbook::Way) -> String {
    match way {
        playbook::Way::True => "If so:".to_owned(),
        playbook::Way::False => "If not:".to_owned(),
        playbook::Way::Again => "Again and again:".to_owned(),
        playbook::Way::Always => "At the same time:".to_owned(),
        playbook::Way::Case(case) => format!("When it is {}:", shortened(case, 80)),
        other => way_words(other),
    }
}

fn of_step(document: &Document, (id, step): (&str, &Step), deep: usize) -> Told {
    let cut = |text: &str| shortened(text, TEXT_BYTES);
    let wanted = step.wanted.as_ref();
    let facts = facts_of(step);
    let mut more = Vec::new();
    if let Some(facts) = facts {
        let undo = match facts.undo {
            model::Undo::Whole => "Undone: all is as before.".to_owned(),
            model::Undo::AllBut(what) => format!("Undone: all but {what}."),
            model::Undo::MadeAnew(what) => {
                format!("Undoing gives nothing back and needn't: {what} are made anew.")
            }
            model::Undo::Danger => "It can't be undone: two people approve it.".to_owned(),
        };
        if facts.layer != model::Layer::Evidence {
            more.push(undo);
        }
        if !facts.stays_open.is_empty() {
            more.push(format!("Stays open: {}", facts.stays_open));
        }
    }
    if let Some(seconds) = wanted.and_then(|wanted| wanted.deadline_seconds) {
        more.push(format!(
            "Within {} minutes of approval.",
            seconds.div_ceil(60)
        ));
    }
    if let Some(wanted) = wanted.filter(|wanted| !wanted.on_breach.is_hold()) {
        more.push(super::sentence(wanted.on_breach.words()));
    }
    if let Some(waiver) = wanted.and_then(|wanted| wanted.waiver.as_ref()) {
        more.push(format!("Nothing is kept before it: {}", cut(waiver)));
    }
    let called = |id: &String| {
        let step = document.steps.get(id);
        cut(step.map_or(id.as_str(), |step| step.called(id)))
    };
    if let Some(next) = &step.next.failure {
        more.push(format!("If it fails: {}", called(next)));
    }
    let commands = match &step.kind {
        StepKind::Action { commands, .. } => commands.as_slice(),
        _ => &[],
    };
    let commands = commands.iter().map(|one| {
        let text = cut(&one.command);
        match one.kind.as_str() {
            "manual" => text,
            kind => format!("{} (never run here): {text}", shortened(kind, 40)),
        }
    });
    Told {
        deep,
        anchor: step_anchor(id),
        name: cut(step.called(id)),
        kind: cut(&kind_words(step)),
        effect: effect_words(step),
        about: match (step.description.as_str(), facts) {
            ("", Some(facts)) => facts.about.to_owned(),
            (text, _) => cut(text),
        },
        arguments: wanted
            .into_iter()
            .flat_map(|wanted| &wanted.arguments)
            .map(|(name, value)| (cut(name), cut(value)))
            .collect(),
        commands: commands.collect(),
        more,
    }
}

#[derive(Template)]
#[template(path = "playbook.html")]
struct PlaybookPage {
    frame: Frame,
    row: Row,
    steps: Vec<Told>,
    picture: Picture,
    incidents: Vec<Work>,
    may: bool,
    is_open: bool,
    csrf: String,
    key: String,
}

impl PlaybookPage {
    /// Variables: name, what it is, an example.
    fn variables(&self) -> Vec<(String, String, String)> {
        let document = &self.row.playbook.document;
        let examples = document.examples();
        let one = |(name, variable): (&String, &playbook::Variable)| {
            let example = examples.get(name).cloned().unwrap_or_default();
            (
                shortened(name, 200),
                shortened(&variable.description, TEXT_BYTES),
                shortened(&example, 200),
            )
        };
        document.variables.iter().map(one).collect()
    }
}

/// One playbook; with `.json` behind its name, the document as `magewarden playbooks show --json` gives it.
pub(crate) async fn playbook(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path(name): Path<String>,
) -> Response {
    if let Some(name) = name.strip_suffix(".json") {
        let playbooks = sight.playbooks();
        let Some(one) = playbooks.named(name) else {
            return problem(StatusCode::NOT_FOUND, "there is no such playbook");
        };
        return document(one);
    }
    let rows = all(&sight, caller.now).await;
    let Some(row) = rows.into_iter().find(|row| row.playbook.name == name) else {
        return missing(&sight, "There is no such playbook");
    };
    let incidents = row.incidents.iter();
    let mut incidents: Vec<Work> = incidents.filter_map(|id| sight.in_brief(id)).collect();
    incidents
        .sort_by(|a, b| (b.incident.last, &b.incident.id).cmp(&(a.incident.last, &a.incident.id)));
    incidents.truncate(TOLD_MAX);
    page(&PlaybookPage {
        frame: Frame::new(&sight).at("/playbooks", Timestamp::default()),
        steps: told(&row.playbook.document),
        picture: Picture::of_document(&row.playbook.document),
        row,
        incidents,
        may: sight.principal().may_all(Right::Decide),
        is_open: console.decider.is_some(),
        csrf: caller.csrf.clone(),
        key: engine::trail::new_id(),
    })
}

/// The document itself, byte by byte as the command gives it; a browser keeps it as a file.
fn document(of: &Playbook) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{}.json\"", of.name),
        ),
    ];
    (headers, of.document.write()).into_response()
}
