//! People as the company's directory has them, by SCIM: made, described, ended, brought back (PCI DSS v4.0.1 req. 8.2.5).
//!
//! A directory names everybody and ends anybody but accounts kept from it and the last administrator. It gives no roles
//! but those its words are mapped to, and lets nobody back in whom an administrator took out.

use std::collections::{BTreeMap, BTreeSet};

use ::directory::{Kind, Refusal, User, patched};
use model::{AccessKind, Grant, Principal, Right, Role, Timestamp, Via};
use serde::{Deserialize, Serialize};
use stores::{AccountRow, DirectoryAccess, DirectoryChange, IdentityRow, TokenRow};

use super::manage::checked;
use super::token::{PREFIX, USED_SECONDS};
use super::{
    Act, Made, People, PeopleError, fold, grants, hash, hex, is_person, json, need, random, shown,
};

/// The kind of what a directory says of an account, among its identities; its token's purpose, too.
pub(super) const DIRECTORY: &str = "directory";

/// What a directory may do beyond naming and ending people.
#[derive(Clone, Debug, Default)]
pub struct DirectorySettings {
    /// Roles by the directory's own words for roles and groups. Without any, a directory changes no roles.
    pub roles: BTreeMap<String, Vec<Grant>>,
    /// Names of accounts it may not change or end: those by which one gets in when the directory is wrong.
    pub keep: BTreeSet<String>,
}

impl DirectorySettings {
    /// What somebody may do by these words; nothing when no word is mapped at all.
    pub(super) fn mapped<'a>(
        roles: &BTreeMap<String, Vec<Grant>>,
        words: impl Iterator<Item = &'a String>,
    ) -> Option<Vec<Grant>> {
        if roles.is_empty() {
            return None;
        }
        let words = words.filter_map(|word| roles.get(word));
        let mut all: Vec<Grant> = words.flatten().cloned().collect();
        all.sort();
        all.dedup();
        Some(all)
    }
}

/// An account as a directory is shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The account's id.
    pub id: String,
    /// Who it is.
    pub user: User,
    /// When it was made.
    pub created: Timestamp,
    /// When the directory changed it last; when it was made until then.
    pub changed: Timestamp,
}

/// What a directory said of an account, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Said {
    external_id: String,
    #[serde(default)]
    mail: String,
    roles: Option<BTreeSet<String>>,
    groups: Option<BTreeSet<String>>,
    /// Whether the directory ended it: only then may it bring it back.
    ended: bool,
    /// Whether it was deleted: the directory sees it no more.
    deleted: bool,
}

/// An account with what a directory said of it.
struct Known {
    row: AccountRow,
    said: Said,
    changed: i64,
}

impl Known {
    fn resource(&self) -> Resource {
        Resource {
            id: self.row.id.clone(),
            user: User {
                user_name: self.row.name.clone(),
                external_id: self.said.external_id.clone(),
                display_name: self.row.shown.clone(),
                mail: self.said.mail.clone(),
                active: self.row.state != "disabled",
                roles: self.said.roles.clone(),
                groups: self.said.groups.clone(),
            },
            created: Timestamp(self.row.created),
            changed: Timestamp(self.changed),
        }
    }
}

impl People {
    /// Makes a token for a directory; gives it, once. It belongs to nobody, so that it doesn't end with who made it.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NotAllowed`], [`PeopleError::Beyond`] for a program, [`PeopleError::Name`],
    /// [`PeopleError::NameTaken`], [`PeopleError::Days`].
    pub async fn make_directory_token(
        &self,
        act: Act<'_>,
        name: &str,
        days: i64,
    ) -> Result<Made, PeopleError> {
        need(act.by, Right::ManagePeople)?;
        if !is_person(act.by) {
            return Err(PeopleError::Beyond);
        }
        let name = fold(name)?;
        let row = TokenRow {
            name,
            grants: "[]".to_owned(),
            purpose: DIRECTORY.to_owned(),
            ..TokenRow::default()
        };
        let told = |expires| AccessKind::DirectoryTokenMade { expires };
        self.add_token(act, row, days, told).await
    }

    /// Who a directory's token is; nobody for any other.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Store`].
    pub async fn directory(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<Option<Principal>, PeopleError> {
        if !text.starts_with(PREFIX) {
            return Ok(None);
        }
        let row = self.store().token(&hash(text)).await?;
        let row = row.filter(|row| row.purpose == DIRECTORY && row.expires > now.0);
        let Some(row) = row else { return Ok(None) };
        if now.seconds_since(Timestamp(row.last_used)) >= USED_SECONDS {
            // A disk that is full stops no directory that reads.
            drop(self.store().used_token(&row.hash, now.0).await);
        }
        let label = format!("directory {}", row.name);
        Ok(Some(Principal {
            account: String::new(),
            name: label.clone(),
            shown: label,
            // Invariant: none, so that no right is had whatever lets it through.
            grants: Vec::new(),
            via: Via::Directory,
        }))
    }

    /// Everybody the directory sees, by name.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NoSuch`] for whoever isn't a directory; so for every function here.
    pub async fn directory_users(&self, act: Act<'_>) -> Result<Vec<Resource>, PeopleError> {
        only_directory(act)?;
        let said = self.store().identities(DIRECTORY).await?;
        let mut said: BTreeMap<String, IdentityRow> = said
            .into_iter()
            .map(|row| (row.account.clone(), row))
            .collect();
        let mut all = Vec::new();
        for row in self.store().accounts().await? {
            let said = said.remove(&row.id);
            all.push(known(row, said)?);
        }
        Ok(all
            .iter()
            .filter(|known| !known.said.deleted)
            .map(Known::resource)
            .collect())
    }

    /// One of them.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NoSuch`].
    pub async fn directory_user(&self, act: Act<'_>, id: &str) -> Result<Resource, PeopleError> {
        only_directory(act)?;
        Ok(self.known(id).await?.resource())
    }

    async fn known(&self, id: &str) -> Result<Known, PeopleError> {
        let row = self.store().account(id).await?;
        let row = row.ok_or(PeopleError::NoSuch)?;
        let said = self.store().identity(DIRECTORY, id).await?;
        let known = known(row, said)?;
        if known.said.deleted {
            return Err(PeopleError::NoSuch);
        }
        Ok(known)
    }

    /// Makes an account for somebody the directory has, or takes up again one that it deleted.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NameTaken`], [`PeopleError::Name`], [`PeopleError::Grants`].
    pub async fn provision(&self, act: Act<'_>, user: User) -> Result<Resource, PeopleError> {
        only_directory(act)?;
        let _changing = self.0.changing.lock().await;
        let name = fold(&user.user_name)?;
        if let Some(row) = self.store().account_named(&name).await? {
            let said = self.store().identity(DIRECTORY, &row.id).await?;
            let known = known(row, said)?;
            if !known.said.deleted {
                return Err(PeopleError::NameTaken);
            }
            return self.change(act, known, user).await;
        }
        let given = match self.mapped(&user)? {
            Some(given) if user.active => given,
            _ => Vec::new(),
        };
        let row = AccountRow {
            id: hex(&random::<16>()?),
            shown: shown(&user.display_name).unwrap_or_else(|_| name.clone()),
            name,
            state: if user.active { "active" } else { "disabled" }.to_owned(),
            grants: json(&given)?,
            created: act.now.0,
            last_seen: act.now.0,
            ..AccountRow::default()
        };
        let said = Said {
            ended: !user.active,
            ..said_by(&user)?
        };
        let identity = identity(&row.id, &said, act.now)?;
        if !self.store().provision(&row, &identity).await? {
            return Err(PeopleError::NameTaken);
        }
        self.tell(act, AccessKind::Provisioned, &row.name);
        if !given.is_empty() {
            let before = Vec::new();
            self.tell(
                act,
                AccessKind::Granted {
                    before,
                    after: given,
                },
                &row.name,
            );
        }
        let changed = act.now.0;
        Ok(Known { row, said, changed }.resource())
    }

    /// Takes a user as the directory has them now, whole.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Directory`] for another name, [`PeopleError::Kept`], [`PeopleError::LastAdmin`],
    /// [`PeopleError::Grants`], [`PeopleError::Changed`].
    pub async fn put_user(
        &self,
        act: Act<'_>,
        id: &str,
        user: User,
    ) -> Result<Resource, PeopleError> {
        only_directory(act)?;
        let _changing = self.0.changing.lock().await;
        let known = self.known(id).await?;
        self.change(act, known, user).await
    }

    /// Changes a user by the operations of a body.
    ///
    /// # Errors
    ///
    /// As [`People::put_user`].
    pub async fn patch_user(
        &self,
        act: Act<'_>,
        id: &str,
        body: &[u8],
    ) -> Result<Resource, PeopleError> {
        only_directory(act)?;
        let _changing = self.0.changing.lock().await;
        let known = self.known(id).await?;
        let user = patched(body, &known.resource().user);
        let user = user.map_err(|refusal| PeopleError::Directory { refusal })?;
        self.change(act, known, user).await
    }

    /// Ends an account, which the directory then sees no more; it is kept for the record.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Kept`], [`PeopleError::LastAdmin`].
    pub async fn end_user(&self, act: Act<'_>, id: &str) -> Result<(), PeopleError> {
        only_directory(act)?;
        let _changing = self.0.changing.lock().await;
        let mut known = self.known(id).await?;
        let mut user = known.resource().user;
        user.active = false;
        known.said.deleted = true;
        self.change(act, known, user).await?;
        Ok(())
    }

    /// Makes an account what the directory says, in one.
    async fn change(
        &self,
        act: Act<'_>,
        known: Known,
        user: User,
    ) -> Result<Resource, PeopleError> {
        let before = known.row;
        if self.0.sign_in.directory.keep.contains(&before.name) {
            return Err(PeopleError::Kept);
        }
        if fold(&user.user_name)? != before.name {
            let kind = Kind::Mutability;
            let detail = "`userName` never changes here: what somebody decided stays under the name it was sealed with";
            let refusal = Refusal { kind, detail };
            return Err(PeopleError::Directory { refusal });
        }
        let is_active = before.state != "disabled";
        // Whatever else is wrong with what was sent, who leaves is out.
        let mut said = match said_by(&user) {
            Err(_) if is_active && !user.active => known.said.clone(),
            said => said?,
        };
        // Sent again after it was deleted, it is there again.
        said.deleted = known.said.deleted && !user.active;
        said.ended = known.said.ended;
        let access = match (is_active, user.active) {
            (true, false) => {
                said.ended = true;
                DirectoryAccess::Ends
            }
            // Whom an administrator took out, or nobody used for 90 days, an administrator lets back in.
            (false, true) if known.said.ended => {
                said.ended = false;
                DirectoryAccess::Returns
            }
            _ => DirectoryAccess::Stays,
        };
        let had = grants(&before.grants)?;
        let will = match access {
            DirectoryAccess::Ends => None,
            DirectoryAccess::Returns => Some(self.mapped(&user)?.unwrap_or_default()),
            DirectoryAccess::Stays if is_active && speaks(&user) => self.mapped(&user)?,
            DirectoryAccess::Stays => None,
        };
        let will = will.unwrap_or_else(|| had.clone());
        let is_admin = |all: &[Grant]| all.contains(&Grant::all(Role::Admin));
        if access == DirectoryAccess::Ends || is_admin(&had) && !is_admin(&will) {
            self.keep_an_admin(&before).await?;
        }
        let name = before.name.clone();
        let after = AccountRow {
            shown: shown(&user.display_name).unwrap_or_else(|_| name.clone()),
            grants: json(&will)?,
            state: match access {
                DirectoryAccess::Stays => before.state.clone(),
                DirectoryAccess::Ends => "disabled".to_owned(),
                DirectoryAccess::Returns => "active".to_owned(),
            },
            last_seen: match access {
                DirectoryAccess::Returns => act.now.0,
                _ => before.last_seen,
            },
            ..before.clone()
        };
        let identity = identity(&before.id, &said, act.now)?;
        let change = DirectoryChange {
            account: after,
            grants_before: before.grants.clone(),
            access,
            identity,
        };
        if access == DirectoryAccess::Returns {
            // What was known before they left opens nothing.
            self.forget_password(&change.account.id, act.now).await?;
        }
        if !self.store().change_by_directory(&change).await? {
            return Err(PeopleError::Changed);
        }
        match access {
            DirectoryAccess::Ends => self.tell(act, AccessKind::Disabled, &name),
            DirectoryAccess::Returns => self.tell(act, AccessKind::Returned, &name),
            DirectoryAccess::Stays => {}
        }
        if had != will {
            let (before, after) = (had, will);
            self.tell(act, AccessKind::Granted { before, after }, &name);
        }
        let row = change.account;
        if row.shown != before.shown {
            self.tell(act, AccessKind::Described, &name);
        }
        let changed = act.now.0;
        Ok(Known { row, said, changed }.resource())
    }

    /// What somebody may do by the directory's words for them; nothing when it says none, or none is mapped.
    fn mapped(&self, user: &User) -> Result<Option<Vec<Grant>>, PeopleError> {
        if !speaks(user) {
            return Ok(None);
        }
        let words = user.roles.iter().chain(&user.groups).flatten();
        let roles = &self.0.sign_in.directory.roles;
        match DirectorySettings::mapped(roles, words) {
            Some(all) if !all.is_empty() => Ok(Some(checked(&all)?)),
            all => Ok(all),
        }
    }
}

/// Whether a directory says anything of somebody's roles.
fn speaks(user: &User) -> bool {
    user.roles.is_some() || user.groups.is_some()
}

fn only_directory(act: Act<'_>) -> Result<(), PeopleError> {
    if act.by.via == Via::Directory {
        Ok(())
    } else {
        Err(PeopleError::NoSuch)
    }
}

fn known(row: AccountRow, said: Option<IdentityRow>) -> Result<Known, PeopleError> {
    let changed = said.as_ref().map_or(row.created, |said| said.changed);
    let said = match said {
        Some(said) => serde_json::from_str(&said.secret)?,
        None => Said::default(),
    };
    Ok(Known { row, said, changed })
}

/// What is kept of a user; a card number in it, hidden.
fn said_by(user: &User) -> Result<Said, PeopleError> {
    let words = user.roles.iter().chain(&user.groups).flatten();
    for text in words.chain([&user.external_id, &user.mail]) {
        if crate::hide::is_hidden(text) {
            let refusal = Refusal {
                kind: Kind::InvalidValue,
                detail: "a value looks like a card number or a secret",
            };
            return Err(PeopleError::Directory { refusal });
        }
    }
    Ok(Said {
        external_id: user.external_id.clone(),
        mail: user.mail.clone(),
        roles: user.roles.clone(),
        groups: user.groups.clone(),
        ..Said::default()
    })
}

/// The address of mail that a directory says, if it is one.
pub(super) fn mail_of(row: &IdentityRow) -> Option<String> {
    let said: Said = serde_json::from_str(&row.secret).ok()?;
    let is_told = sinks::mail::is_address(&said.mail) && !said.ended && !said.deleted;
    is_told.then(|| said.mail.to_ascii_lowercase())
}

fn identity(account: &str, said: &Said, now: Timestamp) -> Result<IdentityRow, PeopleError> {
    Ok(IdentityRow {
        kind: DIRECTORY.to_owned(),
        subject: account.to_owned(),
        account: account.to_owned(),
        secret: serde_json::to_string(said)?,
        previous: "[]".to_owned(),
        used: -1,
        changed: now.0,
    })
}
