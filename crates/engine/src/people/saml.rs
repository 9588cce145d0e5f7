//! Logging in by SAML 2.0: the request goes with the browser, the answer comes back by a form of the provider's page.
//!
//! That form is another site's, so no cookie of a session comes with it. Invariant: an answer is taken once, and only from
//! the browser that keeps what was begun, whose request and relay state it has to name. So an answer that was stolen, or
//! made for a log-in somebody else began, lets nobody in. What follows is as with every provider.

use std::sync::Arc;

use ::provider::{ProviderError, Signatures};
use ::saml::{Answer, Expected, Settings, metadata};
use model::{Timestamp, Who};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::provider::blocking;
use super::session::SAML;
use super::{AWAY_SECONDS_MAX, By, People, PeopleError, Sent, Vouched, hash, secret};

/// Longest form that an answer comes by, in bytes, with its relay state.
pub const FORM_BYTES_MAX: usize = ::saml::FORM_BYTES_MAX + 4096;

/// A provider by SAML 2.0.
pub struct Saml {
    settings: Settings,
    signatures: Signatures,
}

impl Saml {
    /// Takes its settings, and what checks its signatures.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Setting`].
    pub fn new(settings: Settings, signatures: Signatures) -> Result<Self, ProviderError> {
        let setting = |what| Err(ProviderError::Setting { what });
        if !::provider::may_be_asked(&settings.sso_url) {
            return setting("sso_url is https, or http on 127.0.0.1 and localhost");
        }
        if [&settings.entity_id, &settings.subject, &settings.account]
            .iter()
            .any(|text| text.is_empty())
        {
            return setting("a provider needs entity_id, subject and account");
        }
        Ok(Self {
            settings,
            signatures,
        })
    }

    /// Its entity id, as its answers name it.
    #[must_use]
    pub fn entity_id(&self) -> &str {
        &self.settings.entity_id
    }

    /// Who an answer vouches for, as a form has it. Blocks.
    fn end(
        &self,
        form: &str,
        expected: Expected<'_>,
        now: Timestamp,
    ) -> Result<Who, ProviderError> {
        let wrong = |why| ProviderError::Answer { why };
        let answer = Answer::read(form, expected, &self.settings, now).map_err(wrong)?;
        let mut widest = None;
        // All of them have to be right, whichever is read.
        for signed in answer.signed() {
            let (text, element) = (answer.without_key(signed), signed.whole.element());
            let digested = self.signatures.digested(&text, &element, &signed.id)?;
            let digested = digested.ok_or(wrong("its signature isn't the provider's"))?;
            widest.get_or_insert(digested);
        }
        let widest = widest.ok_or(wrong("it isn't signed"))?;
        answer
            .who(&widest, expected, &self.settings, now)
            .map_err(wrong)
    }
}

/// What came back with somebody.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The provider's name in the address.
    pub provider: &'a str,
    /// What the browser keeps.
    pub kept: &'a str,
    /// `RelayState`.
    pub relay: &'a str,
    /// `SAMLResponse`.
    pub response: &'a str,
}

#[derive(Serialize, Deserialize)]
struct Away {
    provider: String,
    /// The request's ID, which the answer names.
    request: String,
    relay: String,
    next: String,
}

impl People {
    /// This console's entity id for a provider, which is where its metadata are.
    fn entity_id(&self, id: &str) -> String {
        format!("{}/login/metadata/{id}", self.0.sign_in.address)
    }

    /// What this console says of itself to a provider by SAML (XML).
    ///
    /// # Errors
    ///
    /// [`PeopleError::NoSuch`].
    pub fn metadata(&self, id: &str) -> Result<String, PeopleError> {
        match self.voucher(id)?.by {
            By::Saml(_) => Ok(metadata(&self.entity_id(id), &self.way_back(id))),
            By::OpenId(_) => Err(PeopleError::NoSuch),
        }
    }

    pub(super) async fn begin_saml(
        &self,
        saml: &Saml,
        id: &str,
        next: &str,
        now: Timestamp,
    ) -> Result<Sent, PeopleError> {
        let away = Away {
            provider: id.to_owned(),
            // An ID begins with a letter or `_` (core §1.3.4).
            request: format!("_{}", secret()?),
            relay: secret()?,
            next: next.to_owned(),
        };
        let (own, place) = (self.entity_id(id), self.way_back(id));
        let expected = Expected {
            own: &own,
            place: &place,
            request: &away.request,
        };
        let place = ::saml::request(&saml.settings, expected, &away.relay, now);
        let what = "sso_url is no address";
        let source = ProviderError::Setting { what };
        let place = place.ok_or(PeopleError::Provider { source })?;
        let kept = self.keep(SAML.name, &away, now).await?;
        Ok(Sent {
            place,
            kept,
            is_answered_by_form: true,
        })
    }

    /// Ends: who came back is logged in, or has a second factor to show or to set up.
    ///
    /// # Errors
    ///
    /// As [`People::end_with`]; what wasn't begun in this browser, or long ago, is [`PeopleError::NotHere`].
    pub async fn end_saml(
        &self,
        answered: Answered<'_>,
        from: &str,
        now: Timestamp,
    ) -> Result<Vouched, PeopleError> {
        let voucher = self.voucher(answered.provider)?;
        let By::Saml(saml) = &voucher.by else {
            return Err(PeopleError::NoSuch);
        };
        let since = now.plus_seconds(-AWAY_SECONDS_MAX).0;
        let row = self
            .store()
            .take_ceremony(&hash(answered.kept), SAML.name, since)
            .await?;
        let refuse = |why| Err(self.not_vouched(&voucher, why, from, now));
        let Some(row) = row else {
            return refuse(
                "this log-in wasn't begun in this browser, or longer than ten minutes ago, or was ended already",
            );
        };
        let away: Away = serde_json::from_str(&row.body)?;
        let is_same = away.relay.as_bytes().ct_eq(answered.relay.as_bytes());
        if !bool::from(is_same) || away.provider != answered.provider {
            return refuse("what came back was for another log-in");
        }
        let (own, place) = (
            self.entity_id(answered.provider),
            self.way_back(answered.provider),
        );
        let (saml, form, request) = (Arc::clone(saml), answered.response.to_owned(), away.request);
        let ended = blocking(move || {
            let expected = Expected {
                own: &own,
                place: &place,
                request: &request,
            };
            saml.end(&form, expected, now)
        })
        .await;
        self.come(&voucher, ended, away.next, from, now).await
    }
}
