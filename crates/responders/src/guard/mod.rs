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
use tour::{Stays, Tour};

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
    let counted = database::orders(host);
    let mut out = Look::default();
    for view in wanted {
        let walk = walk(host, view)?;
        let orders = counted.as_ref().ok().and_then(|all| all.get(view));
        let look = ViewLook {
            walk,
            orders: orders.copied(),
        };
        out.views.insert(view.clone(), look);
    }
    if let Err(error) = counted {
        out.orders_lack = error.to_string();
    }
    Ok(out)
}

/// Walks one view: once when it passes or wants to see a person, else up to three times.
///
/// It takes at most 3 · 8 times `limit_seconds` and 6 s. What fails at each try has failed; where one of them fails as under load, it is load.
///
/// # Errors
///
/// [`ActionError`] when the host isn't set up for it. What the shop does is never an error.
pub fn walk(host: &Host, view: &str) -> Result<Walk, ActionError> {
    let of_view = of_view(host, view)?;
    let (at, settings) = (host.nginx()?.ask, host.guard()?);
    let tour = || Tour::new(host, at, settings, (view, of_view)).go();
    let (mut last, mut tries) = (tour(), 1);
    let (mut stays, mut overload) = (vec![last.stays], None);
    while let WalkEnd::Failed { .. } | WalkEnd::Overload { .. } = last.end {
        if matches!(last.end, WalkEnd::Overload { .. }) {
            overload = Some(last.end.clone());
        }
        if tries == TRIES_MAX {
            last.end = overload.unwrap_or(last.end);
            break;
        }
        host.world.pause(PAUSE);
        last = tour();
        tries += 1;
        stays.push(last.stays);
    }
    Ok(Walk {
        stages: last.stages,
        tries,
        end: last.end,
        left: left(stays),
    })
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
fn left(tries: Vec<Stays>) -> Leftover {
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
