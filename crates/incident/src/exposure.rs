//! What left, from where, since when: computed from findings, each figure with how it came about.
//!
//! Findings that tell of one act (shared events, or one connection on one asset at one time) count
//! once, by their best witness. Several channels of one incident tell of the same rows, so the
//! proven lower bound is the greatest channel's, and what can't be excluded is their sum.
//!
//! Invariant: a denied attempt exposes nothing, and the basis says so.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Actor, ActorKind, Asset, AssetKind, Count, DataClass, EventRef, Exposure, Finding, Grade,
    Level, Scope, Timestamp,
};

use crate::links::{from_database, is_web, says_any};

/// How it left when the database's logs tell it.
const DATABASE: &str = "database";
/// How it left when the web's logs tell it.
const WEB: &str = "web response";
/// Written to, or lying in, a file of the server.
const FILE: &str = "file on the server";
/// Copied by a program on a host.
const PROGRAM: &str = "program on a host";
/// Sent from a page as people typed: no log of the shop counts it.
pub const PAGE: &str = "payment page";

/// Whether what all stores share was reached: the database, or a program on a host.
#[must_use]
pub fn is_shared(exposure: &Exposure) -> bool {
    let mut channels = exposure.channels.iter();
    channels.any(|channel| channel == DATABASE || channel == PROGRAM)
}

/// Whether the attempt was refused: no rows by count, or rule, title or reason say so.
pub(crate) fn is_denied(finding: &Finding) -> bool {
    if finding.rows.is_some_and(|rows| rows.upper == Some(0)) {
        return true;
    }
    let nothing_left = finding.rows.is_none_or(|rows| rows.lower == 0);
    let reason = finding.reason.to_lowercase();
    let refused = ["denied", "refused", "blocked by"];
    nothing_left
        && (says_any(finding, &refused) || refused.iter().any(|word| reason.contains(word)))
}

/// Whether it is about a page where cards are typed.
pub(crate) fn touches_payment_page(finding: &Finding) -> bool {
    finding
        .attack
        .iter()
        .any(|technique| technique.starts_with("T1059.007"))
        || says_any(
            finding,
            &["skimmer", "payment page", "payment-page", "checkout script"],
        )
}

fn channel(finding: &Finding) -> Option<&'static str> {
    if touches_payment_page(finding) {
        Some(PAGE)
    } else if says_any(finding, &["outfile", "dumpfile"])
        || finding
            .assets
            .iter()
            .any(|asset| asset.kind == AssetKind::Log)
    {
        Some(FILE)
    } else if from_database(finding) {
        Some(DATABASE)
    } else if is_web(finding) {
        Some(WEB)
    } else if finding
        .actors
        .iter()
        .any(|a| a.kind == ActorKind::HostProcess)
    {
        Some(PROGRAM)
    } else {
        None
    }
}

/// Whether a finding says that data worth stealing was within reach.
fn exposes(finding: &Finding) -> bool {
    let left = finding.rows.is_some_and(|rows| rows.upper != Some(0));
    // Whatever table or file a skimmer sits in: what leaves is what people type.
    let copies = finding.level == Level::Critical && touches_payment_page(finding);
    !is_denied(finding)
        && (left
            || copies
            || finding
                .assets
                .iter()
                .any(|asset| asset.class > DataClass::Public))
}

/// Computes what left by the findings of one incident; bounds are used when nothing left.
pub(crate) fn exposure(findings: &[&Finding], first: Timestamp, last: Timestamp) -> Exposure {
    let exposing: Vec<&Finding> = findings.iter().copied().filter(|f| exposes(f)).collect();
    let denied = findings.iter().filter(|f| is_denied(f)).count();
    let mut basis = Vec::new();
    if denied > 0 {
        basis.push(format!(
            "{denied} of {} findings are refused attempts: they expose nothing",
            findings.len()
        ));
    }
    if exposing.is_empty() {
        basis.push("no finding shows that data worth stealing was read".to_owned());
        return Exposure {
            assets: Vec::new(),
            scopes: Vec::new(),
            first,
            last,
            rows: None,
            bytes: None,
            channels: Vec::new(),
            basis,
        };
    }
    let acts = acts(&exposing);
    let rows = rows(&acts, &mut basis);
    let bytes = bytes(&acts, &mut basis);
    let channels: BTreeSet<&str> = exposing.iter().filter_map(|f| channel(f)).collect();
    let first = exposing.iter().map(|f| f.first).min().unwrap_or(first);
    let last = exposing.iter().map(|f| f.last).max().unwrap_or(last);
    basis.push(
        "since and until: first and last event of what shows data in reach; what happened outside \
         the logs can't be excluded"
            .to_owned(),
    );
    if channels.contains(PAGE) {
        basis.push(
            "a changed page works from when caches let go of the old one until every cache lets \
             go of the changed one: the true bounds may be wider"
                .to_owned(),
        );
    }
    let mut assets = assets(&exposing);
    if channels.contains(PAGE) {
        if !assets.iter().any(|asset| asset.class == DataClass::Sad) {
            // What people type there is card number and card verification code.
            let name = "payment page (cards as they are typed)".to_owned();
            assets.insert(
                0,
                Asset {
                    kind: AssetKind::Path,
                    name,
                    class: DataClass::Sad,
                },
            );
        }
        basis.push(
            "cards typed while the page was changed go out from the shopper's browser, past every log of the shop: how many can't be \
             seen from here. At most those of the orders that were tried in that time"
                .to_owned(),
        );
    }
    Exposure {
        assets,
        scopes: scopes(&exposing),
        first,
        last,
        rows: Some(rows),
        bytes,
        channels: channels.into_iter().map(str::to_owned).collect(),
        basis,
    }
}

fn assets(exposing: &[&Finding]) -> Vec<Asset> {
    let mut worst: BTreeMap<(AssetKind, &str), DataClass> = BTreeMap::new();
    for asset in exposing.iter().flat_map(|finding| &finding.assets) {
        let class = worst
            .entry((asset.kind, &asset.name))
            .or_insert(asset.class);
        *class = (*class).max(asset.class);
    }
    let mut out: Vec<Asset> = worst
        .into_iter()
        .filter(|(_, class)| *class > DataClass::Public)
        .map(|((kind, name), class)| Asset {
            kind,
            name: name.to_owned(),
            class,
        })
        .collect();
    out.sort_by_key(|asset| std::cmp::Reverse(asset.class));
    out.truncate(256);
    out
}

/// Where: tables are shared by all stores of an installation.
fn scopes(exposing: &[&Finding]) -> Vec<Scope> {
    let mut out: BTreeSet<Scope> = exposing
        .iter()
        .map(|finding| finding.scope.clone())
        .filter(|scope| *scope != Scope::Unknown)
        .collect();
    let tables = exposing
        .iter()
        .any(|f| !is_web(f) && f.assets.iter().any(|a| a.kind == AssetKind::Table));
    if tables {
        out.insert(Scope::Installation);
    }
    if out.is_empty() {
        out.insert(Scope::Unknown);
    }
    out.into_iter().collect()
}

/// One act as its findings tell it: figures by the best witness.
struct Act {
    channel: &'static str,
    rows: Option<Count>,
    bytes: u64,
    tellers: usize,
}

/// Puts findings that tell of one act together.
fn acts(exposing: &[&Finding]) -> Vec<Act> {
    let mut by_event: BTreeMap<EventRef, usize> = BTreeMap::new();
    let mut by_place: BTreeMap<(&Actor, AssetKind, &str), (Timestamp, usize)> = BTreeMap::new();
    let mut acts: Vec<Act> = Vec::new();
    let mut sorted = exposing.to_vec();
    sorted.sort_by(|a, b| (a.first, &a.id).cmp(&(b.first, &b.id)));
    for finding in sorted {
        let who: Vec<&Actor> = finding
            .actors
            .iter()
            .filter(|actor| {
                match actor.kind {
                    ActorKind::DatabaseConnection => true,
                    // Of the database's side the connection is the act; its address may have several.
                    ActorKind::Address => is_web(finding),
                    _ => false,
                }
            })
            .collect();
        let places = || {
            who.iter().flat_map(|actor| {
                finding
                    .assets
                    .iter()
                    .map(|asset| (*actor, asset.kind, asset.name.as_str()))
            })
        };
        let same_event = finding
            .events
            .iter()
            .find_map(|event| by_event.get(event))
            .copied();
        let same_place = places().find_map(|place| {
            by_place
                .get(&place)
                .filter(|(end, _)| *end >= finding.first)
                .map(|(_, at)| *at)
        });
        let at = same_event.or(same_place).unwrap_or(acts.len());
        match acts.get_mut(at) {
            Some(act) => {
                act.rows = better(act.rows, finding.rows);
                act.bytes = act.bytes.max(finding.bytes.unwrap_or(0));
                act.tellers += 1;
            }
            None => acts.push(Act {
                channel: channel(finding).unwrap_or(DATABASE),
                rows: finding.rows,
                bytes: finding.bytes.unwrap_or(0),
                tellers: 1,
            }),
        }
        for event in &finding.events {
            by_event.entry(*event).or_insert(at);
        }
        for place in places() {
            let slot = by_place.entry(place).or_insert((finding.last, at));
            slot.0 = slot.0.max(finding.last);
        }
    }
    acts
}

/// Of two counts of one act: the surer one; of equally sure ones the larger.
fn better(a: Option<Count>, b: Option<Count>) -> Option<Count> {
    let (Some(a), Some(b)) = (a, b) else {
        return a.or(b);
    };
    Some(match a.grade.cmp(&b.grade) {
        std::cmp::Ordering::Less => a,
        std::cmp::Ordering::Greater => b,
        std::cmp::Ordering::Equal => Count {
            lower: a.lower.max(b.lower),
            upper: a.upper.zip(b.upper).map(|(a, b)| a.max(b)),
            grade: a.grade,
        },
    })
}

fn rows(acts: &[Act], basis: &mut Vec<String>) -> Count {
    let mut lowers: BTreeMap<&str, u64> = BTreeMap::new();
    let mut upper = Some(0_u64);
    let mut grade = Grade::Exact;
    let mut uncounted = 0_usize;
    for act in acts {
        let count = act.rows.unwrap_or_else(|| {
            uncounted += 1;
            Count {
                lower: 0,
                upper: None,
                grade: Grade::WorstCase,
            }
        });
        let lower = lowers.entry(act.channel).or_default();
        *lower = lower.saturating_add(count.lower);
        upper = upper
            .zip(count.upper)
            .map(|(sum, more)| sum.saturating_add(more));
        grade = grade.max(count.grade);
    }
    let lower = lowers.values().copied().max().unwrap_or(0);
    if lowers.len() > 1 {
        grade = grade.max(Grade::Bounded);
        basis.push(
            "rows seen by several channels may be the same rows: proven is the channel that \
             proves most, not excluded is their sum"
                .to_owned(),
        );
    }
    for (channel, lower) in lowers.iter().filter(|(_, lower)| **lower > 0) {
        basis.push(format!("rows by {channel}: at least {lower}"));
    }
    if uncounted > 0 {
        basis.push(if uncounted == acts.len() {
            "no log counts the rows that were read, so there is no upper bound".to_owned()
        } else {
            format!(
                "no log counts the rows of {uncounted} of {} acts, so there is no upper bound",
                acts.len()
            )
        });
    }
    if acts.iter().any(|act| act.tellers > 1) {
        basis.push("findings that tell of the same act count once, by the best witness".to_owned());
    }
    basis.push(match grade {
        Grade::Exact => "exact: the database's own slow log counted the rows it sent".to_owned(),
        Grade::Bounded => {
            "bounded: from response sizes, result pages or statement shapes".to_owned()
        }
        Grade::WorstCase => "worst case: everything the assets hold can't be excluded".to_owned(),
    });
    Count {
        lower,
        upper: upper.map(|upper| upper.max(lower)),
        grade,
    }
}

fn bytes(acts: &[Act], basis: &mut Vec<String>) -> Option<u64> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for act in acts.iter().filter(|act| act.bytes > 0) {
        let sum = sums.entry(act.channel).or_default();
        *sum = sum.saturating_add(act.bytes);
    }
    let (channel, bytes) = sums.into_iter().max_by_key(|(_, bytes)| *bytes)?;
    basis.push(format!(
        "at least {bytes} bytes, summed over the acts seen by {channel}"
    ));
    Some(bytes)
}
