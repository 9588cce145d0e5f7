//! A ledger as a busy installation has it after a year, for measuring a start, pages and memory:
//!
//! ```text
//! cargo bench -p magewarden-engine --bench many -- FOLDER INCIDENTS FINDINGS_EACH $(date +%s)
//! ```
//!
//! `FOLDER` is then what `magewarden up --data` takes. The findings are made, not found: titles, reasons and lists as long
//! as those of the shipped rules, one thing in seven of level medium or above, four stores.

use std::io::Write as _;
use std::path::Path;

use engine::content;
use engine::ledger::{EntryKind, Ledger, NewEntry};
use engine::sealed::{Decided, VERSION};
use incident::{Grouper, GroupingSettings, ObligationRules};
use model::{
    Actor, ActorKind, Asset, AssetKind, Count, DataClass, EventRef, Finding, Grade, InstallationId,
    Lane, Level, Scope, Sequence, SourceId, Timestamp,
};
use parse::Context;

const YEAR: i64 = 365 * 86_400 * Timestamp::SECOND;
const BETWEEN: i64 = 20 * Timestamp::SECOND;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let given: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let [folder, incidents, each, now] = given.as_slice() else {
        // `cargo bench` and `cargo test` run every bench: without a folder there is nothing to do.
        return Ok(());
    };
    let (incidents, each): (i64, i64) = (incidents.parse()?, each.parse()?);
    let folder = Path::new(folder);
    let installation = InstallationId("shop".to_owned());
    let (ledger, keys) = (folder.join("ledger"), folder.join("keys"));
    let context = Context::default();
    let (mut ledger, _) = Ledger::create_or_open(&ledger, &keys, &installation, None, &context)?;
    let now = now.parse::<i64>()? * Timestamp::SECOND;
    let duties: Vec<_> = content::under("obligations/", ".toml").collect();
    let duties = ObligationRules::parse(&duties)?;
    let mut grouper = Grouper::new(GroupingSettings::default(), &duties);
    let mut out = std::io::stdout().lock();
    for number in 0..incidents {
        let began = now - YEAR + YEAR / incidents * number;
        let mut entries = Vec::new();
        let sealed = Timestamp(began + each * BETWEEN);
        for of in 0..each {
            let finding = finding(number, of, began + of * BETWEEN);
            drop(grouper.push(&finding, sealed));
            let finding = Box::new(finding);
            entries.push(entry(
                &Decided::Finding {
                    v: VERSION,
                    finding,
                },
                sealed,
            )?);
        }
        for incident in grouper.incidents().cloned() {
            let incident = Box::new(incident);
            entries.push(entry(
                &Decided::Incident {
                    v: VERSION,
                    incident,
                },
                sealed,
            )?);
        }
        drop(grouper.rest(Timestamp(i64::MAX)));
        ledger.append(&entries)?;
        if number % 1000 == 999 {
            writeln!(out, "{} incidents, {} entries", number + 1, ledger.len())?;
        }
    }
    ledger.checkpoint()?;
    Ok(())
}

fn entry(decided: &Decided, received: Timestamp) -> Result<NewEntry, serde_json::Error> {
    Ok(NewEntry {
        kind: EntryKind::Decided,
        lane: Lane::Live,
        identity: None,
        source: SourceId("magewarden".to_owned()),
        said: None,
        received,
        format: "magewarden_v1".into(),
        quarantined: false,
        marks: Vec::new(),
        payload: decided.to_bytes()?,
        tokens: Vec::new(),
    })
}

fn finding(number: i64, of: i64, at: i64) -> Finding {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let who = |kind, value: String| Actor { kind, value };
    let level = match of % 7 {
        0 if number % 9 == 0 => Level::Critical,
        0 => Level::Medium,
        _ => Level::Low,
    };
    Finding {
        id: format!(
            "{:032x}",
            (u128::from(number.unsigned_abs()) << 64 | u128::from(of.unsigned_abs()))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        ),
        rule: "db-cardholder-bulk-read".to_owned(),
        title: "Bulk read of a table that holds cardholder data".to_owned(),
        level,
        lane: Lane::Live,
        first: Timestamp(at),
        last: Timestamp(at + Timestamp::SECOND),
        actors: vec![
            who(ActorKind::DatabaseAccount, format!("report_{number}")),
            who(
                ActorKind::DatabaseConnection,
                format!("report_{number}#{}", 100 + of % 3),
            ),
            who(
                ActorKind::Address,
                format!("198.51.{}.{}", number / 250 % 250, number % 250),
            ),
        ],
        scope: Scope::View(
            ["us_en", "us_es", "uk_en", "de_de"][usize::try_from(number % 4).unwrap_or(0)]
                .to_owned(),
        ),
        assets: vec![Asset {
            kind: AssetKind::Table,
            name: "sales_order_payment".to_owned(),
            class: DataClass::PanTruncated,
        }],
        rows: Some(Count {
            lower: 4_000,
            upper: Some(4_100),
            grade: Grade::Bounded,
        }),
        bytes: None,
        event_count: 40,
        events: (0..16)
            .map(|index| EventRef {
                sequence: Sequence(index),
                index: 0,
            })
            .collect(),
        reason: format!(
            "account report_{number} read 4 000 rows of sales_order_payment in 12 s by a statement that no program of the shop is known to use; it read none in the days before"
        ),
        attack: texts(&["T1213", "T1005"]),
        requirements: texts(&["10.2.1.1", "10.4.1", "12.10.5"]),
        false_positives: texts(&[
            "An export that somebody asked for",
            "A report of the accounting that runs once a month",
        ]),
        external: None,
    }
}
