//! What every action has to keep, checked at a host in a folder, also through a death between any two changes.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use model::Arguments;

use crate::{Action, ActionError, Effect, Host};

/// Deaths tried at most; an action has fewer changes.
const DEATHS_MAX: u32 = 200;

/// A file as it is: content, mode, owner, group, time of its last change.
type Seen = (Vec<u8>, u32, u32, u32, i64, i64);
/// A host made afresh in an empty folder.
type Make<'a> = &'a dyn Fn(&Path) -> Result<Host, ActionError>;

/// Checks an action: surveying changes nothing; twice is as once; undoing restores every file with its mode, owner and time;
/// undoing twice is as once; it can be done again; a death before any change leaves what can be named, and both acting and
/// undoing lead out of it. `folder` is empty and stays the caller's; `make` makes a host below the path it is given.
///
/// # Panics
///
/// When the action breaks one of these, with the place.
pub fn check(action: &dyn Action, folder: &Path, make: Make<'_>, arguments: &Arguments) {
    let name = action.facts().name;
    let here = folder.join("whole");
    let host = made(make, &here);
    let before = files(&here);
    let survey = right(action.survey(&host, arguments), name, "survey");
    let kept = survey.kept;
    assert!(!survey.changes.is_empty(), "{name} says what it changes");
    assert_eq!(files(&here), before, "{name}: surveying changes nothing");
    effect(action, &host, arguments, &kept, &Effect::NotInEffect);
    assert_eq!(files(&here), before, "{name}: reading back changes nothing");
    right(
        action.undo(&host, arguments, &kept),
        name,
        "undo of nothing",
    );
    assert_eq!(
        files(&here),
        before,
        "{name}: undoing nothing changes nothing"
    );
    for _ in 0..2 {
        right(action.act(&host, arguments, &kept), name, "act");
        effect(action, &host, arguments, &kept, &Effect::InEffect);
        let once = files(&here);
        right(action.act(&host, arguments, &kept), name, "act again");
        assert_eq!(files(&here), once, "{name}: twice is as once");
        for _ in 0..2 {
            right(action.undo(&host, arguments, &kept), name, "undo");
            assert_eq!(files(&here), before, "{name}: undoing restores");
            effect(action, &host, arguments, &kept, &Effect::NotInEffect);
        }
    }
    for undoing in [false, true] {
        let mut deaths = 0;
        while dies(action, folder, make, arguments, undoing, deaths) {
            deaths += 1;
            assert!(deaths < DEATHS_MAX, "{name} has an end");
        }
        assert!(deaths > 0, "{name} changes something in steps");
    }
}

/// Dies after so many changes, twice: once to be done, once to be undone. Whether it came to a death.
fn dies(
    action: &dyn Action,
    folder: &Path,
    make: Make<'_>,
    arguments: &Arguments,
    undoing: bool,
    after: u32,
) -> bool {
    let name = action.facts().name;
    for to_undo in [false, true] {
        let here = folder.join(format!("{undoing}-{after}-{to_undo}"));
        let host = made(make, &here);
        let before = files(&here);
        let kept = right(action.survey(&host, arguments), name, "survey").kept;
        if undoing {
            right(action.act(&host, arguments, &kept), name, "act");
        }
        host.disk.die_after(after);
        let done = if undoing {
            action.undo(&host, arguments, &kept)
        } else {
            action.act(&host, arguments, &kept)
        };
        let died = host.disk.died() && done.is_err();
        host.disk.die_after(u32::MAX);
        if !died {
            right(done, name, "what nothing stopped");
            return false;
        }
        right(
            action.read_back(&host, arguments, &kept),
            name,
            "read back after a death",
        );
        if to_undo {
            right(
                action.undo(&host, arguments, &kept),
                name,
                "undo after a death",
            );
            assert_eq!(files(&here), before, "{name}: undone after {after} changes");
            effect(action, &host, arguments, &kept, &Effect::NotInEffect);
        } else {
            right(
                action.act(&host, arguments, &kept),
                name,
                "act after a death",
            );
            effect(action, &host, arguments, &kept, &Effect::InEffect);
        }
    }
    true
}

fn made(make: Make<'_>, folder: &Path) -> Host {
    right(make(folder), "a host", "make")
}

/// What has to be right.
#[expect(clippy::panic, reason = "a contract that is broken ends the test")]
fn right<T>(result: Result<T, ActionError>, name: &str, what: &str) -> T {
    result.unwrap_or_else(|error| panic!("{name}: {what}: {error}: {error:?}"))
}

fn effect(action: &dyn Action, host: &Host, arguments: &Arguments, kept: &[u8], is: &Effect) {
    let name = action.facts().name;
    let told = right(action.read_back(host, arguments, kept), name, "read back");
    assert_eq!(told, *is, "{name}");
}

/// Every file below a folder.
fn files(folder: &Path) -> BTreeMap<PathBuf, Seen> {
    let mut found = BTreeMap::new();
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() {
            found.append(&mut files(&path));
        } else if let (Ok(content), Ok(about)) = (std::fs::read(&path), path.symlink_metadata()) {
            found.insert(path, seen(content, &about));
        }
    }
    found
}

fn seen(content: Vec<u8>, about: &Metadata) -> Seen {
    let (seconds, nanoseconds) = (about.mtime(), about.mtime_nsec());
    let (mode, owner, group) = (about.mode(), about.uid(), about.gid());
    (content, mode, owner, group, seconds, nanoseconds)
}
