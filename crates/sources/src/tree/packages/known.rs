//! What a file below `vendor/` is to what composer distributed.

use serde::{Deserialize, Serialize};

use super::members::Hash;

/// What a file is to what composer distributed.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Known {
    /// Not judged: it isn't below `vendor/`.
    #[default]
    No,
    /// The same; of a file that went, that the package has none either.
    Package,
    /// Its package has another, or, of a file that went, has one.
    ChangedFromPackage,
    /// Its package has none, or no package has its folder.
    NotInPackage,
    /// There is no trusted archive of its package, or it can't be read.
    Unknown,
}

impl Known {
    /// The word rules use.
    pub(in super::super) const fn name(self) -> &'static str {
        match self {
            Self::No => "",
            Self::Package => "package",
            Self::ChangedFromPackage => "changed_from_package",
            Self::NotInPackage => "not_in_package",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it isn't what was distributed.
    pub(in super::super) const fn is_foreign(self) -> bool {
        matches!(self, Self::ChangedFromPackage | Self::NotInPackage)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(in super::super) const fn is_no(&self) -> bool {
        matches!(self, Self::No)
    }
}

/// What is said of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Judged {
    pub(in super::super) known: Known,
    /// Its package's name and version; empty where no package has its folder.
    pub(in super::super) package: String,
    pub(in super::super) version: String,
    /// Where patches are declared that may change it.
    pub(in super::super) patches: Vec<&'static str>,
}

/// What is on disk where a file is judged.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Found {
    /// A file of this content.
    Content(Hash),
    /// A file that can't be read.
    Unread,
    /// None any more.
    Gone,
}

/// Compares a file with the one of its package.
pub(super) fn compare(distributed: Option<&Hash>, found: Found) -> Known {
    match (distributed, found) {
        (None, Found::Gone) => Known::Package,
        (Some(_), Found::Gone) => Known::ChangedFromPackage,
        (None, _) => Known::NotInPackage,
        (Some(_), Found::Unread) => Known::Unknown,
        (Some(distributed), Found::Content(hash)) if *distributed == hash => Known::Package,
        (Some(_), Found::Content(_)) => Known::ChangedFromPackage,
    }
}
