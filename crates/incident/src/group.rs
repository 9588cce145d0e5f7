//! Which findings belong together, and why.
//!
//! Conservative on purpose: an incident that swallows two actors hides one of them. The shop's own
//! database account serves every request, so it never joins alone; a connection, an address, or two
//! logs telling of the same injection do.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    Actor, ActorKind, AssetKind, DataClass, Finding, Incident, IncidentState, Joined, Level,
    Timestamp,
};

use crate::exposure::{NOTHING, compute};
use crate::obligation::ObligationRules;

/// How findings are grouped. Seconds are between the end of what is there and the start of what comes.
#[derive(Clone, Debug)]
pub struct GroupingSettings {
    /// One address.
    pub address_gap_seconds: i64,
    /// One database connection.
    pub connection_gap_seconds: i64,
    /// One account, one rule, one table.
    pub repeat_gap_seconds: i64,
    /// One account, one rule, different tables: statements typed or run in a row.
    pub row_gap_seconds: i64,
    /// Two logs telling of one injection.
    pub twin_gap_seconds: i64,
    /// One technique without any actor.
    pub technique_gap_seconds: i64,
}

impl Default for GroupingSettings {
    fn default() -> Self {
        Self {
            address_gap_seconds: 300,
            connection_gap_seconds: 300,
            repeat_gap_seconds: 10,
            row_gap_seconds: 4,
            twin_gap_seconds: 6,
            technique_gap_seconds: 120,
        }
    }
}

/// What a finding changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It opened an incident.
    Opened(String),
    /// It joined one, or one of its findings grew.
    Grew(String),
}

/// The fold from findings to incidents.
pub struct Grouper {
    settings: GroupingSettings,
    obligations: ObligationRules,
    incidents: BTreeMap<String, Incident>,
    /// Incidents by when they opened.
    order: Vec<String>,
    findings: BTreeMap<String, Finding>,
    home: BTreeMap<String, String>,
}

impl Grouper {
    /// Makes a grouper without incidents.
    #[must_use]
    pub fn new(settings: GroupingSettings, obligations: ObligationRules) -> Self {
        Self {
            settings,
            obligations,
            incidents: BTreeMap::new(),
            order: Vec::new(),
            findings: BTreeMap::new(),
            home: BTreeMap::new(),
        }
    }

    /// Takes a finding, or its latest state.
    pub fn push(&mut self, finding: &Finding, detected: Timestamp) -> Vec<Change> {
        self.findings.insert(finding.id.clone(), finding.clone());
        if let Some(home) = self.home.get(&finding.id).cloned() {
            self.rebuild(&home);
            return vec![Change::Grew(home)];
        }
        let joins = self
            .order
            .iter()
            .rev()
            .find_map(|id| Some((id.clone(), self.why(self.incidents.get(id)?, finding)?)));
        if let Some((id, because)) = joins {
            if let Some(incident) = self.incidents.get_mut(&id) {
                incident.findings.push(Joined {
                    finding: finding.id.clone(),
                    because,
                });
            }
            self.home.insert(finding.id.clone(), id.clone());
            self.rebuild(&id);
            return vec![Change::Grew(id)];
        }
        if finding.level < Level::Medium {
            return Vec::new();
        }
        let id = finding.id.clone();
        self.incidents.insert(id.clone(), opened(finding, detected));
        self.order.push(id.clone());
        self.home.insert(id.clone(), id.clone());
        self.rebuild(&id);
        vec![Change::Opened(id)]
    }

    /// Every incident: the severest first, then the newest.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        let mut all: Vec<&Incident> = self.incidents.values().collect();
        all.sort_by_key(|incident| {
            (
                std::cmp::Reverse((incident.severity, incident.last)),
                incident.id.clone(),
            )
        });
        all.into_iter()
    }

    /// One incident.
    #[must_use]
    pub fn incident(&self, id: &str) -> Option<&Incident> {
        self.incidents.get(id)
    }

    /// Why a finding belongs to an incident; `None` when it doesn't.
    fn why(&self, incident: &Incident, finding: &Finding) -> Option<String> {
        if incident.lane != finding.lane {
            return None;
        }
        let gap = finding
            .first
            .seconds_since(incident.last)
            .max(incident.first.seconds_since(finding.last))
            .max(0);
        let shared = |kind: ActorKind| {
            finding
                .actors
                .iter()
                .find(|actor| actor.kind == kind && incident.actors.contains(actor))
        };
        let addresses = finding
            .actors
            .iter()
            .filter(|actor| actor.kind == ActorKind::Address)
            .count();
        if gap <= self.settings.address_gap_seconds
            && addresses <= 2
            && let Some(actor) = shared(ActorKind::Address)
        {
            return Some(format!("same address {}, {gap} s apart", actor.value));
        }
        if gap <= self.settings.connection_gap_seconds
            && let Some(actor) = shared(ActorKind::DatabaseConnection)
        {
            return Some(format!(
                "same database connection {}, {gap} s apart",
                actor.value
            ));
        }
        let members: Vec<&Finding> = incident
            .findings
            .iter()
            .filter_map(|joined| self.findings.get(&joined.finding))
            .collect();
        let same_rule = members.iter().any(|member| member.rule == finding.rule);
        let same_asset = finding
            .assets
            .iter()
            .any(|asset| incident.assets.contains(asset));
        if gap <= self.settings.repeat_gap_seconds
            && same_rule
            && same_asset
            && shared(ActorKind::DatabaseAccount).is_some()
        {
            return Some(format!("same rule, account and table, {gap} s apart"));
        }
        if gap <= self.settings.row_gap_seconds
            && same_rule
            && shared(ActorKind::DatabaseAccount).is_some()
        {
            return Some(format!("same rule and account in a row, {gap} s apart"));
        }
        let technique = finding
            .attack
            .iter()
            .find(|id| members.iter().any(|member| member.attack.contains(id)));
        if let Some(technique) = technique {
            let has = |actors: &[Actor], kind| actors.iter().any(|actor| actor.kind == kind);
            let two_logs = has(&finding.actors, ActorKind::Address)
                != has(&incident.actors, ActorKind::Address)
                && !finding.actors.is_empty();
            if technique == "T1190" && two_logs && gap <= self.settings.twin_gap_seconds {
                return Some(format!(
                    "the same injection told by another log ({technique}), {gap} s apart"
                ));
            }
            if finding.actors.is_empty() && gap <= self.settings.technique_gap_seconds {
                return Some(format!(
                    "the same technique {technique} told by a log that names no actor, {gap} s apart"
                ));
            }
            if members.iter().all(|member| member.actors.is_empty())
                && gap <= self.settings.technique_gap_seconds
            {
                return Some(format!(
                    "the actor of technique {technique}, which another log told without one, {gap} s apart"
                ));
            }
        }
        if same_rule && addresses > 2 && gap <= self.settings.address_gap_seconds {
            return Some(format!("same rule over many addresses, {gap} s apart"));
        }
        None
    }

    /// Computes an incident anew from its findings.
    fn rebuild(&mut self, id: &str) {
        let Some(incident) = self.incidents.get(id) else {
            return;
        };
        let members: Vec<&Finding> = incident
            .findings
            .iter()
            .filter_map(|joined| self.findings.get(&joined.finding))
            .collect();
        // A log that names no actor may tell of others too: it doesn't widen what one actor did.
        let named = |member: &&&Finding| {
            !member.actors.is_empty() || members.iter().all(|other| other.actors.is_empty())
        };
        let (Some(first), Some(last)) = (
            members
                .iter()
                .filter(named)
                .map(|member| member.first)
                .min(),
            members.iter().filter(named).map(|member| member.last).max(),
        ) else {
            return;
        };
        let mut next = incident.clone();
        (next.first, next.last) = (first, last);
        let actors: BTreeSet<&Actor> = members.iter().flat_map(|member| &member.actors).collect();
        next.actors = actors.into_iter().take(64).cloned().collect();
        let assets: BTreeSet<_> = members.iter().flat_map(|member| &member.assets).collect();
        next.assets = assets.into_iter().take(64).cloned().collect();
        next.scopes = members
            .iter()
            .map(|member| member.scope.clone())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        next.exposure = compute(&members, first, last);
        (next.severity, next.severity_because) = severity(&members, &next);
        next.title = title(&members, &next);
        let classes: Vec<DataClass> = next
            .exposure
            .assets
            .iter()
            .map(|asset| asset.class)
            .collect();
        next.obligations = self.obligations.project(&classes, next.detected);
        self.incidents.insert(id.to_owned(), next);
    }
}

fn opened(finding: &Finding, detected: Timestamp) -> Incident {
    Incident {
        id: finding.id.clone(),
        title: finding.title.clone(),
        state: IncidentState::Signal,
        lane: finding.lane,
        severity: finding.level,
        severity_because: Vec::new(),
        first: finding.first,
        last: finding.last,
        detected,
        actors: Vec::new(),
        assets: Vec::new(),
        scopes: Vec::new(),
        findings: vec![Joined {
            finding: finding.id.clone(),
            because: "the first finding".to_owned(),
        }],
        exposure: compute(&[finding], finding.first, finding.last),
        obligations: Vec::new(),
    }
}

/// The highest level, raised by the floors of `pci.md` §2.3.
fn severity(members: &[&Finding], incident: &Incident) -> (Level, Vec<String>) {
    let Some(top) = members.iter().max_by_key(|member| member.level) else {
        return (Level::Medium, Vec::new());
    };
    let mut because = vec![format!(
        "the finding \"{}\" is {}",
        top.title,
        top.level.name()
    )];
    let mut level = top.level;
    let reached = incident
        .exposure
        .assets
        .iter()
        .map(|asset| asset.class)
        .max();
    if reached >= Some(DataClass::Pan) && level < Level::Critical {
        level = Level::Critical;
        because.push("card numbers or authentication data were reached".to_owned());
    } else if reached == Some(DataClass::PanTruncated)
        && incident
            .exposure
            .channels
            .iter()
            .any(|channel| channel == "database")
        && level < Level::High
    {
        level = Level::High;
        because.push("a table of payments was reached".to_owned());
    }
    if members.iter().all(|member| member.rows == Some(NOTHING)) {
        because.push("every attempt was refused".to_owned());
    }
    (level, because)
}

/// Who did what to what, in plain words.
fn title(members: &[&Finding], incident: &Incident) -> String {
    let what = members
        .iter()
        .max_by_key(|member| (member.level, std::cmp::Reverse(member.first)))
        .map_or("", |member| member.title.as_str());
    let named = |kind: ActorKind| {
        incident
            .actors
            .iter()
            .filter(|actor| actor.kind == kind)
            .map(|actor| actor.value.as_str())
            .collect::<Vec<_>>()
    };
    let addresses = named(ActorKind::Address);
    let who = match (
        addresses.as_slice(),
        named(ActorKind::DatabaseAccount).as_slice(),
    ) {
        ([one], _) => format!(" by {one}"),
        ([], [account, ..]) => {
            let connections = named(ActorKind::DatabaseConnection);
            let more = if connections.len() > 1 {
                format!(" over {} connections", connections.len())
            } else {
                connections
                    .first()
                    .map(|one| {
                        format!(
                            " over connection {}",
                            one.rsplit('#').next().unwrap_or_default()
                        )
                    })
                    .unwrap_or_default()
            };
            format!(" by database account {account}{more}")
        }
        ([], []) => String::new(),
        (many, _) => format!(" by {} addresses", many.len()),
    };
    let mut assets: Vec<_> = incident.assets.iter().collect();
    assets.sort_by_key(|asset| {
        (
            std::cmp::Reverse(asset.class),
            asset.kind != AssetKind::Table,
        )
    });
    let names: Vec<&str> = assets
        .iter()
        .take(3)
        .map(|asset| asset.name.as_str())
        .collect();
    let which = if names.is_empty() {
        String::new()
    } else {
        format!(
            ": {}{}",
            names.join(", "),
            if assets.len() > 3 { ", …" } else { "" }
        )
    };
    format!("{what}{who}{which}")
}

#[cfg(test)]
mod tests {
    use super::{Change, Grouper, GroupingSettings};
    use crate::ObligationRules;
    use model::{
        Actor, ActorKind, Asset, AssetKind, DataClass, Finding, Lane, Level, Scope, Timestamp,
    };

    fn finding(
        id: &str,
        second: i64,
        actors: &[(ActorKind, &str)],
        attack: &str,
        level: Level,
    ) -> Finding {
        Finding {
            id: id.to_owned(),
            rule: format!("rule-{attack}"),
            title: "Something".to_owned(),
            level,
            lane: Lane::Live,
            first: Timestamp::from_seconds(second),
            last: Timestamp::from_seconds(second + 1),
            actors: actors
                .iter()
                .map(|(kind, value)| Actor {
                    kind: *kind,
                    value: (*value).to_owned(),
                })
                .collect(),
            scope: Scope::Unknown,
            assets: vec![Asset {
                kind: AssetKind::Table,
                name: "sales_order_payment".to_owned(),
                class: DataClass::PanTruncated,
            }],
            rows: None,
            bytes: None,
            event_count: 1,
            events: Vec::new(),
            reason: String::new(),
            attack: vec![attack.to_owned()],
            requirements: Vec::new(),
            false_positives: Vec::new(),
        }
    }

    fn count(findings: &[Finding]) -> usize {
        let mut grouper = Grouper::new(GroupingSettings::default(), ObligationRules::default());
        for finding in findings {
            grouper.push(finding, finding.last);
        }
        grouper.incidents().count()
    }

    const CONNECTION: ActorKind = ActorKind::DatabaseConnection;
    const ACCOUNT: ActorKind = ActorKind::DatabaseAccount;

    #[test]
    fn a_shared_account_joins_nothing_alone() {
        let one = finding(
            "a",
            0,
            &[(ACCOUNT, "shop"), (CONNECTION, "shop#1")],
            "T1005",
            Level::High,
        );
        let two = finding(
            "b",
            60,
            &[(ACCOUNT, "shop"), (CONNECTION, "shop#2")],
            "T1005",
            Level::High,
        );
        let same = finding(
            "c",
            60,
            &[(ACCOUNT, "shop"), (CONNECTION, "shop#1")],
            "T1213",
            Level::High,
        );
        assert_eq!(count(&[one.clone(), two]), 2);
        assert_eq!(count(&[one, same]), 1);
    }

    #[test]
    fn two_addresses_are_two_incidents_and_one_address_is_one_for_a_while() {
        let at = |id, second, address| {
            finding(
                id,
                second,
                &[(ActorKind::Address, address)],
                "T1119",
                Level::High,
            )
        };
        assert_eq!(
            count(&[at("a", 0, "192.0.2.1"), at("b", 5, "192.0.2.2")]),
            2
        );
        assert_eq!(
            count(&[at("a", 0, "192.0.2.1"), at("b", 100, "192.0.2.1")]),
            1
        );
        assert_eq!(
            count(&[at("a", 0, "192.0.2.1"), at("b", 4000, "192.0.2.1")]),
            2
        );
    }

    #[test]
    fn an_injection_seen_in_two_logs_is_one_incident() {
        let web = finding(
            "a",
            0,
            &[(ActorKind::Address, "192.0.2.1")],
            "T1190",
            Level::High,
        );
        let database = finding(
            "b",
            2,
            &[(ACCOUNT, "shop"), (CONNECTION, "shop#9")],
            "T1190",
            Level::High,
        );
        assert_eq!(count(&[web, database]), 1);
    }

    #[test]
    fn low_findings_open_nothing_and_growth_is_no_second_incident() {
        let mut grouper = Grouper::new(GroupingSettings::default(), ObligationRules::default());
        let low = finding(
            "a",
            0,
            &[(ActorKind::Address, "192.0.2.1")],
            "T1595",
            Level::Low,
        );
        assert!(grouper.push(&low, low.last).is_empty());
        let mut high = finding(
            "b",
            1,
            &[(ActorKind::Address, "192.0.2.1")],
            "T1190",
            Level::High,
        );
        assert_eq!(
            grouper.push(&high, high.last),
            [Change::Opened("b".to_owned())]
        );
        high.last = Timestamp::from_seconds(90);
        assert_eq!(
            grouper.push(&high, high.last),
            [Change::Grew("b".to_owned())]
        );
        assert_eq!(
            grouper.incident("b").map(|incident| incident.last),
            Some(Timestamp::from_seconds(90))
        );
    }
}
