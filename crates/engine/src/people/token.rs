//! Tokens for programs: named, scoped, ending, shown once.

use model::{AccessKind, Grant, Principal, Right, Timestamp, Via};
use stores::TokenRow;

use super::manage::{checked, is_within};
use super::{Act, People, PeopleError, fold, grants, hash, is_person, json, log_in, need, secret};

/// Days for which a token holds when nothing else is asked for.
pub const TOKEN_DAYS: i64 = 90;
/// Most days.
pub const TOKEN_DAYS_MAX: i64 = 366;
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
    /// When it ends.
    pub expires: Timestamp,
    /// When it was last used.
    pub last_used: Option<Timestamp>,
}

impl People {
    /// Makes a token; gives it, once. One of a person may do what that person may, and ends with their account.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Name`], [`PeopleError::NameTaken`], [`PeopleError::Days`], [`PeopleError::Grants`],
    /// [`PeopleError::Beyond`].
    pub async fn make_token(
        &self,
        act: Act<'_>,
        name: &str,
        given: &[Grant],
        days: i64,
    ) -> Result<String, PeopleError> {
        let name = fold(name)?;
        let given = checked(given)?;
        // A program makes no others: a token that leaked must end when it ends.
        if !is_person(act.by) {
            return Err(PeopleError::Beyond);
        }
        if act.by.via != Via::Machine {
            // What is held for an hour is not handed on.
            let account = self.store().account(&act.by.account).await?;
            let account = account.ok_or(PeopleError::NoSuch)?;
            let owner = Principal {
                grants: grants(&account.grants)?,
                ..act.by.clone()
            };
            if !given.iter().all(|grant| is_within(grant, &owner)) {
                return Err(PeopleError::Beyond);
            }
        }
        let row = TokenRow {
            name,
            account: act.by.account.clone(),
            grants: json(&given)?,
            ..TokenRow::default()
        };
        let told = |expires| AccessKind::TokenMade {
            grants: given,
            expires,
        };
        self.add_token(act, row, days, told).await
    }

    /// Makes a token for so many days, and tells that it was made.
    pub(super) async fn add_token(
        &self,
        act: Act<'_>,
        row: TokenRow,
        days: i64,
        told: impl FnOnce(Timestamp) -> AccessKind,
    ) -> Result<String, PeopleError> {
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
        Ok(token)
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
        if row.expires <= now.0 || !row.purpose.is_empty() {
            return Ok(None);
        }
        let label = format!("token {}", row.name);
        let mut principal = Principal {
            account: label.clone(),
            name: label.clone(),
            shown: label,
            grants: grants(&row.grants)?,
            via: Via::Token,
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

    /// One's own tokens; all of them for whoever sees accounts.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Store`], [`PeopleError::Unreadable`].
    pub async fn tokens(&self, by: &Principal) -> Result<Vec<TokenView>, PeopleError> {
        let all = by.may_all(Right::SeeAdministration);
        let rows = self.store().tokens().await?;
        rows.into_iter()
            .filter(|row| all || row.account == by.account)
            .map(|row| {
                Ok(TokenView {
                    is_own: !by.account.is_empty() && row.account == by.account,
                    is_directory: row.purpose == super::directory::DIRECTORY,
                    grants: grants(&row.grants)?,
                    expires: Timestamp(row.expires),
                    last_used: (row.last_used > 0).then_some(Timestamp(row.last_used)),
                    name: row.name,
                })
            })
            .collect()
    }

    /// Takes a token back: one's own, or any for whoever manages people.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NoSuch`], [`PeopleError::NotAllowed`].
    pub async fn revoke_token(&self, act: Act<'_>, name: &str) -> Result<(), PeopleError> {
        let name = fold(name)?;
        let tokens = self.store().tokens().await?;
        let token = tokens.into_iter().find(|token| token.name == name);
        let token = token.ok_or(PeopleError::NoSuch)?;
        if token.account != act.by.account {
            need(act.by, Right::ManagePeople)?;
        }
        if self.store().revoke_token(&name).await? {
            self.tell(act, AccessKind::TokenRevoked, &name);
        }
        Ok(())
    }
}
