//! What others know of people: the directory, providers, authenticators.

use stores::{AccountRow, CeremonyRow, DirectoryAccess, DirectoryChange, IdentityRow, PasskeyRow};

use super::{account, check, identity, session, token};

fn passkey(id: &str, account: &str) -> PasskeyRow {
    PasskeyRow {
        id: id.to_owned(),
        account: account.to_owned(),
        name: "key".to_owned(),
        body: "0".to_owned(),
        created: 3,
        last_used: 0,
    }
}

#[test]
fn a_directory_makes_changes_and_ends_an_account_in_one() {
    check(&async |store| {
        let anna = account("1", "anna");
        let said = identity("directory", "1", "{}");
        assert!(store.provision(&anna, &said).await.expect("written"));
        assert!(!store.provision(&anna, &said).await.expect("asked"));
        assert_eq!(store.identities("directory").await.expect("read"), [said]);
        let link = IdentityRow {
            subject: "issuer 1".to_owned(),
            ..identity("oidc", "1", "")
        };
        store.put_identity(&link).await.expect("written");
        assert_eq!(store.links_of("oidc", "1").await.expect("counted"), 1);
        store
            .put_identity(&identity("totp", "1", "t"))
            .await
            .expect("written");
        store
            .put_identity(&identity("password", "1", "p"))
            .await
            .expect("written");
        store
            .begin_session(&session("s", "1"), None)
            .await
            .expect("written");
        assert!(store.add_token(&token("t", "1")).await.expect("written"));
        assert!(
            store
                .add_passkey(&passkey("k", "1"))
                .await
                .expect("written")
        );
        let mut change = DirectoryChange {
            account: AccountRow {
                shown: "Anna B".to_owned(),
                grants: "[2]".to_owned(),
                ..anna
            },
            grants_before: "[9]".to_owned(),
            access: DirectoryAccess::Ends,
            identity: identity("directory", "1", "{\"ended\":1}"),
        };
        assert!(
            !store.change_by_directory(&change).await.expect("asked"),
            "granted meanwhile"
        );
        assert!(
            store.session("s").await.expect("read").is_some(),
            "nothing of it was done"
        );
        change.grants_before = "[]".to_owned();
        assert!(store.change_by_directory(&change).await.expect("written"));
        let after = store
            .account("1")
            .await
            .expect("read")
            .expect("kept for the record");
        assert_eq!(
            (
                after.state.as_str(),
                after.shown.as_str(),
                after.grants.as_str()
            ),
            ("disabled", "Anna B", "[2]")
        );
        assert_eq!(store.session("s").await.expect("read"), None);
        assert_eq!(store.token("hash of t").await.expect("read"), None);
        assert_eq!(store.passkeys_of("1").await.expect("read"), []);
        assert_eq!(store.identity("totp", "1").await.expect("read"), None);
        assert_eq!(store.links_of("oidc", "1").await.expect("counted"), 0);
        assert!(
            store
                .identity("password", "1")
                .await
                .expect("read")
                .is_some(),
            "it doesn't come back"
        );
        assert!(
            !store.add_passkey(&passkey("k", "1")).await.expect("asked"),
            "not for one that ended"
        );
        change.grants_before = "[2]".to_owned();
        change.access = DirectoryAccess::Returns;
        assert!(store.change_by_directory(&change).await.expect("written"));
        assert_eq!(
            store
                .account("1")
                .await
                .expect("read")
                .expect("there")
                .state,
            "active"
        );
    });
}

#[test]
fn a_passkey_is_one_accounts_and_each_state_of_it_is_used_once() {
    check(&async |store| {
        for (id, name) in [("1", "anna"), ("2", "bob")] {
            store
                .add_account(&account(id, name))
                .await
                .expect("written");
        }
        assert!(
            store
                .add_passkey(&passkey("k", "1"))
                .await
                .expect("written")
        );
        assert!(!store.add_passkey(&passkey("k", "2")).await.expect("asked"));
        assert!(store.use_passkey("k", "0", "1", 9).await.expect("used"));
        assert!(!store.use_passkey("k", "0", "1", 9).await.expect("asked"));
        assert_eq!(store.passkeys_of("1").await.expect("read")[0].last_used, 9);
        assert!(
            !store.remove_passkey("2", "k").await.expect("asked"),
            "another's"
        );
        assert!(store.remove_passkey("1", "k").await.expect("removed"));
        store
            .add_passkey(&passkey("k", "1"))
            .await
            .expect("written");
        store.reset("1").await.expect("reset");
        assert_eq!(store.passkeys_of("1").await.expect("read"), []);
    });
}

#[test]
fn what_was_begun_comes_back_once_in_time_and_as_what_it_is() {
    check(&async |store| {
        let row = |hash: &str, created| CeremonyRow {
            hash: hash.to_owned(),
            kind: "oidc".to_owned(),
            account: String::new(),
            body: "{}".to_owned(),
            created,
        };
        for (hash, created) in [("a", 10), ("b", 10), ("c", 1)] {
            store
                .begin_ceremony(&row(hash, created))
                .await
                .expect("written");
        }
        assert_eq!(
            store.take_ceremony("a", "passkey", 5).await.expect("asked"),
            None
        );
        assert_eq!(
            store.take_ceremony("a", "oidc", 5).await.expect("taken"),
            Some(row("a", 10))
        );
        assert_eq!(
            store.take_ceremony("a", "oidc", 5).await.expect("asked"),
            None
        );
        assert_eq!(
            store.take_ceremony("c", "oidc", 5).await.expect("asked"),
            None,
            "too late"
        );
        store.sweep_ceremonies(11).await.expect("swept");
        assert_eq!(
            store.take_ceremony("b", "oidc", 5).await.expect("asked"),
            None
        );
    });
}
