//! What the settings file says of the merchant and of whom to call.

use std::path::Path;

use engine::merchant::{self, EntityProfile};
use server::Telling;

use crate::failure::{Failure, OrFail};

/// A contact as the settings file has it.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contact {
    role: String,
    name: String,
    #[serde(default)]
    telephone: String,
    #[serde(default)]
    mail: String,
    #[serde(default)]
    remark: String,
}

/// `[merchant]`.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Merchant {
    customers: Option<Vec<String>>,
    is: Option<Vec<String>>,
}

/// `[[contact]]` and `[merchant]` of a settings file.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct TellingSettings {
    pub(super) contact: Vec<Contact>,
    pub(super) merchant: Merchant,
}

impl TellingSettings {
    /// Checks them, whom to call and who the merchant is; `file` is where they are from.
    pub(super) fn checked(self, file: Option<&Path>) -> Result<(Telling, EntityProfile), Failure> {
        let roles = model::ContactRole::ALL.map(model::ContactRole::name);
        let hint = format!(
            "a [[contact]] has role, name, telephone or mail, and remark; roles: {}",
            roles.join(", ")
        );
        let mut contacts = Vec::new();
        for one in self.contact {
            let texts = [one.name, one.telephone, one.mail, one.remark];
            contacts.push(model::Contact::new(&one.role, texts).or_fail(&hint)?);
        }
        let file = file.map_or_else(String::new, |path| path.display().to_string());
        const HINT: &str = "docs/incidents.md tells of [[contact]] and [merchant]";
        let profile = merchant::profile(self.merchant.customers, self.merchant.is);
        let telling = Telling::new(contacts, file).or_fail(HINT)?;
        Ok((telling, profile.or_fail(HINT)?))
    }
}

#[cfg(test)]
mod tests {
    use super::TellingSettings;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        let read = toml::from_str::<TellingSettings>(text).expect("it can be read");
        let refused = read.checked(None).err().map(|why| format!("{why:?}"));
        match expected {
            None => assert!(refused.is_none(), "{refused:?}"),
            Some(part) => assert!(refused.is_some_and(|why| why.contains(part)), "{text}"),
        }
    }

    #[test]
    fn a_word_that_isnt_known_is_refused_since_a_duty_would_go_unseen_for_it() {
        check("", None);
        check("[merchant]\ncustomers = [\"DE\", \"US-CA\"]\nis = []", None);
        check("[merchant]\nis = [\"online marketplace\"]", None);
        check("[merchant]\ncustomers = [\"Germany\"]", Some("Germany"));
        check("[merchant]\ncustomers = [\"SP\"]", Some("SP"));
        check("[merchant]\ncustomers = []", Some("at least one place"));
        check("[merchant]\nis = [\"shop\"]", Some("online marketplace"));
        let contact = "[[contact]]\nrole = \"acquirer\"\nname = \"A\"\n";
        check(&format!("{contact}telephone = \"+1 555 0100\""), None);
        check(contact, Some("neither telephone nor mail"));
        check(&contact.replace("acquirer", "boss"), Some("payment_brand"));
    }
}
