//! What the build refuses: upward or sideways dependencies, IO in pure crates, files nobody lists,
//! paths of a machine, a file over its size without a reason.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Floor of each crate (`style.md` §3 in `ARCHITECTURE.md`).
const FLOORS: [(&str, u8); 19] = [
    ("model", 0),
    ("cardholder", 1),
    ("parse", 1),
    ("detect", 1),
    ("incident", 1),
    ("playbook", 1),
    ("custody", 1),
    ("report", 1),
    ("directory", 1),
    ("saml", 1),
    ("sources", 2),
    ("stores", 2),
    ("sinks", 2),
    ("responders", 2),
    ("provider", 2),
    ("link", 2),
    ("engine", 3),
    ("server", 4),
    ("cli", 5),
];

/// What code on floors 0 and 1 may not name.
const IMPURE: [&str; 10] = [
    "std::fs",
    // Addresses are plain values; sockets are not.
    "std::net::Tcp",
    "std::net::Udp",
    "std::env::",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "tokio::",
    "getrandom",
];

/// Files over 500 lines without their tests, each with its reason.
const LONG: [(&str, &str); 1] = [(
    "incident/src/grouper_tests.rs",
    "a file of tests: its stories are tables",
)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') && name != "magewarden-out" {
                files(&path, ending, found);
            }
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

fn rust_files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    files(folder, ".rs", &mut found);
    found.sort();
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source file is text");
            (path, text)
        })
        .collect()
}

/// The part of a file above its tests.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn a_crate_uses_lower_floors_only_and_floors_one_and_two_use_model_alone() {
    let floors: BTreeMap<_, _> = FLOORS.into_iter().collect();
    for (name, floor) in FLOORS {
        let manifest = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml"))
            .expect("every crate has a manifest");
        let dependencies = manifest
            .split("[dependencies]")
            .nth(1)
            .and_then(|rest| rest.split("\n[").next())
            .unwrap_or_default();
        for line in dependencies.lines() {
            let used = line.split([' ', '=', '.']).next().unwrap_or_default();
            let Some(lower) = floors.get(used) else {
                continue;
            };
            assert!(
                *lower < floor,
                "{name} (floor {floor}) uses {used} (floor {lower})"
            );
            if floor == 1 || floor == 2 {
                assert_eq!(used, "model", "{name} may know `model` alone");
            }
        }
    }
}

#[test]
fn every_crate_has_a_floor() {
    for entry in fs::read_dir(root().join("crates"))
        .expect("there are crates")
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(
            FLOORS.iter().any(|(known, _)| *known == name),
            "{name} has no floor"
        );
    }
}

#[test]
fn floors_zero_and_one_are_pure() {
    for (name, floor) in FLOORS {
        if floor > 1 {
            continue;
        }
        for (path, text) in rust_files(&root().join("crates").join(name).join("src")) {
            for line in without_tests(&text).lines() {
                let code = line.split("//").next().unwrap_or_default();
                for word in IMPURE {
                    assert!(!code.contains(word), "{} names {word}", path.display());
                }
            }
        }
    }
}

#[test]
fn every_source_file_says_what_it_is() {
    for (path, text) in rust_files(&root().join("crates")) {
        assert!(
            text.starts_with("//!"),
            "{} does not open with //!",
            path.display()
        );
    }
}

#[test]
fn files_stay_under_five_hundred_lines() {
    let mut over = Vec::new();
    for (path, text) in rust_files(&root().join("crates")) {
        let lines = without_tests(&text).lines().count();
        let shown = path.display().to_string();
        let excused = LONG.iter().any(|(name, _)| shown.ends_with(name));
        if lines > 500 && !excused {
            over.push(format!("{shown} has {lines} lines without its tests"));
        }
    }
    assert!(over.is_empty(), "{over:#?}");
}

#[test]
fn the_repository_names_no_machine() {
    let needles = [
        ["/wor", "k/"].concat(),
        ["/ro", "ot/"].concat(),
        ["/var/www", "/lab"].concat(),
    ];
    for ending in [
        ".rs", ".toml", ".yml", ".md", ".py", ".html", ".js", ".css", ".log",
    ] {
        let mut found = Vec::new();
        files(&root(), ending, &mut found);
        for path in found {
            let text = fs::read_to_string(&path).unwrap_or_default();
            for needle in &needles {
                assert!(
                    !text.contains(needle.as_str()),
                    "{} names {needle}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn content_holds_nothing_of_any_one_shop() {
    // Loopback sources and planted names of captures used while developing must not be learnt.
    let needles = [
        "127.66.",
        "127.67.",
        "127.20.",
        "127.30.",
        "storefinder",
        "labgateway",
        "marketing-feed",
        "erp-sync",
    ];
    let mut found = Vec::new();
    for ending in [".yml", ".toml"] {
        files(&root().join("content"), ending, &mut found);
    }
    assert!(!found.is_empty(), "there is content");
    for path in found {
        let text = fs::read_to_string(&path)
            .expect("content is text")
            .to_lowercase();
        for needle in needles {
            assert!(!text.contains(needle), "{} names {needle}", path.display());
        }
    }
}

#[test]
fn every_field_and_category_stands_in_the_rules_reference() {
    let text = fs::read_to_string(root().join("docs/rules.md")).expect("docs/rules.md");
    let missing: Vec<_> = model::Field::ALL
        .iter()
        .map(|field| field.name())
        .chain(model::Category::ALL.iter().map(|category| category.name()))
        .filter(|name| !text.contains(&format!("| `{name}` |")))
        .collect();
    assert!(missing.is_empty(), "docs/rules.md lacks {missing:?}");
}

#[test]
fn every_role_stands_in_the_reference_of_people_with_what_it_may_and_may_not() {
    use model::{Right, Role};
    let text = fs::read_to_string(root().join("docs/people.md")).expect("docs/people.md");
    let mut missing = Vec::new();
    for (at, role) in Role::ALL.into_iter().enumerate() {
        let rights = Right::ALL.into_iter().filter(|right| role.may(*right));
        let rights: Vec<_> = rights.map(Right::words).collect();
        let (name, purpose) = (role.name(), role.purpose());
        missing.push(format!("| `{name}` | {purpose} | {} |", rights.join("; ")));
        for other in Role::ALL.into_iter().skip(at + 1) {
            if let Some(why) = role.apart_from(other) {
                let both = [(role, other), (other, role)];
                let lines = both.map(|(one, two)| format!("| {one} | {two} | {why} |"));
                if !lines.iter().any(|line| text.contains(line)) {
                    missing.extend(lines);
                }
            }
        }
    }
    missing.retain(|line| !text.contains(line.as_str()));
    assert!(missing.is_empty(), "docs/people.md lacks {missing:#?}");
}

#[test]
fn what_programs_do_about_people_stands_in_the_reference_and_so_does_what_takes_a_person() {
    use model::Role;
    let text = fs::read_to_string(root().join("docs/people.md")).expect("docs/people.md");
    let description = fs::read_to_string(root().join("crates/server/static/openapi.json"));
    let description: serde_json::Value =
        serde_json::from_str(&description.expect("openapi.json")).expect("JSON");
    let mut missing = Vec::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        let first = path.split('/').nth(1).unwrap_or_default();
        if ["me", "roles", "people", "tokens"].contains(&first) {
            for method in methods.as_object().expect("methods").keys() {
                missing.push(format!("| `{} {path}` |", method.to_uppercase()));
            }
        }
    }
    assert!(missing.len() > 8, "{missing:?}");
    let alone = Role::ALL
        .into_iter()
        .filter(|role| role.is_for_people_alone());
    let alone: Vec<String> = alone.map(|role| format!("`{}`", role.name())).collect();
    missing.push(format!("an account that holds {};", alone.join(" or ")));
    missing.retain(|line| !text.contains(line.as_str()));
    assert!(missing.is_empty(), "docs/people.md lacks {missing:#?}");
}
