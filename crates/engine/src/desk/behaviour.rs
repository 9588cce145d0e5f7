//! What rules did of late, as far as one person sees their findings.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{Finding, Level, Timestamp};

use super::Sight;

/// Seconds of a day.
const DAY: i64 = 24 * 3600;
/// Findings of one rule that are told.
const FINDINGS_MAX: usize = 25;

/// What one rule did.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// The title its findings have.
    pub title: String,
    /// The worst level of its findings.
    pub level: Level,
    /// Findings that went on within the last day.
    pub day: usize,
    /// Within the last seven days.
    pub week: usize,
    /// Of those held in memory: of the last days, and of incidents that go on.
    pub total: usize,
    /// When it fired last.
    pub last: Option<Timestamp>,
    /// Incidents that its findings are in.
    pub incidents: BTreeSet<String>,
    /// Its findings, the newest first, each with its incident.
    pub findings: Vec<(Arc<Finding>, Option<String>)>,
}

impl Sight {
    /// What each rule that fired did, by its id. `now` where the console has a clock, else the zero.
    #[must_use]
    pub fn behaviour(&self, now: Timestamp) -> BTreeMap<String, Behaviour> {
        let mut findings = self.findings();
        findings.sort_by(|(a, _), (b, _)| (b.last, &b.id).cmp(&(a.last, &a.id)));
        let last = findings.first().map(|(finding, _)| finding.last);
        let now = self.clock(now).or(last).unwrap_or_default();
        let mut all: BTreeMap<String, Behaviour> = BTreeMap::new();
        for (finding, incident) in findings {
            let rule = all.entry(finding.rule.clone()).or_default();
            let age = now.seconds_since(finding.last);
            rule.day += usize::from(age < DAY);
            rule.week += usize::from(age < 7 * DAY);
            rule.total += 1;
            if rule.last.is_none() {
                rule.last = Some(finding.last);
                rule.title.clone_from(&finding.title);
            }
            rule.level = rule.level.max(finding.level);
            let incident = incident.map(|incident| incident.id.clone());
            rule.incidents.extend(incident.clone());
            if rule.findings.len() < FINDINGS_MAX {
                rule.findings.push((finding, incident));
            }
        }
        all
    }
}
