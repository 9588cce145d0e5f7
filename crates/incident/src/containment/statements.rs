//! The levers there are, each with its statements, its limits and its undo; those on accounts and ways in stand in `accounts.rs`.
//!
//! What each closes and doesn't: Magento 2.4's own commands and tables, MariaDB 10.4 and MySQL 8.0 (`ACCOUNT LOCK`), nginx.

use super::read::Setting;
use super::{At, Effect, Lever, quote};

/// How long what was emptied goes on being served: `system/full_page_cache/ttl` and `grace_period` of Magento 2.4's `PageCache/etc/config.xml`,
/// `beresp.grace` of its `PageCache/etc/varnish6.vcl`.
const CACHES: &str = "Until caches are emptied they go on serving the page as it was changed: Magento's own page cache and Varnish up to 86400 s \
                      (24 hours, unless system/full_page_cache/ttl says otherwise); Varnish by Magento's own VCL 300 s longer, and up to 3 days \
                      longer while the shop doesn't answer it; a CDN as long as its own settings say. The line below empties Magento's, and \
                      Varnish's where http_cache_hosts in app/etc/env.php names it; empty the CDN at its own console. Then ask for the page \
                      from outside and look whether it is gone. A page that is open in a browser stays until it is loaded again.";
/// The same for files that browsers keep: Magento 2.4's `nginx.conf.sample`.
const STATIC: &str = "Browsers keep files of pub/static for a year under one address: whoever has the changed one goes on running it until the version \
                      in that address changes. The lines below change it (the deployed version) and empty the page caches that name the old \
                      one (they keep it for up to 86400 s, unless system/full_page_cache/ttl says otherwise). Empty the CDN at its own console.";
/// Why there is no statement.
const ODD: &str = "Its name has characters that could do harm in a statement, so none is printed: type it by hand, quoted by your tool.";

pub(super) fn odd(is_odd: bool) -> String {
    if is_odd {
        format!(" {ODD}")
    } else {
        String::new()
    }
}

pub(super) fn of_object(kind: &str, name: &str) -> Lever {
    let plain = quote::object(name);
    let line = |verb: &str| plain.map(|name| format!("{verb} {kind} `{name}`;"));
    Lever {
        does: format!("Take the {} {name} out of the database.", kind.to_lowercase()),
        effect: Effect::Contains,
        told: Vec::new(),
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
        lasts: "",
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
        told: Vec::new(),
        costs: "the whole setting is emptied: what else stands in it, scripts of your own say, is gone until you put that part of the kept \
                value back"
            .to_owned(),
        because: format!(
            "What stands there goes into pages. {whose} With a table prefix in app/etc/env.php put it before the name; a value locked in env.php \
             or config.php wins over the row. Who wrote \
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
        lasts: CACHES,
        undo: "put the kept value back into the same row and clean the same caches".to_owned(),
    }
}

pub(super) fn of_row(row: &str) -> Lever {
    Lever {
        does: format!("Put the row {row} back as it was."),
        effect: Effect::Contains,
        told: Vec::new(),
        costs: "what somebody of yours changed in it since goes, too".to_owned(),
        because: "Pages, layouts or rights are made of it. Keep the row as it is first (export it): it is evidence. Who wrote it can write it \
                  again: close that, too."
            .to_owned(),
        at: At::BackEnd,
        looks: Vec::new(),
        lines: Vec::new(),
        last: vec!["bin/magento cache:clean layout block_html full_page".to_owned()],
        lasts: CACHES,
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
            told: Vec::new(),
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
            lasts: "",
            undo: "chmod with the rights that stat showed".to_owned(),
        };
    }
    let is_static = path.contains("pub/static/");
    Lever {
        does: format!("Put the file {path} back as the last release had it."),
        effect: Effect::Contains,
        told: Vec::new(),
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
        last: if is_static {
            vec![
                "date +%s > pub/static/deployed_version.txt".to_owned(),
                "bin/magento cache:clean layout block_html full_page".to_owned(),
            ]
        } else {
            Vec::new()
        },
        lasts: if is_static { STATIC } else { "" },
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
        told: Vec::new(),
        costs: "minutes of downtime in production (compiling, static content), and what it does for the shop"
            .to_owned(),
        because: format!("What it opens is open in every store.{}", odd(lines.is_empty())),
        at: At::Shell,
        looks: look.filter(|_| !lines.is_empty()).into_iter().collect(),
        lines,
        last: Vec::new(),
        lasts: "",
        undo,
    }
}

pub(super) fn of_page() -> Lever {
    Lever {
        does: "Find where the script sits, then take it out of there.".to_owned(),
        effect: Effect::Contains,
        told: Vec::new(),
        costs: "nothing: these only look".to_owned(),
        because: "What is known names no row and no file. Scripts on payment pages mostly sit in these tables, else in a file or a tag manager's \
                  container. While it can't be found, a store whose checkout is closed sends no cards: only that one store, at the web server."
            .to_owned(),
        at: At::BackEnd,
        lines: Vec::new(),
        last: Vec::new(),
        lasts: "",
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
        told: Vec::new(),
        costs: "nothing for shoppers".to_owned(),
        because: "Mostly a payment module's debug setting (payment/CODE/debug), or a form that sends by GET. The first line shows which are on. \
                  Keep the log: what lies in it has to be looked through (req. 12.10.7), then destroyed."
            .to_owned(),
        at: At::BackEnd,
        lines: Vec::new(),
        last: Vec::new(),
        lasts: "",
        looks: vec!["SELECT scope, scope_id, path, value FROM core_config_data WHERE path LIKE 'payment/%/debug' AND value = '1';".to_owned()],
        undo: "switch debug on again".to_owned(),
    }
}

pub(super) fn of_audit() -> Lever {
    Lever {
        does: "Switch the database's audit log on again.".to_owned(),
        effect: Effect::OnlyMitigates,
        told: Vec::new(),
        costs: "what the log costs the database, as before".to_owned(),
        because:
            "Without it nobody sees what is read next. Show first what was set, and keep that."
                .to_owned(),
        at: At::Database,
        looks: vec!["SHOW GLOBAL VARIABLES LIKE 'server_audit%';".to_owned()],
        lines: vec!["SET GLOBAL server_audit_logging = ON;".to_owned()],
        last: Vec::new(),
        lasts: "",
        undo: "nothing to undo".to_owned(),
    }
}
