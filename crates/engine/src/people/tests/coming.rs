//! Coming in, staying, and being out.

use model::{Right, Via};

use super::{PASSWORD, at, by, check, refused};
use crate::people::{IDLE_SECONDS, INVITATION_SECONDS, LOCK_SECONDS, STEP_SECONDS_MAX, Step, totp};

#[test]
fn the_first_person_comes_by_a_link_that_works_once_and_is_administrator() {
    check(async |stage| {
        let people = &stage.people;
        let early = people
            .first_invitation(at(0))
            .await
            .expect("asked")
            .expect("nobody");
        let link = people
            .first_invitation(at(1))
            .await
            .expect("asked")
            .expect("nobody");
        refused(people.welcome(&early, at(1)).await, "used before");
        let welcome = people.welcome(&link, at(1)).await.expect("there");
        assert!(welcome.names_itself && welcome.step == Step::Password);
        refused(
            people.choose(&link, "ro ot", "R", PASSWORD, at(1)).await,
            "a name has",
        );
        refused(
            people.choose(&link, "root", " ", PASSWORD, at(1)).await,
            "others will see",
        );
        refused(
            people.choose(&link, "root", "R", "short1", at(1)).await,
            "at least 12",
        );
        refused(people.join(&link, "123456", "", at(1)).await, "link");
        let late = at(1 + INVITATION_SECONDS);
        refused(
            people.choose(&link, "root", "R", PASSWORD, late).await,
            "day is over",
        );
        people
            .choose(&link, "Root.One", "Rita", PASSWORD, at(1))
            .await
            .expect("chosen");
        refused(people.join(&link, "000000", "", at(1)).await, "the code");
        let root = stage.join(&link, "root.one", at(2)).await;
        refused(people.welcome(&link, at(2)).await, "used before");
        assert_eq!(people.first_invitation(at(2)).await.expect("asked"), None);
        let rita = stage.principal(&root.session, at(2)).await.expect("is in");
        assert!(rita.may_all(Right::ManagePeople) && rita.may_all(Right::Work));
        assert_eq!((rita.name.as_str(), rita.via), ("root.one", Via::Session));
        assert_eq!(
            stage.told(),
            [
                "invited  by ",
                "invited  by ",
                "joined root.one by root.one"
            ]
        );
    });
}

#[test]
fn both_factors_are_needed_and_a_code_counts_once() {
    check(async |stage| {
        let (people, root) = (&stage.people, stage.admin().await);
        stage.told();
        // The code that set the factor up was used.
        let now = at(5);
        let pending = people
            .log_in("ROOT.one", PASSWORD, "192.0.2.1", now)
            .await
            .expect("first step");
        assert!(
            stage.principal(&pending.token, now).await.is_none(),
            "half a log-in opens nothing"
        );
        let code = totp::code_at(&root.secret, now);
        refused(
            people
                .confirm(&pending.token, &code, "192.0.2.1", now)
                .await,
            "used before",
        );
        let now = at(40);
        let code = totp::code_at(&root.secret, now);
        let fresh = people
            .confirm(&pending.token, &code, "192.0.2.1", now)
            .await
            .expect("in");
        assert_ne!(fresh.token, pending.token, "a new id");
        assert!(stage.principal(&fresh.token, now).await.is_some());
        refused(
            people.confirm(&pending.token, &code, "", now).await,
            "took too long",
        );
        refused(
            people.confirm(&fresh.token, &code, "", now).await,
            "took too long",
        );
        assert_eq!(
            stage.told(),
            [
                "log_in_failed root.one by root.one",
                "logged_in root.one by root.one"
            ]
        );
        let pending = people
            .log_in("root.one", PASSWORD, "", at(80))
            .await
            .expect("first step");
        let late = at(80 + STEP_SECONDS_MAX);
        let code = totp::code_at(&root.secret, late);
        refused(
            people.confirm(&pending.token, &code, "", late).await,
            "took too long",
        );
    });
}

#[test]
fn six_failures_lock_for_half_an_hour_and_nothing_says_which_names_there_are() {
    check(async |stage| {
        let (people, root) = (&stage.people, stage.admin().await);
        stage.told();
        let mut answers = std::collections::BTreeSet::new();
        for name in ["nobody", "no name at all!", "", "root.one"] {
            let refused = people
                .log_in(name, "another river 8", "192.0.2.1", at(1))
                .await;
            answers.insert(refused.expect_err("refused").to_string());
        }
        // Five failures in all, then both factors: they are forgiven.
        for _ in 0..4 {
            refused(
                people
                    .log_in("root.one", "another river 8", "", at(2))
                    .await,
                "isn't right",
            );
        }
        stage.log_in(&root, at(60)).await.expect("in");
        assert_eq!(stage.told().len(), 9);
        // A right password forgives nothing while codes are guessed.
        for failure in 1..=6 {
            let pending = people
                .log_in("root.one", PASSWORD, "", at(100))
                .await
                .expect("first step");
            let words = if failure == 6 { "locked" } else { "the code" };
            refused(
                people.confirm(&pending.token, "000000", "", at(100)).await,
                words,
            );
        }
        let locked = people.log_in("root.one", PASSWORD, "", at(100)).await;
        answers.insert(locked.expect_err("refused").to_string());
        assert_eq!(answers.len(), 1, "{answers:?}");
        let told = stage.told();
        assert_eq!(
            told.iter()
                .filter(|told| told.starts_with("locked"))
                .count(),
            1,
            "{told:?}"
        );
        refused(stage.log_in(&root, at(99 + LOCK_SECONDS)).await, "locked");
        stage
            .log_in(&root, at(100 + LOCK_SECONDS))
            .await
            .expect("half an hour is over");
    });
}

#[test]
fn attempts_at_once_are_all_counted() {
    check(async |stage| {
        let (people, _root) = (&stage.people, stage.admin().await);
        stage.told();
        let guesses = (0..12).map(|guess| {
            let people = people.clone();
            tokio::spawn(async move {
                people
                    .log_in("root.one", &format!("a wrong river {guess}"), "", at(1))
                    .await
            })
        });
        for guess in guesses.collect::<Vec<_>>() {
            assert!(guess.await.expect("ended").is_err());
        }
        refused(
            people.log_in("root.one", PASSWORD, "", at(2)).await,
            "locked",
        );
        let told = stage.told();
        assert_eq!(
            told.iter()
                .filter(|told| told.starts_with("locked"))
                .count(),
            1,
            "{told:?}"
        );
    });
}

#[test]
fn a_session_ends_by_idleness_by_age_and_everywhere_at_once() {
    check(async |stage| {
        let (people, root) = (&stage.people, stage.admin().await);
        let idle = at(IDLE_SECONDS);
        let renewed = people
            .session(&root.session, false, at(600))
            .await
            .expect("read");
        assert!(renewed.is_some(), "a page that renews itself is let in");
        assert!(
            stage.principal(&root.session, idle).await.is_none(),
            "and keeps nobody"
        );
        assert!(
            stage.principal(&root.session, at(1)).await.is_none(),
            "it is over for good"
        );
        let mut now = 2000;
        let session = stage.log_in(&root, at(now)).await.expect("in");
        while now < 2000 + 12 * 3600 {
            assert!(stage.principal(&session, at(now)).await.is_some(), "{now}");
            now += IDLE_SECONDS - 61;
        }
        assert!(
            stage
                .principal(&session, at(2000 + 12 * 3600))
                .await
                .is_none()
        );
        let (one, two) = (at(60_000), at(60_040));
        let one = (stage.log_in(&root, one).await.expect("in"), one);
        let two = (stage.log_in(&root, two).await.expect("in"), two);
        let rita = stage.principal(&two.0, two.1).await.expect("in");
        stage.told();
        let own = people.sessions(&rita, &two.0, two.1).await.expect("read");
        assert_eq!(
            own.iter()
                .map(|session| session.is_this)
                .collect::<Vec<_>>(),
            [true, false]
        );
        people
            .log_out_elsewhere(&two.0, by(&rita, two.1))
            .await
            .expect("ended");
        assert!(stage.principal(&one.0, two.1).await.is_none());
        people
            .log_out(&two.0, by(&rita, two.1))
            .await
            .expect("ended");
        people
            .log_out(&two.0, by(&rita, two.1))
            .await
            .expect("nothing to end");
        assert!(stage.principal(&two.0, two.1).await.is_none());
        assert_eq!(
            stage.told(),
            [
                "logged_out_everywhere root.one by root.one",
                "logged_out root.one by root.one"
            ]
        );
    });
}
