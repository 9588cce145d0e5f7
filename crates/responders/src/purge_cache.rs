//! Empties what goes on serving a poisoned page: Magento's own caches, then Varnish before them.
//!
//! The order matters: a page that Varnish asked for before Magento's caches are empty would be kept anew. The shop's own programs
//! aren't run: whoever changed the shop may have changed them.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionError, Change, Effect, Survey, keep, read_kept};
use crate::cache::Cache;
use crate::host::{CacheSettings, Host};
use crate::http::Request;

static FACTS: ActionFacts = ActionFacts {
    name: "purge_cache",
    about: "Removes the entries of Magento's caches in Redis or Valkey – all, or those with one tag – and then has Varnish forget its \
        pages; sessions stay",
    parameters: &[Parameter {
        name: "tag",
        kind: ParameterKind::CacheTag,
        is_required: false,
        about: "entries and pages with this tag alone",
    }],
    forensic_impact: ForensicImpact::Destroys,
    undo: Undo::MadeAnew("cached pages"),
    layer: Layer::Cache,
    reach: Reach::Installation,
    acts_on_cause: false,
    closes: false,
    stays_open: "a CDN, browsers and the copies that a two-level cache keeps on each web host; pub/static, which is no cache; a page that was being \
        made meanwhile may be kept once more: do it again after a minute; whether Varnish forgot can't be asked of it, its answer counts. \
        The first requests afterwards are slow. Undoing gives nothing back",
};

/// Times that entries are removed, and what is waited in between: one that is written in the second of the newest looks as old, so
/// they are removed until that second is past. Where clocks differ by more, this is the end of it.
const TURNS: u32 = 20;
const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);
/// Longest that is waited for Varnish.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(10);

/// What tells old entries from new ones.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// When the newest entry was written.
    newest: i64,
    /// Name of the mark that is set when all was done: that Varnish was asked is seen nowhere else.
    mark: String,
}

/// `purge_cache`.
pub(crate) struct PurgeCache;

impl Action for PurgeCache {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn survey(&self, host: &Host, arguments: &Arguments) -> Result<Survey, ActionError> {
        let settings = host.cache()?;
        let tag = tag(arguments);
        let (mut changes, mut newest, mut is_any) = (Vec::new(), 0, false);
        let of_tag = tag.map_or_else(String::new, |tag| format!(" with the tag {tag}"));
        for (server, cache) in settings.servers.iter().zip(&mut open(settings)?) {
            let (count, last) = cache.count(tag)?;
            // One tag may have none; a shop's caches have some.
            is_any |= count > 0 || (tag.is_some() && cache.count(None)?.0 > 0);
            newest = newest.max(last);
            changes.push(Change {
                what: format!(
                    "entries{of_tag} in database {} at {}",
                    server.database, server.at
                ),
                now: count.to_string(),
                then: "none; new ones come".to_owned(),
            });
        }
        if !is_any {
            return Err(ActionError::NotSetUp {
                what: "there are no entries: see that [cache] names the databases and the prefix that env.php does"
                    .to_owned(),
            });
        }
        for varnish in &settings.varnish {
            changes.push(Change {
                what: format!("pages{of_tag} in Varnish at {varnish}"),
                now: "unknown".to_owned(),
                then: "none; new ones come".to_owned(),
            });
        }
        let (seconds, micros) = last(&mut open(settings)?)?.time()?;
        let mark = format!("{seconds}.{micros}");
        Ok(Survey {
            changes,
            kept: keep(&Kept { newest, mark })?,
        })
    }

    fn act(&self, host: &Host, arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        if self.read_back(host, arguments, kept)? == Effect::InEffect {
            return Ok(());
        }
        let (settings, kept, tag) = (host.cache()?, read(kept)?, tag(arguments));
        let mut caches = open(settings)?;
        let step = || host.disk.steps.step("entries of a cache");
        for turn in 0..TURNS {
            let is_past = last(&mut caches)?.time()?.0 > kept.newest;
            for cache in &mut caches {
                cache.remove(tag, &step)?;
            }
            let is_over = turn + 1 == TURNS;
            match left(&mut caches, tag, kept.newest)? {
                0 if is_past || is_over => break,
                0 => {}
                _ if is_over => {
                    return Err(ActionError::NotSeen {
                        what: "entries as old as those that were removed are there again"
                            .to_owned(),
                    });
                }
                _ => {}
            }
            host.world.pause(PAUSE);
        }
        // As Magento's own request: all, or a tag between commas.
        let pattern = tag.map_or_else(|| ".*".to_owned(), |tag| format!("((^|,){tag}(,|$))"));
        for varnish in &settings.varnish {
            host.disk.steps.step(format!("Varnish at {varnish}"))?;
            let request = Request {
                method: "PURGE",
                host: varnish.to_string(),
                path: "/".to_owned(),
                headers: vec![("X-Magento-Tags-Pattern", pattern.clone())],
                body: None,
            };
            let answer = host.world.request(*varnish, &request, LIMIT);
            let answer = answer.map_err(|error| ActionError::NotSeen {
                what: format!("Varnish at {varnish}: {error}"),
            })?;
            let status = answer.status;
            if status != 200 {
                return Err(ActionError::NotSeen {
                    what: format!(
                        "Varnish at {varnish} answers {status} to PURGE instead of 200: its VCL has to let this host in (acl purge)"
                    ),
                });
            }
        }
        host.disk.steps.step("our mark")?;
        last(&mut caches)?.set_mark(&kept.mark)
    }

    fn read_back(
        &self,
        host: &Host,
        arguments: &Arguments,
        kept: &[u8],
    ) -> Result<Effect, ActionError> {
        let (kept, tag) = (read(kept)?, tag(arguments));
        let mut caches = open(host.cache()?)?;
        let is_marked = last(&mut caches)?.has_mark(&kept.mark)?;
        Ok(match (left(&mut caches, tag, kept.newest)?, is_marked) {
            (0, true) => Effect::InEffect,
            (0, false) => Effect::Partly(
                "the entries are gone, and that Varnish was purged after them isn't noted (for 30 days it is)"
                    .to_owned(),
            ),
            (left, true) => Effect::Partly(format!(
                "{left} entries as old as those that were removed are there"
            )),
            (_, false) => Effect::NotInEffect,
        })
    }

    fn undo(&self, host: &Host, _arguments: &Arguments, kept: &[u8]) -> Result<(), ActionError> {
        let kept = read(kept)?;
        let mut caches = open(host.cache()?)?;
        let cache = last(&mut caches)?;
        if cache.has_mark(&kept.mark)? {
            host.disk.steps.step("our mark")?;
            cache.remove_mark(&kept.mark)?;
        }
        Ok(())
    }
}

fn tag(arguments: &Arguments) -> Option<&str> {
    arguments.get("tag").map(model::Argument::as_str)
}

fn read(kept: &[u8]) -> Result<Kept, ActionError> {
    let kept: Kept = read_kept(kept)?;
    let is_fine = |b: u8| b.is_ascii_digit() || b == b'.';
    if kept.mark.bytes().all(is_fine) {
        Ok(kept)
    } else {
        Err(ActionError::Kept)
    }
}

fn open(settings: &CacheSettings) -> Result<Vec<Cache>, ActionError> {
    let servers = settings.servers.iter();
    servers
        .map(|server| Cache::open(settings, server))
        .collect()
}

/// Where our mark is.
fn last(caches: &mut [Cache]) -> Result<&mut Cache, ActionError> {
    caches.last_mut().ok_or_else(|| ActionError::NotSetUp {
        what: "[cache] names no `servers`".to_owned(),
    })
}

fn left(caches: &mut [Cache], tag: Option<&str>, newest: i64) -> Result<u64, ActionError> {
    let mut count = 0;
    for cache in caches {
        count += cache.count_until(tag, newest)?;
    }
    Ok(count)
}
