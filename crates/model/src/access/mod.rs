//! Who asks, and what of the shop their roles cover.
//!
//! Default deny (PCI DSS v4.0.1 req. 7.3.3): whatever isn't covered by a grant is refused, above all
//! what has no known place.

mod event;
mod role;
mod who;

use serde::{Deserialize, Serialize};

pub use event::{AccessEvent, AccessKind};
pub use role::{Right, Role};
pub use who::Who;

use crate::{RunType, Scope, StoreMap, Timestamp};

/// A role, and where it holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// Where: [`Scope::Installation`] is everywhere; a website, a store or a view only there.
    pub scope: Scope,
}

/// Why grants can't be given to one account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// Two roles that one account may not hold together.
    #[error("{one} and {two} may not be one person: {why}")]
    Apart {
        /// One role.
        one: Role,
        /// The other.
        two: Role,
        /// Why.
        why: &'static str,
    },
    /// A role that nobody takes by themselves, for however short a time.
    #[error("{role} is given by an administrator alone: its notes are privileged")]
    GivenOnly {
        /// The role.
        role: Role,
    },
    /// A role that is only held for the whole installation.
    #[error("{role} is only for the whole installation")]
    ForAllOnly {
        /// The role.
        role: Role,
    },
    /// A place that can't be granted: unknown, a host, or without a code.
    #[error("a role holds for the whole installation, a website, a store or a view")]
    NoPlace,
    /// Nothing at all.
    #[error("an account needs a role")]
    None,
}

impl Grant {
    /// A role for the whole installation.
    #[must_use]
    pub const fn all(role: Role) -> Self {
        Self {
            role,
            scope: Scope::Installation,
        }
    }

    /// A place as commands and forms name it: `website:us`, `store:main`, `view:fr`; nothing, or `installation`, is
    /// everywhere.
    #[must_use]
    pub fn place(text: &str) -> Option<Scope> {
        let text = text.trim();
        if text.is_empty() || text == "installation" {
            return Some(Scope::Installation);
        }
        let (kind, code) = text.split_once(':')?;
        let code = code.trim();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if code.is_empty() || !code.bytes().all(fits) {
            return None;
        }
        let code = code.to_owned();
        match kind {
            "website" => Some(Scope::Website(code)),
            "store" => Some(Scope::Store(code)),
            "view" => Some(Scope::View(code)),
            _ => None,
        }
    }

    /// Checks that one account may hold all of these (separation of duties).
    ///
    /// # Errors
    ///
    /// [`GrantError`], the first one found.
    pub fn check(grants: &[Self]) -> Result<(), GrantError> {
        if grants.is_empty() {
            return Err(GrantError::None);
        }
        for (at, grant) in grants.iter().enumerate() {
            match &grant.scope {
                Scope::Installation => {}
                Scope::Website(code) | Scope::Store(code) | Scope::View(code)
                    if !code.is_empty() =>
                {
                    if grant.role.is_for_all_only() {
                        return Err(GrantError::ForAllOnly { role: grant.role });
                    }
                }
                _ => return Err(GrantError::NoPlace),
            }
            for other in grants.iter().skip(at + 1) {
                if let Some(why) = grant.role.apart_from(other.role) {
                    return Err(GrantError::Apart {
                        one: grant.role,
                        two: other.role,
                        why,
                    });
                }
            }
        }
        Ok(())
    }

    /// Whether the place asked for lies in this grant's.
    #[must_use]
    pub fn covers(&self, asked: &Scope, map: &StoreMap) -> bool {
        if self.scope == Scope::Installation {
            return true;
        }
        match asked {
            Scope::Unknown | Scope::Installation => false,
            Scope::Website(_) => self.scope == *asked,
            Scope::Store(code) => self.scope == *asked || self.covers_views_of(code, map),
            Scope::View(code) => {
                self.scope == *asked
                    || map.views.get(code).is_some_and(|place| match &self.scope {
                        Scope::Website(website) => place.website == *website,
                        Scope::Store(store) => place.store == *store,
                        _ => false,
                    })
            }
            Scope::Host(host) => match map.hosts.get(&bare(host)) {
                Some((RunType::Website, code)) => self.covers(&Scope::Website(code.clone()), map),
                Some((RunType::Store, code)) => self.covers(&Scope::Store(code.clone()), map),
                // A host run as a view shows every active one that is asked for.
                Some((RunType::View, _)) | None => false,
            },
        }
    }

    /// Whether this is a grant of a website that has every view of a store, of which there is one.
    fn covers_views_of(&self, store: &str, map: &StoreMap) -> bool {
        let Scope::Website(website) = &self.scope else {
            return false;
        };
        let mut views = map
            .views
            .values()
            .filter(|place| place.store == store)
            .peekable();
        views.peek().is_some() && views.all(|place| place.website == *website)
    }
}

impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.scope {
            Scope::Installation => write!(f, "{}", self.role),
            scope => write!(f, "{} of {scope}", self.role),
        }
    }
}

/// A host in lower case, without its port.
fn bare(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        // The colons of an IPv6 address aren't a port's.
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
            if port.bytes().all(|byte| byte.is_ascii_digit()) {
                name
            } else {
                host
            }
        }
        _ => host,
    };
    name.to_ascii_lowercase()
}

/// How somebody came to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Via {
    /// Logged in, with every factor.
    Session,
    /// Logged in, and holding a further role for a while, with a reason.
    BreakGlass {
        /// Until when.
        until: Timestamp,
    },
    /// A token for programs.
    Token,
    /// A token for a program that may manage people, as far as a program may.
    Managing {
        /// The token's name.
        token: String,
    },
    /// A token of the company's directory: provisions people, and nothing else.
    Directory,
    /// By having the data folder: the command line.
    Machine,
    /// Nobody was asked: a console that only shows, on loopback.
    Open,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Id of the account; a token without one has its own; empty for [`Via::Machine`] and [`Via::Open`].
    pub account: String,
    /// The account's name, as it is sealed with what they do.
    pub name: String,
    /// The name that pages show.
    pub shown: String,
    /// What they may do now, and where.
    pub grants: Vec<Grant>,
    /// How they came to be known.
    pub via: Via,
}

impl Principal {
    /// Whoever looks at a console that only shows.
    #[must_use]
    pub fn open() -> Self {
        Self {
            account: String::new(),
            name: "anybody".to_owned(),
            shown: "anybody at this machine".to_owned(),
            grants: vec![Grant::all(Role::Auditor)],
            via: Via::Open,
        }
    }

    /// Whoever has the data folder, for managing people.
    #[must_use]
    pub fn machine() -> Self {
        Self {
            account: String::new(),
            name: "command line".to_owned(),
            shown: "command line".to_owned(),
            grants: vec![Grant::all(Role::Admin)],
            via: Via::Machine,
        }
    }

    /// Whether they have a right at every place asked for. No place at all is an unknown one.
    #[must_use]
    pub fn may(&self, right: Right, scopes: &[Scope], map: &StoreMap) -> bool {
        let covered = |scope: &Scope| {
            self.grants
                .iter()
                .any(|grant| grant.role.may(right) && grant.covers(scope, map))
        };
        match scopes {
            [] => covered(&Scope::Unknown),
            scopes => scopes.iter().all(covered),
        }
    }

    /// Whether they have a right for the whole installation.
    #[must_use]
    pub fn may_all(&self, right: Right) -> bool {
        self.grants
            .iter()
            .any(|grant| grant.role.may(right) && grant.scope == Scope::Installation)
    }

    /// Whether they have a right anywhere.
    #[must_use]
    pub fn may_somewhere(&self, right: Right) -> bool {
        self.grants.iter().any(|grant| grant.role.may(right))
    }

    /// Whether an incident at these places is shown to them.
    #[must_use]
    pub fn sees(&self, scopes: &[Scope], map: &StoreMap) -> bool {
        self.may(Right::SeeIncidents, scopes, map)
    }
}

#[cfg(test)]
mod tests;
