//! What is asked of the server before its log: what the account may do, which files there are, how they are written.

use std::collections::BTreeMap;
use std::io::Error;
use std::time::Duration;

use super::wire::Connection;

/// What an account for the log may do, and nothing else.
const RIGHTS: [&str; 4] = [
    "USAGE",
    "REPLICATION SLAVE",
    // MySQL's and older MariaDB's name of the second.
    "REPLICATION CLIENT",
    "BINLOG MONITOR",
];

/// A file of the log: its name, and its size in bytes.
type File = (String, u64);

/// What the server says of itself.
#[derive(Default)]
pub(super) struct State {
    /// Files of the log, oldest first.
    pub(super) files: Vec<File>,
    pub(super) server_id: u32,
    variables: BTreeMap<String, String>,
}

/// Asks, and prepares the connection for the log; an account that may do more is refused first.
pub(super) fn ask(connection: &mut Connection, beat: Duration) -> Result<State, Error> {
    let grants = connection.ask("SHOW GRANTS")?.into_iter().flatten();
    let excess: Vec<_> = grants.filter_map(|line| excess(&line)).collect();
    if !excess.is_empty() {
        return Err(Error::other(format!(
            "the account may do more than read the log: {}; take it away, or make one that may not",
            excess.join("; ")
        )));
    }
    let mut variables = BTreeMap::new();
    for row in connection.ask(
        "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('server_id', 'log_bin') OR Variable_name LIKE 'binlog\\_%'",
    )? {
        if let [name, value] = row.as_slice() {
            variables.insert(name.to_ascii_lowercase(), value.clone());
        }
    }
    let mut state = State {
        server_id: variables
            .get("server_id")
            .and_then(|id| id.parse().ok())
            .unwrap_or(0),
        variables,
        files: Vec::new(),
    };
    if state.get("log_bin").eq_ignore_ascii_case("on") || state.get("log_bin") == "1" {
        state.files = connection
            .ask("SHOW BINARY LOGS")?
            .into_iter()
            .filter_map(|row| {
                let mut row = row.into_iter();
                Some((row.next()?, row.next()?.parse().ok()?))
            })
            .collect();
    }
    connection.ask("SET @master_binlog_checksum = @@global.binlog_checksum")?;
    // MariaDB: knows GTIDs, and with them every event there is.
    connection.ask("SET @mariadb_slave_capability = 4")?;
    connection.ask(&format!(
        "SET @master_heartbeat_period = {}",
        beat.as_nanos()
    ))?;
    Ok(state)
}

impl State {
    fn get(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    /// The oldest and the newest file.
    pub(super) fn ends(&self) -> Option<(&File, &File)> {
        Some((self.files.first()?, self.files.last()?))
    }

    pub(super) fn has_checksums(&self) -> bool {
        self.get("binlog_checksum").eq_ignore_ascii_case("crc32")
    }

    pub(super) fn is_mariadb(&self, connection: &Connection) -> bool {
        connection.version.to_ascii_lowercase().contains("mariadb")
    }

    /// What the log leaves out as it is written now, and the statement that changes it.
    pub(super) fn complaints(&self) -> Vec<&'static str> {
        let is = |name: &str, value: &str| self.get(name).eq_ignore_ascii_case(value);
        let mut complaints = Vec::new();
        if !is("binlog_format", "ROW") {
            complaints.push("rows are written as statements and aren't seen: SET GLOBAL binlog_format = ROW, for connections that begin later");
        }
        if !is("binlog_row_metadata", "FULL") {
            complaints.push("the log doesn't name columns, so no key and no value is told: SET GLOBAL binlog_row_metadata = FULL");
        }
        if is("binlog_row_image", "MINIMAL") {
            complaints.push("an image has the changed columns only, so the value of a setting whose path isn't changed with it stays untold: SET GLOBAL binlog_row_image = FULL");
        }
        if is("binlog_annotate_row_events", "OFF") {
            complaints.push("no statement is told: SET GLOBAL binlog_annotate_row_events = ON");
        }
        if is("binlog_rows_query_log_events", "OFF") {
            complaints.push("no statement is told: SET GLOBAL binlog_rows_query_log_events = ON");
        }
        if is("binlog_transaction_compression", "ON") {
            complaints.push("compressed transactions aren't read: SET GLOBAL binlog_transaction_compression = OFF");
        }
        complaints
    }
}

/// What of a line of `SHOW GRANTS` goes further than the log; nothing behind the account's name is given on.
fn excess(line: &str) -> Option<String> {
    let rights = line
        .strip_prefix("GRANT ")
        .and_then(|rest| rest.split_once(" ON *.* TO "));
    let Some((rights, account)) = rights else {
        let shown = line.split(" TO ").next().unwrap_or_default();
        return Some(shown.chars().take(200).collect());
    };
    if account.contains("GRANT OPTION") {
        return Some("the right to grant on".to_owned());
    }
    let further: Vec<_> = rights
        .split(", ")
        .filter(|right| !RIGHTS.contains(&right.trim()))
        .collect();
    (!further.is_empty()).then(|| further.join(", "))
}

#[cfg(test)]
mod tests {
    use super::excess;

    #[test]
    fn an_account_that_may_do_more_is_refused() {
        for (line, expected) in [
            (
                "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `b`@`localhost` IDENTIFIED BY PASSWORD '*AB'",
                None,
            ),
            (
                "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `b`@`%`",
                None,
            ),
            ("GRANT USAGE ON *.* TO `b`@`%`", None),
            (
                "GRANT SELECT, REPLICATION SLAVE ON *.* TO `b`@`%`",
                Some("SELECT"),
            ),
            (
                "GRANT ALL PRIVILEGES ON *.* TO `b`@`%` WITH GRANT OPTION",
                Some("the right to grant on"),
            ),
            (
                "GRANT SELECT ON `shop`.* TO `b`@`%`",
                Some("GRANT SELECT ON `shop`.*"),
            ),
            ("GRANT `role` TO `b`@`%`", Some("GRANT `role`")),
        ] {
            assert_eq!(excess(line).as_deref(), expected, "{line}");
        }
    }
}
