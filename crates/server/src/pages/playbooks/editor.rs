//! A playbook being written: its steps as forms, the whole as text, what is wrong with it where it stands. A draft is the form's own:
//! nothing is kept before it is saved.

use std::collections::BTreeMap;

use askama::Template;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use engine::containment::{Faults, PlaybookWish, Playbooks, is_name};
use engine::decider::DecideError;
use engine::desk::Sight;
use model::{Right, Timestamp};
use playbook::{Document, StepKind, insert_after, move_down, move_up, remove_step};
use serde_json::Value;

use super::forms::{FORMS_MAX, StepForm, changed, forms, is_at, told};
use super::list;
use crate::access::{Caller, Console, Fields, Seen, aside, multipart};
use crate::api;
use crate::pages::drawn::Picture;
use crate::pages::{Frame, encoded, missing, page, sentence, shortened};

/// Longest body: a draft, and the fields of its steps.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// Most fields of a form: twenty a step.
const FIELDS_MAX: usize = FORMS_MAX * 20 + 20;

#[derive(Template)]
#[template(path = "playbook_edit.html")]
struct EditorPage {
    frame: Frame,
    name: String,
    /// The version the draft was made from.
    seen: u64,
    text: String,
    document: Option<Document>,
    faults: Faults,
    steps: Vec<StepForm>,
    picture: Picture,
    /// Whether it may be saved by this person, and here.
    may: bool,
    is_open: bool,
    problem: String,
    note: String,
    csrf: String,
    key: String,
}

impl EditorPage {
    fn too_many(&self) -> bool {
        let steps = self.document.as_ref().map_or(0, |one| one.steps.len());
        steps > FORMS_MAX
    }

    /// What stands at no step.
    fn problems(&self) -> Vec<String> {
        let at_step = |path: &str| self.steps.iter().any(|step| is_at(path, &step.id));
        let all = self.faults.problems.iter();
        all.filter(|one| !at_step(&one.path))
            .map(|one| told(one.weight, &one.to_string()))
            .chain(self.faults.refusals.iter().map(|one| one.says.clone()))
            .map(|words| shortened(&words, 600))
            .collect()
    }

    /// Steps that have something wrong, with where they are.
    fn marked(&self) -> Vec<&StepForm> {
        let marked = self.steps.iter().filter(|step| !step.problems.is_empty());
        marked.collect()
    }

    /// Steps that another may lead to: identifier, name.
    fn targets(&self, but: &str) -> Vec<(&str, String)> {
        let steps = self.document.iter().flat_map(|one| &one.steps);
        steps
            .filter(|(id, step)| *id != but && step.kind != StepKind::Start)
            .map(|(id, step)| {
                let called = match step.kind {
                    StepKind::End => format!("end ({})", shortened(id, 12)),
                    _ => shortened(step.called(id), 80),
                };
                (id.as_str(), called)
            })
            .collect()
    }

    /// Whether there is one of this name already.
    fn is_known(&self) -> bool {
        self.seen > 0 || Playbooks::ships(&self.name)
    }

    /// Whether it names an action that there isn't.
    fn is_odd(&self, action: &str) -> bool {
        !action.is_empty() && !Self::actions().any(|known| known == action)
    }

    fn actions() -> impl Iterator<Item = &'static str> {
        playbook::EXPECTED.iter().map(|one| one.name)
    }
}

/// A draft, and what came of what was done to it.
#[derive(Default)]
struct Draft {
    text: String,
    seen: u64,
    note: String,
    problem: String,
    status: StatusCode,
}

/// What is seen of a draft.
#[derive(Default)]
struct Look {
    document: Option<Document>,
    /// Why it is none.
    unread: String,
    faults: Faults,
    steps: Vec<StepForm>,
    picture: Picture,
}

impl Look {
    /// Looks a draft through: of one with many steps in loops that takes a while.
    fn of(text: &str) -> Self {
        let document = match Document::read(text.as_bytes()) {
            Ok(document) => document,
            Err(error) => {
                return Self {
                    unread: words_of(&error),
                    ..Self::default()
                };
            }
        };
        let faults = Faults::of(&document);
        Self {
            steps: forms(&document, &faults),
            picture: Picture::of_document(&document),
            faults,
            document: Some(document),
            unread: String::new(),
        }
    }
}

async fn show(
    console: &Console,
    sight: &Sight,
    caller: &Caller,
    name: &str,
    draft: Draft,
) -> Response {
    let text = draft.text.clone();
    let looked = aside(move || Look::of(&text)).await.unwrap_or_default();
    let mut response = page(&EditorPage {
        frame: Frame::new(sight).at("/playbooks", Timestamp::default()),
        name: name.to_owned(),
        seen: draft.seen,
        text: draft.text,
        steps: looked.steps,
        picture: looked.picture,
        document: looked.document,
        faults: looked.faults,
        may: sight.principal().may_all(Right::Decide),
        is_open: console.decider.is_some(),
        problem: [draft.problem, looked.unread]
            .into_iter()
            .find(|one| !one.is_empty())
            .unwrap_or_default(),
        note: draft.note,
        csrf: caller.csrf.clone(),
        key: engine::trail::new_id(),
    });
    *response.status_mut() = draft.status;
    response
}

/// Why a text is no document, with line and column where that is known.
pub(super) fn words_of(error: &playbook::ReadError) -> String {
    let source = std::error::Error::source(error);
    let source = source.map_or_else(String::new, |source| format!(": {source}"));
    sentence(&format!("{error}{source}"))
}

/// An identifier that nobody has yet (RFC 9562 §5.4).
fn new_identifier(kind: &str) -> String {
    let random = engine::trail::new_id();
    let part = |from: usize, to: usize| random.get(from..to).unwrap_or_default();
    format!(
        "{kind}--{}-{}-4{}-a{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}

/// A time as CACAO has it, in milliseconds (CACAO 2.0 §10.14).
fn stamp(now: Timestamp) -> String {
    let seconds = now.0.div_euclid(Timestamp::SECOND);
    let whole = Timestamp::from_seconds(seconds).to_string();
    format!("{}.000Z", whole.trim_end_matches('Z'))
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// The editor; `?as=` begins a copy under another name.
pub(crate) async fn edit(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let playbooks = sight.playbooks();
    let Some(one) = playbooks.named(&name) else {
        return missing(&sight, "There is no such playbook");
    };
    let copy = query.get("as").map(|name| name.trim().to_owned());
    let mut draft = Draft {
        text: one.document.write(),
        seen: one.version(),
        status: StatusCode::OK,
        ..Draft::default()
    };
    let Some(copy) = copy.filter(|copy| *copy != name) else {
        return show(&console, &sight, &caller, &name, draft).await;
    };
    if !is_name(&copy) {
        let why = "A name has 1 to 64 small letters, digits and -.".to_owned();
        return list(&console, &sight, &caller, (StatusCode::BAD_REQUEST, why)).await;
    }
    let mut value = one.document.value().clone();
    if let Some(object) = value.as_object_mut() {
        object.insert("id".to_owned(), new_identifier("playbook").into());
        let called = format!("{} (copy)", one.document.name);
        object.insert("name".to_owned(), called.into());
        object.insert("created".to_owned(), stamp(caller.now).into());
        object.insert("modified".to_owned(), stamp(caller.now).into());
        // They are of the one it was copied from.
        object.remove("signatures");
    }
    draft.text = pretty(&value);
    draft.seen = playbooks.named(&copy).map_or(0, |one| one.version());
    show(&console, &sight, &caller, &copy, draft).await
}

/// A form's fields, and its file.
fn fields_of(headers: &HeaderMap, body: &[u8]) -> Option<(Fields, Option<String>)> {
    let boundary = multipart::boundary(headers)?;
    let parts = multipart::some_parts(body, &boundary, FIELDS_MAX)?;
    let text = |content: &[u8]| String::from_utf8_lossy(content).into_owned();
    let fields = parts.iter().filter(|part| part.file_name.is_none());
    // Browsers send lines of a field with both ends.
    let fields = fields.map(|part| (part.name.clone(), text(part.content).replace("\r\n", "\n")));
    let file = parts
        .iter()
        .find(|part| part.name == "file" && !part.content.is_empty());
    Some((fields.collect(), file.map(|part| text(part.content))))
}

type Sent = Result<Bytes, BytesRejection>;

fn read(headers: &HeaderMap, body: Sent) -> Result<(Fields, Option<String>), (StatusCode, String)> {
    let too_large = "That is larger than 1 MiB, nothing was taken.".to_owned();
    let body = body.map_err(|_| (StatusCode::PAYLOAD_TOO_LARGE, too_large))?;
    let odd = "This isn't what the form has.".to_owned();
    fields_of(headers, &body).ok_or((StatusCode::BAD_REQUEST, odd))
}

/// Takes a document from elsewhere, as a draft: nothing is kept.
pub(crate) async fn import(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    headers: HeaderMap,
    body: Sent,
) -> Response {
    let (fields, file) = match read(&headers, body) {
        Ok(read) => read,
        Err(refused) => return list(&console, &sight, &caller, refused).await,
    };
    let name = fields.text("name").trim();
    if !is_name(name) {
        let why = "A name has 1 to 64 small letters, digits and -.".to_owned();
        return list(&console, &sight, &caller, (StatusCode::BAD_REQUEST, why)).await;
    }
    let text = file.unwrap_or_else(|| fields.text("text").to_owned());
    if text.trim().is_empty() {
        let why = "Choose a file, or paste a document.".to_owned();
        return list(&console, &sight, &caller, (StatusCode::BAD_REQUEST, why)).await;
    }
    let draft = Draft {
        text,
        seen: sight.playbooks().named(name).map_or(0, |one| one.version()),
        status: StatusCode::OK,
        ..Draft::default()
    };
    show(&console, &sight, &caller, name, draft).await
}

/// Takes what was done on the editor's page: a change of the draft, or its being saved.
pub(crate) async fn change(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Sent,
) -> Response {
    let (fields, _) = match read(&headers, body) {
        Ok(read) => read,
        Err(refused) => return list(&console, &sight, &caller, refused).await,
    };
    let Ok(seen) = fields.text("seen").parse() else {
        let why = "This isn't what the form has.".to_owned();
        return list(&console, &sight, &caller, (StatusCode::BAD_REQUEST, why)).await;
    };
    let mut draft = Draft {
        text: fields.text("text").to_owned(),
        seen,
        note: fields.text("note").to_owned(),
        status: StatusCode::OK,
        ..Draft::default()
    };
    let Ok(document) = Document::read(draft.text.as_bytes()) else {
        draft.status = StatusCode::UNPROCESSABLE_ENTITY;
        return show(&console, &sight, &caller, &name, draft).await;
    };
    let (act, on) = fields
        .text("do")
        .split_once(' ')
        .unwrap_or((fields.text("do"), ""));
    if fields.text("form") == "steps" {
        let mut value = changed(&document, &fields);
        let done = match act {
            "up" => move_up(&mut value, on),
            "down" => move_down(&mut value, on),
            "remove" => remove_step(&mut value, on),
            "add" => insert_after(&mut value, on, &new_identifier("action")),
            _ => Ok(()),
        };
        if let Err(error) = done {
            draft.problem = sentence(&error.to_string());
            draft.status = StatusCode::UNPROCESSABLE_ENTITY;
        }
        let kept = sight.playbooks();
        let kept = kept.named(&name).map(|one| one.document.modified.as_str());
        if value != *document.value() && kept == Some(document.modified.as_str()) {
            value["modified"] = stamp(caller.now).into();
        }
        if value != *document.value() {
            draft.text = pretty(&value);
        }
    }
    if act != "save" {
        return show(&console, &sight, &caller, &name, draft).await;
    }
    save(
        &console,
        &sight,
        &caller,
        &name,
        (draft, fields.text("key")),
    )
    .await
}

async fn save(
    console: &Console,
    sight: &Sight,
    caller: &Caller,
    name: &str,
    (mut draft, key): (Draft, &str),
) -> Response {
    let there = format!("/playbooks/{}", encoded(name));
    let document = Document::read(draft.text.as_bytes());
    let wish = |document| PlaybookWish {
        key: (!key.is_empty()).then(|| key.to_owned()),
        name: name.to_owned(),
        seen: draft.seen,
        document: Some(document),
        note: draft.note.clone(),
    };
    (draft.status, draft.problem) = match (&console.decider, document) {
        (None, _) => (StatusCode::NOT_FOUND, "This console only shows.".to_owned()),
        (_, Err(error)) => (StatusCode::UNPROCESSABLE_ENTITY, words_of(&error)),
        (Some(decider), Ok(document)) => {
            let kept = decider.keep_playbook(&caller.principal, wish(document), caller.now);
            match kept.await {
                Ok(_) | Err(DecideError::Waiting { .. }) => {
                    return Redirect::to(&there).into_response();
                }
                Err(error) => (api::status(&error), sentence(&error.to_string())),
            }
        }
    };
    show(console, sight, caller, name, draft).await
}

/// Gives an own playbook up: the shipped one of its name counts again, or there is none.
pub(crate) async fn give_up(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
    Path(name): Path<String>,
    fields: Fields,
) -> Response {
    let refused = match (&console.decider, fields.text("seen").parse()) {
        (None, _) => (StatusCode::NOT_FOUND, "This console only shows.".to_owned()),
        (_, Err(_)) => (
            StatusCode::BAD_REQUEST,
            "This isn't what the form has.".to_owned(),
        ),
        (Some(decider), Ok(seen)) => {
            let key = fields.text("key");
            let wish = PlaybookWish {
                key: (!key.is_empty()).then(|| key.to_owned()),
                name: name.clone(),
                seen,
                document: None,
                note: fields.text("note").to_owned(),
            };
            match decider
                .keep_playbook(&caller.principal, wish, caller.now)
                .await
            {
                Ok(_) | Err(DecideError::Waiting { .. }) => {
                    let there = match Playbooks::ships(&name) {
                        true => format!("/playbooks/{}", encoded(&name)),
                        false => "/playbooks".to_owned(),
                    };
                    return Redirect::to(&there).into_response();
                }
                Err(error) => (api::status(&error), sentence(&error.to_string())),
            }
        }
    };
    list(&console, &sight, &caller, refused).await
}

#[cfg(test)]
mod tests {
    use super::{new_identifier, stamp};
    use model::Timestamp;

    #[test]
    fn identifiers_and_times_are_as_cacao_has_them() {
        let id = new_identifier("action");
        let lengths: Vec<usize> = id
            .trim_start_matches("action--")
            .split('-')
            .map(str::len)
            .collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
        assert_eq!(
            stamp(Timestamp::from_seconds(0)),
            "1970-01-01T00:00:00.000Z"
        );
        assert_eq!(stamp(Timestamp(1_500_000)), "1970-01-01T00:00:01.000Z");
    }
}
