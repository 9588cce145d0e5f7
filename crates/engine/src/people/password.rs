//! Passwords: what may be one, and their hashes – argon2id with OWASP's parameters, on few threads of their own.
//!
//! Hashes are PHC strings, so that parameters can be raised and earlier hashes still be read.

use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::{PeopleError, random};

/// Fewest characters of a password (PCI DSS v4.0.1 req. 8.3.6).
pub const PASSWORD_CHARACTERS_MIN: usize = 12;
/// Longest password, in bytes.
const PASSWORD_BYTES_MAX: usize = 1024;
/// Earlier passwords that may not come back, with the present one (req. 8.3.7).
pub(super) const PREVIOUS: usize = 4;
/// Shortest account name that a password may not contain, in bytes.
const NAME_BYTES_MIN: usize = 4;

/// OWASP's second choice for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashes computed at once: each takes a core and 19 MiB.
const AT_ONCE: usize = 2;
/// Those that may wait for it.
const WAITING_MAX: usize = 32;

/// Why a password may not be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordFault {
    /// Too short.
    #[error("a password has at least {PASSWORD_CHARACTERS_MIN} characters")]
    Short,
    /// Too long to be hashed.
    #[error("a password has at most {PASSWORD_BYTES_MAX} bytes")]
    Long,
    /// No letter, or no digit (req. 8.3.6).
    #[error("a password has letters and digits")]
    Plain,
    /// The account's own name is in it.
    #[error("a password doesn't contain the account's name")]
    Name,
    /// One of the last four (req. 8.3.7).
    #[error("this was one of the last four passwords: choose another one")]
    Reused,
}

/// Checks that a password may be one of an account.
pub(super) fn check(password: &str, name: &str) -> Result<(), PeopleError> {
    let fault = if password.chars().count() < PASSWORD_CHARACTERS_MIN {
        PasswordFault::Short
    } else if password.len() > PASSWORD_BYTES_MAX {
        PasswordFault::Long
    } else if !password.chars().any(char::is_alphabetic) || !password.chars().any(char::is_numeric)
    {
        PasswordFault::Plain
    } else if name.len() >= NAME_BYTES_MIN && password.to_lowercase().contains(name) {
        PasswordFault::Name
    } else {
        return Ok(());
    };
    Err(PeopleError::Password { fault })
}

/// Computes hashes: few at once, and few that wait.
pub(super) struct Hashing {
    waiting: Arc<Semaphore>,
    working: Arc<Semaphore>,
}

impl Default for Hashing {
    fn default() -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(AT_ONCE + WAITING_MAX)),
            working: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Hashing {
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PeopleError> {
        let waiting = Arc::clone(&self.waiting).try_acquire_owned();
        let waiting = waiting.map_err(|_| PeopleError::Busy)?;
        let working = Arc::clone(&self.working).acquire_owned().await;
        let working = working.map_err(|_| PeopleError::Busy)?;
        // The places are given back when the work is done, not when whoever asked has gone away.
        let done = spawn_blocking(move || {
            let done = work();
            drop((waiting, working));
            done
        });
        done.await.map_err(|_| PeopleError::Busy)
    }

    /// Hashes a password with a new salt.
    pub(super) async fn hash(&self, password: &str) -> Result<String, PeopleError> {
        let (password, salt) = (password.to_owned(), random()?);
        let hashed = self.run(move || hashed(&password, &salt)).await?;
        hashed.ok_or(PeopleError::Busy)
    }

    /// Whether a password is the one of any of these hashes. Without one it takes as long as with one, and is never.
    pub(super) async fn is_any(
        &self,
        password: &str,
        hashes: Vec<String>,
    ) -> Result<bool, PeopleError> {
        let password = password.to_owned();
        self.run(move || {
            if hashes.is_empty() {
                drop(hashed(&password, &[0; 16]));
            }
            hashes.iter().any(|hash| fits(&password, hash))
        })
        .await
    }
}

fn derive(password: &str, salt: &[u8], params: Params) -> Option<[u8; 32]> {
    // Longer ones are nobody's, and would cost more.
    let password = password.as_bytes();
    let password = password.get(..PASSWORD_BYTES_MAX + 1).unwrap_or(password);
    let mut out = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password, salt, &mut out)
        .ok()?;
    Some(out)
}

/// The PHC string of a password.
fn hashed(password: &str, salt: &[u8; 16]) -> Option<String> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).ok()?;
    let out = derive(password, salt, params)?;
    Some(format!(
        "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${}${}",
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(out)
    ))
}

fn fits(password: &str, phc: &str) -> bool {
    let read = || {
        let rest = phc.strip_prefix("$argon2id$v=19$m=")?;
        let (memory, rest) = rest.split_once(",t=")?;
        let (passes, rest) = rest.split_once(",p=")?;
        let mut parts = rest.split('$');
        let (lanes, salt, out) = (parts.next()?, parts.next()?, parts.next()?);
        let params = Params::new(
            memory.parse().ok()?,
            passes.parse().ok()?,
            lanes.parse().ok()?,
            Some(32),
        );
        let derived = derive(password, &STANDARD_NO_PAD.decode(salt).ok()?, params.ok()?)?;
        Some(bool::from(
            derived.ct_eq(&STANDARD_NO_PAD.decode(out).ok()?[..]),
        ))
    };
    read().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::{Hashing, PasswordFault, check, fits, hashed};
    use crate::people::PeopleError;

    #[track_caller]
    fn fault(password: &str, expected: Option<PasswordFault>) {
        let found = match check(password, "anna") {
            Err(PeopleError::Password { fault }) => Some(fault),
            _ => None,
        };
        assert_eq!(found, expected, "{password}");
    }

    #[test]
    fn a_password_is_long_enough_and_of_letters_and_digits() {
        fault("short 1", Some(PasswordFault::Short));
        fault("elevenchar1", Some(PasswordFault::Short));
        fault("twelve chars", Some(PasswordFault::Plain));
        fault("123456789012", Some(PasswordFault::Plain));
        fault("ANNA knows 12", Some(PasswordFault::Name));
        fault(&"x1".repeat(513), Some(PasswordFault::Long));
        fault("twelve char 1", None);
        // Characters count, not bytes.
        fault("äöüäöüäöüä1", Some(PasswordFault::Short));
        fault("äöüäöüäöüäö1", None);
    }

    #[test]
    fn a_hash_fits_its_password_alone_and_says_its_parameters() {
        let phc = hashed("correct horse 1", &[7; 16]).expect("hashed");
        assert!(
            phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcH"),
            "{phc}"
        );
        assert!(fits("correct horse 1", &phc));
        assert!(!fits("correct horse 2", &phc));
        assert_ne!(Some(phc.clone()), hashed("correct horse 1", &[8; 16]));
        // Of other parameters, as an earlier version may have written: the same password has another hash.
        let other = phc.replace("t=2", "t=1");
        assert!(!fits("correct horse 1", &other));
        for broken in [
            "",
            "$argon2id$",
            phc.split_at(phc.len() - 2).0,
            "$2y$10$abc",
        ] {
            assert!(!fits("correct horse 1", broken), "{broken}");
        }
    }

    /// Against the vector of argon2's reference implementation (`argon2id`, m=256, t=2, p=1, "password", "somesalt").
    #[test]
    fn the_hash_is_argon2id() {
        let phc =
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(fits("password", phc));
    }

    #[tokio::test]
    async fn more_than_may_wait_are_turned_away() {
        let hashing = Hashing::default();
        let all = hashing.waiting.available_permits();
        let permits = u32::try_from(all).expect("few");
        let held = hashing.waiting.acquire_many(permits).await.expect("open");
        let refused = hashing.is_any("x", Vec::new()).await;
        assert!(matches!(refused, Err(PeopleError::Busy)));
        drop(held);
        assert!(!hashing.is_any("x", Vec::new()).await.expect("looked at"));
        assert_eq!(hashing.waiting.available_permits(), all, "given back");
    }
}
