//! Settings of how people are known by others: the company's directory. For `--config` alone: they are lists.

use std::collections::{BTreeMap, BTreeSet};

use engine::people::{DirectorySettings, SignIn};
use model::{Grant, Role};

use crate::failure::Failure;

/// `[directory]`: what SCIM may do beyond naming and ending people.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Directory {
    /// Roles by the directory's own words for its roles and groups.
    roles: BTreeMap<String, Vec<String>>,
    /// Accounts it may not change or end.
    keep: Vec<String>,
}

/// How people are known by others, as the settings file says it.
#[derive(Default)]
pub(super) struct SignInSettings {
    pub(super) directory: Directory,
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
        })
    }
}

/// Roles by somebody else's words: `viewer`, or `analyst website:us` for one place.
fn mapped(
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
        let checked = SignInSettings { directory }.checked();
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
}
