//! Whom to tell: the duties of an incident as far as they bind, and who is called for each by the settings.

use std::collections::{BTreeMap, BTreeSet};

use engine::content;
use incident::{EntityProfile, ObligationRules, Reach, called, reach};
use model::{CONTACTS_MAX, Contact, ContactRole, Incident, Obligation};

/// What settings say of whom to tell.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    contacts: Vec<Contact>,
    profile: EntityProfile,
    /// Where they were read from; empty where there is no file.
    file: String,
}

/// Why what settings say of the merchant can't be used: a word that isn't known, with those that are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TellingError {
    /// A place that is no code of a country or of a part of one.
    #[error("`{0}` is no place such as `DE`, `US-CA`, `EU` or `UK`")]
    Place(String),
    /// No duty asks for such a merchant.
    #[error("no duty asks whether the merchant is `{word}`; known: {known}")]
    Merchant {
        /// What was said.
        word: String,
        /// What can be said.
        known: String,
    },
    /// More than are kept.
    #[error("at most {CONTACTS_MAX} contacts are kept")]
    Contacts,
}

/// `DE`, `US-CA`.
fn is_place(text: &str) -> bool {
    let is_code = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_uppercase());
    match text.split_once('-') {
        Some((country, part)) => is_code(country) && is_code(part),
        None => is_code(text),
    }
}

impl Telling {
    /// Of contacts, the places where customers live, and what the merchant is; `file` says where that is set.
    ///
    /// # Errors
    ///
    /// [`TellingError`] when a word isn't known: a duty would go unseen for it.
    pub fn new(
        contacts: Vec<Contact>,
        customers: Option<Vec<String>>,
        merchant: Option<Vec<String>>,
        file: String,
    ) -> Result<Self, TellingError> {
        if contacts.len() > CONTACTS_MAX {
            return Err(TellingError::Contacts);
        }
        let mut places = customers.iter().flatten();
        if let Some(place) = places.find(|place| !is_place(place)) {
            return Err(TellingError::Place(place.clone()));
        }
        let files: Vec<_> = content::under("obligations/", ".toml").collect();
        let rules = ObligationRules::parse(&files).unwrap_or_default();
        let known: BTreeSet<&String> = rules.rules().flat_map(|rule| &rule.entities).collect();
        let mut words = merchant.iter().flatten();
        if let Some(word) = words.find(|word| !known.contains(word)) {
            let known: Vec<&str> = known.iter().map(|word| word.as_str()).collect();
            return Err(TellingError::Merchant {
                word: word.clone(),
                known: known.join("; "),
            });
        }
        Ok(Self {
            contacts,
            profile: EntityProfile {
                regions: customers.map(BTreeSet::from_iter),
                entities: merchant.map(BTreeSet::from_iter),
            },
            file,
        })
    }
}

/// A role with those who are called for it; none where none is set.
pub(super) struct Called {
    pub(super) role: ContactRole,
    pub(super) contacts: Vec<Contact>,
}

/// Whom to tell of one incident, and who is called.
pub(super) struct Whom {
    /// Those that are called: who helps always, and those by whom the duties' recipients are told.
    pub(super) called: Vec<Called>,
    /// The file where contacts are set.
    pub(super) file: String,
    /// What settings say of where customers live and what the merchant is; empty where they don't.
    pub(super) customers: String,
    pub(super) merchant: String,
    by_role: BTreeMap<ContactRole, Vec<Contact>>,
}

impl Whom {
    /// Whether anybody is set.
    pub(super) fn has_contacts(&self) -> bool {
        self.called.iter().any(|one| !one.contacts.is_empty())
    }

    /// Whether somebody isn't.
    pub(super) fn lacks_contacts(&self) -> bool {
        self.called.iter().any(|one| one.contacts.is_empty())
    }

    /// Those for whom nobody is set.
    pub(super) fn lacking(&self) -> Vec<&Called> {
        let all = self.called.iter();
        all.filter(|one| one.contacts.is_empty()).collect()
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

impl Telling {
    /// Of an incident.
    pub(super) fn of(&self, incident: &Incident) -> Whom {
        let mut by_role: BTreeMap<ContactRole, Vec<Contact>> = BTreeMap::new();
        for contact in &self.contacts {
            by_role
                .entry(contact.role)
                .or_default()
                .push(contact.clone());
        }
        let mut roles: BTreeSet<ContactRole> = ALWAYS.iter().copied().collect();
        let bind = incident.obligations.iter();
        let bind = bind.filter(|duty| reach(duty, &self.profile) != Reach::Elsewhere);
        roles.extend(bind.flat_map(|duty| called(&duty.recipient)));
        let ordered = ContactRole::ALL
            .into_iter()
            .filter(|role| roles.contains(role));
        let said = |words: &Option<BTreeSet<String>>| {
            let words = words.iter().flatten().cloned();
            words.collect::<Vec<_>>().join(", ")
        };
        Whom {
            called: ordered
                .map(|role| Called {
                    role,
                    contacts: by_role.get(&role).cloned().unwrap_or_default(),
                })
                .collect(),
            file: if self.file.is_empty() {
                "the settings file (magewarden up --config FILE)".to_owned()
            } else {
                self.file.clone()
            },
            customers: said(&self.profile.regions),
            merchant: said(&self.profile.entities),
            by_role,
        }
    }

    /// Duties of an incident: those that bind, those of which that isn't known, and those that don't by the settings.
    pub(super) fn sorted<'a>(&self, incident: &'a Incident) -> [Vec<&'a Obligation>; 3] {
        let mut out = [const { Vec::new() }; 3];
        let [binds, unknown, elsewhere] = &mut out;
        for duty in &incident.obligations {
            match reach(duty, &self.profile) {
                Reach::Binds => binds.push(duty),
                Reach::Unknown => unknown.push(duty),
                Reach::Elsewhere => elsewhere.push(duty),
            }
        }
        out
    }
}

impl Whom {
    /// Who is called about a recipient, as far as it is set: name and number.
    pub(super) fn by(&self, recipient: &str) -> String {
        let roles = called(recipient).into_iter();
        let contacts = roles.filter_map(|role| self.by_role.get(&role)?.first());
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
}
