//! Passkeys (WebAuthn): added, used as the second factor or as the whole log-in, removed (PCI DSS v4.0.1 req. 8.4.2).
//!
//! A passkey answers to this console's host alone, and only after its person proved to it that it is them: user
//! verification is always required. Challenges are kept here, bound to one browser, and taken once.

use model::{AccessKind, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stores::{AccountRow, CeremonyRow, PasskeyRow};
use webauthn_rs::prelude::{
    AuthenticationResult, DiscoverableAuthentication, Passkey, PasskeyAuthentication,
    PasskeyRegistration, PublicKeyCredential, RegisterPublicKeyCredential, Url, Uuid, Webauthn,
    WebauthnBuilder, WebauthnError,
};

use super::session::{PASSKEY, Way};
use super::{
    Act, Fresh, People, PeopleError, STEP_SECONDS_MAX, UNUSED_DAYS_MAX, bytes, hash, hex, log_in,
    secret, shown,
};

/// Most passkeys of one account.
const PASSKEYS_MAX: usize = 10;
/// Kinds of what is begun.
const ADDS: &str = "passkey adds";
const SECOND: &str = "passkey second";
const WHOLE: &str = "passkey whole";

/// A passkey as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasskeyView {
    /// Its id.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// When it was added.
    pub created: Timestamp,
    /// When it was last used.
    pub last_used: Option<Timestamp>,
}

/// What a browser is asked, as JSON, and what it keeps.
#[derive(Debug)]
pub struct Asked {
    /// The options of `navigator.credentials`.
    pub options: Value,
    /// What has to come back with the answer.
    pub kept: String,
}

#[derive(Serialize, Deserialize)]
struct Adding {
    name: String,
    state: PasskeyRegistration,
}

/// What checks passkeys for a console at an address; nothing where its host can have none (an address of digits that
/// isn't loopback's).
pub(super) fn webauthn(address: &str) -> Option<Webauthn> {
    let mut origin = Url::parse(address).ok()?;
    // A passkey is of a name, never of an address: this machine's is `localhost`.
    if matches!(origin.host_str(), Some("127.0.0.1" | "[::1]")) {
        origin.set_host(Some("localhost")).ok()?;
    }
    let host = origin.domain()?.to_owned();
    let builder = WebauthnBuilder::new(&host, &origin).ok()?;
    builder.rp_name("magewarden").build().ok()
}

impl People {
    /// Whether people can have passkeys here.
    #[must_use]
    pub fn has_passkeys(&self) -> bool {
        self.0.webauthn.is_some()
    }

    fn webauthn(&self) -> Result<&Webauthn, PeopleError> {
        self.0.webauthn.as_ref().ok_or(PeopleError::NoPasskeys)
    }

    async fn ask(
        &self,
        kind: &str,
        account: &str,
        options: Value,
        state: &impl Serialize,
        now: Timestamp,
    ) -> Result<Asked, PeopleError> {
        let kept = secret()?;
        let row = CeremonyRow {
            hash: hash(&kept),
            kind: kind.to_owned(),
            account: account.to_owned(),
            body: serde_json::to_string(state)?,
            created: now.0,
        };
        self.store().begin_ceremony(&row).await?;
        Ok(Asked { options, kept })
    }

    async fn taken(
        &self,
        kept: &str,
        kind: &str,
        now: Timestamp,
    ) -> Result<CeremonyRow, PeopleError> {
        let since = now.plus_seconds(-STEP_SECONDS_MAX).0;
        let row = self.store().take_ceremony(&hash(kept), kind, since).await?;
        row.ok_or(PeopleError::Late)
    }

    /// One's own passkeys.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Store`].
    pub async fn passkeys(&self, act: Act<'_>) -> Result<Vec<PasskeyView>, PeopleError> {
        let rows = self.store().passkeys_of(&act.by.account).await?;
        let view = |row: PasskeyRow| PasskeyView {
            id: row.id,
            name: row.name,
            created: Timestamp(row.created),
            last_used: (row.last_used > 0).then_some(Timestamp(row.last_used)),
        };
        Ok(rows.into_iter().map(view).collect())
    }

    /// Begins to add one, after a code: whoever sits at an open session isn't its person yet.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Code`], [`PeopleError::LogIn`] once locked, [`PeopleError::Shown`], [`PeopleError::NoPasskeys`],
    /// [`PeopleError::Passkeys`] for too many.
    pub async fn add_passkey(
        &self,
        act: Act<'_>,
        name: &str,
        code: &str,
    ) -> Result<Asked, PeopleError> {
        let webauthn = self.webauthn()?;
        let account = self.own(act).await?;
        let name = shown(name)?;
        let rows = self.store().passkeys_of(&account.id).await?;
        if rows.len() >= PASSKEYS_MAX {
            return Err(PeopleError::Passkeys);
        }
        self.prove(&account, code, act.from, act.now).await?;
        let mut known = Vec::new();
        for row in &rows {
            known.push(
                serde_json::from_str::<Passkey>(&row.body)?
                    .cred_id()
                    .clone(),
            );
        }
        let begun = webauthn.start_passkey_registration(
            handle(&account)?,
            &account.name,
            &account.shown,
            Some(known),
        );
        let (options, state) = begun.map_err(|_| PeopleError::Passkey)?;
        let mut options = serde_json::to_value(options)?;
        // So that it can be the whole log-in where the authenticator keeps names.
        options["publicKey"]["authenticatorSelection"]["residentKey"] = "preferred".into();
        let adding = Adding { name, state };
        self.ask(ADDS, &account.id, options, &adding, act.now).await
    }

    /// Ends it with what the authenticator said.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Late`], [`PeopleError::Passkey`] for what isn't right.
    pub async fn added_passkey(
        &self,
        act: Act<'_>,
        kept: &str,
        answer: &[u8],
    ) -> Result<(), PeopleError> {
        let account = self.own(act).await?;
        let row = self.taken(kept, ADDS, act.now).await?;
        if row.account != account.id {
            return Err(PeopleError::Late);
        }
        let adding: Adding = serde_json::from_str(&row.body)?;
        let answer: RegisterPublicKeyCredential =
            serde_json::from_slice(answer).map_err(|_| PeopleError::Passkey)?;
        let made = self
            .webauthn()?
            .finish_passkey_registration(&answer, &adding.state);
        let passkey = made.map_err(|_| PeopleError::Passkey)?;
        let row = PasskeyRow {
            id: hex(passkey.cred_id().as_ref()),
            account: account.id,
            name: adding.name,
            body: serde_json::to_string(&passkey)?,
            created: act.now.0,
            last_used: 0,
        };
        if !self.store().add_passkey(&row).await? {
            return Err(PeopleError::Passkey);
        }
        let name = row.name;
        self.tell(act, AccessKind::PasskeyAdded { name }, &account.name);
        Ok(())
    }

    /// Removes one, after a code.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Code`], [`PeopleError::LogIn`] once locked, [`PeopleError::NoSuch`].
    pub async fn remove_passkey(
        &self,
        act: Act<'_>,
        id: &str,
        code: &str,
    ) -> Result<(), PeopleError> {
        let account = self.own(act).await?;
        let rows = self.store().passkeys_of(&account.id).await?;
        let row = rows.into_iter().find(|row| row.id == id);
        let row = row.ok_or(PeopleError::NoSuch)?;
        self.prove(&account, code, act.from, act.now).await?;
        if self.store().remove_passkey(&account.id, &row.id).await? {
            let name = row.name;
            self.tell(act, AccessKind::PasskeyRemoved { name }, &account.name);
        }
        Ok(())
    }

    /// Asks for a passkey: one of whose first step this is, or, without one, anybody's.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NoPasskeys`] where there is none, [`PeopleError::Late`].
    pub async fn ask_passkey(&self, pending: &str, now: Timestamp) -> Result<Asked, PeopleError> {
        let webauthn = self.webauthn()?;
        if pending.is_empty() {
            let begun = webauthn.start_discoverable_authentication();
            let (options, state) = begun.map_err(|_| PeopleError::Passkey)?;
            let mut options = serde_json::to_value(options)?;
            // A button asks for it, not a field that completes itself.
            if let Some(options) = options.as_object_mut() {
                options.remove("mediation");
            }
            return self.ask(WHOLE, "", options, &state, now).await;
        }
        let (_, _, account) = self.pending(pending, now).await?;
        let rows = self.store().passkeys_of(&account.id).await?;
        if rows.is_empty() {
            return Err(PeopleError::NoPasskeys);
        }
        let keys: Vec<Passkey> = rows
            .iter()
            .map(|row| serde_json::from_str(&row.body))
            .collect::<Result<_, _>>()?;
        let begun = webauthn.start_passkey_authentication(&keys);
        let (options, state) = begun.map_err(|_| PeopleError::Passkey)?;
        self.ask(
            SECOND,
            &account.id,
            serde_json::to_value(options)?,
            &state,
            now,
        )
        .await
    }

    /// Takes a passkey's answer: in place of a code after the first step, or as the whole log-in.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Late`], [`PeopleError::Passkey`] for what isn't right; [`PeopleError::LogIn`] for an account that
    /// is locked or not used any more.
    pub async fn log_in_by_passkey(
        &self,
        kept: &str,
        pending: &str,
        answer: &[u8],
        from: &str,
        now: Timestamp,
    ) -> Result<Fresh, PeopleError> {
        let answer: PublicKeyCredential =
            serde_json::from_slice(answer).map_err(|_| PeopleError::Passkey)?;
        if pending.is_empty() {
            let row = self.taken(kept, WHOLE, now).await?;
            return self.whole(&row, &answer, from, now).await;
        }
        let (old, session, account) = self.pending(pending, now).await?;
        let row = self.taken(kept, SECOND, now).await?;
        if row.account != account.id {
            return Err(PeopleError::Late);
        }
        self.refuse_locked(&account, from, now)?;
        let state: PasskeyAuthentication = serde_json::from_str(&row.body)?;
        let done = self
            .webauthn()?
            .finish_passkey_authentication(&answer, &state);
        let id = hex(answer.get_credential_id());
        self.use_passkey(&account, &id, done, from, now).await?;
        let way = Way::of_pending(&session.factors).ok_or(PeopleError::Late)?;
        let token = self
            .begin_full(&account, way.passkey, Some(&old), from, now)
            .await?;
        Ok(Fresh { token })
    }

    async fn whole(
        &self,
        row: &CeremonyRow,
        answer: &PublicKeyCredential,
        from: &str,
        now: Timestamp,
    ) -> Result<Fresh, PeopleError> {
        let webauthn = self.webauthn()?;
        let state: DiscoverableAuthentication = serde_json::from_str(&row.body)?;
        let unknown = || {
            self.tell_own(now, from, AccessKind::LogInFailed, "");
            PeopleError::Passkey
        };
        let identified = webauthn.identify_discoverable_authentication(answer);
        let (handle, id) = identified.map_err(|_| unknown())?;
        let account = self.store().account(&hex(handle.as_bytes())).await?;
        let account = account.filter(|account| account.state == "active");
        let account = account.ok_or_else(unknown)?;
        self.refuse_locked(&account, from, now)?;
        let id = hex(id);
        let rows = self.store().passkeys_of(&account.id).await?;
        let row = rows.into_iter().find(|row| row.id == id);
        let passkey: Passkey = serde_json::from_str(&row.ok_or_else(unknown)?.body)?;
        let done = webauthn.finish_discoverable_authentication_v2(answer, state, &passkey);
        self.use_passkey(&account, &id, done, from, now).await?;
        let unused = Timestamp(account.last_seen).plus_seconds(UNUSED_DAYS_MAX * log_in::DAY);
        if unused < now {
            self.disable_unused(&account, now).await?;
            return Err(PeopleError::LogIn);
        }
        let token = self.begin_full(&account, PASSKEY, None, from, now).await?;
        Ok(Fresh { token })
    }

    fn refuse_locked(
        &self,
        account: &AccountRow,
        from: &str,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        if account.locked_until > now.0 {
            self.tell_own(now, from, AccessKind::LogInFailed, &account.name);
            return Err(PeopleError::LogIn);
        }
        Ok(())
    }

    /// Takes what was found out of an answer: whoever it is of, its counter goes on. One that went back is a copy's.
    async fn use_passkey(
        &self,
        account: &AccountRow,
        id: &str,
        done: Result<AuthenticationResult, WebauthnError>,
        from: &str,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        let rows = self.store().passkeys_of(&account.id).await?;
        let row = rows.into_iter().find(|row| row.id == id);
        let (Ok(result), Some(row)) = (&done, &row) else {
            let copied = matches!(done, Err(WebauthnError::CredentialPossibleCompromise));
            let kind = match row {
                Some(row) if copied => AccessKind::PasskeyCopied { name: row.name },
                _ => AccessKind::LogInFailed,
            };
            self.tell_own(now, from, kind, &account.name);
            return Err(if copied {
                PeopleError::PasskeyCopied
            } else {
                PeopleError::Passkey
            });
        };
        let mut passkey: Passkey = serde_json::from_str(&row.body)?;
        if !result.user_verified() || passkey.update_credential(result).is_none() {
            self.tell_own(now, from, AccessKind::LogInFailed, &account.name);
            return Err(PeopleError::Passkey);
        }
        let after = serde_json::to_string(&passkey)?;
        if !self
            .store()
            .use_passkey(id, &row.body, &after, now.0)
            .await?
        {
            return Err(PeopleError::Changed);
        }
        Ok(())
    }
}

/// What an authenticator knows an account by: its id, which says nothing of its person.
fn handle(account: &AccountRow) -> Result<Uuid, PeopleError> {
    let id = bytes(&account.id).and_then(|id| Uuid::from_slice(&id).ok());
    id.ok_or(PeopleError::Passkey)
}

#[cfg(test)]
mod tests {
    use super::webauthn;

    #[test]
    fn passkeys_are_of_a_name_and_its_origin_alone() {
        for (address, origin) in [
            (
                "https://console.example.com",
                "https://console.example.com/",
            ),
            (
                "https://console.example.com:8443",
                "https://console.example.com:8443/",
            ),
            ("http://127.0.0.1:8780", "http://localhost:8780/"),
            ("http://[::1]:8780", "http://localhost:8780/"),
        ] {
            let found = webauthn(address).expect("passkeys");
            let origins: Vec<_> = found
                .get_allowed_origins()
                .iter()
                .map(|one| one.as_str())
                .collect();
            assert_eq!(origins, [origin], "{address}");
        }
        for address in [
            "",
            "https://192.0.2.10:8780",
            "http://127.0.0.2:8780",
            "nonsense",
        ] {
            assert!(webauthn(address).is_none(), "{address}");
        }
    }
}
