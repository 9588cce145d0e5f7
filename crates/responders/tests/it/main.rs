//! Every action keeps the contract of actions; what refuses changes nothing.

mod broken;
mod cache;
mod cdn;
mod database;
mod dropping;
mod edge;
mod grants;
mod hold;
mod refused;

use std::path::Path;

use model::{Argument, Arguments, Layer};
use responders::{ACTIONS, Action, Effect, action, contract, memory};

/// Arguments that fit the host in memory, by the action's name.
fn arguments(action: &dyn Action, values: &[&str]) -> Arguments {
    let parameters = action.facts().parameters.iter();
    parameters
        .zip(values)
        .map(|(parameter, value)| {
            let read = Argument::read(parameter.kind, value).expect("an argument");
            (parameter.name, read)
        })
        .collect()
}

const VALUES: [(&str, &str); 12] = [
    ("block_network", "192.0.2.0/24"),
    ("block_route", "/rest/V1/guest-carts"),
    ("close_view", "fr"),
    ("close_website", "base"),
    ("deny_php", ""),
    ("drop_packets", "192.0.2.0/24"),
    ("drop_packets", "2001:db8::7"),
    ("hold_retention", ""),
    ("maintenance", ""),
    ("quarantine_file", "pub/media/x.php"),
    ("restore_file", "pub/static/checkout.js"),
    ("restore_file", "pub/static/gone.js"),
];

#[test]
fn every_action_keeps_the_contract() {
    let mut names: Vec<_> = ACTIONS.iter().map(|action| action.facts().name).collect();
    let tried = VALUES.iter().map(|(name, _)| *name);
    let mut tried: Vec<_> = tried
        .chain(database::names())
        .chain(["block_network_edge", "purge_cache"])
        .collect();
    names.sort_unstable();
    tried.sort_unstable();
    tried.dedup();
    assert_eq!(names, tried);
    for (name, value) in VALUES {
        let one = &action(name).expect("an action");
        let folder = tempfile::tempdir().expect("a folder");
        let given = arguments(*one, &[value]);
        contract::check(*one, folder.path(), &memory::host, &given);
        if one.facts().layer == Layer::Web {
            // Where nginx is the root helper's to change, all the same holds.
            let folder = tempfile::tempdir().expect("a folder");
            contract::check(*one, folder.path(), &memory::host_by_root, &given);
        }
    }
}

#[test]
fn facts_are_complete() {
    for action in ACTIONS {
        let facts = action.facts();
        assert!(!facts.about.is_empty() && !facts.stays_open.is_empty());
    }
}

#[test]
fn what_one_closes_stays_closed_when_another_is_undone() {
    let folder = tempfile::tempdir().expect("a folder");
    let host = memory::host(folder.path()).expect("a host");
    let view = action("close_view").expect("an action");
    let website = action("close_website").expect("an action");
    let (fr, base) = (arguments(view, &["fr"]), arguments(website, &["base"]));
    let kept_fr = view.survey(&host, &fr).expect("survey").kept;
    view.act(&host, &fr, &kept_fr).expect("act");
    let kept_base = website.survey(&host, &base).expect("survey").kept;
    website.act(&host, &base, &kept_base).expect("act");
    view.undo(&host, &fr, &kept_fr).expect("undo");
    let told = website.read_back(&host, &base, &kept_base).expect("told");
    assert_eq!(told, Effect::InEffect);
    // A view that was closed before stays closed when its second closing is undone.
    let fr_again = view.survey(&host, &fr).expect("survey").kept;
    view.act(&host, &fr, &fr_again).expect("act");
    let again = view.survey(&host, &fr).expect("survey");
    assert_eq!(again.changes[0].now, "closed already");
    view.act(&host, &fr, &again.kept).expect("act");
    view.undo(&host, &fr, &again.kept).expect("undo");
    let told = view.read_back(&host, &fr, &again.kept).expect("told");
    assert_eq!(told, Effect::InEffect);
}

#[track_caller]
fn refused(name: &str, value: &str, spoil: &dyn Fn(&Path), words: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let host = memory::host(folder.path()).expect("a host");
    let one = action(name).expect("an action");
    let given = arguments(one, &[value]);
    spoil(folder.path());
    let file = folder.path().join("nginx/http.conf");
    let before = std::fs::read(&file).ok();
    let surveyed = one.survey(&host, &given);
    let done = surveyed.and_then(|survey| one.act(&host, &given, &survey.kept));
    let told = done.expect_err("it is refused");
    assert!(told.to_string().contains(words), "{told}");
    assert!(!told.next().is_empty());
    assert_eq!(std::fs::read(&file).ok(), before);
}

#[test]
fn what_is_refused_changes_nothing() {
    let nothing = |_: &Path| {};
    refused("close_view", "nobody", &nothing, "no store view nobody");
    refused("close_website", "nobody", &nothing, "website nobody");
    refused("block_network", "198.51.100.7", &nothing, "a proxy");
    refused("block_network", "198.0.0.0/8", &nothing, "a proxy");
    refused("block_route", "//", &nothing, "the whole shop");
    let broken = |folder: &Path| std::fs::write(folder.join("nginx/broken"), "").expect("write");
    refused("close_view", "fr", &broken, "unknown directive");
    let gone = |folder: &Path| std::fs::remove_file(folder.join("nginx/http.conf")).expect("gone");
    refused("close_view", "fr", &gone, "prepare the host first");
    let foreign = |folder: &Path| {
        std::fs::write(folder.join("nginx/http.conf"), "# rule: door\n").expect("write");
    };
    refused("close_view", "fr", &foreign, "a rule that isn't ours");
}

#[test]
fn a_file_is_moved_by_no_link_and_only_the_one_that_was_surveyed() {
    let nothing = |_: &Path| {};
    let entry = "pub/index.php";
    refused("quarantine_file", entry, &nothing, "entry points");
    refused(
        "quarantine_file",
        "pub/media/y.php",
        &nothing,
        "isn't there",
    );
    refused("quarantine_file", "pub/media", &nothing, "no plain file");
    refused(
        "quarantine_file",
        "pub/media/x.php/y",
        &nothing,
        "on its way",
    );
    let link = |at: &'static str, to: &'static str| {
        move |folder: &Path| {
            let at = folder.join("shop").join(at);
            std::os::unix::fs::symlink(to, at).expect("a link");
        }
    };
    let one = link("pub/media/l.php", "x.php");
    refused("quarantine_file", "pub/media/l.php", &one, "no plain file");
    let way = link("pub/other", "media");
    refused("quarantine_file", "pub/other/x.php", &way, "on its way");
    let open = |folder: &Path| {
        let ours = folder.join("quarantine");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(ours, mode).expect("rights");
    };
    refused("quarantine_file", "pub/media/x.php", &open, "owner alone");

    let folder = tempfile::tempdir().expect("a folder");
    let host = memory::host(folder.path()).expect("a host");
    let one = action("quarantine_file").expect("an action");
    let given = arguments(one, &["pub/media/x.php"]);
    let kept = one.survey(&host, &given).expect("survey").kept;
    let file = folder.path().join("shop/pub/media/x.php");
    one.act(&host, &given, &kept).expect("act");
    // Whoever dropped it drops it again: that is told, and an undo doesn't overwrite it.
    std::fs::write(&file, "again").expect("write");
    let told = one.read_back(&host, &given, &kept).expect("told");
    assert!(matches!(&told, Effect::Partly(words) if words.contains("in its place again")));
    for done in [
        one.undo(&host, &given, &kept),
        one.act(&host, &given, &kept),
    ] {
        assert!(done.is_err());
    }
    assert_eq!(std::fs::read(&file).expect("read"), b"again");
    // What was kept leads nowhere but to our folder.
    let bent = r#"{"device":1,"inode":1,"name":"../../etc/passwd"}"#;
    let done = one.undo(&host, &given, bent.as_bytes());
    assert!(done.expect_err("refused").to_string().contains("kept"));
}

#[test]
fn a_file_is_put_back_from_good_files_alone_and_only_the_one_that_was_surveyed() {
    let nothing = |_: &Path| {};
    let file = "pub/static/checkout.js";
    refused("restore_file", "var/x.php", &nothing, "no good one");
    refused("restore_file", "app/etc/env.php", &nothing, "by hand");
    refused("restore_file", "pub/media/x.php", &nothing, "can't open");
    let mode = |at: &'static str, mode: u32| {
        move |folder: &Path| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(folder.join(at), mode).expect("rights");
        }
    };
    for at in ["good_files", "good_files/pub", "good_files/pub/static"] {
        refused("restore_file", file, &mode(at, 0o775), "owner alone");
    }
    let good = "good_files/pub/static/checkout.js";
    refused("restore_file", file, &mode(good, 0o666), "owner alone");
    let link = |at: &'static str, to: &'static str| {
        move |folder: &Path| {
            let (at, to) = (folder.join(at), folder.join(to));
            if at.is_dir() {
                std::fs::remove_dir_all(&at).expect("gone");
            } else {
                std::fs::remove_file(&at).expect("gone");
            }
            std::os::unix::fs::symlink(to, at).expect("a link");
        }
    };
    refused(
        "restore_file",
        file,
        &link(good, "shop/pub/media/x.php"),
        "can't open",
    );
    refused(
        "restore_file",
        file,
        &link("good_files/pub", "shop/pub"),
        "on its way",
    );
    refused(
        "restore_file",
        file,
        &link("shop/pub/static", "good_files"),
        "on its way",
    );
    let in_place = link(
        "shop/pub/static/checkout.js",
        "good_files/pub/static/gone.js",
    );
    refused("restore_file", file, &in_place, "no plain file");
    let served = |folder: &Path| {
        let (from, to) = (folder.join("good_files"), folder.join("shop/good"));
        std::fs::rename(&from, &to).expect("moved");
        std::os::unix::fs::symlink(to, from).expect("a link");
    };
    refused("restore_file", file, &served, "outside Magento's root");

    let folder = tempfile::tempdir().expect("a folder");
    let host = memory::host(folder.path()).expect("a host");
    let one = action("restore_file").expect("an action");
    let given = arguments(one, &[file]);
    let kept = one.survey(&host, &given).expect("survey").kept;
    let (place, good) = (
        folder.path().join("shop").join(file),
        folder.path().join(good),
    );
    // What is good was changed since: nothing of it is taken.
    let was = std::fs::read(&good).expect("read");
    std::fs::write(&good, "other").expect("write");
    let told = one.act(&host, &given, &kept).expect_err("refused");
    assert!(told.to_string().contains("as it was surveyed"), "{told}");
    std::fs::write(&good, &was).expect("write");
    // Another file is in its place: it is left alone.
    let aside = folder.path().join("first");
    std::fs::rename(&place, &aside).expect("moved");
    std::fs::write(&place, "steal(again)").expect("write");
    let told = one.act(&host, &given, &kept).expect_err("refused");
    assert!(told.to_string().contains("another file"), "{told}");
    std::fs::rename(&aside, &place).expect("moved");
    one.act(&host, &given, &kept).expect("act");
    assert_eq!(std::fs::read(&place).expect("read"), was);
    // Changed again after it: told, and an undo doesn't overwrite it.
    std::fs::write(&place, "steal(again)").expect("write");
    let told = one.read_back(&host, &given, &kept).expect("told");
    assert!(matches!(&told, Effect::Partly(words) if words.contains("changed again")));
    for done in [
        one.undo(&host, &given, &kept),
        one.act(&host, &given, &kept),
    ] {
        assert!(done.is_err());
    }
    assert_eq!(std::fs::read(&place).expect("read"), b"steal(again)");
    // Removed after it: what was there before comes back.
    std::fs::remove_file(&place).expect("gone");
    one.undo(&host, &given, &kept).expect("undone");
    assert_eq!(std::fs::read(&place).expect("read"), b"pay(); steal();\n");
    // What is good already is left as it is, and told when it no longer is.
    let gone = arguments(one, &["pub/static/gone.js"]);
    let there = folder.path().join("shop/pub/static/gone.js");
    std::fs::write(&there, "gone();\n").expect("write");
    let survey = one.survey(&host, &gone).expect("survey");
    assert_eq!(survey.changes[0].then, "so already");
    one.act(&host, &gone, &survey.kept).expect("act");
    one.undo(&host, &gone, &survey.kept).expect("undo");
    assert!(there.exists());
    std::fs::write(&there, "steal()").expect("write");
    assert!(one.act(&host, &gone, &survey.kept).is_err());
    // What was kept leads nowhere but to our folder.
    let bent = String::from_utf8(kept).expect("text");
    let name = bent.split('"').find(|word| word.len() == 32);
    let bent = bent.replace(name.expect("a name"), "../../../../../../../etc/passwd!");
    let done = one.undo(&host, &given, bent.as_bytes());
    assert!(done.expect_err("refused").to_string().contains("kept"));
}
