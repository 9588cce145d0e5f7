//! Settings of a provider by SAML 2.0, of the settings file alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use engine::people::{By, Saml, Voucher};
use provider::{ProviderError, Signatures, XMLSEC1};
use saml::{NAME_ID, Settings};

use super::sign_in::{mapped, named};
use crate::failure::{Failure, OrFail as _};

/// Settings of a provider, for who mistypes one.
pub(super) const KNOWN: &str = "in [[saml]]: id, name, entity_id, sso_url, certificate_files, subject, account, shown, make_accounts, roles_attribute, roles, factors, xmlsec1";

/// `[[saml]]`: a provider by SAML 2.0.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SamlProvider {
    /// Its name in addresses: lower-case letters, digits and `-`.
    id: String,
    /// Its name on the button.
    name: String,
    entity_id: String,
    sso_url: String,
    /// Its signing certificates (PEM): one, or two while it changes.
    certificate_files: Vec<PathBuf>,
    /// The attribute that never changes, or `NameID`.
    #[serde(default = "name_id")]
    subject: String,
    /// The attribute that names an account, or `NameID`.
    #[serde(default = "name_id")]
    account: String,
    /// The attribute that is shown.
    #[serde(default = "shown")]
    shown: String,
    /// Whether somebody without an account gets one, without roles.
    #[serde(default)]
    make_accounts: bool,
    #[serde(default)]
    roles_attribute: String,
    #[serde(default)]
    roles: BTreeMap<String, Vec<String>>,
    /// Classes of `AuthnContextClassRef` that say that more than one factor was shown.
    #[serde(default)]
    factors: BTreeSet<String>,
    /// The program that checks signatures.
    #[serde(default = "xmlsec1")]
    xmlsec1: PathBuf,
}

fn name_id() -> String {
    NAME_ID.to_owned()
}

fn shown() -> String {
    "displayName".to_owned()
}

fn xmlsec1() -> PathBuf {
    XMLSEC1.into()
}

impl SamlProvider {
    pub(super) fn checked(&self) -> Result<Voucher, Failure> {
        let whose = named("saml", &self.id)?;
        if self.roles.is_empty() != self.roles_attribute.is_empty() {
            let hint = "roles_attribute names the attribute, roles maps its values";
            return Err(Failure::say(
                format!("{whose} needs both of roles_attribute and roles, or none"),
                hint,
            ));
        }
        let read = |path: &PathBuf| {
            std::fs::read(path).or_fail(&format!(
                "check certificate_files: {} has to be readable",
                path.display()
            ))
        };
        let certificates: Vec<_> = self
            .certificate_files
            .iter()
            .map(read)
            .collect::<Result<_, _>>()?;
        let settings = Settings {
            entity_id: self.entity_id.clone(),
            sso_url: self.sso_url.clone(),
            subject: self.subject.clone(),
            account: self.account.clone(),
            shown: self.shown.clone(),
            roles: self.roles_attribute.clone(),
            factors: self.factors.clone(),
        };
        let saml = Signatures::new(&certificates, &self.xmlsec1);
        let saml = saml.and_then(|signatures| Saml::new(settings, signatures));
        let saml = saml.map_err(|error| match error {
            ProviderError::Program { cause } => Failure::say(
                format!("{whose} needs a program that checks signatures: {cause}"),
                "install it: apt install xmlsec1; elsewhere than /usr/bin it is named by xmlsec1 = \"PATH\"",
            ),
            error => Failure::new(&error, "look at docs/people.md"),
        })?;
        Ok(Voucher {
            id: self.id.clone(),
            name: self.name.clone(),
            by: By::Saml(Arc::new(saml)),
            makes_accounts: self.make_accounts,
            roles: mapped(&whose, &self.roles)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::SamlProvider;

    #[track_caller]
    fn check(more: &str, expected: &str) {
        let folder = tempfile::tempdir().expect("a folder");
        let certificate = folder.path().join("idp.pem");
        let pem = include_str!("../../../provider/src/signatures/example.pem");
        std::fs::write(&certificate, pem).expect("written");
        let text = format!(
            "id = \"corp\"\nname = \"Corp\"\nentity_id = \"https://idp.example.com\"\nsso_url = \"https://idp.example.com/sso\"\ncertificate_files = [{certificate:?}]\n{more}"
        );
        let settings: SamlProvider = toml::from_str(&text).expect("settings");
        let told = settings.checked().err();
        let told = told
            .map(|failure| format!("{failure:?}"))
            .unwrap_or_default();
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn a_program_that_checks_nothing_is_none() {
        check("xmlsec1 = \"/nowhere/xmlsec1\"", "apt install xmlsec1");
        check("xmlsec1 = \"/bin/true\"", "it says another name");
    }

    #[test]
    fn roles_are_mapped_from_an_attribute_or_not_at_all() {
        check("roles_attribute = \"groups\"", "needs both");
        check("roles = { x = [\"viewer\"] }", "needs both");
    }
}
