//! Two runs of one host that do the same thing: left to the first only as long as the world shows it.

use model::Happened;
use playbook::StepState;
use responders::{Host, memory};

use super::tests::{approval, opened, person, planned, to_its_end};
use super::{Journal, Place, read};

struct Scene {
    folder: tempfile::TempDir,
    host: Host,
    place: Place,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let host = memory::host(folder.path()).expect("a host");
        let place = Place::below(&folder.path().join("ours"));
        Self {
            folder,
            host,
            place,
        }
    }

    fn carried_out(&self, id: &str, playbook: &str) {
        let entry = approval(id, planned(playbook));
        drop(Journal::begin(&self.place.journals(), &entry).expect("begun"));
        to_its_end(&self.host, &self.place, id, false).expect("done");
    }

    fn undone(&self, id: &str) {
        to_its_end(&self.host, &self.place, id, true).expect("undone");
    }

    fn closed(&self, id: &str) {
        let mut carrier = opened(&self.host, &self.place, id);
        let by = person("ann");
        carrier.say(Happened::Closed { by }).expect("closed");
    }

    fn state(&self, id: &str, action: &str) -> StepState {
        let run = read(&self.place.journals(), id).expect("a run");
        let at = (0..run.steps.len()).find(|at| run.action(*at) == Some(action));
        run.steps[at.expect("a step")].state.clone()
    }

    fn file(&self) -> std::path::PathBuf {
        let run = planned("web-shell");
        let name = run.variables.get("__file__").expect("a file");
        self.host
            .settings
            .magento
            .as_ref()
            .expect("Magento")
            .root
            .join(name)
    }
}

#[test]
fn what_came_back_since_another_run_is_done_anew() {
    let scene = Scene::new();
    scene.carried_out("run-1", "web-shell");
    let file = scene.file();
    assert!(!file.exists(), "{}", file.display());
    // The same web shell, dropped once more: it isn't left to the run that moved the first one away.
    std::fs::write(&file, "<?php echo 1;").expect("written");
    scene.carried_out("run-2", "web-shell");
    assert!(!file.exists());
    assert_eq!(scene.state("run-2", "quarantine_file"), StepState::Done);
    let relies = StepState::Relies("run-1".to_owned());
    assert_eq!(scene.state("run-2", "block_network"), relies);
}

#[test]
fn a_run_that_is_undone_holds_up_no_other() {
    let scene = Scene::new();
    scene.carried_out("run-1", "card-testing");
    scene.carried_out("run-2", "card-testing");
    let relies = StepState::Relies("run-1".to_owned());
    assert_eq!(scene.state("run-2", "block_network"), relies);
    scene.undone("run-2");
    scene.undone("run-1");
    let state = scene.state("run-1", "block_network");
    assert!(matches!(state, StepState::Undone { .. }), "{state:?}");
}

#[test]
fn what_was_so_before_stays_so_when_the_run_is_undone() {
    let scene = Scene::new();
    scene.carried_out("run-1", "card-testing");
    scene.closed("run-1");
    let include = scene.folder.path().join("nginx/http.conf");
    let closed = std::fs::read(&include).expect("our include file");
    scene.carried_out("run-2", "card-testing");
    assert_eq!(scene.state("run-2", "block_network"), StepState::Done);
    scene.undone("run-2");
    let state = scene.state("run-2", "block_network");
    assert!(matches!(state, StepState::Undone { .. }), "{state:?}");
    assert_eq!(std::fs::read(&include).expect("our include file"), closed);
}
