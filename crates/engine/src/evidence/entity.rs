//! Somebody or something that has a page of its own, by kind and name.

use model::{Actor, ActorKind, Scope};

use super::place_name;

/// Longest name that has a page, in bytes: names come from logs, and an address holds only so much.
const NAME_BYTES_MAX: usize = 160;

/// What has a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntityKind {
    /// An administrator of the shop.
    Administrator,
    /// A database account.
    Account,
    /// An address of a client.
    Address,
    /// A place in the shop: website, store, view, host.
    Store,
    /// A module or package.
    Module,
}

impl EntityKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Administrator,
        Self::Account,
        Self::Address,
        Self::Store,
        Self::Module,
    ];

    /// Its name in addresses and the API, e.g. `account`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Administrator => "administrator",
            Self::Account => "account",
            Self::Address => "address",
            Self::Store => "store",
            Self::Module => "module",
        }
    }

    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Account => "database account",
            other => other.name(),
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What findings call such an actor.
    #[must_use]
    pub const fn actor(self) -> Option<ActorKind> {
        match self {
            Self::Administrator => Some(ActorKind::Administrator),
            Self::Account => Some(ActorKind::DatabaseAccount),
            Self::Address => Some(ActorKind::Address),
            Self::Store | Self::Module => None,
        }
    }
}

/// Somebody or something that has a page.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entity {
    /// What it is.
    pub kind: EntityKind,
    /// Its name as logs have it; of a store as [`place_name`] has it.
    pub name: String,
}

impl Entity {
    /// One of a name; `None` when no page could be asked for by it: too long, or what browsers take out of an address.
    #[must_use]
    pub fn new(kind: EntityKind, name: &str) -> Option<Self> {
        let fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name != "." && name != "..";
        fits.then(|| Self {
            kind,
            name: name.to_owned(),
        })
    }

    /// Of an actor, where such actors have pages; of a connection to the database its account.
    #[must_use]
    pub fn of_actor(actor: &Actor) -> Option<Self> {
        if actor.kind == ActorKind::DatabaseConnection {
            let (account, _) = actor.value.rsplit_once('#')?;
            return Self::new(EntityKind::Account, account);
        }
        let kind = EntityKind::ALL
            .into_iter()
            .find(|kind| kind.actor() == Some(actor.kind))?;
        Self::new(kind, &actor.value)
    }

    /// Of a place.
    #[must_use]
    pub fn of_place(place: &Scope) -> Option<Self> {
        Self::new(EntityKind::Store, &place_name(place))
    }
}

#[cfg(test)]
mod tests {
    use super::{Entity, EntityKind};
    use model::{Actor, ActorKind};

    #[track_caller]
    fn check(kind: ActorKind, value: &str, expected: Option<(EntityKind, &str)>) {
        let actor = Actor {
            kind,
            value: value.to_owned(),
        };
        let found = Entity::of_actor(&actor);
        let found = found.as_ref().map(|one| (one.kind, one.name.as_str()));
        assert_eq!(found, expected);
    }

    #[test]
    fn actors_with_pages_are_known_by_their_kind_and_a_name_that_fits() {
        let account = EntityKind::Account;
        check(ActorKind::DatabaseAccount, "shop", Some((account, "shop")));
        check(
            ActorKind::DatabaseConnection,
            "a#b#7",
            Some((account, "a#b")),
        );
        check(ActorKind::DatabaseConnection, "shop", None);
        check(
            ActorKind::Address,
            "192.0.2.7",
            Some((EntityKind::Address, "192.0.2.7")),
        );
        check(ActorKind::HostProcess, "/bin/sh", None);
        for odd in ["", ".", ".."] {
            check(ActorKind::Administrator, odd, None);
        }
        check(ActorKind::Administrator, &"a".repeat(161), None);
        let long = "a".repeat(160);
        let expected = Some((EntityKind::Administrator, long.as_str()));
        check(ActorKind::Administrator, &long, expected);
    }

    #[test]
    fn a_kind_is_known_by_its_name() {
        for kind in EntityKind::ALL {
            assert_eq!(EntityKind::named(kind.name()), Some(kind));
        }
        assert_eq!(EntityKind::named("process"), None);
    }
}
