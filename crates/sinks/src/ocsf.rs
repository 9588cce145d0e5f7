//! Findings as OCSF 1.8 Detection Findings (class 2004), one JSON document a line.
//!
//! Incidents are not written: they are what findings of the same `finding_info` add up to here, and a
//! SIEM groups by its own rules. No record and no card number is in a finding, so none is written.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::Path;

use model::{Actor, ActorKind, Finding, Incident, Lane, Level};
use serde_json::{Map, Value, json};

use crate::{Sink, SinkError};

/// Findings remembered as told before; of more, one that grows is written as new again.
const REMEMBERED_MAX: usize = 65_536;

/// Writes to a file or a stream.
pub struct Ocsf {
    out: Box<dyn Write + Send>,
    told: BTreeSet<String>,
}

impl Ocsf {
    /// Writes to a new file; one that is there is replaced.
    ///
    /// # Errors
    ///
    /// [`SinkError::Write`] when it can't be made.
    pub fn create(path: &Path) -> Result<Self, SinkError> {
        let file = File::create(path).map_err(|source| SinkError::Write { source })?;
        Ok(Self::to(Box::new(BufWriter::new(file))))
    }

    /// Writes behind what is in the file: for what runs for long and starts again.
    ///
    /// # Errors
    ///
    /// [`SinkError::Write`] when it can't be opened.
    pub fn append(path: &Path) -> Result<Self, SinkError> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self::to(Box::new(BufWriter::new(
            file.map_err(|source| SinkError::Write { source })?,
        ))))
    }

    /// Writes to a stream.
    #[must_use]
    pub fn to(out: Box<dyn Write + Send>) -> Self {
        Self {
            out,
            told: BTreeSet::new(),
        }
    }
}

impl Sink for Ocsf {
    fn name(&self) -> &'static str {
        "ocsf"
    }

    fn finding(&mut self, finding: &Finding, installation: &str) -> Result<(), SinkError> {
        let line = format!(
            "{}\n",
            document(finding, installation, self.told.contains(&finding.id))
        );
        self.out
            .write_all(line.as_bytes())
            .map_err(|source| SinkError::Write { source })?;
        if self.told.len() >= REMEMBERED_MAX {
            self.told.pop_first();
        }
        self.told.insert(finding.id.clone());
        self.flush()
    }

    fn incident(&mut self, _incident: &Incident, _installation: &str) -> Result<(), SinkError> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SinkError> {
        self.out
            .flush()
            .map_err(|source| SinkError::Write { source })
    }
}

/// The document of one finding. Times are milliseconds since the epoch, as OCSF has them.
fn document(finding: &Finding, installation: &str, told: bool) -> Value {
    let (severity_id, severity) = match finding.level {
        Level::Informational => (1, "Informational"),
        Level::Low => (2, "Low"),
        Level::Medium => (3, "Medium"),
        Level::High => (4, "High"),
        Level::Critical => (5, "Critical"),
    };
    let (activity_id, activity) = if told { (2, "Update") } else { (1, "Create") };
    let resources: Vec<Value> = finding
        .assets
        .iter()
        .map(|asset| json!({"name": asset.name, "type": asset.kind, "labels": [asset.class]}))
        .collect();
    let observables: Vec<Value> = finding.actors.iter().map(observable).collect();
    let attacks: Vec<Value> = finding.attack.iter().map(|uid| attack(uid)).collect();
    let lane: &[&str] = if finding.lane == Lane::Exercise {
        &["exercise"]
    } else {
        &[]
    };
    let mut document = json!({
        "class_uid": 2004, "class_name": "Detection Finding", "category_uid": 2, "category_name": "Findings",
        "activity_id": activity_id, "activity_name": activity,
        "type_uid": 200_400 + activity_id, "type_name": format!("Detection Finding: {activity}"),
        "severity_id": severity_id, "severity": severity, "status_id": 1, "status": "New",
        "is_alert": finding.level >= Level::Medium && finding.lane == Lane::Live,
        "time": millis(finding.last.0), "start_time": millis(finding.first.0), "end_time": millis(finding.last.0),
        "count": finding.event_count, "message": finding.reason,
        "metadata": {
            "version": "1.8.0", "tenant_uid": installation, "labels": lane,
            "product": {"name": "magewarden", "vendor_name": "magewarden", "version": env!("CARGO_PKG_VERSION")},
        },
        "finding_info": {
            "uid": finding.id, "title": finding.title, "desc": finding.reason,
            "first_seen_time": millis(finding.first.0), "last_seen_time": millis(finding.last.0),
            "analytic": {"uid": finding.rule, "name": finding.title, "type_id": 1, "type": "Rule"},
            "attacks": attacks,
        },
        "resources": resources, "observables": observables, "evidences": evidences(finding),
        "unmapped": {
            "lane": finding.lane, "scope": finding.scope, "rows": finding.rows, "bytes": finding.bytes,
            "requirements": finding.requirements, "false_positives": finding.false_positives,
            "entries": finding.events.iter().map(|event| event.sequence.0).collect::<Vec<_>>(),
        },
    });
    if let Some(external) = &finding.external {
        document["unmapped"]["external"] = json!(external);
    }
    document
}

fn millis(micros: i64) -> i64 {
    micros.div_euclid(1000)
}

/// A technique; `T1505.003` is a technique's part.
fn attack(uid: &str) -> Value {
    match uid.split_once('.') {
        Some((technique, _)) => {
            json!({"technique": {"uid": technique}, "sub_technique": {"uid": uid}})
        }
        None => json!({"technique": {"uid": uid}}),
    }
}

fn observable(actor: &Actor) -> Value {
    let (type_id, kind, name) = match actor.kind {
        ActorKind::Address => (2, "IP Address", "evidences[].src_endpoint.ip"),
        ActorKind::DatabaseAccount | ActorKind::Administrator => {
            (4, "User Name", "evidences[].actor.user.name")
        }
        _ => (99, "Other", "evidences[].actor.session.uid"),
    };
    json!({"name": name, "type_id": type_id, "type": kind, "value": actor.value})
}

/// Who, where the observables point to.
fn evidences(finding: &Finding) -> Vec<Value> {
    let one = |actor: &Actor| {
        let mut evidence = Map::new();
        let (name, value) = match actor.kind {
            ActorKind::Address => ("src_endpoint", json!({"ip": actor.value})),
            ActorKind::DatabaseAccount | ActorKind::Administrator => {
                ("actor", json!({"user": {"name": actor.value}}))
            }
            _ => ("actor", json!({"session": {"uid": actor.value}})),
        };
        evidence.insert(name.to_owned(), value);
        Value::Object(evidence)
    };
    finding.actors.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::Ocsf;
    use crate::{Sink as _, contract};
    use model::Lane;
    use serde_json::{Value, json};
    use std::path::Path;

    fn lines(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).expect("written");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("one document a line"))
            .collect()
    }

    #[test]
    fn writes_a_detection_finding() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("findings.ndjson");
        let mut sink = Ocsf::create(&path).expect("made");
        sink.finding(&contract::finding(), "shop").expect("written");
        let reason = contract::finding().reason;
        let expected = json!({
            "class_uid": 2004, "class_name": "Detection Finding", "category_uid": 2, "category_name": "Findings",
            "activity_id": 1, "activity_name": "Create", "type_uid": 200_401, "type_name": "Detection Finding: Create",
            "severity_id": 4, "severity": "High", "status_id": 1, "status": "New", "is_alert": true,
            "time": 1_785_924_990_000_i64, "start_time": 1_785_924_930_000_i64, "end_time": 1_785_924_990_000_i64,
            "count": 3, "message": reason,
            "metadata": {
                "version": "1.8.0", "tenant_uid": "shop", "labels": [],
                "product": {"name": "magewarden", "vendor_name": "magewarden", "version": env!("CARGO_PKG_VERSION")},
            },
            "finding_info": {
                "uid": "00112233445566778899aabbccddeeff", "title": "Payment table read by an unusual account", "desc": reason,
                "first_seen_time": 1_785_924_930_000_i64, "last_seen_time": 1_785_924_990_000_i64,
                "analytic": {"uid": "payment-table-read", "name": "Payment table read by an unusual account", "type_id": 1, "type": "Rule"},
                "attacks": [{"technique": {"uid": "T1190"}}, {"technique": {"uid": "T1505"}, "sub_technique": {"uid": "T1505.003"}}],
            },
            "resources": [{"name": "sales_order_payment", "type": "table", "labels": ["pan_truncated"]}],
            "observables": [
                {"name": "evidences[].src_endpoint.ip", "type_id": 2, "type": "IP Address", "value": "192.0.2.1"},
                {"name": "evidences[].actor.user.name", "type_id": 4, "type": "User Name", "value": "report"},
                {"name": "evidences[].actor.session.uid", "type_id": 99, "type": "Other", "value": "5f2b"},
            ],
            "evidences": [{"src_endpoint": {"ip": "192.0.2.1"}}, {"actor": {"user": {"name": "report"}}}, {"actor": {"session": {"uid": "5f2b"}}}],
            "unmapped": {
                "lane": "live", "scope": {"kind": "installation"}, "rows": {"lower": 10, "upper": null, "grade": "bounded"}, "bytes": 2048,
                "requirements": ["10.4.1"], "false_positives": ["a nightly report"], "entries": [7],
            },
        });
        assert_eq!(lines(&path), [expected]);
    }

    #[test]
    fn fulfils_the_contract_and_updates_what_it_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("findings.ndjson");
        contract::check(&mut Ocsf::create(&path).expect("made"));
        contract::check(&mut Ocsf::append(&path).expect("opened"));
        let types: Vec<Option<i64>> = lines(&path)
            .iter()
            .map(|line| line["type_uid"].as_i64())
            .collect();
        assert_eq!(
            types,
            [Some(200_401), Some(200_402), Some(200_401), Some(200_402)]
        );
    }

    #[test]
    fn an_exercise_is_no_alert() {
        let finding = model::Finding {
            lane: Lane::Exercise,
            ..contract::finding()
        };
        let value = super::document(&finding, "shop", false);
        assert_eq!(
            (&value["is_alert"], &value["metadata"]["labels"]),
            (&json!(false), &json!(["exercise"]))
        );
    }
}
