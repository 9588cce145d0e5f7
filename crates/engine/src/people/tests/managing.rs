//! What people do about accounts: others', and their own.

use std::sync::PoisonError;

use model::{Grant, Principal, Right, Role, Scope, Via};

use super::{DAY, PASSWORD, Person, at, by, check, decoded, refused};
use crate::people::{BREAK_GLASS_SECONDS, PasswordFault, Step, hex, totp};

#[test]
fn people_are_managed_by_who_may_and_nobody_by_themselves() {
    check(async |stage| {
        let (people, root) = (&stage.people, stage.admin().await);
        let rita = stage.principal(&root.session, at(0)).await.expect("in");
        let act = by(&rita, at(1));
        let analyst = [Grant::all(Role::Analyst)];
        let link = people.invite(act, "Bob", &analyst).await.expect("invited");
        // Again, with another role: the link before ends.
        let both = [
            Grant::all(Role::Approver),
            Grant::all(Role::Analyst),
            Grant::all(Role::Analyst),
        ];
        let again = people
            .invite(act, "bob", &both)
            .await
            .expect("invited again");
        refused(people.welcome(&link, at(1)).await, "used before");
        let bob = stage.join(&again, "bob", at(1)).await;
        refused(people.invite(act, "BOB", &analyst).await, "taken");
        let forbidden = [Grant::all(Role::Admin), Grant::all(Role::Approver)];
        refused(
            people.invite(act, "eve", &forbidden).await,
            "may not be one person",
        );
        refused(
            people.grant(act, "bob", &forbidden).await,
            "may not be one person",
        );
        refused(
            people.grant(act, "root.one", &analyst).await,
            "nobody changes",
        );
        refused(people.disable(act, "Root.One").await, "nobody changes");
        refused(people.reset(act, "root.one").await, "nobody changes");
        refused(people.disable(act, "nobody").await, "none of this name");
        let machine = Principal::machine();
        refused(
            people.disable(by(&machine, at(1)), "root.one").await,
            "last administrator",
        );
        refused(
            people
                .grant(by(&machine, at(1)), "root.one", &analyst)
                .await,
            "last administrator",
        );
        let bobs = stage.principal(&bob.session, at(2)).await.expect("in");
        assert!(bobs.may_all(Right::Approve));
        let own = by(&bobs, at(2));
        refused(people.invite(own, "eve", &analyst).await, "manage people");
        refused(
            people.grant(own, "root.one", &analyst).await,
            "manage people",
        );
        refused(people.disable(own, "root.one").await, "manage people");
        refused(people.reset(own, "root.one").await, "manage people");
        refused(people.accounts(own).await, "see accounts");
        stage.told();
        people.grant(act, "bob", &analyst).await.expect("granted");
        people
            .grant(act, "bob", &analyst)
            .await
            .expect("nothing to change");
        let bobs = stage
            .principal(&bob.session, at(3))
            .await
            .expect("still in");
        assert!(!bobs.may_all(Right::Approve), "at once");
        people.disable(act, "bob").await.expect("disabled");
        assert!(
            stage.principal(&bob.session, at(3)).await.is_none(),
            "out at once"
        );
        refused(stage.log_in(&bob, at(40)).await, "isn't right");
        assert_eq!(
            stage.told(),
            [
                "granted bob by root.one",
                "disabled bob by root.one",
                "log_in_failed bob by bob"
            ]
        );
        let link = people
            .reset(by(&rita, at(50)), "bob")
            .await
            .expect("let back in");
        let reused = people.choose(&link, "", "Bob", PASSWORD, at(50)).await;
        refused(reused, "last four");
        people
            .choose(&link, "ignored", "Bob", "another river 8", at(50))
            .await
            .expect("chosen");
        assert_eq!(
            people.welcome(&link, at(50)).await.expect("there").name,
            "bob"
        );
        let all = people.accounts(by(&rita, at(50))).await.expect("read");
        let states: Vec<_> = all
            .iter()
            .map(|one| (one.name.as_str(), one.state.as_str()))
            .collect();
        assert_eq!(states, [("bob", "invited"), ("root.one", "active")]);
    });
}

#[test]
fn a_password_changes_with_the_present_one_and_the_last_four_dont_come_back() {
    check(async |stage| {
        let (people, root) = (&stage.people, stage.admin().await);
        let other = stage.log_in(&root, at(60)).await.expect("in");
        let rita = stage.principal(&root.session, at(60)).await.expect("in");
        let act = by(&rita, at(60));
        let change = async |present: &str, new: &str| {
            people
                .change_password(act, &root.session, present, new)
                .await
        };
        refused(
            change("wrong river 1", "another river 8").await,
            "isn't right",
        );
        refused(
            change(PASSWORD, "my name is root.one 1").await,
            "account's name",
        );
        let all: Vec<String> = (0..5)
            .map(|number| format!("river number {number}"))
            .collect();
        let mut present = PASSWORD.to_owned();
        for new in &all {
            change(&present, new).await.expect("changed");
            present.clone_from(new);
        }
        assert!(
            stage.principal(&other, at(60)).await.is_none(),
            "other sessions end"
        );
        assert!(stage.principal(&root.session, at(60)).await.is_some());
        for earlier in &all[1..] {
            let fault = PasswordFault::Reused.to_string();
            refused(change(&present, earlier).await, &fault);
        }
        change(&present, &all[0])
            .await
            .expect("the fifth may come back");
    });
}

#[test]
fn a_factor_changes_with_both_and_the_old_one_holds_until_then() {
    check(async |stage| {
        let (people, root) = (&stage.people, stage.admin().await);
        let rita = stage.principal(&root.session, at(0)).await.expect("in");
        let code = totp::code_at(&root.secret, at(60));
        let act = by(&rita, at(60));
        refused(
            people.change_factor(act, "wrong river 1", &code).await,
            "isn't right",
        );
        refused(
            people.change_factor(act, PASSWORD, "000000").await,
            "the code",
        );
        let link = people
            .change_factor(act, PASSWORD, &code)
            .await
            .expect("begun");
        stage
            .log_in(&root, at(90))
            .await
            .expect("the old one holds");
        let welcome = people.welcome(&link, at(90)).await.expect("there");
        let Step::Factor { secret, .. } = welcome.step else {
            panic!("the password is there already");
        };
        let secret = decoded(&secret);
        stage.told();
        let code = totp::code_at(&secret, at(90));
        people
            .join(&link, &code, "192.0.2.1", at(90))
            .await
            .expect("changed");
        assert_eq!(stage.told(), ["factor_changed root.one by root.one"]);
        assert!(stage.principal(&root.session, at(90)).await.is_none());
        refused(stage.log_in(&root, at(120)).await, "the code");
        let renewed = Person { secret, ..root };
        stage
            .log_in(&renewed, at(120))
            .await
            .expect("the new one, with the same password");
    });
}

#[test]
fn a_token_may_what_its_owner_may_and_ends() {
    check(async |stage| {
        let (people, root) = (&stage.people, stage.admin().await);
        let bob = stage.invited("bob", &[Role::Analyst], at(0)).await;
        let bobs = stage.principal(&bob.session, at(1)).await.expect("in");
        let act = by(&bobs, at(1));
        let scope = Scope::Website("us".to_owned());
        let narrow = [Grant {
            role: Role::Analyst,
            scope: scope.clone(),
        }];
        let token = people
            .make_token(act, "siem", &narrow, 30)
            .await
            .expect("made");
        assert!(token.starts_with("mgw_") && token.len() == 68);
        refused(people.make_token(act, "siem", &narrow, 30).await, "taken");
        refused(
            people
                .make_token(act, "other", &[Grant::all(Role::Approver)], 30)
                .await,
            "only what you",
        );
        for days in [0, 367] {
            refused(
                people.make_token(act, "other", &narrow, days).await,
                "1 to 366",
            );
        }
        let program = people
            .token(&token, at(2))
            .await
            .expect("read")
            .expect("known");
        assert_eq!(
            (program.via.clone(), program.name.as_str()),
            (Via::Token, "token siem")
        );
        assert!(program.may(Right::Work, &[scope], &model::StoreMap::default()));
        assert!(!program.may_all(Right::Work));
        refused(
            people
                .make_token(by(&program, at(2)), "more", &narrow, 30)
                .await,
            "only what you",
        );
        for wrong in ["", "mgw_", token.split_at(67).0, token.split_at(4).1] {
            assert_eq!(people.token(wrong, at(2)).await.expect("read"), None);
        }
        assert_eq!(
            people.token(&token, at(1 + 30 * DAY)).await.expect("read"),
            None,
            "it ended"
        );
        let rita = stage.principal(&root.session, at(2)).await.expect("in");
        people
            .grant(by(&rita, at(2)), "bob", &[Grant::all(Role::Viewer)])
            .await
            .expect("granted");
        let program = people
            .token(&token, at(2))
            .await
            .expect("read")
            .expect("known");
        assert_eq!(program.grants, [], "what its owner may no more");
        let machine = Principal::machine();
        let viewer = [Grant::all(Role::Viewer)];
        let alone = people.make_token(by(&machine, at(2)), "probe", &viewer, 1);
        let alone = alone.await.expect("made");
        assert!(people.token(&alone, at(3)).await.expect("read").is_some());
        refused(
            people.revoke_token(by(&bobs, at(3)), "probe").await,
            "manage people",
        );
        people
            .disable(by(&rita, at(3)), "bob")
            .await
            .expect("disabled");
        assert_eq!(people.token(&token, at(3)).await.expect("read"), None);
        people
            .revoke_token(by(&rita, at(3)), "probe")
            .await
            .expect("taken back");
        assert_eq!(people.token(&alone, at(3)).await.expect("read"), None);
    });
}

#[test]
fn glass_is_broken_with_a_reason_for_an_hour_in_one_session() {
    check(async |stage| {
        let people = &stage.people;
        let root = stage.admin().await;
        let bob = stage.invited("bob", &[Role::Analyst], at(0)).await;
        let bobs = stage.principal(&bob.session, at(1)).await.expect("in");
        let lead = || Grant::all(Role::IncidentLead);
        let why = "nobody who leads answers the phone";
        let now = at(60);
        let code = totp::code_at(&bob.secret, now);
        let act = by(&bobs, now);
        let breaks = async |grant, reason: &str, code: &str| {
            people
                .break_glass(act, &bob.session, grant, reason, code)
                .await
        };
        refused(breaks(lead(), "because", &code).await, "write why");
        refused(breaks(lead(), why, "000000").await, "the code");
        refused(
            breaks(Grant::all(Role::Auditor), why, &code).await,
            "may not be one person",
        );
        refused(
            breaks(Grant::all(Role::Counsel), why, &code).await,
            "privileged",
        );
        breaks(lead(), why, &code).await.expect("broken");
        let told = stage.told();
        assert_eq!(told.last().expect("told"), "glass_broken bob by bob");
        // It is used, so it doesn't end by idleness.
        for minute in 0..4 {
            let now = now.plus_seconds(minute * 800);
            let until = at(60 + BREAK_GLASS_SECONDS);
            let raised = stage.principal(&bob.session, now).await.expect("in");
            assert!(raised.may_all(Right::Decide) && raised.via == Via::BreakGlass { until });
            let beyond = people.make_token(by(&raised, now), "t", &[lead()], 1).await;
            refused(beyond, "only what you");
        }
        stage
            .principal(&bob.session, at(60 + 3200))
            .await
            .expect("in");
        let after = stage
            .principal(&bob.session, at(60 + BREAK_GLASS_SECONDS))
            .await
            .expect("in");
        assert!(!after.may_all(Right::Decide) && after.via == Via::Session);
        let rita = stage.log_in(&root, at(4000)).await.expect("in");
        let rita = stage.principal(&rita, at(4000)).await.expect("in");
        let code = totp::code_at(&root.secret, at(4030));
        let refused_to = people
            .break_glass(by(&rita, at(4030)), &root.session, lead(), why, &code)
            .await;
        refused(refused_to, "may not be one person");
    });
}

#[test]
fn accounts_nobody_used_for_ninety_days_are_disabled() {
    check(async |stage| {
        let (people, root) = (&stage.people, stage.admin().await);
        let bob = stage.invited("bob", &[Role::Viewer], at(0)).await;
        stage.log_in(&root, at(80 * DAY)).await.expect("in");
        people.sweep(at(90 * DAY)).await.expect("swept");
        stage.told();
        people.sweep(at(90 * DAY + 1)).await.expect("swept");
        assert_eq!(stage.told(), ["disabled_unused bob by bob"]);
        refused(stage.log_in(&bob, at(90 * DAY + 2)).await, "isn't right");
        // Without the hourly look, too.
        refused(stage.log_in(&root, at(171 * DAY)).await, "isn't right");
        assert_eq!(
            stage.told(),
            [
                "log_in_failed bob by bob",
                "disabled_unused root.one by root.one"
            ]
        );
    });
}

#[test]
fn no_event_and_no_row_holds_a_secret() {
    // A word no digest happens to hold: four digits alone stand in one of a thousand of them.
    const WORD: &str = "xylophone";
    const TYPED: &str = "My password xylophone 4711";
    check(async |stage| {
        let (people, root) = (&stage.people, stage.admin().await);
        people
            .log_in(TYPED, "x", "", at(1))
            .await
            .expect_err("refused");
        people
            .log_in("root.one", TYPED, "", at(1))
            .await
            .expect_err("refused");
        let rita = stage.principal(&root.session, at(1)).await.expect("in");
        let grants = [Grant::all(Role::Analyst)];
        let token = people
            .make_token(by(&rita, at(1)), "t", &grants, 1)
            .await
            .expect("made");
        let link = people
            .invite(by(&rita, at(1)), "bob", &grants)
            .await
            .expect("invited");
        let mut written = {
            let events = stage.events.lock().unwrap_or_else(PoisonError::into_inner);
            serde_json::to_string(&*events).expect("written")
        };
        assert!(written.contains("log_in_failed") && written.contains(r#""from":"192.0.2.9""#));
        written.push_str(&format!(
            "{:?}",
            people.store().tokens().await.expect("read")
        ));
        written.push_str(&format!(
            "{:?}",
            people
                .store()
                .sessions_of(&rita.account)
                .await
                .expect("read")
        ));
        for kind in ["password", "totp"] {
            let row = people
                .store()
                .identity(kind, &rita.account)
                .await
                .expect("read");
            written.push_str(&format!("{:?}", row.expect("there")));
        }
        let factor = hex(&root.secret);
        for secret in [
            PASSWORD,
            WORD,
            &token,
            token.split_at(4).1,
            &link,
            &root.session,
            &factor,
        ] {
            assert!(!written.contains(secret), "{secret} is in {written}");
        }
    });
}
