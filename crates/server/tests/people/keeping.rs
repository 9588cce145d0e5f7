//! Evidence that a host kept, handed over to the console: what of it is taken, who may have it, and what a start knows of it.

use axum::http::StatusCode;
use engine::containment::Containments;
use engine::ledger::Ledger;
use engine::link::{Hosts as _, ReportError};
use engine::sealed::Decided;
use model::{Grant, Role, Scope, WantedPiece};
use serde_json::Value;

use super::attaching::{Sealing, sealing};
use super::host::{HOST, PROCESSES, PROCESSES_HASH, READABLE, READABLE_HASH, Shop};
use crate::opened::NOW;

impl Shop<'_> {
    fn hand_over(
        &self,
        on: &Sealing,
        host: &str,
        run: &str,
        (hash, content): (&str, &[u8]),
    ) -> Result<(), String> {
        let piece = WantedPiece {
            run: run.to_owned(),
            hash: hash.to_owned(),
        };
        let kept = self.desk.evidence(host, piece, content.to_vec(), NOW);
        match on.stage.runtime.block_on(kept) {
            Ok(()) => Ok(()),
            Err(ReportError::Unfit { why }) => Err(why),
            Err(error) => unreachable!("{error}"),
        }
    }
}

/// Pieces of a run as the API tells them: name, and the entry that seals each.
fn pieces(run: &Value) -> Vec<(String, Option<u64>)> {
    let steps = run["steps"].as_array().expect("steps").iter();
    let all = steps.flat_map(|step| step["evidence"].as_array().into_iter().flatten());
    all.map(|piece| {
        let name = piece["name"].as_str().expect("a name").to_owned();
        (name, piece["entry"].as_u64())
    })
    .collect()
}

#[test]
fn what_a_host_kept_is_asked_for_taken_once_and_given_out_to_who_may_see_evidence() {
    let on = sealing();
    on.stage.first();
    let shop = Shop::of(&on);
    let lead = on.stage.invited("lead", Grant::all(Role::IncidentLead));
    shop.report(&[]);
    let run = on.propose(&lead).header("location").to_owned();
    let id = run.trim_start_matches("/runs/").to_owned();
    shop.work();
    let api = format!("/api/v1{run}");
    let known = pieces(&on.told(&lead, &api));
    assert!(known.len() >= 2 && known.iter().all(|(_, entry)| entry.is_none()));
    let page = on.stage.get(&lead, &run).body;
    assert!(page.contains("on the host alone"), "{page}");
    let link = format!("{run}/evidence/{PROCESSES_HASH}");
    assert_eq!(on.stage.get(&lead, &link).status, StatusCode::NOT_FOUND);

    // It was asked for when it was told of, and isn't again at once.
    let reply = shop.try_report(HOST, &[], &[]).expect("taken");
    assert_eq!(reply.wanted, Vec::new());

    // Only what is named, by whose it is, and nothing that can be read.
    let fine = (PROCESSES_HASH, PROCESSES);
    for (host, run, piece, why) in [
        ("other", id.as_str(), fine, "another host's"),
        (HOST, "none", fine, "no such run"),
        (
            HOST,
            &id,
            (PROCESSES_HASH, &PROCESSES[1..]),
            "no such piece",
        ),
        (
            HOST,
            &id,
            (PROCESSES_HASH, b"pid\tuser\n1\tboot\n"),
            "aren't those",
        ),
        (HOST, &id, (&"0".repeat(64), PROCESSES), "no such piece"),
        (HOST, &id, (READABLE_HASH, READABLE), "can be read"),
        (HOST, &id, (PROCESSES_HASH, b""), "no such piece"),
    ] {
        let refused = shop.hand_over(&on, host, run, piece).expect_err("refused");
        assert!(refused.contains(why), "{refused}, not {why}");
    }
    assert_eq!(shop.hand_over(&on, HOST, &id, fine), Ok(()));
    assert_eq!(shop.hand_over(&on, HOST, &id, fine), Ok(()), "taken before");
    let is_kept = |one: &&Decided| matches!(one, Decided::Evidence { .. });
    assert_eq!(on.sealed().iter().filter(is_kept).count(), 1);

    let known = pieces(&on.told(&lead, &api));
    for (name, entry) in &known {
        assert_eq!(entry.is_some(), name == "processes", "{known:?}");
    }
    let page = on.stage.get(&lead, &run).body;
    assert!(page.contains(&format!("href=\"{link}\"")), "{page}");
    for path in [link.clone(), format!("/api/v1{link}")] {
        let answer = on.stage.get(&lead, &path);
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.body.as_bytes(), PROCESSES);
        assert_eq!(answer.header("content-type"), "application/octet-stream");
        let disposition = answer.header("content-disposition");
        assert!(disposition.starts_with("attachment; filename=\"processes\""));
    }
    // Whoever reads it is sealed, and who may not see evidence, or not of this store, doesn't get it.
    let entry = known.iter().find_map(|(_, entry)| *entry).expect("one");
    let is_read = |one: &Decided| matches!(one, Decided::Read { read, .. } if read.by.name == "lead" && read.entries.contains(&(entry - 1)));
    assert!(on.comes(is_read));
    let sam = on.stage.invited("sam", Grant::all(Role::Viewer));
    assert_eq!(on.stage.get(&sam, &link).status, StatusCode::FORBIDDEN);
    assert!(!on.stage.get(&sam, &run).body.contains(PROCESSES_HASH));
    let scope = Scope::View("us_en".to_owned());
    let role = Role::Analyst;
    let eve = on.stage.invited("eve", Grant { role, scope });
    assert_eq!(on.stage.get(&eve, &link).status, StatusCode::NOT_FOUND);

    // A start knows it from the ledger.
    let (folder, keys) = (on.folder.join("ledger"), on.folder.join("keys"));
    let ledger = Ledger::open_read(&folder, &keys, &parse::Context::default());
    let all = Containments::of(&ledger.expect("opened")).expect("folded");
    let standing = all.all().find(|one| one.run == id).expect("the run");
    let (sequence, entries) = standing.evidence.find(PROCESSES_HASH).expect("known");
    assert_eq!((sequence.0, entries), (entry, entry - 1..entry));
}
