//! The contract of the tables of people: what two requests may do at once is done once.

mod others;

use stores::{
    AccountRow, AskedRow, Database, IdentityRow, InvitationRow, Joining, PeopleStore, SessionRow,
    TokenRow, ViewRow,
};

use super::{everywhere, wait};

/// Runs a claim on empty tables of each kind.
fn check(claim: &impl AsyncFn(&PeopleStore)) {
    everywhere(|place| {
        let database = Database::open(place).expect("opened");
        wait(async {
            claim(&PeopleStore::new(database.pool().clone())).await;
            database.pool().close().await;
        });
    });
}

fn account(id: &str, name: &str) -> AccountRow {
    AccountRow {
        id: id.to_owned(),
        name: name.to_owned(),
        shown: "Anna Ä".to_owned(),
        state: "active".to_owned(),
        grants: "[]".to_owned(),
        created: 5,
        last_seen: 5,
        ..AccountRow::default()
    }
}

fn identity(kind: &str, account: &str, secret: &str) -> IdentityRow {
    IdentityRow {
        kind: kind.to_owned(),
        subject: account.to_owned(),
        account: account.to_owned(),
        secret: secret.to_owned(),
        previous: "[]".to_owned(),
        used: -1,
        changed: 7,
    }
}

fn session(hash: &str, account: &str) -> SessionRow {
    SessionRow {
        hash: hash.to_owned(),
        account: account.to_owned(),
        factors: "password totp".to_owned(),
        csrf: "c".to_owned(),
        created: 10,
        seen: 10,
        raised: String::new(),
        raised_until: 0,
    }
}

fn token(name: &str, account: &str) -> TokenRow {
    TokenRow {
        hash: format!("hash of {name}"),
        name: name.to_owned(),
        account: account.to_owned(),
        grants: "[]".to_owned(),
        created: 1,
        expires: 100,
        last_used: 0,
        purpose: String::new(),
        parent: String::new(),
    }
}

fn invitation(hash: &str, account: &str) -> InvitationRow {
    InvitationRow {
        hash: hash.to_owned(),
        account: account.to_owned(),
        grants: "[1]".to_owned(),
        created: 1,
        expires: 100,
        ..InvitationRow::default()
    }
}

fn joining(invitation: &str, account: AccountRow) -> Joining {
    Joining {
        invitation: invitation.to_owned(),
        password: Some(identity("password", &account.id, "p")),
        factor: identity("totp", &account.id, "t"),
        session: session(&format!("session by {invitation}"), &account.id),
        account,
    }
}

#[test]
fn an_account_is_one_by_its_name() {
    check(&async |store| {
        let anna = account("1", "anna");
        assert!(store.add_account(&anna).await.expect("written"));
        assert!(
            !store
                .add_account(&account("2", "anna"))
                .await
                .expect("asked")
        );
        assert_eq!(store.account("1").await.expect("read"), Some(anna.clone()));
        assert_eq!(store.account_named("anna").await.expect("read"), Some(anna));
        assert_eq!(
            store.account_named("' OR 1=1 --").await.expect("read"),
            None
        );
        assert!(store.set_grants("1", "[]", "[2]").await.expect("written"));
        assert!(!store.set_grants("1", "[]", "[3]").await.expect("asked"));
        assert_eq!(store.accounts().await.expect("read")[0].grants, "[2]");
    });
}

#[test]
fn every_attempt_is_counted_before_it_is_looked_at() {
    check(&async |store| {
        store
            .add_account(&account("1", "anna"))
            .await
            .expect("written");
        for expected in 1..=6 {
            let counted = store.begin_attempt("1", 50).await.expect("written");
            assert_eq!(counted, Some(expected));
        }
        store.uncount_attempt("1").await.expect("written");
        assert_eq!(
            store.begin_attempt("1", 50).await.expect("written"),
            Some(6)
        );
        assert!(store.lock("1", 90).await.expect("written"));
        assert!(!store.lock("1", 99).await.expect("asked"), "locked once");
        assert_eq!(store.begin_attempt("1", 89).await.expect("asked"), None);
        assert_eq!(
            store.begin_attempt("1", 90).await.expect("written"),
            Some(1)
        );
        store.used_account("1", 95, true).await.expect("written");
        let row = store.account("1").await.expect("read").expect("there");
        assert_eq!((row.failures, row.locked_until, row.last_seen), (0, 0, 95));
        assert_eq!(store.begin_attempt("nobody", 1).await.expect("asked"), None);
    });
}

#[test]
fn a_step_counts_once_and_never_backwards() {
    check(&async |store| {
        store
            .add_account(&account("1", "anna"))
            .await
            .expect("written");
        store
            .put_identity(&identity("totp", "1", "old"))
            .await
            .expect("written");
        store
            .put_identity(&identity("totp", "1", "s"))
            .await
            .expect("written over");
        let there = store
            .identity("totp", "1")
            .await
            .expect("read")
            .expect("there");
        assert_eq!(there, identity("totp", "1", "s"));
        for (step, is_new) in [(7, true), (7, false), (6, false), (8, true)] {
            assert_eq!(store.use_step("1", step).await.expect("asked"), is_new);
        }
        assert!(!store.use_step("2", 9).await.expect("asked"));
    });
}

#[test]
fn an_invitation_is_taken_once_and_whole() {
    check(&async |store| {
        store
            .invite(&invitation("first", ""))
            .await
            .expect("written");
        store
            .invite(&invitation("first again", ""))
            .await
            .expect("written");
        assert_eq!(store.invitation("first").await.expect("read"), None);
        let mut chosen = invitation("first again", "");
        (chosen.name, chosen.password) = ("anna".to_owned(), "hash".to_owned());
        store.chose(&chosen).await.expect("written");
        assert_eq!(
            store.invitation("first again").await.expect("read"),
            Some(chosen)
        );
        let anna = joining("first again", account("1", "anna"));
        assert!(store.join(&anna).await.expect("written"));
        assert!(!store.join(&anna).await.expect("asked"));
        assert_eq!(
            store.session("session by first again").await.expect("read"),
            Some(anna.session)
        );
        // Somebody else's, with a name that is taken: nothing of it is written, and it isn't used up.
        store
            .invite(&invitation("other", "2"))
            .await
            .expect("written");
        assert!(
            !store
                .join(&joining("other", account("2", "anna")))
                .await
                .expect("asked")
        );
        assert!(store.invitation("other").await.expect("read").is_some());
        assert_eq!(store.identity("password", "2").await.expect("read"), None);
        // Anna's own again: her other session ends, what she may do stays.
        store
            .invite(&invitation("again", "1"))
            .await
            .expect("written");
        store
            .invite(&invitation("stray", ""))
            .await
            .expect("written");
        let mut changed = joining("again", account("1", "anna"));
        changed.account.grants = "[all]".to_owned();
        assert!(store.join(&changed).await.expect("written"));
        assert_eq!(
            store.sessions_of("1").await.expect("read"),
            [changed.session]
        );
        assert_eq!(
            store
                .account("1")
                .await
                .expect("read")
                .expect("there")
                .grants,
            "[]"
        );
        assert_eq!(
            store.invitation("stray").await.expect("read"),
            None,
            "one is here"
        );
    });
}

#[test]
fn who_is_disabled_or_reset_is_out_everywhere() {
    check(&async |store| {
        for id in ["1", "2"] {
            store.add_account(&account(id, id)).await.expect("written");
            store
                .begin_session(&session(&format!("s{id}"), id), None)
                .await
                .expect("written");
            assert!(store.add_token(&token(id, id)).await.expect("written"));
            store
                .invite(&invitation(&format!("i{id}"), id))
                .await
                .expect("written");
            store
                .put_identity(&identity("password", id, "p"))
                .await
                .expect("written");
            store
                .put_identity(&identity("totp", id, "t"))
                .await
                .expect("written");
        }
        assert!(store.disable("1").await.expect("written"));
        assert!(!store.disable("1").await.expect("asked"));
        store.reset("2").await.expect("written");
        for id in ["1", "2"] {
            assert_eq!(store.sessions_of(id).await.expect("read"), []);
            assert_eq!(
                store.invitation(&format!("i{id}")).await.expect("read"),
                None
            );
            assert!(
                store
                    .identity("password", id)
                    .await
                    .expect("read")
                    .is_some()
            );
        }
        assert_eq!(store.tokens().await.expect("read"), [token("2", "2")]);
        assert_eq!(store.identity("totp", "2").await.expect("read"), None);
        assert_eq!(
            store
                .account("2")
                .await
                .expect("read")
                .expect("there")
                .state,
            "invited"
        );
    });
}

#[test]
fn sessions_and_tokens_end_when_they_should() {
    check(&async |store| {
        store
            .add_account(&account("1", "anna"))
            .await
            .expect("written");
        store
            .begin_session(&session("a", "1"), None)
            .await
            .expect("written");
        store
            .begin_session(&session("b", "1"), Some("a"))
            .await
            .expect("written");
        assert_eq!(
            store.session("a").await.expect("read"),
            None,
            "another took its place"
        );
        store.used_session("b", 60).await.expect("written");
        assert!(store.raise("b", "{}", 70).await.expect("written"));
        let b = store.session("b").await.expect("read").expect("there");
        assert_eq!((b.seen, b.raised.as_str(), b.raised_until), (60, "{}", 70));
        for hash in ["c", "d"] {
            store
                .begin_session(&session(hash, "1"), None)
                .await
                .expect("written");
        }
        assert_eq!(store.end_sessions("1", "b").await.expect("written"), 2);
        assert!(store.add_token(&token("t", "")).await.expect("written"));
        assert!(!store.add_token(&token("t", "1")).await.expect("asked"));
        store.used_token("hash of t", 9).await.expect("written");
        let used = store
            .token("hash of t")
            .await
            .expect("read")
            .expect("there");
        assert_eq!(used.last_used, 9);
        store.sweep(10, 60, 100).await.expect("swept");
        assert!(store.session("b").await.expect("read").is_some());
        assert_eq!(store.tokens().await.expect("read").len(), 1);
        store.sweep(10, 61, 101).await.expect("swept");
        assert_eq!(store.session("b").await.expect("read"), None);
        assert_eq!(store.tokens().await.expect("read"), []);
        assert!(!store.revoke_token("t", "hash of t").await.expect("asked"));
        // With those it made, and no other of its name.
        for (name, parent) in [("p", ""), ("c", "hash of p"), ("o", "hash of x")] {
            let mut row = token(name, "");
            parent.clone_into(&mut row.parent);
            assert!(store.add_token(&row).await.expect("written"));
        }
        assert!(!store.revoke_token("p", "hash of q").await.expect("asked"));
        assert!(store.revoke_token("p", "hash of p").await.expect("asked"));
        let left = store.tokens().await.expect("read");
        let left: Vec<_> = left.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(left, ["o"]);
        assert!(store.lock("1", 90).await.expect("written"));
        assert!(!store.unlock("1", 90).await.expect("asked"), "it is over");
        assert!(store.unlock("1", 89).await.expect("written"));
        assert!(!store.unlock("1", 89).await.expect("asked"), "once");
        assert_eq!(store.unused_since(5).await.expect("read"), []);
        assert_eq!(store.unused_since(6).await.expect("read").len(), 1);
    });
}

#[test]
fn a_key_is_taken_once_and_keeps_what_was_answered_for_its_time() {
    check(&async |store: &PeopleStore| {
        let row = |what: &str| AskedRow {
            id: "k".to_owned(),
            what: what.to_owned(),
            answer: String::new(),
            written: 5,
        };
        assert_eq!(store.begin_asked(&row("a")).await.expect("taken"), None);
        let known = store.begin_asked(&row("b")).await.expect("asked");
        assert_eq!(known, Some(row("a")), "under way, as it was asked first");
        store.end_asked("k", "{}").await.expect("kept");
        let known = store.begin_asked(&row("a")).await.expect("asked");
        assert_eq!(known.map(|row| row.answer).as_deref(), Some("{}"));
        store.sweep_asked(5).await.expect("swept");
        assert!(store.begin_asked(&row("a")).await.expect("asked").is_some());
        store.sweep_asked(6).await.expect("swept");
        assert_eq!(store.begin_asked(&row("b")).await.expect("taken"), None);
        store.forget_asked("k").await.expect("let go");
        assert_eq!(store.begin_asked(&row("c")).await.expect("taken"), None);
    });
}

#[test]
fn views_are_their_accounts_own_one_of_a_name_and_so_many_at_most() {
    check(&async |store| {
        for (id, name) in [("1", "anna"), ("2", "ben")] {
            assert!(
                store
                    .add_account(&account(id, name))
                    .await
                    .expect("written")
            );
        }
        let view = |account: &str, name: &str, query: &str| ViewRow {
            account: account.to_owned(),
            name: name.to_owned(),
            query: query.to_owned(),
            made: 7,
        };
        for name in ["b", "Ä'\"; --"] {
            assert!(
                store
                    .put_view(&view("1", name, "q=1"), 2)
                    .await
                    .expect("written")
            );
        }
        assert!(!store.put_view(&view("1", "c", ""), 2).await.expect("asked"));
        assert!(
            store
                .put_view(&view("1", "b", "q=2"), 2)
                .await
                .expect("written")
        );
        assert!(
            store
                .put_view(&view("2", "b", ""), 2)
                .await
                .expect("written")
        );
        let anna = store.views_of("1").await.expect("read");
        assert_eq!(anna, [view("1", "b", "q=2"), view("1", "Ä'\"; --", "q=1")]);
        assert!(!store.remove_view("2", "c").await.expect("asked"));
        assert!(store.remove_view("1", "b").await.expect("written"));
        assert!(!store.remove_view("1", "b").await.expect("asked"));
        assert_eq!(store.views_of("2").await.expect("read").len(), 1);
        assert_eq!(store.views_of("1").await.expect("read").len(), 1);
    });
}
