//! What a company's directory may do, and what it may not.

use std::collections::BTreeMap;

use ::directory::User;
use model::{Grant, Principal, Right, Role, Via};

use super::super::{DirectorySettings, PeopleError, SignIn};
use super::{Stage, at, by, check, check_with, refused};

pub(super) fn user(name: &str) -> User {
    User {
        user_name: name.to_owned(),
        external_id: "7".to_owned(),
        display_name: "Anna A".to_owned(),
        mail: "Anna.A@example.com".to_owned(),
        active: true,
        roles: None,
        groups: None,
    }
}

fn patch(body: &str) -> Vec<u8> {
    format!(r#"{{"Operations":[{body}]}}"#).into_bytes()
}

const OUT: &str = r#"{"op":"Replace","path":"active","value":"False"}"#;
const IN: &str = r#"{"op":"replace","value":{"active":true}}"#;

impl Stage {
    pub(super) async fn directory(&self) -> Principal {
        let machine = Principal::machine();
        let token = self
            .people
            .make_directory_token(by(&machine, at(0)), "entra", 30)
            .await;
        let found = self
            .people
            .directory(&token.expect("made").token, at(1))
            .await
            .expect("asked");
        found.expect("a directory")
    }
}

fn mapped(pairs: &[(&str, Role)], keep: &str) -> SignIn {
    let roles: BTreeMap<_, _> = pairs
        .iter()
        .map(|(word, role)| ((*word).to_owned(), vec![Grant::all(*role)]))
        .collect();
    let keep = [keep.to_owned()].into();
    let directory = DirectorySettings { roles, keep };
    SignIn {
        directory,
        ..SignIn::default()
    }
}

#[test]
fn a_directorys_token_does_nothing_else_and_others_are_no_directorys() {
    check(async |stage| {
        let people = &stage.people;
        let root = stage.admin().await;
        let root = stage.principal(&root.session, at(1)).await.expect("in");
        let token = people
            .make_directory_token(by(&root, at(1)), "entra", 30)
            .await
            .expect("made")
            .token;
        assert!(
            people.token(&token, at(2)).await.expect("asked").is_none(),
            "no other use"
        );
        let entra = people
            .directory(&token, at(2))
            .await
            .expect("asked")
            .expect("known");
        assert_eq!(
            (entra.via.clone(), entra.name.as_str()),
            (Via::Directory, "directory entra")
        );
        assert!(
            Right::ALL
                .into_iter()
                .all(|right| !entra.may_somewhere(right))
        );
        for other in [
            "mgw_",
            "",
            "x",
            "mgw_0000000000000000000000000000000000000000000000000000000000000000",
        ] {
            assert!(
                people
                    .directory(other, at(2))
                    .await
                    .expect("asked")
                    .is_none()
            );
        }
        assert!(
            people
                .directory(&token, at(31 * super::DAY))
                .await
                .expect("asked")
                .is_none(),
            "it ends"
        );
        // Nobody else speaks as a directory, and a directory makes no tokens.
        refused(
            people.provision(by(&root, at(2)), user("anna")).await,
            "none of this name",
        );
        refused(
            people
                .make_directory_token(by(&entra, at(2)), "more", 30)
                .await,
            "don't include",
        );
        let bob = stage.invited("bob", &[Role::Analyst], at(2)).await;
        let bob = stage.principal(&bob.session, at(3)).await.expect("in");
        refused(
            people
                .make_directory_token(by(&bob, at(3)), "mine", 30)
                .await,
            "don't include",
        );
        let plain = people
            .make_token(by(&bob, at(3)), "plain", &bob.grants, 30)
            .await
            .expect("made");
        assert!(
            people
                .directory(&plain, at(4))
                .await
                .expect("asked")
                .is_none()
        );
        people
            .revoke_token(by(&root, at(5)), "entra")
            .await
            .expect("revoked");
        assert!(
            people
                .directory(&token, at(6))
                .await
                .expect("asked")
                .is_none()
        );
    });
}

#[test]
fn who_leaves_is_out_at_once_and_comes_back_without_roles() {
    check(async |stage| {
        let people = &stage.people;
        stage.admin().await;
        let entra = stage.directory().await;
        let anna = stage.invited("anna", &[Role::Analyst], at(1)).await;
        let principal = stage.principal(&anna.session, at(2)).await.expect("in");
        let token = people
            .make_token(by(&principal, at(2)), "siem", &principal.grants, 9)
            .await
            .expect("made");
        let all = people
            .directory_users(by(&entra, at(2)))
            .await
            .expect("listed");
        let id = all
            .iter()
            .find(|one| one.user.user_name == "anna")
            .expect("there")
            .id
            .clone();
        drop(stage.told());
        let after = people
            .patch_user(by(&entra, at(3)), &id, &patch(OUT))
            .await
            .expect("changed");
        assert!(!after.user.active);
        assert_eq!(stage.told(), ["disabled anna by directory entra"]);
        assert!(
            stage.principal(&anna.session, at(3)).await.is_none(),
            "out in the same moment"
        );
        assert!(people.token(&token, at(3)).await.expect("asked").is_none());
        refused(stage.log_in(&anna, at(4)).await, "isn't right");
        people
            .patch_user(by(&entra, at(5)), &id, &patch(IN))
            .await
            .expect("changed");
        assert_eq!(
            stage.told().split_off(1),
            [
                "returned anna by directory entra",
                "granted anna by directory entra"
            ]
        );
        assert!(stage.principal(&anna.session, at(6)).await.is_none());
        // The password opens nothing: its second factor is gone.
        assert!(stage.log_in(&anna, at(60)).await.is_err());
        let machine = Principal::machine();
        let seen = people.accounts(by(&machine, at(7))).await.expect("listed");
        let anna = seen.iter().find(|one| one.name == "anna").expect("kept");
        assert_eq!((anna.state.as_str(), anna.grants.len()), ("active", 0));
    });
}

#[test]
fn whom_an_administrator_took_out_no_directory_lets_in() {
    check(async |stage| {
        let people = &stage.people;
        stage.admin().await;
        let entra = stage.directory().await;
        let made = people
            .provision(by(&entra, at(1)), user("anna"))
            .await
            .expect("made");
        let machine = Principal::machine();
        people
            .disable(by(&machine, at(2)), "anna")
            .await
            .expect("disabled");
        let after = people
            .patch_user(by(&entra, at(3)), &made.id, &patch(IN))
            .await
            .expect("said");
        assert!(!after.user.active, "said as it is");
        let again = people
            .put_user(by(&entra, at(3)), &made.id, user("anna"))
            .await
            .expect("said");
        assert!(!again.user.active);
        people
            .end_user(by(&entra, at(4)), &made.id)
            .await
            .expect("deleted");
        let again = people
            .provision(by(&entra, at(5)), user("anna"))
            .await
            .expect("said");
        assert!(!again.user.active);
    });
}

#[test]
fn a_provisioned_person_has_no_role_and_what_is_deleted_is_kept_unseen() {
    check(async |stage| {
        let people = &stage.people;
        stage.admin().await;
        let entra = stage.directory().await;
        drop(stage.told());
        let mut sent = user("Anna@Example.com");
        sent.roles = Some(["admin".to_owned(), "Administrator".to_owned()].into());
        let made = people
            .provision(by(&entra, at(1)), sent)
            .await
            .expect("made");
        assert_eq!(made.user.user_name, "anna@example.com");
        assert_eq!(
            stage.told(),
            ["provisioned anna@example.com by directory entra"]
        );
        refused(
            people
                .provision(by(&entra, at(1)), user("ANNA@example.com"))
                .await,
            "taken",
        );
        for name in ["", "anna b", "4111111111111111", "änna", "a/../b"] {
            refused(
                people.provision(by(&entra, at(1)), user(name)).await,
                "a name has",
            );
        }
        let mut other = user("bob");
        other.user_name = "anna2".to_owned();
        refused(
            people.put_user(by(&entra, at(1)), &made.id, other).await,
            "never changes",
        );
        people
            .end_user(by(&entra, at(2)), &made.id)
            .await
            .expect("deleted");
        refused(
            people.directory_user(by(&entra, at(3)), &made.id).await,
            "none of this name",
        );
        refused(
            people.end_user(by(&entra, at(3)), &made.id).await,
            "none of this name",
        );
        refused(
            people
                .patch_user(by(&entra, at(3)), &made.id, &patch(IN))
                .await,
            "none of this name",
        );
        let names = |all: Vec<super::super::Resource>| {
            all.into_iter()
                .map(|one| one.user.user_name)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(
                people
                    .directory_users(by(&entra, at(3)))
                    .await
                    .expect("listed")
            ),
            ["root.one"]
        );
        let machine = Principal::machine();
        let kept = people.accounts(by(&machine, at(3))).await.expect("listed");
        assert!(
            kept.iter()
                .any(|one| one.name == "anna@example.com" && one.state == "disabled")
        );
        let back = people
            .provision(by(&entra, at(4)), user("anna@example.com"))
            .await
            .expect("back");
        assert_eq!((back.id, back.user.active), (made.id, true));
        // What looks like a card number isn't kept; who leaves, leaves all the same.
        let body = r#"{"op":"replace","path":"externalId","value":"4111111111111111"}"#;
        let id = people
            .directory_users(by(&entra, at(5)))
            .await
            .expect("listed")[0]
            .id
            .clone();
        refused(
            people
                .patch_user(by(&entra, at(5)), &id, &patch(body))
                .await,
            "card number",
        );
        let left = people
            .patch_user(by(&entra, at(5)), &id, &patch(&format!("{body},{OUT}")))
            .await
            .expect("out");
        assert_eq!(
            (left.user.active, left.user.external_id.as_str()),
            (false, "7")
        );
    });
}

#[test]
fn the_last_administrator_and_who_is_kept_stay() {
    check_with(mapped(&[], "emergency"), async |stage| {
        let people = &stage.people;
        stage.admin().await;
        let entra = stage.directory().await;
        let all = people
            .directory_users(by(&entra, at(1)))
            .await
            .expect("listed");
        let root = all[0].id.clone();
        refused(
            people.end_user(by(&entra, at(1)), &root).await,
            "last administrator",
        );
        refused(
            people
                .patch_user(by(&entra, at(1)), &root, &patch(OUT))
                .await,
            "last administrator",
        );
        stage.invited("emergency", &[Role::Admin], at(2)).await;
        let all = people
            .directory_users(by(&entra, at(2)))
            .await
            .expect("listed");
        let kept = all
            .iter()
            .find(|one| one.user.user_name == "emergency")
            .expect("there")
            .id
            .clone();
        refused(
            people.end_user(by(&entra, at(3)), &kept).await,
            "kept from the directory",
        );
        refused(
            people
                .patch_user(by(&entra, at(3)), &kept, &patch(OUT))
                .await,
            "kept from the directory",
        );
        // With another left, the first one may go; two at once never both.
        let (act, third) = (
            by(&entra, at(4)),
            stage.invited("third", &[Role::Admin], at(4)).await,
        );
        let all = people.directory_users(act).await.expect("listed");
        let third = all
            .iter()
            .find(|one| one.user.user_name == third.name)
            .expect("there")
            .id
            .clone();
        let both = tokio::join!(people.end_user(act, &root), people.end_user(act, &third));
        assert!(both.0.is_ok() && both.1.is_ok(), "one is kept");
        let machine = Principal::machine();
        refused(
            people.disable(by(&machine, at(5)), "emergency").await,
            "last administrator",
        );
    });
    check(async |stage| {
        let people = &stage.people;
        stage.admin().await;
        stage.invited("second", &[Role::Admin], at(1)).await;
        let entra = stage.directory().await;
        let act = by(&entra, at(2));
        let all = people.directory_users(act).await.expect("listed");
        let both = tokio::join!(
            people.end_user(act, &all[0].id),
            people.end_user(act, &all[1].id)
        );
        let done = [both.0, both.1];
        assert_eq!(
            done.iter().filter(|one| one.is_ok()).count(),
            1,
            "one of two at once"
        );
        assert!(
            done.iter()
                .any(|one| matches!(one, Err(PeopleError::LastAdmin)))
        );
    });
}

#[test]
fn roles_come_from_words_that_are_mapped_and_no_others() {
    let pairs = [
        ("fraud", Role::Analyst),
        ("boss", Role::IncidentLead),
        ("root", Role::Admin),
    ];
    check_with(mapped(&pairs, ""), async |stage| {
        let people = &stage.people;
        stage.admin().await;
        let entra = stage.directory().await;
        let roles = async |name: &str| {
            let machine = Principal::machine();
            let all = people.accounts(by(&machine, at(9))).await.expect("listed");
            let one = all.into_iter().find(|one| one.name == name).expect("there");
            one.grants
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("+")
        };
        let mut sent = user("anna");
        sent.roles = Some(["fraud".to_owned(), "admin".to_owned()].into());
        let made = people
            .provision(by(&entra, at(1)), sent)
            .await
            .expect("made");
        assert_eq!(roles("anna").await, "analyst");
        let add = |word: &str| {
            patch(&format!(
                r#"{{"op":"add","path":"groups","value":[{{"value":"{word}"}}]}}"#
            ))
        };
        people
            .patch_user(by(&entra, at(2)), &made.id, &add("boss"))
            .await
            .expect("changed");
        assert_eq!(roles("anna").await, "analyst+incident lead");
        // What may not be one person isn't.
        refused(
            people
                .patch_user(by(&entra, at(3)), &made.id, &add("root"))
                .await,
            "may not be one person",
        );
        assert_eq!(roles("anna").await, "analyst+incident lead");
        // What says nothing of roles leaves them.
        people
            .put_user(by(&entra, at(4)), &made.id, user("anna"))
            .await
            .expect("changed");
        assert_eq!(roles("anna").await, "analyst+incident lead");
        let none = patch(r#"{"op":"remove","path":"roles"}"#);
        people
            .patch_user(by(&entra, at(5)), &made.id, &none)
            .await
            .expect("changed");
        assert_eq!(roles("anna").await, "");
    });
}
