//! What all actions at nginx share: two include files of ours, changed whole, tested before nginx takes them, and asked for.
//!
//! An action here is one rule more in `http.conf`. `server.conf` is the same whatever is closed. A change: nginx's
//! configuration passes as it is → the new file takes the old one's name → it passes again, or the old one is back → nginx
//! is told → it answers for the new file, or the old one is back and nginx is told again.

mod maps;
mod rule;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::{ActionFacts, Arguments};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionError, Change, Effect, Survey};
use crate::as_root::{Operation, Rules};
use crate::disk;
use crate::host::{Ask, Host};

pub(crate) use maps::{is_holding_page, refusal};
pub(crate) use rule::Rule;

const TEST_LIMIT: Duration = Duration::from_secs(30);
const ASK_LIMIT: Duration = Duration::from_secs(5);
/// New workers take a moment, and old ones answer meanwhile: so many answers in a row have to be new.
const IN_A_ROW: u32 = 5;
const TRIES_MAX: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);
/// How often something is asked that doesn't hold: on a busy host an old worker may answer after five new answers.
const SETTLE_TRIES: u32 = 40;
/// Requests by which a closed view is asked for, at most.
const PROBES_MAX: usize = 12;

/// An action that is a rule at nginx.
pub(crate) trait RuleAction: Sync {
    fn facts(&self) -> &'static ActionFacts;

    /// The rule, if the host has what it names.
    fn rule(&self, host: &Host, arguments: &Arguments) -> Result<Rule, ActionError>;

    /// What is closed, in words.
    fn what(&self, rule: &Rule) -> String;

    /// Requests that get a status while the rule holds.
    fn probes(&self, host: &Host, rule: &Rule) -> Vec<(Ask, u16)>;
}

/// What undoes it: whether the rule was there before, and the file as it was.
#[derive(Serialize, Deserialize)]
struct Kept {
    was_there: bool,
    content: String,
    modified_seconds: u64,
    modified_nanoseconds: u32,
}

/// The file as it is.
struct Found {
    content: String,
    rules: BTreeSet<Rule>,
    modified: SystemTime,
}

impl<R: RuleAction> Action for R {
    fn facts(&self) -> &'static ActionFacts {
        RuleAction::facts(self)
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let rule = self.rule(host, arguments)?;
        let found = read(host)?;
        let was_there = found.rules.contains(&rule);
        let since = found
            .modified
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let change = Change {
            what: self.what(&rule),
            now: if was_there { "closed already" } else { "open" }.to_owned(),
            then: "closed".to_owned(),
        };
        let kept = Kept {
            was_there,
            content: found.content,
            modified_seconds: since.as_secs(),
            modified_nanoseconds: since.subsec_nanos(),
        };
        Ok(Survey {
            changes: vec![change],
            kept: serde_json::to_vec(&kept).map_err(|_| ActionError::Kept)?,
        })
    }

    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let _kept: Kept = serde_json::from_slice(kept).map_err(|_| ActionError::Kept)?;
        let rule = self.rule(host, arguments)?;
        let _lock = lock(host)?;
        let found = read(host)?;
        let mut rules = found.rules.clone();
        rules.insert(rule);
        let content = maps::http(&rules, &host.stores);
        change(host, &found, &content, None)
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        _kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let rule = self.rule(host, arguments)?;
        let found = read(host)?;
        let has_it = found.rules.contains(&rule);
        if !settles(host, || is_running(host, &found.content))? {
            return Ok(Effect::Partly(format!(
                "our file says that it is {}, and nginx doesn't go by our file as it is",
                if has_it { "closed" } else { "open" }
            )));
        }
        if !has_it {
            return Ok(Effect::NotInEffect);
        }
        let mut others = Vec::new();
        for (ask, expected) in self.probes(host, &rule) {
            let at = host.nginx()?.ask;
            let mut status = 0;
            let is_expected = settles(host, || {
                status = host.world.ask(at, &ask, ASK_LIMIT)?;
                Ok(status == expected)
            })?;
            if !is_expected {
                others.push(format!("{} at {}: {status}", ask.path, ask.host));
            }
        }
        if others.is_empty() {
            return Ok(Effect::InEffect);
        }
        let others = others.join(", ");
        Ok(Effect::Partly(format!(
            "nginx goes by our file, and answers {others}"
        )))
    }

    fn undo(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let kept: Kept = serde_json::from_slice(kept).map_err(|_| ActionError::Kept)?;
        let rule = self.rule(host, arguments)?;
        let before = rule::read(&kept.content).ok_or(ActionError::Kept)?;
        let _lock = lock(host)?;
        let found = read(host)?;
        let mut rules = found.rules.clone();
        if !kept.was_there {
            rules.remove(&rule);
        }
        let is_written_alike = maps::http(&before, &host.stores) == kept.content;
        if rules != before || (host.settings.root.is_some() && !is_written_alike) {
            // Somebody closed or opened something else since: that stays. And root writes what it would write now.
            let content = maps::http(&rules, &host.stores);
            return change(host, &found, &content, None);
        }
        let since = Duration::new(kept.modified_seconds, kept.modified_nanoseconds);
        change(host, &found, &kept.content, Some(UNIX_EPOCH + since))
    }
}

/// Writes both files where there are none, so that they can be included.
///
/// # Errors
///
/// [`ActionError`] when the folder can't be written to.
pub fn prepare(host: &Host) -> Result<(), ActionError> {
    let folder = &host.nginx()?.folder;
    std::fs::create_dir_all(folder).map_err(ActionError::file("make", folder))?;
    let first = maps::http(&BTreeSet::new(), &host.stores);
    for (name, content) in [("http.conf", first.as_str()), ("server.conf", maps::SERVER)] {
        let path = folder.join(name);
        if !path.exists() {
            host.disk.replace(&path, content.as_bytes(), None)?;
        }
    }
    Ok(())
}

fn path(host: &Host) -> Result<PathBuf, ActionError> {
    Ok(host.nginx()?.folder.join("http.conf"))
}

fn read(host: &Host) -> Result<Found, ActionError> {
    let path = path(host)?;
    let failed = ActionError::file("read", &path);
    let read = std::fs::read_to_string(&path)
        .and_then(|content| Ok((content, std::fs::metadata(&path)?.modified()?)));
    let (content, modified) = match read {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(ActionError::NotSetUp {
                what: format!("{} isn't there: prepare the host first", path.display()),
            });
        }
        read => read.map_err(failed)?,
    };
    let rules = rule::read(&content).ok_or_else(|| ActionError::NotSetUp {
        what: format!("{} has a rule that isn't ours", path.display()),
    })?;
    Ok(Found {
        content,
        rules,
        modified,
    })
}

/// One change at a time, whichever process makes it; the lock ends with its holder.
fn lock(host: &Host) -> Result<std::fs::File, ActionError> {
    let path = host.nginx()?.folder.join("server.conf");
    let file = std::fs::File::open(&path).map_err(ActionError::file("open", &path))?;
    for _ in 0..TRIES_MAX {
        if file.try_lock().is_ok() {
            return Ok(file);
        }
        host.world.pause(PAUSE);
    }
    Err(ActionError::NotSetUp {
        what: "another change of nginx's files takes too long".to_owned(),
    })
}

/// Replaces the file and makes nginx go by it, or leaves both as they were.
fn change(
    host: &Host,
    found: &Found,
    content: &str,
    modified: Option<SystemTime>,
) -> Result<(), ActionError> {
    let path = path(host)?;
    let settings = &host.settings;
    let is_same = found.content == content && modified.is_none_or(|time| time == found.modified);
    if !is_same {
        // What is broken already isn't ours to find out with a changed file.
        test(host)?;
        put(host, content, modified)?;
    }
    if settings.root.is_none() {
        host.disk.remove(&disk::temporary(&path))?;
    }
    if is_same && is_running(host, content)? {
        return Ok(());
    }
    let back = || put(host, &found.content, Some(found.modified));
    if !is_same && settings.root.is_some() && read(host)?.content != content {
        back()?;
        return Err(ActionError::NotSetUp {
            what: "the root helper writes another file: it needs the agent's version, and its list of stores".to_owned(),
        });
    }
    if let Err(error) = test(host) {
        back()?;
        return Err(error);
    }
    host.disk.step(&path)?;
    let told = reload(host);
    match told.and_then(|()| await_running(host, content)) {
        Ok(()) => Ok(()),
        // It was there already and nginx was asked to take it: nothing to go back to.
        Err(error) if is_same => Err(error),
        Err(error) => {
            back()?;
            host.disk.step(&path)?;
            reload(host)?;
            Err(error)
        }
    }
}

/// Writes our file: by this process, or by the root helper, which knows by the rules what is to be in it.
fn put(host: &Host, content: &str, modified: Option<SystemTime>) -> Result<(), ActionError> {
    let path = path(host)?;
    if host.settings.root.is_none() {
        return host.disk.replace(&path, content.as_bytes(), modified);
    }
    let rules = Rules(rule::read(content).ok_or(ActionError::Kept)?);
    host.disk.step(&path)?;
    host.root(&Operation::PutRules { rules, modified })
        .map(drop)
}

fn test(host: &Host) -> Result<(), ActionError> {
    match host.settings.root {
        Some(_) => host.root(&Operation::TestNginx).map(drop),
        None => host.world.run(&host.nginx()?.test, TEST_LIMIT),
    }
}

fn reload(host: &Host) -> Result<(), ActionError> {
    match host.settings.root {
        Some(_) => host.root(&Operation::ReloadNginx).map(drop),
        None => host.world.run(&host.nginx()?.reload, TEST_LIMIT),
    }
}

/// Our file for rules, whole.
pub(crate) fn http(rules: &BTreeSet<Rule>, stores: &model::StoreMap) -> String {
    maps::http(rules, stores)
}

/// Whether nginx goes by a file: it answers at the address that this file alone has.
fn is_running(host: &Host, content: &str) -> Result<bool, ActionError> {
    let Some(path) = maps::state_of(content) else {
        return Ok(false);
    };
    let ask = Ask {
        host: some_host(host),
        path,
        store: None,
    };
    Ok(host.world.ask(host.nginx()?.ask, &ask, ASK_LIMIT)? == 204)
}

/// Whether something holds, or comes to within two seconds.
fn settles(
    host: &Host,
    mut holds: impl FnMut() -> Result<bool, ActionError>,
) -> Result<bool, ActionError> {
    for _ in 1..SETTLE_TRIES {
        if holds()? {
            return Ok(true);
        }
        host.world.pause(PAUSE);
    }
    holds()
}

fn await_running(host: &Host, content: &str) -> Result<(), ActionError> {
    let mut row = 0;
    for _ in 0..TRIES_MAX {
        row = if is_running(host, content).unwrap_or(false) {
            row + 1
        } else {
            0
        };
        if row >= IN_A_ROW {
            return Ok(());
        }
        host.world.pause(PAUSE);
    }
    Err(ActionError::NotSeen {
        what: format!(
            "nginx at {} for {} doesn't go by our files: http.conf belongs into http{{}}, server.conf into each server{{}}; \
             what was before is back",
            host.nginx()?.ask,
            some_host(host)
        ),
    })
}

/// A host that the shop answers for.
pub(crate) fn some_host(host: &Host) -> String {
    let first = host.stores.hosts.keys().next();
    first.map_or_else(|| "localhost".to_owned(), Clone::clone)
}

/// Hosts that show a view by themselves.
pub(crate) fn hosts_of_view(host: &Host, code: &str) -> Vec<String> {
    let hosts = host.stores.hosts.iter();
    let shows = |run, of: &str| maps::default_view(&host.stores, run, of) == code;
    hosts
        .filter(|(_, (run, of))| shows(*run, of))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Requests that a closed view must not answer: by path, by header, and at each host that shows it by default.
pub(crate) fn probes_of_view(host: &Host, code: &str) -> Vec<(Ask, u16)> {
    let ask = |host: &str, path: String, store: Option<String>| Ask {
        host: host.to_owned(),
        path,
        store,
    };
    let any = some_host(host);
    let mut asks = vec![
        ask(&any, format!("/rest/{code}/V1/store/storeConfigs"), None),
        ask(&any, "/graphql".to_owned(), Some(code.to_owned())),
    ];
    let shown = hosts_of_view(host, code);
    asks.extend(shown.iter().map(|name| ask(name, "/".to_owned(), None)));
    asks.truncate(PROBES_MAX);
    asks.into_iter().map(|ask| (ask, 503)).collect()
}

/// What an nginx that goes by a file answers to one of our own requests; for [`memory`](crate::memory).
pub(crate) fn answer(content: &str, stores: &model::StoreMap, ask: &Ask) -> u16 {
    let Some(rules) = rule::read(content) else {
        return 500;
    };
    if maps::state_of(content).as_deref() == Some(ask.path.as_str()) {
        return 204;
    }
    let is_refused = rules.iter().any(|rule| match rule {
        Rule::Route(route) => ask.path.starts_with(route.as_str()),
        Rule::Php => ask.path.ends_with(".php"),
        Rule::View(_) | Rule::Website(_) | Rule::Network(_) => false,
    });
    if is_refused {
        return 403;
    }
    let named = ask.path.strip_prefix("/rest/");
    let named = named.and_then(|path| path.split('/').next());
    let shown = named.or(ask.store.as_deref()).or_else(|| {
        let (run, code) = stores.hosts.get(&ask.host)?;
        Some(maps::default_view(stores, *run, code))
    });
    let closed = rule::closed(&rules, stores);
    match shown {
        Some(view) if closed.contains(view) => 503,
        _ => 200,
    }
}
