//! Bodies of enrolment, renewal and of asking for places, and where they go. Reports are `model`'s, records in [`crate::records`].

use model::{Generation, Position};
use serde::{Deserialize, Serialize};

/// Version of these bodies written today. A field is added with a default, never renamed.
pub const LINK_VERSION: u32 = 1;

/// Where a host enrols.
pub const ENROL: &str = "/agent/1/enrol";
/// Where it gets its next certificate.
pub const RENEW: &str = "/agent/1/renew";
/// Where it reports.
pub const REPORT: &str = "/agent/1/report";
/// Where it asks up to where its records are known, and for the key of fingerprints.
pub const PLACES: &str = "/agent/1/places";
/// Where it hands over masked records.
pub const RECORDS: &str = "/agent/1/records";
/// Where it hands over evidence that it was asked for: `?run=…&sha256=…`.
pub const EVIDENCE: &str = "/agent/1/evidence";

/// Largest request with records, in bytes.
pub const RECORDS_BYTES_MAX: usize = 8 << 20;
/// How the names of sources begin that a host hands over.
pub const SOURCE_KINDS: [&str; 2] = ["file:", "journald:"];
/// Most sources of one host.
pub const SOURCES_MAX: usize = 200;
/// Largest report, in bytes.
pub const REPORT_BYTES_MAX: usize = 4 << 20;
/// Largest other body, in bytes.
pub const BODY_BYTES_MAX: usize = 16 << 10;
/// Largest answer, in bytes: plans are in it.
pub const ANSWER_BYTES_MAX: u64 = 16 << 20;
/// Longest time an answer waits for something to tell, in seconds.
pub const WAIT_SECONDS_MAX: u64 = 20;

/// What a host says to come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrol {
    /// [`LINK_VERSION`].
    pub v: u32,
    /// The secret of its invitation, hexadecimal.
    pub secret: String,
    /// Its request for a certificate (PKCS #10, DER).
    #[serde(with = "crate::base64_bytes")]
    pub request: Vec<u8>,
}

/// What it gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// [`LINK_VERSION`].
    pub v: u32,
    /// The name it is known by.
    pub name: String,
    /// The installation.
    pub installation: String,
    /// What plans are signed with: an Ed25519 key, 32 bytes.
    #[serde(with = "crate::base64_bytes")]
    pub plans: Vec<u8>,
    /// Its certificate.
    #[serde(flatten)]
    pub certificate: Certified,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certified {
    /// DER.
    #[serde(with = "crate::base64_bytes")]
    pub certificate: Vec<u8>,
    /// From when on it holds, by the server's clock, in microseconds.
    pub since: model::Timestamp,
    /// Until when.
    pub until: model::Timestamp,
}

/// What a host hears when it asks for places.
#[derive(Clone, Serialize, Deserialize)]
pub struct Places {
    /// [`LINK_VERSION`].
    pub v: u32,
    /// The server's clock.
    pub at: model::Timestamp,
    /// Up to where each of its sources is in the ledger.
    pub places: Vec<Known>,
    /// The installation's key of fingerprints, 32 bytes: what is masked on any host has the same.
    #[serde(with = "crate::base64_bytes")]
    pub fingerprint: Vec<u8>,
}

/// Up to where one source is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Its name on the host.
    pub source: String,
    /// The generation.
    pub generation: Generation,
    /// The first byte of it that isn't known.
    pub position: Position,
}

/// The answer to records: all of them are durable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// [`LINK_VERSION`].
    pub v: u32,
    /// The server's clock.
    pub at: model::Timestamp,
}
