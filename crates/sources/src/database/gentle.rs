//! Asks the shop's database, gently: the one place that paces statements and gives up on them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::Access;
use super::account::quoted_text;
use super::ask::{AskError, Asking, log_in};
use super::rows::ROWS_MAX;
use crate::SourceError;
use crate::source::Hand;

/// Shortest time between two statements.
pub(super) const PAUSE: Duration = Duration::from_millis(200);
/// What is waited after a statement is so many times as long as it took, so that a server gives a hundredth of one core;
/// a second at most, since one that is slow isn't slow because of us.
const REST: (u32, Duration) = (100, Duration::from_secs(1));
/// Rows asked for at once: at a first statement, at least and at most.
const PAGE: (usize, usize, usize) = (1000, 100, 10_000);
/// How long a page may take until the next one is smaller, and below which it grows. Whoever waits for the same rows, or
/// for a core, waits no longer.
const PAGE_TIME: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(5));
/// Columns of a schema that are taken.
const COLUMNS_MAX: usize = 50_000;

/// In which order of keys rows are asked for.
#[derive(Clone, Copy)]
pub(super) enum Order {
    Rising,
    Falling,
}

/// Why no answer comes any more.
pub(super) enum End {
    /// Told to stop.
    Stopped,
    /// Somebody else holds a table: it can be asked for later, others now.
    Locked(Box<SourceError>),
    /// It failed.
    Failed(Box<SourceError>),
}

impl End {
    /// What a source says of its end: being told to stop is none.
    pub(super) fn told(result: Result<(), Self>) -> Result<(), SourceError> {
        match result {
            Err(Self::Failed(error) | Self::Locked(error)) => Err(*error),
            Ok(()) | Err(Self::Stopped) => Ok(()),
        }
    }
}

impl From<SourceError> for End {
    fn from(error: SourceError) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// A connection that reads only, at most five statements a second, each for at most two seconds, and that waits for nobody's lock.
pub(super) struct Ask<'a> {
    pub(super) access: &'a Access,
    runtime: Runtime,
    asking: Asking<'a>,
    hand: &'a Hand,
    last: Instant,
    /// How long is waited after that.
    pause: Duration,
    /// Rows asked for at once.
    page: usize,
}

impl<'a> Ask<'a> {
    /// Logs in, looks at what the account may do, and limits the session.
    pub(super) fn open(access: &'a Access, hand: &'a Hand) -> Result<Self, End> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| SourceError::Thread { source })?;
        let failed = |source| failed(access, source);
        let connection = runtime
            .block_on(log_in(&access.server, &access.account))
            .map_err(failed)?;
        let mut asking = Asking {
            connection,
            server: &access.server,
        };
        runtime
            .block_on(asking.refuse_excess(&access.account, &access.schema, &access.prefix))
            .map_err(failed)?;
        let mut ask = Self {
            access,
            runtime,
            asking,
            hand,
            last: Instant::now(),
            pause: PAUSE,
            page: PAGE.0,
        };
        for (setting, what) in [
            ("SET SESSION TRANSACTION READ ONLY", "to read only"),
            // Times are compared as texts: they must not jump with a zone's clock.
            ("SET SESSION time_zone = '+00:00'", "to tell times in UTC"),
        ] {
            ask.rows(setting.to_owned(), what, 1)?;
        }
        // Of each the first that the server knows; one without either is held to the time by us alone.
        for (limits, what) in [
            // MariaDB counts seconds, MySQL milliseconds.
            (
                [
                    "SET SESSION max_statement_time = 2",
                    "SET SESSION max_execution_time = 2000",
                ],
                "for a limit of time",
            ),
            // Rows are read without locks; a table may be locked whole (`LOCK TABLES`, `ALTER TABLE`). MariaDB then refuses
            // at once, MySQL after a second, its least.
            (
                [
                    "SET SESSION lock_wait_timeout = 0",
                    "SET SESSION lock_wait_timeout = 1",
                ],
                "not to wait for locks",
            ),
        ] {
            for limit in limits {
                match ask.rows(limit.to_owned(), what, 1) {
                    Err(End::Stopped) => return Err(End::Stopped),
                    Err(End::Failed(_) | End::Locked(_)) => {}
                    Ok(_) => break,
                }
            }
        }
        Ok(ask)
    }

    /// Texts of an answer's rows, as far as `rows_max`, once it is time to ask again.
    pub(super) fn rows(
        &mut self,
        statement: String,
        what: &'static str,
        rows_max: usize,
    ) -> Result<Vec<Vec<String>>, End> {
        self.wait();
        if self.hand.stopped() {
            return Err(End::Stopped);
        }
        let statement = sqlx::AssertSqlSafe(statement);
        let asked = self.asking.rows_up_to(statement, what, rows_max);
        let began = Instant::now();
        let answer = self.runtime.block_on(asked);
        self.last = Instant::now();
        let (times, most) = REST;
        self.pause = began.elapsed().saturating_mul(times).clamp(PAUSE, most);
        answer.map_err(|source| {
            let is_locked = source.is_locked();
            let error = failed(self.access, source);
            if is_locked {
                End::Locked(Box::new(error))
            } else {
                error.into()
            }
        })
    }

    fn wait(&self) {
        self.hand
            .pause(self.pause.saturating_sub(self.last.elapsed()));
    }

    /// Keys and hashes of `most` rows, `order` by order of their keys, in pages as large as the server gives quickly; more,
    /// up to [`super::rows::ROWS_MAX`], until a key is `down_to` or less, so that none is missed however many came.
    /// `select` is a statement up to its table.
    pub(super) fn pages(
        &mut self,
        select: &str,
        key: &str,
        order: Order,
        most: usize,
        down_to: Option<u64>,
    ) -> Result<BTreeMap<String, String>, End> {
        let mut all = BTreeMap::new();
        let mut after = String::new();
        let (beyond, direction) = match order {
            Order::Rising => (">", ""),
            Order::Falling => ("<", " DESC"),
        };
        let mut is_there = down_to.is_none();
        loop {
            let room = if is_there { most } else { ROWS_MAX }.saturating_sub(all.len());
            if room == 0 {
                break;
            }
            let page = self.page.min(room);
            let statement = format!("{select} {after} ORDER BY {key}{direction} LIMIT {page}");
            // The pause is not of the statement.
            self.wait();
            let began = Instant::now();
            let rows = self.rows(statement, "for rows", page)?;
            let took = began.elapsed();
            let (_, least, greatest) = PAGE;
            if took > PAGE_TIME.0 {
                self.page = (self.page / 2).max(least);
            } else if took < PAGE_TIME.1 && rows.len() == self.page {
                self.page = (self.page * 2).min(greatest);
            }
            let is_last = rows.len() < page;
            let mut last = None;
            for mut row in rows {
                if let (Some(hash), Some(key)) = (row.pop(), row.pop()) {
                    last = Some(key.clone());
                    all.insert(key, hash);
                }
            }
            let number = last.as_ref().and_then(|key| key.parse().ok());
            is_there |= number <= down_to;
            match last {
                Some(last) if !is_last => {
                    after = format!("WHERE {key} {beyond} {}", quoted_text(&last));
                }
                _ => break,
            }
        }
        Ok(all)
    }

    /// The same, of a statement with two columns.
    pub(super) fn pairs<C: FromIterator<(String, String)>>(
        &mut self,
        statement: String,
        what: &'static str,
        rows_max: usize,
    ) -> Result<C, End> {
        let rows = self.rows(statement, what, rows_max)?.into_iter();
        Ok(rows
            .filter_map(|row| {
                let mut row = row.into_iter();
                Some((row.next()?, row.next()?))
            })
            .collect())
    }

    /// Tables of the shop's schema and their columns, as far as they may be read.
    pub(super) fn columns(&mut self) -> Result<BTreeSet<(String, String)>, End> {
        let statement = format!(
            "SELECT TABLE_NAME, COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {}",
            quoted_text(&self.access.schema)
        );
        self.pairs(statement, "for its columns", COLUMNS_MAX)
    }
}

fn failed(access: &Access, source: AskError) -> SourceError {
    SourceError::Database {
        server: access.server.to_string(),
        source: Box::new(source),
    }
}
