//! Findings as OCSF 1.8 Detection Findings (class 2004), one JSON document a line.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use model::{Actor, ActorKind, Finding, Incident, Level};
use serde_json::{Value, json};

use crate::{Sink, SinkError};

/// Writes to a file or a stream.
pub struct Ocsf {
    out: Box<dyn Write + Send>,
}

impl Ocsf {
    /// Writes to a new file.
    ///
    /// # Errors
    ///
    /// [`SinkError::Write`] when it can't be made.
    pub fn create(path: &Path) -> Result<Self, SinkError> {
        let file = File::create(path).map_err(|source| SinkError::Write { source })?;
        Ok(Self {
            out: Box::new(BufWriter::new(file)),
        })
    }

    /// Writes to a stream.
    #[must_use]
    pub fn to(out: Box<dyn Write + Send>) -> Self {
        Self { out }
    }
}

impl Sink for Ocsf {
    fn name(&self) -> &'static str {
        "ocsf"
    }

    fn finding(&mut self, finding: &Finding, installation: &str) -> Result<(), SinkError> {
        writeln!(self.out, "{}", document(finding, installation))
            .map_err(|source| SinkError::Write { source })?;
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
fn document(finding: &Finding, installation: &str) -> Value {
    let (severity_id, severity) = match finding.level {
        Level::Informational => (1, "Informational"),
        Level::Low => (2, "Low"),
        Level::Medium => (3, "Medium"),
        Level::High => (4, "High"),
        Level::Critical => (5, "Critical"),
    };
    let resources: Vec<Value> = finding
        .assets
        .iter()
        .map(|asset| json!({"name": asset.name, "type": asset.kind}))
        .collect();
    let observables: Vec<Value> = finding.actors.iter().map(observable).collect();
    let attacks: Vec<Value> = finding
        .attack
        .iter()
        .map(|uid| json!({"technique": {"uid": uid}}))
        .collect();
    json!({
        "class_uid": 2004, "class_name": "Detection Finding", "category_uid": 2, "category_name": "Findings",
        "activity_id": 1, "activity_name": "Create", "type_uid": 200_401,
        "severity_id": severity_id, "severity": severity, "status_id": 1,
        "time": finding.last.0 / 1000, "start_time": finding.first.0 / 1000, "end_time": finding.last.0 / 1000,
        "count": finding.event_count, "message": finding.reason,
        "metadata": {"version": "1.8.0", "product": {"name": "magewarden", "vendor_name": "magewarden"}, "tenant_uid": installation},
        "finding_info": {"uid": finding.id, "title": finding.title, "desc": finding.reason, "analytic": {"uid": finding.rule, "type_id": 1, "type": "Rule"}, "attacks": attacks},
        "resources": resources, "observables": observables,
        "unmapped": {"lane": finding.lane, "scope": finding.scope, "entries": finding.events.iter().map(|event| event.sequence.0).collect::<Vec<_>>()},
    })
}

fn observable(actor: &Actor) -> Value {
    let (type_id, name) = match actor.kind {
        ActorKind::Address => (2, "src_endpoint.ip"),
        ActorKind::DatabaseAccount | ActorKind::Administrator => (4, "actor.user.name"),
        _ => (99, "actor.session.uid"),
    };
    json!({"name": name, "type_id": type_id, "value": actor.value})
}

#[cfg(test)]
mod tests {
    use super::document;
    use model::{Actor, ActorKind, Finding, Lane, Level, Scope, Timestamp};

    #[test]
    fn writes_a_detection_finding() {
        let finding = Finding {
            id: "ab".to_owned(),
            rule: "r".to_owned(),
            title: "t".to_owned(),
            level: Level::High,
            lane: Lane::Live,
            first: Timestamp(1_000_000),
            last: Timestamp(2_000_000),
            actors: vec![Actor {
                kind: ActorKind::Address,
                value: "192.0.2.1".to_owned(),
            }],
            scope: Scope::Unknown,
            assets: Vec::new(),
            rows: None,
            bytes: None,
            event_count: 3,
            events: Vec::new(),
            reason: "why".to_owned(),
            attack: vec!["T1190".to_owned()],
            requirements: Vec::new(),
            false_positives: Vec::new(),
        };
        let value = document(&finding, "shop");
        assert_eq!(
            (
                value["class_uid"].as_i64(),
                value["type_uid"].as_i64(),
                value["severity_id"].as_i64()
            ),
            (Some(2004), Some(200_401), Some(4))
        );
        assert_eq!(
            (value["time"].as_i64(), value["count"].as_i64()),
            (Some(2000), Some(3))
        );
        assert_eq!(value["observables"][0]["value"], "192.0.2.1");
    }
}
