//! Levers on who came in and by which way: accounts of the database, administrators, the API, addresses.
//!
//! Apart from the other levers because these say of whom they know what. What a log tells of an account is the host a client came
//! from; for which hosts it is granted only the server knows, so that is always looked at first.

use std::collections::{BTreeMap, BTreeSet};

use model::Timestamp;

use super::statements::odd;
use super::{At, Effect, Lever, quote};

/// Connections of one account that are told of and ended one by one; with more, how the others are found.
const CONNECTIONS_MAX: usize = 12;
/// Hosts, routes or callers told of in one sentence.
const NAMED_MAX: usize = 4;

/// A connection to the database as findings tell of it.
pub(super) struct Connection {
    /// Where it came from; empty where the log doesn't say which of several it was.
    pub(super) peers: BTreeSet<String>,
    /// When findings saw it first and last.
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
    /// What the first of them says.
    pub(super) title: String,
}

/// A database account as findings tell of it.
#[derive(Default)]
pub(super) struct Account {
    /// Addresses its connections came from.
    pub(super) peers: BTreeSet<String>,
    /// By the number the server gave it.
    pub(super) connections: BTreeMap<u64, Connection>,
    /// Whether only an injection speaks of it: then it is the shop's own, and its door is the route.
    pub(super) is_door: bool,
}

/// Who asked the API and what, as findings tell.
#[derive(Default)]
pub(super) struct Api {
    pub(super) routes: BTreeSet<String>,
    pub(super) addresses: BTreeSet<String>,
    /// Tokens or accounts a record names.
    pub(super) tokens: BTreeSet<String>,
    /// When, from the first to the last; `None` before anything was told.
    pub(super) span: Option<(Timestamp, Timestamp)>,
}

/// The first of some names, and how many more there are.
fn some<T: std::fmt::Display>(names: impl ExactSizeIterator<Item = T>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let shown: Vec<String> = names.take(NAMED_MAX).map(|name| name.to_string()).collect();
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}

/// A time to the second, in UTC.
fn when(time: Timestamp) -> String {
    let whole = time.to_string().replace('T', " ");
    let second: String = whole.chars().take(19).collect();
    format!("{second} UTC")
}

fn between(first: Timestamp, last: Timestamp) -> String {
    if when(first) == when(last) {
        format!("at {}", when(first))
    } else {
        format!("from {} to {}", when(first), when(last))
    }
}

impl Account {
    /// The hosts it came from, in words.
    fn hosts(&self) -> String {
        some(self.peers.iter())
    }

    /// What is known of each connection that is ended.
    fn told(&self) -> Vec<String> {
        let one = |(number, connection): (&u64, &Connection)| {
            let from = if connection.peers.is_empty() {
                "from a host the log doesn't tell".to_owned()
            } else {
                format!("from {}", some(connection.peers.iter()))
            };
            format!(
                "Connection {number} (the number the database gave it): {from}, seen {}, for: {}.",
                between(connection.first, connection.last),
                connection.title.trim_end_matches('.')
            )
        };
        let shown = self.connections.iter().take(CONNECTIONS_MAX).map(one);
        let mut told: Vec<String> = shown.collect();
        let more = self.connections.len().saturating_sub(CONNECTIONS_MAX);
        if more > 0 {
            told.push(format!(
                "{more} more connections were seen: the look shows those still open; end each by its number."
            ));
        }
        told
    }

    fn numbers(&self) -> Vec<String> {
        let numbers = self.connections.keys().take(CONNECTIONS_MAX);
        numbers.map(u64::to_string).collect()
    }

    /// Statements that show the account's grants and its open connections; everybody's where its name can't stand in one.
    fn looks(&self, plain: Option<&str>) -> Vec<String> {
        let of = plain.map_or_else(String::new, |name| format!(" WHERE user = '{name}'"));
        let numbers = self.numbers();
        let which = if numbers.is_empty() || self.connections.len() > numbers.len() {
            of.clone()
        } else {
            format!(" WHERE id IN ({})", numbers.join(", "))
        };
        vec![
            format!("SELECT user, host FROM mysql.user{of};"),
            format!(
                "SELECT id, user, host, time, info FROM information_schema.processlist{which};"
            ),
        ]
    }

    fn kills(&self) -> impl Iterator<Item = String> {
        let numbers = self.numbers().into_iter();
        numbers.map(|number| format!("KILL CONNECTION {number};"))
    }
}

/// Locks it where it is granted for the host the log tells; else a new password, which is a lever of its own.
pub(super) fn of_account(name: &str, account: &Account) -> [Lever; 2] {
    [lock(name, account), password(name, account)]
}

fn lock(name: &str, account: &Account) -> Lever {
    let plain = quote::account(name);
    let from = if account.peers.is_empty() {
        String::new()
    } else {
        format!(", which came from {}", account.hosts())
    };
    // The log tells a client's address, the grant a pattern: `ALTER USER` needs the pattern, so it is asked for first.
    let one = account.peers.iter().find_map(|peer| quote::address(peer));
    let host = one.map_or_else(|| "%".to_owned(), |peer| peer.to_string());
    let mut lines = Vec::new();
    if let Some(name) = plain {
        lines.push(format!("ALTER USER `{name}`@`{host}` ACCOUNT LOCK;"));
    }
    lines.extend(account.kills());
    let numbers = account.numbers();
    let ends = match numbers.as_slice() {
        [] => String::new(),
        [one] => format!(", and end its connection {one}"),
        _ if account.connections.len() > numbers.len() => {
            format!(", and end its {} connections", account.connections.len())
        }
        several => format!(", and end its connections {}", several.join(", ")),
    };
    let mut told = vec![which(plain)];
    told.extend(account.told());
    if told.len() == 1 {
        told.push(
            "No log told the number of a connection of it: the look shows those that are open, with their hosts. End those that aren't the \
             shop's with KILL CONNECTION and their number."
                .to_owned(),
        );
    }
    Lever {
        does: format!("Lock the database account {name}{from}{ends}."),
        effect: Effect::Contains,
        told,
        costs: format!(
            "nothing can log in by it, whoever uses it: locking the shop's own account closes every store. If the look shows it at % or another \
             host than {host}, leave the lock out, too"
        ),
        because: format!(
            "Its password is known to whoever did this. Locking ends no session that is open, so these are ended: look first whether a number \
             still is this account's, since servers give numbers anew after a restart.{}",
            odd(plain.is_none())
        ),
        at: At::Database,
        looks: account.looks(plain),
        lines,
        last: Vec::new(),
        lasts: "",
        undo: plain.map_or_else(
            || "unlock it the same way".to_owned(),
            |name| format!("ALTER USER `{name}`@`{host}` ACCOUNT UNLOCK;"),
        ),
    }
}

/// Whether it is this lever or the next, as a question that one command answers.
fn which(plain: Option<&str>) -> String {
    let asked = plain.map_or_else(
        || "look through the usernames in app/etc/env.php".to_owned(),
        |name| format!("grep -n \"'username' => '{name}'\" app/etc/env.php"),
    );
    format!(
        "Is it the shop's own account? Ask on every node of the shop: {asked}. If it stands there on any of them, don't lock it: give it a new password, \
         which is the next one here. If it stands on none, lock it."
    )
}

fn password(name: &str, account: &Account) -> Lever {
    let plain = quote::account(name);
    let other = if account.peers.is_empty() {
        "% or a host the shop comes from".to_owned()
    } else {
        format!("% or another host than {}", account.hosts())
    };
    let mut lines = Vec::new();
    if let Some(name) = plain {
        lines.push(format!(
            "ALTER USER `{name}`@`HOST` IDENTIFIED BY 'NEW-PASSWORD';"
        ));
    }
    lines.extend(account.kills());
    Lever {
        does: format!(
            "Give the database account {name} a new password, in the database and in the shop together: instead of the lock, where the first \
             look shows it for {other}."
        ),
        effect: Effect::Contains,
        told: vec![
            "1. Make a new password (openssl rand -base64 33), and keep a copy of app/etc/env.php where no web server reaches it.".to_owned(),
            format!(
                "2. On every node of the shop, write it into app/etc/env.php: password, at each connection whose username is {name}. Reload \
                 PHP-FPM, whose opcode cache may hold the old file. If none names it, the shop doesn't use this account: go on with 3."
            ),
            "3. At once, at the database: the line below, with the new password, and each HOST as the look shows it.".to_owned(),
            "4. End the connections that are open by the old one (the numbers below, else those the look shows), start consumers and cron \
             anew, and open a page of a store."
                .to_owned(),
        ],
        costs: "from 3 on nothing logs in by the old password. If it is the shop's own account, every store, the back end, cron and consumers \
                fail from the first of 2 and 3 until both are done: seconds, if they are done together. What else logs in by it (an ERP, \
                reports, backups) stops until it has the new one: ask whose it is before"
            .to_owned(),
        because: format!(
            "Its password is known to whoever did this, and an account for more hosts than one is mostly the shop's own. A new password ends no \
             session that is open. The client keeps a history of what is typed (~/.mysql_history): take this line out of it.{}",
            odd(plain.is_none())
        ),
        at: At::Database,
        looks: account.looks(plain),
        lines,
        last: Vec::new(),
        lasts: "",
        undo: "set the old password again in both places, the same way and from the kept env.php: whoever knew it can log in again".to_owned(),
    }
}

pub(super) fn of_administrator(name: &str) -> Lever {
    let plain = quote::administrator(name).filter(|name| !name.starts_with("user_id"));
    Lever {
        does: format!("Switch off the administrator {name} and end their sessions."),
        effect: Effect::Contains,
        told: Vec::new(),
        costs: "they can't work in the back end until they are switched on again".to_owned(),
        because: format!(
            "It was done under this name; whether by this person is for them to say. In the back end: System > Permissions > All Users, This \
             account is: Inactive. Raw SQL on is_active ends no session and no API token, this does.{}",
            odd(plain.is_none() && !name.starts_with("user_id"))
        ),
        at: At::Shell,
        looks: Vec::new(),
        lines: plain
            .map(|name| format!("n98-magerun2 admin:user:deactivate '{name}'"))
            .into_iter()
            .collect(),
        last: Vec::new(),
        lasts: "",
        undo: plain.map_or_else(
            || "make the account active again".to_owned(),
            |name| format!("n98-magerun2 admin:user:activate '{name}'"),
        ),
    }
}

/// Integrations with the consumer and the token each has: Magento 2.4's `Integration/etc/db_schema.xml`.
const INTEGRATIONS: &str = "SELECT i.integration_id, i.name, i.email, i.status, i.updated_at, c.entity_id AS consumer, t.created_at, t.revoked \
                            FROM integration i JOIN oauth_consumer c ON c.entity_id = i.consumer_id LEFT JOIN oauth_token t \
                            ON t.consumer_id = c.entity_id AND t.type = 'access' ORDER BY i.updated_at DESC;";

pub(super) fn of_api(api: &Api) -> Lever {
    let which = if api.tokens.is_empty() {
        "the integration whose token was used: which one isn't known, since a web server's log names no token".to_owned()
    } else {
        format!("what was used: {}", some(api.tokens.iter()))
    };
    let mut told = Vec::new();
    let mut what = String::from("Known of the calls: ");
    what.push_str(&match api.routes.len() {
        0 => "no route".to_owned(),
        _ => some(api.routes.iter()),
    });
    if !api.addresses.is_empty() {
        what.push_str(&format!(", from {}", some(api.addresses.iter())));
    }
    if let Some((first, last)) = api.span {
        what.push_str(&format!(", {}", between(first, last)));
    }
    told.push(format!("{what}."));
    told.push(
        "To find which it is: 1. The statement lists every integration (System > Integrations) with its consumer; name and mail say whose it is. \
         2. Ask each owner from which address theirs calls, and compare with the addresses above. 3. One that nobody knows, or that was \
         authorised shortly before the calls began, goes first. 4. If it is still open, reauthorise one after the other and look after which \
         the calls are answered with 401."
            .to_owned(),
        );
    told.push(
        "If none of them fits, it was a person's token (an administrator's or a customer's): it is in none of these rows, and ends by Force \
         Sign-In (System > Permissions > All Users, or the customer's page) or after an hour."
            .to_owned(),
    );
    Lever {
        does: format!("Cut the API access that was used, in System > Integrations (Reauthorize or deactivate): {which}."),
        effect: Effect::Contains,
        told,
        costs: "what uses that token stops until it has the new one (an ERP, shipping, a marketplace): ask whose it is before".to_owned(),
        because: "An integration's token never ends by itself. Magento notes no last use of a token, so only its owner and the addresses tell \
                  them apart. With a table prefix in app/etc/env.php put it before each table's name."
            .to_owned(),
        at: At::BackEnd,
        looks: vec![INTEGRATIONS.to_owned()],
        lines: Vec::new(),
        last: Vec::new(),
        lasts: "",
        undo: "authorise the integration again: it gets a new token".to_owned(),
    }
}

pub(super) fn of_address(address: &str, is_database: bool) -> Lever {
    let plain = quote::address(address);
    let (lines, undo) = match plain {
        Some(ip) if is_database => {
            let tool = if ip.is_ipv4() {
                "iptables"
            } else {
                "ip6tables"
            };
            (
                vec![format!(
                    "{tool} -I INPUT -s {ip} -p tcp --dport 3306 -j REJECT"
                )],
                format!("{tool} -D INPUT -s {ip} -p tcp --dport 3306 -j REJECT"),
            )
        }
        Some(ip) => (
            vec![format!("deny {ip};")],
            "take the line out and reload nginx".to_owned(),
        ),
        None => (Vec::new(), "take the block away".to_owned()),
    };
    let why = if is_database {
        "It connected to the database itself, not through the shop, so the block is on the database's host: one on the shop's host would stop \
         nothing. Where both run on one host, it is that one. 3306 is the usual port: take the one it listens on"
    } else {
        "It came through the shop's pages, so the block is on the shop's host, where its web server runs; on the database's host it would \
         stop nothing. Behind a proxy or CDN the web server sees the proxy's address: then block it there"
    };
    Lever {
        does: if is_database {
            format!("Keep the address {address} from the database: on the database's host.")
        } else {
            format!("Keep the address {address} out of the shop: on the shop's host.")
        },
        effect: Effect::OnlyMitigates,
        told: vec![format!("{why}.")],
        costs: if is_database {
            "nothing from there reaches the database. If it is one of the shop's own hosts, this closes the stores on it".to_owned()
        } else {
            "nobody behind this address can shop: an office or a proxy may stand behind one, look what else comes from it".to_owned()
        },
        because: format!(
            "It acted from there. An attacker changes addresses within minutes.{}",
            odd(plain.is_none())
        ),
        at: if is_database {
            At::DatabaseHost
        } else {
            At::Nginx
        },
        looks: Vec::new(),
        lines,
        last: Vec::new(),
        lasts: "",
        undo,
    }
}
