//! What programs may do about people: what they were made for, nothing that a person has to do, and nothing twice.

use model::{Grant, Principal, Right, Role, Via};

use super::super::{FAILURES_MAX, Made, Once, PeopleError, TokenWish};
use super::{Stage, at, by, check, refused};

impl Stage {
    async fn program(&self, maker: &Principal, wish: TokenWish<'_>) -> Principal {
        let made = self
            .people
            .make(by(maker, at(1)), wish)
            .await
            .expect("made");
        self.known(&made).await.expect("known")
    }

    async fn known(&self, made: &Made) -> Option<Principal> {
        self.people.token(&made.token, at(2)).await.expect("read")
    }

    /// Which of the acts about `name` somebody may do: invite it, grant, lock out, let in.
    async fn may(&self, who: &Principal, role: Role, number: usize) -> Vec<bool> {
        let (people, act) = (&self.people, by(who, at(3)));
        let given = [Grant::all(role)];
        let machine = Principal::machine();
        let name = format!("p{number}");
        let mut out = vec![people.invite(act, &format!("i{number}"), &given).await];
        // What stands there in any case.
        let there = people.invite(by(&machine, at(3)), &name, &given).await;
        there.expect("the command line may");
        let other = [Grant::all(Role::StoreAdmin)];
        let acts = [
            people.grant(act, &name, &other).await,
            people.unlock(act, &name).await,
            people.end_sessions(act, &name).await,
            people.disable(act, &name).await,
        ];
        out.extend(acts.map(|done| done.map(|()| String::new())));
        out.push(people.reset(act, &name).await);
        out.into_iter().map(|done| done.is_ok()).collect()
    }
}

const fn wish<'a>(name: &'a str, grants: &'a [Grant], manages_people: bool) -> TokenWish<'a> {
    TokenWish {
        name,
        grants,
        days: 30,
        manages_people,
    }
}

#[test]
fn each_role_by_hand_or_by_program_does_about_each_other_what_the_table_says() {
    check(async |stage| {
        let machine = Principal::machine();
        stage.admin().await;
        let mut number = 0;
        for role in Role::ALL {
            let grants = [Grant::all(role)];
            let person = Principal {
                account: "someone".to_owned(),
                grants: grants.to_vec(),
                via: Via::Session,
                ..machine.clone()
            };
            let name = role.name();
            let plain = stage.program(&machine, wish(name, &grants, false)).await;
            assert_eq!(plain.via, Via::Token);
            let managing = format!("{name}.managing");
            let asked = stage
                .people
                .make(by(&machine, at(1)), wish(&managing, &grants, true));
            let managing = match asked.await {
                Ok(made) => stage.known(&made).await,
                Err(error) => {
                    assert!(matches!(error, PeopleError::NotAllowed { .. }), "{error}");
                    None
                }
            };
            let manages = role.may(Right::ManagePeople);
            assert_eq!(managing.is_some(), manages, "{role}");
            for about in Role::ALL {
                number += 1;
                let by_hand = stage.may(&person, about, number).await;
                assert_eq!(by_hand, [manages; 6], "{role} about {about}");
                number += 1;
                let by_plain = stage.may(&plain, about, number).await;
                assert_eq!(by_plain, [false; 6], "a token of {role} about {about}");
                if let Some(managing) = &managing {
                    number += 1;
                    let by_program = stage.may(managing, about, number).await;
                    // Once the command line gave it, the program takes `store_admin` for `about` no more than it gives it.
                    let expected = !about.may(Right::ManagePeople) && about != Role::Counsel;
                    assert_eq!(by_program, [expected; 6], "a managing token about {about}");
                }
            }
        }
    });
}

#[test]
fn a_managing_token_is_made_by_a_person_for_thirty_days_and_is_no_more_than_they_are() {
    check(async |stage| {
        let (people, root) = (&stage.people, stage.admin().await);
        let second = stage.invited("second", &[Role::Admin], at(0)).await;
        let rita = stage.principal(&root.session, at(1)).await.expect("in");
        let admin = [Grant::all(Role::Admin)];
        let long = TokenWish {
            days: 31,
            ..wish("hr", &admin, true)
        };
        refused(people.make(by(&rita, at(1)), long).await, "1 to 30");
        drop(stage.told());
        let hr = stage.program(&rita, wish("hr", &admin, true)).await;
        assert_eq!(stage.told(), ["token_made hr by root.one"]);
        let act = by(&hr, at(3));
        refused(people.disable(act, "root.one").await, "nobody changes");
        refused(people.disable(act, "second").await, "a person has to");
        refused(people.reset(act, "second").await, "a person has to");
        let directory = people.make_directory_token(act, "entra", 30);
        refused(directory.await, "only what you");
        people
            .invite(act, "eve", &[Grant::all(Role::Analyst)])
            .await
            .expect("invited");
        assert_eq!(stage.told(), ["invited eve by token hr"]);
        // Who was invited as one isn't invited anew as something else.
        let machine = Principal::machine();
        let waits = people.invite(by(&machine, at(3)), "waits", &admin).await;
        waits.expect("invited");
        let viewer = [Grant::all(Role::Viewer)];
        let anew = people.invite(act, "waits", &viewer);
        refused(anew.await, "a person has to");
        // What its owner may no more, it may no more.
        let owner = stage.principal(&second.session, at(4)).await.expect("in");
        people
            .grant(by(&owner, at(4)), "root.one", &[Grant::all(Role::Viewer)])
            .await
            .expect("granted");
        let made = people.tokens(&owner).await.expect("listed");
        assert!(
            made.iter()
                .any(|token| token.name == "hr" && token.manages_people)
        );
        let hr = Principal {
            grants: Vec::new(),
            ..hr
        };
        refused(people.disable(by(&hr, at(5)), "eve").await, "don't include");
    });
}

#[test]
fn a_token_that_a_token_made_is_no_more_than_it_and_ends_with_it() {
    check(async |stage| {
        let (people, machine) = (&stage.people, Principal::machine());
        stage.admin().await;
        let grants = [Grant::all(Role::Admin), Grant::all(Role::Viewer)];
        let made = people.make(by(&machine, at(1)), wish("hr", &grants, true));
        let parent = made.await.expect("made");
        let hr = stage.known(&parent).await.expect("known");
        let act = by(&hr, at(1));
        let viewer = [Grant::all(Role::Viewer)];
        for (wrong, words) in [
            (wish("x", &viewer, true), "only what you"),
            (
                wish("x", &[Grant::all(Role::Analyst)], false),
                "only what you",
            ),
            (
                TokenWish {
                    days: 31,
                    ..wish("x", &viewer, false)
                },
                "only what you",
            ),
            (
                TokenWish {
                    days: i64::MAX,
                    ..wish("x", &viewer, false)
                },
                "only what you",
            ),
            (
                TokenWish {
                    days: 0,
                    ..wish("x", &viewer, false)
                },
                "1 to 366",
            ),
        ] {
            refused(people.make(act, wrong).await, words);
        }
        let child = people
            .make(act, wish("probe", &viewer, false))
            .await
            .expect("made");
        let probe = stage.known(&child).await.expect("known");
        assert_eq!(
            (probe.via.clone(), probe.grants.as_slice()),
            (Via::Token, viewer.as_slice())
        );
        refused(
            people
                .make(by(&probe, at(2)), wish("more", &viewer, false))
                .await,
            "only what you",
        );
        // A program that manages nobody knows of itself alone, and takes back itself alone.
        let seen = people.tokens(&probe).await.expect("listed");
        assert_eq!(
            seen.iter()
                .map(|token| token.name.as_str())
                .collect::<Vec<_>>(),
            ["probe"]
        );
        refused(
            people.revoke_token(by(&probe, at(2)), "hr").await,
            "don't include",
        );
        // One of the same name later is another one: its children aren't these.
        people
            .revoke_token(by(&machine, at(2)), "hr")
            .await
            .expect("taken back");
        assert_eq!(stage.known(&parent).await, None);
        assert_eq!(stage.known(&child).await, None);
        let again = people
            .make(by(&machine, at(2)), wish("hr", &grants, true))
            .await
            .expect("made");
        assert!(stage.known(&again).await.is_some());
        assert_eq!(stage.known(&child).await, None);
        let next = people.make(by(&machine, at(2)), wish("probe", &viewer, false));
        let next = next.await.expect("the name is free");
        let probe = stage.known(&next).await.expect("known");
        people
            .revoke_token(by(&probe, at(2)), "probe")
            .await
            .expect("itself");
        assert_eq!(stage.known(&next).await, None);
    });
}

#[test]
fn a_lock_is_lifted_and_sessions_end_by_who_manages_people_and_that_is_told() {
    check(async |stage| {
        let (people, root) = (&stage.people, stage.admin().await);
        let bob = stage.invited("bob", &[Role::Analyst], at(0)).await;
        let rita = stage.principal(&root.session, at(1)).await.expect("in");
        for _ in 0..FAILURES_MAX {
            let wrong = people.log_in("bob", "a wrong river 7", "192.0.2.1", at(10));
            refused(wrong.await, "isn't right");
        }
        let locked = people
            .account(by(&rita, at(11)), "bob")
            .await
            .expect("there")
            .0;
        assert!(locked.locked_until.is_some());
        refused(stage.log_in(&bob, at(70)).await, "isn't right");
        drop(stage.told());
        people
            .unlock(by(&rita, at(80)), "bob")
            .await
            .expect("lifted");
        people
            .unlock(by(&rita, at(80)), "bob")
            .await
            .expect("twice is as once");
        assert_eq!(stage.told(), ["unlocked bob by root.one"]);
        let session = stage.log_in(&bob, at(100)).await.expect("in again");
        let (view, sessions) = people
            .account(by(&rita, at(100)), "bob")
            .await
            .expect("there");
        assert_eq!((view.locked_until, sessions.len()), (None, 2));
        drop(stage.told());
        people
            .end_sessions(by(&rita, at(101)), "bob")
            .await
            .expect("ended");
        people
            .end_sessions(by(&rita, at(101)), "bob")
            .await
            .expect("twice is as once");
        assert_eq!(stage.told(), ["logged_out_everywhere bob by root.one"]);
        assert_eq!(stage.principal(&session, at(102)).await, None);
        assert!(
            stage.log_in(&bob, at(200)).await.is_ok(),
            "nothing else is taken"
        );
    });
}

#[test]
fn what_is_asked_under_a_key_is_done_once_and_a_key_is_its_owners() {
    check(async |stage| {
        let (people, machine) = (&stage.people, Principal::machine());
        let act = by(&machine, at(1));
        let key = || Some("k".to_owned());
        let Ok(Once::New(ticket)) = people.once(act, key(), "invite bob").await else {
            panic!("it is new");
        };
        refused(people.once(act, key(), "invite bob").await, "under way");
        refused(
            people.once(act, key(), "invite eve").await,
            "something else",
        );
        let other = Principal {
            account: "other".to_owned(),
            ..machine.clone()
        };
        let theirs = people.once(by(&other, at(1)), key(), "invite eve").await;
        assert!(matches!(theirs, Ok(Once::New(_))));
        people
            .answered(ticket, "{\"name\":\"bob\"}")
            .await
            .expect("kept");
        let Ok(Once::Done(told)) = people.once(act, key(), "invite bob").await else {
            panic!("it is done");
        };
        assert_eq!(told, "{\"name\":\"bob\"}");
        // What failed may be asked again, mended.
        let Ok(Once::New(ticket)) = people.once(act, Some("m".to_owned()), "a").await else {
            panic!("it is new");
        };
        people.unanswered(ticket).await.expect("let go");
        assert!(matches!(
            people.once(act, Some("m".to_owned()), "b").await,
            Ok(Once::New(_))
        ));
        // Without a key each time is one.
        for _ in 0..2 {
            assert!(matches!(
                people.once(act, None, "a").await,
                Ok(Once::New(_))
            ));
        }
        people.sweep(at(2 + 24 * 3600)).await.expect("swept");
        assert!(matches!(
            people.once(act, key(), "invite eve").await,
            Ok(Once::New(_))
        ));
    });
}
