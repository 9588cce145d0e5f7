//! What consumers' browsers report of a page's Content-Security-Policy (PCI DSS v4.0.1 req. 6.4.3, 11.6.1), at a listener of
//! its own that serves nothing else. Stands behind the shop's web server, which names the browser's address.
//!
//! Anybody may send anything: a report is a hint, and many from different networks are more of one. Reports of one thing – a
//! directive, what it blocked, on one page – are one group, told when it is new and each time reports or networks grew
//! threefold. A browser sends a report once, and hears 204 once what is told of it is sealed, or it is counted; what a kill
//! costs is counts since the last telling.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use model::{Category, Field, SourceId, Timestamp};
use serde::Deserialize;
use serde_json::Value as Json;
use url::Url;

use crate::listen::Door;
use crate::observation::Observation;
use crate::private::code;
use crate::source::{Given, Hand, Kind, News, Recorder, Source};
use crate::{SourceError, settings};

/// Longest body; a browser sends some kilobytes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Reports read of one body.
const REPORTS_MAX: usize = 50;
/// How long sealing is waited for; what isn't sealed by then is told with the next report of its group.
const PATIENCE: Duration = Duration::from_secs(8);
/// Requests at work at a time.
const REQUESTS_MAX: usize = 32;
/// Groups told apart; reports of others are counted, and said as lost.
const GROUPS_MAX: usize = 10_000;
/// Groups of one network that are told when they are new, in a minute; those beyond wait until a second network has them.
const NEW_MAX: u64 = 60;
/// Networks told apart of one group.
const NETWORKS_MAX: usize = 1000;
/// Addresses that only browsers' own extensions have.
const EXTENSIONS: [&str; 6] = [
    "chrome-extension",
    "moz-extension",
    "safari-extension",
    "safari-web-extension",
    "ms-browser-extension",
    "resource",
];

/// The kind `csp_reports`.
pub(crate) struct CspReports;

/// Its settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Address and port.
    listen: SocketAddr,
    /// Hosts of the shop; reports about pages elsewhere are counted and not told. Any when none is named.
    #[serde(default)]
    hosts: BTreeSet<String>,
}

impl Kind for CspReports {
    fn name(&self) -> &'static str {
        "csp_reports"
    }

    fn open(&self, table: toml::Table, given: &Given) -> Result<Box<dyn Source>, SourceError> {
        let settings: Settings = settings(self.name(), table)?;
        let door = Door::open(settings.listen)?;
        let id = SourceId(format!("csp_reports:{}", door.address()));
        let groups = Groups {
            groups: BTreeMap::new(),
            hosts: settings.hosts,
            key: given.key,
            minute: (0, 0),
            ignored: 0,
            recorder: Recorder::observing(id.clone(), given.now),
        };
        Ok(Box::new(Listener {
            door,
            id,
            groups: Arc::new(Mutex::new(groups)),
            clock: given.clock,
        }))
    }
}

struct Listener {
    door: Door,
    id: SourceId,
    groups: Arc<Mutex<Groups>>,
    clock: fn() -> Timestamp,
}

impl Source for Listener {
    fn run(&mut self, hand: &Hand) -> Result<(), SourceError> {
        let what = format!(
            "takes reports of browsers at http://{}/",
            self.door.address()
        );
        hand.tell(self.id(), News::Well { what });
        let desk = Desk {
            groups: Arc::clone(&self.groups),
            hand: hand.clone(),
            clock: self.clock,
        };
        let router = Router::new()
            .fallback(post(take))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(desk);
        self.door.serve(router, REQUESTS_MAX, hand)
    }

    fn id(&self) -> SourceId {
        self.id.clone()
    }

    fn forgets(&self) -> bool {
        true
    }
}

#[derive(Clone)]
struct Desk {
    groups: Arc<Mutex<Groups>>,
    hand: Hand,
    clock: fn() -> Timestamp,
}

async fn take(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let from = headers
        .get("x-forwarded-for")
        .or_else(|| headers.get("x-real-ip"));
    // The last one is what the web server before this listener saw itself.
    let from = from.and_then(|list| list.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    let taken = tokio::task::spawn_blocking(move || desk.seal(&body, from));
    match taken.await {
        Ok(true) => StatusCode::NO_CONTENT,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl Desk {
    /// Takes a body; false when what is to be told of it isn't sealed in time.
    fn seal(&self, body: &[u8], from: Option<IpAddr>) -> bool {
        let (chunks, told): (Vec<_>, Vec<_>) = {
            let mut groups = self.groups();
            groups
                .take(body, from, (self.clock)())
                .into_iter()
                .map(|telling| (groups.recorder.chunk(telling.record), telling.before))
                .unzip()
        };
        if chunks.is_empty() || self.hand.give_and_wait(chunks, PATIENCE).is_ok() {
            return true;
        }
        self.groups().untell(told);
        false
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to be sealed of a group, and what was told of it before.
struct Telling {
    record: Vec<u8>,
    before: (Report, u64, u64),
}

/// What a report says, and what makes a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Report {
    /// The page, without query and fragment.
    page: String,
    /// The directive that was violated, e.g. `connect-src`.
    directive: String,
    /// What was blocked: an address' origin, or a word (`inline`, `eval`, `data`).
    blocked: String,
    /// Whether the browser blocked it, or only reports.
    is_enforced: bool,
}

/// One group's counts.
#[derive(Debug, Default)]
struct Group {
    reports: u64,
    /// Networks they came from, by keyed hash.
    networks: BTreeSet<String>,
    told_reports: u64,
    told_networks: u64,
}

struct Groups {
    groups: BTreeMap<Report, Group>,
    hosts: BTreeSet<String>,
    key: [u8; 32],
    /// The minute it is, and how many new groups were told in it.
    minute: (i64, u64),
    /// Reports that say nothing of the shop: extensions, other sites, no report at all, or too many groups.
    ignored: u64,
    recorder: Recorder,
}

impl Groups {
    /// Takes back what was told and could not be sealed: the next report of each group tells it.
    fn untell(&mut self, told: Vec<(Report, u64, u64)>) {
        for (report, reports, networks) in told {
            if let Some(group) = self.groups.get_mut(&report) {
                (group.told_reports, group.told_networks) = (reports, networks);
            }
        }
    }

    /// Takes a body; gives what is to be sealed of it.
    fn take(&mut self, body: &[u8], from: Option<IpAddr>, now: Timestamp) -> Vec<Telling> {
        let mut tellings = Vec::new();
        let reports = reports(body);
        if reports.is_empty() {
            self.ignored += 1;
        }
        for (report, sample) in reports {
            let host = report
                .page
                .parse::<Url>()
                .ok()
                .and_then(|page| page.host_str().map(str::to_owned));
            let is_own = host
                .as_deref()
                .is_some_and(|host| self.hosts.is_empty() || self.hosts.contains(host));
            let is_extension = EXTENSIONS
                .iter()
                .any(|scheme| report.blocked.split(':').next() == Some(scheme));
            if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&report) {
                // Whoever invents groups has one network: what several have seen stays.
                self.groups.retain(|_, group| group.networks.len() > 1);
            }
            let is_full = self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&report);
            if !is_own || is_extension || is_full {
                self.ignored += 1;
                continue;
            }
            let group = self.groups.entry(report.clone()).or_default();
            group.reports += 1;
            if group.networks.len() < NETWORKS_MAX {
                group
                    .networks
                    .insert(code(&self.key, network(from).as_bytes()));
            }
            let networks = u64::try_from(group.networks.len()).unwrap_or(u64::MAX);
            let is_more = group.reports >= group.told_reports.saturating_mul(3)
                || networks >= group.told_networks.saturating_mul(3);
            let is_new = group.told_reports == 0 && networks == 1;
            let minute = now.0.div_euclid(60 * Timestamp::SECOND);
            if self.minute.0 != minute {
                self.minute = (minute, 0);
            }
            let may_be_told = !is_new || self.minute.1 < NEW_MAX;
            if is_more && may_be_told {
                self.minute.1 += u64::from(is_new);
                let before = (report.clone(), group.told_reports, group.told_networks);
                (group.told_reports, group.told_networks) = (group.reports, networks);
                let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
                let ignored = std::mem::take(&mut self.ignored);
                let mut observation = Observation::new(Category::PaymentPage, now)
                    .text(Field::Url, &report.page)
                    .text(Field::Host, host.as_deref().unwrap_or_default())
                    .text(Field::PageWay, "report")
                    .text(Field::Change, "reported")
                    .text(Field::PagePart, &report.directive)
                    .text(Field::PageName, &report.blocked)
                    .text(Field::PageText, &sample)
                    .int(Field::ChangeCount, count(group.reports))
                    .int(Field::PageNetworks, count(networks))
                    .text(
                        Field::Context,
                        if report.is_enforced {
                            "blocked"
                        } else {
                            "reported only"
                        },
                    );
                if ignored > 0 {
                    observation = observation.text(
                        Field::Message,
                        &format!("{ignored} other reports said nothing of the shop"),
                    );
                }
                tellings.push(Telling {
                    record: observation.record(),
                    before,
                });
            }
        }
        tellings
    }
}

/// The network a browser is in: of many addresses somebody has in one, one is counted.
fn network(from: Option<IpAddr>) -> String {
    match from.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(v4)) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}")
        }
        Some(IpAddr::V6(v6)) => v6
            .segments()
            .iter()
            .take(3)
            .map(|part| format!("{part:x}:"))
            .collect(),
        None => String::new(),
    }
}

/// The reports of a body, with their samples: `report-uri`'s one, or `report-to`'s list.
fn reports(body: &[u8]) -> Vec<(Report, String)> {
    let Ok(json) = serde_json::from_slice::<Json>(body) else {
        return Vec::new();
    };
    match json {
        Json::Array(list) => list
            .iter()
            .filter(|one| one.get("type").and_then(Json::as_str) == Some("csp-violation"))
            .take(REPORTS_MAX)
            .filter_map(|one| {
                report(
                    one.get("body")?,
                    "documentURL",
                    "effectiveDirective",
                    "blockedURL",
                    "sample",
                )
            })
            .collect(),
        one => one
            .get("csp-report")
            .and_then(|body| {
                let directive = if body.get("effective-directive").is_some() {
                    "effective-directive"
                } else {
                    "violated-directive"
                };
                report(
                    body,
                    "document-uri",
                    directive,
                    "blocked-uri",
                    "script-sample",
                )
            })
            .into_iter()
            .collect(),
    }
}

/// Reads a body; see [`crate::hostile::reports`].
pub(crate) fn read(body: &[u8]) -> Vec<[String; 4]> {
    let found = reports(body).into_iter();
    found
        .map(|(report, sample)| [report.page, report.directive, report.blocked, sample])
        .collect()
}

fn report(
    body: &Json,
    page: &str,
    directive: &str,
    blocked: &str,
    sample: &str,
) -> Option<(Report, String)> {
    let text = |name: &str| body.get(name).and_then(Json::as_str).unwrap_or_default();
    let mut at: Url = text(page)
        .parse()
        .ok()
        .filter(|url: &Url| url.scheme().starts_with("http"))?;
    at.set_query(None);
    at.set_fragment(None);
    let _whoever = at.set_username("").and_then(|()| at.set_password(None));
    // Browsers say `script-src 'self' …` or the name alone.
    let directive: String = text(directive)
        .split(' ')
        .next()
        .unwrap_or_default()
        .chars()
        .take(40)
        .collect();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if directive.is_empty() || !directive.chars().all(is_word) {
        return None;
    }
    let blocked = match text(blocked).parse::<Url>() {
        Ok(url)
            if url.has_host() && url.scheme().starts_with("http")
                || url.scheme().starts_with("ws") =>
        {
            url.host_str().unwrap_or_default().to_owned()
        }
        Ok(url) => format!("{}:", url.scheme()),
        Err(_) => text(blocked).chars().take(100).collect(),
    };
    let report = Report {
        page: at.as_str().chars().take(300).collect(),
        directive,
        blocked,
        is_enforced: text("disposition") == "enforce",
    };
    Some((report, text(sample).chars().take(100).collect()))
}

#[cfg(test)]
mod tests {
    use super::{GROUPS_MAX, Groups, network, reports};
    use crate::source::Recorder;
    use model::{SourceId, Timestamp};
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::collections::{BTreeMap, BTreeSet};

    fn groups(hosts: &[&str]) -> Groups {
        Groups {
            groups: BTreeMap::new(),
            hosts: hosts
                .iter()
                .map(|host| (*host).to_owned())
                .collect::<BTreeSet<_>>(),
            key: [7; 32],
            minute: (0, 0),
            ignored: 0,
            recorder: Recorder::observing(SourceId("csp_reports:x".to_owned()), Timestamp(0)),
        }
    }

    fn old(blocked: &str) -> Vec<u8> {
        let body = json!({"csp-report": {"document-uri": "https://shop.example/checkout?id=7#a", "violated-directive": "connect-src 'self'",
            "blocked-uri": blocked, "disposition": "report"}});
        body.to_string().into_bytes()
    }

    fn told(groups: &mut Groups, body: &[u8], from: &str) -> Vec<Value> {
        let tellings = groups.take(body, from.parse().ok(), Timestamp(0));
        tellings
            .iter()
            .map(|telling| serde_json::from_slice(&telling.record).expect("JSON"))
            .collect()
    }

    #[test]
    fn both_forms_are_one_group_told_as_it_grows() {
        let mut groups = groups(&["shop.example"]);
        let first = told(&mut groups, &old("https://evil.example/p?x=1"), "192.0.2.1");
        assert_eq!(first.len(), 1);
        for (field, value) in [
            ("url", "https://shop.example/checkout"),
            ("page.part", "connect-src"),
            ("page.name", "evil.example"),
            ("change", "reported"),
        ] {
            assert_eq!(first[0][field], value);
        }
        let new = json!([{"type": "csp-violation", "body": {"documentURL": "https://shop.example/checkout", "effectiveDirective": "connect-src",
            "blockedURL": "wss://evil.example/", "disposition": "report", "sample": "x"}}, {"type": "deprecation", "body": {}}]);
        assert!(
            told(&mut groups, new.to_string().as_bytes(), "192.0.2.77").is_empty(),
            "the same network, and one more only"
        );
        assert!(
            told(&mut groups, &old("https://evil.example/"), "198.51.100.1").len() == 1,
            "three reports"
        );
        let third = told(&mut groups, &old("https://evil.example/"), "203.0.113.1");
        assert!(third.is_empty() || third[0]["page.networks"] == 3);
        assert_eq!(groups.groups.len(), 1);
    }

    #[test]
    fn what_could_not_be_sealed_is_told_with_the_next_report() {
        let mut groups = groups(&["shop.example"]);
        let from = "192.0.2.1".parse().ok();
        let tellings = groups.take(&old("inline"), from, Timestamp(0));
        groups.untell(tellings.into_iter().map(|one| one.before).collect());
        let again = told(&mut groups, &old("inline"), "192.0.2.1");
        assert_eq!(again.len(), 1);
        assert_eq!(again[0]["change_count"], 2);
        assert!(told(&mut groups, &old("inline"), "192.0.2.1").is_empty());
    }

    #[test]
    fn what_says_nothing_of_the_shop_is_counted() {
        let mut groups = groups(&["shop.example"]);
        for body in [
            old("chrome-extension://abc"),
            b"{".to_vec(),
            String::from_utf8(old("inline"))
                .expect("text")
                .replace("shop.example", "other.example")
                .into_bytes(),
        ] {
            assert!(told(&mut groups, &body, "192.0.2.1").is_empty());
        }
        let one = told(&mut groups, &old("inline"), "192.0.2.1");
        assert_eq!(
            one[0]["message"],
            "3 other reports said nothing of the shop"
        );
        for number in 0..GROUPS_MAX + 10 {
            let _told = groups.take(
                &old(&format!("https://h{number}.example/")),
                None,
                Timestamp(0),
            );
        }
        // Invented groups make room for each other, are not told without end, and push out nothing that several have seen.
        let mut groups = self::groups(&[]);
        let _told = groups.take(
            &old("https://real.example/"),
            "192.0.2.1".parse().ok(),
            Timestamp(0),
        );
        let _told = groups.take(
            &old("https://real.example/"),
            "198.51.100.1".parse().ok(),
            Timestamp(0),
        );
        let mut told = 0;
        for number in 0..GROUPS_MAX * 2 {
            told += groups
                .take(
                    &old(&format!("https://h{number}.example/")),
                    None,
                    Timestamp(0),
                )
                .len();
        }
        assert!(groups.groups.len() <= GROUPS_MAX && told <= 60, "{told}");
        assert!(
            groups
                .groups
                .keys()
                .any(|report| report.blocked == "real.example")
        );
    }

    #[test]
    fn one_network_counts_once() {
        assert_eq!(
            network("192.0.2.1".parse().ok()),
            network("::ffff:192.0.2.9".parse().ok())
        );
        assert_ne!(
            network("2001:db8:1::1".parse().ok()),
            network("2001:db8:2::1".parse().ok())
        );
    }

    proptest! {
        #[test]
        fn any_body_is_read(body in prop::collection::vec(any::<u8>(), 0..200), page in "\\PC{0,40}", directive in "\\PC{0,20}", blocked in "\\PC{0,40}") {
            let _reports = reports(&body);
            let made = json!({"csp-report": {"document-uri": format!("https://shop.example/{page}"), "effective-directive": directive, "blocked-uri": blocked}});
            for (report, _) in reports(made.to_string().as_bytes()) {
                prop_assert!(report.page.len() <= 1300 && report.directive.len() <= 40);
            }
        }
    }
}
