//! How people come in and are out: each claim on empty tables, with a clock of its own.

mod coming;
mod directory;
mod mail;
mod managing;
mod programs;

use std::sync::{Arc, Mutex, PoisonError};

use model::{AccessEvent, Grant, Principal, Role, Timestamp};
use stores::{Database, StatePlace};

use super::{Act, People, PeopleError, SignIn, Step, totp};

const START: Timestamp = Timestamp::from_seconds(1_785_924_930);
const PASSWORD: &str = "a quiet river 7";
const DAY: i64 = 86_400;

fn at(seconds: i64) -> Timestamp {
    START.plus_seconds(seconds)
}

/// A base32 text's bytes.
fn decoded(text: &str) -> Vec<u8> {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let (mut bits, mut count, mut out) = (0_u32, 0, Vec::new());
    for letter in text.bytes() {
        let value = letters
            .iter()
            .position(|one| *one == letter)
            .expect("base32");
        bits = bits << 5 | u32::try_from(value).expect("small");
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 255).expect("a byte"));
        }
    }
    out
}

/// Somebody with an account, as the world sees them.
struct Person {
    name: &'static str,
    secret: Vec<u8>,
    session: String,
}

struct Stage {
    people: People,
    events: Arc<Mutex<Vec<AccessEvent>>>,
}

impl Stage {
    /// The events since the last call: what, to whom, by whom.
    fn told(&self) -> Vec<String> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events
            .drain(..)
            .map(|event| format!("{} {} by {}", event.kind.name(), event.account, event.by))
            .collect()
    }

    /// Takes an invitation.
    async fn join(&self, token: &str, name: &'static str, now: Timestamp) -> Person {
        let chosen = self.people.choose(token, name, "Shown Name", PASSWORD, now);
        chosen.await.expect("chosen");
        let welcome = self.people.welcome(token, now).await.expect("there");
        let Step::Factor { secret, .. } = welcome.step else {
            panic!("no second factor was made");
        };
        let secret = decoded(&secret);
        let code = totp::code_at(&secret, now);
        let session = self.people.join(token, &code, "192.0.2.1", now).await;
        Person {
            name,
            secret,
            session: session.expect("joined").token,
        }
    }

    /// The first administrator.
    async fn admin(&self) -> Person {
        let token = self.people.first_invitation(at(0)).await.expect("asked");
        self.join(&token.expect("nobody is there"), "root.one", at(0))
            .await
    }

    /// Somebody an administrator invited.
    async fn invited(&self, name: &'static str, roles: &[Role], now: Timestamp) -> Person {
        let grants: Vec<_> = roles.iter().copied().map(Grant::all).collect();
        let machine = Principal::machine();
        let invited = self.people.invite(by(&machine, now), name, &grants).await;
        self.join(&invited.expect("invited"), name, now).await
    }

    async fn log_in(&self, person: &Person, now: Timestamp) -> Result<String, PeopleError> {
        let pending = self
            .people
            .log_in(person.name, PASSWORD, "192.0.2.1", now)
            .await?;
        let code = totp::code_at(&person.secret, now);
        let fresh = self
            .people
            .confirm(&pending.token, &code, "192.0.2.1", now)
            .await?;
        Ok(fresh.token)
    }

    async fn principal(&self, session: &str, now: Timestamp) -> Option<Principal> {
        let session = self.people.session(session, true, now).await.expect("read");
        session.map(|session| session.principal)
    }
}

fn by(principal: &Principal, now: Timestamp) -> Act<'_> {
    let from = "192.0.2.9";
    Act {
        by: principal,
        from,
        now,
    }
}

/// Runs a claim with nobody there.
fn check(claim: impl AsyncFnOnce(Stage)) {
    check_with(SignIn::default(), claim);
}

/// The same for people whom others know, too.
fn check_with(sign_in: SignIn, claim: impl AsyncFnOnce(Stage)) {
    let folder = tempfile::tempdir().expect("a folder");
    let place = StatePlace::File(folder.path().join("state.sqlite"));
    let database = Database::open(&place).expect("opened");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let events = Arc::default();
    let into: Arc<Mutex<Vec<AccessEvent>>> = Arc::clone(&events);
    let tell = move |event| {
        into.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(event)
    };
    let people =
        People::open_with(&database, folder.path(), sign_in, Box::new(tell)).expect("opened");
    runtime.block_on(claim(Stage { people, events }));
    runtime.block_on(database.pool().close());
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, PeopleError>, words: &str) {
    let error = result.expect_err("refused").to_string();
    assert!(error.contains(words), "{error:?} doesn't say {words:?}");
}
