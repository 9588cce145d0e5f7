//! Finds card numbers, sensitive authentication data and secrets in bytes, and masks them.
//!
//! Apart from everything else because nothing past it may hold a readable card number.
//! Invariants: masking keeps the length of a record; of a card number only the last four digits stay
//! readable, of everything else nothing; time is linear in the input, memory constant.

mod assigned;
mod brand;
mod columns;
mod context;
mod deep;
mod encoded;
mod level;
mod mask;
mod password_hash;
mod scan;
mod search;
mod secret;
mod separator;
mod track;
mod triples;

pub use deep::{Form, search_deep};
pub use level::level_name;
pub use mask::{FingerprintKey, Masker};
pub use scan::{Hit, Scanner};
