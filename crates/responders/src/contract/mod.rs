//! What every action has to keep, checked at a host in a folder, at a real database and a real cache, also through a death between any two changes.

mod cache;
mod database;

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use model::Arguments;

use crate::{Action, ActionError, Effect, Host};

pub use cache::seen_in_cache;
pub use database::seen_in_database;

/// Deaths tried at most; an action has fewer changes.
const DEATHS_MAX: u32 = 200;

/// A file as it is: content, mode, owner, group, time of its last change.
type SeenFile = (Vec<u8>, u32, u32, u32, i64, i64);
/// What else is compared, by its names, e.g. `table core_config_data`.
pub type Seen = BTreeMap<String, String>;
/// A host made afresh in an empty folder.
type Make<'a> = &'a dyn Fn(&Path) -> Result<Host, ActionError>;

/// Where an action is tried, and what its undo doesn't give back.
pub struct Trial<'a> {
    /// Empty; it stays the caller's.
    pub folder: &'a Path,
    /// Makes a host below the path it is given.
    pub make: Make<'a>,
    /// Looks at what is beside the files of that folder.
    pub see: &'a dyn Fn() -> Result<Seen, ActionError>,
    /// Beginnings of names of what stays as the act left it (`Undo::AllBut`).
    pub stays: &'a [&'a str],
}

/// All that is compared.
#[derive(Debug, PartialEq, Eq)]
struct World {
    files: BTreeMap<PathBuf, SeenFile>,
    beside: Seen,
}

/// Checks an action that changes files alone.
///
/// # Panics
///
/// When the action breaks the contract, see [`check_at`].
pub fn check(action: &dyn Action, folder: &Path, make: Make<'_>, arguments: &Arguments) {
    let trial = Trial {
        folder,
        make,
        see: &|| Ok(Seen::new()),
        stays: &[],
    };
    check_at(action, &trial, arguments);
}

/// Checks an action: surveying changes nothing; twice is as once; undoing restores every file with its mode, owner and time, and
/// whatever else is compared; undoing twice is as once; it can be done again; a death before any change leaves what can be
/// named, and both acting and undoing lead out of it.
///
/// # Panics
///
/// When the action breaks one of these, with the place.
pub fn check_at(action: &dyn Action, trial: &Trial<'_>, arguments: &Arguments) {
    let name = action.facts().name;
    let here = trial.folder.join("whole");
    let host = made(trial.make, &here);
    let look = || world(trial, &here, name);
    let before = look();
    let survey = right(action.survey(&host, arguments), name, "survey");
    let kept = survey.kept;
    assert!(!survey.changes.is_empty(), "{name} says what it changes");
    same(&look(), &before, name, "surveying changes nothing");
    effect(action, &host, arguments, &kept, &Effect::NotInEffect);
    same(&look(), &before, name, "reading back changes nothing");
    right(
        action.undo(&host, arguments, &kept),
        name,
        "undo of nothing",
    );
    same(&look(), &before, name, "undoing nothing changes nothing");
    for _ in 0..2 {
        right(action.act(&host, arguments, &kept), name, "act");
        effect(action, &host, arguments, &kept, &Effect::InEffect);
        let once = look();
        right(action.act(&host, arguments, &kept), name, "act again");
        same(&look(), &once, name, "twice is as once");
        let mut undone = None;
        for _ in 0..2 {
            right(action.undo(&host, arguments, &kept), name, "undo");
            let now = look();
            same(
                &without(trial, &now),
                &without(trial, &before),
                name,
                "undoing restores",
            );
            if let Some(undone) = undone.replace(now) {
                same(&look(), &undone, name, "undoing twice is as once");
            }
            is_undone(action, &host, arguments, &kept);
        }
    }
    for undoing in [false, true] {
        let mut deaths = 0;
        while dies(action, trial, arguments, undoing, deaths) {
            deaths += 1;
            assert!(deaths < DEATHS_MAX, "{name} has an end");
        }
        let has_steps = deaths > 0 || (undoing && action.facts().undo.is_made_anew());
        assert!(has_steps, "{name} changes something in steps");
    }
}

/// Dies after so many changes, twice: once to be done, once to be undone. Whether it came to a death.
fn dies(
    action: &dyn Action,
    trial: &Trial<'_>,
    arguments: &Arguments,
    undoing: bool,
    after: u32,
) -> bool {
    let name = action.facts().name;
    for to_undo in [false, true] {
        let here = trial.folder.join(format!("{undoing}-{after}-{to_undo}"));
        let host = made(trial.make, &here);
        let before = world(trial, &here, name);
        let kept = right(action.survey(&host, arguments), name, "survey").kept;
        if undoing {
            right(action.act(&host, arguments, &kept), name, "act");
        }
        host.disk.steps.die_after(after);
        let done = if undoing {
            action.undo(&host, arguments, &kept)
        } else {
            action.act(&host, arguments, &kept)
        };
        let died = host.disk.steps.died() && done.is_err();
        host.disk.steps.die_after(u32::MAX);
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
            let now = world(trial, &here, name);
            let what = format!("undone after {after} changes");
            same(&without(trial, &now), &without(trial, &before), name, &what);
            is_undone(action, &host, arguments, &kept);
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

fn is_undone(action: &dyn Action, host: &Host, arguments: &Arguments, kept: &[u8]) {
    if !action.facts().undo.is_made_anew() {
        effect(action, host, arguments, kept, &Effect::NotInEffect);
    }
}

fn world(trial: &Trial<'_>, folder: &Path, name: &str) -> World {
    World {
        files: files(folder),
        beside: right((trial.see)(), name, "look"),
    }
}

/// What an undo has to give back.
fn without(trial: &Trial<'_>, world: &World) -> World {
    let stays = |name: &str| trial.stays.iter().any(|stays| name.starts_with(stays));
    let beside = world.beside.iter().filter(|(name, _)| !stays(name));
    World {
        files: world.files.clone(),
        beside: beside
            .map(|(name, seen)| (name.clone(), seen.clone()))
            .collect(),
    }
}

/// Compares; what differs is named.
fn same(now: &World, then: &World, name: &str, what: &str) {
    let names = now.beside.keys().chain(then.beside.keys());
    for key in names {
        let (now, then) = (now.beside.get(key), then.beside.get(key));
        assert_eq!(now, then, "{name}: {what}: {key}");
    }
    assert_eq!(now.files, then.files, "{name}: {what}");
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
fn files(folder: &Path) -> BTreeMap<PathBuf, SeenFile> {
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

fn seen(content: Vec<u8>, about: &Metadata) -> SeenFile {
    let (seconds, nanoseconds) = (about.mtime(), about.mtime_nsec());
    let (mode, owner, group) = (about.mode(), about.uid(), about.gid());
    (content, mode, owner, group, seconds, nanoseconds)
}
