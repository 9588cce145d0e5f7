//! Settings of how people are known by others: the company's directory, and providers by which they log in (OpenID
//! Connect here, SAML in `saml.rs`). For `--config` alone: they are lists.

use std::collections::{BTreeMap, BTreeSet};

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::people::{By, DirectorySettings, SignIn, Voucher};
use model::{Grant, Role};

use super::saml::SamlProvider;
use crate::failure::{Failure, OrFail as _};

/// `[directory]`: what SCIM may do beyond naming and ending people.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Directory {
    /// Roles by the directory's own words for its roles and groups.
    roles: BTreeMap<String, Vec<String>>,
    /// Accounts it may not change or end.
    keep: Vec<String>,
}

/// `[[provider]]`: an OpenID provider.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Provider {
    /// Its name in addresses: lower-case letters, digits and `-`.
    id: String,
    /// Its name on the button.
    name: String,
    issuer: String,
    client_id: String,
    /// 0600.
    client_secret_file: PathBuf,
    /// Certificates (PEM) of who signed the provider's, instead of the public ones.
    ca_file: Option<PathBuf>,
    /// What is asked for beside `openid`.
    #[serde(default = "scopes")]
    scopes: Vec<String>,
    /// The claim that names an account.
    #[serde(default = "account_claim")]
    account_claim: String,
    /// Whether somebody without an account gets one, without roles.
    #[serde(default)]
    make_accounts: bool,
    #[serde(default)]
    roles_claim: String,
    #[serde(default)]
    roles: BTreeMap<String, Vec<String>>,
    /// Values of `amr` that say that more than one factor was shown.
    #[serde(default)]
    amr: BTreeSet<String>,
    /// Values of `acr` that say so.
    #[serde(default)]
    acr: BTreeSet<String>,
}

fn scopes() -> Vec<String> {
    vec!["profile".to_owned(), "email".to_owned()]
}

fn account_claim() -> String {
    "preferred_username".to_owned()
}

impl Provider {
    fn checked(&self) -> Result<Voucher, Failure> {
        let whose = named("provider", &self.id)?;
        if self.roles.is_empty() != self.roles_claim.is_empty() {
            let hint = "roles_claim names the claim, roles maps its values";
            return Err(Failure::say(
                format!("{whose} needs both of roles_claim and roles, or none"),
                hint,
            ));
        }
        let authorities = self.ca_file.as_ref().map(std::fs::read).transpose();
        let provider = provider::Provider::new(provider::Settings {
            issuer: self.issuer.clone(),
            client_id: self.client_id.clone(),
            client_secret: secret(&self.client_secret_file, "client_secret_file")?,
            scopes: self.scopes.clone(),
            account_claim: self.account_claim.clone(),
            roles_claim: self.roles_claim.clone(),
            amr: self.amr.clone(),
            acr: self.acr.clone(),
            authorities: authorities.or_fail(&format!(
                "check the path of ca_file, {}",
                self.ca_file.clone().unwrap_or_default().display()
            ))?,
        });
        Ok(Voucher {
            id: self.id.clone(),
            name: self.name.clone(),
            by: By::OpenId(Arc::new(provider.or_fail("look at docs/people.md")?)),
            makes_accounts: self.make_accounts,
            roles: mapped(&whose, &self.roles)?,
        })
    }
}

/// Which provider of the settings it is, for messages; its id is a part of addresses.
pub(super) fn named(table: &str, id: &str) -> Result<String, Failure> {
    let whose = format!("[[{table}]] {id:?}");
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() || id.len() > 32 || !id.bytes().all(fits) {
        let hint = "id = \"entra\": 1 to 32 lower-case letters, digits and -";
        return Err(Failure::say(
            format!("{whose} can't be a part of an address"),
            hint,
        ));
    }
    Ok(whose)
}

/// A secret of a file that nobody else reads.
pub(super) fn secret(path: &Path, setting: &str) -> Result<String, Failure> {
    let hint = format!("{setting} names a file that this account may read");
    let mode = std::fs::metadata(path).or_fail(&hint)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Failure::say(
            format!("others may read {}", path.display()),
            format!("chmod 0600 {}", path.display()),
        ));
    }
    Ok(std::fs::read_to_string(path)
        .or_fail(&hint)?
        .trim()
        .to_owned())
}

/// How people are known by others, as the settings file says it.
#[derive(Default)]
pub(super) struct SignInSettings {
    pub(super) directory: Directory,
    pub(super) providers: Vec<Provider>,
    pub(super) saml: Vec<SamlProvider>,
}

impl SignInSettings {
    /// Checks them.
    pub(super) fn checked(&self) -> Result<SignIn, Failure> {
        let keep = self.directory.keep.iter();
        let keep: BTreeSet<_> = keep.map(|name| name.trim().to_ascii_lowercase()).collect();
        Ok(SignIn {
            directory: DirectorySettings {
                roles: mapped("[directory]", &self.directory.roles)?,
                keep,
            },
            providers: self.vouchers()?,
            // Where it listens is known later.
            address: String::new(),
        })
    }
}

impl SignInSettings {
    fn vouchers(&self) -> Result<Vec<Voucher>, Failure> {
        let saml = self.saml.iter().map(SamlProvider::checked);
        let all: Vec<_> = self
            .providers
            .iter()
            .map(Provider::checked)
            .chain(saml)
            .collect::<Result<_, _>>()?;
        let mut ids = BTreeSet::new();
        match all.iter().find(|one| !ids.insert(one.id.as_str())) {
            Some(twice) => Err(Failure::say(
                format!("two providers are named {:?}", twice.id),
                "give each an id of its own",
            )),
            None => Ok(all),
        }
    }
}

/// Roles by somebody else's words: `viewer`, or `analyst website:us` for one place.
pub(super) fn mapped(
    whose: &str,
    roles: &BTreeMap<String, Vec<String>>,
) -> Result<BTreeMap<String, Vec<Grant>>, Failure> {
    let grant = |text: &String| {
        let (role, place) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let (Some(role), Some(scope)) = (Role::named(role), Grant::place(place)) else {
            let names = Role::ALL.map(Role::name).join(", ");
            return Err(Failure::say(
                format!("{whose} maps to {text:?}, which is no role"),
                format!("roles are {names}; for one place write \"analyst website:us\""),
            ));
        };
        Ok(Grant { role, scope })
    };
    let mut all = BTreeMap::new();
    for (word, roles) in roles {
        let grants: Vec<_> = roles.iter().map(grant).collect::<Result<_, _>>()?;
        Grant::check(&grants).map_err(|why| {
            Failure::say(
                format!("{whose} can't map {word:?}: {why}"),
                "give it other roles",
            )
        })?;
        all.insert(word.clone(), grants);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::{Directory, SignInSettings};

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let directory: Directory = toml::from_str(text).expect("settings");
        let checked = SignInSettings {
            directory,
            ..SignInSettings::default()
        }
        .checked();
        let shown = checked.map(|sign_in| {
            let roles = sign_in.directory.roles.iter().map(|(word, grants)| {
                let grants: Vec<_> = grants.iter().map(ToString::to_string).collect();
                format!("{word}={}", grants.join("+"))
            });
            let keep = sign_in.directory.keep.iter().cloned();
            roles.chain(keep).collect::<Vec<_>>().join(" ")
        });
        match (shown, expected) {
            (Ok(shown), Ok(expected)) => assert_eq!(shown, expected),
            (Err(failure), Err(words)) => {
                assert!(format!("{failure:?}").contains(words), "{failure:?}")
            }
            (shown, _) => panic!("{:?} isn't {expected:?}", shown.map_err(|_| "refused")),
        }
    }

    #[test]
    fn words_of_a_directory_are_mapped_to_roles_that_may_be_one_person() {
        check("", Ok(""));
        check(
            "keep = [\"Emergency\"]\n[roles]\n\"Fraud Team\" = [\"analyst\", \"viewer website:us\"]",
            Ok("Fraud Team=analyst+viewer of website us emergency"),
        );
        check("[roles]\nx = [\"boss\"]", Err("which is no role"));
        check(
            "[roles]\nx = [\"analyst planet:mars\"]",
            Err("which is no role"),
        );
        check(
            "[roles]\nx = [\"admin\", \"auditor\"]",
            Err("may not be one person"),
        );
        check("[roles]\nx = []", Err("needs a role"));
    }

    #[test]
    fn a_providers_secret_is_nobody_elses_and_its_settings_are_whole() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, "s3cret\n").expect("written");
        let check = |mode: u32, issuer: &str, more: &str, expected: &str| {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, permissions).expect("set");
            let text = format!(
                "id = \"entra\"\nname = \"Entra ID\"\nissuer = \"{issuer}\"\nclient_id = \"c\"\nclient_secret_file = {path:?}\n{more}"
            );
            let provider: super::Provider = toml::from_str(&text).expect("settings");
            let told = provider
                .checked()
                .err()
                .map(|failure| format!("{failure:?}"));
            let told = told.unwrap_or_default();
            assert!(
                told.contains(expected) && told.is_empty() == expected.is_empty(),
                "{told}"
            );
            assert!(!told.contains("s3cret"));
        };
        let https = "https://login.example.com/tenant/v2.0";
        check(0o600, https, "", "");
        check(0o640, https, "", "others may read");
        check(0o600, "http://login.example.com", "", "an issuer is https");
        check(0o600, "http://127.0.0.1:8080/realms/x", "", "");
        check(0o600, https, "roles_claim = \"roles\"", "needs both");
        check(
            0o600,
            https,
            "roles_claim = \"roles\"\n[roles]\nx = [\"viewer\"]",
            "",
        );
        check(0o600, https, "ca_file = \"/nowhere.pem\"", "nowhere.pem");
    }
}
