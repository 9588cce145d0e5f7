//! Hosts that were let in, and invitations: a file each, so that a command beside the server says who may come in.
//!
//! Hosts are files named by their key, invitations by the hash of their secret. An invitation is used by removing its file, which
//! succeeds once. A key that was removed is noted, and that note wins over all else.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use link::wire::{Certified, Enrol, Enrolled, LINK_VERSION};
use link::{Authority, CertificateDer, Invitation, LinkError, Plans, Request, key_of};
use model::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use stores::StoreError;

use super::{authority, plans};
use crate::runs::make_ours;

/// How long an invitation holds, in seconds.
const INVITATION_SECONDS: i64 = 3600;
/// Hosts of one installation.
const AGENTS_MAX: usize = 1000;
const ENDING: &str = "json";

/// Why somebody isn't let in, or a list can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// A file can't be used; the server's operator acts.
    #[error("can't use {}", path.display())]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key or certificate can't be made or read.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A name that isn't one; the caller's fault.
    #[error("a host's name is made of letters, digits and `-`, 1 to 32")]
    Name,
    /// The name is a host's already.
    #[error("there is a host of this name")]
    NameTaken,
    /// There is no such host.
    #[error("there is no host of this name")]
    NoSuch,
    /// The invitation isn't there: used, over, replaced, or never made.
    #[error("the invitation was used, is over, or never was")]
    NoInvitation,
    /// The key is another host's.
    #[error("this key is another host's")]
    KeyTaken,
    /// What was sent is of a version that isn't known, or is no request for a certificate.
    #[error("that is no request to enrol")]
    Unfit,
    /// There are too many.
    #[error("an installation has at most {AGENTS_MAX} hosts")]
    TooMany,
}

impl AgentError {
    pub(super) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// A host that was let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Version of this form; 1.
    v: u32,
    /// The name it is known by.
    pub name: String,
    /// When it was let in.
    pub enrolled: Timestamp,
    /// Until when its newest certificate holds.
    pub until: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct Invited {
    v: u32,
    name: String,
    until: Timestamp,
}

/// The hosts of an installation.
pub struct Agents {
    folder: PathBuf,
    installation: String,
    authority: Authority,
    plans: Plans,
    /// One enrolment at a time: names and keys stay apart.
    entering: Mutex<()>,
}

impl Agents {
    /// Of an installation's folder: `agents` for who may come in, `keys` for what signs.
    ///
    /// # Errors
    ///
    /// [`AgentError`].
    pub fn open(data: &Path, installation: &str, now: Timestamp) -> Result<Self, AgentError> {
        let (folder, keys) = (data.join("agents"), data.join("keys"));
        make_ours(data).map_err(AgentError::file(data))?;
        for made in ["enrolled", "removed", "invited"].map(|one| folder.join(one)) {
            make_ours(&made).map_err(AgentError::file(&made))?;
        }
        Ok(Self {
            folder,
            installation: installation.to_owned(),
            authority: authority(&keys, now)?,
            plans: plans(&keys)?,
            entering: Mutex::new(()),
        })
    }

    /// What signs for the server's listener.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What signs plans.
    #[must_use]
    pub fn plans(&self) -> &Plans {
        &self.plans
    }

    /// Invites a host: the word is shown this once, and lets one host in within an hour. An earlier one for the name is void.
    ///
    /// # Errors
    ///
    /// [`AgentError`].
    pub fn invite(&self, name: &str, now: Timestamp) -> Result<String, AgentError> {
        if !is_name(name) {
            return Err(AgentError::Name);
        }
        let agents = self.list()?;
        if agents.len() >= AGENTS_MAX {
            return Err(AgentError::TooMany);
        }
        if agents.iter().any(|one| same(&one.name, name)) {
            return Err(AgentError::NameTaken);
        }
        for (path, invited) in files::<Invited>(&self.folder.join("invited"))? {
            if same(&invited.name, name) || invited.until <= now {
                remove(&path)?;
            }
        }
        let invitation = Invitation::make(self.authority.fingerprint())?;
        let invited = Invited {
            v: 1,
            name: name.to_owned(),
            until: now.plus_seconds(INVITATION_SECONDS),
        };
        write(&self.invited(&invitation.secret()), &invited)?;
        Ok(invitation.word())
    }

    /// Lets in whoever has the secret of an invitation; it works once.
    ///
    /// # Errors
    ///
    /// [`AgentError`]; one that finds no fault with the invitation leaves it as it is.
    pub fn enrol(&self, enrol: &Enrol, now: Timestamp) -> Result<Enrolled, AgentError> {
        let _one = self.entering.lock().unwrap_or_else(PoisonError::into_inner);
        // The secret first: whoever has none has nothing of theirs read.
        let path = self.invited(&enrol.secret);
        let invited: Invited = read(&path)?.ok_or(AgentError::NoInvitation)?;
        if invited.until <= now {
            return Err(AgentError::NoInvitation);
        }
        if enrol.v != LINK_VERSION {
            return Err(AgentError::Unfit);
        }
        let request = Request::read(&enrol.request).map_err(|_| AgentError::Unfit)?;
        let own = self.enrolled(&request.key());
        if read::<Agent>(&own)?.is_some() || self.is_removed(&request.key())? {
            return Err(AgentError::KeyTaken);
        }
        if self
            .list()?
            .iter()
            .any(|one| same(&one.name, &invited.name))
        {
            return Err(AgentError::NameTaken);
        }
        let certificate = self.authority.certify(&invited.name, &request, now)?;
        if !remove(&path)? {
            return Err(AgentError::NoInvitation);
        }
        let agent = Agent {
            v: 1,
            name: invited.name,
            enrolled: now,
            until: certificate.until,
        };
        write(&own, &agent)?;
        Ok(Enrolled {
            v: LINK_VERSION,
            name: agent.name,
            installation: self.installation.clone(),
            plans: self.plans.verifying().to_vec(),
            certificate,
        })
    }

    /// Who shows this certificate, whose signature the listener checked: a host that is let in now.
    ///
    /// # Errors
    ///
    /// [`AgentError`] when the list can't be read.
    pub fn who(&self, certificate: &CertificateDer<'_>) -> Result<Option<Agent>, AgentError> {
        match key_of(certificate) {
            Some(key) if !self.is_removed(&key)? => read(&self.enrolled(&key)),
            _ => Ok(None),
        }
    }

    /// The next certificate of a host that shows one that holds.
    ///
    /// # Errors
    ///
    /// [`AgentError::NoSuch`] when it was removed.
    pub fn renew(
        &self,
        certificate: &CertificateDer<'_>,
        now: Timestamp,
    ) -> Result<Certified, AgentError> {
        let _one = self.entering.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key_of(certificate).ok_or(AgentError::NoSuch)?;
        let path = self.enrolled(&key);
        let mut agent: Agent = read(&path)?.ok_or(AgentError::NoSuch)?;
        let next = self.authority.renew(&agent.name, certificate, now)?;
        agent.until = next.until;
        // Removed meanwhile by a command beside us, it stays so: what is written here isn't what says so.
        if self.is_removed(&key)? {
            return Err(AgentError::NoSuch);
        }
        write(&path, &agent)?;
        Ok(next)
    }

    /// Every host that was let in, by name.
    ///
    /// # Errors
    ///
    /// [`AgentError`].
    pub fn list(&self) -> Result<Vec<Agent>, AgentError> {
        let mut agents = Vec::new();
        for (path, agent) in files::<Agent>(&self.folder.join("enrolled"))? {
            let key = path.file_stem().unwrap_or_default().to_string_lossy();
            if !self.is_removed(&key)? {
                agents.push(agent);
            }
        }
        agents.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(agents)
    }

    /// Lets a host in no more, from its next request on; an invitation for its name is void. Its key is never taken again.
    ///
    /// # Errors
    ///
    /// [`AgentError::NoSuch`] when there was neither.
    pub fn remove(&self, name: &str) -> Result<(), AgentError> {
        let mut found = false;
        for (path, agent) in files::<Agent>(&self.folder.join("enrolled"))? {
            if same(&agent.name, name) {
                let key = path.file_stem().unwrap_or_default().to_string_lossy();
                stores::write_atomically(&self.removed(&key), name.as_bytes())?;
                found |= remove(&path)?;
            }
        }
        for (path, invited) in files::<Invited>(&self.folder.join("invited"))? {
            if same(&invited.name, name) {
                found |= remove(&path)?;
            }
        }
        found.then_some(()).ok_or(AgentError::NoSuch)
    }

    fn invited(&self, secret: &str) -> PathBuf {
        let name = format!("{}.{ENDING}", Invitation::hash(secret));
        self.folder.join("invited").join(name)
    }

    fn removed(&self, key: &str) -> PathBuf {
        self.folder.join("removed").join(key)
    }

    fn is_removed(&self, key: &str) -> Result<bool, AgentError> {
        let path = self.removed(key);
        path.try_exists().map_err(AgentError::file(&path))
    }

    fn enrolled(&self, key: &str) -> PathBuf {
        self.folder.join("enrolled").join(format!("{key}.{ENDING}"))
    }
}

pub(super) fn is_name(name: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(is_fine)
}

/// Names that differ in case alone are one to whoever reads them.
fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, AgentError> {
    match std::fs::read(path) {
        Ok(text) => {
            let value = serde_json::from_slice(&text);
            value
                .map(Some)
                .map_err(|error| AgentError::file(path)(error.into()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(AgentError::file(path)(error)),
    }
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), AgentError> {
    let text = serde_json::to_vec(value).map_err(|error| AgentError::file(path)(error.into()))?;
    Ok(stores::write_atomically(path, &text)?)
}

/// Removes a file; whether it was there, which is true for one caller alone.
fn remove(path: &Path) -> Result<bool, AgentError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(AgentError::file(path)(error)),
    }
}

fn files<T: DeserializeOwned>(folder: &Path) -> Result<Vec<(PathBuf, T)>, AgentError> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(AgentError::file(folder))? {
        let path = entry.map_err(AgentError::file(folder))?.path();
        if path.extension().is_some_and(|ending| ending == ENDING)
            && let Some(value) = read(&path)?
        {
            out.push((path, value));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{AgentError, Agents};
    use link::wire::Enrol;
    use link::{HostKey, Invitation};
    use model::Timestamp;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn agents() -> (tempfile::TempDir, Agents) {
        let folder = tempfile::tempdir().expect("a folder");
        let agents = Agents::open(folder.path(), "shop", NOW).expect("open");
        (folder, agents)
    }

    fn asks(word: &str, key: &HostKey) -> Enrol {
        Enrol {
            v: 1,
            secret: Invitation::read(word).expect("a word").secret(),
            request: key.request().expect("a request"),
        }
    }

    fn key() -> HostKey {
        HostKey::make().expect("a key")
    }

    #[test]
    fn a_word_lets_one_host_in_under_the_name_it_was_made_for() {
        let (folder, agents) = agents();
        let word = agents.invite("web-1", NOW).expect("invited");
        // Nothing that lets anybody in lies on disk.
        let secret = Invitation::read(&word).expect("a word").secret();
        for file in std::fs::read_dir(folder.path().join("agents/invited")).expect("a folder") {
            let path = file.expect("a file").path();
            let text = std::fs::read_to_string(&path).expect("text");
            assert!(!text.contains(&secret) && !path.to_string_lossy().contains(&secret));
        }
        let key = key();
        let enrolled = agents.enrol(&asks(&word, &key), NOW).expect("enrolled");
        assert_eq!(
            (enrolled.name.as_str(), enrolled.installation.as_str()),
            ("web-1", "shop")
        );
        let shown = enrolled.certificate.certificate.as_slice().into();
        let who = agents.who(&shown).expect("a list").expect("known");
        assert_eq!(who.name, "web-1");
        for other in [asks(&word, &key), asks(&word, &super::tests::key())] {
            let again = agents.enrol(&other, NOW);
            assert!(matches!(again, Err(AgentError::NoInvitation)), "{again:?}");
        }
        assert!(matches!(
            agents.invite("WEB-1", NOW),
            Err(AgentError::NameTaken)
        ));
    }

    #[test]
    fn words_are_over_after_an_hour_and_when_another_one_is_made() {
        let (_folder, agents) = agents();
        let first = agents.invite("web1", NOW).expect("invited");
        let second = agents.invite("web1", NOW).expect("invited");
        let late = NOW.plus_seconds(3600);
        for (word, at) in [(&first, NOW), (&second, late)] {
            let refused = agents.enrol(&asks(word, &key()), at);
            assert!(matches!(refused, Err(AgentError::NoInvitation)));
        }
        let in_time = NOW.plus_seconds(3599);
        assert!(agents.enrol(&asks(&second, &key()), in_time).is_ok());
    }

    #[test]
    fn a_slip_in_the_request_leaves_the_word_as_it_is() {
        let (_folder, agents) = agents();
        let word = agents.invite("web1", NOW).expect("invited");
        let mut bad = asks(&word, &key());
        bad.request.truncate(20);
        assert!(matches!(agents.enrol(&bad, NOW), Err(AgentError::Unfit)));
        let mut later = asks(&word, &key());
        later.v = 2;
        assert!(matches!(agents.enrol(&later, NOW), Err(AgentError::Unfit)));
        assert!(agents.enrol(&asks(&word, &key()), NOW).is_ok());
    }

    #[test]
    fn one_key_is_one_host() {
        let (_folder, agents) = agents();
        let key = key();
        let word = agents.invite("web1", NOW).expect("invited");
        agents.enrol(&asks(&word, &key), NOW).expect("enrolled");
        let word = agents.invite("web2", NOW).expect("invited");
        let refused = agents.enrol(&asks(&word, &key), NOW);
        assert!(matches!(refused, Err(AgentError::KeyTaken)));
    }

    #[test]
    fn who_was_removed_is_nobody_with_any_certificate_and_for_good() {
        let (folder, agents) = agents();
        let key = key();
        let word = agents.invite("web1", NOW).expect("invited");
        let first = agents.enrol(&asks(&word, &key), NOW).expect("enrolled");
        let first = first.certificate.certificate.as_slice().into();
        let next = agents.renew(&first, NOW).expect("renewed");
        let next = next.certificate.as_slice().into();
        // By a command beside the server.
        let beside = Agents::open(folder.path(), "shop", NOW).expect("open");
        beside.remove("web1").expect("removed");
        for shown in [&first, &next] {
            assert_eq!(agents.who(shown).expect("a list"), None);
            assert!(matches!(agents.renew(shown, NOW), Err(AgentError::NoSuch)));
        }
        assert!(matches!(beside.remove("web1"), Err(AgentError::NoSuch)));
        assert_eq!(agents.list().expect("a list"), []);
        let word = agents.invite("web1", NOW).expect("invited again");
        let refused = agents.enrol(&asks(&word, &key), NOW);
        assert!(matches!(refused, Err(AgentError::KeyTaken)));
        assert!(
            agents
                .enrol(&asks(&word, &super::tests::key()), NOW)
                .is_ok()
        );
    }

    #[test]
    fn names_are_short_and_plain() {
        let (_folder, agents) = agents();
        for name in ["", "a b", "../x", "wéb", &"a".repeat(33), "a.b", "a_b"] {
            let refused = agents.invite(name, NOW);
            assert!(matches!(refused, Err(AgentError::Name)), "{name}");
        }
        assert!(agents.invite(&"a".repeat(32), NOW).is_ok());
    }
}
