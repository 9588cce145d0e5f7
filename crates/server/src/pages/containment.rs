//! What stops an incident, as its page says it: what to keep first, then the levers its findings name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use incident::containment::{Lever, Told, levers, shell_path};
use model::{ActorKind, AssetKind, Finding, Incident};

use super::incident::Member;

/// Pages whose evidence commands name.
const PAGES_MAX: usize = 4;
/// Files that they name.
const FILES_MAX: usize = 8;

/// What to keep, and what to close.
pub(super) struct Containment {
    /// Commands that keep what goes away by itself, the most volatile first.
    pub(super) evidence: Vec<String>,
    /// Whether a file or page has a name that no command may hold.
    pub(super) is_odd: bool,
    pub(super) levers: Vec<Lever>,
}

impl Containment {
    /// Of all findings as far as they are read, and of those shown with their records.
    pub(super) fn new(
        incident: &Incident,
        all: &[(Arc<Finding>, String)],
        shown: &[Member],
    ) -> Self {
        let texts: BTreeMap<&str, Vec<&str>> = shown
            .iter()
            .map(|member| {
                let texts = member
                    .shown
                    .iter()
                    .filter_map(|entry| entry.text.as_deref());
                (member.finding.id.as_str(), texts.collect())
            })
            .collect();
        let roots: BTreeMap<&str, &str> = shown
            .iter()
            .filter_map(|member| Some((member.finding.id.as_str(), root(member)?)))
            .collect();
        let read = all.iter().map(|(finding, _)| finding);
        let later = shown.iter().map(|member| &member.finding);
        let mut known = BTreeSet::new();
        let told: Vec<Told<'_>> = read
            .chain(later)
            .filter(|finding| known.insert(finding.id.as_str()))
            .map(|finding| Told {
                finding,
                root: roots.get(finding.id.as_str()).copied(),
                texts: texts.get(finding.id.as_str()).map_or(&[], Vec::as_slice),
            })
            .collect();
        let levers = levers(incident, &told);
        let (files, is_odd) = files(shown);
        let (evidence, is_page_odd) = evidence(incident, shown, files);
        Self {
            evidence,
            is_odd: is_odd || is_page_odd,
            levers,
        }
    }
}

/// The folder a finding's files lie below.
fn root(member: &Member) -> Option<&str> {
    let mut sources = member.shown.iter();
    sources.find_map(|entry| entry.source.strip_prefix("tree:"))
}

/// Commands for what an incident is about; whether a page was left out for its address.
fn evidence(incident: &Incident, shown: &[Member], files: BTreeSet<String>) -> (Vec<String>, bool) {
    let by = |kinds: &[ActorKind]| {
        let actors = &incident.actors;
        actors.iter().any(|actor| kinds.contains(&actor.kind))
    };
    let tells = |family: &str| shown.iter().any(|m| m.finding.rule.starts_with(family));
    let on_host = by(&[ActorKind::HostProcess, ActorKind::HostAccount]);
    let redis = tells("redis-");
    let page = tells("pp-");
    let database = by(&[ActorKind::DatabaseAccount, ActorKind::DatabaseConnection]);
    let mut out = Vec::new();
    let mut is_odd = false;
    if page {
        // Caches may still hold the page as it was; asking through them is what shows it.
        let pages = incident
            .assets
            .iter()
            .filter(|asset| asset.name.starts_with("http"));
        for asset in pages.take(PAGES_MAX) {
            let Some(quoted) = shell_path(&asset.name) else {
                is_odd = true;
                continue;
            };
            out.push(format!("curl -sS -D - -o checkout.html {quoted} | grep -iE 'age|cache|^date|security-policy'; sha256sum checkout.html"));
        }
    }
    if on_host {
        out.push("ps -eo pid,ppid,user,lstart,args --forest; w; last -F".to_owned());
        out.push("ls -l /proc/[0-9]*/exe 2>/dev/null".to_owned());
    }
    if redis {
        out.push("redis-cli CLIENT LIST; redis-cli INFO all; redis-cli SLOWLOG GET 128".to_owned());
    }
    let has_files = !files.is_empty();
    if has_files {
        // What deletes or mends a file takes its times along: they are read first, and the copy keeps them.
        let files = Vec::from_iter(files).join(" ");
        out.push(format!("stat {files}; sha256sum {files}; lsof -- {files}"));
        out.push(format!(
            "tar --xattrs --acls -cpf files.tar {files}; sha256sum files.tar"
        ));
    }
    if database || !(on_host || redis || page || has_files) {
        out.push(r#"mariadb -e "SHOW FULL PROCESSLIST; SHOW MASTER STATUS;""#.to_owned());
    }
    out.push("ss -tnp".to_owned());
    (out, is_odd)
}

/// Files of the shop that findings are about, as a shell names them; whether one was left out for its name.
fn files(shown: &[Member]) -> (BTreeSet<String>, bool) {
    let (mut files, mut is_odd) = (BTreeSet::new(), false);
    for member in shown {
        let Some(root) = root(member) else {
            continue;
        };
        for asset in &member.finding.assets {
            if asset.kind == AssetKind::Path && files.len() < FILES_MAX {
                match shell_path(&format!("{root}/{}", asset.name)) {
                    Some(quoted) => {
                        files.insert(quoted);
                    }
                    None => is_odd = true,
                }
            }
        }
    }
    (files, is_odd)
}
