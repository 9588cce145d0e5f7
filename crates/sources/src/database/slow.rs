//! Gaps of the slow query log: the only log that counts rows.

use super::Told;
use super::files::to_files;
use super::gap::{Circumstances, Gap, by_setting, log_folder};
use crate::prices;

/// Rows a statement must have looked at to be written: pages of a sweep look at hundreds.
const ROWS_MIN: &str = "100";
/// More than this leaves out sweeps by small pages.
const ROWS_MIN_MAX: f64 = 1000.0;

pub(super) fn gaps(told: &Told, around: &Circumstances, gaps: &mut Vec<Gap>) {
    let price = format!(
        "each statement that looked at 100 rows or more is written to disk, with its values; nothing rotates \
        it unless logrotate does; {}. Connections that are open keep their old limit",
        prices::SLOW_LOG
    );
    let is_unseen = !told.by_server && !around.sees_slow_log && told.on("slow_query_log").is_none();
    if told.on("slow_query_log") == Some(false) || is_unseen {
        let path = log_folder(told)
            // A file the administrator placed stays where it is.
            .filter(|_| {
                !told
                    .get("slow_query_log_file")
                    .is_some_and(|path| path.starts_with('/'))
            })
            .map(|folder| format!("{folder}/slow.log"));
        let mut change: Vec<(&str, &str)> = Vec::new();
        change.extend(path.as_deref().map(|path| ("slow_query_log_file", path)));
        change.extend([
            ("long_query_time", "0"),
            ("min_examined_row_limit", ROWS_MIN),
            ("slow_query_log", "ON"),
        ]);
        gaps.push(by_setting(
            told,
            if is_unseen { "slow-unseen" } else { "slow-off" },
            if is_unseen {
                "No slow query log was found"
            } else {
                "The slow query log is off"
            }
            .to_owned(),
            "It alone counts rows: without it an exposure has bounds, not a number.",
            &change,
            price.as_str(),
        ));
    } else if told.on("slow_query_log") == Some(true) {
        on(told, gaps, &price);
    }
    let writes = told.on("slow_query_log") == Some(true) || told.on("general_log") == Some(true);
    if let Some(output) = told.get("log_output").filter(|_| writes && !to_files(told)) {
        let change = if output.eq_ignore_ascii_case("table") {
            "FILE,TABLE"
        } else {
            "FILE"
        };
        gaps.push(by_setting(
            told,
            "log-table",
            format!("Slow and general log go to {output}, not to a file"),
            "magewarden follows files; what is written into the database's own tables it does not read.",
            &[("log_output", change)],
            "the same records once more, in a file; not measured here",
        ));
    }
}

fn on(told: &Told, gaps: &mut Vec<Gap>, price: &str) {
    let (seconds, rows) = (
        told.number("long_query_time"),
        told.number("min_examined_row_limit"),
    );
    let is_slow = seconds.is_some_and(|seconds| seconds > 0.0);
    let is_large = rows.is_some_and(|rows| rows > ROWS_MIN_MAX);
    if is_slow || is_large {
        let mut limits = Vec::new();
        limits.extend(
            seconds
                .filter(|_| is_slow)
                .map(|seconds| format!("took less than {seconds} s")),
        );
        limits.extend(
            rows.filter(|_| is_large)
                .map(|rows| format!("looked at fewer than {rows} rows")),
        );
        gaps.push(by_setting(
            told,
            "slow-threshold",
            format!("The slow query log leaves out statements that {}", limits.join(" or ")),
            "A dump of a small table, or a sweep page by page, takes milliseconds: how many rows it read is then unknown.",
            &[("long_query_time", "0"), ("min_examined_row_limit", ROWS_MIN)],
            price,
        ));
    }
    if told
        .number("log_slow_rate_limit")
        .is_some_and(|each| each > 1.0)
    {
        gaps.push(by_setting(
            told,
            "slow-rate",
            format!(
                "The slow query log takes one of {}",
                told.get("log_slow_rate_limit").unwrap_or_default()
            ),
            "Rows of the statements in between are not counted.",
            &[("log_slow_rate_limit", "1")],
            "as many more records; not measured here",
        ));
    }
    // MariaDB: a statement is written when its plan has one of these; every statement that the query cache didn't answer has
    // `query_cache_miss` (tried on 10.11).
    if let Some(filter) = told.get("log_slow_filter")
        && !filter.trim().is_empty()
        && !filter
            .split(',')
            .any(|plan| plan.trim().eq_ignore_ascii_case("query_cache_miss"))
    {
        gaps.push(by_setting(
            told,
            "slow-filter",
            format!("The slow query log takes only plans with {filter}"),
            "A read by key is left out, however many rows it gives: a thief who reads by order number is not counted.",
            &[("log_slow_filter", "")],
            "more records; not measured here",
        ));
    }
    if told.on("log_slow_extra") == Some(false) {
        gaps.push(by_setting(
            told,
            "slow-bytes",
            "The slow query log doesn't tell bytes".to_owned(),
            "How much left the database is known in rows only.",
            &[("log_slow_extra", "ON")],
            "longer records; not measured here. Unverified here (MySQL 8.0.14 and later)",
        ));
    }
}
