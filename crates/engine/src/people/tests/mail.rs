//! Where people are told by mail.

use model::{Principal, Role, Scope};

use super::{at, by, check, refused, totp};

#[test]
fn ones_own_address_takes_a_code_anothers_takes_who_manages_people() {
    check(async |stage| {
        let people = &stage.people;
        drop(stage.admin().await);
        let bob = stage.invited("bob", &[Role::Analyst], at(1)).await;
        let who = stage.principal(&bob.session, at(2)).await.expect("in");
        assert!(people.readers().await.expect("read").is_empty());
        let set = people.set_own_mail(by(&who, at(3)), "bob@example.com", "000000");
        refused(set.await, "code isn't right");
        let code = totp::code_at(&bob.secret, at(60));
        for odd in [
            "bob",
            "bob@example.com\r\nBcc: x@example.com",
            "Bob <bob@example.com>",
        ] {
            let set = people.set_own_mail(by(&who, at(60)), odd, &code);
            refused(set.await, "write an address of mail");
        }
        let set = people.set_own_mail(by(&who, at(60)), " Bob@Example.com ", &code);
        set.await.expect("set");
        let own = people.own_mail(by(&who, at(61))).await.expect("read");
        assert_eq!(own, ("bob@example.com".to_owned(), false));
        let readers = people.readers().await.expect("read");
        assert_eq!(readers.len(), 1);
        assert_eq!(readers[0].address, "bob@example.com");
        assert_eq!(readers[0].principal.account, who.account);
        assert_eq!(readers[0].principal.grants[0].scope, Scope::Installation);
        let told = stage.told();
        assert_eq!(
            told.last().map(String::as_str),
            Some("mail_changed bob by bob")
        );
        // Whoever isn't an administrator sets nobody's.
        let set = people.set_mail(by(&who, at(62)), "root.one", "bob@example.com");
        refused(set.await, "don't include");
        let machine = Principal::machine();
        let set = people.set_mail(by(&machine, at(62)), "nobody", "bob@example.com");
        refused(set.await, "none of this name");
        let set = people.set_mail(by(&machine, at(62)), "root.one", "root@example.com");
        set.await.expect("set");
        assert_eq!(people.readers().await.expect("read").len(), 2);
        // Who is out of use is told nothing, nor who cleared it.
        people
            .disable(by(&machine, at(63)), "bob")
            .await
            .expect("out");
        people
            .set_mail(by(&machine, at(64)), "root.one", "")
            .await
            .expect("set");
        assert!(people.readers().await.expect("read").is_empty());
    });
}

#[test]
fn what_the_directory_says_stands_where_nobody_said_an_address() {
    check(async |stage| {
        let people = &stage.people;
        drop(stage.admin().await);
        let entra = stage.directory().await;
        let mut user = super::directory::user("anna");
        let made = people.provision(by(&entra, at(5)), user.clone()).await;
        let id = made.expect("made").id;
        let address = async || {
            let readers = people.readers().await.expect("read");
            readers
                .first()
                .map(|one| one.address.clone())
                .unwrap_or_default()
        };
        assert_eq!(address().await, "anna.a@example.com");
        let machine = Principal::machine();
        let set = people.set_mail(by(&machine, at(6)), "anna", "own@example.com");
        set.await.expect("set");
        assert_eq!(address().await, "own@example.com");
        let set = people.set_mail(by(&machine, at(7)), "anna", "");
        set.await.expect("set");
        user.mail = "no address".to_owned();
        people
            .put_user(by(&entra, at(8)), &id, user.clone())
            .await
            .expect("put");
        assert_eq!(address().await, "");
        user.mail = "new@example.com".to_owned();
        people
            .put_user(by(&entra, at(9)), &id, user.clone())
            .await
            .expect("put");
        assert_eq!(address().await, "new@example.com");
        people
            .end_user(by(&entra, at(10)), &id)
            .await
            .expect("ended");
        assert_eq!(address().await, "");
    });
}
