//! Reads of tables that hold payments against what is usual: a picture of hours, what stands out in words, and the same as JSON.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::response::Response;
use engine::desk::{AccountReads, HourReads, Sight, TableReads};
use engine::evidence::{Entity, EntityKind};
use engine::reads::{Account, Figure, HOURS_MIN, Hour, Like, Usual, is_payment_table};
use engine::zone::Zone;
use model::{AssetKind, Incident, Right, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{encoded, json as answer, problem, shortened};
use crate::access::{Seen, aside};

/// Hours drawn before an incident, after it, and at most.
const BEFORE: i64 = 24;
const AFTER: i64 = 6;
const DRAWN_MAX: i64 = 96;
/// Tables drawn of one incident, and accounts told of each.
const TABLES_MAX: usize = 4;
const ACCOUNTS_MAX: usize = 3;
/// Hours of an answer of the API where nothing else is asked for.
const DAY: i64 = 24;
/// Hours of one answer of the API.
const HOURS_MAX: i64 = 168;
/// Where bars begin, how wide all are, and how high the highest is, in the picture's units.
const LEFT: u64 = 70;
const WIDE: u64 = 920;
const HIGH: u64 = 120;

/// A part of the picture.
pub(super) struct Block {
    pub(super) x: u64,
    pub(super) y: u64,
    pub(super) width: u64,
    pub(super) height: u64,
    /// Class of its colour.
    pub(super) class: &'static str,
    pub(super) words: String,
}

/// A figure in words, with where its entries are.
pub(super) struct Told {
    pub(super) reads: String,
    /// Address of the entries; empty for whoever sees none.
    pub(super) link: String,
    /// Whose, when.
    pub(super) who: String,
    pub(super) when: Timestamp,
    /// Rows, and what told it.
    pub(super) by: String,
    pub(super) usual: String,
    /// Whether it is more than is usual.
    pub(super) is_over: bool,
}

/// The picture of one table.
pub(super) struct Chart {
    pub(super) table: String,
    /// What is usual, as a band; then its middle; then the reads.
    pub(super) bands: Vec<Block>,
    pub(super) bars: Vec<Block>,
    /// Heights with the number that they stand for.
    pub(super) steps: Vec<(u64, String)>,
    /// The incident's hours: where they begin, and how wide they are.
    pub(super) incident: Option<(u64, u64)>,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) told: Vec<Told>,
    /// Why nothing is drawn of what is usual; empty where it is known.
    pub(super) no_usual: String,
    /// What isn't known.
    pub(super) unknown: Vec<String>,
}

/// A number as people read it: its thousands apart by a space that doesn't break.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 * 2);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

fn plural(number: u64, word: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {word}{end}", grouped(number))
}

/// What is usual, in words.
fn usual(usual: Option<&Usual>) -> String {
    let Some(usual) = usual else {
        return "what is usual is unknown: fewer than 24 earlier hours were told of".to_owned();
    };
    let rests_on = match usual.like {
        Like::HourOfWeek => format!("this hour of the week, {} weeks", usual.hours),
        Like::HourOfDay => format!("this hour of the day, {} days", usual.hours),
        Like::AnyHour => format!("{} earlier hours, of any time of day", usual.hours),
    };
    match (usual.median, usual.high) {
        (0, 0) => format!("usual: none ({rests_on})"),
        (median, high) if median == high => format!("usual: {} ({rests_on})", grouped(high)),
        (median, high) => {
            let (median, high) = (grouped(median), grouped(high));
            format!("usual: {median}, seldom more than {high} ({rests_on})")
        }
    }
}

fn is_over(figure: &Figure, usual: Option<&Usual>) -> bool {
    usual.is_some_and(|usual| usual.is_exceeded_by(figure.reads))
}

/// An account in words.
fn who(account: &Account) -> String {
    match account {
        Account::Named(name) => shortened(&report::inert(name), 80),
        Account::Untold => "accounts that the log doesn't name".to_owned(),
        Account::Others => "other accounts together".to_owned(),
    }
}

/// The entries of an account within an hour.
fn link(account: &Account, hour: Hour) -> String {
    let end = hour.begin().plus_seconds(3599);
    let (from, to) = (hour.begin().to_string(), end.to_string());
    let time = format!("from={}&to={}", encoded(&from), encoded(&to));
    match account {
        Account::Named(name) if Entity::new(EntityKind::Account, name).is_some() => {
            format!("/entries?{time}&account={}", encoded(name))
        }
        _ => format!("/entries?{time}"),
    }
}

impl Told {
    fn new(hour: Hour, by: &AccountReads, sees_entries: bool) -> Self {
        let rows = by.figure.rows.filter(|rows| *rows > 0);
        // Not every log tells them, and the slow log not of all statements.
        let rows = rows.map_or_else(String::new, |rows| {
            format!("; at least {}", plural(rows, "row"))
        });
        Self {
            reads: plural(by.figure.reads, "read"),
            link: if sees_entries {
                link(&by.account, hour)
            } else {
                String::new()
            },
            who: who(&by.account),
            when: hour.begin(),
            by: format!("told by the {}{rows}", by.figure.witness.name()),
            usual: usual(by.usual.as_ref()),
            is_over: is_over(&by.figure, by.usual.as_ref()),
        }
    }
}

/// How high a number is drawn, where `most` is as high as can be: each tenfold is as high as any other.
fn height(number: u64, most: u64) -> u64 {
    // Pictures need no more than this: what is rounded is less than a line's width.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "logarithms of whole numbers, between nothing and the height of the picture"
    )]
    let height = {
        let of = |number: u64| (1.0 + number as f64).log10();
        (of(number) / of(most) * HIGH as f64).round() as u64
    };
    height.min(HIGH).max(u64::from(number > 0) * 2)
}

impl Chart {
    /// Of a table's hours, of which those of `incident` are told of.
    fn new(reads: &TableReads, incident: &std::ops::RangeInclusive<Hour>, sight: &Sight) -> Self {
        let sees = sees_entries(sight);
        let figures = reads.hours.iter().filter_map(|hour| hour.figure);
        let usuals = reads.hours.iter().filter_map(|hour| hour.usual);
        let most = figures.map(|figure| figure.reads);
        let most = most.chain(usuals.map(|usual| usual.high));
        let most = most.max().unwrap_or(0).max(9);
        let count = u64::try_from(reads.hours.len()).unwrap_or(1).max(1);
        let (mut bands, mut bars) = (Vec::new(), Vec::new());
        for (at, hour) in (0..).zip(&reads.hours) {
            let place = Place {
                x: LEFT + at * WIDE / count,
                end: LEFT + (at + 1) * WIDE / count,
                most,
                zone: sight.zone(),
            };
            place.draw(hour, &mut bands, &mut bars);
        }
        let tens = (1..19).map(|power| 10_u64.pow(power));
        let steps = tens.take_while(|ten| *ten <= most);
        let first = reads.hours.first().map_or(0, |hour| hour.hour.0);
        let at = |hour: Hour| {
            let place = u64::try_from(hour.0 - first).unwrap_or(0).min(count);
            LEFT + place * WIDE / count
        };
        let within = (!incident.is_empty())
            .then(|| (at(*incident.start()), at(incident.end().plus(1))))
            .filter(|(begin, end)| end > begin);
        let hours: Vec<&HourReads> = reads
            .hours
            .iter()
            .filter(|hour| incident.contains(&hour.hour))
            .collect();
        Self {
            table: reads.table.clone(),
            bands,
            bars,
            steps: steps
                .map(|ten| (HIGH - height(ten, most), grouped(ten)))
                .collect(),
            incident: within.map(|(begin, end)| (begin, end - begin)),
            from: Hour(first).begin(),
            to: Hour(first).plus(count.cast_signed()).begin(),
            told: peaks(&hours)
                .into_iter()
                .map(|(hour, by)| Told::new(hour, by, sees))
                .collect(),
            no_usual: if reads.hours_seen < HOURS_MIN {
                format!(
                    "usual not known yet: {} of {HOURS_MIN} hours seen",
                    reads.hours_seen
                )
            } else {
                String::new()
            },
            unknown: unknown(&hours, reads.left_out),
        }
    }

    /// Of a table that nothing is known of.
    fn empty(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            bands: Vec::new(),
            bars: Vec::new(),
            steps: Vec::new(),
            incident: None,
            from: Timestamp::default(),
            to: Timestamp::default(),
            told: Vec::new(),
            no_usual: String::new(),
            unknown: vec![
                "Unknown: no log that tells statements was read in these hours, or they are more than five weeks ago."
                    .to_owned(),
            ],
        }
    }
}

/// Where an hour is drawn.
struct Place<'a> {
    x: u64,
    end: u64,
    most: u64,
    zone: &'a Zone,
}

impl Place<'_> {
    fn draw(&self, hour: &HourReads, bands: &mut Vec<Block>, bars: &mut Vec<Block>) {
        let width = self.end.saturating_sub(self.x);
        let when = self.zone.words(&hour.hour.begin());
        let block = |from: u64, to: u64, width: u64, class, words| Block {
            x: self.x,
            y: HIGH - to,
            width,
            height: to - from,
            class,
            words,
        };
        let Some(figure) = hour.figure else {
            let words = format!("{when}: unknown, no log told anything of statements");
            bars.push(block(0, HIGH, width, "untold", words));
            return;
        };
        if let Some(usual) = &hour.usual {
            let high = height(usual.high, self.most).max(2);
            bands.push(block(0, high, width, "usual", String::new()));
        }
        let is_over = is_over(&figure, hour.usual.as_ref());
        let words = format!(
            "{when}: {}; {}",
            plural(figure.reads, "read"),
            usual(hour.usual.as_ref())
        );
        let class = if is_over { "over" } else { "reads" };
        let tall = height(figure.reads, self.most);
        let gap = u64::from(width > 4) * 2;
        bars.push(block(0, tall, width - gap, class, words));
    }
}

/// Of each account the hour in which it read most, those first that are furthest beyond what is usual.
fn peaks<'a>(hours: &[&'a HourReads]) -> Vec<(Hour, &'a AccountReads)> {
    let mut best: Vec<(Hour, &AccountReads)> = Vec::new();
    for hour in hours {
        for by in &hour.accounts {
            match best.iter_mut().find(|(_, one)| one.account == by.account) {
                Some(known) if known.1.figure.reads < by.figure.reads => *known = (hour.hour, by),
                Some(_) => {}
                None => best.push((hour.hour, by)),
            }
        }
    }
    best.sort_by_key(|(_, by)| {
        let is_over = is_over(&by.figure, by.usual.as_ref());
        std::cmp::Reverse((is_over, by.figure.reads))
    });
    best.truncate(ACCOUNTS_MAX);
    best
}

/// What isn't known of hours, in words.
fn unknown(hours: &[&HourReads], left_out: usize) -> Vec<String> {
    let mut out = Vec::new();
    let untold = hours.iter().filter(|hour| hour.figure.is_none()).count();
    if hours.is_empty() || untold == hours.len() {
        out.push("Unknown: no log told anything of statements in these hours.".to_owned());
    } else if untold > 0 {
        out.push(format!(
            "{untold} of these {} hours are unknown: no log told anything of statements.",
            hours.len()
        ));
    } else if hours.iter().all(|hour| hour.accounts.is_empty()) {
        out.push("No read is told of these hours.".to_owned());
    }
    if left_out > 0 {
        let hours = plural(u64::try_from(left_out).unwrap_or(0), "earlier hour");
        out.push(format!(
            "{hours} in which findings of incidents touched the table aren't held to be usual."
        ));
    }
    out
}

fn sees_entries(sight: &Sight) -> bool {
    sight.principal().may_somewhere(Right::SeeEvidence)
}

/// The tables of payments that an incident touched. Takes a while: not for a thread others wait for.
pub(super) fn of_incident(sight: &Sight, incident: &Incident) -> Vec<Chart> {
    if !sight.sees_reads() {
        return Vec::new();
    }
    let (first, last) = (Hour::of(incident.first), Hour::of(incident.last));
    let begin = first.plus(-BEFORE);
    let end = last.plus(AFTER).min(begin.plus(DRAWN_MAX - 1));
    let touched = incident.assets.iter();
    let tables =
        touched.filter(|asset| asset.kind == AssetKind::Table && is_payment_table(&asset.name));
    tables
        .take(TABLES_MAX)
        .map(|asset| {
            let reads = sight.reads_of(&asset.name, begin..=end, first);
            reads.map_or_else(
                || Chart::empty(&asset.name),
                |reads| Chart::new(&reads, &(first..=last), sight),
            )
        })
        .collect()
}

/// The last day that anything is known of, for the whole shop. As of [`of_incident`].
pub(super) fn of_day(sight: &Sight) -> Vec<Chart> {
    let all = sight.reads_of_day();
    let charts = all.iter().take(TABLES_MAX);
    charts
        .filter_map(|reads| {
            let (first, last) = (reads.hours.first()?.hour, reads.hours.last()?.hour);
            Some(Chart::new(reads, &(first..=last), sight))
        })
        .collect()
}

/// What is asked of reads.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Asked {
    table: String,
    hours: Option<i64>,
    to: String,
}

/// Reads by hours as JSON.
pub(crate) async fn api_reads(
    Seen(sight): Seen,
    query: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Ok(Query(asked)) = query else {
        let known = "what may be asked is table, hours and to, each once";
        return problem(StatusCode::BAD_REQUEST, known);
    };
    let hours = asked.hours.unwrap_or(DAY);
    if !(1..=HOURS_MAX).contains(&hours) {
        return problem(StatusCode::BAD_REQUEST, "hours lies between 1 and 168");
    }
    let last = match asked.to.parse::<jiff::Timestamp>() {
        Ok(time) => Some(Hour::of(Timestamp(time.as_microsecond()))),
        Err(_) if asked.to.is_empty() => None,
        Err(_) => {
            let why = "a time is written 2026-08-05T10:15:00Z";
            return problem(StatusCode::BAD_REQUEST, why);
        }
    };
    let Some(known) = sight.hours_of_reads() else {
        return answer(&json!({ "known": null, "tables": [] }));
    };
    let last = last.unwrap_or(*known.end());
    let asked_hours = last.plus(1 - hours)..=last;
    let read = aside(move || {
        let mut tables = sight.tables_read(asked_hours.clone());
        tables.retain(|table| asked.table.is_empty() || asked.table == *table);
        let start = *asked_hours.start();
        let reads = tables
            .iter()
            .filter_map(|table| sight.reads_of(table, asked_hours.clone(), start));
        reads.map(|reads| told(&reads)).collect::<Vec<_>>()
    });
    let Some(tables) = read.await else {
        let why = "reads can't be told now";
        return problem(StatusCode::SERVICE_UNAVAILABLE, why);
    };
    let time = |hour: &Hour| hour.begin().to_string();
    let known = json!({ "from": time(known.start()), "to": time(&known.end().plus(1)) });
    answer(&json!({ "known": known, "tables": tables }))
}

fn told(reads: &TableReads) -> Value {
    let usual = |usual: &Option<Usual>| {
        usual.map(|usual| {
            let like = match usual.like {
                Like::HourOfWeek => "hour_of_week",
                Like::HourOfDay => "hour_of_day",
                Like::AnyHour => "any_hour",
            };
            json!({ "median": usual.median, "high": usual.high, "hours": usual.hours, "like": like })
        })
    };
    let account = |by: &AccountReads| {
        json!({
            "account": by.account, "reads": by.figure.reads, "rows": by.figure.rows,
            "told_by": by.figure.witness, "usual": usual(&by.usual),
        })
    };
    let hour = |hour: &HourReads| {
        json!({
            "from": hour.hour.begin().to_string(),
            "reads": hour.figure.map(|figure| figure.reads),
            "rows": hour.figure.and_then(|figure| figure.rows),
            "told_by": hour.figure.map(|figure| figure.witness),
            "usual": usual(&hour.usual),
            "accounts": hour.accounts.iter().map(account).collect::<Vec<_>>(),
        })
    };
    json!({
        "table": reads.table,
        "hours": reads.hours.iter().map(hour).collect::<Vec<_>>(),
        "hours_left_out": reads.left_out,
    })
}

#[cfg(test)]
mod tests {
    use super::{HIGH, grouped, height, link, usual};
    use engine::reads::{Account, Hour, Like, Usual};

    #[test]
    fn numbers_are_told_as_people_read_them() {
        for (number, words) in [
            (0, "0"),
            (999, "999"),
            (4180, "4\u{202f}180"),
            (1_234_567, "1\u{202f}234\u{202f}567"),
        ] {
            assert_eq!(grouped(number), words);
        }
    }

    #[track_caller]
    fn check(median: u64, high: u64, like: Like, words: &str) {
        let known = Usual {
            median,
            high,
            hours: 31,
            like,
        };
        assert_eq!(usual(Some(&known)), words);
    }

    #[test]
    fn what_is_usual_is_told_with_what_it_rests_on() {
        check(
            0,
            0,
            Like::HourOfDay,
            "usual: none (this hour of the day, 31 days)",
        );
        check(
            2,
            2,
            Like::HourOfDay,
            "usual: 2 (this hour of the day, 31 days)",
        );
        let words = "usual: 2, seldom more than 12 (31 earlier hours, of any time of day)";
        check(2, 12, Like::AnyHour, words);
        assert!(usual(None).contains("unknown"));
    }

    #[test]
    fn tenfold_is_one_step_and_a_single_read_is_seen() {
        assert_eq!((height(0, 9), height(9, 9)), (0, HIGH));
        assert_eq!(height(9, 99), HIGH / 2);
        assert_eq!(height(1, u64::MAX - 1), 2);
    }

    #[test]
    fn a_name_of_an_account_leads_nowhere_else() {
        let account = Account::Named("a&b=\"<x>".into());
        let hour = "from=1970-01-01T01%3A00%3A00Z&to=1970-01-01T01%3A59%3A59Z";
        let expected = format!("/entries?{hour}&account=a%26b%3D%22%3Cx%3E");
        assert_eq!(link(&account, Hour(1)), expected);
        let long = Account::Named("x".repeat(400).into());
        for account in [Account::Untold, Account::Others, long] {
            assert_eq!(link(&account, Hour(1)), format!("/entries?{hour}"));
        }
    }
}
