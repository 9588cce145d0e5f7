//! What left: assets, bounds, counts with their grade, and how each was computed.

use std::collections::BTreeSet;

use model::{
    Asset, AssetKind, Count, DataClass, Exposure, Finding, Grade, Level, Scope, Timestamp,
};

/// Bytes a row of personal data takes at least in an answer: the divisor of an upper bound.
const ROW_BYTES_LEAST: u64 = 40;

/// Computes a first exposure from findings.
pub(crate) fn compute(findings: &[&Finding], first: Timestamp, last: Timestamp) -> Exposure {
    let mut assets: BTreeSet<Asset> = BTreeSet::new();
    let mut scopes: BTreeSet<Scope> = BTreeSet::new();
    let (mut channels, mut basis) = (BTreeSet::new(), Vec::new());
    let mut typed = false;
    let (mut exact, mut bytes, mut denied, mut read) = (None, None::<u64>, 0, 0);
    for finding in findings {
        if finding.rows == Some(NOTHING) {
            denied += 1;
            continue;
        }
        // Script in what shoppers see: what they type may go to a stranger, and no log here counts it.
        if finding.level >= Level::High
            && finding
                .attack
                .iter()
                .any(|id| id == "T1059.007" || id == "T1056.003")
        {
            typed = true;
            channels.insert("payment page");
            scopes.insert(Scope::Installation);
            assets.insert(Asset {
                kind: AssetKind::Path,
                name: "card numbers and codes typed by shoppers".to_owned(),
                class: DataClass::Sad,
            });
        }
        let table = finding
            .assets
            .iter()
            .any(|asset| asset.kind == AssetKind::Table && asset.class >= DataClass::Personal);
        assets.extend(
            finding
                .assets
                .iter()
                .filter(|asset| asset.class >= DataClass::Personal)
                .cloned(),
        );
        if table {
            // Tables are shared by every store of an installation.
            scopes.insert(Scope::Installation);
            channels.insert("database");
            read += 1;
        } else if finding
            .assets
            .iter()
            .any(|asset| asset.class >= DataClass::Personal)
        {
            scopes.insert(finding.scope.clone());
            channels.insert("web response");
            read += 1;
        }
        if let Some(rows) = finding.rows {
            exact = Some(exact.unwrap_or(0).max(rows.lower));
        }
        if let Some(count) = finding.bytes {
            bytes = Some(bytes.unwrap_or(0).max(count));
        }
    }
    let rows = match (exact, bytes) {
        _ if typed => {
            basis.push("cards typed on pages that show this script may have gone to a stranger from then on; no log here counts them, and a page may stay clean until caches are flushed".to_owned());
            Some(Count {
                lower: 0,
                upper: None,
                grade: Grade::WorstCase,
            })
        }
        _ if read == 0 => None,
        (Some(rows), _) => {
            basis.push(format!("{rows} rows: sent to the client as the slow query log counted them, the largest of the findings"));
            Some(Count {
                lower: rows,
                upper: Some(rows),
                grade: Grade::Exact,
            })
        }
        (None, Some(bytes)) => {
            let upper = bytes / ROW_BYTES_LEAST;
            basis.push(format!("at most {upper} rows: {bytes} bytes were answered, and a row takes at least {ROW_BYTES_LEAST}"));
            Some(Count {
                lower: u64::from(bytes > 0),
                upper: Some(upper),
                grade: Grade::Bounded,
            })
        }
        (None, None) => {
            basis.push(
                "rows unknown: no log counts them; the worst case is every row of the tables named"
                    .to_owned(),
            );
            Some(Count {
                lower: 0,
                upper: None,
                grade: Grade::WorstCase,
            })
        }
    };
    if denied > 0 {
        basis.push(format!(
            "{denied} findings tell of attempts that were refused: they exposed nothing"
        ));
    }
    if assets.is_empty() {
        basis.push("nothing named here is known to hold data worth stealing".to_owned());
    }
    Exposure {
        assets: assets.into_iter().collect(),
        scopes: scopes.into_iter().collect(),
        first,
        last,
        rows,
        bytes,
        channels: channels.into_iter().map(str::to_owned).collect(),
        basis,
    }
}

/// What a refused attempt exposes.
pub(crate) const NOTHING: Count = Count {
    lower: 0,
    upper: Some(0),
    grade: Grade::Exact,
};
