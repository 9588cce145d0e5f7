//! Addresses of mail of people: each says or clears their own with a code, whoever manages people anybody's; a directory's
//! stands where nobody said one.

use sinks::mail::is_address;
use stores::{AccountRow, IdentityRow};

use model::{AccessKind, Principal, Right, Via};

use super::{Act, People, PeopleError, directory, grants, is_person, need};

/// The kind of an address among an account's identities.
const MAIL: &str = "mail";

/// Somebody who may be told by mail.
#[derive(Clone, Debug)]
pub struct Reader {
    /// Their address, in lower case.
    pub address: String,
    /// Who they are, with what they may do at any time.
    pub principal: Principal,
}

impl People {
    /// One's own address of mail, and whether it is the directory's; empty when there is none.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NoSuch`] for a program.
    pub async fn own_mail(&self, act: Act<'_>) -> Result<(String, bool), PeopleError> {
        let account = self.own(act).await?;
        let said = self.store().identity(MAIL, &account.id).await?;
        if let Some(said) = said.filter(|said| !said.secret.is_empty()) {
            return Ok((said.secret, false));
        }
        let of_directory = self.store().identity(directory::DIRECTORY, &account.id);
        let of_directory = of_directory.await?.and_then(|row| directory::mail_of(&row));
        Ok((of_directory.unwrap_or_default(), true))
    }

    /// Sets one's own address of mail; an empty one clears it.
    ///
    /// # Errors
    ///
    /// [`PeopleError::Mail`], [`PeopleError::Code`], [`PeopleError::LogIn`].
    pub async fn set_own_mail(
        &self,
        act: Act<'_>,
        address: &str,
        code: &str,
    ) -> Result<(), PeopleError> {
        let account = self.own(act).await?;
        let address = checked(address)?;
        self.prove(&account, code, act.from, act.now).await?;
        self.put_mail(act, &account, address).await
    }

    /// Sets somebody's address of mail; an empty one clears it.
    ///
    /// # Errors
    ///
    /// [`PeopleError::NotAllowed`], [`PeopleError::Beyond`] for a program, [`PeopleError::Mail`], [`PeopleError::NoSuch`].
    pub async fn set_mail(
        &self,
        act: Act<'_>,
        name: &str,
        address: &str,
    ) -> Result<(), PeopleError> {
        need(act.by, Right::ManagePeople)?;
        if !is_person(act.by) {
            return Err(PeopleError::Beyond);
        }
        let address = checked(address)?;
        let account = self.named(name).await?;
        self.put_mail(act, &account, address).await
    }

    async fn put_mail(
        &self,
        act: Act<'_>,
        account: &AccountRow,
        address: String,
    ) -> Result<(), PeopleError> {
        let row = IdentityRow {
            kind: MAIL.to_owned(),
            subject: account.id.clone(),
            account: account.id.clone(),
            secret: address,
            previous: "[]".to_owned(),
            used: -1,
            changed: act.now.0,
        };
        self.store().put_identity(&row).await?;
        self.tell(act, AccessKind::MailChanged, &account.name);
        Ok(())
    }

    /// Everybody with an account in use and an address of mail.
    ///
    /// # Errors
    ///
    /// [`PeopleError`] when they can't be read.
    pub async fn readers(&self) -> Result<Vec<Reader>, PeopleError> {
        let said = self.store().identities(MAIL).await?;
        let of_directory = self.store().identities(directory::DIRECTORY).await?;
        let mut readers = Vec::new();
        for row in self.store().accounts().await? {
            let of = |rows: &[IdentityRow]| rows.iter().find(|one| one.account == row.id).cloned();
            let own = of(&said).map(|one| one.secret);
            let own = own.filter(|own| !own.is_empty());
            let theirs = || of(&of_directory).and_then(|one| directory::mail_of(&one));
            let Some(address) = own.or_else(theirs).filter(|_| row.state == "active") else {
                continue;
            };
            readers.push(Reader {
                address,
                principal: Principal {
                    account: row.id.clone(),
                    name: row.name.clone(),
                    shown: row.shown.clone(),
                    grants: grants(&row.grants)?,
                    via: Via::Session,
                },
            });
        }
        Ok(readers)
    }
}

/// An address as it is kept.
fn checked(address: &str) -> Result<String, PeopleError> {
    let address = address.trim();
    if !address.is_empty() && !is_address(address) {
        return Err(PeopleError::Mail);
    }
    Ok(address.to_ascii_lowercase())
}
