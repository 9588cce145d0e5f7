//! Who somebody is, as a provider vouches for them: by whatever protocol, once what it said was checked.

use std::collections::BTreeSet;

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The provider's own word for them, which never changes.
    pub subject: String,
    /// An account's name.
    pub account: String,
    /// The name to be shown; empty when there is none.
    pub shown: String,
    /// Words that stand for roles; nothing when the provider says none.
    pub words: Option<BTreeSet<String>>,
    /// Whether the provider says, in words that are configured, that more than one factor was shown.
    pub has_factors: bool,
}
