//! Whose account somebody is whom a provider vouched for, and what they still have to show.
//!
//! An account is found by the provider's own word for somebody once it is linked, by its name only the first time, and
//! never so where it has a password here or is kept from others (PCI DSS v4.0.1 req. 8.2.1, 8.4.2). It makes no difference
//! by which protocol the provider vouched.

use model::{AccessKind, Grant, Role, Timestamp, Who};
use stores::{AccountRow, IdentityRow, InvitationRow};

use super::directory::{DIRECTORY, DirectorySettings};
use super::log_in::{secret_of, session_row};
use super::manage::checked;
use super::provider::{Vouched, Voucher};
use super::session::{OIDC, SAML, Way};
use super::{
    AWAY_SECONDS_MAX, People, PeopleError, UNUSED_DAYS_MAX, fold, grants, hash, hex, json, log_in,
    random, secret, shown,
};

impl People {
    /// The account of somebody a provider vouched for, as it may be used now.
    pub(super) async fn vouched_account(
        &self,
        voucher: &Voucher,
        who: &Who,
        from: &str,
        now: Timestamp,
    ) -> Result<AccountRow, PeopleError> {
        let _changing = self.0.changing.lock().await;
        let refuse = |why| Err(self.not_vouched(voucher, why, from, now));
        let subject = format!("{} {}", voucher.issuer(), who.subject);
        let mut account = match self.store().identity(voucher.way().name, &subject).await? {
            Some(link) => {
                let account = self.store().account(&link.account).await?;
                account.ok_or(PeopleError::NoSuch)?
            }
            None => {
                let Ok(name) = fold(&who.account) else {
                    return refuse("its name for you can't be an account's");
                };
                let account = match self.store().account_named(&name).await? {
                    Some(account) => account,
                    None if voucher.makes_accounts => {
                        self.made(voucher, &name, who, from, now).await?
                    }
                    None => {
                        return refuse(
                            "you have no account here; an administrator or the directory makes one",
                        );
                    }
                };
                if self.0.sign_in.directory.keep.contains(&account.name) {
                    return refuse("this account is for name and password alone");
                }
                if !self.may_be_linked(&account).await? {
                    return refuse(
                        "your account has a password here, or is somebody else's there; an administrator resets it first",
                    );
                }
                if account.state == "disabled" {
                    return refuse("your account is disabled");
                }
                let row = IdentityRow {
                    kind: voucher.way().name.to_owned(),
                    subject,
                    account: account.id.clone(),
                    secret: String::new(),
                    previous: "[]".to_owned(),
                    used: -1,
                    changed: now.0,
                };
                self.store().put_identity(&row).await?;
                let provider = voucher.id.clone();
                self.tell_own(now, from, AccessKind::Linked { provider }, &account.name);
                account
            }
        };
        if account.state == "invited" {
            // The link they were sent is no more, nor a password from before.
            self.forget_password(&account.id, now).await?;
            self.store().activate(&account.id, now.0).await?;
            account.state = "active".to_owned();
            account.last_seen = now.0;
            self.tell_own(now, from, AccessKind::Joined, &account.name);
        }
        if account.state != "active" {
            return refuse("your account is disabled");
        }
        if account.locked_until > now.0 {
            return refuse("your account is locked for half an hour");
        }
        let unused = Timestamp(account.last_seen).plus_seconds(UNUSED_DAYS_MAX * log_in::DAY);
        if unused < now {
            self.disable_unused(&account, now).await?;
            return refuse("your account wasn't used for 90 days");
        }
        self.give_roles(voucher, who, &mut account, from, now)
            .await?;
        Ok(account)
    }

    /// Whether an account that isn't linked yet may be, by its name alone: one that waits for its person, or that has no
    /// other way in. Whoever may choose their name at the provider would else be whom they like here.
    async fn may_be_linked(&self, account: &AccountRow) -> Result<bool, PeopleError> {
        if self.linked_by(&account.id).await?.is_some() {
            return Ok(false);
        }
        if account.state == "invited" {
            return Ok(true);
        }
        let password = self.store().identity("password", &account.id).await?;
        Ok(secret_of(password).is_none())
    }

    async fn made(
        &self,
        voucher: &Voucher,
        name: &str,
        who: &Who,
        from: &str,
        now: Timestamp,
    ) -> Result<AccountRow, PeopleError> {
        let row = AccountRow {
            id: hex(&random::<16>()?),
            name: name.to_owned(),
            shown: shown(&who.shown).unwrap_or_else(|_| name.to_owned()),
            state: "active".to_owned(),
            grants: "[]".to_owned(),
            created: now.0,
            last_seen: now.0,
            ..AccountRow::default()
        };
        if !self.store().add_account(&row).await? {
            return Err(PeopleError::Changed);
        }
        let provider = voucher.id.clone();
        self.tell_own(now, from, AccessKind::MadeByProvider { provider }, name);
        Ok(row)
    }

    /// Makes somebody's roles what the provider's words are mapped to, where it says any and any is mapped.
    async fn give_roles(
        &self,
        voucher: &Voucher,
        who: &Who,
        account: &mut AccountRow,
        from: &str,
        now: Timestamp,
    ) -> Result<(), PeopleError> {
        let Some(words) = &who.words else {
            return Ok(());
        };
        let Some(after) = DirectorySettings::mapped(&voucher.roles, words.iter()) else {
            return Ok(());
        };
        let after = if after.is_empty() {
            after
        } else {
            checked(&after)?
        };
        let before = grants(&account.grants)?;
        if before == after || self.0.sign_in.directory.keep.contains(&account.name) {
            return Ok(());
        }
        if before.contains(&Grant::all(Role::Admin)) && !after.contains(&Grant::all(Role::Admin)) {
            self.keep_an_admin(account).await?;
        }
        let written = json(&after)?;
        if !self
            .store()
            .set_grants(&account.id, &account.grants, &written)
            .await?
        {
            return Err(PeopleError::Changed);
        }
        account.grants = written;
        (self.0.tell)(model::AccessEvent {
            at: now,
            kind: AccessKind::Granted { before, after },
            account: account.name.clone(),
            by: format!("provider {}", voucher.id),
            from: from.to_owned(),
        });
        Ok(())
    }

    /// Lets somebody in as far as what they showed goes. Every way begins a session of its own.
    pub(super) async fn admit(
        &self,
        way: &Way,
        account: &AccountRow,
        who: &Who,
        next: String,
        from: &str,
        now: Timestamp,
    ) -> Result<Vouched, PeopleError> {
        if who.has_factors {
            let token = self.begin_full(account, way.name, None, from, now).await?;
            return Ok(Vouched::In { token, next });
        }
        let has_totp = self.store().identity("totp", &account.id).await?.is_some();
        if has_totp || !self.store().passkeys_of(&account.id).await?.is_empty() {
            let token = secret()?;
            let row = session_row(&token, &account.id, way.pending, now)?;
            self.store().begin_session(&row, None).await?;
            return Ok(Vouched::SecondFactor { token, next });
        }
        let invitation = secret()?;
        let row = InvitationRow {
            hash: hash(&invitation),
            account: account.id.clone(),
            name: account.name.clone(),
            shown: account.shown.clone(),
            grants: account.grants.clone(),
            secret: self.new_secret(&hash(&invitation))?,
            created: now.0,
            expires: now.plus_seconds(AWAY_SECONDS_MAX).0,
            ..InvitationRow::default()
        };
        self.store().invite(&row).await?;
        Ok(Vouched::Enrols { invitation })
    }

    /// By which way of providers an account's person comes in; none where no provider's subject is theirs.
    pub(super) async fn linked_by(
        &self,
        account: &str,
    ) -> Result<Option<&'static Way>, PeopleError> {
        for way in [&OIDC, &SAML] {
            if self.store().links_of(way.name, account).await? > 0 {
                return Ok(Some(way));
            }
        }
        Ok(None)
    }

    /// Whether the directory or a provider is how an account's person comes in: there is no password here.
    pub(super) async fn has_no_password(&self, account: &str) -> Result<bool, PeopleError> {
        let password = self.store().identity("password", account).await?;
        Ok(secret_of(password).is_none()
            && (self.linked_by(account).await?.is_some()
                || self.store().identity(DIRECTORY, account).await?.is_some()))
    }
}
