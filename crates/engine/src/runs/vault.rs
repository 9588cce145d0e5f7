//! What undoes steps, on the shop's host alone: encrypted under a key that never leaves it, destroyed when a run is over.
//!
//! It may hold secrets of the shop and rows as they were; so nothing of it is shown, and its names – which go into the ledger – are
//! keyed hashes, since a plain one would let a short secret be guessed.

use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use stores::{StoreError, write_atomically};

use super::make_ours;
use crate::hex::hex;

/// First bytes of every file in it: what it is, and in which form.
const MAGIC: &[u8; 8] = b"mwvault1";
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const KEY_FILE: &str = "key";

/// Why the vault can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// A file can't be read or written; the host's administrator acts.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are no random bytes, or its folder can't be made; the host's administrator acts.
    #[error("can't make a place in {}", path.display())]
    Make {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It was made with another key, or changed.
    #[error("{} was changed, or made with another key", path.display())]
    Changed {
        /// Where.
        path: PathBuf,
    },
}

impl VaultError {
    fn make(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Make { path, source }
    }
}

/// A vault and its key.
pub struct Vault {
    folder: PathBuf,
    cipher: XChaCha20Poly1305,
    names: [u8; 32],
}

impl Vault {
    /// Opens the vault in a folder; makes it and its key when there is none.
    ///
    /// # Errors
    ///
    /// [`VaultError`] when the key can't be read or made.
    pub fn open(folder: &Path) -> Result<Self, VaultError> {
        make_ours(folder).map_err(VaultError::make(folder))?;
        let fresh = random::<KEY_BYTES>(folder)?;
        let key = stores::read_or_make(&folder.join(KEY_FILE), || fresh)?;
        Ok(Self {
            folder: folder.to_owned(),
            cipher: XChaCha20Poly1305::new(&Key::from(key)),
            names: mac(&key, b"magewarden vault names v1"),
        })
    }

    /// Keeps it for a run; gives its name.
    ///
    /// # Errors
    ///
    /// [`VaultError`]; then it isn't kept.
    pub fn put(&self, run: &str, content: &[u8]) -> Result<String, VaultError> {
        let name = hex(&mac(&self.names, content));
        let path = self.path(run, &name)?;
        let folder = self.folder.join(run);
        make_ours(&folder).map_err(VaultError::make(&folder))?;
        let nonce = random::<NONCE_BYTES>(&folder)?;
        let aad = aad(run, &name);
        let payload = Payload {
            msg: content,
            aad: &aad,
        };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let sealed = sealed.map_err(|_| VaultError::Changed { path: path.clone() })?;
        let whole = [MAGIC.as_slice(), &nonce, &sealed].concat();
        write_atomically(&path, &whole)?;
        Ok(name)
    }

    /// Gives what was kept.
    ///
    /// # Errors
    ///
    /// [`VaultError`] when it isn't there, or isn't what was kept.
    pub fn get(&self, run: &str, name: &str) -> Result<Vec<u8>, VaultError> {
        let path = self.path(run, name)?;
        let bytes = std::fs::read(&path).map_err(|source| StoreError::Io {
            path: path.clone(),
            source,
        })?;
        let changed = || VaultError::Changed { path: path.clone() };
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(changed)?;
        let (nonce, sealed) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or_else(changed)?;
        let aad = aad(run, name);
        let payload = Payload {
            msg: sealed,
            aad: &aad,
        };
        self.cipher
            .decrypt(&XNonce::from(*nonce), payload)
            .map_err(|_| changed())
    }

    /// Destroys what was kept for a run; one without anything is as destroyed.
    ///
    /// # Errors
    ///
    /// [`VaultError`] when some of it is still there.
    pub fn destroy(&self, run: &str) -> Result<(), VaultError> {
        let folder = self.folder.join(run);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(VaultError::make(&folder)(error)),
        };
        for entry in entries {
            stores::destroy(&entry.map_err(VaultError::make(&folder))?.path())?;
        }
        std::fs::remove_dir(&folder).map_err(VaultError::make(&folder))
    }

    /// A name that isn't one of ours leads nowhere.
    fn path(&self, run: &str, name: &str) -> Result<PathBuf, VaultError> {
        let path = self.folder.join(run).join(name);
        let is_ours = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_ours {
            Ok(path)
        } else {
            Err(VaultError::Changed { path })
        }
    }
}

fn random<const N: usize>(folder: &Path) -> Result<[u8; N], VaultError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| VaultError::make(folder)(error.into()))?;
    Ok(bytes)
}

/// What a file is for: one that is put in another's place doesn't open.
fn aad(run: &str, name: &str) -> Vec<u8> {
    format!("{run} {name}").into_bytes()
}

fn mac(key: &[u8], content: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(content);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::Vault;

    #[test]
    fn what_is_kept_comes_back_and_nothing_else_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let vault = Vault::open(folder.path()).expect("a vault");
        let content = b"password = secret-of-the-shop";
        let name = vault.put("run-1", content).expect("kept");
        let again = Vault::open(folder.path()).expect("a vault");
        assert_eq!(again.get("run-1", &name).expect("kept"), content);
        let path = folder.path().join("run-1").join(&name);
        let bytes = std::fs::read(&path).expect("a file");
        assert!(!bytes.windows(6).any(|part| part == b"secret"));
        // In another place, changed, or under another key it doesn't open.
        std::fs::create_dir(folder.path().join("run-2")).expect("a folder");
        std::fs::copy(&path, folder.path().join("run-2").join(&name)).expect("copied");
        assert!(again.get("run-2", &name).is_err());
        let other = tempfile::tempdir().expect("a folder");
        let stranger = Vault::open(other.path()).expect("a vault");
        std::fs::create_dir(other.path().join("run-1")).expect("a folder");
        std::fs::copy(&path, other.path().join("run-1").join(&name)).expect("copied");
        assert!(stranger.get("run-1", &name).is_err());
        for at in [0, 8, 20, bytes.len() - 1] {
            let mut changed = bytes.clone();
            *changed.get_mut(at).expect("a byte") ^= 1;
            std::fs::write(&path, &changed).expect("written");
            assert!(again.get("run-1", &name).is_err(), "byte {at}");
        }
        for name in ["", "../key", "key"] {
            assert!(again.get("run-1", name).is_err(), "{name:?}");
        }
        vault.destroy("run-1").expect("destroyed");
        vault.destroy("run-1").expect("twice is as once");
        assert!(!path.exists());
    }
}
