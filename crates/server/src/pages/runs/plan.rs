//! A plan for an incident: a playbook with what the incident knows filled in, read before it is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::containment::{HostSeen, OrderWish, Suggestion, Wanted, plan_of, suggest, wrote};
use engine::decider::DecideError;
use engine::desk::{Sight, Work};
use model::{Incident, Plan, PlanStep, Right, StoreMap, Timestamp};
use playbook::{Variable, hash_words};

use super::{StepView, cost, is_silent};
use crate::access::{Caller, Console, Fields, Seen, aside};
use crate::api;
use crate::pages::drawn::Picture;
use crate::pages::{Frame, encoded, missing, no_incident, page, sentence};

/// Findings whose rules are looked at.
const FINDINGS_MAX: usize = 200;

/// A variable of the playbook, as the form asks for it.
struct Asked<'a> {
    name: &'a str,
    variable: &'a Variable,
    /// What the incident knows.
    known: Vec<String>,
    typed: String,
    example: String,
    /// Whether its value is yes or no.
    is_bool: bool,
}

#[derive(Template)]
#[template(path = "plan.html")]
struct PlanPage {
    frame: Frame,
    work: Work<Incident>,
    suggestion: Suggestion,
    values: BTreeMap<String, String>,
    /// The plan, or why there is none.
    plan: Result<Plan, String>,
    hosts: Vec<(String, HostSeen)>,
    is_open: bool,
    works: bool,
    may_decide: bool,
    /// Whether they wrote the playbook.
    is_theirs: bool,
    csrf: String,
    key: String,
    problem: String,
    typed: Fields,
    now: Timestamp,
    stores: StoreMap,
}

impl PlanPage {
    fn asked(&self) -> Vec<Asked<'_>> {
        let document = &self.suggestion.playbook.document;
        let examples = document.examples();
        let variables = document.variables.iter();
        variables
            .map(|(name, variable)| Asked {
                name,
                variable,
                known: self
                    .suggestion
                    .values
                    .get(name)
                    .cloned()
                    .unwrap_or_default(),
                typed: self.values.get(name).cloned().unwrap_or_default(),
                example: examples.get(name).cloned().unwrap_or_default(),
                is_bool: variable.kind == "bool",
            })
            .collect()
    }

    fn steps<'a>(&self, plan: &'a Plan) -> Vec<StepView<'a>> {
        let steps = plan.steps.iter().enumerate();
        steps
            .map(|(at, planned)| StepView {
                at,
                late_minutes: None,
                sold: self.sold(planned),
                planned,
                step: None,
                reads: false,
                run: None,
                is_whole: false,
            })
            .collect()
    }

    fn picture(&self, plan: &Plan) -> Picture {
        Picture::of_plan(plan, None)
    }

    /// What the stores sold that a step reaches, in words; empty where it reaches none or no host counts it.
    fn sold(&self, planned: &PlanStep) -> String {
        let sales = cost::latest(&self.hosts);
        sales.map_or_else(String::new, |sales| cost::sold(sales, planned, &self.frame))
    }

    /// What it costs to wait with the plan, in words.
    fn waiting(&self) -> String {
        let sales = cost::latest(&self.hosts);
        let incident = &self.work.incident;
        let lies = (
            incident.exposure.channels.as_slice(),
            incident.scopes.as_slice(),
        );
        cost::waiting(lies, &self.stores, sales)
    }

    fn hash(&self, plan: &Plan) -> String {
        hash_words(plan)
    }

    /// What still has to be given before anything can be asked for.
    fn lacks(&self, plan: &Plan) -> Vec<String> {
        let mut out = Vec::new();
        for step in &plan.steps {
            if let model::Work::Action { missing, .. } = &step.work {
                out.extend(missing.values().cloned());
            }
        }
        out.sort();
        out.dedup();
        out
    }

    fn is_silent(&self, host: &HostSeen) -> bool {
        is_silent(host, self.now)
    }

    /// What a host's policy doesn't let it do of the plan.
    fn beyond(&self, plan: &Plan, host: &HostSeen) -> String {
        let mut out: Vec<&str> = Vec::new();
        for step in &plan.steps {
            if let model::Work::Action { action, .. } = &step.work
                && !host.actions.contains(action)
                && !out.contains(&action.as_str())
            {
                out.push(action);
            }
        }
        out.join(", ")
    }
}

/// A form's values of variables: `v.__name__`.
fn values_of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let given = pairs.filter_map(|(name, text)| Some((name.strip_prefix("v.")?, text)));
    given
        .map(|(name, text)| (name.to_owned(), text.trim().to_owned()))
        .collect()
}

/// What playbooks there are for an incident; reads findings.
pub(super) async fn suggestions(sight: &Sight, incident: &Arc<Incident>) -> Vec<Suggestion> {
    let (eyes, of) = (sight.clone(), Arc::clone(incident));
    let read = aside(move || {
        let joined = of.findings.iter().take(FINDINGS_MAX);
        let rules = joined.filter_map(|joined| Some(eyes.finding(&joined.finding)?.rule.clone()));
        suggest(&eyes.playbooks(), &of, &rules.collect())
    });
    read.await.unwrap_or_default()
}

/// The plan of a playbook, or why there is none; made aside, since a playbook that somebody wrote may be long.
pub(super) async fn planned(
    sight: &Sight,
    playbook: &str,
    values: &BTreeMap<String, String>,
) -> Result<Plan, String> {
    let (eyes, name, values) = (sight.clone(), playbook.to_owned(), values.clone());
    let made = aside(move || plan_of(&eyes.playbooks(), &name, &values, eyes.stores()));
    made.await
        .unwrap_or_else(|| Err("it could not be made".to_owned()))
}

/// Shows a plan, or asks for what it lacks.
pub(crate) async fn plan(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path((id, playbook)): Path<(String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let pairs = query
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    let given = values_of(pairs);
    let values = (!query.is_empty()).then_some(given);
    let problem = (StatusCode::OK, String::new());
    show(
        &console,
        &sight,
        &caller,
        (&id, &playbook),
        values,
        (problem, Fields::default()),
    )
    .await
}

async fn show(
    console: &Console,
    sight: &Sight,
    caller: &Caller,
    (id, playbook): (&str, &str),
    values: Option<BTreeMap<String, String>>,
    ((status, problem), typed): ((StatusCode, String), Fields),
) -> Response {
    let Some(work) = sight.incident(id) else {
        return no_incident(sight, id);
    };
    let all = suggestions(sight, &work.incident).await;
    let Some(suggestion) = all.into_iter().find(|one| one.playbook.name == playbook) else {
        return missing(sight, "There is no such playbook");
    };
    // At first, the most telling that the incident knows of each.
    let values = values.unwrap_or_else(|| {
        let known = suggestion.values.iter();
        known
            .filter_map(|(name, known)| Some((name.clone(), known.first()?.clone())))
            .collect()
    });
    let plan = planned(sight, playbook, &values).await;
    let is_theirs = wrote(&sight.playbooks(), playbook, &caller.principal.account);
    let may_decide = plan.as_ref().is_ok_and(|plan| sight.powers(plan).decide);
    let mut response = page(&PlanPage {
        frame: Frame::new(sight).at("/incidents", caller.now),
        works: sight.may(Right::Work, &work.incident.scopes),
        work,
        suggestion,
        values,
        plan,
        hosts: sight.hosts().into_iter().collect(),
        is_open: console.decider.is_some(),
        may_decide: may_decide && !is_theirs,
        is_theirs,
        csrf: caller.csrf.clone(),
        key: engine::trail::new_id(),
        problem,
        typed,
        now: caller.now,
        stores: sight.stores().clone(),
    });
    *response.status_mut() = status;
    response
}

/// Asks for a plan, as it was read.
pub(crate) async fn propose(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path((id, playbook)): Path<(String, String)>,
    fields: Fields,
) -> Response {
    let values = values_of(fields.pairs());
    let answers = fields.pairs().filter_map(|(name, text)| {
        let condition = name.strip_prefix("a.")?;
        let holds = match text {
            "yes" => true,
            "no" => false,
            _ => return None,
        };
        Some((condition.to_owned(), holds))
    });
    let key = fields.text("key");
    let wish = OrderWish {
        key: (!key.is_empty()).then(|| key.to_owned()),
        note: fields.text("note").to_owned(),
        wanted: Wanted::Propose {
            incident: id.clone(),
            playbook: playbook.clone(),
            values: values.clone(),
            answers: answers.collect(),
            host: fields.text("host").to_owned(),
            hash: fields.text("hash").to_owned(),
        },
    };
    let refused = match &console.decider {
        None => (StatusCode::NOT_FOUND, "This console only shows.".to_owned()),
        Some(decider) => match decider.order(&caller.principal, wish, caller.now).await {
            Ok((run, _)) => {
                return Redirect::to(&format!("/runs/{}", encoded(&run))).into_response();
            }
            Err(DecideError::Waiting { .. }) => {
                return Redirect::to("/runs").into_response();
            }
            Err(error) => (api::status(&error), sentence(&error.to_string())),
        },
    };
    show(
        &console,
        &sight,
        &caller,
        (&id, &playbook),
        Some(values),
        (refused, fields),
    )
    .await
}
