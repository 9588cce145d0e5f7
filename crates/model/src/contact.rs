//! Whom to call when it burns: people and offices by what they are for, as the settings name them.
//!
//! Apart from accounts: most of them never log in here.

/// What a contact is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContactRole {
    /// A lawyer: decides what is said to whom, and when a clock began.
    Counsel,
    /// The bank that takes cards for the shop.
    Acquirer,
    /// A card brand, where it is told directly.
    PaymentBrand,
    /// Who answers for personal data; speaks with authorities and the people concerned.
    DataProtectionOfficer,
    /// Who runs the shop's hosts.
    HostingProvider,
    /// A PCI Forensic Investigator (PCI SSC).
    ForensicInvestigator,
    /// The payment service provider or gateway.
    PaymentServiceProvider,
    /// The insurer, whose terms mostly ask to be told early.
    Insurer,
    /// Who leads incidents.
    IncidentLead,
}

impl ContactRole {
    /// Every role, those that are called first before others.
    pub const ALL: [Self; 9] = [
        Self::IncidentLead,
        Self::Counsel,
        Self::Acquirer,
        Self::HostingProvider,
        Self::ForensicInvestigator,
        Self::DataProtectionOfficer,
        Self::PaymentServiceProvider,
        Self::PaymentBrand,
        Self::Insurer,
    ];

    /// Its name in settings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counsel => "counsel",
            Self::Acquirer => "acquirer",
            Self::PaymentBrand => "payment_brand",
            Self::DataProtectionOfficer => "dpo",
            Self::HostingProvider => "hosting_provider",
            Self::ForensicInvestigator => "pfi",
            Self::PaymentServiceProvider => "payment_service_provider",
            Self::Insurer => "insurer",
            Self::IncidentLead => "incident_lead",
        }
    }

    /// In words for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Counsel => "counsel (the lawyer)",
            Self::Acquirer => "acquirer (the bank that takes cards)",
            Self::PaymentBrand => "payment brand (Visa, Mastercard …)",
            Self::DataProtectionOfficer => "data protection officer",
            Self::HostingProvider => "hosting provider",
            Self::ForensicInvestigator => "PCI forensic investigator (PFI)",
            Self::PaymentServiceProvider => "payment service provider or gateway",
            Self::Insurer => "insurer",
            Self::IncidentLead => "incident lead",
        }
    }

    /// The role of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// Contacts that are kept at most.
pub const CONTACTS_MAX: usize = 64;
/// Characters of one text of a contact at most.
pub const CONTACT_CHARS_MAX: usize = 200;

/// A person or an office to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// What for.
    pub role: ContactRole,
    /// Who.
    pub name: String,
    /// As it is dialled; empty where none is set, as the others.
    pub telephone: String,
    /// Address of mail.
    pub mail: String,
    /// E.g. hours, or the number of a contract.
    pub remark: String,
}

/// Why a contact can't be used. Whose fault: the author of the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContactError {
    /// No such role.
    #[error("there is no role `{0}` of contacts")]
    Role(String),
    /// No name, or neither a telephone number nor an address of mail; by its role.
    #[error("a contact of role `{0}` has no name, or neither telephone nor mail")]
    Unreachable(String),
    /// A text is too long, or has characters that no line of a page may hold; by its role.
    #[error(
        "a contact of role `{0}` has a text of more than {CONTACT_CHARS_MAX} characters, or with control characters"
    )]
    Text(String),
}

impl Contact {
    /// Checks one as settings have it.
    ///
    /// # Errors
    ///
    /// [`ContactError`] when the role isn't known, it can't be reached, or a text can't stand on a page.
    pub fn new(
        role: &str,
        [name, telephone, mail, remark]: [String; 4],
    ) -> Result<Self, ContactError> {
        let known = ContactRole::named(role).ok_or_else(|| ContactError::Role(role.to_owned()))?;
        let texts = [&name, &telephone, &mail, &remark];
        let fits = |text: &str| {
            text.chars().count() <= CONTACT_CHARS_MAX && !text.chars().any(char::is_control)
        };
        if !texts.into_iter().all(|text| fits(text)) {
            return Err(ContactError::Text(role.to_owned()));
        }
        let is_empty = |text: &str| text.trim().is_empty();
        if is_empty(&name) || (is_empty(&telephone) && is_empty(&mail)) {
            return Err(ContactError::Unreachable(role.to_owned()));
        }
        Ok(Self {
            role: known,
            name,
            telephone,
            mail,
            remark,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CONTACT_CHARS_MAX, Contact, ContactError, ContactRole};

    fn of(role: &str, texts: [&str; 4]) -> Result<Contact, ContactError> {
        Contact::new(role, texts.map(str::to_owned))
    }

    #[test]
    fn a_contact_is_of_a_known_role_and_can_be_reached() {
        for role in ContactRole::ALL {
            assert!(of(role.name(), ["A", "+1 555 0100", "", ""]).is_ok());
        }
        assert!(of("pfi", ["A", "", "a@example.com", ""]).is_ok());
        let role = ContactError::Role("boss".to_owned());
        assert_eq!(of("boss", ["A", "1", "", ""]), Err(role));
        for texts in [["", "1", "", ""], ["A", " ", "", "remark"]] {
            let why = of("pfi", texts);
            assert!(matches!(why, Err(ContactError::Unreachable(_))), "{why:?}");
        }
        let long = "x".repeat(CONTACT_CHARS_MAX + 1);
        for texts in [["A\u{7}", "1", "", ""], ["A", "1", "", long.as_str()]] {
            assert!(matches!(of("pfi", texts), Err(ContactError::Text(_))));
        }
    }
}
