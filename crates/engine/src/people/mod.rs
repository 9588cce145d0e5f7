//! People and programs that use the console: how they come in, what they may do, when they are out.
//!
//! Follows PCI DSS v4.0.1 req. 8.2–8.5. The time is an argument. Every change, and every attempt to come in, is told as an
//! [`AccessEvent`] by what was given to [`People::open`]; no secret is in it. What is shown to somebody once – a link, a
//! token, a session – is stored as its hash alone: 256 random bits need no slow one.

mod directory;
mod join;
mod log_in;
mod mail;
mod manage;
mod once;
mod own;
mod passkey;
mod password;
mod provider;
mod saml;
mod session;
mod token;
mod totp;
mod views;
mod vouched;

use crate::hex::hex;
use crate::hide::is_hidden;
use std::path::Path;
use std::sync::Arc;

use model::{AccessEvent, AccessKind, Grant, GrantError, Principal, Right, Role, Timestamp, Via};
use sha2::{Digest as _, Sha256};
use stores::{AccountRow, Database, PeopleStore, PeopleStoreError, StoreError};

use password::Hashing;

pub use directory::{DirectorySettings, Resource};
pub use join::{Step, Welcome};
pub use log_in::Fresh;
pub use mail::Reader;
pub use manage::AccountView;
pub use once::{Once, Ticket};
pub use passkey::{Asked, PasskeyView};
pub use password::{PASSWORD_CHARACTERS_MIN, PasswordFault};
pub use provider::{AWAY_SECONDS_MAX, Back, By, Sent, Vouched, Voucher};
pub use saml::{Answered, FORM_BYTES_MAX, Saml};
pub use session::{Session, SessionView};
pub use token::{MANAGING_DAYS_MAX, Made, TOKEN_DAYS, TOKEN_DAYS_MAX, TokenView, TokenWish};
pub use views::SavedView;
use views::{VIEW_NAME_CHARACTERS_MAX, VIEWS_MAX};

/// Failures after which an account is locked (req. 8.3.4 allows ten).
pub const FAILURES_MAX: i64 = 6;
/// Seconds for which it is (req. 8.3.4).
pub const LOCK_SECONDS: i64 = 30 * 60;
/// Seconds after which whoever does nothing must log in again (req. 8.2.8).
pub const IDLE_SECONDS: i64 = 15 * 60;
/// Longest session, in seconds.
pub const SESSION_SECONDS_MAX: i64 = 12 * 3600;
/// Seconds between the first factor and the second.
pub const STEP_SECONDS_MAX: i64 = 5 * 60;
/// Seconds for which an invitation holds.
pub const INVITATION_SECONDS: i64 = 24 * 3600;
/// Days after which an account nobody used is disabled (req. 8.2.6).
pub const UNUSED_DAYS_MAX: i64 = 90;
/// Seconds for which a further role is held.
pub const BREAK_GLASS_SECONDS: i64 = 60 * 60;

/// Longest name of an account or a token, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest name that pages show, in characters.
const SHOWN_CHARACTERS_MAX: usize = 100;

/// Why something about people wasn't done. Each says what to do, for the form's own field.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeopleError {
    /// Name and password don't fit, or the account is locked: which, is not told.
    #[error(
        "the name or the password isn't right, or the account is locked for half an hour after six failures"
    )]
    LogIn,
    /// The code is wrong, or was used before.
    #[error("the code isn't right, or was used before: wait for the next one")]
    Code,
    /// The first step is too long ago, or was never done.
    #[error("that took too long: begin again with your name and password")]
    Late,
    /// Too many passwords are looked at.
    #[error("too many people log in at once: try again in a moment")]
    Busy,
    /// An invitation that was used, ended, or never was.
    #[error("this link was used before, or its day is over: ask for another one")]
    NoInvitation,
    /// A name of other characters, or too long.
    #[error("a name has 1 to 64 letters, digits, or any of . _ - @ +, and is no card number")]
    Name,
    /// A name of somebody else.
    #[error("this name is taken")]
    NameTaken,
    /// A name for pages that is empty or too long.
    #[error("write the name that others will see, of at most 100 characters")]
    Shown,
    /// What isn't an address of mail.
    #[error("write an address of mail like name@example.com, in ASCII, or leave it empty")]
    Mail,
    /// A password that may not be one.
    #[error("{fault}")]
    Password {
        /// Why not.
        fault: PasswordFault,
    },
    /// Roles that can't be given.
    #[error("{why}")]
    Grants {
        /// Why not.
        why: GrantError,
    },
    /// The asker's roles don't include it.
    #[error("your roles don't include this: {}", right.words())]
    NotAllowed {
        /// What would be needed.
        right: Right,
    },
    /// A token that wasn't made for it.
    #[error("a token manages people only when it was made for that, by a person")]
    OnlySees,
    /// What no program does.
    #[error("a person has to do this: no program gives, takes or touches the role {role}")]
    ByPerson {
        /// The role.
        role: Role,
    },
    /// A key was used for something else.
    #[error("this key was used for something else: use a new one")]
    OtherAsked,
    /// What was asked under a key isn't answered.
    #[error(
        "what was asked with this key is under way, or was cut off: look what came of it, then use a new key"
    )]
    UnderWay,
    /// Nobody changes what they may do themselves (req. 7.2.3).
    #[error("somebody else has to do this: nobody changes what they may do themselves")]
    Oneself,
    /// Nobody would be left to let people in.
    #[error("this is the last administrator: invite another one first")]
    LastAdmin,
    /// There is no such account or token.
    #[error("there is none of this name")]
    NoSuch,
    /// Somebody else changed it at the same time.
    #[error("somebody else changed it meanwhile: look at it again")]
    Changed,
    /// A reason that says nothing.
    #[error("write why, in 10 to 500 characters")]
    Reason,
    /// A zone that isn't known.
    #[error("{source}")]
    Zone {
        /// What one is.
        #[from]
        source: crate::zone::ZoneError,
    },
    /// An end too far away.
    #[error("a token holds for 1 to {TOKEN_DAYS_MAX} days")]
    Days,
    /// An end too far away, of a token that manages people.
    #[error("a token that manages people holds for 1 to {MANAGING_DAYS_MAX} days")]
    ManagingDays,
    /// A token is for what its owner may do.
    #[error("a token may do only what you may do yourself")]
    Beyond,
    /// What a directory sent isn't of its standard.
    #[error("{refusal}")]
    Directory {
        /// What is wrong with it.
        refusal: ::directory::Refusal,
    },
    /// No passkey is known, or none can be.
    #[error("there is no passkey here: log in with a code")]
    NoPasskeys,
    /// Too many passkeys.
    #[error("an account has at most ten passkeys: remove one first")]
    Passkeys,
    /// A passkey's answer that isn't right.
    #[error("the passkey wasn't taken: it is none of this account's, or what it said isn't right")]
    Passkey,
    /// A passkey whose counter went back.
    #[error(
        "this passkey's counter went back, so there may be a copy of it: it isn't taken, and it is told; remove it and add another one"
    )]
    PasskeyCopied,
    /// A provider that vouches for nobody.
    #[error("{source}")]
    Provider {
        /// Why.
        source: ::provider::ProviderError,
    },
    /// Somebody a provider vouches for, without an account that may be used.
    #[error("the provider knows who you are, but you aren't let in: {why}")]
    NotHere {
        /// Why.
        why: &'static str,
    },
    /// A view of the queue that can't be kept.
    #[error(
        "a view's name has 1 to {VIEW_NAME_CHARACTERS_MAX} characters, none of them a control character, and its text isn't longer than an address"
    )]
    View,
    /// Too many views.
    #[error("you keep {VIEWS_MAX} views already: remove one first")]
    Views,
    /// Views are an account's, whoever holds a token of it.
    #[error("views are kept for people who logged in, not for programs")]
    NotLoggedIn,
    /// An account that is kept from the directory.
    #[error("this account is kept from the directory by a setting")]
    Kept,
    /// The tables can't be read or written.
    #[error("the accounts can't be read or written")]
    Store {
        /// What the store said.
        #[from]
        source: PeopleStoreError,
    },
    /// A row holds what this version doesn't read.
    #[error("an account's roles can't be read; was it written by a newer version?")]
    Unreadable {
        /// What the reader said.
        #[from]
        source: serde_json::Error,
    },
    /// The key of second factors isn't the one they were sealed with.
    #[error("the second factor can't be opened with the key of this installation")]
    Sealed,
    /// The key of second factors can't be read or made.
    #[error("the key of second factors can't be used")]
    Key {
        /// What the system said.
        source: StoreError,
    },
    /// The system gives no randomness.
    #[error("the system gives no randomness")]
    Random {
        /// What it said.
        source: getrandom::Error,
    },
}

/// Who does something, from where, and when.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// Who.
    pub by: &'a Principal,
    /// Address it is done from; empty for the command line.
    pub from: &'a str,
    /// When.
    pub now: Timestamp,
}

/// How people are known by others than this console.
#[derive(Clone, Default)]
pub struct SignIn {
    /// What the company's directory may do.
    pub directory: DirectorySettings,
    /// Providers by which people log in.
    pub providers: Vec<Voucher>,
    /// Where browsers reach the console, without a slash at its end, e.g. `https://console.example.com`.
    pub address: String,
}

/// What takes events to be sealed. Must return at once.
pub type Tell = Box<dyn Fn(AccessEvent) + Send + Sync>;

struct Inner {
    store: PeopleStore,
    key: [u8; 32],
    hashing: Hashing,
    webauthn: Option<webauthn_rs::Webauthn>,
    sign_in: SignIn,
    tell: Tell,
    /// Held by whoever takes an administrator away, from the look whether another is left to the write: of two such at
    /// once both would see the other's.
    changing: tokio::sync::Mutex<()>,
    /// Kept open.
    _database: Database,
}

/// The people of one installation; clones are the same.
#[derive(Clone)]
pub struct People(Arc<Inner>);

impl People {
    /// Takes the database whose tables are theirs, the folder of keys, where the one under which second factors are sealed
    /// is made at first use (0600), and what takes events.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Key`], [`PeopleError::Random`].
    pub fn open(database: &Database, keys: &Path, tell: Tell) -> Result<Self, PeopleError> {
        Self::open_with(database, keys, SignIn::default(), tell)
    }

    /// The same for people whom others know, too.
    ///
    /// # Errors
    ///
    /// As [`People::open`].
    pub fn open_with(
        database: &Database,
        keys: &Path,
        sign_in: SignIn,
        tell: Tell,
    ) -> Result<Self, PeopleError> {
        let fresh = random()?;
        let key = stores::read_or_make(&keys.join("people.key"), || fresh);
        Ok(Self(Arc::new(Inner {
            store: PeopleStore::new(database.pool().clone()),
            key: key.map_err(|source| PeopleError::Key { source })?,
            hashing: Hashing::default(),
            webauthn: passkey::webauthn(&sign_in.address),
            sign_in,
            tell,
            changing: tokio::sync::Mutex::default(),
            _database: database.clone(),
        })))
    }

    fn store(&self) -> &PeopleStore {
        &self.0.store
    }

    fn tell(&self, act: Act<'_>, kind: AccessKind, account: &str) {
        (self.0.tell)(AccessEvent {
            at: act.now,
            kind,
            account: account.to_owned(),
            by: act.by.name.clone(),
            from: act.from.to_owned(),
        });
    }

    /// Tells what somebody did who has no principal yet, or what happened by itself (`from` is empty then).
    fn tell_own(&self, at: Timestamp, from: &str, kind: AccessKind, account: &str) {
        (self.0.tell)(AccessEvent {
            at,
            kind,
            account: account.to_owned(),
            by: account.to_owned(),
            from: from.to_owned(),
        });
    }

    /// The account of a name, in any case.
    async fn named(&self, name: &str) -> Result<AccountRow, PeopleError> {
        let row = self.store().account_named(&fold(name)?).await?;
        row.ok_or(PeopleError::NoSuch)
    }
}

/// Refuses whoever's roles don't include a right for the whole installation.
fn need(by: &Principal, right: Right) -> Result<(), PeopleError> {
    if !by.may_all(right) {
        return Err(PeopleError::NotAllowed { right });
    }
    // A token that leaks lets nobody in unless it was made to.
    if right == Right::ManagePeople && by.via == Via::Token {
        return Err(PeopleError::OnlySees);
    }
    Ok(())
}

/// Refuses a program what is for people alone: an account that has, or would have, such a role.
fn keep_from_programs<'a>(
    by: &Principal,
    mut grants: impl Iterator<Item = &'a Grant>,
) -> Result<(), PeopleError> {
    if is_person(by) {
        return Ok(());
    }
    match grants.find(|grant| grant.role.is_for_people_alone()) {
        Some(grant) => Err(PeopleError::ByPerson { role: grant.role }),
        None => Ok(()),
    }
}

/// Whether a person is there, rather than a program: what a token can't do.
fn is_person(by: &Principal) -> bool {
    matches!(by.via, Via::Session | Via::BreakGlass { .. } | Via::Machine)
}

/// A name as it is compared: ASCII alone, so that none looks like another.
fn fold(name: &str) -> Result<String, PeopleError> {
    let name = name.trim();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@+".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) || is_hidden(name)
    {
        return Err(PeopleError::Name);
    }
    Ok(name.to_ascii_lowercase())
}

/// A name as pages show it.
fn shown(name: &str) -> Result<String, PeopleError> {
    let name = name.trim();
    if name.is_empty()
        || name.chars().count() > SHOWN_CHARACTERS_MAX
        || name.chars().any(char::is_control)
        || is_hidden(name)
    {
        return Err(PeopleError::Shown);
    }
    Ok(name.to_owned())
}

fn grants(json: &str) -> Result<Vec<Grant>, PeopleError> {
    Ok(serde_json::from_str(json)?)
}

fn json(grants: &[Grant]) -> Result<String, PeopleError> {
    Ok(serde_json::to_string(grants)?)
}

fn random<const N: usize>() -> Result<[u8; N], PeopleError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|source| PeopleError::Random { source })?;
    Ok(bytes)
}

/// 256 random bits as text.
fn secret() -> Result<String, PeopleError> {
    Ok(hex(&random::<32>()?))
}

/// Under what something secret is stored.
fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests;
