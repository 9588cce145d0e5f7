//! What happens to accounts and by whom, as it is sealed (PCI DSS v4.0.1 req. 8.2.4, 10.2.1.2, 10.2.1.4, 10.2.1.5, 10.2.2).
//!
//! Invariant: no secret, and nothing somebody typed that may be one: a name nobody has is left out.

use serde::{Deserialize, Serialize};

use super::Grant;
use crate::Timestamp;

/// Something that happened to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: AccessKind,
    /// Name of the account or token it happened to; empty for a name nobody has.
    pub account: String,
    /// Name of who did it.
    pub by: String,
    /// Address it was done from; empty for the command line and for what happens by itself.
    pub from: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "access")]
#[non_exhaustive]
pub enum AccessKind {
    /// Was invited.
    Invited {
        /// What they will be allowed.
        grants: Vec<Grant>,
    },
    /// Took the invitation: set a password and a second factor.
    Joined,
    /// Logged in with every factor.
    LoggedIn {
        /// Which, e.g. `password totp`, `passkey`, `oidc totp` or `saml`; empty in what was sealed before they were told.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        factors: String,
    },
    /// Gave a wrong name, password or code.
    LogInFailed,
    /// Was locked after too many failures.
    Locked {
        /// Until when.
        until: Timestamp,
    },
    /// The lock after too many failures was lifted before its time.
    Unlocked,
    /// Logged out.
    LoggedOut,
    /// Was logged out everywhere.
    LoggedOutEverywhere,
    /// Changed the password.
    PasswordChanged,
    /// Changed the second factor.
    FactorChanged,
    /// Password and second factor were taken away; a new invitation was made.
    FactorsReset,
    /// May do other things than before.
    Granted {
        /// What was allowed.
        before: Vec<Grant>,
        /// What is allowed.
        after: Vec<Grant>,
    },
    /// Was disabled.
    Disabled,
    /// Was disabled by itself, having been unused for too long.
    DisabledUnused,
    /// A token for programs was made.
    TokenMade {
        /// What it allows.
        grants: Vec<Grant>,
        /// Until when.
        expires: Timestamp,
        /// Whether it may manage people.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        manages_people: bool,
    },
    /// A token was taken back.
    TokenRevoked,
    /// Took a further role for a while.
    GlassBroken {
        /// The role.
        grant: Grant,
        /// Until when.
        until: Timestamp,
        /// Why, in their own words.
        reason: String,
    },
    /// Gave it back before its time.
    GlassMended,
    /// Was made by the company's directory, with no roles unless they stand beside.
    Provisioned,
    /// Is described anew by the directory: the name that pages show.
    Described,
    /// May be used again: the directory, which ended it, says so.
    Returned,
    /// A token for a directory was made: it provisions people and does nothing else.
    DirectoryTokenMade {
        /// Until when.
        expires: Timestamp,
    },
    /// Was made because a provider vouched for somebody without an account.
    MadeByProvider {
        /// The provider's name in the settings.
        provider: String,
    },
    /// From now on is a provider's subject, whatever the provider calls them.
    Linked {
        /// The provider's name in the settings.
        provider: String,
    },
    /// Somebody a provider vouched for wasn't let in.
    ProviderRefused {
        /// The provider's name in the settings.
        provider: String,
        /// Why, in words of ours.
        why: String,
    },
    /// A shop's host was let in by the word it was invited with: it reports, and carries out plans.
    HostEnrolled,
    /// Is told by mail at another address than before, or no more. The address isn't sealed: it stays for good there.
    MailChanged,
    /// A passkey was added.
    PasskeyAdded {
        /// What its owner calls it.
        name: String,
    },
    /// A passkey was removed.
    PasskeyRemoved {
        /// What its owner called it.
        name: String,
    },
    /// A passkey's counter went back: there may be a copy of it. It was refused.
    PasskeyCopied {
        /// What its owner calls it.
        name: String,
    },
}

impl AccessKind {
    /// The name as it is sealed.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Invited { .. } => "invited",
            Self::Joined => "joined",
            Self::LoggedIn { .. } => "logged_in",
            Self::LogInFailed => "log_in_failed",
            Self::Locked { .. } => "locked",
            Self::Unlocked => "unlocked",
            Self::LoggedOut => "logged_out",
            Self::LoggedOutEverywhere => "logged_out_everywhere",
            Self::PasswordChanged => "password_changed",
            Self::FactorChanged => "factor_changed",
            Self::FactorsReset => "factors_reset",
            Self::Granted { .. } => "granted",
            Self::Disabled => "disabled",
            Self::DisabledUnused => "disabled_unused",
            Self::TokenMade { .. } => "token_made",
            Self::TokenRevoked => "token_revoked",
            Self::GlassBroken { .. } => "glass_broken",
            Self::GlassMended => "glass_mended",
            Self::Provisioned => "provisioned",
            Self::Described => "described",
            Self::Returned => "returned",
            Self::DirectoryTokenMade { .. } => "directory_token_made",
            Self::MadeByProvider { .. } => "made_by_provider",
            Self::Linked { .. } => "linked",
            Self::ProviderRefused { .. } => "provider_refused",
            Self::HostEnrolled => "host_enrolled",
            Self::MailChanged => "mail_changed",
            Self::PasskeyAdded { .. } => "passkey_added",
            Self::PasskeyRemoved { .. } => "passkey_removed",
            Self::PasskeyCopied { .. } => "passkey_copied",
        }
    }
}
