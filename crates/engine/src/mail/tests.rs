//! What letters go, to a server of mail in memory, on a clock of the tests.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::{
    Act, CommentKind, Decision, Grant, Handling, Incident, IncidentState, Level, Person, Principal,
    Role, Scope, Sequence, StoreMap, TaskState, Timestamp, Via,
};
use sinks::mail::{Letter, Post, PostError};
use stores::{Database, Mailed, StatePlace};

use super::occasions::{Known, Limits, Occasion, Reader, look};
use super::{Clerk, MailSettings, MailSink};
use crate::desk::{Desk, Sight, Update, Work};

const START: Timestamp = Timestamp::from_seconds(1_785_924_930);

thread_local! {
    static NOW: Cell<i64> = const { Cell::new(0) };
}

fn now() -> Timestamp {
    START.plus_seconds(NOW.get())
}

fn pass_time(seconds: i64) {
    NOW.set(NOW.get() + seconds);
}

/// A server of mail that keeps what it takes, and takes nothing while it is away.
#[derive(Default)]
struct Taker {
    taken: Mutex<Vec<Letter>>,
    is_away: AtomicBool,
    refuses: AtomicBool,
}

impl Taker {
    fn taken(&self) -> Vec<Letter> {
        std::mem::take(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Post for Taker {
    fn send(&self, letter: &Letter) -> Result<(), PostError> {
        let (server, why) = ("mail:25".to_owned(), "away".to_owned());
        if self.is_away.load(Ordering::SeqCst) {
            return Err(PostError::Server { server, why });
        }
        if self.refuses.load(Ordering::SeqCst) {
            let to = letter.to.clone();
            return Err(PostError::Letter { server, to, why });
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.push(letter.clone());
        Ok(())
    }
}

struct Office {
    runtime: tokio::runtime::Runtime,
    desk: Desk,
    post: Arc<Taker>,
    clerk: Clerk,
}

fn settings() -> MailSettings {
    MailSettings {
        to: vec!["OnCall@example.com".to_owned()],
        severity: Level::High,
        quiet_seconds: 900,
        per_hour: 5,
        clock_seconds: 86_400,
        url: "https://console.example.com".to_owned(),
        installation: "shop".to_owned(),
    }
}

impl Office {
    fn open(folder: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let place = StatePlace::File(folder.join("state.sqlite"));
        let database = Database::open(&place).expect("opened");
        let (desk, post) = (Desk::new(Box::new(|_| None)), Arc::new(Taker::default()));
        let clerk = runtime.block_on(Clerk::open(
            desk.clone(),
            Arc::new(StoreMap::default()),
            None,
            Mailed::new(database),
            Arc::clone(&post) as Arc<dyn Post>,
            settings(),
        ));
        Self {
            runtime,
            desk,
            post,
            clerk: clerk.expect("read"),
        }
    }

    fn found(&self, incident: Incident) {
        self.desk.publish(Update::Decided {
            findings: Vec::new(),
            incidents: vec![incident],
        });
    }

    /// Looks once; subjects of the letters that were taken.
    fn told(&mut self) -> Vec<String> {
        self.letters().into_iter().map(|one| one.subject).collect()
    }

    fn letters(&mut self) -> Vec<Letter> {
        let stop = AtomicBool::new(false);
        self.runtime.block_on(self.clerk.pass(now, &stop));
        self.post.taken()
    }
}

fn incident(id: &str, severity: Level) -> Incident {
    Incident {
        id: id.to_owned(),
        title: format!("Cards read by {id}"),
        severity,
        scopes: vec![Scope::View("us".to_owned())],
        detected: now(),
        first: now(),
        last: now(),
        ..sinks::contract::incident()
    }
}

#[test]
fn an_incident_is_told_once_and_what_came_after_its_quiet_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut office = Office::open(folder.path());
    office.found(incident("a", Level::High));
    office.found(incident("low", Level::Medium));
    assert_eq!(office.told(), ["high: Cards read by a · view us"]);
    assert!(office.told().is_empty());
    office.found(incident("a", Level::Critical));
    assert!(office.told().is_empty(), "it is quiet");
    pass_time(901);
    assert_eq!(
        office.told(),
        ["critical, was high: Cards read by a · view us"]
    );
    pass_time(901);
    assert!(office.told().is_empty());
    // One that rises to what is told is new.
    office.found(incident("low", Level::High));
    assert_eq!(office.told(), ["high: Cards read by low · view us"]);
    // What was before anybody was named isn't news.
    pass_time(-2 * 3600);
    office.found(incident("old", Level::Critical));
    pass_time(2 * 3600);
    assert!(office.told().is_empty());
}

#[test]
fn what_could_not_go_goes_later_in_its_order_also_after_a_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut office = Office::open(folder.path());
    office.post.is_away.store(true, Ordering::SeqCst);
    for id in ["a", "b", "c"] {
        office.found(incident(id, Level::High));
        assert!(office.told().is_empty());
        pass_time(400);
    }
    let mut sink = MailSink(office.clerk.state());
    let works = sinks::Sink::works(&sink).expect("it knows");
    let why = works.expect_err("it fails").to_string();
    assert!(
        why.contains("mail:25") && why.contains("wait to be told"),
        "{why}"
    );
    office.post.is_away.store(false, Ordering::SeqCst);
    let subjects = office.told();
    let order: Vec<&str> = subjects.iter().filter_map(|one| one.get(20..21)).collect();
    assert_eq!(order, ["a", "b", "c"], "{subjects:?}");
    sinks::contract::check(&mut sink);
    assert_eq!(office.clerk.state().counts().sent, 3);
    // A start knows what was told, and tells what wasn't.
    let mut known = Office::open(folder.path());
    for id in ["a", "b", "c", "d"] {
        known.found(incident(id, Level::High));
    }
    assert_eq!(known.told().len(), 1);
}

#[test]
fn an_address_that_is_refused_is_tried_again_and_seldom() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut office = Office::open(folder.path());
    office.post.refuses.store(true, Ordering::SeqCst);
    office.found(incident("a", Level::High));
    for _ in 0..10 {
        assert!(office.told().is_empty());
        pass_time(10);
    }
    assert_eq!(office.clerk.state().counts().failed, 1);
    office.post.refuses.store(false, Ordering::SeqCst);
    pass_time(300);
    assert_eq!(office.told().len(), 1);
}

#[test]
fn a_flood_is_bounded_and_said_and_nothing_of_it_is_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut office = Office::open(folder.path());
    let mut letters = Vec::new();
    for number in 0..120 {
        office.found(incident(&format!("i{number:03}"), Level::High));
        letters.extend(office.letters());
        pass_time(20);
    }
    assert_eq!(letters.len(), 5, "of one hour");
    let last = &letters[4];
    assert!(
        last.subject.contains("letters are held back"),
        "{}",
        last.subject
    );
    assert!(last.body.contains("at most 5 letters"), "{}", last.body);
    pass_time(3600);
    let more = office.letters();
    // Four of the five told one each, the fifth one; all others are in this.
    assert_eq!(more.len(), 1);
    assert!(
        more[0].subject.contains("115 incidents"),
        "{}",
        more[0].subject
    );
    assert_eq!(office.clerk.state().counts().joined, 114);
    pass_time(3600);
    assert!(office.told().is_empty());
}

#[test]
fn what_a_log_says_is_masked_and_inert_in_a_letter() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut office = Office::open(folder.path());
    let mut odd = incident("a", Level::High);
    odd.title = "x\r\nBcc: thief@example.com\u{202e}\u{1b}[2J 4111 1111 1111 1111 ".repeat(20);
    odd.actors[0].value = "y\n\nClock: none 4111111111111111".to_owned();
    office.found(odd);
    let letter = office.letters().remove(0);
    assert!(
        letter.subject.chars().count() < 78 && letter.subject.ends_with("· view us"),
        "{}",
        letter.subject
    );
    for text in [&letter.subject, &letter.body] {
        assert!(!text.contains("4111"), "{text}");
        let is_odd = |one: char| (one.is_control() && one != '\n') || one == '\u{202e}';
        assert!(!text.contains(is_odd), "{text}");
    }
    assert!(!letter.subject.contains('\n'));
    let forged = letter
        .body
        .lines()
        .any(|line| line.starts_with("Bcc:") || line.starts_with("Clock: none"));
    assert!(!forged, "{}", letter.body);
    for part in [
        "Severity:",
        "Where:       view us",
        "Records:",
        "Next:        look at it",
        "https://console.example.com/incidents/a\n",
    ] {
        assert!(letter.body.contains(part), "{part}: {}", letter.body);
    }
}

fn analyst(account: &str, scope: Scope) -> Principal {
    Principal {
        account: account.to_owned(),
        name: account.to_owned(),
        shown: account.to_owned(),
        grants: vec![Grant {
            role: Role::Analyst,
            scope,
        }],
        via: Via::Session,
    }
}

/// What one person is told by decisions on an incident in `us`, step by step.
struct Told {
    handling: Handling,
    reader: Reader,
    known: Option<Known>,
}

impl Told {
    fn new(scope: Scope) -> Self {
        Self {
            handling: Handling::default(),
            reader: Reader {
                address: "ana@example.com".to_owned(),
                is_on_duty: false,
                people: vec![analyst("ana", scope)],
                since: START,
            },
            known: None,
        }
    }

    fn decide(&mut self, by: &str, act: Act) -> Vec<Occasion> {
        let number = self.handling.version() + 1;
        let decision = Decision {
            id: number.to_string(),
            incident: "a".to_owned(),
            by: person(by),
            at: START.plus_seconds(1),
            seen: 0,
            act,
            reason: "because".to_owned(),
        };
        self.handling.take(Sequence(number), decision);
        self.look(&incident("a", Level::High))
    }

    fn look(&mut self, incident: &Incident) -> Vec<Occasion> {
        let desk = Desk::new(Box::new(|_| None));
        desk.publish(Update::Decided {
            findings: Vec::new(),
            incidents: vec![incident.clone()],
        });
        desk.publish(Update::Handled(vec![(
            "a".to_owned(),
            self.handling.clone(),
        )]));
        let sight = Sight::new(desk, analyst("all", Scope::Installation), Arc::default());
        let work: Work = sight.in_brief("a").expect("there");
        let limits = Limits {
            severity: Level::High,
            clock_seconds: 86_400,
        };
        let looked = look(
            &self.reader,
            &work,
            &[],
            self.known.as_ref(),
            limits,
            &StoreMap::default(),
            now(),
        );
        let Some(looked) = looked else {
            return Vec::new();
        };
        self.known = Some(looked.then);
        looked.occasions
    }
}

fn person(name: &str) -> Person {
    Person {
        account: name.to_owned(),
        name: name.to_owned(),
    }
}

fn remark() -> Act {
    Act::Comment {
        text: "privately: what I wrote".to_owned(),
        kind: CommentKind::Fact,
    }
}

#[test]
fn whoever_watches_leads_or_has_a_task_is_told_of_what_others_did() {
    let mut told = Told::new(Scope::View("us".to_owned()));
    assert!(
        told.decide("bob", Act::Acknowledge).is_empty(),
        "she follows nothing"
    );
    assert!(
        told.decide("ana", Act::Watch { on: true }).is_empty(),
        "her own act"
    );
    let news = told.decide("bob", remark());
    assert_eq!(
        news,
        [Occasion::Decided(vec![("bob".to_owned(), "comment")])]
    );
    assert!(told.decide("ana", remark()).is_empty());
    let news = told.decide(
        "bob",
        Act::Lead {
            to: Some(person("ana")),
        },
    );
    assert_eq!(news[0], Occasion::Leads);
    let task = |owner: &str| Act::AddTask {
        title: "what I wrote".to_owned(),
        owner: Some(person(owner)),
        due: None,
    };
    let news = told.decide("bob", task("ana"));
    assert_eq!(
        news[0],
        Occasion::Task {
            number: 1,
            due: None
        }
    );
    assert!(
        !told
            .decide("bob", task("cora"))
            .iter()
            .any(|one| matches!(one, Occasion::Task { .. }))
    );
    // Done and given anew, it is told anew; what she takes herself isn't.
    let given = |state| Act::ChangeTask {
        task: 1,
        owner: Some(person("ana")),
        due: None,
        state,
    };
    drop(told.decide("ana", given(TaskState::Done)));
    assert!(told.decide("ana", given(TaskState::Open)).is_empty());
    drop(told.decide("ana", given(TaskState::Done)));
    assert_eq!(told.decide("bob", given(TaskState::Open)).len(), 2);
    let mut more = incident("a", Level::Critical);
    more.findings.push(more.findings[0].clone());
    let news = told.look(&more);
    assert_eq!(
        news,
        [Occasion::Rose { from: Level::High }, Occasion::Found(1)]
    );
    let to = IncidentState::FalsePositive;
    let news = told.decide("bob", Act::Move { to });
    assert_eq!(news, [Occasion::Decided(vec![("bob".to_owned(), "move")])]);
}

#[test]
fn who_works_for_another_store_is_told_nothing_whatever_they_watch() {
    let mut told = Told::new(Scope::View("fr".to_owned()));
    for act in [
        Act::Watch { on: true },
        Act::Lead {
            to: Some(person("ana")),
        },
        Act::AddTask {
            title: "x".to_owned(),
            owner: Some(person("ana")),
            due: None,
        },
        remark(),
    ] {
        assert!(told.decide("bob", act.clone()).is_empty(), "{act:?}");
    }
    assert!(told.decide("ana", Act::Watch { on: true }).is_empty());
    assert!(told.decide("bob", remark()).is_empty());
    // Allowed there later, she is told from then on.
    told.reader.people = vec![analyst("ana", Scope::Installation)];
    drop(told.look(&incident("a", Level::High)));
    assert_eq!(told.decide("bob", remark()).len(), 1);
}

#[test]
fn a_clock_is_told_when_it_comes_near_and_when_it_is_over() {
    let mut told = Told::new(Scope::Installation);
    told.reader.is_on_duty = true;
    let mut timed = incident("a", Level::High);
    timed.obligations = vec![model::Obligation {
        rule: "r".to_owned(),
        regime: "a law".to_owned(),
        recipient: "an authority".to_owned(),
        started: now(),
        due: Some(now().plus_seconds(3 * 86_400)),
        limit: String::new(),
        trigger: String::new(),
        state: model::ObligationState::Projected,
        source: String::new(),
        confidence: String::new(),
        depends_on: Vec::new(),
    }];
    assert_eq!(told.look(&timed), [Occasion::Opened]);
    assert!(told.look(&timed).is_empty());
    for is_over in [false, true] {
        pass_time(2 * 86_400 + 3600);
        let news = told.look(&timed);
        assert!(
            matches!(news.as_slice(), [Occasion::Clock { is_over: over, .. }] if *over == is_over),
            "{news:?}"
        );
        assert!(told.look(&timed).is_empty());
    }
}
