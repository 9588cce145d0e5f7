//! An OpenID provider: where somebody is sent to log in, and who they are when they come back with a code. Beside it the
//! signatures of one that speaks SAML.
//!
//! OpenID Connect Core 1.0 with the authorization code flow and PKCE (RFC 7636), by `openidconnect`; what the provider
//! says is checked here and decided upon elsewhere. Everything blocks: it is called where blocking is allowed.

mod claims;
mod http;
mod signatures;

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use chrono::DateTime;
use model::{Timestamp, Who};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod,
    CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, IdTokenFields, IssuerUrl,
    Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    SignatureVerificationError, StandardErrorResponse, StandardTokenResponse, TokenResponse as _,
};

use claims::Others;
use http::Http;
pub use http::may_be_asked;
pub use signatures::{Signatures, XMLSEC1};

/// Seconds for which what a provider says of itself is believed.
const METADATA_SECONDS: i64 = 3600;
/// Seconds between two looks for new keys, however many tokens name one that isn't known.
const KEYS_SECONDS: i64 = 10;
/// Seconds by which clocks may differ.
const DRIFT_SECONDS: i64 = 120;
/// Oldest token, in seconds: it was made for the code that was just given.
const TOKEN_SECONDS_MAX: i64 = 600;

/// Signatures that are taken. None by a shared secret, and not none.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

type Fields = IdTokenFields<
    Others,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Answer = StandardTokenResponse<Fields, CoreTokenType>;
type Client = openidconnect::Client<
    Others,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Answer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// A provider as the settings have it.
#[derive(Clone)]
pub struct Settings {
    /// Its issuer, as its tokens name it.
    pub issuer: String,
    /// This console's id there.
    pub client_id: String,
    /// This console's secret there.
    pub client_secret: String,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that is an account's name here.
    pub account_claim: String,
    /// The claim whose values stand for roles; empty for none.
    pub roles_claim: String,
    /// Values of `amr` that say that more than one factor was shown.
    pub amr: BTreeSet<String>,
    /// Values of `acr` that say so.
    pub acr: BTreeSet<String>,
    /// Certificates (PEM) of who signed the provider's, instead of the public ones.
    pub authorities: Option<Vec<u8>>,
}

/// What was begun, to be kept until somebody comes back: the state and the nonce bind the answer to it, the verifier the
/// code.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Begun {
    /// What the answer has to name.
    pub state: String,
    /// What the token has to name.
    pub nonce: String,
    /// What the code is exchanged with.
    pub verifier: String,
}

/// Why nobody is known by a provider.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// A setting that can't be used.
    #[error("{what}")]
    Setting {
        /// What is wrong.
        what: &'static str,
    },
    /// The provider can't be reached, or says nothing that can be read.
    #[error(
        "the provider can't be reached, or what it says of itself can't be read; name and password still work here"
    )]
    Unreachable {
        /// What was said, for whoever runs this.
        cause: String,
    },
    /// The provider refused the code: used before, or too old.
    #[error("the provider refused the code")]
    Code,
    /// A token that isn't what it should be.
    #[error("the provider's token isn't right: {why}")]
    Token {
        /// What isn't.
        why: &'static str,
    },
    /// An answer of SAML that isn't what it should be.
    #[error("the provider's answer isn't right: {why}")]
    Answer {
        /// What isn't.
        why: &'static str,
    },
    /// The program that checks signatures of SAML doesn't.
    #[error("signatures can't be checked now; name and password still work here")]
    Program {
        /// What was said, for whoever runs this.
        cause: String,
    },
    /// A token without the account's name.
    #[error("the provider's token doesn't have the claim that names an account")]
    NoAccount,
}

/// What a provider said of itself, and when.
struct Known {
    at: Timestamp,
    metadata: CoreProviderMetadata,
}

/// An OpenID provider.
pub struct Provider {
    settings: Settings,
    issuer: IssuerUrl,
    http: Http,
    known: Mutex<Option<Known>>,
}

impl Provider {
    /// Takes its settings; asks it nothing yet.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Setting`].
    pub fn new(settings: Settings) -> Result<Self, ProviderError> {
        let setting = |what| ProviderError::Setting { what };
        if !may_be_asked(&settings.issuer) {
            return Err(setting(
                "an issuer is https, or http on 127.0.0.1 and localhost",
            ));
        }
        if settings.client_id.is_empty() || settings.client_secret.is_empty() {
            return Err(setting("a provider needs a client id and a client secret"));
        }
        if settings.account_claim.is_empty() {
            return Err(setting("a provider needs the claim that names an account"));
        }
        let issuer = IssuerUrl::new(settings.issuer.clone());
        let issuer = issuer.map_err(|_| setting("the issuer is no address"))?;
        let http = Http::new(settings.authorities.as_deref()).map_err(setting)?;
        Ok(Self {
            settings,
            issuer,
            http,
            known: Mutex::default(),
        })
    }

    /// Its issuer, as its tokens name it.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// What the provider says of itself: as it said within the hour, or, with `keys`, anew.
    fn metadata(&self, now: Timestamp, keys: bool) -> Result<CoreProviderMetadata, ProviderError> {
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = known.as_ref() {
                let age = now.seconds_since(known.at);
                if age < if keys { KEYS_SECONDS } else { METADATA_SECONDS } {
                    return Ok(known.metadata.clone());
                }
            }
        }
        // Not held while it is asked: others go on with what they know.
        let ask = |request| self.http.call(request);
        let metadata = CoreProviderMetadata::discover(&self.issuer, &ask);
        let metadata = metadata.map_err(|error| ProviderError::Unreachable {
            cause: error.to_string(),
        })?;
        let token = metadata.token_endpoint().map(|url| url.as_str());
        let places = [Some(metadata.authorization_endpoint().as_str()), token];
        if !places.iter().all(|place| place.is_some_and(may_be_asked)) {
            let cause = "an endpoint is missing, or not https".to_owned();
            return Err(ProviderError::Unreachable { cause });
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(Known {
            at: now,
            metadata: metadata.clone(),
        });
        Ok(metadata)
    }

    fn client(
        &self,
        metadata: CoreProviderMetadata,
        redirect: &str,
    ) -> Result<Client, ProviderError> {
        let what = "the console's own address is none";
        let redirect = RedirectUrl::new(redirect.to_owned());
        let redirect = redirect.map_err(|_| ProviderError::Setting { what })?;
        let (id, secret) = (&self.settings.client_id, &self.settings.client_secret);
        let methods = metadata.token_endpoint_auth_methods_supported().cloned();
        let client = Client::from_provider_metadata(
            metadata,
            ClientId::new(id.clone()),
            Some(ClientSecret::new(secret.clone())),
        )
        .set_redirect_uri(redirect);
        // What isn't said is basic (Discovery §3).
        let methods = methods.unwrap_or_default();
        let is_basic =
            methods.is_empty() || methods.contains(&CoreClientAuthMethod::ClientSecretBasic);
        Ok(if is_basic {
            client
        } else {
            client.set_auth_type(AuthType::RequestBody)
        })
    }

    /// Begins: gives where somebody is sent, and what has to be kept until they are back at `redirect`.
    ///
    /// # Errors
    ///
    /// [`ProviderError::Unreachable`], [`ProviderError::Setting`].
    pub fn begin(&self, redirect: &str, now: Timestamp) -> Result<(String, Begun), ProviderError> {
        let client = self.client(self.metadata(now, false)?, redirect)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut asked = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .set_pkce_challenge(challenge);
        for scope in &self.settings.scopes {
            asked = asked.add_scope(Scope::new(scope.clone()));
        }
        if let Some(acr) = self.settings.acr.first() {
            asked = asked.add_auth_context_value(openidconnect::AuthenticationContextClass::new(
                acr.clone(),
            ));
        }
        let (place, state, nonce) = asked.url();
        let begun = Begun {
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
        };
        Ok((place.into(), begun))
    }

    /// Ends: exchanges the code and checks the token it is for.
    ///
    /// # Errors
    ///
    /// [`ProviderError`], whatever isn't right.
    pub fn end(
        &self,
        redirect: &str,
        begun: &Begun,
        code: &str,
        now: Timestamp,
    ) -> Result<Who, ProviderError> {
        let client = self.client(self.metadata(now, false)?, redirect)?;
        let ask = |request| self.http.call(request);
        let exchange = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|error| ProviderError::Unreachable {
                cause: error.to_string(),
            })?
            .set_pkce_verifier(PkceCodeVerifier::new(begun.verifier.clone()));
        let answer = exchange.request(&ask).map_err(|error| match error {
            RequestTokenError::ServerResponse(_) => ProviderError::Code,
            RequestTokenError::Request(error) => ProviderError::Unreachable {
                cause: error.to_string(),
            },
            _ => ProviderError::Token {
                why: "it can't be read",
            },
        })?;
        match self.checked(&client, &answer, begun, now) {
            // Keys change: those that are known may be the last ones.
            Err(ProviderError::Token { why }) if why == UNKNOWN_KEY => {
                let client = self.client(self.metadata(now, true)?, redirect)?;
                self.checked(&client, &answer, begun, now)
            }
            done => done,
        }
    }

    fn checked(
        &self,
        client: &Client,
        answer: &Answer,
        begun: &Begun,
        now: Timestamp,
    ) -> Result<Who, ProviderError> {
        let wrong = |why| ProviderError::Token { why };
        let seconds = now.0.div_euclid(Timestamp::SECOND);
        let at = DateTime::from_timestamp(seconds, 0).ok_or(wrong("the clock is wrong"))?;
        let verifier = client
            .id_token_verifier()
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(move || at)
            .set_issue_time_verifier_fn(move |issued| {
                let age = seconds.saturating_sub(issued.timestamp());
                if (-DRIFT_SECONDS..=TOKEN_SECONDS_MAX).contains(&age) {
                    Ok(())
                } else {
                    Err("iat".to_owned())
                }
            });
        let token = answer.id_token().ok_or(wrong("there is none"))?;
        let nonce = Nonce::new(begun.nonce.clone());
        let claims = token
            .claims(&verifier, &nonce)
            .map_err(|error| wrong(why(&error)))?;
        // The library leaves it to us (Core §3.1.3.7, 4 and 5).
        let party = claims.authorized_party().map(|party| party.as_str());
        let is_ours = match party {
            Some(party) => party == self.settings.client_id,
            None => claims.audiences().len() == 1,
        };
        if !is_ours {
            return Err(wrong("it was made for another party"));
        }
        claims::who(claims, &self.settings)
    }
}

/// A key that isn't among those that are known.
const UNKNOWN_KEY: &str = "it is signed with a key that isn't the provider's";

/// What is wrong with a token, without what stands in it.
fn why(error: &ClaimsVerificationError) -> &'static str {
    match error {
        ClaimsVerificationError::Expired(_) => "its time is over",
        ClaimsVerificationError::InvalidAudience(_) => "it was made for another console",
        ClaimsVerificationError::InvalidIssuer(_) => "another provider made it",
        ClaimsVerificationError::InvalidNonce(_) => "it was made for another log-in",
        ClaimsVerificationError::SignatureVerification(error) => match error {
            SignatureVerificationError::NoMatchingKey
            | SignatureVerificationError::CryptoError(_) => UNKNOWN_KEY,
            SignatureVerificationError::DisallowedAlg(_)
            | SignatureVerificationError::UnsupportedAlg(_)
            | SignatureVerificationError::NoSignature => "it isn't signed as it has to be",
            _ => "its key can't be told",
        },
        _ => "its claims aren't right",
    }
}
