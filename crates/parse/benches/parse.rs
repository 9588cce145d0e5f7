//! Speed of framing and reading, one core: `cargo bench -p magewarden-parse`.
//!
//! Prints megabytes (10⁶ bytes) a second, the median of five passes over generated logs. Names of formats
//! behind `--` are measured alone, e.g. under a profiler.
#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use parse::{Context, Frame, SourceState, named};

const RECORDS: usize = 100_000;

fn generate(one: impl Fn(usize, &mut String)) -> String {
    let mut log = String::new();
    for at in 0..RECORDS {
        one(at, &mut log);
    }
    log
}

fn measure(name: &str, log: &str) {
    let format = named(name).expect("a listed format");
    let context = Context {
        zone: jiff::tz::TimeZone::get("Europe/Berlin").expect("bundled"),
        zone_quality: model::TimeQuality::ZoneConfigured,
        trusted_proxies: Vec::new(),
        table_prefix: String::new(),
        stores: model::StoreMap::default(),
    };
    let mut rates: Vec<f64> = (0..5)
        .map(|_| pass(format, log.as_bytes(), &context))
        .collect();
    rates.sort_by(f64::total_cmp);
    println!("{name:<28} {:>6.0} MB/s", rates[2]);
}

fn pass(format: &dyn parse::Format, log: &[u8], context: &Context) -> f64 {
    let begin = Instant::now();
    let mut state = SourceState::default();
    let mut rest = log;
    let mut read = 0_usize;
    while !rest.is_empty() {
        let end = match format.frame(rest, true) {
            Frame::Record { end } => end,
            Frame::More => rest.len(),
        };
        let (record, after) = rest.split_at(end);
        read += usize::from(black_box(format.parse(record, context, &mut state)).is_ok());
        rest = after;
    }
    assert!(read >= RECORDS, "every record is readable");
    let megabytes = f64::from(u32::try_from(log.len()).expect("small")) / 1e6;
    megabytes / begin.elapsed().as_secs_f64()
}

fn audit(at: usize, log: &mut String) {
    let (second, connection) = (at / 500 % 60, at / 48);
    let head = |log: &mut String, operation| {
        write!(log, "20260805 10:15:{second:02},db1,magento,10.0.0.12,{connection},{at},{operation},magento,").expect("a string takes all");
    };
    match at % 5 {
        0..3 => {
            head(log, "READ");
            log.push_str("catalog_product_entity,\n");
        }
        3 => {
            head(log, "QUERY");
            writeln!(log, "'SELECT `main_table`.* FROM `sales_order_payment` AS `main_table` WHERE (`parent_id` = \\'{at}\\') ORDER BY `entity_id` ASC LIMIT 1',0").expect("a string takes all");
        }
        _ => {
            head(log, "QUERY");
            log.push_str("'SELECT `e`.`entity_id`, `e`.`sku` FROM `catalog_product_entity` AS `e` WHERE 1 = 1',0\n");
        }
    }
}

fn combined(at: usize, log: &mut String) {
    let path = if at.is_multiple_of(7) {
        "catalogsearch/result/?q=o%27neill+shirt"
    } else {
        "women/tops-women/jackets-women.html?p=2"
    };
    writeln!(
        log,
        "203.0.113.{} - - [05/Aug/2026:10:15:{:02} +0000] \"GET /{path} HTTP/2.0\" 200 {} \"https://shop.example/\" \"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\"",
        at % 254, at / 500 % 60, at % 65_521,
    )
    .expect("a string takes all");
}

fn json(at: usize, log: &mut String) {
    writeln!(
        log,
        "{{\"ts\":\"2026-08-05T10:15:{:02}+00:00\",\"remote_addr\":\"203.0.113.{}\",\"host\":\"shop.example\",\"method\":\"GET\",\"uri\":\"/women/tops-women/jackets-women.html?p={at}\",\"status\":200,\"bytes\":{},\"rt\":0.212,\"ua\":\"Mozilla/5.0 (X11; Linux x86_64)\",\"referer\":\"https://shop.example/\",\"xff\":\"\"}}",
        at / 500 % 60, at % 254, at % 65_521,
    )
    .expect("a string takes all");
}

fn slow(at: usize, log: &mut String) {
    writeln!(
        log,
        "# User@Host: magento[magento] @ app1 [10.0.0.12]\n# Thread_id: {}  Schema: magento  QC_hit: No\n# Query_time: 0.000312  Lock_time: 0.000040  Rows_sent: 1  Rows_examined: 1\n# Rows_affected: 0  Bytes_sent: 312\nSET timestamp={};\nSELECT * FROM sales_order_payment WHERE parent_id = {at};",
        at / 48, 1_785_924_930 + at / 500,
    )
    .expect("a string takes all");
}

fn general(at: usize, log: &mut String) {
    writeln!(log, "\t\t   158 Query\tSELECT `e`.`entity_id`, `e`.`sku` FROM `catalog_product_entity` AS `e` WHERE `e`.`entity_id` = {at}").expect("a string takes all");
}

fn monolog(at: usize, log: &mut String) {
    writeln!(log, "[2026-08-05T10:15:{:02}.123456+00:00] main.INFO: Cron Job number {at} is run {{\"job\":\"sales_clean_quotes\"}} []", at / 500 % 60).expect("a string takes all");
}

/// What the machine gives: finding the ends of lines, and nothing else.
fn limit(log: &str) {
    let mut rates: Vec<f64> = (0..5)
        .map(|_| {
            let begin = Instant::now();
            black_box(memchr::memchr_iter(b'\n', log.as_bytes()).count());
            f64::from(u32::try_from(log.len()).expect("small"))
                / 1e6
                / begin.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    println!("{:<28} {:>6.0} MB/s", "limit lines", rates[2]);
}

fn main() {
    // Cargo adds `--bench`.
    let only: Vec<_> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let measure = |name: &str, one: fn(usize, &mut String)| {
        if only.is_empty() || only.iter().any(|word| word == name) {
            measure(name, &generate(one));
        }
    };
    limit(&generate(audit));
    measure("mariadb_server_audit", audit);
    measure("nginx_combined", combined);
    measure("nginx_json", json);
    measure("mysql_slow", slow);
    measure("mysql_general", general);
    measure("monolog", monolog);
}
