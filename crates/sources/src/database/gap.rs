//! What a server's settings leave unseen, and the statement that closes each gap with its price and its undo.

use std::collections::BTreeSet;

use super::account::quoted_text;
use super::{Told, audit, slow};

/// Where a gap is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// At the database, as its administrator.
    Sql,
    /// In a shell of the host that holds the file, as root.
    Shell,
    /// By a person: there is no one statement.
    Person,
}

impl Run {
    /// Its name: `sql`, `shell`, `person`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::Shell => "shell",
            Self::Person => "person",
        }
    }
}

/// Something that isn't seen of a shop, and how to close it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Its name, e.g. `audit-events`: stable, for machines.
    pub id: &'static str,
    /// What isn't as it should be.
    pub what: String,
    /// What magewarden doesn't see because of it.
    pub why: String,
    /// Where `close` and `undo` are run.
    pub run: Run,
    /// What closes it, ready to be pasted.
    pub close: String,
    /// Lines of the server's settings file, under `[mysqld]`, that keep it closed over a restart; may be empty.
    pub keep: String,
    /// What it costs the shop.
    pub price: String,
    /// What undoes it: back to what is set now.
    pub undo: String,
}

/// What must be known beside the server's settings.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// Accounts the shop itself uses, without hosts.
    pub shop_accounts: BTreeSet<String>,
    /// Magewarden's own account, if it has one.
    pub own_account: Option<String>,
    /// Whether an audit log of the database was found.
    pub sees_audit_log: bool,
    /// Whether a slow query log was found.
    pub sees_slow_log: bool,
}

/// The gaps that follow from a server's settings, most telling first.
///
/// Where the settings were read from files, only what they say is judged: what isn't set there isn't known.
#[must_use]
pub fn gaps(told: &Told, around: &Circumstances) -> Vec<Gap> {
    let mut gaps = Vec::new();
    audit::gaps(told, around, &mut gaps);
    slow::gaps(told, around, &mut gaps);
    for gap in &mut gaps {
        let is_watched = |word: &&str| gap.close.contains(word) || gap.undo.contains(word);
        if WATCHED.iter().any(is_watched) {
            gap.price.push_str(
                ". Its undo opens an incident here, and running it may, since a thief would change the audit log, too: say there \
                 that it was you",
            );
        }
    }
    gaps
}

/// Parts of statements that a rule takes for tampering with the audit log, whoever runs them.
const WATCHED: [&str; 8] = [
    "server_audit_events",
    "server_audit_query_log_limit",
    "server_audit_excl_users",
    "server_audit_incl_users",
    "server_audit_file_path",
    "server_audit_logging=OFF",
    "audit_log_policy",
    "UNINSTALL",
];

/// Makes a gap whose remedy is to set variables.
pub(super) fn by_setting(
    told: &Told,
    id: &'static str,
    what: String,
    why: &str,
    change: &Change<'_>,
    price: impl Into<String>,
) -> Gap {
    Gap {
        id,
        what,
        why: why.to_owned(),
        run: Run::Sql,
        close: set(change),
        keep: keep(change),
        price: price.into(),
        undo: unset(told, change),
    }
}

/// Variables to be set: name, new value.
pub(super) type Change<'a> = [(&'a str, &'a str)];

/// The statements that set variables, in order.
pub(super) fn set(change: &Change<'_>) -> String {
    let each: Vec<String> = change
        .iter()
        .map(|(name, value)| format!("SET GLOBAL {name}={};", literal(value)))
        .collect();
    each.join(" ")
}

/// The statements that set them back to what they are now, last first.
fn unset(told: &Told, change: &Change<'_>) -> String {
    let unknown: Vec<&str> = change
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| told.get(name).is_none())
        .collect();
    if !unknown.is_empty() {
        return format!(
            "set each back with SET GLOBAL to what SELECT {}; said before",
            unknown
                .iter()
                .map(|name| format!("@@GLOBAL.{name}"))
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    let each: Vec<String> = change
        .iter()
        .rev()
        .map(|(name, _)| {
            format!(
                "SET GLOBAL {name}={};",
                literal(told.get(name).unwrap_or_default())
            )
        })
        .collect();
    each.join(" ")
}

/// The lines of the settings file.
pub(super) fn keep(change: &Change<'_>) -> String {
    let each: Vec<String> = change
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    each.join("\n")
}

/// A value as `SET` takes it.
fn literal(value: &str) -> String {
    let bare = value.eq_ignore_ascii_case("on")
        || value.eq_ignore_ascii_case("off")
        || (!value.is_empty()
            && value.len() < 20
            && value
                .chars()
                .all(|letter| letter.is_ascii_digit() || letter == '.'));
    if bare {
        value.to_owned()
    } else {
        quoted_text(value)
    }
}

/// Where new logs go: the folder of the error log, which is the server's own for logs. `None` when it isn't
/// known, or lies among the tables.
pub(super) fn log_folder(told: &Told) -> Option<String> {
    let (folder, name) = told.get("log_error")?.rsplit_once('/')?;
    let data = told
        .get("datadir")
        .unwrap_or_default()
        .trim_end_matches('/');
    (folder.starts_with('/') && folder != data && !name.is_empty()).then(|| folder.to_owned())
}

/// Bytes the audit log took a statement, its TABLE records included, in one capture of a small shop.
const AUDIT_BYTES: f64 = 400.0;

/// How much an audit log of every statement grows, in words.
pub(super) fn growth(told: &Told) -> String {
    let Some(rate) = told.rate() else {
        return "a record for each statement on disk, about 400 bytes (one capture of a small shop); what it costs in \
                speed is not measured here"
            .to_owned();
    };
    let bytes = rate * AUDIT_BYTES * 86_400.0;
    let (amount, unit) = if bytes >= 1e9 {
        (bytes / 1e9, "GB")
    } else {
        (bytes / 1e6, "MB")
    };
    format!(
        "disk: this server answered {rate:.1} statements a second on average since its start; at about 400 bytes each (one \
         capture of a small shop) that is {amount:.1} {unit} a day. What it costs in speed is not measured here"
    )
}

#[cfg(test)]
mod tests {
    use super::{Circumstances, Gap, Told, gaps};
    use std::collections::BTreeSet;

    /// A server as MariaDB 10.11 says of itself after installing, with some variables set.
    fn told(base: &[(&str, &str)], set: &[(&str, &str)]) -> Told {
        Told {
            by_server: true,
            variables: base
                .iter()
                .chain(set)
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Told::default()
        }
    }

    const SLOW: [(&str, &str); 8] = [
        ("slow_query_log", "ON"),
        ("slow_query_log_file", "/var/log/mysql/slow.log"),
        ("long_query_time", "0.000000"),
        ("min_examined_row_limit", "100"),
        ("log_output", "FILE"),
        (
            "log_slow_filter",
            "admin,filesort,full_join,full_scan,query_cache,query_cache_miss,tmp_table",
        ),
        ("log_slow_rate_limit", "1"),
        ("general_log", "OFF"),
    ];
    const AUDIT: [(&str, &str); 9] = [
        ("server_audit_logging", "ON"),
        ("server_audit_events", "CONNECT,QUERY,TABLE"),
        ("server_audit_query_log_limit", "65536"),
        ("server_audit_excl_users", ""),
        ("server_audit_incl_users", ""),
        ("server_audit_output_type", "file"),
        ("server_audit_file_path", "/var/log/mysql/audit.log"),
        ("server_audit_file_rotate_size", "100000000"),
        ("server_audit_file_rotations", "9"),
    ];

    fn mariadb(version: &str) -> Vec<(&str, &str)> {
        let mut base = vec![
            ("version", version),
            ("version_comment", "Debian 12"),
            ("query_cache_type", "OFF"),
            ("query_cache_size", "1048576"),
            ("log_error", "/var/log/mysql/error.log"),
            ("datadir", "/var/lib/mysql/"),
        ];
        base.extend(SLOW);
        base.extend(AUDIT);
        base
    }

    fn mysql(comment: &str) -> Vec<(&str, &str)> {
        let mut base = vec![
            ("version", "8.0.36"),
            ("version_comment", comment),
            ("log_slow_extra", "ON"),
            ("general_log", "OFF"),
            ("general_log_file", "/var/lib/mysql/db1.log"),
            ("log_error", "/var/log/mysql/error.log"),
            ("datadir", "/var/lib/mysql/"),
        ];
        base.extend(
            SLOW.into_iter()
                .filter(|(name, _)| *name != "log_slow_filter" && *name != "log_slow_rate_limit"),
        );
        base
    }

    fn around() -> Circumstances {
        Circumstances {
            shop_accounts: BTreeSet::from(["shop".to_owned()]),
            own_account: Some("magewarden".to_owned()),
            sees_audit_log: true,
            sees_slow_log: true,
        }
    }

    fn found(told: &Told) -> Vec<Gap> {
        gaps(told, &around())
    }

    fn ids(told: &Told) -> Vec<&'static str> {
        found(told).iter().map(|gap| gap.id).collect()
    }

    #[test]
    fn a_server_that_shows_all_has_no_gap() {
        for version in [
            "10.6.22-MariaDB-log",
            "10.11.14-MariaDB",
            "11.4.8-MariaDB-ubu2404",
        ] {
            assert_eq!(ids(&told(&mariadb(version), &[])), [""; 0], "{version}");
        }
    }

    #[test]
    fn each_setting_that_hides_something_is_a_gap() {
        #[track_caller]
        fn check(set: &[(&str, &str)], expected: &[&str], undo: &str) {
            for version in [
                "10.6.22-MariaDB-log",
                "10.11.14-MariaDB",
                "11.4.8-MariaDB-ubu2404",
            ] {
                let told = told(&mariadb(version), set);
                let gaps = found(&told);
                assert_eq!(ids(&told), expected, "{version}");
                assert!(gaps.iter().any(|gap| gap.undo.contains(undo)), "{gaps:#?}");
            }
        }
        check(
            &[("server_audit_logging", "OFF")],
            &["audit-off"],
            "SET GLOBAL server_audit_logging=OFF;",
        );
        check(
            &[("server_audit_events", "CONNECT,QUERY_DML_NO_SELECT")],
            &["audit-events"],
            "SET GLOBAL server_audit_events='CONNECT,QUERY_DML_NO_SELECT';",
        );
        check(
            &[("server_audit_events", "CONNECT,TABLE")],
            &["audit-events"],
            "'CONNECT,TABLE'",
        );
        check(
            &[("server_audit_events", "connect, query")],
            &["audit-events"],
            "'connect, query'",
        );
        check(
            &[("server_audit_query_log_limit", "1024")],
            &["audit-cut"],
            "SET GLOBAL server_audit_query_log_limit=1024;",
        );
        check(
            &[("server_audit_excl_users", "backup,shop")],
            &["audit-excluded"],
            "SET GLOBAL server_audit_excl_users='backup,shop';",
        );
        check(
            &[("server_audit_incl_users", "shop")],
            &["audit-included"],
            "SET GLOBAL server_audit_incl_users='shop';",
        );
        check(
            &[("server_audit_output_type", "syslog")],
            &["audit-syslog"],
            "SET GLOBAL server_audit_output_type='syslog';",
        );
        check(
            &[("server_audit_file_rotate_size", "1000000")],
            &["audit-rotation"],
            "SET GLOBAL server_audit_file_rotate_size=1000000;",
        );
        check(
            &[("query_cache_type", "ON")],
            &["query-cache"],
            "SET GLOBAL query_cache_type=ON;",
        );
        check(
            &[("slow_query_log", "OFF")],
            &["slow-off"],
            "SET GLOBAL slow_query_log=OFF;",
        );
        check(
            &[
                ("long_query_time", "10.000000"),
                ("min_examined_row_limit", "0"),
            ],
            &["slow-threshold"],
            "SET GLOBAL long_query_time=10.000000;",
        );
        check(
            &[("min_examined_row_limit", "50000")],
            &["slow-threshold"],
            "SET GLOBAL min_examined_row_limit=50000;",
        );
        check(
            &[("log_slow_rate_limit", "20")],
            &["slow-rate"],
            "SET GLOBAL log_slow_rate_limit=20;",
        );
        check(
            &[("log_slow_filter", "full_scan,full_join")],
            &["slow-filter"],
            "SET GLOBAL log_slow_filter='full_scan,full_join';",
        );
        check(
            &[("log_output", "TABLE")],
            &["log-table"],
            "SET GLOBAL log_output='TABLE';",
        );
        // A value an attacker set can't end the quotes it is given back in.
        check(
            &[("server_audit_excl_users", "x'; DROP TABLE y; -- \\")],
            &["audit-excluded"],
            "='x''; DROP TABLE y; -- \\\\';",
        );
    }

    #[test]
    fn an_empty_list_of_events_is_all_of_them() {
        assert_eq!(
            ids(&told(
                &mariadb("10.11.14-MariaDB"),
                &[("server_audit_events", "")]
            )),
            [""; 0]
        );
    }

    #[test]
    fn our_own_account_may_be_left_out() {
        let base = mariadb("10.11.14-MariaDB");
        assert_eq!(
            ids(&told(&base, &[("server_audit_excl_users", "magewarden")])),
            [""; 0]
        );
    }

    #[test]
    fn an_audit_plugin_that_is_on_and_can_not_write_is_a_gap() {
        let mut told = told(&mariadb("10.11.14-MariaDB"), &[]);
        told.status
            .insert("server_audit_active".to_owned(), "OFF".to_owned());
        told.status.insert(
            "server_audit_last_error".to_owned(),
            "can't create file".to_owned(),
        );
        assert_eq!(ids(&told), ["audit-not-writing"]);
    }

    #[test]
    fn a_server_as_installed_gets_one_statement_for_the_audit_log_and_one_for_the_slow_log() {
        let bare: Vec<_> = mariadb("10.11.14-MariaDB")
            .into_iter()
            .filter(|(name, _)| !name.starts_with("server_audit"))
            .collect();
        let as_installed = [
            ("slow_query_log", "OFF"),
            ("slow_query_log_file", "db1-slow.log"),
            ("long_query_time", "10.000000"),
            ("min_examined_row_limit", "0"),
        ];
        let gaps = found(&told(&bare, &as_installed));
        let ids: Vec<_> = gaps.iter().map(|gap| gap.id).collect();
        assert_eq!(ids, ["audit-missing", "slow-off"]);
        // In the server's folder for logs, not among its tables.
        assert!(
            gaps.iter()
                .all(|gap| gap.close.contains("'/var/log/mysql/")),
            "{gaps:#?}"
        );
        let undo = gaps.iter().map(|gap| gap.undo.as_str()).collect::<Vec<_>>();
        assert_eq!(
            undo.get(1),
            Some(
                &"SET GLOBAL slow_query_log=OFF; SET GLOBAL min_examined_row_limit=0; SET GLOBAL long_query_time=10.000000; \
                  SET GLOBAL slow_query_log_file='db1-slow.log';"
            )
        );
    }

    #[test]
    fn mysql_without_an_audit_log_gets_the_general_log_and_percona_its_own_plugin() {
        let community = told(&mysql("MySQL Community Server - GPL"), &[]);
        let gaps = found(&community);
        assert!(
            gaps.iter()
                .any(|gap| gap.id == "audit-missing" && gap.close.contains("general_log=ON")),
            "{gaps:#?}"
        );
        let on = told(
            &mysql("MySQL Community Server - GPL"),
            &[("general_log", "ON")],
        );
        assert_eq!(ids(&on), [""; 0]);
        let gaps = found(&told(&mysql("Percona Server (GPL), Release 28"), &[]));
        assert!(
            gaps.iter()
                .any(|gap| gap.id == "audit-missing"
                    && gap.close.contains("INSTALL PLUGIN audit_log")),
            "{gaps:#?}"
        );
        let plugin = [
            ("audit_log_policy", "LOGINS"),
            ("audit_log_file", "audit.log"),
            ("audit_log_format", "JSON"),
            ("audit_log_exclude_accounts", "shop@%"),
        ];
        assert_eq!(
            ids(&told(&mysql("Percona Server (GPL)"), &plugin)),
            ["audit-policy", "audit-excluded"]
        );
        let plugin = [
            ("audit_log_policy", "ALL"),
            ("audit_log_file", "audit.log"),
            ("audit_log_format", "CSV"),
            ("audit_log_handler", "SYSLOG"),
        ];
        assert_eq!(
            ids(&told(&mysql("Percona Server (GPL)"), &plugin)),
            ["audit-format", "audit-syslog"]
        );
        let extra = [("log_slow_extra", "OFF"), ("general_log", "ON")];
        assert_eq!(
            ids(&told(&mysql("MySQL Community Server - GPL"), &extra)),
            ["slow-bytes"]
        );
    }

    #[test]
    fn settings_files_tell_what_they_say_and_no_more() {
        let mut files = told(
            &[
                ("server_audit_logging", "ON"),
                ("server_audit_events", "CONNECT"),
            ],
            &[],
        );
        files.by_server = false;
        assert_eq!(ids(&files), ["audit-events"]);
        files.variables.clear();
        assert_eq!(ids(&files), [""; 0]);
        let nothing = gaps(&files, &Circumstances::default());
        assert_eq!(
            nothing.iter().map(|gap| gap.id).collect::<Vec<_>>(),
            ["audit-unseen", "slow-unseen"]
        );
    }

    #[test]
    fn each_gap_says_all_a_person_needs() {
        let everything = [
            ("server_audit_events", "CONNECT"),
            ("server_audit_query_log_limit", "1024"),
            ("server_audit_excl_users", "shop"),
            ("server_audit_incl_users", "x"),
            ("server_audit_file_rotate_size", "1000"),
            ("query_cache_type", "ON"),
            ("long_query_time", "10"),
            ("log_slow_rate_limit", "5"),
            ("log_slow_filter", "full_scan"),
            ("log_output", "TABLE"),
        ];
        let told = told(&mariadb("11.4.8-MariaDB"), &everything);
        let gaps = found(&told);
        assert!(gaps.len() >= 9, "{gaps:#?}");
        for gap in gaps {
            for text in [&gap.what, &gap.why, &gap.close, &gap.price, &gap.undo] {
                assert!(!text.is_empty(), "{gap:#?}");
            }
        }
    }

    #[test]
    fn a_remedy_that_looks_like_tampering_says_so() {
        let told = told(
            &mariadb("10.11.14-MariaDB"),
            &[
                ("server_audit_query_log_limit", "1024"),
                ("log_slow_rate_limit", "5"),
            ],
        );
        let warns: Vec<_> = found(&told)
            .iter()
            .map(|gap| (gap.id, gap.price.contains("opens an incident")))
            .collect();
        assert_eq!(warns, [("audit-cut", true), ("slow-rate", false)]);
    }

    #[test]
    fn the_price_of_an_audit_log_is_that_of_this_server() {
        let mut told = told(
            &mariadb("10.11.14-MariaDB"),
            &[("server_audit_logging", "OFF")],
        );
        told.status
            .insert("questions".to_owned(), "864000".to_owned());
        told.status.insert("uptime".to_owned(), "86400".to_owned());
        let gaps = found(&told);
        assert!(
            gaps.iter()
                .any(|gap| gap.price.contains("10.0 statements a second")
                    && gap.price.contains("345.6 MB a day")),
            "{gaps:#?}"
        );
    }
}
