//! What a step costs the stores that it reaches, and what waiting costs their customers: both from orders that a host counted.

use std::collections::BTreeMap;

use engine::containment::HostSeen;
use model::{Orders, PlanStep, Revenue, Sales, Scope, StoreMap};

use crate::pages::Frame;

/// Views whose orders are told one by one.
const SOLD_MAX: usize = 8;
/// Minutes that orders are counted over.
const MINUTES: u64 = 70;

/// What the host counted that looked last; `None` where none does.
pub(super) fn latest(hosts: &[(String, HostSeen)]) -> Option<&Sales> {
    let counted = hosts.iter().filter_map(|(_, host)| host.sales.as_ref());
    counted.max_by_key(|sales| sales.at)
}

/// What the stores sold that a step reaches, in words; empty where it reaches none of those counted.
pub(super) fn sold(sales: &Sales, step: &PlanStep, frame: &Frame) -> String {
    let model::Work::Action { touched, .. } = &step.work else {
        return String::new();
    };
    let views = counts(sales, |code| {
        touched.is_everything || touched.views.contains(code)
    });
    if views.is_empty() {
        return String::new();
    }
    let all: u64 = views.iter().map(|(_, orders)| orders).sum();
    let each = views.iter().take(SOLD_MAX);
    let each: Vec<String> = each
        .map(|(code, orders)| match sales.revenue.get(*code) {
            Some(revenue) => format!("{code} {orders} ({})", amount(revenue)),
            None => format!("{code} {orders}"),
        })
        .collect();
    let more = match views.len().saturating_sub(SOLD_MAX) {
        0 => String::new(),
        more => format!(" and {more} more views"),
    };
    format!(
        "{all} orders in the {MINUTES} minutes before {}, {} an hour: {}{more}{}",
        frame.words(&sales.at),
        all * 60 / MINUTES,
        each.join(", "),
        hourly(&views, &sales.revenue)
    )
}

/// What waiting costs, in words: nothing is made up where it can't be known.
pub(super) fn waiting(
    (channels, scopes): (&[String], &[Scope]),
    stores: &StoreMap,
    sales: Option<&Sales>,
) -> String {
    if !channels.iter().any(|channel| channel == incident::PAGE) {
        return "not known: no log counts what is read in a minute while nothing is done"
            .to_owned();
    }
    let Some(sales) = sales else {
        return "every card that is typed meanwhile may be copied; how many, nothing counts here: no host with a guard counts orders \
                ([guard] and [database] of host.toml, docs/containment.md)"
            .to_owned();
    };
    let views = counts(sales, |code| {
        scopes.iter().any(|scope| holds(scope, code, stores))
    });
    let all: u64 = views.iter().map(|(_, orders)| orders).sum();
    let names: Vec<&str> = views.iter().map(|(code, _)| code.as_str()).collect();
    let shown = names.iter().take(SOLD_MAX).copied();
    let (rate, of) = (all * 10 / MINUTES, shown.collect::<Vec<_>>().join(", "));
    match views.len() {
        0 => "every card that is typed meanwhile may be copied; of the stores it lies in no orders are counted".to_owned(),
        _ => format!(
            "every card that is typed meanwhile may be copied: {}.{} orders a minute are placed in {of}{}, and cards are typed without an order, too",
            rate / 10,
            rate % 10,
            if names.len() > SOLD_MAX { " and others" } else { "" }
        ),
    }
}

/// Views with orders of both spans together.
fn counts(sales: &Sales, is_meant: impl Fn(&String) -> bool) -> Vec<(&String, u64)> {
    let both = |orders: &Orders| u64::from(orders.last_10_minutes) + u64::from(orders.hour_before);
    let views = sales.views.iter().filter(|(code, _)| is_meant(code));
    views.map(|(code, orders)| (code, both(orders))).collect()
}

/// Whether a place holds a view; one that isn't known may hold any.
fn holds(scope: &Scope, code: &str, stores: &StoreMap) -> bool {
    match scope {
        Scope::View(view) => view == code,
        Scope::Website(website) => {
            let view = stores.views.get(code);
            view.is_none_or(|view| view.website == *website)
        }
        _ => true,
    }
}

fn amount(revenue: &Revenue) -> String {
    let (whole, part) = (revenue.hundredths / 100, revenue.hundredths % 100);
    format!("{} {whole}.{part:02}", revenue.currency)
}

/// What they come to in an hour, by currency; empty where it isn't known of every view that sold.
fn hourly(views: &[(&String, u64)], revenue: &BTreeMap<String, Revenue>) -> String {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (code, orders) in views {
        match revenue.get(*code) {
            Some(one) => {
                let sum = sums.entry(&one.currency).or_default();
                *sum = sum.saturating_add(one.hundredths);
            }
            None if *orders == 0 => {}
            None => return String::new(),
        }
    }
    if sums.is_empty() {
        return String::new();
    }
    let sums = sums.into_iter().map(|(currency, hundredths)| {
        amount(&Revenue {
            // Of an hour, without what a multiplication could exceed.
            hundredths: hundredths / MINUTES * 60 + hundredths % MINUTES * 60 / MINUTES,
            currency: currency.to_owned(),
        })
    });
    format!("; {} an hour", sums.collect::<Vec<_>>().join(" and "))
}

#[cfg(test)]
mod tests {
    use super::{Orders, Revenue, Sales, Scope, StoreMap, counts, hourly, waiting};
    use model::Timestamp;

    fn sales() -> Sales {
        let orders = |hour_before| Orders {
            last_10_minutes: 7,
            hour_before,
        };
        let revenue = |hundredths, currency: &str| Revenue {
            hundredths,
            currency: currency.to_owned(),
        };
        Sales {
            at: Timestamp(0),
            views: [("fr".to_owned(), orders(28)), ("us".to_owned(), orders(0))].into(),
            revenue: [
                ("fr".to_owned(), revenue(7_000, "EUR")),
                ("us".to_owned(), revenue(u64::MAX, "USD")),
            ]
            .into(),
        }
    }

    #[track_caller]
    fn check(channels: &[&str], scope: Scope, sales: Option<&Sales>, expected: &str) {
        let channels: Vec<String> = channels.iter().map(|&one| one.to_owned()).collect();
        let said = waiting((&channels, &[scope]), &StoreMap::default(), sales);
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn waiting_costs_the_cards_that_are_typed_meanwhile_where_that_is_known() {
        let sales = sales();
        let page = &[incident::PAGE];
        let fr = || Scope::View("fr".to_owned());
        check(
            page,
            fr(),
            Some(&sales),
            "0.5 orders a minute are placed in fr,",
        );
        check(
            page,
            Scope::Installation,
            Some(&sales),
            "0.6 orders a minute are placed in fr, us,",
        );
        check(
            page,
            Scope::View("de".to_owned()),
            Some(&sales),
            "no orders are counted",
        );
        check(page, fr(), None, "no host with a guard counts orders");
        check(&["database"], fr(), Some(&sales), "not known");
    }

    #[test]
    fn what_is_sold_in_an_hour_is_told_by_currency_and_only_where_it_is_known_of_all() {
        let sales = sales();
        let views = counts(&sales, |_| true);
        let told = hourly(&views, &sales.revenue);
        assert_eq!(told, "; EUR 60.00 and USD 158114949203224728.12 an hour");
        let mut some = sales.revenue.clone();
        some.remove("us");
        assert_eq!(hourly(&views, &some), "");
    }
}
