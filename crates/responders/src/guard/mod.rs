//! The guard: whether stores still sell, as a guest sees it who goes up to the payment and turns away.
//!
//! It is apart because it changes nothing and undoes nothing: it looks, and says what it saw in plain values ([`model::Look`]).
//! It asks this host's own web server, not a status page: `health_check.php` is a file that an attacker writes to. Invariants: no
//! order is placed, nothing is paid, no address of a person is given; every answer has limits of size and time.

mod database;
mod settings;
#[cfg(test)]
mod tests;
mod told;
mod tour;

use std::time::Duration;

use model::{Argument, Leftover, Look, ParameterKind, ViewLook, Walk, WalkEnd};

use crate::ActionError;
use crate::host::Host;
use crate::nginx;
use tour::{Stays, Tour, Tried};

pub use settings::{GuardSettings, ViewSettings};

/// How often a view is walked before a failure is one.
const TRIES_MAX: u32 = 3;
/// Between two tries: longer than php-fpm or nginx takes to be reloaded.
const PAUSE: Duration = Duration::from_secs(3);

/// Walks every view of `[guard]`, or those that are named, and counts orders.
///
/// # Errors
///
/// [`ActionError`] when the host isn't set up for it. What the shop does is never an error.
pub fn look(host: &Host, views: &[String]) -> Result<Look, ActionError> {
    let settings = host.guard()?;
    if settings.view.is_empty() {
        return Err(ActionError::NotSetUp {
            what: "[guard] names no view".to_owned(),
        });
    }
    let wanted: Vec<&String> = if views.is_empty() {
        settings.view.keys().collect()
    } else {
        views.iter().collect()
    };
    // All of them before the first is asked: half a look would be taken for a whole one.
    for view in &wanted {
        of_view(host, view)?;
    }
    let counted = database::counted(host);
    let mut out = Look::default();
    let walks = walks(host, &wanted)?;
    for (view, walk) in wanted.into_iter().zip(walks) {
        let orders = counted.as_ref().ok();
        let orders = orders.and_then(|all| all.orders.get(view));
        let look = ViewLook {
            walk,
            orders: orders.copied(),
        };
        out.views.insert(view.clone(), look);
    }
    match counted {
        Ok(counted) => out.revenue = counted.revenue,
        Err(error) => out.orders_lack = error.to_string(),
    }
    out.revenue.retain(|view, _| out.views.contains_key(view));
    Ok(out)
}

/// Walks views: once where one passes or wants to see a person, else up to three times, all that failed together, so that many that fail
/// take no longer to be known than one. What fails at each try has failed; where one of them fails as under load, it is load.
///
/// It takes at most 3 · 8 times `limit_seconds` for each, and 6 s.
fn walks(host: &Host, views: &[&String]) -> Result<Vec<Walk>, ActionError> {
    let (at, settings) = (host.nginx()?.ask, host.guard()?);
    let tour = |view: &str, of: &ViewSettings| Tour::new(host, at, settings, (view, of)).go();
    let mut all = Vec::with_capacity(views.len());
    for view in views {
        let (of, tries) = (of_view(host, view)?, Vec::new());
        all.push(Walking { view, of, tries });
    }
    for round in 0..TRIES_MAX {
        if round > 0 && all.iter().any(Walking::goes_on) {
            host.world.pause(PAUSE);
        }
        for one in all.iter_mut().filter(|one| one.goes_on()) {
            one.tries.push(tour(one.view, one.of));
        }
    }
    Ok(all.into_iter().map(Walking::end).collect())
}

/// One view and what came of each try so far.
struct Walking<'a> {
    view: &'a str,
    of: &'a ViewSettings,
    tries: Vec<Tried>,
}

impl Walking<'_> {
    /// Whether it wasn't walked yet, or failed.
    fn goes_on(&self) -> bool {
        let last = self.tries.last().map(|last| &last.end);
        matches!(
            last,
            None | Some(WalkEnd::Failed { .. } | WalkEnd::Overload { .. })
        )
    }

    fn end(mut self) -> Walk {
        let (goes_on, tries) = (self.goes_on(), self.tries.len());
        let last = self.tries.pop().expect("it was walked");
        let is_load = |end: &WalkEnd| matches!(end, WalkEnd::Overload { .. });
        let before = self.tries.iter().rev().map(|one| &one.end);
        let load = before
            .filter(|end| is_load(end) && goes_on)
            .find(|_| !is_load(&last.end));
        let end = load.unwrap_or(&last.end).clone();
        let stays = self.tries.into_iter().map(|one| one.stays);
        Walk {
            stages: last.stages,
            tries: u32::try_from(tries).unwrap_or(TRIES_MAX),
            end,
            left: left(stays.chain([last.stays])),
        }
    }
}

/// What is asked of a view, if that would be asked of this view and no other.
fn of_view<'a>(host: &'a Host, view: &str) -> Result<&'a ViewSettings, ActionError> {
    let set_up = |what: String| ActionError::NotSetUp { what };
    let of = host.guard()?.view.get(view);
    let of = of.ok_or_else(|| set_up(format!("[guard] has no part [guard.view.{view}]")))?;
    // It becomes part of a path.
    let is_code = Argument::read(ParameterKind::View, view).is_ok();
    if !is_code || !host.stores.views.contains_key(view) {
        return Err(ActionError::refused(format!(
            "the shop has no store view {view}"
        )));
    }
    let is_its_host = nginx::hosts_of_view(host, view).contains(&of.host);
    for path in [&of.home, &of.category, &of.product] {
        let in_path = host.stores.code_in_path == Some(true)
            && path
                .strip_prefix('/')
                .and_then(|path| path.split(['/', '?']).next())
                == Some(view);
        let in_query = path.split_once('?').is_some_and(|(_, query)| {
            query
                .split('&')
                .any(|part| part.strip_prefix("___store=") == Some(view))
        });
        if !(is_its_host || in_path || in_query) {
            return Err(set_up(format!(
                "{path} at {} isn't of {view}, as stores.toml has it: name a host that shows it, or add ___store={view}",
                of.host
            )));
        }
    }
    Ok(of)
}

/// What stays of all tries.
fn left(tries: impl Iterator<Item = Stays>) -> Leftover {
    let (mut carts, mut empty) = ((0, String::new()), (0, String::new()));
    for stays in tries {
        let (counted, why) = match stays {
            Stays::Nothing => continue,
            Stays::Empty(why) => (&mut empty, why),
            Stays::Cart(why) => (&mut carts, why),
        };
        *counted = (counted.0 + 1, why);
    }
    match (carts, empty) {
        ((0, _), (0, _)) => Leftover::Nothing,
        ((0, _), (carts, why)) => Leftover::EmptyCarts { carts, why },
        ((full, why), (empty, _)) => Leftover::Carts {
            carts: full + empty,
            why,
        },
    }
}
