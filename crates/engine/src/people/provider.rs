//! Logging in by a provider: away and back (OpenID Connect here, SAML in `saml.rs`).
//!
//! What comes back is bound to the browser that began: by a value that browser alone keeps, which is taken once. What
//! becomes of somebody then: `vouched.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::provider::{Begun, Provider, ProviderError};
use model::{AccessKind, Grant, Timestamp, Who};
use serde::{Deserialize, Serialize};
use stores::CeremonyRow;
use subtle::ConstantTimeEq as _;

use super::saml::Saml;
use super::session::{OIDC, SAML, Way};
use super::{People, PeopleError, hash, secret};

/// Seconds within which somebody is back.
pub const AWAY_SECONDS_MAX: i64 = 10 * 60;

/// How a provider vouches for somebody.
#[derive(Clone)]
pub enum By {
    /// OpenID Connect.
    OpenId(Arc<Provider>),
    /// SAML 2.0.
    Saml(Arc<Saml>),
}

/// A provider, and what it may do.
#[derive(Clone)]
pub struct Voucher {
    /// Its name in addresses and settings.
    pub id: String,
    /// Its name on the button.
    pub name: String,
    /// The provider.
    pub by: By,
    /// Whether somebody without an account gets one, without roles.
    pub makes_accounts: bool,
    /// Roles by its own words. Without any it changes no roles.
    pub roles: BTreeMap<String, Vec<Grant>>,
}

impl Voucher {
    /// The kind of who somebody is there.
    pub(super) fn way(&self) -> &'static Way {
        match self.by {
            By::OpenId(_) => &OIDC,
            By::Saml(_) => &SAML,
        }
    }

    /// Its own name, as what it says names it.
    pub(super) fn issuer(&self) -> &str {
        match &self.by {
            By::OpenId(provider) => provider.issuer(),
            By::Saml(saml) => saml.entity_id(),
        }
    }
}

/// Where somebody is sent to log in, and what their browser has to keep.
#[derive(Debug, PartialEq, Eq)]
pub struct Sent {
    /// Where.
    pub place: String,
    /// What is kept.
    pub kept: String,
    /// Whether the provider's own page sends the answer, as a form: what is kept has to come back with that.
    pub is_answered_by_form: bool,
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

    pub(super) fn voucher(&self, id: &str) -> Result<Voucher, PeopleError> {
        let found = self.0.sign_in.providers.iter().find(|one| one.id == id);
        found.cloned().ok_or(PeopleError::NoSuch)
    }

    /// Where a provider sends somebody back to.
    pub(super) fn way_back(&self, id: &str) -> String {
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
    ) -> Result<Sent, PeopleError> {
        let provider = match self.voucher(id)?.by {
            By::OpenId(provider) => provider,
            By::Saml(saml) => return self.begin_saml(&saml, id, next, now).await,
        };
        let redirect = self.way_back(id);
        let (place, begun) = blocking(move || provider.begin(&redirect, now)).await?;
        let away = Away {
            provider: id.to_owned(),
            begun,
            next: next.to_owned(),
        };
        let kept = self.keep(OIDC.name, &away, now).await?;
        Ok(Sent {
            place,
            kept,
            is_answered_by_form: false,
        })
    }

    /// Writes down what was begun; gives what the browser has to keep.
    pub(super) async fn keep(
        &self,
        kind: &str,
        away: &impl Serialize,
        now: Timestamp,
    ) -> Result<String, PeopleError> {
        let kept = secret()?;
        let row = CeremonyRow {
            hash: hash(&kept),
            kind: kind.to_owned(),
            account: String::new(),
            body: serde_json::to_string(away)?,
            created: now.0,
        };
        self.store().begin_ceremony(&row).await?;
        Ok(kept)
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
        let voucher = self.voucher(back.provider)?;
        let By::OpenId(provider) = &voucher.by else {
            return Err(PeopleError::NoSuch);
        };
        let since = now.plus_seconds(-AWAY_SECONDS_MAX).0;
        let row = self
            .store()
            .take_ceremony(&hash(back.kept), OIDC.name, since)
            .await?;
        let row = row.ok_or(PeopleError::Late)?;
        let away: Away = serde_json::from_str(&row.body)?;
        let is_same = away.begun.state.as_bytes().ct_eq(back.state.as_bytes());
        // Another provider's answer, or one that was begun elsewhere.
        let is_its = away.provider == back.provider
            && (back.issuer.is_empty() || back.issuer == provider.issuer());
        if !bool::from(is_same) || !is_its {
            return Err(self.not_vouched(
                &voucher,
                "what came back was for another log-in",
                from,
                now,
            ));
        }
        let (redirect, code) = (self.way_back(back.provider), back.code.to_owned());
        let (provider, begun) = (Arc::clone(provider), away.begun);
        let ended = blocking(move || provider.end(&redirect, &begun, &code, now)).await;
        self.come(&voucher, ended, away.next, from, now).await
    }

    /// Lets somebody in whom a provider vouched for, or tells why not.
    pub(super) async fn come(
        &self,
        voucher: &Voucher,
        ended: Result<Who, PeopleError>,
        next: String,
        from: &str,
        now: Timestamp,
    ) -> Result<Vouched, PeopleError> {
        let who = match ended {
            Ok(who) => who,
            Err(PeopleError::Provider { source }) => {
                let mut why = source.to_string();
                if let ProviderError::Program { cause } = &source {
                    // Of this machine, and for whoever runs it.
                    why = format!("{why}: {cause}");
                }
                self.tell_provider(voucher, &why, from, now);
                return Err(PeopleError::Provider { source });
            }
            Err(error) => return Err(error),
        };
        let account = self.vouched_account(voucher, &who, from, now).await?;
        self.admit(voucher.way(), &account, &who, next, from, now)
            .await
    }

    fn tell_provider(&self, voucher: &Voucher, why: &str, from: &str, now: Timestamp) {
        let kind = AccessKind::ProviderRefused {
            provider: voucher.id.clone(),
            why: why.to_owned(),
        };
        // What a provider calls somebody without an account is left out: it may be anything.
        self.tell_own(now, from, kind, "");
    }

    pub(super) fn not_vouched(
        &self,
        voucher: &Voucher,
        why: &'static str,
        from: &str,
        now: Timestamp,
    ) -> PeopleError {
        self.tell_provider(voucher, why, from, now);
        PeopleError::NotHere { why }
    }
}

/// Asks a provider where blocking is allowed.
pub(super) async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, ProviderError> + Send + 'static,
) -> Result<T, PeopleError> {
    let asked = tokio::task::spawn_blocking(ask).await;
    match asked {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(PeopleError::Provider { source }),
        Err(_) => Err(PeopleError::Busy),
    }
}
