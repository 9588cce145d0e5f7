//! Logging in by an OpenID provider: whose account somebody is whom it vouches for, and what they still have to show.
//!
//! What comes back is bound to the browser that began: by a value that browser alone keeps, which is taken once. An
//! account is found by the provider's own word for somebody once it is linked, by its name only the first time, and
//! never so where it has a password here or is kept from others (PCI DSS v4.0.1 req. 8.2.1, 8.4.2).

use std::collections::BTreeMap;
use std::sync::Arc;

use ::provider::{Begun, Provider, ProviderError, Who};
use model::{AccessKind, Grant, Role, Timestamp};
use serde::{Deserialize, Serialize};
use stores::{AccountRow, CeremonyRow, IdentityRow, InvitationRow};
use subtle::ConstantTimeEq as _;

use super::directory::{DIRECTORY, DirectorySettings};
use super::log_in::{secret_of, session_row};
use super::manage::checked;
use super::session::{OIDC, PENDING_OIDC};
use super::{
    People, PeopleError, UNUSED_DAYS_MAX, fold, grants, hash, hex, json, log_in, random, secret,
    shown,
};

/// Seconds within which somebody is back.
pub const AWAY_SECONDS_MAX: i64 = 10 * 60;
/// The kind of what is begun, and of who somebody is at a provider.
const KIND: &str = "oidc";

/// A provider, and what it may do.
#[derive(Clone)]
pub struct OpenId {
    /// Its name in addresses and settings.
    pub id: String,
    /// Its name on the button.
    pub name: String,
    /// The provider.
    pub provider: Arc<Provider>,
    /// Whether somebody without an account gets one, without roles.
    pub makes_accounts: bool,
    /// Roles by its own words. Without any it changes no roles.
    pub roles: BTreeMap<String, Vec<Grant>>,
}

/// What becomes of somebody a provider vouched for.
#[derive(Debug, PartialEq, Eq)]
pub enum Vouched {
    /// Is logged in.
    In {
        /// The session's token.
        token: String,
        /// Where they wanted to be.
        next: String,
    },
    /// Has to show a second factor.
    SecondFactor {
        /// The token of the first step.
        token: String,
        /// Where they wanted to be.
        next: String,
    },
    /// Has none yet, and sets one up by this invitation.
    Enrols {
        /// Its token.
        invitation: String,
    },
}

/// What came back with somebody.
#[derive(Clone, Copy, Debug)]
pub struct Back<'a> {
    /// The provider's name in the address.
    pub provider: &'a str,
    /// What the browser keeps.
    pub kept: &'a str,
    /// The state that was named.
    pub state: &'a str,
    /// The code.
    pub code: &'a str,
    /// The issuer that was named (RFC 9207); empty when none was.
    pub issuer: &'a str,
}

#[derive(Serialize, Deserialize)]
struct Away {
    provider: String,
    begun: Begun,
    next: String,
}

impl People {
    /// Names of the providers in addresses, and on their buttons.
    #[must_use]
    pub fn providers(&self) -> Vec<(String, String)> {
        let all = self.0.sign_in.providers.iter();
        all.map(|one| (one.id.clone(), one.name.clone())).collect()
    }

    fn openid(&self, id: &str) -> Result<OpenId, PeopleError> {
        let found = self.0.sign_in.providers.iter().find(|one| one.id == id);
        found.cloned().ok_or(PeopleError::NoSuch)
    }

    fn redirect(&self, id: &str) -> String {
        format!("{}/login/back/{id}", self.0.sign_in.address)
    }

    /// Begins: gives where somebody is sent, and what their browser has to keep.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NoSuch`], [`PeopleError::Provider`] when it can't be reached.
    pub async fn begin_with(
        &self,
        id: &str,
        next: &str,
        now: Timestamp,
    ) -> Result<(String, String), PeopleError> {
        let openid = self.openid(id)?;
        let redirect = self.redirect(id);
        let (place, begun) = blocking(move || openid.provider.begin(&redirect, now)).await?;
        let kept = secret()?;
        let away = Away {
            provider: id.to_owned(),
            begun,
            next: next.to_owned(),
        };
        let row = CeremonyRow {
            hash: hash(&kept),
            kind: KIND.to_owned(),
            account: String::new(),
            body: serde_json::to_string(&away)?,
            created: now.0,
        };
        self.store().begin_ceremony(&row).await?;
        Ok((place, kept))
    }

    /// Ends: who came back is logged in, or has a second factor to show or to set up.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Late`] for what wasn't begun in this browser, or long ago; [`PeopleError::Provider`];
    /// [`PeopleError::NotHere`] for somebody without an account that may be used.
    pub async fn end_with(
        &self,
        back: Back<'_>,
        from: &str,
        now: Timestamp,
    ) -> Result<Vouched, PeopleError> {
        let openid = self.openid(back.provider)?;
        let since = now.plus_seconds(-AWAY_SECONDS_MAX).0;
        let row = self
            .store()
            .take_ceremony(&hash(back.kept), KIND, since)
            .await?;
        let row = row.ok_or(PeopleError::Late)?;
        let away: Away = serde_json::from_str(&row.body)?;
        let is_same = away.begun.state.as_bytes().ct_eq(back.state.as_bytes());
        // Another provider's answer, or one that was begun elsewhere.
        let is_its = away.provider == back.provider
            && (back.issuer.is_empty() || back.issuer == openid.provider.issuer());
        if !bool::from(is_same) || !is_its {
            return Err(self.not_vouched(
                &openid,
                "what came back was for another log-in",
                from,
                now,
            ));
        }
        let (redirect, code) = (self.redirect(back.provider), back.code.to_owned());
        let (provider, begun) = (Arc::clone(&openid.provider), away.begun);
        let ended = blocking(move || provider.end(&redirect, &begun, &code, now)).await;
        let who = match ended {
            Ok(who) => who,
            Err(PeopleError::Provider { source }) => {
                let why = source.to_string();
                self.tell_provider(&openid, &why, from, now);
                return Err(PeopleError::Provider { source });
            }
            Err(error) => return Err(error),
        };
        let account = self.vouched_account(&openid, &who, from, now).await?;
        self.admit(&account, &who, away.next, from, now).await
    }

    fn tell_provider(&self, openid: &OpenId, why: &str, from: &str, now: Timestamp) {
        let kind = AccessKind::ProviderRefused {
            provider: openid.id.clone(),
            why: why.to_owned(),
        };
        // What a provider calls somebody without an account is left out: it may be anything.
        self.tell_own(now, from, kind, "");
    }

    fn not_vouched(
        &self,
        openid: &OpenId,
        why: &'static str,
        from: &str,
        now: Timestamp,
    ) -> PeopleError {
        self.tell_provider(openid, why, from, now);
        PeopleError::NotHere { why }
    }

    /// The account of somebody a provider vouched for, as it may be used now.
    async fn vouched_account(
        &self,
        openid: &OpenId,
        who: &Who,
        from: &str,
        now: Timestamp,
    ) -> Result<AccountRow, PeopleError> {
        let _changing = self.0.changing.lock().await;
        let refuse = |why| Err(self.not_vouched(openid, why, from, now));
        let subject = format!("{} {}", openid.provider.issuer(), who.subject);
        let mut account = match self.store().identity(KIND, &subject).await? {
            Some(link) => {
                let account = self.store().account(&link.account).await?;
                account.ok_or(PeopleError::NoSuch)?
            }
            None => {
                let Ok(name) = fold(&who.account) else {
                    return refuse("its name for you can't be an account's");
                };
                let account = match self.store().account_named(&name).await? {
                    Some(account) => account,
                    None if openid.makes_accounts => {
                        self.made(openid, &name, who, from, now).await?
                    }
                    None => {
                        return refuse(
                            "you have no account here; an administrator or the directory makes one",
                        );
                    }
                };
                if self.0.sign_in.directory.keep.contains(&account.name) {
                    return refuse("this account is for name and password alone");
                }
                if !self.may_be_linked(&account).await? {
                    return refuse(
                        "your account has a password here, or is somebody else's there; an administrator resets it first",
                    );
                }
                if account.state == "disabled" {
                    return refuse("your account is disabled");
                }
                let row = IdentityRow {
                    kind: KIND.to_owned(),
                    subject,
                    account: account.id.clone(),
                    secret: String::new(),
                    previous: "[]".to_owned(),
                    used: -1,
                    changed: now.0,
                };
                self.store().put_identity(&row).await?;
                let provider = openid.id.clone();
                self.tell_own(now, from, AccessKind::Linked { provider }, &account.name);
                account
            }
        };
        if account.state == "invited" {
            // The link they were sent is no more, nor a password from before.
            self.forget_password(&account.id, now).await?;
            self.store().activate(&account.id, now.0).await?;
            account.state = "active".to_owned();
            account.last_seen = now.0;
            self.tell_own(now, from, AccessKind::Joined, &account.name);
        }
        if account.state != "active" {
            return refuse("your account is disabled");
        }
        if account.locked_until > now.0 {
            return refuse("your account is locked for half an hour");
        }
        let unused = Timestamp(account.last_seen).plus_seconds(UNUSED_DAYS_MAX * log_in::DAY);
        if unused < now {
            self.disable_unused(&account, now).await?;
            return refuse("your account wasn't used for 90 days");
        }
        self.give_roles(openid, who, &mut account, from, now)
            .await?;
        Ok(account)
    }

    /// Whether an account that isn't linked yet may be, by its name alone: one that waits for its person, or that has no
    /// other way in. Whoever may choose their name at the provider would else be whom they like here.
    async fn may_be_linked(&self, account: &AccountRow) -> Result<bool, PeopleError> {
        if self.store().links_of(KIND, &account.id).await? > 0 {
            return Ok(false);
        }
        if account.state == "invited" {
            return Ok(true);
        }
        let password = self.store().identity("password", &account.id).await?;
        Ok(secret_of(password).is_none())
    }

    async fn made(
        &self,
        openid: &OpenId,
        name: &str,
        who: &Who,
        from: &str,
        now: Timestamp,
    ) -> Result<AccountRow, PeopleError> {
        let row = AccountRow {
            id: hex(&random::<16>()?),
            name: name.to_owned(),
            shown: shown(&who.shown).unwrap_or_else(|_| name.to_owned()),
            state: "active".to_owned(),
            grants: "[]".to_owned(),
            created: now.0,
            last_seen: now.0,
            ..AccountRow::default()
        };
        if !self.store().add_account(&row).await? {
            return Err(PeopleError::Changed);
        }
        let provider = openid.id.clone();
        self.tell_own(now, from, AccessKind::MadeByProvider { provider }, name);
        Ok(row)
    }

    /// Makes somebody's roles what the provider's words are mapped to, where it says any and any is mapped.
    async fn give_roles(
        &self,
        openid: &OpenId,
        who: &Who,
        account: &mut AccountRow,
        from: &str,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        let Some(words) = &who.words else {
            return Ok(());
        };
        let Some(after) = DirectorySettings::mapped(&openid.roles, words.iter()) else {
            return Ok(());
        };
        let after = if after.is_empty() {
            after
        } else {
            checked(&after)?
        };
        let before = grants(&account.grants)?;
        if before == after || self.0.sign_in.directory.keep.contains(&account.name) {
            return Ok(());
        }
        if before.contains(&Grant::all(Role::Admin)) && !after.contains(&Grant::all(Role::Admin)) {
            self.keep_an_admin(account).await?;
        }
        let written = json(&after)?;
        if !self
            .store()
            .set_grants(&account.id, &account.grants, &written)
            .await?
        {
            return Err(PeopleError::Changed);
        }
        account.grants = written;
        (self.0.tell)(model::AccessEvent {
            at: now,
            kind: AccessKind::Granted { before, after },
            account: account.name.clone(),
            by: format!("provider {}", openid.id),
            from: from.to_owned(),
        });
        Ok(())
    }

    /// Lets somebody in as far as what they showed goes. Every way begins a session of its own.
    async fn admit(
        &self,
        account: &AccountRow,
        who: &Who,
        next: String,
        from: &str,
        now: Timestamp,
    ) -> Result<Vouched, PeopleError> {
        if who.has_factors {
            let token = self.begin_full(account, OIDC, None, from, now).await?;
            return Ok(Vouched::In { token, next });
        }
        let has_totp = self.store().identity("totp", &account.id).await?.is_some();
        if has_totp || !self.store().passkeys_of(&account.id).await?.is_empty() {
            let token = secret()?;
            let row = session_row(&token, &account.id, PENDING_OIDC, now)?;
            self.store().begin_session(&row, None).await?;
            return Ok(Vouched::SecondFactor { token, next });
        }
        let invitation = secret()?;
        let row = InvitationRow {
            hash: hash(&invitation),
            account: account.id.clone(),
            name: account.name.clone(),
            shown: account.shown.clone(),
            grants: account.grants.clone(),
            secret: self.new_secret(&hash(&invitation))?,
            created: now.0,
            expires: now.plus_seconds(AWAY_SECONDS_MAX).0,
            ..InvitationRow::default()
        };
        self.store().invite(&row).await?;
        Ok(Vouched::Enrols { invitation })
    }

    /// Whether the directory or a provider is how an account's person comes in: there is no password here.
    pub(super) async fn has_no_password(&self, account: &str) -> Result<bool, PeopleError> {
        let password = self.store().identity("password", account).await?;
        Ok(secret_of(password).is_none()
            && (self.store().links_of(KIND, account).await? > 0
                || self.store().identity(DIRECTORY, account).await?.is_some()))
    }
}

/// Asks a provider where blocking is allowed.
async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, PeopleError> {
    let asked = tokio::task::spawn_blocking(ask).await;
    match asked {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(PeopleError::Provider { source }),
        Err(_) => Err(PeopleError::Busy),
    }
}
