//! `guard`: walks the shop's views once, up to the payment, and shows what came of each stage.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use model::{Leftover, Look, ViewLook, WalkEnd};
use responders::{Host, HostSettings};

use super::FOUND;
use super::settings::read_stores;
use crate::failure::{Failure, OrFail};
use crate::terminal::inert;

/// What `guard` is told.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    magewarden guard --host host.toml --stores stores.toml                  every view of [guard]\n  \
    magewarden guard --host host.toml --stores stores.toml --view fr        one of them\n  \
    magewarden guard --host host.toml --stores stores.toml --json | jq '.views[].walk.end'\n\n\
    On the shop's own host (docs/containment.md, The guard). It makes a guest's cart and takes it away again; it never pays, places no\n\
    order and gives no address of a person. A stage that fails is tried three times, three seconds apart.\n\n\
    Exit codes: 0 every view passed, or wants to see a person; 1 error; 2 usage; 10 a view didn't pass.")]
pub(crate) struct Guard {
    /// What is there on this host (TOML; docs/containment.md)
    #[arg(long, value_name = "FILE")]
    host: PathBuf,
    /// Websites, stores, views and hosts of the shop (TOML; docs/stores.md)
    #[arg(long, value_name = "FILE")]
    stores: PathBuf,
    /// A view that is walked, by its code; may be repeated [default: all of [guard]]
    #[arg(long = "view", value_name = "CODE")]
    views: Vec<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

impl Guard {
    /// Runs it.
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let text = std::fs::read_to_string(&self.host).or_fail("check the path of --host")?;
        let settings: HostSettings =
            toml::from_str(&text).or_fail("docs/containment.md shows one")?;
        let host = Host::new(settings, read_stores(Some(&self.stores))?);
        let look = responders::look(&host, &self.views);
        let look = look.map_err(|error| Failure::new(&error, error.next()))?;
        let text = if self.json {
            let text = serde_json::to_string_pretty(&look).or_fail("this is a mistake of ours")?;
            text + "\n"
        } else {
            table(&look)
        };
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())
            .or_fail("check where the output goes")?;
        let nothing_found = look.views.values().all(is_unsuspicious);
        Ok(ExitCode::from(if nothing_found { 0 } else { FOUND }))
    }
}

/// Whether nothing was found: it passed, or can't be walked.
const fn is_unsuspicious(view: &ViewLook) -> bool {
    matches!(view.walk.end, WalkEnd::Passed | WalkEnd::Passive { .. })
}

/// A look for people: a line a stage, and what came of the view below them.
fn table(look: &Look) -> String {
    let mut out = String::new();
    for (name, view) in &look.views {
        let code = inert(name);
        for one in &view.walk.stages {
            let status = one
                .status
                .map_or_else(|| "-".to_owned(), |status| status.to_string());
            out.push_str(&format!(
                "{code:16} {:9} {status:>3} {:>6} ms\n",
                one.stage.name(),
                one.milliseconds
            ));
        }
        let end = match &view.walk.end {
            WalkEnd::Passed => "passed".to_owned(),
            WalkEnd::Failed { stage, why } => format!("failed at {}: {why}", stage.name()),
            WalkEnd::Overload { stage, why } => {
                format!("failed at {} as under load: {why}", stage.name())
            }
            WalkEnd::Passive { stage, why } => {
                format!("not walked beyond {}: {why}", stage.name())
            }
        };
        let tries = match view.walk.tries {
            1 => String::new(),
            tries => format!(" ({tries} tries)"),
        };
        let orders = view.orders.map_or_else(String::new, |orders| {
            format!(
                "; orders: {} in 10 minutes, {} in the hour before",
                orders.last_10_minutes, orders.hour_before
            )
        });
        let revenue = look.revenue.get(name).map_or_else(String::new, |one| {
            let (whole, part) = (one.hundredths / 100, one.hundredths % 100);
            format!(", {} {whole}.{part:02} in both", inert(&one.currency))
        });
        out.push_str(&format!(
            "{code:16} {}{tries}{orders}{revenue}\n",
            inert(&end)
        ));
        let left = match &view.walk.left {
            Leftover::Nothing => continue,
            Leftover::EmptyCarts { carts, why } => (carts, "empty carts of the guard's", why),
            Leftover::Carts { carts, why } => (carts, "carts of the guard's", why),
        };
        let (carts, what, why) = left;
        out.push_str(&format!("{code:16} left: {carts} {what}: {}\n", inert(why)));
    }
    if !look.orders_lack.is_empty() {
        out.push_str(&format!(
            "orders aren't counted: {}\n",
            inert(&look.orders_lack)
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{is_unsuspicious, table};
    use model::{Leftover, Look, Orders, Passage, Revenue, ViewLook, Walk, WalkEnd, WalkStage};

    fn look(end: WalkEnd, left: Leftover, orders: Option<Orders>) -> ViewLook {
        let passage = |stage, status, milliseconds| Passage {
            stage,
            status,
            milliseconds,
        };
        let walk = Walk {
            stages: vec![
                passage(WalkStage::Home, Some(200), 12),
                passage(WalkStage::Category, None, 10_000),
            ],
            tries: 3,
            end,
            left,
        };
        ViewLook { walk, orders }
    }

    #[test]
    fn a_look_is_shown_stage_by_stage() {
        let (stage, why) = (WalkStage::Category, "no answer within 10000 ms".to_owned());
        let left = Leftover::EmptyCarts {
            carts: 2,
            why: "the host's settings have no part [database]".to_owned(),
        };
        let orders = Some(Orders {
            last_10_minutes: 3,
            hour_before: 21,
        });
        let revenue = Revenue {
            hundredths: 90_405,
            currency: "EUR".to_owned(),
        };
        let shown = table(&Look {
            views: [(
                "fr".to_owned(),
                look(WalkEnd::Overload { stage, why }, left, orders),
            )]
            .into(),
            orders_lack: String::new(),
            revenue: [("fr".to_owned(), revenue)].into(),
        });
        let expected = "\
fr               home      200     12 ms
fr               category    -  10000 ms
fr               failed at category as under load: no answer within 10000 ms (3 tries); orders: 3 in 10 minutes, 21 in the hour before, EUR 904.05 in both
fr               left: 2 empty carts of the guard's: the host's settings have no part [database]
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn only_a_view_that_did_not_pass_is_found() {
        let (stage, why) = (WalkStage::Cart, String::new());
        let told = [
            WalkEnd::Passed,
            WalkEnd::Passive {
                stage,
                why: why.clone(),
            },
            WalkEnd::Failed {
                stage,
                why: why.clone(),
            },
            WalkEnd::Overload { stage, why },
        ]
        .map(|end| is_unsuspicious(&look(end, Leftover::Nothing, None)));
        assert_eq!(told, [true, true, false, false]);
    }
}
