//! What a company's directory says of people, by SCIM 2.0 (RFC 7643, 7644): users, filters, changes.
//!
//! Pure: bytes and the user as they are in, the user as they shall be out. What that means for an account is decided
//! elsewhere. Every input is somebody else's; nothing here panics, and everything has a limit.

mod body;
mod filter;
mod patch;
mod user;

pub use filter::{Comparison, Filter, FilterPath, Operator};
pub use patch::{OPERATIONS_MAX, patched};
pub use user::{User, WORDS_MAX, read};

/// Why something a directory sent isn't done, as RFC 7644 §3.12 names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// The word of the standard.
    pub kind: Kind,
    /// What is wrong, for whoever set the directory up; holds nothing of what was sent.
    pub detail: &'static str,
}

impl Refusal {
    pub(crate) const fn new(kind: Kind, detail: &'static str) -> Self {
        Self { kind, detail }
    }
}

/// The words of RFC 7644 §3.12 for an answer with status 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The filter can't be read, or is beyond what is looked through.
    InvalidFilter,
    /// The body isn't what the standard asks for.
    InvalidSyntax,
    /// The path of a change can't be read, or names no attribute.
    InvalidPath,
    /// A change names nothing that could be changed.
    NoTarget,
    /// A value isn't of its attribute's kind.
    InvalidValue,
    /// The attribute never changes.
    Mutability,
}

impl Kind {
    /// As `scimType` has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
            Self::Mutability => "mutability",
        }
    }
}
