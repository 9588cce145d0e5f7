//! Gaps of the audit log: who did what to which table.

use crate::prices;

use super::gap::{Circumstances, Gap, Run, by_setting, growth, keep, log_folder, set};
use super::{Make, Told};

/// Events without which something stays unseen.
const EVENTS: &str = "CONNECT,QUERY,TABLE";
/// Longest statement that is asked for, in bytes: Magento's own are shorter.
const STATEMENT_BYTES: &str = "65536";
/// Bytes of audit log that should be kept: what is rotated away while magewarden doesn't run is lost.
const KEPT_BYTES_MIN: f64 = 100e6;

pub(super) fn gaps(told: &Told, around: &Circumstances, gaps: &mut Vec<Gap>) {
    let is_mariadb_audit =
        told.get("server_audit_logging").is_some() || told.get("server_audit_events").is_some();
    let is_mysql_audit = told
        .variables
        .keys()
        .any(|name| name.starts_with("audit_log"));
    if is_mysql_audit {
        mysql(told, around, gaps);
    }
    if is_mariadb_audit {
        mariadb(told, around, gaps);
    } else if told.by_server && !is_mysql_audit {
        missing(told, gaps);
    } else if !told.by_server && !around.sees_audit_log {
        missing(told, gaps);
        if let Some(gap) = gaps.last_mut() {
            gap.id = "audit-unseen";
            gap.what = "No audit log of the database was found".to_owned();
        }
    }
    if told.on("query_cache_type") != Some(false)
        && told.get("query_cache_type").is_some()
        && told
            .number("query_cache_size")
            .is_none_or(|size| size > 0.0)
    {
        gaps.push(by_setting(
            told,
            "query-cache",
            "The query cache answers some reads".to_owned(),
            "A read that the cache answers leaves no TABLE record: when its statement is cut, nothing tells which tables it \
             touched.",
            &[("query_cache_type", "OFF")],
            "reads the cache answered are carried out again; not measured here".to_owned(),
        ));
    }
}

fn missing(told: &Told, gaps: &mut Vec<Gap>) {
    const WHY: &str = "Without it a read of the payment tables leaves no trace that names the account, its address and the tables.";
    let folder = log_folder(told);
    match told.make() {
        Some(Make::MariaDb) | None => {
            let path = folder.map(|folder| format!("{folder}/server_audit.log"));
            let mut change = vec![
                ("server_audit_events", EVENTS),
                ("server_audit_query_log_limit", STATEMENT_BYTES),
                ("server_audit_file_rotate_size", "100000000"),
            ];
            change.extend(path.as_deref().map(|path| ("server_audit_file_path", path)));
            change.push(("server_audit_logging", "ON"));
            gaps.push(Gap {
                id: "audit-missing",
                what: "The audit plugin server_audit is not installed".to_owned(),
                why: WHY.to_owned(),
                run: Run::Sql,
                close: format!("INSTALL SONAME 'server_audit'; {}", set(&change)),
                keep: format!("plugin_load_add=server_audit\n{}", keep(&change)),
                price: format!(
                    "{}; at most 1 GB on disk, in ten files it rotates by itself; {}",
                    growth(told),
                    prices::AUDIT_LOG
                ),
                undo: "SET GLOBAL server_audit_logging=OFF; UNINSTALL SONAME 'server_audit';"
                    .to_owned(),
            });
        }
        Some(Make::Percona) => gaps.push(Gap {
            id: "audit-missing",
            what: "Percona's audit log is not installed".to_owned(),
            why: WHY.to_owned(),
            run: Run::Sql,
            close: "INSTALL PLUGIN audit_log SONAME 'audit_log.so';".to_owned(),
            keep: "audit_log_format=JSON\naudit_log_policy=ALL".to_owned(),
            price: format!(
                "{}. Unverified here: from 8.4 on it is the component audit_log_filter instead",
                growth(told)
            ),
            undo: "UNINSTALL PLUGIN audit_log;".to_owned(),
        }),
        // MySQL Community has no audit log; its general log tells statements and log-ins, not tables.
        Some(Make::MySql) if told.on("general_log") == Some(true) => {}
        Some(Make::MySql) => {
            let path = folder.map(|folder| format!("{folder}/general.log"));
            let mut change: Vec<(&str, &str)> = Vec::new();
            change.extend(path.as_deref().map(|path| ("general_log_file", path)));
            change.push(("general_log", "ON"));
            gaps.push(by_setting(
                told,
                "audit-missing",
                "There is no audit log, and the general log is off".to_owned(),
                "Without either a read of the payment tables leaves no trace that names the account and its address. MySQL \
                 Community has no audit log; the general log tells statements, without their outcome.",
                &change,
                format!("{}; nothing rotates it unless logrotate does", growth(told)),
            ));
        }
    }
}

fn mariadb(told: &Told, around: &Circumstances, gaps: &mut Vec<Gap>) {
    if told.on("server_audit_logging") == Some(false) {
        gaps.push(by_setting(
            told,
            "audit-off",
            "The audit plugin is installed and switched off".to_owned(),
            "A read of the payment tables leaves no trace that names the account, its address and the tables.",
            &[("server_audit_logging", "ON")],
            format!("{}; {}", growth(told), prices::AUDIT_LOG),
        ));
    } else if told
        .status
        .get("server_audit_active")
        .is_some_and(|active| active == "OFF")
    {
        let said = told
            .status
            .get("server_audit_last_error")
            .filter(|text| !text.is_empty())
            .map_or("it says no reason", String::as_str);
        let folder = log_folder(told).unwrap_or_else(|| "/var/log/mysql".to_owned());
        let path = format!("{folder}/server_audit.log");
        gaps.push(by_setting(
            told,
            "audit-not-writing",
            format!("The audit plugin is switched on and does not write: {said}"),
            "Nothing anyone does at the database is recorded.",
            &[
                ("server_audit_file_path", &path),
                ("server_audit_logging", "ON"),
            ],
            "the folder must be the database's own to write to".to_owned(),
        ));
    }
    if let Some(events) = told.get("server_audit_events") {
        let lost = lost_events(events);
        if !lost.is_empty() {
            gaps.push(by_setting(
                told,
                "audit-events",
                format!("The audit plugin records only {events}"),
                &lost,
                &[("server_audit_events", EVENTS)],
                growth(told),
            ));
        }
    }
    if let Some(limit) = told.get("server_audit_query_log_limit")
        && told
            .number("server_audit_query_log_limit")
            .is_none_or(|bytes| bytes < 65536.0)
    {
        gaps.push(by_setting(
            told,
            "audit-cut",
            format!("The audit plugin cuts statements after {limit} bytes, silently"),
            "Behind the cut a statement may name a payment table, or write to a file. TABLE records tell the tables all the same; \
             the rest is unknown.",
            &[("server_audit_query_log_limit", STATEMENT_BYTES)],
            "longer records for long statements; not measured here".to_owned(),
        ));
    }
    people(told, around, gaps);
    if told
        .get("server_audit_output_type")
        .is_some_and(|to| to.eq_ignore_ascii_case("syslog"))
    {
        gaps.push(by_setting(
            told,
            "audit-syslog",
            "The audit plugin writes to syslog".to_owned(),
            "Syslog may drop or cut records and gives them its own time. Its file can be followed with --log FILE instead.",
            &[("server_audit_output_type", "FILE")],
            "the records go to a file of the plugin's own; whoever reads them in syslog no longer finds them there".to_owned(),
        ));
    }
    let (size, files) = (
        told.number("server_audit_file_rotate_size"),
        told.number("server_audit_file_rotations"),
    );
    if let (Some(size), Some(files)) = (size, files)
        // No rotations is no rotation: the file grows.
        && files > 0.0
        && size * (files + 1.0) < KEPT_BYTES_MIN
    {
        let kept = size * (files + 1.0) / 1e6;
        gaps.push(by_setting(
            told,
            "audit-rotation",
            format!("The audit plugin keeps {kept:.0} MB and overwrites the rest"),
            "What is rotated away while magewarden is stopped, or behind, is lost for good.",
            &[
                ("server_audit_file_rotate_size", "100000000"),
                ("server_audit_file_rotations", "9"),
            ],
            "up to 1 GB on disk".to_owned(),
        ));
    }
}

/// What isn't seen with these events; empty when nothing is lost. An empty list is all events.
fn lost_events(events: &str) -> String {
    if events.trim().is_empty() {
        return String::new();
    }
    let has = |name: &str| {
        events
            .split(',')
            .any(|event| event.trim().eq_ignore_ascii_case(name))
    };
    let mut lost = Vec::new();
    if !has("CONNECT") {
        lost.push("who logged in, from where, and who failed to (no CONNECT)");
    }
    if !has("QUERY") {
        lost.push(if has("QUERY_DML") {
            "statements beside those that read and write rows (no QUERY)"
        } else if has("QUERY_DML_NO_SELECT") {
            "reads: SELECT statements are left out on purpose (no QUERY)"
        } else {
            "the statements themselves (no QUERY)"
        });
    }
    if !has("TABLE") {
        lost.push("which tables a view, a trigger or a cut statement touched (no TABLE)");
    }
    if lost.is_empty() {
        return String::new();
    }
    format!("Not seen: {}.", lost.join("; "))
}

/// Accounts that are left out.
fn people(told: &Told, around: &Circumstances, gaps: &mut Vec<Gap>) {
    let names = |variable: &str| -> Vec<String> {
        told.get(variable)
            .unwrap_or_default()
            .split(',')
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    };
    let included = names("server_audit_incl_users");
    if !included.is_empty() {
        gaps.push(by_setting(
            told,
            "audit-included",
            format!("The audit plugin records only: {}", included.join(", ")),
            "What any other account does is not seen, a thief's new one above all. Log-ins are recorded for all.",
            &[("server_audit_incl_users", "")],
            growth(told),
        ));
    }
    let excluded: Vec<String> = names("server_audit_excl_users")
        .into_iter()
        .filter(|name| around.own_account.as_ref() != Some(name))
        .collect();
    if !excluded.is_empty() {
        let shops: Vec<&str> = excluded
            .iter()
            .filter(|name| around.shop_accounts.contains(*name))
            .map(String::as_str)
            .collect();
        let why = if shops.is_empty() {
            "What these accounts read is not seen. Whoever steals their password is not seen either.".to_owned()
        } else {
            format!(
                "{} is the shop's own account: SQL injection and stolen env.php act under it, and none of that is seen.",
                shops.join(", ")
            )
        };
        gaps.push(by_setting(
            told,
            "audit-excluded",
            format!("The audit plugin leaves out: {}", excluded.join(", ")),
            &why,
            &[("server_audit_excl_users", "")],
            growth(told),
        ));
    }
}

/// Percona's and MySQL Enterprise's audit log.
fn mysql(told: &Told, around: &Circumstances, gaps: &mut Vec<Gap>) {
    if let Some(policy) = told
        .get("audit_log_policy")
        .filter(|policy| !policy.eq_ignore_ascii_case("all"))
    {
        gaps.push(by_setting(
            told,
            "audit-policy",
            format!("The audit log records only {policy}"),
            "Statements or log-ins are left out: a read of the payment tables may leave no trace.",
            &[("audit_log_policy", "ALL")],
            format!(
                "{}. Unverified here: MySQL Enterprise takes it at start only",
                growth(told)
            ),
        ));
    }
    if let Some(format) = told
        .get("audit_log_format")
        .filter(|format| format.eq_ignore_ascii_case("csv"))
    {
        gaps.push(Gap {
            id: "audit-format",
            what: format!("The audit log is written as {format}"),
            why: "magewarden reads its JSON and XML forms, not this one.".to_owned(),
            run: Run::Person,
            close:
                "set audit_log_format=JSON in the server's settings file and restart the database"
                    .to_owned(),
            keep: "audit_log_format=JSON".to_owned(),
            price: "a restart of the database".to_owned(),
            undo: format!("set audit_log_format={format} and restart the database"),
        });
    }
    if told
        .get("audit_log_handler")
        .is_some_and(|to| to.eq_ignore_ascii_case("syslog"))
    {
        gaps.push(Gap {
            id: "audit-syslog",
            what: "The audit log is written to syslog".to_owned(),
            why:
                "Syslog may drop or cut records. Its file can be followed with --log FILE instead."
                    .to_owned(),
            run: Run::Person,
            close:
                "set audit_log_handler=FILE in the server's settings file and restart the database"
                    .to_owned(),
            keep: "audit_log_handler=FILE".to_owned(),
            price: "a restart of the database".to_owned(),
            undo: "set audit_log_handler=SYSLOG and restart the database".to_owned(),
        });
    }
    for (variable, says) in [
        ("audit_log_exclude_accounts", "leaves out"),
        ("audit_log_include_accounts", "records only"),
    ] {
        let Some(accounts) = told.get(variable).filter(|accounts| !accounts.is_empty()) else {
            continue;
        };
        let is_shops = accounts.split(',').any(|account| {
            around
                .shop_accounts
                .contains(account.split('@').next().unwrap_or_default().trim())
        });
        gaps.push(by_setting(
            told,
            if says == "leaves out" { "audit-excluded" } else { "audit-included" },
            format!("The audit log {says}: {accounts}"),
            match (says, is_shops) {
                ("leaves out", true) => "The shop's own account is among them: SQL injection and stolen env.php act under it.",
                ("leaves out", false) => "What these accounts read is not seen.",
                _ => "What any other account does is not seen, a thief's new one above all.",
            },
            &[(variable, "")],
            format!("{}. Unverified here: some versions want NULL instead of ''", growth(told)),
        ));
    }
}
