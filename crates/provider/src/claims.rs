//! What of a token's claims says who somebody is.

use std::collections::{BTreeMap, BTreeSet};

use openidconnect::core::CoreGenderClaim;
use openidconnect::{AdditionalClaims, IdTokenClaims};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use model::Who;

use crate::{ProviderError, Settings};

/// Most words of a claim.
const WORDS_MAX: usize = 1000;

/// Claims beyond the standard's.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Others {
    #[serde(flatten)]
    all: BTreeMap<String, Value>,
}

impl AdditionalClaims for Others {}

/// Who somebody is, by claims that were checked.
pub(crate) fn who(
    claims: &IdTokenClaims<Others, CoreGenderClaim>,
    settings: &Settings,
) -> Result<Who, ProviderError> {
    let others = &claims.additional_claims().all;
    let account = match settings.account_claim.as_str() {
        "sub" => Some(claims.subject().to_string()),
        "preferred_username" => claims.preferred_username().map(|name| name.to_string()),
        // An address that wasn't proved may be anybody's.
        "email" => claims
            .email()
            .filter(|_| claims.email_verified() == Some(true))
            .map(|address| address.to_string()),
        other => others.get(other).and_then(Value::as_str).map(str::to_owned),
    };
    let account = account.filter(|name| !name.trim().is_empty());
    let words = match settings.roles_claim.as_str() {
        "" => None,
        claim => others.get(claim).map(words),
    };
    let amr = claims.auth_method_refs().into_iter().flatten();
    let by_amr = amr
        .map(|word| word.as_str())
        .any(|word| settings.amr.contains(word));
    let acr = claims.auth_context_ref().map(|word| word.as_str());
    let by_acr = acr.is_some_and(|word| settings.acr.contains(word));
    let shown = claims.name().and_then(|name| name.get(None));
    Ok(Who {
        subject: claims.subject().to_string(),
        account: account.ok_or(ProviderError::NoAccount)?,
        shown: shown.map(|name| name.to_string()).unwrap_or_default(),
        words,
        has_factors: by_amr || by_acr,
    })
}

/// Words of a claim: a list, or one.
fn words(claim: &Value) -> BTreeSet<String> {
    match claim {
        Value::String(word) => [word.clone()].into(),
        Value::Array(all) => {
            let texts = all.iter().take(WORDS_MAX).filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        }
        _ => BTreeSet::new(),
    }
}
