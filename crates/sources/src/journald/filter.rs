//! Which records of a journal are wanted: by unit, by identifier.
//!
//! Apart because `journalctl` is asked for all of them: only then is it seen when it leaves one out.

use serde_json::Value;

/// Units and identifiers of one source.
const NAMES_MAX: usize = 100;
/// Longest name of one, in bytes; systemd's own limit for a unit's name.
const NAME_BYTES_MAX: usize = 255;
/// How names of units end; one that doesn't is a service's.
const KINDS: [&str; 11] = [
    ".service",
    ".socket",
    ".timer",
    ".scope",
    ".slice",
    ".target",
    ".mount",
    ".automount",
    ".swap",
    ".path",
    ".device",
];

/// What is wanted; everything by default.
#[derive(Debug, Default)]
pub(super) struct Filter {
    units: Vec<String>,
    identifiers: Vec<String>,
}

impl Filter {
    /// Records of any of these units, and with any of these identifiers; an empty list leaves nothing out.
    ///
    /// # Errors
    ///
    /// What is wrong with a name.
    pub(super) fn new(units: &[String], identifiers: &[String]) -> Result<Self, String> {
        let names = || units.iter().chain(identifiers);
        if names().count() > NAMES_MAX {
            return Err(format!("at most {NAMES_MAX} units and identifiers"));
        }
        if names().any(|name| name.is_empty() || name.len() > NAME_BYTES_MAX) {
            return Err(format!(
                "the name of a unit or an identifier has 1 to {NAME_BYTES_MAX} bytes"
            ));
        }
        let whole = |name: &String| {
            if KINDS.iter().any(|kind| name.ends_with(kind)) {
                name.clone()
            } else {
                format!("{name}.service")
            }
        };
        Ok(Self {
            units: units.iter().map(whole).collect(),
            identifiers: identifiers.to_vec(),
        })
    }

    /// Whether it leaves something out.
    pub(super) fn is_some(&self) -> bool {
        !self.units.is_empty() || !self.identifiers.is_empty()
    }

    /// Whether a record is wanted; one that can't be read is.
    pub(super) fn wants(&self, record: &[u8]) -> bool {
        if !self.is_some() {
            return true;
        }
        let Ok(json) = serde_json::from_slice::<Value>(record) else {
            return true;
        };
        let is_one_of = |field: &str, names: &[String]| match json.get(field) {
            Some(Value::String(value)) => names.contains(value),
            Some(Value::Array(values)) => values
                .iter()
                .filter_map(Value::as_str)
                .any(|value| names.iter().any(|name| name == value)),
            _ => false,
        };
        let is = |field: &str, value: &str| json.get(field).and_then(Value::as_str) == Some(value);
        // As `journalctl --unit` does: the unit's own records, and those of systemd and of root's programs about it.
        let is_of_unit = || {
            let is_about = |field| is_one_of(field, &self.units);
            is_about("_SYSTEMD_UNIT")
                || (is("_PID", "1") && is_about("UNIT"))
                || (is("_UID", "0")
                    && (is_about("OBJECT_SYSTEMD_UNIT") || is_about("COREDUMP_UNIT")))
        };
        (self.units.is_empty() || is_of_unit())
            && (self.identifiers.is_empty() || is_one_of("SYSLOG_IDENTIFIER", &self.identifiers))
    }
}

#[cfg(test)]
mod tests {
    use super::Filter;

    #[track_caller]
    fn check(units: &[&str], identifiers: &[&str], record: &str, expected: bool) {
        let owned = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        let filter = Filter::new(&owned(units), &owned(identifiers)).expect("names");
        assert_eq!(filter.wants(record.as_bytes()), expected, "{record}");
    }

    #[test]
    fn wants_what_journalctl_shows_of_a_unit() {
        let of = |field: &str| {
            format!("{{\"{field}\":\"php8.2-fpm.service\",\"_PID\":\"1\",\"_UID\":\"0\"}}")
        };
        for field in [
            "_SYSTEMD_UNIT",
            "UNIT",
            "OBJECT_SYSTEMD_UNIT",
            "COREDUMP_UNIT",
        ] {
            check(&["nginx", "php8.2-fpm"], &[], &of(field), true);
            check(&["nginx.service"], &[], &of(field), false);
        }
        // A program can claim to speak of another's unit.
        check(
            &["nginx"],
            &[],
            r#"{"UNIT":"nginx.service","_PID":"7"}"#,
            false,
        );
        check(
            &["nginx"],
            &[],
            r#"{"OBJECT_SYSTEMD_UNIT":"nginx.service","_UID":"33"}"#,
            false,
        );
        check(&["a.timer"], &[], r#"{"_SYSTEMD_UNIT":"a.timer"}"#, true);
    }

    #[test]
    fn units_and_identifiers_are_both_wanted() {
        let record = r#"{"_SYSTEMD_UNIT":"ssh.service","SYSLOG_IDENTIFIER":["sshd","sudo"]}"#;
        check(&[], &[], record, true);
        check(&[], &["sudo"], record, true);
        check(&["ssh"], &["sshd"], record, true);
        check(&["ssh"], &["cron"], record, false);
        check(&["cron"], &["sshd"], record, false);
        // Rather too much than too little.
        check(&["cron"], &[], r#"{"MESSAGE":"cut of"#, true);
    }
}
