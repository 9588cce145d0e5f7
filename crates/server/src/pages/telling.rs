//! Whom to tell: the duties of an incident as far as they bind, and who is called for each by the settings.

use std::collections::BTreeSet;
use std::sync::Arc;

use incident::{Duties, EntityProfile, called};
use model::{CONTACTS_MAX, Contact, ContactRole, Incident};

/// What settings say of whom to tell.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    contacts: Vec<Contact>,
    /// Where they were read from; empty where there is no file.
    file: String,
}

/// More contacts than are kept.
#[derive(Debug, thiserror::Error)]
#[error("at most {CONTACTS_MAX} contacts are kept")]
pub struct TellingError;

impl Telling {
    /// Of contacts; `file` says where they are set.
    ///
    /// # Errors
    ///
    /// [`TellingError`] when there are too many.
    pub fn new(contacts: Vec<Contact>, file: String) -> Result<Self, TellingError> {
        if contacts.len() > CONTACTS_MAX {
            return Err(TellingError);
        }
        Ok(Self { contacts, file })
    }
}

/// Who is called about every incident.
const ALWAYS: &[ContactRole] = &[
    ContactRole::IncidentLead,
    ContactRole::Counsel,
    ContactRole::Acquirer,
    ContactRole::HostingProvider,
    ContactRole::ForensicInvestigator,
];

/// Whom to tell of one incident, and who is called.
pub(super) struct Whom {
    telling: Arc<Telling>,
    merchant: Arc<EntityProfile>,
    /// Those that are called: who helps always, and those by whom the duties' recipients are told.
    roles: BTreeSet<ContactRole>,
}

impl Whom {
    pub(super) fn new(
        telling: &Arc<Telling>,
        merchant: Arc<EntityProfile>,
        incident: &Incident,
    ) -> Self {
        let mut roles: BTreeSet<ContactRole> = ALWAYS.iter().copied().collect();
        let duties = Duties::of(incident, &merchant);
        let may_bind = duties.binds.iter().chain(&duties.unknown);
        roles.extend(may_bind.flat_map(|duty| called(&duty.recipient)));
        Self {
            telling: Arc::clone(telling),
            merchant,
            roles,
        }
    }

    fn of(&self, role: ContactRole) -> Vec<&Contact> {
        let contacts = self.telling.contacts.iter();
        contacts.filter(|one| one.role == role).collect()
    }

    /// Roles with those who are set for them, and roles for which nobody is.
    pub(super) fn called(&self) -> (Vec<(ContactRole, Vec<&Contact>)>, Vec<ContactRole>) {
        let roles = ContactRole::ALL.into_iter();
        let all = roles.filter(|role| self.roles.contains(role));
        let (set, lacking): (Vec<_>, Vec<_>) = all
            .map(|role| (role, self.of(role)))
            .partition(|(_, contacts)| !contacts.is_empty());
        (set, lacking.into_iter().map(|(role, _)| role).collect())
    }

    /// Who is called about a recipient, as far as it is set: name and number.
    pub(super) fn by(&self, recipient: &str) -> String {
        let roles = called(recipient).into_iter();
        let contacts = roles.filter_map(|role| self.of(role).first().copied());
        let lines = contacts.map(|one| {
            let reached = if one.telephone.is_empty() {
                &one.mail
            } else {
                &one.telephone
            };
            format!("{}, {reached}", one.name)
        });
        lines.collect::<Vec<_>>().join("; ")
    }

    /// The file where contacts are set.
    pub(super) fn file(&self) -> &str {
        match self.telling.file.as_str() {
            "" => "the settings file (magewarden up --config FILE)",
            file => file,
        }
    }

    /// The duties of an incident by whether they bind this merchant.
    pub(super) fn duties<'a>(&self, incident: &'a Incident) -> Duties<'a> {
        Duties::of(incident, &self.merchant)
    }

    /// What settings say of where customers live and what the merchant is; empty where they say neither.
    pub(super) fn profile(&self) -> String {
        let EntityProfile { regions, entities } = &*self.merchant;
        if regions.is_none() && entities.is_none() {
            return String::new();
        }
        let said = |words: &Option<BTreeSet<String>>, unset: &str, none: &str| match words {
            None => unset.to_owned(),
            Some(words) if words.is_empty() => none.to_owned(),
            Some(words) => words
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", "),
        };
        format!(
            "Customers live in {}; the merchant is {}.",
            said(regions, "places that aren't set", "no place"),
            said(
                entities,
                "not set to be anything that only some are",
                "nothing that only some are"
            )
        )
    }
}
