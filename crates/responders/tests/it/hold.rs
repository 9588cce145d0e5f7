//! A hold on logs: what is held stays, whatever rotation, cleaning or whoever writes to a folder of logs does.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use model::{ActionFacts, Arguments};
use responders::{Action, ActionError, Effect, Host, Survey, action, contract, memory};

const NEW: &str = "GET /media/x.php?c=id 200\n";
const OLD: &str = "GET / 200\n";

fn real() -> &'static dyn Action {
    action("hold_retention").expect("an action")
}

/// A host in a folder, what is held there, and the way back.
struct Scene {
    folder: tempfile::TempDir,
    host: Host,
    kept: Vec<u8>,
}

impl Scene {
    /// Surveyed, after something was done to the folder of logs.
    fn surveyed(before: &dyn Fn(&Path)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let host = memory::host(folder.path()).expect("a host");
        before(&folder.path().join("log"));
        let survey = real().survey(&host, &Arguments::new()).expect("surveyed");
        Self {
            folder,
            host,
            kept: survey.kept,
        }
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join("log").join(name)
    }

    fn act(&self) {
        let done = real().act(&self.host, &Arguments::new(), &self.kept);
        done.expect("held");
        assert_eq!(self.effect(), Effect::InEffect);
    }

    fn effect(&self) -> Effect {
        let told = real().read_back(&self.host, &Arguments::new(), &self.kept);
        told.expect("told")
    }

    /// Undone, nothing of it is left.
    fn undo(&self) {
        let undone = real().undo(&self.host, &Arguments::new(), &self.kept);
        undone.expect("undone");
        assert_eq!(self.effect(), Effect::NotInEffect);
        let left = fs::read_dir(self.folder.path().join("hold")).expect("a folder");
        assert_eq!(left.count(), 0);
    }

    /// The one hold.
    fn place(&self) -> PathBuf {
        let mut holds = fs::read_dir(self.folder.path().join("hold")).expect("a folder");
        holds.next().expect("a hold").expect("an entry").path()
    }

    fn manifest(&self) -> serde_json::Value {
        let text = fs::read(self.place().join("manifest.json")).expect("a manifest");
        serde_json::from_slice(&text).expect("JSON")
    }

    /// What is held, by its path in the folder of logs.
    fn held(&self) -> Vec<(String, String)> {
        let manifest = self.manifest();
        let entries = manifest["held"].as_array().expect("a list").iter();
        entries
            .map(|entry| {
                let path = entry["path"].as_str().expect("a path");
                let copy = self
                    .place()
                    .join(entry["held_as"].as_str().expect("a name"));
                let content = fs::read(&copy).expect("a copy");
                assert_eq!(entry["bytes"].as_u64(), u64::try_from(content.len()).ok());
                let about = copy.metadata().expect("a copy");
                assert_eq!(about.mode() & 0o7777, 0o600);
                let name = path.rsplit('/').next().expect("a name").to_owned();
                (name, String::from_utf8(content).expect("text"))
            })
            .collect()
    }
}

fn both() -> Vec<(String, String)> {
    [("access.log", NEW), ("access.log.1", OLD)]
        .map(|(name, content)| (name.to_owned(), content.to_owned()))
        .to_vec()
}

#[test]
fn logs_are_held_with_what_they_were() {
    let scene = Scene::surveyed(&|log| {
        let mode = fs::Permissions::from_mode(0o640);
        fs::set_permissions(log.join("access.log"), mode).expect("rights");
    });
    let before = scene.log("access.log").metadata().expect("a log");
    scene.act();
    assert_eq!(scene.held(), both());
    let place = scene.place();
    assert_eq!(place.metadata().expect("a hold").mode() & 0o7777, 0o700);
    let manifest = scene.manifest();
    let entry = &manifest["held"][0];
    // Of NEW, by sha256sum.
    let sha256 = "3d6335f9bf8f30026f419d509ab6ff8ce794402fe1074c87a04a2281e26f86a7";
    assert_eq!(entry["sha256"], sha256);
    assert_eq!(entry["mode"], "0640");
    assert_eq!(entry["owner"], before.uid());
    let modified = format!("{}.{:09}", before.mtime(), before.mtime_nsec());
    assert_eq!(entry["modified"], modified);
    let copy = place.join("0001-access.log").metadata().expect("a copy");
    assert_eq!(
        (copy.mtime(), copy.mtime_nsec()),
        (before.mtime(), before.mtime_nsec())
    );
    scene.undo();
    assert_eq!(
        fs::read_to_string(scene.log("access.log")).expect("a log"),
        NEW
    );
}

/// logrotate's two ways, and an end.
fn renamed(log: &Path) {
    fs::rename(log.join("access.log.1"), log.join("access.log.2")).expect("renamed");
    fs::rename(log.join("access.log"), log.join("access.log.1")).expect("renamed");
    fs::write(log.join("access.log"), "").expect("made");
}

fn copied_and_emptied(log: &Path) {
    fs::copy(log.join("access.log"), log.join("access.log.1")).expect("copied");
    fs::write(log.join("access.log"), "").expect("emptied");
}

fn deleted(log: &Path) {
    for name in ["access.log", "access.log.1"] {
        fs::remove_file(log.join(name)).expect("deleted");
    }
}

#[test]
fn what_is_held_stays_when_logs_are_rotated_emptied_or_deleted() {
    for rotate in [renamed, copied_and_emptied, deleted] {
        let scene = Scene::surveyed(&|_| {});
        scene.act();
        rotate(&scene.log(""));
        assert_eq!(scene.effect(), Effect::InEffect);
        // Again, after that: nothing of it is lost.
        scene.act();
        assert_eq!(scene.held(), both());
        scene.undo();
    }
    // The folder as well.
    let scene = Scene::surveyed(&|_| {});
    scene.act();
    fs::remove_dir_all(scene.log("")).expect("gone");
    assert_eq!(scene.effect(), Effect::InEffect);
    scene.undo();
}

#[test]
fn a_log_that_is_rotated_before_it_is_copied_is_found_by_its_inode() {
    let scene = Scene::surveyed(&|_| {});
    renamed(&scene.log(""));
    scene.act();
    assert_eq!(scene.held(), both());
    scene.undo();
    // One that is gone by then is told, and the others are held.
    let scene = Scene::surveyed(&|_| {});
    fs::remove_file(scene.log("access.log.1")).expect("gone");
    scene.act();
    assert_eq!(scene.held(), both()[..1]);
    let gone = scene.log("access.log.1").display().to_string();
    assert_eq!(scene.manifest()["gone"], serde_json::json!([gone]));
    scene.undo();
}

#[test]
fn a_log_is_held_up_to_the_size_that_was_surveyed() {
    let scene = Scene::surveyed(&|_| {});
    fs::write(scene.log("access.log"), format!("{NEW}{OLD}")).expect("grown");
    scene.act();
    assert_eq!(scene.held(), both());
    scene.undo();
}

#[test]
fn no_link_is_followed_and_nothing_else_than_plain_files_is_opened() {
    let scene = Scene::surveyed(&|log| {
        symlink("/etc/passwd", log.join("link.log")).expect("a link");
        symlink("access.log", log.join("to-a-log")).expect("a link");
        fs::create_dir(log.join("below")).expect("a folder");
        fs::write(log.join("below/debug.log"), "below").expect("written");
        fs::hard_link(log.join("access.log"), log.join("z.log")).expect("a name");
        let socket = std::os::unix::net::UnixListener::bind(log.join("socket"));
        drop(socket.expect("a socket"));
    });
    // A link takes a log's name after the survey.
    let aside = scene.folder.path().join("aside");
    fs::rename(scene.log("access.log.1"), aside).expect("moved");
    symlink("/etc/passwd", scene.log("access.log.1")).expect("a link");
    scene.act();
    assert_eq!(scene.held(), both()[..1]);
    scene.undo();
    assert!(scene.log("z.log").exists() && scene.log("link.log").is_symlink());
}

#[test]
fn a_hostile_name_is_written_down_so_that_it_says_nothing_else() {
    let names: [&[u8]; 5] = [
        b"-rf .log",
        b"a\n\x1b[2J.log",
        b"\xff\xfe.log",
        b"..%2f..%2fpasswd",
        &[b'n'; 255],
    ];
    let scene = Scene::surveyed(&|log| {
        deleted(log);
        for name in names {
            fs::write(log.join(OsStr::from_bytes(name)), name).expect("written");
        }
    });
    scene.act();
    let manifest = scene.manifest();
    let entries = manifest["held"].as_array().expect("a list");
    let paths: Vec<_> = entries.iter().map(|entry| &entry["path"]).collect();
    let at = |name: &str| scene.log(name).display().to_string();
    let long = "n".repeat(255);
    let expected = [
        "-rf .log",
        "..%252f..%252fpasswd",
        "a%0A%1B[2J.log",
        &long,
        "%FF%FE.log",
    ];
    assert_eq!(
        serde_json::json!(paths),
        serde_json::json!(expected.map(at))
    );
    for entry in entries {
        let name = entry["held_as"].as_str().expect("a name");
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
            "{name}"
        );
        assert!(scene.place().join(name).is_file());
    }
    scene.undo();
}

#[track_caller]
fn refused(spoil: &dyn Fn(&Path, &mut Host), words: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = memory::host(folder.path()).expect("a host");
    spoil(folder.path(), &mut host);
    let told = real().survey(&host, &Arguments::new());
    let told = told.expect_err("it is refused").to_string();
    assert!(told.contains(words), "{told}");
}

#[test]
fn a_host_that_is_not_set_up_for_it_says_what_is_missing() {
    refused(&|_, host| host.settings.hold = None, "no part [hold]");
    let mode = |folder: &Path, _: &mut Host| {
        let mode = fs::Permissions::from_mode(0o750);
        fs::set_permissions(folder.join("hold"), mode).expect("rights");
    };
    refused(&mode, "for it alone (0700)");
    let served = |folder: &Path, _: &mut Host| {
        let to = folder.join("shop/pub/hold");
        fs::rename(folder.join("hold"), &to).expect("moved");
        symlink(to, folder.join("hold")).expect("a link");
    };
    refused(&served, "outside Magento's root");
    let foreign = |folder: &Path, host: &mut Host| {
        // Only root may give a folder away; else another's is asked for.
        if std::os::unix::fs::chown(folder.join("hold"), Some(65534), None).is_err() {
            host.settings.hold.as_mut().expect("it").folder = PathBuf::from("/root");
        }
    };
    refused(&foreign, "of the account that magewarden runs as");
    let gone = |folder: &Path, _: &mut Host| {
        fs::remove_dir_all(folder.join("log")).expect("gone");
    };
    refused(&gone, "no folder that `logs` of [hold] names");
    let many = |folder: &Path, _: &mut Host| {
        for number in 0..2_000 {
            fs::write(folder.join(format!("log/{number}")), "").expect("written");
        }
    };
    refused(&many, "more than 2000 logs");
}

#[test]
fn the_survey_tells_of_each_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut host = memory::host(folder.path()).expect("a host");
    let hold = host.settings.hold.as_mut().expect("it");
    hold.logs.push(folder.path().join("none"));
    let survey = real().survey(&host, &Arguments::new()).expect("surveyed");
    let told: Vec<_> = survey.changes.iter().map(|one| one.now.as_str()).collect();
    assert_eq!(told, ["2 files, 36 bytes", "the folder isn't there"]);
    let then = &survey.changes[0].then;
    assert!(
        then.starts_with("held in ") && then.contains("/hold/"),
        "{then}"
    );
}

#[test]
fn an_undo_removes_what_it_made_and_leads_nowhere_else() {
    let scene = Scene::surveyed(&|_| {});
    scene.act();
    let note = scene.place().join("note-of-ann");
    fs::write(&note, "mine").expect("written");
    let given = Arguments::new();
    let told = real().undo(&scene.host, &given, &scene.kept);
    let told = told.expect_err("refused").to_string();
    assert!(told.contains("didn't put there"), "{told}");
    assert_eq!(fs::read_to_string(&note).expect("a note"), "mine");
    fs::remove_file(note).expect("gone");
    scene.undo();
    let kept: serde_json::Value = serde_json::from_slice(&scene.kept).expect("JSON");
    for (field, value, words) in [
        ("name", "../../../../../../tmp/aaaaaaaaaa", "can't be read"),
        ("folder", "/tmp", "names another `folder`"),
    ] {
        let mut bent = kept.clone();
        bent[field] = value.into();
        let bent = serde_json::to_vec(&bent).expect("JSON");
        let told = real().undo(&scene.host, &given, &bent);
        let told = told.expect_err("refused").to_string();
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn a_copy_that_is_missing_or_shorter_is_told() {
    for spoil in [
        (|copy: &Path| fs::remove_file(copy)) as fn(&Path) -> std::io::Result<()>,
        |copy| fs::write(copy, ""),
    ] {
        let scene = Scene::surveyed(&|_| {});
        scene.act();
        spoil(&scene.place().join("0002-access.log.1")).expect("spoilt");
        let told = scene.effect();
        assert!(
            matches!(&told, Effect::Partly(words) if words.starts_with("1 of 2 logs")),
            "{told:?}"
        );
        scene.undo();
    }
}

/// A hold that is wrong in one way.
struct Wrong {
    act: fn(&Host, &[u8]) -> Result<(), ActionError>,
    undo: fn(&Host, &[u8]) -> Result<(), ActionError>,
    effect: fn(&Host, &[u8]) -> Result<Effect, ActionError>,
}

impl Action for Wrong {
    fn facts(&self) -> &'static ActionFacts {
        real().facts()
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        real().survey(host, arguments)
    }

    fn act(&self, host: &Host, _: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        (self.act)(host, kept)
    }

    fn read_back(&self, host: &Host, _: &Arguments, kept: &[u8]) -> Result<Effect, ActionError> {
        (self.effect)(host, kept)
    }

    fn undo(&self, host: &Host, _: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        (self.undo)(host, kept)
    }
}

fn act(host: &Host, kept: &[u8]) -> Result<(), ActionError> {
    real().act(host, &Arguments::new(), kept)
}

fn undo(host: &Host, kept: &[u8]) -> Result<(), ActionError> {
    real().undo(host, &Arguments::new(), kept)
}

fn effect(host: &Host, kept: &[u8]) -> Result<Effect, ActionError> {
    real().read_back(host, &Arguments::new(), kept)
}

fn logs(host: &Host) -> PathBuf {
    host.settings.hold.as_ref().expect("it").logs[0].clone()
}

#[test]
fn the_contract_sees_a_hold_that_is_wrong() {
    let right = || Wrong { act, undo, effect };
    let wrong = [
        // Rotates by itself.
        Wrong {
            act: |host, kept| {
                fs::write(logs(host).join("access.log.1"), "").expect("written");
                act(host, kept)
            },
            ..right()
        },
        // Holds nothing.
        Wrong {
            act: |_, _| Ok(()),
            ..right()
        },
        // Leaves what was held.
        Wrong {
            undo: |_, _| Ok(()),
            ..right()
        },
        // Takes the log with its copy.
        Wrong {
            undo: |host, kept| {
                undo(host, kept)?;
                fs::remove_file(logs(host).join("access.log.1")).ok();
                Ok(())
            },
            ..right()
        },
        // Says what it wishes.
        Wrong {
            effect: |_, _| Ok(Effect::InEffect),
            ..right()
        },
        // Dies midway and takes that for done.
        Wrong {
            act: |host, kept| act(host, kept).or(Ok(())),
            effect: |host, kept| {
                Ok(match effect(host, kept)? {
                    Effect::Partly(_) => Effect::InEffect,
                    other => other,
                })
            },
            undo: |host, kept| match effect(host, kept)? {
                Effect::Partly(_) => Ok(()),
                _ => undo(host, kept),
            },
        },
    ];
    let keeps = |action: &dyn Action| {
        let folder = tempfile::tempdir().expect("a folder");
        let check = || contract::check(action, folder.path(), &memory::host, &Arguments::new());
        catch_unwind(AssertUnwindSafe(check)).is_ok()
    };
    assert!(keeps(&right()));
    for (number, wrong) in wrong.iter().enumerate() {
        assert!(!keeps(wrong), "{number}");
    }
}
