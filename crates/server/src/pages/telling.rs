//! Whom to tell: the duties of an incident as far as they bind, and who is called for each by the settings.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::content;
use incident::{EntityProfile, ObligationRules, Reach, called, is_place, reach};
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
    /// Customers live nowhere: no law that goes by where they do would be shown.
    #[error("a merchant's customers live in at least one place")]
    NoPlace,
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

impl Telling {
    /// Of contacts, the places where customers live, and what the merchant is; `file` says where that is set.
    ///
    /// # Errors
    ///
    /// [`TellingError`] when a word isn't known: a duty would go unseen for it.
    ///
    /// # Panics
    ///
    /// When the obligations that the binary embeds can't be read, which a test refuses.
    pub fn new(
        contacts: Vec<Contact>,
        customers: Option<Vec<String>>,
        merchant: Option<Vec<String>>,
        file: String,
    ) -> Result<Self, TellingError> {
        if contacts.len() > CONTACTS_MAX {
            return Err(TellingError::Contacts);
        }
        if customers.as_ref().is_some_and(Vec::is_empty) {
            return Err(TellingError::NoPlace);
        }
        let mut places = customers.iter().flatten();
        if let Some(place) = places.find(|place| !is_place(place)) {
            return Err(TellingError::Place(place.clone()));
        }
        let files: Vec<_> = content::under("obligations/", ".toml").collect();
        let rules = ObligationRules::parse(&files).expect("the embedded obligations are tested");
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
    /// Those that are called: who helps always, and those by whom the duties' recipients are told.
    roles: BTreeSet<ContactRole>,
}

impl Whom {
    pub(super) fn new(telling: &Arc<Telling>, incident: &Incident) -> Self {
        let mut roles: BTreeSet<ContactRole> = ALWAYS.iter().copied().collect();
        let [binds, unknown, _] = telling.sorted(incident);
        let may_bind = binds.iter().chain(&unknown);
        roles.extend(may_bind.flat_map(|duty| called(&duty.recipient)));
        Self {
            telling: Arc::clone(telling),
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

    /// Duties of an incident: those that bind, those of which that isn't known, and those that don't by the settings.
    pub(super) fn sorted<'a>(&self, incident: &'a Incident) -> [Vec<&'a Obligation>; 3] {
        self.telling.sorted(incident)
    }

    /// What settings say of where customers live and what the merchant is; empty where they say neither.
    pub(super) fn profile(&self) -> String {
        let EntityProfile { regions, entities } = &self.telling.profile;
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

impl Telling {
    /// Duties of an incident: those that bind, those of which that isn't known, and those that don't by the settings.
    fn sorted<'a>(&self, incident: &'a Incident) -> [Vec<&'a Obligation>; 3] {
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
