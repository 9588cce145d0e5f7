//! Statement digests of `performance_schema`: how many rows each shape of statement sent, where no log says.
//!
//! The server sums up by normalised text, without values and without who asked. Looked at again and again, the difference
//! between two looks is what was asked between them. Sums are kept beside the ledger under a code, so that a start tells what was
//! asked while magewarden was off; where that file is lost, everything since the server's start is told as `seen` once more.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use model::{Category, Field, SourceId, Timestamp};
use serde::{Deserialize, Serialize};

use super::Access;
use super::gentle::{Ask, End};
use crate::baseline::{self, Kept};
use crate::observation::Observation;
use crate::source::{Given, Hand, Kind, News, NotSealed, Recorder, Source};
use crate::{SourceError, settings};

/// What the account must be allowed to read.
pub(super) const TABLE: &str = "events_statements_summary_by_digest";
/// Its schema.
pub(super) const SCHEMA: &str = "performance_schema";
/// How often it is looked at unless settings say else, in seconds.
const EVERY_SECONDS: u64 = 30;
/// Digests taken at one look; the server keeps 10 000 unless told else.
const DIGESTS_MAX: usize = 50_000;
/// Digests remembered, of this server's life and earlier ones.
const KEPT_MAX: usize = 200_000;
/// Records handed over together.
const BATCH: usize = 200;
/// How long sealing is waited for before the look is made again.
const PATIENCE: Duration = Duration::from_secs(30);

/// The kind `statement_digests`.
pub(crate) struct StatementDigests;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "every_seconds")]
    every_seconds: u64,
}

fn every_seconds() -> u64 {
    EVERY_SECONDS
}

impl Kind for StatementDigests {
    fn name(&self) -> &'static str {
        "statement_digests"
    }

    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError> {
        let Settings { every_seconds } = settings(self.name(), table)?;
        let refused = |why: &str| SourceError::Settings {
            kind: "statement_digests",
            why: why.to_owned(),
        };
        if !(5..=3600).contains(&every_seconds) {
            return Err(refused("`every_seconds` is 5 to 3600"));
        }
        let access = given
            .database
            .clone()
            .ok_or_else(|| refused("it wants --magento and --database-user"))?;
        let id = SourceId(format!("statement_digests:{}", access.server));
        Ok(Box::new(Watch {
            access,
            every: Duration::from_secs(every_seconds),
            kept: given.data.join("statement_digests"),
            key: given.key,
            recorder: Recorder::observing(id, given.now),
            clock: given.clock,
        }))
    }
}

/// What the server has summed up of one digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Sums {
    /// When the server began this sum, as it writes times.
    first: String,
    calls: u64,
    sent: u64,
    examined: u64,
    affected: u64,
    errors: u64,
}

impl Sums {
    /// What was added since; all of it where the server began anew.
    fn since(&self, before: &Self) -> Self {
        if self.first != before.first || self.calls < before.calls {
            return self.clone();
        }
        Self {
            first: self.first.clone(),
            calls: self.calls - before.calls,
            sent: self.sent.saturating_sub(before.sent),
            examined: self.examined.saturating_sub(before.examined),
            affected: self.affected.saturating_sub(before.affected),
            errors: self.errors.saturating_sub(before.errors),
        }
    }
}

/// One line of the answer.
#[derive(Debug, PartialEq, Eq)]
struct Digest {
    /// Schema and digest; empty for what the server had no room to tell apart.
    key: String,
    schema: String,
    text: String,
    sums: Sums,
    seen: String,
}

impl Digest {
    fn read(row: Vec<String>) -> Option<Self> {
        let [
            schema,
            digest,
            text,
            calls,
            sent,
            examined,
            affected,
            errors,
            first,
            seen,
        ] = row.try_into().ok()?;
        let number = |text: String| text.parse().unwrap_or(0);
        let key = if digest.is_empty() {
            String::new()
        } else {
            format!("{schema}\n{digest}")
        };
        Some(Self {
            key,
            schema,
            text,
            seen,
            sums: Sums {
                first,
                calls: number(calls),
                sent: number(sent),
                examined: number(examined),
                affected: number(affected),
                errors: number(errors),
            },
        })
    }

    fn observe(&self, added: &Sums, change: &str, now: Timestamp) -> Vec<u8> {
        let int = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut record = Observation::new(Category::Database, now)
            .text(Field::Operation, "query")
            .text(Field::Schema, &self.schema)
            .text(Field::Statement, &self.text)
            .text(Field::Change, change)
            .int(Field::RowsSent, int(added.sent))
            .int(Field::RowsExamined, int(added.examined))
            .int(Field::RowsAffected, int(added.affected))
            .int(Field::ChangeCount, int(added.calls));
        // The server ends a text it cut so.
        if self.text.trim_end().ends_with("...") {
            record = record.text(Field::StatementCut, "1");
        }
        if added.errors > 0 {
            record = record.text(
                Field::Context,
                &format!("{} of {} calls failed", added.errors, added.calls),
            );
        }
        record.record()
    }
}

struct Watch {
    access: Access,
    every: Duration,
    kept: PathBuf,
    key: [u8; 32],
    recorder: Recorder,
    clock: fn() -> Timestamp,
}

impl Source for Watch {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        End::told(self.watch(hand))
    }

    fn id(&self) -> SourceId {
        self.recorder.source().clone()
    }
}

impl Watch {
    fn watch(&mut self, hand: &Hand) -> Result<(), End> {
        let access = self.access.clone();
        let mut ask = Ask::open(&access, hand)?;
        let on: Vec<(String, String)> = ask.pairs(
            "SHOW GLOBAL VARIABLES WHERE Variable_name = 'performance_schema'".to_owned(),
            "whether performance_schema is on",
            1,
        )?;
        if !on
            .iter()
            .any(|(_, value)| value.eq_ignore_ascii_case("on") || value == "1")
        {
            return Err(SourceError::Unusable {
                why: "performance_schema is off at this server: set `performance_schema = ON` in its settings file and start it again, or take this source away".to_owned(),
            }
            .into());
        }
        let what = format!(
            "asks {} every {} s what each shape of statement sent",
            access.server,
            self.every.as_secs()
        );
        hand.tell(self.id(), News::Well { what });
        let mut memory = match baseline::load::<Sums>(&self.kept, &self.key)? {
            Kept::Whole(sums) => Some(sums),
            Kept::None => None,
            Kept::Changed => {
                let why = "what was remembered of digests was changed by somebody else or is damaged; all are told once more";
                hand.tell(
                    self.id(),
                    News::Refused {
                        why: why.to_owned(),
                    },
                );
                None
            }
        };
        let mut last = String::new();
        loop {
            let digests = self.look(&mut ask, &last)?;
            match self.tell(&digests, &mut memory, hand) {
                Ok(()) => {
                    if let Some(seen) = digests.iter().map(|digest| &digest.seen).max() {
                        last.clone_from(seen);
                    }
                    if memory
                        .as_ref()
                        .is_some_and(|memory| memory.len() > KEPT_MAX)
                    {
                        let why = format!(
                            "over {KEPT_MAX} shapes of statement are known: they are forgotten, and those the server still has are told as `seen` once more"
                        );
                        hand.tell(self.id(), News::Refused { why });
                        memory = None;
                        last.clear();
                    }
                    if let (Some(memory), false) = (&memory, digests.is_empty()) {
                        baseline::save(&self.kept, &baseline::write(&self.key, memory))?;
                    }
                }
                // They are told at the next look: nothing is remembered that isn't sealed.
                Err(NotSealed::Late) => {}
                Err(NotSealed::Stopped) => return Ok(()),
            }
            hand.pause(self.every);
            if hand.stopped() {
                return Ok(());
            }
        }
    }

    /// Digests used since `last`, a time as the server wrote it, the earliest first: what is beyond one look is in the next. One may come
    /// twice, with the same sums.
    fn look(&self, ask: &mut Ask<'_>, last: &str) -> Result<Vec<Digest>, End> {
        let since = if last.is_empty() {
            String::new()
        } else {
            format!("WHERE LAST_SEEN >= {}", super::account::quoted_text(last))
        };
        let statement = format!(
            "SELECT SCHEMA_NAME, DIGEST, DIGEST_TEXT, COUNT_STAR, SUM_ROWS_SENT, SUM_ROWS_EXAMINED, SUM_ROWS_AFFECTED, \
             SUM_ERRORS, FIRST_SEEN, LAST_SEEN FROM {SCHEMA}.{TABLE} {since} ORDER BY LAST_SEEN LIMIT {DIGESTS_MAX}"
        );
        let rows = ask.rows(statement, "for statement digests", DIGESTS_MAX)?;
        Ok(rows.into_iter().filter_map(Digest::read).collect())
    }

    /// Hands over what was added; returns once it is sealed.
    fn tell(
        &mut self,
        digests: &[Digest],
        memory: &mut Option<BTreeMap<String, Sums>>,
        hand: &Hand,
    ) -> Result<(), NotSealed> {
        let now = (self.clock)();
        let change = if memory.is_some() { "called" } else { "seen" };
        let mut sums = memory.clone().unwrap_or_default();
        let mut records = Vec::new();
        let mut untold = 0;
        for digest in digests {
            let before = sums.insert(digest.key.clone(), digest.sums.clone());
            let added = digest.sums.since(&before.unwrap_or_default());
            if added.calls == 0 {
                continue;
            }
            if digest.key.is_empty() {
                untold += added.calls;
            } else {
                records.push(digest.observe(&added, change, now));
            }
        }
        self.recorder.seal(hand, &records, BATCH, PATIENCE)?;
        if untold > 0 {
            // The server's table was full: `performance_schema_digests_size` is its setting.
            let dropped = News::Dropped {
                records: untold,
                since: None,
            };
            hand.tell(self.id(), dropped);
        }
        *memory = Some(sums);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Digest, Sums};
    use model::Timestamp;

    fn row(parts: [&str; 10]) -> Vec<String> {
        parts.iter().map(|part| (*part).to_owned()).collect()
    }

    #[test]
    fn tells_what_was_added() {
        let read = |first: &str, calls: &str, sent: &str| {
            let text = "SELECT * FROM `sales_order_payment`";
            let last = "2026-01-02 00:00:00";
            let row = row([
                "shop", "ab12", text, calls, sent, "9", "0", "0", first, last,
            ]);
            Digest::read(row).expect("a digest")
        };
        let (before, now) = (read("1", "3", "300"), read("1", "5", "350"));
        let added = now.sums.since(&before.sums);
        assert_eq!((added.calls, added.sent), (2, 50));
        // The server began anew, or its table was emptied.
        assert_eq!(before.sums.since(&now.sums), before.sums);
        let anew = read("2", "5", "350");
        assert_eq!(anew.sums.since(&now.sums), anew.sums);
        let record = String::from_utf8(now.observe(&added, "called", Timestamp(0))).expect("text");
        for part in [
            "\"db.rows_sent\":50",
            "\"change_count\":2",
            "\"db.schema\":\"shop\"",
            "\"category\":\"database\"",
        ] {
            assert!(record.contains(part), "{record}");
        }
        assert!(!record.contains("db.statement_cut"), "{record}");
    }

    #[test]
    fn a_text_the_server_cut_is_said() {
        let text = "SELECT `a` , `b` ...";
        let cut = row(["", "ab", text, "1", "x", "", "0", "1", "", ""]);
        let cut = Digest::read(cut).expect("a digest");
        assert_eq!((cut.sums.sent, cut.key.as_str()), (0, "\nab"));
        let record = String::from_utf8(cut.observe(&cut.sums, "seen", Timestamp(0))).expect("text");
        assert!(record.contains("\"db.statement_cut\":\"1\""), "{record}");
        assert!(record.contains("1 of 1 calls failed"), "{record}");
        // What it had no room to tell apart, and what is no digest.
        let rest = Digest::read(row(["", "", "", "7", "7", "7", "0", "0", "", ""]));
        let rest = rest.expect("a digest");
        assert_eq!((rest.key.as_str(), rest.sums.calls), ("", 7));
        assert_eq!(Digest::read(vec![String::new(); 9]), None);
        assert_eq!(Sums::default().since(&Sums::default()), Sums::default());
    }
}
