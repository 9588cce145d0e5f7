//! The block at a CDN keeps the contract at stand-ins of the services' APIs, and takes nothing of anybody else's away.

use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use model::Arguments;
use responders::contract::{Seen, Trial, check_at};
use responders::{Action, ActionError, EdgeService, EdgeSettings, Effect, Host, action, memory};

use crate::arguments;
use crate::cdn::{Cdn, Fault, How, ID, TOKEN};

const NETWORK: &str = "192.0.2.0/24";
const BOTH: [EdgeService; 2] = [EdgeService::Fastly, EdgeService::Cloudflare];

fn host(cdn: &Cdn, service: EdgeService, folder: &Path) -> Result<Host, ActionError> {
    let mut host = memory::host(folder)?;
    let token = folder.join("token");
    std::fs::write(&token, format!("{TOKEN}\n")).expect("written");
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&token, mode).expect("rights");
    host.settings.edge = Some(EdgeSettings {
        service,
        id: ID.to_owned(),
        token_file: token,
        api: Some(format!("http://{}", cdn.at)),
        ca_file: None,
        never: vec!["203.0.113.0/28".to_owned()],
        limit: Some(Duration::from_millis(700)),
    });
    Ok(host)
}

/// What visitors meet.
fn seen(cdn: &Cdn) -> Seen {
    let state = cdn.state();
    let snippets = format!("{:?}", state.active().snippets);
    let rules = state.rules.clone().unwrap_or_default();
    [
        ("snippets".to_owned(), snippets),
        ("rules".to_owned(), format!("{rules:?}")),
    ]
    .into()
}

fn one() -> &'static dyn Action {
    action("block_network_edge").expect("an action")
}

fn given(network: &str) -> Arguments {
    arguments(one(), &[network])
}

/// What the contract says of it at such a service; none when it keeps it.
fn said(service: EdgeService, network: &str, fault: Option<Fault>, rules: bool) -> Option<String> {
    let cdn = Cdn::start();
    cdn.state().fault = fault;
    let folder = tempfile::tempdir().expect("a folder");
    let make = |folder: &Path| {
        cdn.anew();
        if !rules {
            cdn.state().rules = None;
        }
        host(&cdn, service, folder)
    };
    let trial = Trial {
        folder: folder.path(),
        make: &make,
        see: &|| Ok(seen(&cdn)),
        stays: &[],
    };
    let tried = AssertUnwindSafe(|| check_at(one(), &trial, &given(network)));
    let panic = catch_unwind(tried).err()?;
    let words = panic.downcast_ref::<String>();
    Some(words.expect("an assertion with words").clone())
}

#[test]
fn a_block_at_a_service_keeps_the_contract() {
    for network in [NETWORK, "192.0.2.7", "2001:db8::/32"] {
        for service in BOTH {
            assert_eq!(
                said(service, network, None, true),
                None,
                "{service:?} {network}"
            );
        }
    }
    assert_eq!(said(EdgeService::Cloudflare, NETWORK, None, false), None);
}

#[test]
fn a_service_that_does_not_do_what_it_says_is_caught() {
    #[track_caller]
    fn check(service: EdgeService, at: &'static str, how: How, expected: &str) {
        let said = said(service, NETWORK, Some(Fault { at, how }), true);
        let said = said.expect("it is caught");
        assert!(said.contains(expected), "{said}");
    }
    let (fastly, cloudflare) = (EdgeService::Fastly, EdgeService::Cloudflare);
    check(
        cloudflare,
        "DELETE ",
        How::Lies,
        "undo: the service before the shop can't show that it was done",
    );
    check(
        cloudflare,
        "POST ",
        How::Lies,
        "can't show that it was done",
    );
    check(
        cloudflare,
        "POST ",
        How::Bends,
        "can't show that it was done",
    );
    check(fastly, "/activate", How::Lies, "is active, not");
    check(fastly, "POST ", How::Bends, "was changed by somebody else");
    let invalid = How::Answers(200, r#"{"status": "error", "msg": "syntax"}"#);
    check(fastly, "/validate", invalid, "isn't valid");
}

#[test]
fn the_first_rule_is_ours_and_the_version_before_is_active_again() {
    let (cdn, folder) = (Cdn::start(), tempfile::tempdir().expect("a folder"));
    let fastly = host(&cdn, EdgeService::Fastly, folder.path()).expect("a host");
    let kept = one().survey(&fastly, &given(NETWORK)).expect("survey").kept;
    one().act(&fastly, &given(NETWORK), &kept).expect("act");
    let active = cdn.state().active().clone();
    assert_eq!((active.number, active.snippets.len()), (13, 3));
    one().undo(&fastly, &given(NETWORK), &kept).expect("undo");
    assert_eq!(cdn.state().active().number, 11);
    let cloudflare = host(&cdn, EdgeService::Cloudflare, folder.path()).expect("a host");
    one().act(&cloudflare, &given(NETWORK), &kept).expect("act");
    let rules = cdn.state().rules.clone().expect("rules");
    assert_eq!(rules.len(), 2);
    assert_eq!(rules[0]["expression"], format!("(ip.src in {{{NETWORK}}})"));
    assert_eq!(rules[0]["action"], "block");
}

#[test]
fn what_somebody_else_made_active_stays() {
    let (cdn, folder) = (Cdn::start(), tempfile::tempdir().expect("a folder"));
    let host = host(&cdn, EdgeService::Fastly, folder.path()).expect("a host");
    let kept = one().survey(&host, &given(NETWORK)).expect("survey").kept;
    let names = || {
        let state = cdn.state();
        let names = state
            .active()
            .snippets
            .iter()
            .map(|one| one["name"].to_string());
        names.collect::<Vec<_>>()
    };
    // While a version is being made: it isn't made active, and theirs is.
    let at = "GET /service/SU1Z0isxPaozGVKXdv0eY/version/13/validate";
    cdn.state().fault = Some(Fault {
        at,
        how: How::Meanwhile,
    });
    let told = one()
        .act(&host, &given(NETWORK), &kept)
        .expect_err("refused");
    assert!(
        told.to_string().contains("version 14 active meanwhile"),
        "{told}"
    );
    assert_eq!(names(), [r#""shop""#, r#""theirs""#]);
    // On top of theirs it is made at the next try, and another network's on top of that.
    one().act(&host, &given(NETWORK), &kept).expect("act");
    let other = given("198.18.0.0/15");
    let kept_other = one().survey(&host, &other).expect("survey").kept;
    one().act(&host, &other, &kept_other).expect("act");
    assert_eq!(names().len(), 6);
    // A copy of our version, with something of theirs: our part alone goes, whichever goes first.
    cdn.state().somebody_else();
    one().undo(&host, &given(NETWORK), &kept).expect("undo");
    let told = one().read_back(&host, &other, &kept_other).expect("told");
    assert_eq!((told, names().len()), (Effect::InEffect, 5));
    one().undo(&host, &other, &kept_other).expect("undo");
    assert_eq!(names(), [r#""shop""#, r#""theirs""#, r#""theirs""#]);
}

#[test]
fn what_was_blocked_before_stays_and_what_was_changed_is_left_alone() {
    for service in BOTH {
        let (cdn, folder) = (Cdn::start(), tempfile::tempdir().expect("a folder"));
        let host = host(&cdn, service, folder.path()).expect("a host");
        let kept = one().survey(&host, &given(NETWORK)).expect("survey").kept;
        one().act(&host, &given(NETWORK), &kept).expect("act");
        let again = one().survey(&host, &given(NETWORK)).expect("survey");
        assert_eq!(again.changes[0].now, "refused already");
        one().act(&host, &given(NETWORK), &again.kept).expect("act");
        one()
            .undo(&host, &given(NETWORK), &again.kept)
            .expect("undo");
        let told = one()
            .read_back(&host, &given(NETWORK), &kept)
            .expect("told");
        assert_eq!(told, Effect::InEffect);
        {
            let mut state = cdn.state();
            let rules = state.rules.as_mut().expect("rules");
            if service == EdgeService::Cloudflare {
                rules[0]["enabled"] = false.into();
            }
            let active = state.versions.iter_mut().find(|version| version.active);
            active.expect("one").snippets.pop();
        }
        let before = seen(&cdn);
        let told = one()
            .read_back(&host, &given(NETWORK), &kept)
            .expect("told");
        assert!(matches!(told, Effect::Partly(_)), "{told:?}");
        for done in [
            one().undo(&host, &given(NETWORK), &kept),
            one().act(&host, &given(NETWORK), &kept),
            one().survey(&host, &given(NETWORK)).map(drop),
        ] {
            assert!(
                done.expect_err("refused")
                    .to_string()
                    .contains("somebody else")
            );
        }
        assert_eq!(seen(&cdn), before);
    }
}

#[test]
fn what_a_service_answers_instead_is_told_and_nothing_changes() {
    let cases = [
        (
            How::Answers(401, r#"{"msg": "no\u001b[31m"}"#),
            "the token isn't taken, or may not do this (401)",
        ),
        (How::Answers(403, "{}"), "(403)"),
        (How::Answers(404, "{}"), "404"),
        (
            How::Answers(409, r#"{"errors": [{"message": "conflict"}]}"#),
            "something else is being changed there (409) conflict",
        ),
        (How::Answers(429, "slow down"), "asked too often"),
        (How::Answers(500, "<html>"), "it fails itself (500)"),
        (How::Answers(503, ""), "(503)"),
        (How::Answers(302, ""), "it refuses (302)"),
        (How::Answers(200, "<html>"), "no JSON"),
        (How::Answers(200, "{}"), ""),
        (
            How::Answers(
                200,
                r#"{"success": true, "result": {"id": "../../x", "rules": []}}"#,
            ),
            "",
        ),
        (
            How::Answers(200, "[1, {\"active\": true, \"number\": \"x\"}]"),
            "",
        ),
        (How::Huge, ""),
        (How::Hangs, "timeout"),
    ];
    let (cdn, folder) = (Cdn::start(), tempfile::tempdir().expect("a folder"));
    for service in BOTH {
        let host = host(&cdn, service, folder.path()).expect("a host");
        let kept = one().survey(&host, &given(NETWORK)).expect("survey").kept;
        let before = seen(&cdn);
        for at in ["GET ", "POST "] {
            for (how, words) in &cases {
                cdn.state().fault = Some(Fault {
                    at,
                    how: how.clone(),
                });
                let begun = Instant::now();
                let told = one().act(&host, &given(NETWORK), &kept);
                let is_late = begun.elapsed() > Duration::from_secs(5);
                cdn.state().fault = None;
                let Err(told) = told else {
                    // What was done although its answer is of no use is found when it is asked for.
                    let is = one()
                        .read_back(&host, &given(NETWORK), &kept)
                        .expect("told");
                    assert_eq!(is, Effect::InEffect);
                    cdn.anew();
                    continue;
                };
                let said = told.to_string();
                assert!(
                    said.contains(words) && !is_late && !told.next().is_empty(),
                    "{service:?} {at} {said}"
                );
                assert!(!said.contains('\u{1b}') && !said.contains(TOKEN), "{said}");
                if matches!(how, How::Hangs) {
                    // Whatever came of it: it can be taken back.
                    one().undo(&host, &given(NETWORK), &kept).expect("undo");
                }
                assert_eq!(seen(&cdn), before, "{service:?} {at} {said}");
                cdn.anew();
            }
        }
    }
}

#[test]
fn a_token_is_given_to_nobody_whose_certificate_no_authority_signed() {
    let (cdn, pem) = Cdn::start_with_tls();
    let folder = tempfile::tempdir().expect("a folder");
    for service in BOTH {
        let mut host = host(&cdn, service, folder.path()).expect("a host");
        let settings = host.settings.edge.as_mut().expect("settings");
        settings.api = Some(format!("https://127.0.0.1:{}", cdn.at.port()));
        let told = one().survey(&host, &given(NETWORK)).expect_err("refused");
        assert!(told.to_string().contains("certificate"), "{told}");
        assert_eq!(cdn.state().calls.len(), 0);
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, &pem).expect("written");
        let settings = host.settings.edge.as_mut().expect("settings");
        settings.ca_file = Some(ca);
        let survey = one().survey(&host, &given(NETWORK)).expect("a survey");
        assert_eq!(survey.changes[0].then, "403");
        cdn.anew();
    }
}

#[test]
fn what_is_not_set_up_or_the_shop_s_own_is_refused() {
    let (cdn, folder) = (Cdn::start(), tempfile::tempdir().expect("a folder"));
    #[track_caller]
    fn refused(host: &Host, network: &str, words: &str) {
        let told = one()
            .survey(host, &given(network))
            .expect_err("it is refused");
        assert!(told.to_string().contains(words), "{told}");
    }
    let with = |change: &dyn Fn(&mut EdgeSettings)| {
        let mut host = host(&cdn, EdgeService::Fastly, folder.path()).expect("a host");
        change(host.settings.edge.as_mut().expect("settings"));
        host
    };
    let host = with(&|_| {});
    refused(&host, "203.0.113.9", "a proxy");
    refused(&host, "198.51.100.0/30", "a proxy");
    refused(
        &with(&|edge| edge.id = "../7".to_owned()),
        NETWORK,
        "letters and digits",
    );
    refused(
        &with(&|edge| edge.id = "another".to_owned()),
        NETWORK,
        "no such service",
    );
    let api = |text: &'static str| with(&|edge| edge.api = Some(text.to_owned()));
    refused(&api("http://api.fastly.test"), NETWORK, "https");
    let wrong = with(&|edge| std::fs::write(&edge.token_file, "other").expect("written"));
    refused(&wrong, NETWORK, "(401)");
    let empty = with(&|edge| std::fs::write(&edge.token_file, "\n").expect("written"));
    refused(&empty, NETWORK, "holds no token");
    let open = with(&|edge| {
        let mode = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(&edge.token_file, mode).expect("rights");
    });
    refused(&open, NETWORK, "0600");
    let mut none = memory::host(folder.path()).expect("a host");
    none.settings.edge = None;
    refused(&none, NETWORK, "no part [edge]");
    // Nothing was changed by any of these.
    assert!(
        cdn.state()
            .calls
            .iter()
            .all(|call| call.starts_with("GET "))
    );
}
