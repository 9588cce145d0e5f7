//! What is known of an action before it is done: all that planning, approval and the order of steps go by.
//!
//! The actions themselves are on floor 2; what a plan must know of one is a plain value handed in.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What an action does to evidence (RFC 3227 §2: what is altered has to be kept first).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForensicImpact {
    /// Nothing that tells of the attack changes.
    None,
    /// It changes what tells of the attack; a snapshot keeps all of it.
    Alters,
    /// Something goes that no snapshot keeps whole (memory, cache objects, sessions).
    Destroys,
}

/// What undoes an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Undo {
    /// All is as before, byte for byte.
    Whole,
    /// All but this, e.g. "sessions that ended".
    AllBut(&'static str),
    /// What it ends isn't given back and needn't be: whoever needs it makes it anew, e.g. "connections".
    MadeAnew(&'static str),
    /// Nothing: two people have to approve it.
    Danger,
}

impl Undo {
    /// Whether nothing is given back, and needn't be.
    #[must_use]
    pub const fn is_made_anew(self) -> bool {
        matches!(self, Self::MadeAnew(_))
    }
}

/// Where an action takes hold, outermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Reads and keeps only.
    Evidence,
    /// What stands in front of the shop: a CDN, Varnish.
    Edge,
    /// Web server and packet filter of the shop's host.
    Web,
    /// Magento's settings, accounts, tokens, modules.
    Application,
    /// Accounts, grants, triggers and rows of the database.
    Database,
    /// The shop's files.
    Files,
    /// What serves from memory, to be made again.
    Cache,
}

/// Whom a step reaches, smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Nobody: it reads.
    Nobody,
    /// One actor: an address, account, administrator, token.
    Actor,
    /// One store view.
    View,
    /// One website.
    Website,
    /// Everybody whom this host serves.
    Host,
    /// The whole installation.
    Installation,
}

/// What a parameter is, so that no string reaches the world unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterKind {
    /// An address or a network, `192.0.2.0/24`.
    Network,
    /// A path of the shop's address, `/rest/V1/…`.
    Route,
    /// Code of a store view (`store.code`).
    View,
    /// Code of a website (`store_website.code`).
    Website,
    /// A database account, `name@host`.
    DatabaseAccount,
    /// A right of the database that an account is granted, one of [`PRIVILEGES`].
    Privilege,
    /// Where a right of the database is granted: `*.*`, `shop.*` or `shop.orders`.
    GrantPlace,
    /// Log-in name of an administrator (`admin_user.username`).
    Administrator,
    /// Name of an integration (`integration.name`).
    Integration,
    /// E-mail address or number of a customer.
    Customer,
    /// A file below Magento's root.
    File,
    /// A path of settings, `payment/checkmo/active`.
    ConfigPath,
    /// A row that is watched, `table:key`.
    Row,
    /// A trigger of the shop's database.
    Trigger,
    /// Code of a payment method, `checkmo`.
    PaymentMethod,
    /// A cron job's code, `sales_clean_quotes`.
    Job,
    /// A tag of cached pages, `cat_p_12`.
    CacheTag,
    /// A whole number.
    Count,
    /// A time in seconds.
    Seconds,
    /// Words for people.
    Words,
}

/// Rights of the database that can be named, as MariaDB's `GRANT` has them: those that read, write or run what an attacker wants.
pub const PRIVILEGES: [&str; 20] = [
    "ALTER",
    "ALTER ROUTINE",
    "CREATE",
    "CREATE ROUTINE",
    "CREATE USER",
    "CREATE VIEW",
    "DELETE",
    "DROP",
    "EVENT",
    "EXECUTE",
    "FILE",
    "INSERT",
    "PROCESS",
    "RELOAD",
    "REPLICATION SLAVE",
    "SELECT",
    "SHUTDOWN",
    "SUPER",
    "TRIGGER",
    "UPDATE",
];

/// Why a text isn't of its kind. Holds no part of the text: it may come from a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {wanted}")]
pub struct ArgumentError {
    /// What was wanted, in words.
    pub wanted: &'static str,
}

/// What an action is given, read to its kind; there is no other way to one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Argument(String);

impl Argument {
    /// Reads one, in the form that all ways of writing it have in common.
    ///
    /// # Errors
    ///
    /// [`ArgumentError`] when it isn't one of this kind.
    pub fn read(kind: ParameterKind, text: &str) -> Result<Self, ArgumentError> {
        let wanted = kind.words();
        let read = kind.read(text).filter(|read| !read.is_empty());
        read.map(Self).ok_or(ArgumentError { wanted })
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Arguments by the names of their parameters.
pub type Arguments = BTreeMap<&'static str, Argument>;

impl ParameterKind {
    /// What it is, in words, with an example.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Network => "address or network, e.g. 192.0.2.0/24",
            Self::Route => "path of an address, e.g. /rest/V1/guest-carts",
            Self::View => "code of a store view: a letter, then letters, digits and _, at most 32",
            Self::Website => "code of a website: a letter, then letters, digits and _, at most 32",
            Self::DatabaseAccount => {
                "database account, e.g. report@192.0.2.7 (letters, digits and _ . $ -)"
            }
            Self::Privilege => {
                "right of the database: ALTER, ALTER ROUTINE, CREATE, CREATE ROUTINE, CREATE USER, CREATE VIEW, DELETE, DROP, EVENT, \
                 EXECUTE, FILE, INSERT, PROCESS, RELOAD, REPLICATION SLAVE, SELECT, SHUTDOWN, SUPER, TRIGGER or UPDATE"
            }
            Self::GrantPlace => {
                "place of a grant: *.*, shop.* or shop.orders, as SHOW GRANTS has it (letters, digits and _ $ - % \\)"
            }
            Self::Administrator => "administrator's name, at most 40 characters",
            Self::Integration => "integration's name, at most 255 characters",
            Self::Customer => "customer's number or e-mail address",
            Self::File => "path below Magento's root, e.g. pub/media/x.php",
            Self::ConfigPath => "path of settings, e.g. payment/checkmo/active",
            Self::Row => "watched row, e.g. core_config_data:12",
            Self::Trigger => "trigger's name: letters, digits, _ and $, at most 64",
            Self::PaymentMethod => "payment method's code: a letter, then letters, digits and _",
            Self::Job => "job's name: letters, digits and _ . -",
            Self::CacheTag => "tag of cached pages: letters, digits and _",
            Self::Count => "whole number",
            Self::Seconds => "number of seconds, at most a week",
            Self::Words => "text of at most 500 characters",
        }
    }

    fn read(self, text: &str) -> Option<String> {
        let bytes = text.as_bytes();
        let made_of = |others: &[u8], most: usize| {
            let is_fine = |byte: &u8| byte.is_ascii_alphanumeric() || others.contains(byte);
            (bytes.len() <= most && bytes.iter().all(is_fine)).then(|| text.to_owned())
        };
        let code = |most| {
            let begins = bytes.first().is_some_and(u8::is_ascii_alphabetic);
            made_of(b"_", most).filter(|_| begins)
        };
        // What reaches a program as an argument must not be taken for an option.
        let words = |most| {
            let is_plain = |c: char| !crate::is_hidden(c);
            let is_fine = text.chars().count() <= most && text.chars().all(is_plain);
            (is_fine && !text.starts_with('-')).then(|| text.trim().to_owned())
        };
        match self {
            Self::Network => network(text),
            Self::Route => made_of(b"/_.~%-", 1024)
                .filter(|path| path.starts_with('/') && !path.split('/').any(|part| part == "..")),
            // `Magento\Store\Model\Validation\StoreCodeValidator`; the columns are varchar(32).
            Self::View | Self::Website => code(32),
            Self::DatabaseAccount => {
                let (name, host) = text.rsplit_once('@')?;
                let fits = |text: &str, others: &[u8], most| {
                    let is_fine = |b: u8| b.is_ascii_alphanumeric() || others.contains(&b);
                    text.len() <= most && text.bytes().all(is_fine)
                };
                let fits =
                    fits(name, b"_.$-", 80) && fits(host, b"_.-%:/", 255) && !host.is_empty();
                fits.then(|| text.to_owned())
            }
            Self::Privilege => {
                let text = text.to_ascii_uppercase();
                PRIVILEGES.contains(&text.as_str()).then_some(text)
            }
            Self::GrantPlace => grant_place(text),
            Self::Administrator => words(40),
            Self::Integration => words(255),
            Self::Customer => words(255).filter(|text| {
                text.bytes().all(|byte| byte.is_ascii_digit()) || text.contains('@')
            }),
            Self::File => file(text),
            Self::ConfigPath => made_of(b"/_", 255).filter(|path| {
                let parts = path.split('/');
                parts.clone().count() >= 3 && parts.into_iter().all(|part| !part.is_empty())
            }),
            Self::Row => {
                let (table, key) = text.split_once(':')?;
                let fits = |text: &str| {
                    let is_fine = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
                    !text.is_empty() && text.len() <= 64 && text.bytes().all(is_fine)
                };
                (fits(table) && fits(key)).then(|| text.to_owned())
            }
            Self::Trigger => made_of(b"_$", 64),
            Self::PaymentMethod => code(128),
            Self::Job => made_of(b"_.-", 255).filter(|name| !name.starts_with('-')),
            Self::CacheTag => made_of(b"_", 255),
            Self::Count => text.parse::<u32>().ok().map(|count| count.to_string()),
            Self::Seconds => {
                let seconds: u32 = text.parse().ok()?;
                (seconds <= 7 * 86_400).then(|| seconds.to_string())
            }
            Self::Words => words(500),
        }
    }
}

/// An address, or a network with its host part zeroed; the whole of the internet is none.
fn network(text: &str) -> Option<String> {
    let Some((address, bits)) = text.split_once('/') else {
        return text
            .parse::<IpAddr>()
            .ok()
            .map(|address| address.to_string());
    };
    let bits: u32 = bits.parse().ok().filter(|bits| *bits > 0)?;
    match address.parse().ok()? {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(bits)?)?;
            Some(format!(
                "{}/{bits}",
                std::net::Ipv4Addr::from(u32::from(address) & mask)
            ))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits)?)?;
            Some(format!(
                "{}/{bits}",
                std::net::Ipv6Addr::from(u128::from(address) & mask)
            ))
        }
    }
}

/// The server, a schema – whose name may be a pattern, in which `\` stands before a `_` or `%` that is meant as it is – or a table
/// (`mysql.db.Db` and `mysql.tables_priv.Table_name` are char(64)).
fn grant_place(text: &str) -> Option<String> {
    let (schema, table) = text.split_once('.')?;
    let fits = |text: &str, others: &[u8]| {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || others.contains(&byte);
        (1..=64).contains(&text.len()) && text.bytes().all(is_fine)
    };
    let is_escaped = |schema: &str| {
        let mut parts = schema.split('\\');
        parts.next();
        parts.all(|part| part.starts_with(['_', '%']))
    };
    let is_place = match (schema, table) {
        ("*", "*") => true,
        (schema, "*") => fits(schema, b"_$-%\\") && is_escaped(schema),
        // Of a table the schema's name is as it stands.
        (schema, table) => fits(schema, b"_$-") && fits(table, b"_$-"),
    };
    is_place.then(|| text.to_owned())
}

/// A path that stays below where it begins.
fn file(text: &str) -> Option<String> {
    let is_fine = |part: &str| !part.is_empty() && part != "." && part != "..";
    let is_plain = !text.chars().any(char::is_control) && text.len() <= 4096;
    (is_plain && text.split('/').all(is_fine)).then(|| text.to_owned())
}

/// Something an action is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in playbooks, e.g. `view`.
    pub name: &'static str,
    /// What it is.
    pub kind: ParameterKind,
    /// Whether the action can't do without it.
    pub is_required: bool,
    /// What it is for, in words.
    pub about: &'static str,
}

/// What is known of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActionFacts {
    /// Its name in playbooks, e.g. `close_view`.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// What it is given.
    pub parameters: &'static [Parameter],
    /// What it does to evidence.
    pub forensic_impact: ForensicImpact,
    /// What undoes it.
    pub undo: Undo,
    /// Where it takes hold.
    pub layer: Layer,
    /// Whom it reaches.
    pub reach: Reach,
    /// Whether it takes from an attacker what they act with, instead of keeping people away from it.
    pub acts_on_cause: bool,
    /// Whether whom it reaches is meant to buy nothing while it holds.
    pub closes: bool,
    /// What stays open after it, or what else it costs; empty when nothing is known.
    pub stays_open: &'static str,
}

#[cfg(test)]
mod tests {
    use super::{Argument, PRIVILEGES, ParameterKind};
    use proptest::prelude::*;

    const KINDS: [ParameterKind; 20] = [
        ParameterKind::Network,
        ParameterKind::Route,
        ParameterKind::View,
        ParameterKind::Website,
        ParameterKind::DatabaseAccount,
        ParameterKind::Privilege,
        ParameterKind::GrantPlace,
        ParameterKind::Administrator,
        ParameterKind::Integration,
        ParameterKind::Customer,
        ParameterKind::File,
        ParameterKind::ConfigPath,
        ParameterKind::Row,
        ParameterKind::Trigger,
        ParameterKind::PaymentMethod,
        ParameterKind::Job,
        ParameterKind::CacheTag,
        ParameterKind::Count,
        ParameterKind::Seconds,
        ParameterKind::Words,
    ];

    #[track_caller]
    fn check(kind: ParameterKind, text: &str, expected: Option<&str>) {
        let read = Argument::read(kind, text).ok();
        assert_eq!(read.as_ref().map(Argument::as_str), expected, "{text:?}");
    }

    #[test]
    fn networks_are_written_in_one_way() {
        check(ParameterKind::Network, "203.0.113.66", Some("203.0.113.66"));
        check(
            ParameterKind::Network,
            "203.0.113.66/24",
            Some("203.0.113.0/24"),
        );
        check(
            ParameterKind::Network,
            "2001:DB8:0::1/32",
            Some("2001:db8::/32"),
        );
        for text in [
            "0.0.0.0/0",
            "::/0",
            "203.0.113.0/33",
            "::/129",
            "203.0.113",
            "",
            "203.0.113.66;",
        ] {
            check(ParameterKind::Network, text, None);
        }
    }

    #[test]
    fn codes_of_stores_are_those_that_magento_makes() {
        check(ParameterKind::View, "us_en2", Some("us_en2"));
        for text in [
            "",
            "2us",
            "us-en",
            "us en",
            "us\"",
            "us;",
            "../us",
            "ü",
            &"a".repeat(33),
        ] {
            check(ParameterKind::View, text, None);
            check(ParameterKind::Website, text, None);
        }
    }

    #[test]
    fn accounts_have_a_host() {
        check(ParameterKind::DatabaseAccount, "report@%", Some("report@%"));
        check(
            ParameterKind::DatabaseAccount,
            "@localhost",
            Some("@localhost"),
        );
        check(
            ParameterKind::DatabaseAccount,
            "u@10.0.0.0/255.0.0.0",
            Some("u@10.0.0.0/255.0.0.0"),
        );
        for text in [
            "report",
            "report@",
            "re'port@%",
            "re`port@%",
            "report@%'; drop",
            "a\\@b",
        ] {
            check(ParameterKind::DatabaseAccount, text, None);
        }
    }

    #[test]
    fn rights_are_those_of_the_list() {
        check(ParameterKind::Privilege, "create user", Some("CREATE USER"));
        for name in PRIVILEGES {
            check(ParameterKind::Privilege, name, Some(name));
            let is_told = ParameterKind::Privilege.words().contains(name);
            assert!(is_told, "{name} isn't told");
        }
        for text in [
            "",
            "ALL",
            "ALL PRIVILEGES",
            "GRANT OPTION",
            "PROXY",
            "USAGE",
            "SELECT, FILE",
            "FILE ON *.* TO x; --",
            "CREATE  USER",
        ] {
            check(ParameterKind::Privilege, text, None);
        }
    }

    #[test]
    fn grants_are_at_the_server_a_schema_or_a_table() {
        for text in [
            "*.*",
            "shop.*",
            "sh%.*",
            "my\\_shop.*",
            "shop.sales-order$1",
        ] {
            check(ParameterKind::GrantPlace, text, Some(text));
        }
        for text in [
            "",
            "*",
            "shop",
            "*.orders",
            ".*",
            "shop.",
            "shop.a.b",
            "shop.a%",
            "sh%.orders",
            "my\\_shop.orders",
            "shop\\.*",
            "shop\\a.*",
            "my\\\\_shop.*",
            "sh`op.*",
            "shop.* TO x; --",
            "shöp.*",
            &format!("{}.*", "a".repeat(65)),
        ] {
            check(ParameterKind::GrantPlace, text, None);
        }
    }

    #[test]
    fn files_stay_below_the_root() {
        check(
            ParameterKind::File,
            "pub/media/a b.php",
            Some("pub/media/a b.php"),
        );
        for text in [
            "/etc/passwd",
            "../x",
            "pub/../x",
            "pub//x",
            "./x",
            "pub/",
            "a\nb",
            "a\u{0}b",
        ] {
            check(ParameterKind::File, text, None);
        }
    }

    #[test]
    fn other_kinds_take_what_is_theirs() {
        check(
            ParameterKind::Route,
            "/rest/V1/guest-carts",
            Some("/rest/V1/guest-carts"),
        );
        check(
            ParameterKind::ConfigPath,
            "payment/checkmo/active",
            Some("payment/checkmo/active"),
        );
        check(
            ParameterKind::Row,
            "core_config_data:12",
            Some("core_config_data:12"),
        );
        check(
            ParameterKind::Administrator,
            "Ann O'Neill",
            Some("Ann O'Neill"),
        );
        check(ParameterKind::Customer, "12", Some("12"));
        check(
            ParameterKind::Customer,
            "a@example.com",
            Some("a@example.com"),
        );
        check(ParameterKind::Seconds, "060", Some("60"));
        for (kind, text) in [
            (ParameterKind::Route, "/rest/../x"),
            (ParameterKind::Route, "rest"),
            (ParameterKind::Route, "/a;b"),
            (ParameterKind::ConfigPath, "payment/active"),
            (ParameterKind::ConfigPath, "payment//active"),
            (ParameterKind::Row, "core_config_data:1 or 1"),
            (ParameterKind::Administrator, "-rf"),
            (ParameterKind::Administrator, "ann o\u{202e}neill"),
            (ParameterKind::Customer, "a"),
            (ParameterKind::Job, "-x"),
            (ParameterKind::Seconds, "604801"),
        ] {
            check(kind, text, None);
        }
    }

    proptest! {
        #[test]
        fn reading_twice_is_reading_once(text in ".{0,60}", kind in 0..KINDS.len()) {
            let kind = KINDS[kind];
            if let Ok(read) = Argument::read(kind, &text) {
                prop_assert_eq!(Argument::read(kind, read.as_str()), Ok(read.clone()));
                prop_assert!(!read.as_str().chars().any(char::is_control));
            }
        }
    }
}
