//! A start after a stop: known findings and incidents from the state, detection warm again, and
//! what was sealed but not judged, judged.
//!
//! Detection windows are in memory. The entries received within [`WARM_SECONDS`] before the last
//! one are read through the rules again without effect; then those the state doesn't reflect yet,
//! with effect. A finding known by its id with as many events is not told twice.

use std::collections::{BTreeMap, BTreeSet};

use custody::{EntryKind, Hash, Header, hash_leaf};
use detect::reads::Reads;
use incident::EntityProfile;
use model::{
    Asset, AssetKind, DataClass, EventRef, Finding, Handling, Incident, InstallationId, Lane,
    Level, Scope, Sequence, Timestamp,
};

use stores::Outcome;

use crate::archive::Archive;
use crate::desk::{Brief, Words};
use crate::external::Pending;
use crate::inventory::is_listed;
use crate::judge::{Judge, SealedRecord};
use crate::ledger::{Ledger, LedgerError, Query};
use crate::projection::{Projection, ProjectionError};
use crate::reads;
use crate::rest::REST_SECONDS;
use crate::sealed::{BrokenLedger, Decided};

/// How far back detection is made warm: the longest correlation of the rules is two hours.
pub const WARM_SECONDS: i64 = 3 * 3600;
/// Most entries read to make it warm; a busier shop's oldest ones go first.
const WARM_ENTRIES: u64 = 1_000_000;

/// Bytes of rows that are kept before they are written, while a state is made again from the ledger: a finding has a kilobyte, an
/// incident fifty.
const UNWRITTEN_BYTES: usize = 2 << 20;

/// Why the pipeline can't go on where it stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestartError {
    /// An entry can't be read.
    #[error("an entry that a start needs can't be read")]
    Ledger {
        /// What the ledger said.
        source: LedgerError,
    },
    /// The state can't be used.
    #[error("the state can't be used")]
    Projection {
        /// What it said.
        source: ProjectionError,
    },
}

impl From<LedgerError> for RestartError {
    fn from(source: LedgerError) -> Self {
        Self::Ledger { source }
    }
}

impl From<ProjectionError> for RestartError {
    fn from(source: ProjectionError) -> Self {
        Self::Projection { source }
    }
}

/// What a start found.
#[derive(Debug, Default)]
pub struct Resumed {
    /// Findings of entries that were sealed and not judged, to be sealed now.
    pub findings: Vec<Finding>,
    /// Incidents whose sealed state is not what their findings make, to be sealed again.
    pub incidents: Vec<String>,
    /// Incidents that rest.
    pub resting: Vec<Brief>,
    /// What these have in common.
    pub words: Words,
}

/// Brings judge and projection to where the ledger ends. What ended and was sealed long ago rests: `archive` knows where it is. Which clocks
/// of these run goes by who the merchant is.
///
/// # Errors
///
/// [`RestartError`] when ledger or state can't be used.
pub fn resume(
    ledger: &mut Ledger,
    judge: &mut Judge,
    projection: &mut Projection,
    archive: &Archive,
    merchant: &EntityProfile,
) -> Result<Resumed, RestartError> {
    let reflects = projection.reflects();
    let warm = warm_from(ledger)?;
    let mut handlings = projection.handlings()?;
    let (mut redactions, mut pending) = (Vec::new(), Pending::default());
    relist(ledger, projection)?;
    let all = reads::first(ledger, |least, then| received_from(ledger, least, then))?;
    let known = projection.reads()?;
    let mut uncounted = if known.is_some() { reflects } else { all };
    judge.reads = known.unwrap_or_default();
    // What was decided comes first: a finding that is known is not made again.
    for number in reflects..ledger.len() {
        let header = ledger.header(Sequence(number))?;
        projection.observed(&header);
        match header.kind {
            EntryKind::Observed if is_listed(&header.source) => list(ledger, &header, projection)?,
            EntryKind::Decided => {
                decided(ledger, &header, projection, &mut handlings, &mut pending)?;
            }
            EntryKind::Redacted => redactions.push(header.sequence),
            _ => {}
        }
        // Entries from there on may not be judged yet, so that the rows mustn't say that they reflect them.
        if projection.unwritten_bytes() >= UNWRITTEN_BYTES && number < warm && pending.is_empty() {
            // Nor that they reflect reads that aren't counted yet.
            projection.forget_reads();
            judge.reads = Reads::default();
            uncounted = all;
            projection.save(number + 1)?;
        }
    }
    for sequence in redactions {
        ledger.finish_redaction(sequence)?;
    }
    judge.remember_by(archive.clone());
    let known = restore(ledger, judge, projection, (archive, merchant), handlings)?;
    let context = judge.context().clone();
    reads::count(ledger, &mut judge.reads, &context, uncounted..warm)?;
    let mut out = Vec::new();
    for number in warm..ledger.len() {
        judge.counts = number >= uncounted;
        if number == reflects {
            judge.rehearse(false);
        } else if number < reflects {
            judge.rehearse(true);
        }
        replay(ledger, judge, Sequence(number), &mut out)?;
    }
    judge.rehearse(false);
    judge.counts = true;
    for sequence in pending.entries() {
        let header = ledger.header(sequence)?;
        let payload = ledger.read(sequence)?.payload.unwrap_or_default();
        if let Ok(Decided::External { finding, .. }) = serde_json::from_slice(&payload) {
            judge.hear(*finding, sequence, header.lane, header.received, &mut out);
        }
    }
    // A finding whose entries are old is known; only ones made now are told.
    out.retain(|finding| judge.finding(&finding.id) == Some(finding));
    let mut incidents: Vec<String> = judge.take_changed().into_iter().collect();
    incidents.retain(|id| {
        let is = judge.incident(id).and_then(|incident| hash(incident).ok());
        is != known.sealed.get(id).copied()
    });
    Ok(Resumed {
        findings: out,
        incidents,
        resting: known.resting,
        words: known.words,
    })
}

/// What is known of incidents at a start.
#[derive(Default)]
struct Known {
    /// What incidents that don't rest hash to, as they were sealed: the judge has them, and they are large.
    sealed: BTreeMap<String, Hash>,
    resting: Vec<Brief>,
    words: Words,
}

/// Gives the judge what is known: whole what may still be touched, of the rest where it is.
fn restore(
    ledger: &Ledger,
    judge: &mut Judge,
    projection: &mut Projection,
    (archive, merchant): (&Archive, &EntityProfile),
    handlings: BTreeMap<String, Handling>,
) -> Result<Known, RestartError> {
    let now = ledger.last_received()?.unwrap_or_default();
    let before = now.plus_seconds(-REST_SECONDS);
    let recent = received_from(ledger, 0, before)?;
    let is_old = |last: Timestamp, sequence: Sequence| last < before && sequence.0 < recent;
    let mut known = Known::default();
    let mut awake = BTreeMap::new();
    let mut wanted = BTreeSet::new();
    projection.each_incident(|incident, sequence| {
        archive.note_incident(&incident, sequence);
        if is_old(incident.last, sequence) {
            let brief = Brief::of(&incident, merchant, &mut known.words);
            known.resting.push(brief);
            judge.lay_to_rest(&incident);
        } else {
            let joined = incident.findings.iter();
            wanted.extend(joined.map(|joined| joined.finding.clone()));
            awake.insert(incident.id.clone(), incident);
        }
    })?;
    judge.restore_handlings(handlings, &awake);
    let mut findings = Vec::new();
    projection.each_finding(|finding, sequence, detected| {
        archive.note_finding(&finding.id, sequence, detected);
        if is_old(finding.last, sequence) && !wanted.contains(&finding.id) {
            judge.learn(&finding);
        } else {
            findings.push((finding, detected));
        }
    })?;
    // Of a finding that grew when its incident said nothing new, the incident rests by its own times.
    for (finding, _) in &findings {
        if !wanted.contains(&finding.id)
            && let Some(id) = archive.incident_of(&finding.id)
        {
            judge.wake(&id);
        }
    }
    for (id, incident) in &awake {
        known.sealed.insert(id.clone(), hash(incident)?);
    }
    judge.restore(awake, findings);
    known.resting.retain(|brief| judge.rests(&brief.id));
    Ok(known)
}

/// What an incident hashes to: the same for the same.
fn hash(incident: &Incident) -> Result<Hash, ProjectionError> {
    Ok(hash_leaf(&serde_json::to_vec(incident)?))
}

/// Makes lists that the state should have and doesn't, from the entries it reflects: once, after an update.
fn relist(ledger: &Ledger, projection: &mut Projection) -> Result<(), RestartError> {
    for source in projection.unlisted() {
        let query = Query {
            source: Some(source),
            ..Query::default()
        };
        for sequence in ledger.find(&query, usize::MAX)? {
            if sequence.0 < projection.reflects() {
                list(ledger, &ledger.header(sequence)?, projection)?;
            }
        }
    }
    Ok(())
}

/// Takes a record that makes a list.
fn list(ledger: &Ledger, header: &Header, projection: &mut Projection) -> Result<(), RestartError> {
    if !header.quarantined
        && let Some(payload) = ledger.read(header.sequence)?.payload
    {
        projection.told(&header.source, &header.format, header.sequence, &payload);
    }
    Ok(())
}

/// Takes a decision that the state doesn't reflect yet.
fn decided(
    ledger: &Ledger,
    header: &Header,
    projection: &mut Projection,
    handlings: &mut BTreeMap<String, Handling>,
    pending: &mut Pending,
) -> Result<(), RestartError> {
    let payload = ledger.read(header.sequence)?.payload.unwrap_or_default();
    // A decision of a later version tells this one nothing.
    let Ok(told) = serde_json::from_slice::<Decided>(&payload) else {
        return Ok(());
    };
    if let Some(id) = told.outbox_id() {
        projection.settled(id, Outcome::Sealed(header.sequence.0));
    }
    match told {
        Decided::External { finding, .. } => pending.told(&finding, header.sequence),
        Decided::Finding { finding, .. } => {
            pending.sealed(&finding);
            projection.finding(&finding, header.sequence, header.received)?;
        }
        Decided::Incident { incident, .. } => {
            projection.incident(&incident, header.sequence)?;
        }
        Decided::Decision { decision, .. } => {
            let handling = handlings.entry(decision.incident.clone()).or_default();
            handling.take(header.sequence, *decision.clone());
            projection.handled(&decision.incident, handling)?;
        }
        Decided::LedgerBroken { broken, .. } => {
            for (source, generation, offset_bytes) in &broken.positions {
                projection.moved_to(source, *generation, *offset_bytes);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Takes once more what was decided since `from`: rows that were written are gone, though the ledger went on. Where sources stand
/// and what they list is known.
///
/// # Errors
///
/// [`RestartError`] when the ledger can't be read.
pub fn decided_since(
    ledger: &Ledger,
    projection: &mut Projection,
    handlings: &BTreeMap<String, Handling>,
    from: u64,
) -> Result<(), RestartError> {
    projection.went_back_to(from);
    for (incident, handling) in handlings {
        projection.handled(incident, handling)?;
    }
    for number in from..ledger.len() {
        let header = ledger.header(Sequence(number))?;
        if header.kind != EntryKind::Decided {
            continue;
        }
        let payload = ledger.read(header.sequence)?.payload.unwrap_or_default();
        match serde_json::from_slice::<Decided>(&payload) {
            Ok(Decided::Finding { finding, .. }) => {
                projection.finding(&finding, header.sequence, header.received)?;
            }
            Ok(Decided::Incident { incident, .. }) => {
                projection.incident(&incident, header.sequence)?;
            }
            // The others make no row of their own; a decision of a later version tells this one nothing.
            Ok(told) => {
                if let Some(id) = told.outbox_id() {
                    projection.settled(id, Outcome::Sealed(number));
                }
            }
            Err(_) => {}
        }
    }
    Ok(())
}

/// The finding that a ledger was set aside; it rests on the entry that tells so.
#[must_use]
pub fn broken_ledger(
    installation: &InstallationId,
    lane: Lane,
    broken: &BrokenLedger,
    told_in: u64,
    now: Timestamp,
) -> Finding {
    let id = hash_leaf(format!("{}\n{}\n{now}", installation.0, broken.aside).as_bytes());
    Finding {
        id: id
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        rule: "magewarden-ledger-broken".to_owned(),
        title: "The evidence ledger was changed and has been set aside".to_owned(),
        level: Level::Critical,
        lane,
        first: now,
        last: now,
        actors: Vec::new(),
        scope: Scope::Unknown,
        assets: vec![Asset {
            kind: AssetKind::Log,
            name: broken.aside.clone(),
            class: DataClass::Public,
        }],
        rows: None,
        bytes: None,
        event_count: 1,
        events: vec![EventRef {
            sequence: Sequence(told_in),
            index: 0,
        }],
        reason: format!(
            "{}; it lies read-only at {}, a new one goes on. Find what differs: magewarden verify {} \
             with a checkpoint held elsewhere",
            broken.why, broken.aside, broken.aside
        ),
        attack: vec!["T1070".to_owned(), "T1565.001".to_owned()],
        requirements: vec![
            "10.3.2".to_owned(),
            "10.3.4".to_owned(),
            "12.10.5".to_owned(),
        ],
        false_positives: vec![
            "A disk that lost or changed bytes, or a restored older copy".to_owned(),
        ],
        external: None,
    }
}

/// The first entry that detection needs to be warm.
fn warm_from(ledger: &Ledger) -> Result<u64, LedgerError> {
    let Some(last) = ledger.last_received()? else {
        return Ok(0);
    };
    let least = ledger.len().saturating_sub(WARM_ENTRIES + 1);
    received_from(ledger, least, last.plus_seconds(-WARM_SECONDS))
}

/// The first entry, from `least` on, that was received then or later; the last one when none was.
fn received_from(ledger: &Ledger, least: u64, then: Timestamp) -> Result<u64, LedgerError> {
    let (mut low, mut high) = (least, ledger.len().saturating_sub(1));
    // Received times grow with the sequence, but for a clock set back: then more is read than needed.
    while low < high {
        let middle = low + (high - low) / 2;
        if ledger.header(Sequence(middle))?.received < then {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn replay(
    ledger: &Ledger,
    judge: &mut Judge,
    sequence: Sequence,
    out: &mut Vec<Finding>,
) -> Result<(), LedgerError> {
    let header = ledger.header(sequence)?;
    if header.kind != EntryKind::Observed || header.quarantined {
        return Ok(());
    }
    let Some(format) = parse::named(&header.format) else {
        return Ok(());
    };
    let Some(payload) = ledger.read(sequence)?.payload else {
        return Ok(());
    };
    let record = SealedRecord {
        sequence,
        source: &header.source,
        format: format.name(),
        lane: header.lane,
        received: header.received,
        marks: &header.marks,
        payload: &payload,
    };
    judge.push(&record, out);
    Ok(())
}
