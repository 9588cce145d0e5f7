//! The levers there are, each with its statements, its limits and its undo.
//!
//! What each closes and doesn't: Magento 2.4's own commands and tables, MariaDB 10.4 and MySQL 8.0 (`ACCOUNT LOCK`), nginx.

use std::collections::BTreeSet;

use super::read::Setting;
use super::{Effect, Lever, quote};

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

pub(super) fn of_account(name: &str, account: &Account) -> Vec<Lever> {
    let plain = quote::account(name);
    let peers: Vec<_> = account.peers.iter().map(String::as_str).collect();
    let from = if peers.is_empty() {
        String::new()
    } else {
        format!(", which came from {}", peers.join(", "))
    };
    // The log tells a client's address, the grant a pattern: `ALTER USER` needs the pattern, so it is asked for first.
    let ask = plain.map(|name| format!("SELECT user, host FROM mysql.user WHERE user = '{name}';"));
    let one = account
        .peers
        .iter()
        .filter_map(|peer| quote::address(peer))
        .next();
    let host = one.map_or_else(|| "%".to_owned(), |peer| peer.to_string());
    let mut lines: Vec<String> = ask.into_iter().collect();
    lines.extend(plain.map(|name| format!("ALTER USER `{name}`@`{host}` ACCOUNT LOCK;")));
    let undo = plain.map_or_else(
        || "unlock it the same way".to_owned(),
        |name| format!("ALTER USER `{name}`@`{host}` ACCOUNT UNLOCK;"),
    );
    let lock = Lever {
        does: format!("Lock the database account `{name}`{from}."),
        effect: Effect::Contains,
        because: format!(
            "Its password is known to whoever did this. The first line shows which hosts it is granted for: put that one behind the @ if it \
             is another. Costs: nothing can log in by it. If it is the account the shop itself uses (`db/connection/default/username` in \
             app/etc/env.php), locking it closes every store: then give it a new password instead, there and in env.php. Sessions that are \
             open stay open: end them below.{}",
            odd(plain.is_none())
        ),
        lines,
        undo,
    };
    let mut out = vec![lock];
    if !account.connections.is_empty() {
        let numbers: Vec<u64> = account.connections.iter().take(EACH_MAX).copied().collect();
        let listed: Vec<String> = numbers.iter().map(u64::to_string).collect();
        let mut lines = vec![format!(
            "SELECT id, user, host, time, info FROM information_schema.processlist WHERE id IN ({});",
            listed.join(", ")
        )];
        lines.extend(
            listed
                .iter()
                .map(|number| format!("KILL CONNECTION {number};")),
        );
        out.push(Lever {
            does: format!("End what `{name}` still has open: connection {}.", listed.join(", ")),
            effect: Effect::OnlyMitigates,
            because: "Locking an account ends no session. Look first whether the number still is this account's: servers give numbers anew \
                      after a restart. It can be opened again as long as the account isn't locked."
                .to_owned(),
            lines,
            undo: "nothing to undo: a program opens a new connection".to_owned(),
        });
    }
    out
}

pub(super) fn of_administrator(name: &str) -> Lever {
    let plain = quote::administrator(name).filter(|name| !name.starts_with("user_id"));
    Lever {
        does: format!("Switch off the administrator `{name}` and end their sessions."),
        effect: Effect::Contains,
        because: format!(
            "It was done under this name; whether by this person is for them to say. Costs: they can't work in the back end. In the back \
             end: System > Permissions > All Users, This account is: Inactive. Raw SQL on is_active ends no session and no API token, this \
             does.{}",
            odd(plain.is_none() && !name.starts_with("user_id"))
        ),
        lines: plain
            .map(|name| format!("n98-magerun2 admin:user:deactivate '{name}'"))
            .into_iter()
            .collect(),
        undo: plain.map_or_else(
            || "make the account active again".to_owned(),
            |name| format!("n98-magerun2 admin:user:activate '{name}'"),
        ),
    }
}

pub(super) fn of_api() -> Lever {
    Lever {
        does: "Cut the API access that was used.".to_owned(),
        effect: Effect::Contains,
        because: "The log doesn't say which token it was. An integration's never ends by itself (System > Integrations: Reauthorize, or \
                  deactivate); an administrator's ends by Force Sign-In (System > Permissions > All Users). Costs: what uses that token \
                  stops; ask whose it is before. The statement shows which integrations can ask."
            .to_owned(),
        lines: vec!["SELECT integration_id, name, status, updated_at FROM integration ORDER BY updated_at DESC;".to_owned()],
        undo: "authorise the integration again: it gets a new token".to_owned(),
    }
}

pub(super) fn of_object(kind: &str, name: &str) -> Lever {
    let plain = quote::object(name);
    Lever {
        does: format!(
            "Take the {} `{name}` out of the database.",
            kind.to_lowercase()
        ),
        effect: Effect::Contains,
        because: format!(
            "It runs whenever the table is written or its time comes, whoever is locked out. Magento makes triggers only for its indexers, \
             named trg_TABLE_after_insert, _update or _delete. The first line keeps its text, which is evidence. Costs: nothing of \
             Magento's own, if it isn't one of these.{}",
            odd(plain.is_none())
        ),
        lines: plain.map_or_else(Vec::new, |name| {
            vec![
                format!("SHOW CREATE {kind} `{name}`;"),
                format!("DROP {kind} `{name}`;"),
            ]
        }),
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
    let lines = plain.map_or_else(Vec::new, |path| {
        let which = match setting.scope {
            Some((scope, id)) => format!(" AND scope = '{scope}' AND scope_id = {id}"),
            None => String::new(),
        };
        let mut lines = vec![format!(
            "SELECT config_id, scope, scope_id, path, value, updated_at FROM core_config_data WHERE path = '{path}'{which};"
        )];
        if setting.scope.is_some() {
            lines.push(format!("UPDATE core_config_data SET value = '' WHERE path = '{path}'{which};"));
            lines.push("bin/magento cache:clean config layout block_html full_page".to_owned());
        }
        lines
    });
    Lever {
        does: format!(
            "Take what was put into core_config_data, path {}{place}, out again.",
            setting.path
        ),
        effect: Effect::Contains,
        because: format!(
            "What stands there goes into pages. {whose} Keep what the first line shows: it is the evidence, and what undoes this. With a \
             table prefix in app/etc/env.php put it before the name; a value locked in env.php or config.php wins over the row. Then purge \
             Varnish and the CDN: until then they go on serving the page as it was changed. Who wrote it can write it again: close that, too.{}{}",
            if setting.scope.is_none() && plain.is_some() {
                " Empty the one row that shows it, by its config_id."
            } else {
                ""
            },
            odd(plain.is_none())
        ),
        lines,
        undo: "put the kept value back into the same row and clean the same caches".to_owned(),
    }
}

pub(super) fn of_row(row: &str) -> Lever {
    Lever {
        does: format!("Put the row `{row}` back as it was, in Magento's back end."),
        effect: Effect::Contains,
        because: "Pages, layouts or rights are made of it. Keep the row as it is first (export it): it is evidence. Then clean the caches and \
                  purge Varnish and the CDN, which may go on serving what was made of it. Who wrote it can write it again: close that, too."
            .to_owned(),
        lines: vec!["bin/magento cache:clean layout block_html full_page".to_owned()],
        undo: "put the kept row back".to_owned(),
    }
}

pub(super) fn of_file(path: &str, is_foreign: bool) -> Lever {
    let plain = quote::file(path);
    if is_foreign {
        return Lever {
            does: format!("Close the file `{path}`, so that nobody can run or fetch it."),
            effect: Effect::Contains,
            because: format!(
                "It lies where Magento keeps no code. Closing leaves its content and its times for whoever looks later; deleting doesn't. On \
                 each web node. Who put it there can put another: look for how it came.{}",
                odd(plain.is_none())
            ),
            lines: plain.map_or_else(Vec::new, |path| {
                vec![
                    format!("stat '{path}'; sha256sum '{path}'"),
                    format!("chmod 000 '{path}'"),
                ]
            }),
            undo: "chmod with the rights that stat showed".to_owned(),
        };
    }
    Lever {
        does: format!("Put the file `{path}` back as the last release had it."),
        effect: Effect::Contains,
        because: format!(
            "It is the shop's own: taking it away would close every store. Keep the changed one first, then take the old one from the release \
             or, for a package, `composer reinstall` it; PHP may hold the changed one until its opcode cache is emptied.{}",
            odd(plain.is_none())
        ),
        lines: plain.map_or_else(Vec::new, |path| {
            vec![
                format!("stat '{path}'; sha256sum '{path}'"),
                format!("cp -p '{path}' ~/"),
            ]
        }),
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
            vec![
                format!("composer show --all {package}"),
                format!("composer update {package}"),
            ],
            "put the old composer.lock back and run composer install".to_owned(),
        )
    } else {
        (Vec::new(), "install it again".to_owned())
    };
    Lever {
        does: format!("Update `{name}` to a version without the hole, or switch it off."),
        effect: Effect::Contains,
        because: format!(
            "What it opens is open in every store. Costs: minutes of downtime in production (compiling, static content), and what it does for \
             the shop.{}",
            odd(lines.is_empty())
        ),
        lines,
        undo,
    }
}

pub(super) fn of_page() -> Lever {
    Lever {
        does: "Find where the script sits, then take it out of there.".to_owned(),
        effect: Effect::Contains,
        because: "What is known names no row and no file. Scripts on payment pages mostly sit in these tables, else in a file or a tag manager's \
                  container. While it can't be found, a store whose checkout is closed sends no cards: only that one store, at the web server."
            .to_owned(),
        lines: vec![
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
        because: "Mostly a payment module's debug setting (payment/CODE/debug), or a form that sends by GET. The first line shows which are on. \
                  Keep the log: what lies in it has to be looked through (req. 12.10.7), then destroyed."
            .to_owned(),
        lines: vec!["SELECT scope, scope_id, path, value FROM core_config_data WHERE path LIKE 'payment/%/debug' AND value = '1';".to_owned()],
        undo: "switch debug on again".to_owned(),
    }
}

pub(super) fn of_audit() -> Lever {
    Lever {
        does: "Switch the database's audit log on again.".to_owned(),
        effect: Effect::OnlyMitigates,
        because:
            "Without it nobody sees what is read next. Show first what was set, and keep that."
                .to_owned(),
        lines: vec![
            "SHOW GLOBAL VARIABLES LIKE 'server_audit%';".to_owned(),
            "SET GLOBAL server_audit_logging = ON;".to_owned(),
        ],
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
            vec![
                format!("deny {ip};"),
                "nginx -t && nginx -s reload".to_owned(),
            ],
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
        because: format!(
            "It acted from there. An attacker changes addresses within minutes, and an office or a proxy may stand behind one: look what else \
             comes from it.{}{}",
            if is_database {
                " If it is one of the shop's own hosts, this closes the stores on it."
            } else {
                ""
            },
            odd(plain.is_none())
        ),
        lines,
        undo,
    }
}
