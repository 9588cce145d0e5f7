//! Managing people: who is there, inviting, granting, disabling. Each asks for the right first, and is told.

use model::{AccessKind, Grant, Principal, Right, Role, Timestamp};
use stores::AccountRow;

use super::{
    Act, People, PeopleError, SessionView, UNUSED_DAYS_MAX, fold, grants, hex, json,
    keep_from_programs, log_in, need, once, random,
};
use crate::people::{IDLE_SECONDS, SESSION_SECONDS_MAX, STEP_SECONDS_MAX};

/// An account as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// Its name.
    pub name: String,
    /// The name others see.
    pub shown: String,
    /// `invited`, `active` or `disabled`.
    pub state: String,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used; when it was made until then.
    pub last_seen: Timestamp,
    /// Until when it is locked.
    pub locked_until: Option<Timestamp>,
    /// Whether it is the one that asks.
    pub is_own: bool,
}

impl People {
    /// Every account, by name.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NotAllowed`].
    pub async fn accounts(&self, act: Act<'_>) -> Result<Vec<AccountView>, PeopleError> {
        need(act.by, Right::SeeAdministration)?;
        let rows = self.store().accounts().await?;
        rows.into_iter().map(|row| view(row, act)).collect()
    }

    /// One account, and the sessions it has.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NotAllowed`], [`PeopleError::NoSuch`].
    pub async fn account(
        &self,
        act: Act<'_>,
        name: &str,
    ) -> Result<(AccountView, Vec<SessionView>), PeopleError> {
        need(act.by, Right::SeeAdministration)?;
        let row = self.named(name).await.map_err(|error| match error {
            // No account has such a name.
            PeopleError::Name => PeopleError::NoSuch,
            error => error,
        })?;
        let sessions = self.sessions_of(&row.id, "", act.now).await?;
        Ok((view(row, act)?, sessions))
    }

    /// Invites somebody; gives the link's token, once. Who was invited and didn't come is invited anew, with these roles.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NotAllowed`], [`PeopleError::Name`], [`PeopleError::NameTaken`], [`PeopleError::Grants`].
    pub async fn invite(
        &self,
        act: Act<'_>,
        name: &str,
        given: &[Grant],
    ) -> Result<String, PeopleError> {
        need(act.by, Right::ManagePeople)?;
        let name = fold(name)?;
        let given = checked(given)?;
        keep_from_programs(act.by, given.iter())?;
        let row = AccountRow {
            id: hex(&random::<16>()?),
            shown: name.clone(),
            name,
            state: "invited".to_owned(),
            grants: json(&given)?,
            created: act.now.0,
            last_seen: act.now.0,
            ..AccountRow::default()
        };
        let mut account = row.clone();
        if !self.store().add_account(&row).await? {
            account = self.named(&row.name).await?;
            let was = account.grants.clone();
            keep_from_programs(act.by, grants(&was)?.iter())?;
            if account.state != "invited"
                || !self
                    .store()
                    .set_grants(&account.id, &was, &row.grants)
                    .await?
            {
                return Err(PeopleError::NameTaken);
            }
            account.grants = row.grants;
        }
        let token = self.send_to(&account, act).await?;
        self.tell(act, AccessKind::Invited { grants: given }, &account.name);
        Ok(token)
    }

    /// Changes what somebody may do; at once, in the sessions they have too.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NotAllowed`], [`PeopleError::Oneself`], [`PeopleError::NoSuch`], [`PeopleError::Grants`],
    /// [`PeopleError::LastAdmin`], [`PeopleError::Changed`].
    pub async fn grant(
        &self,
        act: Act<'_>,
        name: &str,
        given: &[Grant],
    ) -> Result<(), PeopleError> {
        self.grant_from(act, name, None, given).await
    }

    /// The same as long as they may do what was `seen`.
    ///
    /// # Errors
    ///
    /// As [`People::grant`].
    pub async fn grant_from(
        &self,
        act: Act<'_>,
        name: &str,
        seen: Option<&[Grant]>,
        given: &[Grant],
    ) -> Result<(), PeopleError> {
        let _changing = self.0.changing.lock().await;
        let account = self.other(act, name).await?;
        let after = checked(given)?;
        keep_from_programs(act.by, after.iter())?;
        let before = grants(&account.grants)?;
        let is_seen = seen.is_none_or(|seen| {
            seen.iter().all(|grant| before.contains(grant))
                && before.iter().all(|grant| seen.contains(grant))
        });
        if !is_seen {
            return Err(PeopleError::Changed);
        }
        if !after.contains(&Grant::all(Role::Admin)) {
            self.keep_an_admin(&account).await?;
        }
        let changed = self
            .store()
            .set_grants(&account.id, &account.grants, &json(&after)?)
            .await?;
        if !changed {
            return Err(PeopleError::Changed);
        }
        if before != after {
            self.tell(act, AccessKind::Granted { before, after }, &account.name);
        }
        Ok(())
    }

    /// Takes an account out of use, with its sessions and tokens; [`People::reset`] brings it back.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NotAllowed`], [`PeopleError::Oneself`], [`PeopleError::NoSuch`], [`PeopleError::LastAdmin`].
    pub async fn disable(&self, act: Act<'_>, name: &str) -> Result<(), PeopleError> {
        let _changing = self.0.changing.lock().await;
        let account = self.other(act, name).await?;
        self.keep_an_admin(&account).await?;
        if self.store().disable(&account.id).await? {
            self.tell(act, AccessKind::Disabled, &account.name);
        }
        Ok(())
    }

    /// Takes somebody's password and second factor away; gives a link by which they choose new ones. That it is them
    /// who asked is for whoever does it to make sure (req. 8.3.3).
    ///
    /// # Errors
    ///
    /// [`PeopleError::NotAllowed`], [`PeopleError::Oneself`], [`PeopleError::NoSuch`], [`PeopleError::LastAdmin`].
    pub async fn reset(&self, act: Act<'_>, name: &str) -> Result<String, PeopleError> {
        let account = self.other(act, name).await?;
        self.store().reset(&account.id).await?;
        let token = self.send_to(&account, act).await?;
        self.tell(act, AccessKind::FactorsReset, &account.name);
        Ok(token)
    }

    /// Lifts the lock after too many failures. That it is them who failed is for whoever does it to make sure (req. 8.3.4).
    ///
    /// # Errors
    ///
    /// [`PeopleError::NotAllowed`], [`PeopleError::Oneself`], [`PeopleError::NoSuch`].
    pub async fn unlock(&self, act: Act<'_>, name: &str) -> Result<(), PeopleError> {
        let account = self.other(act, name).await?;
        if self.store().unlock(&account.id, act.now.0).await? {
            self.tell(act, AccessKind::Unlocked, &account.name);
        }
        Ok(())
    }

    /// Logs somebody out everywhere; their tokens hold on.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NotAllowed`], [`PeopleError::Oneself`], [`PeopleError::NoSuch`].
    pub async fn end_sessions(&self, act: Act<'_>, name: &str) -> Result<(), PeopleError> {
        let account = self.other(act, name).await?;
        if self.store().end_sessions(&account.id, "").await? > 0 {
            self.tell(act, AccessKind::LoggedOutEverywhere, &account.name);
        }
        Ok(())
    }

    /// Somebody else's account, for whoever may manage people.
    async fn other(&self, act: Act<'_>, name: &str) -> Result<AccountRow, PeopleError> {
        need(act.by, Right::ManagePeople)?;
        let account = self.named(name).await?;
        if account.id == act.by.account {
            return Err(PeopleError::Oneself);
        }
        keep_from_programs(act.by, grants(&account.grants)?.iter())?;
        Ok(account)
    }

    /// Refuses to take the last administrator away.
    pub(super) async fn keep_an_admin(&self, account: &AccountRow) -> Result<(), PeopleError> {
        if account.state != "active" || !is_admin(account)? {
            return Ok(());
        }
        for other in self.store().accounts().await? {
            if other.id != account.id && other.state == "active" && is_admin(&other)? {
                return Ok(());
            }
        }
        Err(PeopleError::LastAdmin)
    }

    /// Takes away what ended, and disables accounts nobody used; to be done each hour.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Store`].
    pub async fn sweep(&self, now: Timestamp) -> Result<(), PeopleError> {
        let before = |seconds: i64| now.plus_seconds(-seconds).0;
        self.store()
            .sweep(before(SESSION_SECONDS_MAX), before(IDLE_SECONDS), now.0)
            .await?;
        self.store()
            .sweep_ceremonies(before(STEP_SECONDS_MAX))
            .await?;
        self.store().sweep_asked(before(once::KEPT_SECONDS)).await?;
        let unused = before(UNUSED_DAYS_MAX * log_in::DAY);
        for account in self.store().unused_since(unused).await? {
            self.disable_unused(&account, now).await?;
        }
        Ok(())
    }
}

fn view(row: AccountRow, act: Act<'_>) -> Result<AccountView, PeopleError> {
    Ok(AccountView {
        grants: grants(&row.grants)?,
        created: Timestamp(row.created),
        last_seen: Timestamp(row.last_seen),
        locked_until: (row.locked_until > act.now.0).then_some(Timestamp(row.locked_until)),
        is_own: row.id == act.by.account,
        name: row.name,
        shown: row.shown,
        state: row.state,
    })
}

fn is_admin(account: &AccountRow) -> Result<bool, PeopleError> {
    let grants = grants(&account.grants)?;
    Ok(grants.iter().any(|grant| grant.role == Role::Admin))
}

/// Grants in order, each once, that one account may hold.
pub(super) fn checked(given: &[Grant]) -> Result<Vec<Grant>, PeopleError> {
    let mut given = given.to_vec();
    given.sort();
    given.dedup();
    Grant::check(&given).map_err(|why| PeopleError::Grants { why })?;
    Ok(given)
}

/// Whether everything a token may do is covered by what its owner may do.
pub(super) fn is_within(grant: &Grant, owner: &Principal) -> bool {
    owner.grants.iter().any(|own| {
        own.role == grant.role
            && (own.scope == grant.scope || own.scope == model::Scope::Installation)
    })
}
