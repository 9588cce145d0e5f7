//! The levers there are, each with its statements, its limits and its undo.
//!
//! What each closes and doesn't: Magento 2.4's own commands and tables, MariaDB 10.4 and MySQL 8.0 (`ACCOUNT LOCK`), nginx.

use std::collections::BTreeSet;

use super::read::Setting;
use super::{At, Effect, Lever, quote};

/// Connections and peers told of one account.
const EACH_MAX: usize = 4;
/// Why there is no statement.
const ODD: &str = "Its name has characters that could do harm in a statement, so none is printed: type it by hand, quoted by your tool.";

/// A database account as findings tell of it.
#[derive(Default)]
pub(super) struct Account {
    /// Addresses its connections came from.
    pub(super) peers: BTreeSet<String>,
    pub(super) connections: BTreeSet<u64>,
    /// Whether only an injection speaks of it: then it is the shop's own, and its door is the route.
    pub(super) is_door: bool,
}

pub(super) fn odd(is_odd: bool) -> String {
    if is_odd {
        format!(" {ODD}")
    } else {
        String::new()
    }
}

pub(super) fn of_account(name: &str, account: &Account) -> Lever {
    let plain = quote::account(name);
    let peers: Vec<_> = account.peers.iter().map(String::as_str).collect();
    let from = if peers.is_empty() {
        String::new()
    } else {
        format!(", which came from {}", peers.join(", "))
    };
    // The log tells a client's address, the grant a pattern: `ALTER USER` needs the pattern, so it is asked for first.
    let one = account
        .peers
        .iter()
        .filter_map(|peer| quote::address(peer))
        .next();
    let host = one.map_or_else(|| "%".to_owned(), |peer| peer.to_string());
    let numbers: Vec<String> = account
        .connections
        .iter()
        .take(EACH_MAX)
        .map(u64::to_string)
        .collect();
    let listed = numbers.join(", ");
    let mut looks = Vec::new();
    let mut lines = Vec::new();
    if let Some(name) = plain {
        looks.push(format!(
            "SELECT user, host FROM mysql.user WHERE user = '{name}';"
        ));
        lines.push(format!("ALTER USER `{name}`@`{host}` ACCOUNT LOCK;"));
    }
    if !numbers.is_empty() {
        looks.push(format!(
            "SELECT id, user, host, time, info FROM information_schema.processlist WHERE id IN ({listed});"
        ));
        lines.extend(
            numbers
                .iter()
                .map(|number| format!("KILL CONNECTION {number};")),
        );
    }
    let ends = match numbers.len() {
        0 => String::new(),
        1 => format!(", and end its connection {listed}"),
        _ => format!(", and end its connections {listed}"),
    };
    Lever {
        does: format!("Lock the database account {name}{from}{ends}."),
        effect: Effect::Contains,
        costs: format!(
            "nothing can log in by it. Don't lock it if the first look shows no account at {host}: whichever other host it shows (%, or one of \
             the shop's own) may be the shop's own account (username in app/etc/env.php), and locking that closes every store. End its \
             connections all the same, and change its password and the one in env.php together, which does close every store until both \
             are the same"
        ),
        because: format!(
            "Its password is known to whoever did this. Locking ends no session that is open, so these are ended: look first whether a number \
             still is this account's, since servers give numbers anew after a restart.{}",
            odd(plain.is_none())
        ),
        at: At::Database,
        looks,
        lines,
        last: Vec::new(),
        undo: plain.map_or_else(
            || "unlock it the same way".to_owned(),
            |name| format!("ALTER USER `{name}`@`{host}` ACCOUNT UNLOCK;"),
        ),
    }
}

pub(super) fn of_administrator(name: &str) -> Lever {
    let plain = quote::administrator(name).filter(|name| !name.starts_with("user_id"));
    Lever {
        does: format!("Switch off the administrator {name} and end their sessions."),
        effect: Effect::Contains,
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
        undo: plain.map_or_else(
            || "make the account active again".to_owned(),
            |name| format!("n98-magerun2 admin:user:activate '{name}'"),
        ),
    }
}

pub(super) fn of_api() -> Lever {
    Lever {
        does: "Cut the API access that was used: System > Integrations, Reauthorize or deactivate the one it was.".to_owned(),
        effect: Effect::Contains,
        costs: "what uses that token stops: ask whose it is before".to_owned(),
        because: "The log doesn't say which token it was. An integration's never ends by itself; an administrator's ends by Force Sign-In \
                  (System > Permissions > All Users). The statement shows which integrations can ask."
            .to_owned(),
        at: At::BackEnd,
        looks: vec!["SELECT integration_id, name, status, updated_at FROM integration ORDER BY updated_at DESC;".to_owned()],
        lines: Vec::new(),
        last: Vec::new(),
        undo: "authorise the integration again: it gets a new token".to_owned(),
    }
}

pub(super) fn of_object(kind: &str, name: &str) -> Lever {
    let plain = quote::object(name);
    let line = |verb: &str| plain.map(|name| format!("{verb} {kind} `{name}`;"));
    Lever {
        does: format!("Take the {} {name} out of the database.", kind.to_lowercase()),
        effect: Effect::Contains,
        costs: "nothing of Magento's own, unless it is one of its indexers' (trg_TABLE_after_insert, _update or _delete): leave those"
            .to_owned(),
        because: format!(
            "It runs whenever the table is written or its time comes, whoever is locked out. What the first line shows is its text, which is \
             evidence and what undoes this.{}",
            odd(plain.is_none())
        ),
        at: At::Database,
        looks: line("SHOW CREATE").into_iter().collect(),
        lines: line("DROP").into_iter().collect(),
        last: Vec::new(),
        undo: "run the statement that the first line showed".to_owned(),
    }
}

pub(super) fn of_setting(setting: &Setting) -> Lever {
    let plain = quote::setting(&setting.path);
    let place = match setting.scope {
        Some((scope, id)) => format!(", scope {scope}/{id}"),
        None => String::new(),
    };
    let whose = match setting.scope {
        Some(("default", _)) => "It holds for every store that has no value of its own.",
        Some(("websites", _)) => "It holds for the stores of that website.",
        Some(_) => "It holds for that store view alone.",
        None => "For which stores is in the column scope that the first line shows.",
    };
    let which = match setting.scope {
        Some((scope, id)) => format!(" AND scope = '{scope}' AND scope_id = {id}"),
        None => String::new(),
    };
    let look = plain.map(|path| {
        format!(
            "SELECT config_id, scope, scope_id, path, value, updated_at FROM core_config_data WHERE path = '{path}'{which};"
        )
    });
    let empty = plain.filter(|_| setting.scope.is_some()).map(|path| {
        format!("UPDATE core_config_data SET value = '' WHERE path = '{path}'{which};")
    });
    let last = empty
        .as_ref()
        .map(|_| "bin/magento cache:clean config layout block_html full_page".to_owned());
    Lever {
        does: format!(
            "Take what was put into core_config_data, path {}{place}, out again.",
            setting.path
        ),
        effect: Effect::Contains,
        costs: "the whole setting is emptied: what else stands in it, scripts of your own say, is gone until you put that part of the kept \
                value back"
            .to_owned(),
        because: format!(
            "What stands there goes into pages. {whose} With a table prefix in app/etc/env.php put it before the name; a value locked in env.php \
             or config.php wins over the row. Then purge Varnish and the CDN: until then they go on serving the page as it was changed. Who wrote \
             it can write it again: close that, too.{}{}",
            if setting.scope.is_none() && plain.is_some() {
                " Empty the one row that shows it, by its config_id."
            } else {
                ""
            },
            odd(plain.is_none())
        ),
        at: At::Database,
        looks: look.into_iter().collect(),
        lines: empty.into_iter().collect(),
        last: last.into_iter().collect(),
        undo: "put the kept value back into the same row and clean the same caches".to_owned(),
    }
}

pub(super) fn of_row(row: &str) -> Lever {
    Lever {
        does: format!("Put the row {row} back as it was."),
        effect: Effect::Contains,
        costs: "what somebody of yours changed in it since goes, too".to_owned(),
        because: "Pages, layouts or rights are made of it. Keep the row as it is first (export it): it is evidence. Purge Varnish and the CDN, \
                  which may go on serving what was made of it. Who wrote it can write it again: close that, too."
            .to_owned(),
        at: At::BackEnd,
        looks: Vec::new(),
        lines: Vec::new(),
        last: vec!["bin/magento cache:clean layout block_html full_page".to_owned()],
        undo: "put the kept row back".to_owned(),
    }
}

pub(super) fn of_file(path: &str, is_foreign: bool) -> Lever {
    let plain = quote::file(path);
    let look = plain.map(|path| format!("stat '{path}'; sha256sum '{path}'"));
    if is_foreign {
        return Lever {
            does: format!("Close the file {path}, so that nobody can run or fetch it."),
            effect: Effect::Contains,
            costs: "nothing of Magento's own: no code belongs there".to_owned(),
            because: format!(
                "Closing leaves its content and its times for whoever looks later; deleting doesn't. On each web node. Who put it there can put \
                 another: look for how it came.{}",
                odd(plain.is_none())
            ),
            at: At::Shell,
            looks: look.into_iter().collect(),
            lines: plain
                .map(|path| format!("chmod 000 '{path}'"))
                .into_iter()
                .collect(),
            last: Vec::new(),
            undo: "chmod with the rights that stat showed".to_owned(),
        };
    }
    Lever {
        does: format!("Put the file {path} back as the last release had it."),
        effect: Effect::Contains,
        costs: "what was changed in it on purpose since the release goes, too".to_owned(),
        because: format!(
            "It is the shop's own: taking it away would close every store. Keep the changed one, as the line does, then take the old one from the \
             release or, for a package, by composer reinstall; PHP may hold the changed one until its opcode cache is emptied.{}",
            odd(plain.is_none())
        ),
        at: At::Shell,
        looks: look.into_iter().collect(),
        lines: plain
            .map(|path| format!("cp -p '{path}' ~/"))
            .into_iter()
            .collect(),
        last: Vec::new(),
        undo: "put the kept file back".to_owned(),
    }
}

pub(super) fn of_module(name: &str) -> Lever {
    let (lines, undo) = if let Some(module) = quote::module(name) {
        (
            vec![
                format!("bin/magento module:disable {module}"),
                "bin/magento setup:upgrade".to_owned(),
            ],
            format!("bin/magento module:enable {module}, then setup:upgrade; its data stays"),
        )
    } else if let Some(package) = quote::package(name) {
        (
            vec![format!("composer update {package}")],
            "put the old composer.lock back and run composer install".to_owned(),
        )
    } else {
        (Vec::new(), "install it again".to_owned())
    };
    let look = quote::package(name).map(|package| format!("composer show --all {package}"));
    Lever {
        does: format!("Update {name} to a version without the hole, or switch it off."),
        effect: Effect::Contains,
        costs: "minutes of downtime in production (compiling, static content), and what it does for the shop"
            .to_owned(),
        because: format!("What it opens is open in every store.{}", odd(lines.is_empty())),
        at: At::Shell,
        looks: look.filter(|_| !lines.is_empty()).into_iter().collect(),
        lines,
        last: Vec::new(),
        undo,
    }
}

pub(super) fn of_page() -> Lever {
    Lever {
        does: "Find where the script sits, then take it out of there.".to_owned(),
        effect: Effect::Contains,
        costs: "nothing: these only look".to_owned(),
        because: "What is known names no row and no file. Scripts on payment pages mostly sit in these tables, else in a file or a tag manager's \
                  container. While it can't be found, a store whose checkout is closed sends no cards: only that one store, at the web server."
            .to_owned(),
        at: At::BackEnd,
        lines: Vec::new(),
        last: Vec::new(),
        looks: vec![
            "SELECT scope, scope_id, path, updated_at FROM core_config_data WHERE value LIKE '%<script%';".to_owned(),
            "SELECT block_id, identifier, update_time FROM cms_block WHERE content LIKE '%<script%';".to_owned(),
            "SELECT page_id, identifier, update_time FROM cms_page WHERE content LIKE '%<script%';".to_owned(),
        ],
        undo: "nothing to undo: these only look".to_owned(),
    }
}

pub(super) fn of_log() -> Lever {
    Lever {
        does: "Switch off what writes card numbers into the log, before anybody cleans it.".to_owned(),
        effect: Effect::Contains,
        costs: "nothing for shoppers".to_owned(),
        because: "Mostly a payment module's debug setting (payment/CODE/debug), or a form that sends by GET. The first line shows which are on. \
                  Keep the log: what lies in it has to be looked through (req. 12.10.7), then destroyed."
            .to_owned(),
        at: At::BackEnd,
        lines: Vec::new(),
        last: Vec::new(),
        looks: vec!["SELECT scope, scope_id, path, value FROM core_config_data WHERE path LIKE 'payment/%/debug' AND value = '1';".to_owned()],
        undo: "switch debug on again".to_owned(),
    }
}

pub(super) fn of_audit() -> Lever {
    Lever {
        does: "Switch the database's audit log on again.".to_owned(),
        effect: Effect::OnlyMitigates,
        costs: "what the log costs the database, as before".to_owned(),
        because:
            "Without it nobody sees what is read next. Show first what was set, and keep that."
                .to_owned(),
        at: At::Database,
        looks: vec!["SHOW GLOBAL VARIABLES LIKE 'server_audit%';".to_owned()],
        lines: vec!["SET GLOBAL server_audit_logging = ON;".to_owned()],
        last: Vec::new(),
        undo: "nothing to undo".to_owned(),
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
    Lever {
        does: if is_database {
            format!("Keep the address {address} from the database, on the database's host.")
        } else {
            format!("Keep the address {address} out, at the web server.")
        },
        effect: Effect::OnlyMitigates,
        costs: if is_database {
            "nothing from there reaches the database. If it is one of the shop's own hosts, this closes the stores on it".to_owned()
        } else {
            "nobody behind this address can shop: an office or a proxy may stand behind one, look what else comes from it".to_owned()
        },
        because: format!(
            "It acted from there. An attacker changes addresses within minutes.{}",
            odd(plain.is_none())
        ),
        at: if is_database { At::Shell } else { At::Nginx },
        looks: Vec::new(),
        lines,
        last: Vec::new(),
        undo,
    }
}
