//! What `cardholder` leaves where it masked something.

use serde::{Deserialize, Serialize};

/// What was found and masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MarkKind {
    /// A primary account number.
    Pan,
    /// Magnetic stripe track 1 (sensitive authentication data: never kept).
    Track1,
    /// Magnetic stripe track 2 (sensitive authentication data: never kept).
    Track2,
    /// Card verification code, by its context (sensitive authentication data: never kept).
    Cvv,
    /// PIN or PIN block, by its context (sensitive authentication data: never kept).
    PinBlock,
    /// A credential: bearer token, session id, password hash, `key=` parameter, secret.
    Secret,
}

impl MarkKind {
    /// Kinds by their number in what is stored and sent; append only.
    pub const BY_NUMBER: [Self; 6] = [
        Self::Pan,
        Self::Track1,
        Self::Track2,
        Self::Cvv,
        Self::PinBlock,
        Self::Secret,
    ];
}

/// Card brand by public prefix ranges (`pci.md` §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Brand {
    /// Visa.
    Visa,
    /// Mastercard.
    Mastercard,
    /// American Express.
    AmericanExpress,
    /// Discover.
    Discover,
    /// Diners Club.
    DinersClub,
    /// JCB.
    Jcb,
    /// UnionPay.
    UnionPay,
    /// Maestro.
    Maestro,
    /// Mir.
    Mir,
    /// RuPay.
    RuPay,
    /// Elo.
    Elo,
    /// Hipercard.
    Hipercard,
    /// Troy.
    Troy,
    /// Verve.
    Verve,
    /// A range of another scheme.
    Other,
}

impl Brand {
    /// Brands by their number in what is stored and sent; append only.
    pub const BY_NUMBER: [Self; 15] = [
        Self::Other,
        Self::Visa,
        Self::Mastercard,
        Self::AmericanExpress,
        Self::Discover,
        Self::DinersClub,
        Self::Jcb,
        Self::UnionPay,
        Self::Maestro,
        Self::Mir,
        Self::RuPay,
        Self::Elo,
        Self::Hipercard,
        Self::Troy,
        Self::Verve,
    ];
}

/// One masked place in a record. Masking keeps length, so offsets hold before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// First masked byte, from the start of the record.
    pub offset_bytes: u32,
    /// Bytes covered, separators included.
    pub length_bytes: u32,
    /// What it was.
    pub kind: MarkKind,
    /// Brand, for card numbers.
    pub brand: Option<Brand>,
    /// Number of digits of a card number; zero otherwise.
    pub digits: u8,
    /// Last four digits of a card number, never more.
    pub last_four: Option<[u8; 4]>,
    /// First 16 bytes of HMAC-SHA-256 over the digits under the fingerprint key.
    pub fingerprint: Option<[u8; 16]>,
    /// Whether it is a published test number.
    pub is_test: bool,
}
