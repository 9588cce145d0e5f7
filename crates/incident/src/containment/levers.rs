//! Which levers an incident's findings name.

use std::collections::{BTreeMap, BTreeSet};

use model::{ActorKind, AssetKind, Finding, Incident, Scope};

use super::accounts::{Account, Api, Connection, of_account, of_address, of_administrator, of_api};
use super::read::{self, Setting};
use super::statements::{
    odd, of_audit, of_file, of_log, of_module, of_object, of_page, of_row, of_setting,
};
use super::{At, Effect, Lever, Told, quote};
use crate::exposure::{is_denied, touches_payment_page};
use crate::links::{is_database, tells_of_injection};

/// Levers of one kind.
const EACH_MAX: usize = 4;

/// What is known of an incident, by what can be closed.
#[derive(Default)]
pub(super) struct Known {
    hosts: Vec<String>,
    accounts: BTreeMap<String, Account>,
    /// Clients of the web.
    addresses: BTreeSet<String>,
    routes: BTreeSet<(String, bool)>,
    settings: BTreeSet<Setting>,
    /// Rows of content and rights, e.g. `cms_block:5`.
    rows: BTreeSet<String>,
    objects: BTreeSet<(&'static str, String)>,
    /// Files: whole path and whether nothing of the shop's own is lost by closing it.
    files: BTreeMap<String, bool>,
    administrators: BTreeSet<String>,
    modules: BTreeSet<String>,
    /// A skimmer whose place no finding names.
    is_page: bool,
    /// What was asked of the API; `None` where nothing was.
    api: Option<Api>,
    is_log_off: bool,
    writes_cards: bool,
}

impl Known {
    pub(super) fn new(incident: &Incident, told: &[Told<'_>]) -> Self {
        let mut known = Self::default();
        for scope in &incident.scopes {
            if let Scope::Host(host) = scope {
                known.hosts.push(host.clone());
            }
        }
        for one in told.iter().filter(|one| !is_denied(one.finding)) {
            known.take(one);
        }
        known.is_page &=
            known.settings.is_empty() && known.rows.is_empty() && known.files.is_empty();
        known
    }

    fn take(&mut self, told: &Told<'_>) {
        let finding = told.finding;
        let rule = finding.rule.as_str();
        let injected = tells_of_injection(finding);
        self.actors(finding, injected);
        for text in told.texts {
            if is_database(finding) && touches_payment_page(finding) {
                self.settings.extend(read::settings(text));
            }
            if rule.starts_with("db-trigger") || rule.starts_with("db-routine") {
                self.objects.extend(read::objects(text));
            }
        }
        self.is_page |= touches_payment_page(finding);
        self.is_log_off |= rule == "log-db-audit-off";
        self.writes_cards |= rule.starts_with("pan-in-") || rule.starts_with("sad-in-");
        for asset in &finding.assets {
            match asset.kind {
                AssetKind::Row => match asset.name.split_once(':') {
                    Some(("core_config_data", path)) => {
                        self.settings.insert(Setting {
                            path: path.to_owned(),
                            scope: None,
                        });
                    }
                    _ => {
                        self.rows.insert(asset.name.clone());
                    }
                },
                AssetKind::Path if rule.starts_with("ex-") => {
                    let name = asset.name.split(' ').next().unwrap_or_default();
                    self.modules.insert(name.to_owned());
                }
                AssetKind::Path if rule.starts_with("fs-") => {
                    self.file(rule, told.root, &asset.name)
                }
                AssetKind::Path if asset.name.starts_with('/') && is_of_web(finding) => {
                    let api = asset.name.contains("/rest/") || asset.name.contains("/soap/");
                    if api && !injected {
                        self.asked(finding, &asset.name);
                    }
                    self.routes.insert((asset.name.clone(), injected));
                }
                _ => {}
            }
        }
    }

    fn actors(&mut self, finding: &Finding, injected: bool) {
        let of = |kind| {
            finding
                .actors
                .iter()
                .filter(move |actor| actor.kind == kind)
        };
        let addresses: BTreeSet<String> = of(ActorKind::Address)
            .map(|actor| actor.value.clone())
            .collect();
        for actor in of(ActorKind::DatabaseAccount) {
            let first = !self.accounts.contains_key(&actor.value);
            let account = self.accounts.entry(actor.value.clone()).or_default();
            account.is_door = if first {
                injected
            } else {
                account.is_door && injected
            };
            if !injected {
                account.peers.extend(addresses.iter().cloned());
                let connections = of(ActorKind::DatabaseConnection);
                let numbers: Vec<u64> = connections
                    .filter_map(|actor| actor.value.rsplit('#').next()?.parse().ok())
                    .collect();
                // Of several connections and several hosts a finding doesn't say which came from which.
                let are_told = numbers.len() == 1 || addresses.len() == 1;
                for number in numbers {
                    let seen = account.connections.entry(number);
                    let seen = seen.or_insert_with(|| Connection {
                        peers: BTreeSet::new(),
                        first: finding.first,
                        last: finding.last,
                        title: finding.title.clone(),
                    });
                    if are_told {
                        seen.peers.extend(addresses.iter().cloned());
                    }
                    if finding.first < seen.first {
                        seen.first = finding.first;
                        seen.title.clone_from(&finding.title);
                    }
                    seen.last = seen.last.max(finding.last);
                }
            }
        }
        if !is_database(finding) {
            self.addresses.extend(addresses);
        }
        self.administrators
            .extend(of(ActorKind::Administrator).map(|actor| actor.value.clone()));
    }

    fn asked(&mut self, finding: &Finding, route: &str) {
        let api = self.api.get_or_insert_default();
        api.routes.insert(route.to_owned());
        for actor in &finding.actors {
            match actor.kind {
                ActorKind::Address => api.addresses.insert(actor.value.clone()),
                ActorKind::Token => api.tokens.insert(actor.value.clone()),
                _ => false,
            };
        }
        let (first, last) = api.span.unwrap_or((finding.first, finding.last));
        api.span = Some((first.min(finding.first), last.max(finding.last)));
    }

    fn file(&mut self, rule: &str, root: Option<&str>, name: &str) {
        // What lies where no code belongs is nobody's; the shop's own code is put back, never taken away.
        let foreign = [
            "fs-exec-in-writable",
            "fs-polyglot",
            "fs-signature",
            "fs-merchant-rule",
            "fs-archive-in-docroot",
        ];
        let whole = match root {
            Some(root) if !name.starts_with('/') => {
                format!("{}/{name}", root.trim_end_matches('/'))
            }
            _ => name.to_owned(),
        };
        let is_foreign = foreign.contains(&rule);
        let slot = self.files.entry(whole).or_insert(is_foreign);
        *slot &= is_foreign;
    }

    pub(super) fn levers(&self) -> Vec<Lever> {
        let mut out = Vec::new();
        let routes = self.routes.iter().take(EACH_MAX);
        out.extend(routes.map(|(path, injected)| self.route(path, *injected)));
        let accounts = self.accounts.iter().filter(|(_, account)| !account.is_door);
        let accounts = accounts.take(EACH_MAX);
        out.extend(accounts.flat_map(|(name, account)| of_account(name, account)));
        out.extend(
            self.administrators
                .iter()
                .take(EACH_MAX)
                .map(|name| of_administrator(name)),
        );
        out.extend(self.api.as_ref().map(of_api));
        out.extend(
            self.objects
                .iter()
                .take(EACH_MAX)
                .map(|(kind, name)| of_object(kind, name)),
        );
        out.extend(self.settings.iter().take(EACH_MAX).map(of_setting));
        out.extend(self.rows.iter().take(EACH_MAX).map(|row| of_row(row)));
        out.extend(
            self.files
                .iter()
                .take(EACH_MAX)
                .map(|(path, foreign)| of_file(path, *foreign)),
        );
        out.extend(
            self.modules
                .iter()
                .take(EACH_MAX)
                .map(|name| of_module(name)),
        );
        if self.is_page {
            out.push(of_page());
        }
        if self.writes_cards {
            out.push(of_log());
        }
        if self.is_log_off {
            out.push(of_audit());
        }
        let peers = self
            .accounts
            .values()
            .flat_map(|account| account.peers.iter().map(|peer| (peer, true)));
        let clients = self.addresses.iter().map(|address| (address, false));
        let mut seen = BTreeSet::new();
        let all = clients.chain(peers).filter(|one| seen.insert(*one));
        out.extend(
            all.take(EACH_MAX)
                .map(|(address, database)| of_address(address, database)),
        );
        out
    }

    fn route(&self, path: &str, injected: bool) -> Lever {
        let hosts = if self.hosts.is_empty() {
            "the host named above".to_owned()
        } else {
            self.hosts.join(", ")
        };
        let line = quote::route(path).map(|fixed| format!("location ^~ {fixed} {{ return 403; }}"));
        let why = if injected {
            "SQL came in through this route; the module that answers it has to be mended or switched off afterwards"
        } else {
            "it was asked through this route"
        };
        Lever {
            does: format!("Close the route {path} on {hosts}, at the web server: on the shop's host."),
            effect: Effect::OnlyMitigates,
            told: Vec::new(),
            costs: "nobody can use this route there, nor can programs of yours that call it (an ERP, shipping); every other page goes on"
                .to_owned(),
            because: format!(
                "{why}. The same code answers on every host of the installation, under /index.php and, in the API, under each store's code: \
                 close it in each server block.{}",
                odd(line.is_none())
            ),
            at: At::Nginx,
            looks: Vec::new(),
            lines: line.into_iter().collect(),
            last: Vec::new(),
            lasts: "",
            undo: "take the line out and reload nginx".to_owned(),
        }
    }
}

fn is_of_web(finding: &Finding) -> bool {
    [
        "web-",
        "api-",
        "pan-in-access",
        "sad-in-access",
        "card-testing",
    ]
    .iter()
    .any(|family| finding.rule.starts_with(family))
}
