//! Tokens for programs: named, scoped, ending, shown once.

use std::collections::BTreeSet;

use model::{AccessKind, Grant, Principal, Right, Role, Timestamp, Via};
use stores::TokenRow;

use super::manage::{checked, is_within};
use super::{Act, People, PeopleError, fold, grants, hash, json, log_in, need, secret};

/// Days for which a token holds when nothing else is asked for.
pub const TOKEN_DAYS: i64 = 90;
/// Most days.
pub const TOKEN_DAYS_MAX: i64 = 366;
/// Most days of one that manages people.
pub const MANAGING_DAYS_MAX: i64 = 30;
/// The purpose of one that does.
const MANAGING: &str = "people";
/// Purposes of those that are for the console.
const PURPOSES: [&str; 2] = ["", MANAGING];
/// What a token begins with, so that it is known where it leaks.
pub(super) const PREFIX: &str = "mgw_";
/// Seconds between two writes that a token is used.
pub(super) const USED_SECONDS: i64 = 60;

/// A token as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenView {
    /// Its name.
    pub name: String,
    /// Whether whoever asks made it.
    pub is_own: bool,
    /// What it may do, as far as who made it still may.
    pub grants: Vec<Grant>,
    /// Whether it is a directory's: provisions people, and nothing else.
    pub is_directory: bool,
    /// Whether it may manage people, as far as a program may.
    pub manages_people: bool,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was last used.
    pub last_used: Option<Timestamp>,
}

/// A token that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct TokenWish<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it allows.
    pub grants: &'a [Grant],
    /// Days for which it holds.
    pub days: i64,
    /// Whether it may manage people, as far as a program may.
    pub manages_people: bool,
}

/// A token that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The token itself: shown this once.
    pub token: String,
    /// Its name, as it is kept.
    pub name: String,
    /// When it ends.
    pub expires: Timestamp,
}

impl People {
    /// Makes a token that manages nobody; gives it, once.
    ///
    /// # Errors
    ///
    /// As [`People::make`].
    pub async fn make_token(
        &self,
        act: Act<'_>,
        name: &str,
        given: &[Grant],
        days: i64,
    ) -> Result<String, PeopleError> {
        let wish = TokenWish {
            name,
            grants: given,
            days,
            manages_people: false,
        };
        Ok(self.make(act, wish).await?.token)
    }

    /// Makes a token. One of a person may do what that person may, and ends with their account. One that a managing token
    /// makes may do what that token may, manages nobody, and ends with it.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Name`], [`PeopleError::NameTaken`], [`PeopleError::Days`], [`PeopleError::ManagingDays`],
    /// [`PeopleError::Grants`], [`PeopleError::NotAllowed`], [`PeopleError::Beyond`].
    pub async fn make(&self, act: Act<'_>, wish: TokenWish<'_>) -> Result<Made, PeopleError> {
        let name = fold(wish.name)?;
        let given = checked(wish.grants)?;
        let mut row = TokenRow {
            name,
            account: act.by.account.clone(),
            grants: json(&given)?,
            ..TokenRow::default()
        };
        let within = |owner: &Principal| given.iter().all(|grant| is_within(grant, owner));
        match &act.by.via {
            Via::Machine => {}
            Via::Session | Via::BreakGlass { .. } => {
                // What is held for an hour is not handed on.
                let account = self.store().account(&act.by.account).await?;
                let account = account.ok_or(PeopleError::NoSuch)?;
                let owner = Principal {
                    grants: grants(&account.grants)?,
                    ..act.by.clone()
                };
                if !within(&owner) {
                    return Err(PeopleError::Beyond);
                }
            }
            Via::Managing { token } => {
                let parent = self.token_named(token).await?;
                let is_later = act.now.plus_seconds(wish.days.saturating_mul(log_in::DAY))
                    > Timestamp(parent.expires);
                if wish.manages_people || is_later || !within(act.by) {
                    return Err(PeopleError::Beyond);
                }
                row.account = parent.account;
                row.parent = parent.hash;
            }
            // Another program makes none: a token that leaked must end when it ends.
            _ => return Err(PeopleError::Beyond),
        }
        if wish.manages_people {
            if !given.contains(&Grant::all(Role::Admin)) {
                let right = Right::ManagePeople;
                return Err(PeopleError::NotAllowed { right });
            }
            if wish.days > MANAGING_DAYS_MAX {
                return Err(PeopleError::ManagingDays);
            }
            row.purpose = MANAGING.to_owned();
        }
        let told = |expires| AccessKind::TokenMade {
            grants: given,
            expires,
            manages_people: wish.manages_people,
        };
        self.add_token(act, row, wish.days, told).await
    }

    /// The token of a name.
    async fn token_named(&self, name: &str) -> Result<TokenRow, PeopleError> {
        let tokens = self.store().tokens().await?;
        let token = tokens.into_iter().find(|token| token.name == name);
        token.ok_or(PeopleError::NoSuch)
    }

    /// Makes a token for so many days, and tells that it was made.
    pub(super) async fn add_token(
        &self,
        act: Act<'_>,
        row: TokenRow,
        days: i64,
        told: impl FnOnce(Timestamp) -> AccessKind,
    ) -> Result<Made, PeopleError> {
        if !(1..=TOKEN_DAYS_MAX).contains(&days) {
            return Err(PeopleError::Days);
        }
        let token = format!("{PREFIX}{}", secret()?);
        let expires = act.now.plus_seconds(days * log_in::DAY);
        let row = TokenRow {
            hash: hash(&token),
            created: act.now.0,
            expires: expires.0,
            ..row
        };
        if !self.store().add_token(&row).await? {
            return Err(PeopleError::NameTaken);
        }
        self.tell(act, told(expires), &row.name);
        Ok(Made {
            token,
            name: row.name,
            expires,
        })
    }

    /// Who a token is; nobody when it ended or was taken back. Of what it allows, as much as its owner still may.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Store`], [`PeopleError::Unreadable`].
    pub async fn token(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<Option<Principal>, PeopleError> {
        if !text.starts_with(PREFIX) {
            return Ok(None);
        }
        let Some(row) = self.store().token(&hash(text)).await? else {
            return Ok(None);
        };
        if row.expires <= now.0 || !PURPOSES.contains(&row.purpose.as_str()) {
            return Ok(None);
        }
        if !row.parent.is_empty() {
            // By its hash: another token of the same name is another one.
            let parent = self.store().token(&row.parent).await?;
            if parent.is_none_or(|parent| parent.expires <= now.0) {
                return Ok(None);
            }
        }
        let label = label(&row.name);
        let mut principal = Principal {
            account: label.clone(),
            name: label.clone(),
            shown: label,
            grants: grants(&row.grants)?,
            via: if row.purpose == MANAGING {
                Via::Managing {
                    token: row.name.clone(),
                }
            } else {
                Via::Token
            },
        };
        if !row.account.is_empty() {
            let account = self.store().account(&row.account).await?;
            let Some(account) = account.filter(|account| account.state == "active") else {
                return Ok(None);
            };
            let owner = Principal {
                grants: grants(&account.grants)?,
                ..principal.clone()
            };
            principal.grants.retain(|grant| is_within(grant, &owner));
            // Nobody approves by a program what they asked for themselves.
            principal.account = row.account;
        }
        if now.seconds_since(Timestamp(row.last_used)) >= USED_SECONDS {
            // A disk that is full stops no program that reads.
            drop(self.store().used_token(&row.hash, now.0).await);
        }
        Ok(Some(principal))
    }

    /// One's own tokens, as far as they hold; all of them for whoever sees accounts.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Store`], [`PeopleError::Unreadable`].
    pub async fn tokens(&self, by: &Principal) -> Result<Vec<TokenView>, PeopleError> {
        let all = by.may_all(Right::SeeAdministration);
        let rows = self.store().tokens().await?;
        let hashes: BTreeSet<String> = rows.iter().map(|row| row.hash.clone()).collect();
        rows.into_iter()
            .filter(|row| all || is_own(row, by))
            // One whose parent is gone opens nothing.
            .filter(|row| row.parent.is_empty() || hashes.contains(&row.parent))
            .map(|row| {
                Ok(TokenView {
                    is_own: !by.account.is_empty() && is_own(&row, by),
                    is_directory: row.purpose == super::directory::DIRECTORY,
                    manages_people: row.purpose == MANAGING,
                    created: Timestamp(row.created),
                    grants: grants(&row.grants)?,
                    expires: Timestamp(row.expires),
                    last_used: (row.last_used > 0).then_some(Timestamp(row.last_used)),
                    name: row.name,
                })
            })
            .collect()
    }

    /// Takes a token back, and with it those it made: one's own, or any for whoever manages people. A program that doesn't
    /// takes back itself alone.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NoSuch`], [`PeopleError::NotAllowed`], [`PeopleError::OnlySees`].
    pub async fn revoke_token(&self, act: Act<'_>, name: &str) -> Result<(), PeopleError> {
        let token = self.token_named(&fold(name)?).await?;
        if !is_own(&token, act.by) {
            need(act.by, Right::ManagePeople)?;
        }
        if self.store().revoke_token(&token.name, &token.hash).await? {
            self.tell(act, AccessKind::TokenRevoked, &token.name);
        }
        Ok(())
    }
}

/// Whether it is one's own: a program's is itself alone.
fn is_own(row: &TokenRow, by: &Principal) -> bool {
    match by.via {
        Via::Token => label(&row.name) == by.name,
        _ => row.account == by.account,
    }
}

/// As what a token's deeds are told.
fn label(name: &str) -> String {
    format!("token {name}")
}
