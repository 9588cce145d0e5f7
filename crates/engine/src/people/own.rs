//! What people do about their own account. Whoever sits at an open session isn't its person yet: a factor is asked for
//! again first (PCI DSS v4.0.1 req. 8.3.3).

use crate::hide::hide;
use crate::zone::Zone;
use model::{AccessKind, Grant, GrantError, Right};
use stores::{AccountRow, InvitationRow};

use super::log_in::secret_of;
use super::session::Raised;
use super::{
    Act, BREAK_GLASS_SECONDS, People, PeopleError, grants, hash, is_person, need, password,
};

/// Characters of a reason.
const REASON_CHARACTERS: std::ops::RangeInclusive<usize> = 10..=500;

impl People {
    pub(super) async fn own(&self, act: Act<'_>) -> Result<AccountRow, PeopleError> {
        if !is_person(act.by) {
            return Err(PeopleError::NoSuch);
        }
        let account = self.store().account(&act.by.account).await?;
        account.ok_or(PeopleError::NoSuch)
    }

    /// Changes one's own password; other sessions than the one of `session` end.
    ///
    /// # Errors
    ///
    /// [`PeopleError::LogIn`] when the present one isn't right, [`PeopleError::Password`].
    pub async fn change_password(
        &self,
        act: Act<'_>,
        session: &str,
        present: &str,
        new: &str,
    ) -> Result<(), PeopleError> {
        let account = self.own(act).await?;
        self.prove_password(&account, present, act.from, act.now)
            .await?;
        password::check(new, &account.name)?;
        self.refuse_earlier(&account.id, new).await?;
        let hashed = self.0.hashing.hash(new).await?;
        let row = self.password_row(&account.id, hashed, act.now).await?;
        self.store().put_identity(&row).await?;
        self.store()
            .end_sessions(&account.id, &hash(session))
            .await?;
        self.tell(act, AccessKind::PasswordChanged, &account.name);
        Ok(())
    }

    /// Chooses the zone in which one is told times; an empty name goes back to the console's own. No factor is asked for: it changes
    /// nothing of what anybody may do.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Zone`] when there is none of that name.
    pub async fn choose_zone(&self, act: Act<'_>, name: &str) -> Result<(), PeopleError> {
        let account = self.own(act).await?;
        let name = match name.trim() {
            "" => String::new(),
            name => Zone::named(name)?.name().to_owned(),
        };
        Ok(self.store().set_zone(&account.id, &name).await?)
    }

    /// Begins to change one's own second factor; gives the token of an invitation to set up the new one. The old one
    /// holds until then.
    ///
    /// # Errors
    ///
    /// [`PeopleError::LogIn`], [`PeopleError::Code`] when password or code aren't right.
    pub async fn change_factor(
        &self,
        act: Act<'_>,
        present: &str,
        code: &str,
    ) -> Result<String, PeopleError> {
        let account = self.own(act).await?;
        // Whom a provider knows has none.
        if !self.has_no_password(&account.id).await? {
            self.prove_password(&account, present, act.from, act.now)
                .await?;
        }
        self.prove(&account, code, act.from, act.now).await?;
        let identity = self.store().identity("password", &account.id).await?;
        let token = self.send_to(&account, act).await?;
        let row = InvitationRow {
            hash: hash(&token),
            name: account.name,
            shown: account.shown,
            password: secret_of(identity).unwrap_or_default(),
            secret: self.new_secret(&hash(&token))?,
            ..InvitationRow::default()
        };
        self.store().chose(&row).await?;
        Ok(token)
    }

    /// Takes a further role for an hour, in the session of `session` alone, with a reason that is sealed.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NotAllowed`], [`PeopleError::Grants`] for a role their own must be apart from,
    /// [`PeopleError::Reason`], [`PeopleError::Code`].
    pub async fn break_glass(
        &self,
        act: Act<'_>,
        session: &str,
        grant: Grant,
        reason: &str,
        code: &str,
    ) -> Result<(), PeopleError> {
        let account = self.own(act).await?;
        need(act.by, Right::BreakGlass)?;
        let role = grant.role;
        if role.is_given_only() {
            let why = GrantError::GivenOnly { role };
            return Err(PeopleError::Grants { why });
        }
        let mut all = grants(&account.grants)?;
        all.push(grant.clone());
        Grant::check(&all).map_err(|why| PeopleError::Grants { why })?;
        let mut reason = reason.trim().to_owned();
        hide(&mut reason);
        if !REASON_CHARACTERS.contains(&reason.chars().count()) {
            return Err(PeopleError::Reason);
        }
        self.prove(&account, code, act.from, act.now).await?;
        let until = act.now.plus_seconds(BREAK_GLASS_SECONDS);
        let raised = serde_json::to_string(&Raised {
            grant: grant.clone(),
            reason: reason.clone(),
        })?;
        if !self.store().raise(&hash(session), &raised, until.0).await? {
            return Err(PeopleError::Late);
        }
        let kind = AccessKind::GlassBroken {
            grant,
            until,
            reason,
        };
        self.tell(act, kind, &account.name);
        Ok(())
    }

    /// Gives the further role back before its time.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Store`].
    pub async fn mend_glass(&self, act: Act<'_>, session: &str) -> Result<(), PeopleError> {
        if self.store().raise(&hash(session), "", 0).await? {
            self.tell(act, AccessKind::GlassMended, &act.by.name);
        }
        Ok(())
    }
}
