//! Speed of judging: every shipped rule over generated, parsed and shaped events of a quiet shop – three
//! database events to one request – with one thief's statement in a thousand.
//!
//! Prints events per second and core, the median of five passes after one to warm up.

use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use detect::shape::Shaper;
use detect::{Detector, RuleSource, Settings};
use model::{Category, Event, EventRef, Field, Lane, Scope, Sequence, Timestamp};

/// Events of a pass.
const EVENTS: i64 = 200_000;

fn statement(number: i64) -> String {
    match number % 1000 {
        999 => "SELECT * FROM sales_order_payment".to_owned(),
        rest => match rest % 5 {
            0 => format!(
                "SELECT `sales_order_payment`.* FROM `sales_order_payment` WHERE (`sales_order_payment`.`parent_id` = {number})"
            ),
            1 => format!(
                "UPDATE `quote` SET `items_count` = 2, `updated_at` = '2026-08-05 10:15:30' WHERE (entity_id={number})"
            ),
            2 => format!(
                "SELECT `t`.`value` FROM `catalog_product_entity_int` AS `t` WHERE (t.entity_id = {number}) UNION ALL SELECT `t`.`value` FROM `catalog_product_entity_varchar` AS `t` WHERE (t.entity_id = {number})"
            ),
            3 => "SELECT `main_table`.* FROM `core_config_data` AS `main_table`".to_owned(),
            _ => format!(
                "INSERT INTO `report_event` (`event_type_id`, `object_id`) VALUES (1, {number})"
            ),
        },
    }
}

fn events() -> Vec<Event<'static>> {
    let mut shaper = Shaper::new(String::new(), detect::shape::Shapes::default());
    let mut events = Vec::new();
    for number in 0..EVENTS {
        let web = number % 4 == 0;
        let mut event = Event::new(if web {
            Category::Webserver
        } else {
            Category::Database
        });
        event.time = Some(Timestamp(number * 1000));
        if web {
            event.put_text(Field::ClientIp, format!("198.51.100.{}", number % 200));
            event.put_text(Field::Method, "GET");
            let path = format!("/catalog/product/view/id/{}", number % 500);
            event.put_text(Field::Uri, format!("{path}?color=blue"));
            event.put_text(Field::UriStem, path);
            event.put_text(Field::UriQuery, "color=blue");
            event.put_int(Field::Status, 200);
            event.put_int(Field::ResponseBytes, 18_211);
            event.put_text(
                Field::UserAgent,
                "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
            );
            event.put_text(Field::Format, "nginx_combined");
        } else {
            event.put_text(Field::DbUser, "shop");
            event.put_text(Field::DbHost, "web1");
            event.put_int(Field::ConnectionId, number / 50);
            event.put_int(Field::QueryId, number);
            event.put_text(Field::Operation, "query");
            event.put_text(Field::Statement, statement(number));
            event.put_int(Field::ErrorCode, 0);
            event.put_text(Field::Format, "mariadb_server_audit");
            let _judged = shaper.enrich(&mut event);
        }
        events.push(event);
    }
    events
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut texts = Vec::new();
    for entry in
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../content/rules"))?
    {
        let path = entry?.path();
        texts.push((path.display().to_string(), std::fs::read_to_string(&path)?));
    }
    texts.sort();
    let rules: Vec<_> = texts
        .iter()
        .map(|(name, text)| RuleSource { name, text })
        .collect();
    let events = events();
    let (mut speeds, mut findings, mut count) = (Vec::new(), 0, 0);
    for _ in 0..6 {
        let mut detector = Detector::new(&rules, Settings::default())?;
        let mut out = Vec::new();
        let start = Instant::now();
        for (event, sequence) in events.iter().zip(0..) {
            let refs = [EventRef {
                sequence: Sequence(sequence),
                index: 0,
            }];
            detector.push(
                black_box(event),
                &refs,
                Lane::Live,
                &Scope::Unknown,
                &mut out,
            );
        }
        speeds.push(events.len() as f64 / start.elapsed().as_secs_f64());
        detector.flush(Timestamp(i64::MAX), &mut out);
        (findings, count) = (out.len(), detector.rules().count());
    }
    speeds.remove(0);
    speeds.sort_by(f64::total_cmp);
    let median = speeds.get(speeds.len() / 2).copied().unwrap_or_default();
    writeln!(
        std::io::stdout(),
        "rules {median:.0} events/s, {count} rules over {} events, {findings} findings told",
        events.len()
    )?;
    Ok(())
}
