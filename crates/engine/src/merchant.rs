//! Who the merchant is, as settings say it: checked against what the embedded duties ask.

use std::collections::BTreeSet;

pub use incident::{Duties, EntityProfile};
use incident::{ObligationRules, is_place};

use crate::content;

/// Why what settings say of the merchant can't be used: a word that isn't known, with those that are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MerchantError {
    /// A place that is no code of a country or of a part of one.
    #[error("`{0}` is no place such as `DE`, `US-CA`, `EU` or `UK`")]
    Place(String),
    /// Customers live nowhere: no law that goes by where they do would be shown.
    #[error("a merchant's customers live in at least one place")]
    NoPlace,
    /// No duty asks for such a merchant.
    #[error("no duty asks whether the merchant is `{word}`; known: {known}")]
    Merchant {
        /// What was said.
        word: String,
        /// What can be said.
        known: String,
    },
}

/// The places where customers live, and what the merchant is; `None` where settings don't say.
///
/// # Errors
///
/// [`MerchantError`] when a word isn't known: a duty would go unseen for it.
///
/// # Panics
///
/// When the obligations that the binary embeds can't be read, which a test refuses.
pub fn profile(
    customers: Option<Vec<String>>,
    merchant: Option<Vec<String>>,
) -> Result<EntityProfile, MerchantError> {
    if customers.as_ref().is_some_and(Vec::is_empty) {
        return Err(MerchantError::NoPlace);
    }
    let mut places = customers.iter().flatten();
    if let Some(place) = places.find(|place| !is_place(place)) {
        return Err(MerchantError::Place(place.clone()));
    }
    let files: Vec<_> = content::under("obligations/", ".toml").collect();
    let rules = ObligationRules::parse(&files).expect("the embedded obligations are tested");
    let known: BTreeSet<&String> = rules.rules().flat_map(|rule| &rule.entities).collect();
    let mut words = merchant.iter().flatten();
    if let Some(word) = words.find(|word| !known.contains(word)) {
        let known: Vec<&str> = known.iter().map(|word| word.as_str()).collect();
        return Err(MerchantError::Merchant {
            word: word.clone(),
            known: known.join("; "),
        });
    }
    Ok(EntityProfile {
        regions: customers.map(BTreeSet::from_iter),
        entities: merchant.map(BTreeSet::from_iter),
    })
}
