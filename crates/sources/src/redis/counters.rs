//! What a server counts of commands and refusals, and what of it is new.

use std::collections::BTreeMap;

use redis::{Connection, RedisResult};

/// Commands a shop has no use for while it runs, as the server names them; a server before 7.0 counts `config` as one.
const WATCHED: [&str; 20] = [
    "acl|setuser",
    "cluster|meet",
    "config",
    "config|rewrite",
    "config|set",
    "debug",
    "dump",
    "flushall",
    "function|load",
    "keys",
    "migrate",
    "module|load",
    "module|loadex",
    "monitor",
    "psync",
    "replicaof",
    "restore",
    "shutdown",
    "slaveof",
    "sync",
];
/// Counters of refusals, and what is told of each.
const REFUSALS: [(&str, &str); 2] = [
    ("acl_access_denied_auth", "auth"),
    ("acl_access_denied_cmd", "acl"),
];

/// The counters of the look before.
#[derive(Default)]
pub(super) struct Counters {
    before: Option<(String, BTreeMap<String, i64>)>,
}

impl Counters {
    /// Asks for them; gives each watched one that grew: name, by how much, and `called`, `refused` or, at a first look,
    /// `seen`.
    pub(super) fn ask(
        &mut self,
        connection: &mut Connection,
    ) -> RedisResult<Vec<(String, i64, &'static str)>> {
        let mut told = String::new();
        for section in ["server", "commandstats", "stats"] {
            let part: String = redis::cmd("INFO").arg(section).query(connection)?;
            told.push_str(&part);
        }
        Ok(self.compare(&told))
    }

    fn compare(&mut self, told: &str) -> Vec<(String, i64, &'static str)> {
        let mut run = String::new();
        let mut now = BTreeMap::new();
        for line in told.lines() {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            if name == "run_id" {
                value.clone_into(&mut run);
            } else if let Some(command) = name.strip_prefix("cmdstat_") {
                let calls = value
                    .split(',')
                    .find_map(|pair| pair.strip_prefix("calls="));
                if let Some(calls) = calls.and_then(count_of)
                    && WATCHED.contains(&command)
                {
                    now.insert(command.to_owned(), calls);
                }
            } else if let Some((_, shown)) = REFUSALS.iter().find(|(of, _)| *of == name)
                && let Some(count) = count_of(value)
            {
                now.insert((*shown).to_owned(), count);
            }
        }
        let before = self.before.replace((run.clone(), now.clone()));
        let is_first = before.is_none();
        // A server that started again counts from nothing.
        let before = before
            .filter(|(of, _)| *of == run)
            .map(|(_, counts)| counts);
        let before = before.unwrap_or_default();
        now.into_iter()
            .filter_map(|(name, count)| {
                let known = before.get(&name).copied().unwrap_or(0);
                // Counters can be set back.
                let grown = if count < known { count } else { count - known };
                let change = match name.as_str() {
                    _ if is_first => "seen",
                    "auth" | "acl" => "refused",
                    _ => "called",
                };
                (grown > 0).then_some((name, grown, change))
            })
            .collect()
    }
}

/// A count; none is below nothing.
fn count_of(text: &str) -> Option<i64> {
    text.parse().ok().filter(|count| *count >= 0)
}

#[cfg(test)]
mod tests {
    use super::Counters;
    use proptest::prelude::*;

    #[test]
    fn what_grew_is_told_over_a_restart_and_a_reset() {
        let mut counters = Counters::default();
        #[track_caller]
        fn check(counters: &mut Counters, told: &str, expected: &[(&str, i64, &str)]) {
            let found = counters.compare(told);
            let found: Vec<_> = found
                .iter()
                .map(|(name, count, change)| (name.as_str(), *count, *change))
                .collect();
            assert_eq!(found, expected);
        }
        let text = |run: &str, set: i64, auth: i64| {
            format!(
                "run_id:{run}\r\ncmdstat_config|set:calls={set},usec=1\r\ncmdstat_get:calls=9,usec=1\r\nacl_access_denied_auth:{auth}\r\n"
            )
        };
        check(
            &mut counters,
            &text("a", 1, 0),
            &[("config|set", 1, "seen")],
        );
        check(&mut counters, &text("a", 1, 0), &[]);
        check(
            &mut counters,
            &text("a", 3, 2),
            &[("auth", 2, "refused"), ("config|set", 2, "called")],
        );
        check(
            &mut counters,
            &text("a", 1, 2),
            &[("config|set", 1, "called")],
        );
        check(
            &mut counters,
            &text("b", 1, 0),
            &[("config|set", 1, "called")],
        );
        check(
            &mut counters,
            "nonsense\r\n:\r\ncmdstat_keys:calls=x\r\n",
            &[],
        );
    }

    proptest! {
        #[test]
        fn whatever_a_server_says_no_count_is_below_one(
            looks in prop::collection::vec((0_u8..2, any::<i64>(), any::<i64>(), ".{0,40}"), 0..6)
        ) {
            let mut counters = Counters::default();
            for (run, set, auth, junk) in looks {
                let told = format!("run_id:{run}\r\ncmdstat_config|set:calls={set}\r\nacl_access_denied_auth:{auth}\r\n{junk}");
                for (name, count, _) in counters.compare(&told) {
                    prop_assert!(count > 0, "{name} {count}");
                }
            }
        }
    }
}
