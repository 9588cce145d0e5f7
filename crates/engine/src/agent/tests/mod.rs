//! An agent's work at a host in a folder: what it takes, what it refuses, and that nothing is done twice.

mod guard;
mod holds;
mod timed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use link::{Plans, Verifier};
use model::{HostReply, HostReport, Instructed, Instruction, Signed, Timestamp, Word};
use playbook::{Run, Turn};
use responders::{Host, memory};

use crate::agent::Settings;
use crate::agent::examine::Me;
use crate::agent::policy::Policy;
use crate::agent::work::Work;
use crate::runs::tests::{approval, now, person, planned};
use crate::runs::{Journal, Place, entries, read};

/// Lines that an administrator was told.
type Said = Arc<Mutex<Vec<String>>>;

/// A host, the server that signs for it, and what it was last told.
struct Scene {
    folder: tempfile::TempDir,
    plans: Plans,
    work: Work,
    said: Said,
}

/// What the playbook does.
const ALL: &str =
    "actions = ['hold_retention', 'keep_evidence', 'block_network', 'quarantine_file', 'deny_php']";

impl Scene {
    fn new(policy: &str) -> Self {
        Self::at(&|folder, plans, said| work(folder, policy, plans, said))
    }

    /// At a host of somebody else's making.
    fn at(make: &dyn Fn(&Path, &Plans, &Said) -> Work) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let plans = Plans::new(&[9; 32]);
        let said = Arc::default();
        let work = make(folder.path(), &plans, &said);
        Self {
            folder,
            plans,
            work,
            said,
        }
    }

    /// The process ends and begins anew.
    fn restart(&mut self, policy: &str) {
        while !self.work.stop() {
            std::thread::yield_now();
        }
        self.work = work(self.folder.path(), policy, &self.plans, &self.said);
    }

    fn place(&self) -> Place {
        Place::below(&self.ours())
    }

    fn ours(&self) -> PathBuf {
        self.folder.path().join("ours")
    }

    fn run(&self) -> Option<Run> {
        read(&self.place().journals(), "run-1").ok()
    }

    fn signed(&self, order: &str, what: Instructed) -> Signed {
        self.plans.sign(&Instruction {
            v: 1,
            installation: "shop".to_owned(),
            host: "web1".to_owned(),
            run: "run-1".to_owned(),
            order: order.to_owned(),
            by: vec![person("ann"), person("bob")],
            at: now(),
            until: now().plus_seconds(600),
            what,
        })
    }

    fn begin(&self, order: &str) -> Signed {
        let plan = planned("web-shell");
        let hash = playbook::hash_words(&plan);
        let (plan, answers) = (Box::new(plan), BTreeMap::new());
        self.signed(
            order,
            Instructed::Begin {
                plan,
                hash,
                answers,
            },
        )
    }

    fn say(&self, order: &str, seen: u64, word: Word) -> Signed {
        let note = "because".to_owned();
        self.signed(order, Instructed::Say { seen, word, note })
    }

    /// The server answers with instructions, and all that can be done is.
    fn hear(&mut self, instructions: Vec<Signed>) {
        let reply = HostReply {
            v: 1,
            at: now(),
            instructions,
            ..HostReply::default()
        };
        self.work.hear(&reply).expect("kept");
        self.settle();
    }

    /// The server says since how many seconds nothing shows of what a run is for.
    fn quiet(&mut self, (run, seconds): (&str, u64)) {
        let reply = HostReply {
            v: 1,
            at: now(),
            quiet_seconds: [(run.to_owned(), seconds)].into(),
            ..HostReply::default()
        };
        self.work.hear(&reply).expect("kept");
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            // Nobody seals here, so that no step waits for it.
            self.work.hands.seals().away();
            self.work.go_on();
            if self.work.is_quiet() {
                break;
            }
            std::thread::yield_now();
        }
    }

    /// The server has all that it is told, and says so.
    fn seal(&mut self) -> HostReport {
        let report = self.work.report();
        let mut reply = HostReply {
            v: 1,
            at: now(),
            ..HostReply::default()
        };
        for entry in &report.entries {
            reply.sealed.insert(entry.run.clone(), entry.number + 1);
        }
        reply.heard = report.refused.iter().map(|one| one.order.clone()).collect();
        self.work.hear(&reply).expect("kept");
        report
    }

    #[track_caller]
    fn refused(&mut self, order: &str, why: &str) {
        let report = self.work.report();
        let found = report.refused.iter().find(|one| one.order == order);
        let found = found.unwrap_or_else(|| panic!("{order} isn't refused: {report:?}"));
        assert!(found.why.contains(why), "{found:?}");
    }

    fn dropped(&self) -> bool {
        self.folder.path().join("shop/pub/media/x.php").exists()
    }
}

fn work(folder: &Path, policy: &str, plans: &Plans, said: &Said) -> Work {
    // Made once: it puts the dropped file there.
    let was_there = folder.join("shop/pub/media").exists();
    let dropped = folder.join("shop/pub/media/x.php");
    let is_there = dropped.exists();
    let mut host = memory::host(folder).expect("a host");
    host.settings.guard = None;
    if was_there && !is_there {
        std::fs::remove_file(&dropped).expect("removed");
    }
    work_at(host, now, folder, policy, (plans, said))
}

/// The agent of a host.
fn work_at(
    host: Host,
    clock: fn() -> Timestamp,
    folder: &Path,
    policy: &str,
    (plans, said): (&Plans, &Said),
) -> Work {
    let said = Arc::clone(said);
    let settings = Settings {
        folder: folder.join("ours"),
        host,
        policy: Policy::read(policy, playbook::EXPECTED).expect("a policy"),
        clock,
        program: "1".to_owned(),
        tell: Box::new(move |line| said.lock().expect("a lock").push(line.to_owned())),
        collect: None,
    };
    let me = Me {
        installation: "shop".to_owned(),
        name: "web1".to_owned(),
        verifier: Verifier::new(&plans.verifying()).expect("a key"),
    };
    std::fs::create_dir_all(folder.join("ours")).expect("a folder");
    Work::new(settings, me).expect("work")
}

/// Says yes, done or skip to whatever a run waits for, until it is over.
fn to_its_end(scene: &mut Scene) {
    for turn in 0..100 {
        let run = scene.run().expect("a run");
        let Turn::Wait(wait) = run.turn() else {
            assert_eq!(run.turn(), Turn::Nothing);
            return;
        };
        let word = [Word::Yes, Word::Done, Word::Skip];
        let word = word.into_iter().find(|word| wait.takes(*word));
        let word = scene.say(
            &format!("answer-{turn}"),
            run.entries,
            word.expect("a word"),
        );
        scene.hear(vec![word]);
    }
    panic!("it never ends");
}

#[test]
fn carries_out_what_is_signed_and_allowed_and_tells_each_entry_until_it_is_sealed() {
    let mut scene = Scene::new(ALL);
    let begin = scene.begin("order-1");
    scene.hear(vec![begin]);
    to_its_end(&mut scene);
    assert!(!scene.dropped(), "the file is in quarantine");
    let run = scene.run().expect("a run");
    let told = scene.seal();
    assert_eq!(told.entries.len() as u64, run.entries);
    let mut numbers = told.entries.iter().map(|entry| entry.number);
    assert!(numbers.by_ref().eq(0..run.entries));
    assert_eq!(told.entries[0].order, "order-1");
    // What is told is the run, to whoever folds it.
    let mut folded = Run::begin(&told.entries[0]).expect("begun");
    for entry in &told.entries[1..] {
        folded.take(entry).expect("it follows");
    }
    assert_eq!(folded, run);
    assert_eq!(scene.work.report().entries, []);
    scene.restart(ALL);
    assert_eq!(scene.work.report().entries, []);
    // What was remembered is lost: all is told again.
    std::fs::remove_file(scene.ours().join("agent.told")).expect("removed");
    scene.restart(ALL);
    assert_eq!(scene.work.report().entries, told.entries);
}

#[test]
fn what_is_replayed_is_done_once() {
    let mut scene = Scene::new(ALL);
    let begin = scene.begin("order-1");
    scene.hear(vec![begin.clone(), begin.clone()]);
    let entries = scene.run().expect("a run").entries;
    std::fs::remove_file(scene.ours().join("agent.told")).unwrap_or_default();
    scene.restart(ALL);
    scene.hear(vec![begin]);
    assert_eq!(scene.run().expect("a run").entries, entries);
    assert_eq!(scene.work.report().refused, []);
    // The same run by another order is none of it.
    let other = scene.begin("order-2");
    scene.hear(vec![other]);
    scene.refused("order-2", "can't make");
    // An answer that is taken, too.
    let run = scene.run().expect("a run");
    assert!(matches!(run.turn(), Turn::Wait(_)), "{:?}", run.turn());
    let undo = scene.say("order-3", 0, Word::Undo);
    scene.hear(vec![undo.clone()]);
    let entries = scene.run().expect("a run").entries;
    scene.hear(vec![undo]);
    assert_eq!(scene.run().expect("a run").entries, entries);
}

#[test]
fn a_plan_that_is_not_allowed_is_refused_whole_and_told_until_it_is_heard() {
    let mut scene = Scene::new("");
    let begin = scene.begin("order-1");
    scene.hear(vec![begin.clone()]);
    scene.refused("order-1", "quarantine_file: this host's policy doesn't");
    assert!(scene.run().is_none() && scene.dropped());
    scene.restart("");
    scene.refused("order-1", "policy");
    scene.hear(vec![begin]);
    assert_eq!(scene.work.report().refused.len(), 1);
    scene.seal();
    assert_eq!(scene.work.report().refused, []);
    scene.restart("");
    assert_eq!(scene.work.report().refused, []);
}

#[test]
fn too_few_people_are_refused() {
    let mut scene = Scene::new(&format!("{ALL}\npeople = 3"));
    let begin = scene.begin("order-1");
    scene.hear(vec![begin]);
    scene.refused("order-1", "2 of 3 people");
    assert!(scene.run().is_none());
}

#[test]
fn a_plan_that_is_not_what_was_approved_is_refused() {
    let mut scene = Scene::new(ALL);
    let (plan, answers) = (Box::new(planned("web-shell")), BTreeMap::new());
    let begin = scene.signed(
        "order-1",
        Instructed::Begin {
            plan,
            hash: "00".repeat(32),
            answers,
        },
    );
    scene.hear(vec![begin]);
    scene.refused("order-1", "its hash differs");
    assert!(scene.run().is_none());
}

#[test]
fn an_answer_to_what_the_run_was_before_is_refused() {
    let mut scene = Scene::new(ALL);
    let begin = scene.begin("order-1");
    scene.hear(vec![begin]);
    let entries = scene.run().expect("a run").entries;
    let stale = scene.say("order-2", entries - 1, Word::Skip);
    scene.hear(vec![stale]);
    scene.refused("order-2", "entries of the run were known");
    let wrong = scene.say("order-3", entries, Word::Waive);
    scene.hear(vec![wrong]);
    scene.refused("order-3", "isn't what the run waits for");
    let unknown = scene.work.report().refused.len();
    assert_eq!(unknown, 2);
    assert_eq!(scene.run().expect("a run").entries, entries);
}

#[test]
fn a_run_that_is_not_sealed_is_told_again_less_and_less_often_and_holds_up_no_other() {
    use std::sync::atomic::{AtomicI64, Ordering};
    static SECONDS: AtomicI64 = AtomicI64::new(0);
    fn clock() -> Timestamp {
        now().plus_seconds(SECONDS.load(Ordering::SeqCst))
    }
    let mut scene = Scene::at(&|folder, plans, said| {
        let mut host = memory::host(folder).expect("a host");
        host.settings.guard = None;
        work_at(host, clock, folder, ALL, (plans, said))
    });
    let begin = scene.begin("order-1");
    scene.hear(vec![begin]);
    let answer = |scene: &mut Scene, sealed: u64| {
        let mut reply = HostReply {
            v: 1,
            at: clock(),
            ..HostReply::default()
        };
        reply.sealed.insert("run-1".to_owned(), sealed);
        scene.work.hear(&reply).expect("kept");
    };
    // Nothing of it is sealed: by the second, it is told when its pause is over.
    let mut told = Vec::new();
    for second in 0..40 {
        SECONDS.store(second, Ordering::SeqCst);
        if !scene.work.report().entries.is_empty() {
            told.push(second);
            answer(&mut scene, 0);
        }
    }
    assert_eq!(told, [0, 1, 3, 7, 15, 31]);
    // Another run is told at once.
    let mut other = entries(&scene.place().journals(), "run-1", 0).expect("read")[0].clone();
    other.run = "run-2".to_owned();
    other.order = "order-2".to_owned();
    drop(Journal::begin(&scene.place().journals(), &other).expect("begun"));
    let report = scene.work.report();
    assert_eq!(report.entries, [other]);
    // Once some of it is sealed there is no pause; where less is known than was, it goes on from there.
    SECONDS.store(100, Ordering::SeqCst);
    for (sealed, from) in [(2, 2), (1, 1), (0, 0)] {
        assert!(!scene.work.report().entries.is_empty());
        answer(&mut scene, sealed);
        let next = scene.work.report().entries;
        let next = next.iter().find(|one| one.run == "run-1");
        assert_eq!(next.map(|one| one.number), Some(from));
    }
}
