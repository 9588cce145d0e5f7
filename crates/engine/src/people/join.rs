//! Joining: one-time links by which people choose a password and set up their second factor.
//!
//! There is no default password, and nobody ever learns somebody else's (PCI DSS v4.0.1 req. 2.2.2, 8.3.5). What was
//! chosen waits with the invitation until a code shows that the factor works; then all of it becomes true at once.

use model::{AccessKind, Grant, Role, Timestamp};
use stores::{AccountRow, IdentityRow, InvitationRow, Joining};

use super::log_in::{Fresh, session_row};
use super::password::{self, PREVIOUS, PasswordFault};
use super::session::PASSWORD;
use super::{
    Act, INVITATION_SECONDS, People, PeopleError, fold, grants, hash, hex, json, random, secret,
    shown, totp,
};

/// An invitation as its page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The account's name; empty in the very first invitation until it is chosen.
    pub name: String,
    /// The name that others will see.
    pub shown: String,
    /// Whether the name is still to be chosen.
    pub names_itself: bool,
    /// What the account will be allowed.
    pub grants: Vec<Grant>,
    /// What is to be done.
    pub step: Step,
}

/// What is to be done to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Choose a password.
    Password,
    /// Set up the second factor, and send a code of it.
    Factor {
        /// What an authenticator reads.
        uri: String,
        /// The secret, to be typed.
        secret: String,
    },
}

impl People {
    /// An invitation for whoever comes first, to administer and to look; nothing once there is an account. An earlier one
    /// ends.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Store`], [`PeopleError::Random`].
    pub async fn first_invitation(&self, now: Timestamp) -> Result<Option<String>, PeopleError> {
        if !self.store().accounts().await?.is_empty() {
            return Ok(None);
        }
        let grants = vec![Grant::all(Role::Admin), Grant::all(Role::Analyst)];
        let row = InvitationRow {
            grants: json(&grants)?,
            ..InvitationRow::default()
        };
        let token = self.send(row, now).await?;
        self.tell_own(now, "", AccessKind::Invited { grants }, "");
        Ok(Some(token))
    }

    /// Writes an invitation; gives its token.
    pub(super) async fn send(
        &self,
        row: InvitationRow,
        now: Timestamp,
    ) -> Result<String, PeopleError> {
        let token = secret()?;
        let row = InvitationRow {
            hash: hash(&token),
            created: now.0,
            expires: now.plus_seconds(INVITATION_SECONDS).0,
            ..row
        };
        self.store().invite(&row).await?;
        Ok(token)
    }

    async fn invitation(&self, token: &str, now: Timestamp) -> Result<InvitationRow, PeopleError> {
        let row = self.store().invitation(&hash(token)).await?;
        let row = row.filter(|row| row.expires > now.0);
        row.ok_or(PeopleError::NoInvitation)
    }

    /// What an invitation asks for.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NoInvitation`].
    pub async fn welcome(&self, token: &str, now: Timestamp) -> Result<Welcome, PeopleError> {
        let row = self.invitation(token, now).await?;
        let step = if row.secret.is_empty() {
            Step::Password
        } else {
            let opened = totp::open(&self.0.key, &row.hash, &row.secret)?;
            Step::Factor {
                uri: totp::uri(&opened, &row.name),
                secret: totp::base32(&opened),
            }
        };
        Ok(Welcome {
            names_itself: row.account.is_empty(),
            grants: grants(&row.grants)?,
            name: row.name,
            shown: row.shown,
            step,
        })
    }

    /// The first step: a password, and the names where they are to be chosen.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NoInvitation`], [`PeopleError::Name`], [`PeopleError::NameTaken`], [`PeopleError::Shown`],
    /// [`PeopleError::Password`].
    pub async fn choose(
        &self,
        token: &str,
        name: &str,
        shown_name: &str,
        password: &str,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        let mut row = self.invitation(token, now).await?;
        if row.account.is_empty() {
            row.name = fold(name)?;
            if self.store().account_named(&row.name).await?.is_some() {
                return Err(PeopleError::NameTaken);
            }
        }
        row.shown = shown(shown_name)?;
        password::check(password, &row.name)?;
        self.refuse_earlier(&row.account, password).await?;
        row.password = self.0.hashing.hash(password).await?;
        row.secret = self.new_secret(&row.hash)?;
        self.store().chose(&row).await?;
        Ok(())
    }

    /// A new second factor's secret, sealed for `whose`.
    pub(super) fn new_secret(&self, whose: &str) -> Result<String, PeopleError> {
        let fresh = random::<{ totp::SECRET_BYTES }>()?;
        totp::seal(&self.0.key, whose, &fresh)
    }

    /// Refuses a password that was one of the account's last four.
    pub(super) async fn refuse_earlier(
        &self,
        account: &str,
        password: &str,
    ) -> Result<(), PeopleError> {
        let Some(identity) = self.store().identity("password", account).await? else {
            return Ok(());
        };
        let mut hashes: Vec<String> = serde_json::from_str(&identity.previous)?;
        if !identity.secret.is_empty() {
            hashes.insert(0, identity.secret);
        }
        if self.0.hashing.is_any(password, hashes).await? {
            let fault = PasswordFault::Reused;
            return Err(PeopleError::Password { fault });
        }
        Ok(())
    }

    /// A password's row with a new hash; the one that was goes to the earlier ones.
    pub(super) async fn password_row(
        &self,
        account: &str,
        hashed: String,
        now: Timestamp,
    ) -> Result<IdentityRow, PeopleError> {
        let mut row = identity_row("password", account, hashed, now);
        if let Some(old) = self.store().identity("password", account).await? {
            if old.secret == row.secret {
                return Ok(old);
            }
            let mut previous: Vec<String> = serde_json::from_str(&old.previous)?;
            if !old.secret.is_empty() {
                previous.insert(0, old.secret);
            }
            // With the present one they are the last four.
            previous.truncate(PREVIOUS - 1);
            row.previous = serde_json::to_string(&previous)?;
        }
        Ok(row)
    }

    /// Lets a password open nothing any more; it stays among the earlier ones, so that it doesn't come back.
    pub(super) async fn forget_password(
        &self,
        account: &str,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        let row = self.password_row(account, String::new(), now).await?;
        if row.previous != "[]" {
            self.store().put_identity(&row).await?;
        }
        Ok(())
    }

    /// The second step: a code of the new factor. Everything that was chosen becomes true, and a session begins.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NoInvitation`], [`PeopleError::Code`].
    pub async fn join(
        &self,
        token: &str,
        code: &str,
        from: &str,
        now: Timestamp,
    ) -> Result<Fresh, PeopleError> {
        let row = self.invitation(token, now).await?;
        if row.secret.is_empty() {
            return Err(PeopleError::NoInvitation);
        }
        let opened = totp::open(&self.0.key, &row.hash, &row.secret)?;
        let step = totp::step_of(&opened, code, now).ok_or(PeopleError::Code)?;
        let known = match row.account.as_str() {
            "" => None,
            id => self.store().account(id).await?,
        };
        let was_active = known.as_ref().is_some_and(|known| known.state == "active");
        let account = match known {
            Some(known) => AccountRow {
                shown: row.shown,
                last_seen: now.0,
                ..known
            },
            None => AccountRow {
                id: hex(&random::<16>()?),
                name: row.name,
                shown: row.shown,
                state: "active".to_owned(),
                grants: row.grants,
                created: now.0,
                last_seen: now.0,
                ..AccountRow::default()
            },
        };
        let sealed = totp::seal(&self.0.key, &account.id, &opened)?;
        let fresh = secret()?;
        // Who has no password is known by a provider.
        let way = match row.password.as_str() {
            "" => self.linked_by(&account.id).await?,
            _ => Some(&PASSWORD),
        };
        let factors = way.ok_or(PeopleError::NoInvitation)?.totp;
        let joining = Joining {
            invitation: row.hash,
            // A provider knows who has none.
            password: match row.password.as_str() {
                "" => None,
                _ => Some(self.password_row(&account.id, row.password, now).await?),
            },
            factor: IdentityRow {
                used: step,
                ..identity_row("totp", &account.id, sealed, now)
            },
            session: session_row(&fresh, &account.id, factors, now)?,
            account,
        };
        if !self.store().join(&joining).await? {
            return Err(PeopleError::NoInvitation);
        }
        let kind = if was_active {
            AccessKind::FactorChanged
        } else {
            AccessKind::Joined
        };
        self.tell_own(now, from, kind, &joining.account.name);
        Ok(Fresh { token: fresh })
    }

    /// An invitation of an account that is there, with nothing chosen.
    pub(super) async fn send_to(
        &self,
        account: &AccountRow,
        act: Act<'_>,
    ) -> Result<String, PeopleError> {
        let row = InvitationRow {
            account: account.id.clone(),
            name: account.name.clone(),
            shown: account.shown.clone(),
            grants: account.grants.clone(),
            ..InvitationRow::default()
        };
        self.send(row, act.now).await
    }
}

fn identity_row(kind: &str, account: &str, secret: String, now: Timestamp) -> IdentityRow {
    IdentityRow {
        kind: kind.to_owned(),
        subject: account.to_owned(),
        account: account.to_owned(),
        secret,
        previous: "[]".to_owned(),
        used: -1,
        changed: now.0,
    }
}
