//! What an incident is called: what happened, who did it, to what, where – in words for whoever never saw a rule.
//!
//! Apart from composing because it is words alone.

use std::borrow::Cow;

use model::{Actor, ActorKind, Asset, DataClass, Finding, Scope};

use crate::links::named;

/// Actors, assets and places a title names; more are counted.
const WHO_MAX: usize = 3;
const WHAT_MAX: usize = 4;
const WHERE_MAX: usize = 2;

/// Says what happened, by the finding that leads.
fn happened(lead: &Finding) -> Cow<'_, str> {
    let data = match lead.assets.iter().map(|asset| asset.class).max() {
        Some(DataClass::Pan | DataClass::Sad) => "Card data",
        Some(DataClass::PanTruncated) => "Payment data",
        Some(DataClass::Token) => "Stored payment tokens",
        Some(DataClass::Credential) => "Passwords or keys",
        _ => "Data",
    };
    match lead.rule.as_str() {
        "db-sqli-union" | "db-sqli-blind" => format!("{data} read by SQL injection").into(),
        "web-sqli-series" | "web-sqli-sensitive-table" => {
            "SQL injected through a page of the shop".into()
        }
        "db-dump-of-sensitive-tables" => format!("{data} copied with a dump tool").into(),
        "db-payment-unknown-shape" | "db-credentials-unknown-shape" => {
            format!("{data} read past the shop's own code").into()
        }
        "skimmer-config-sql" | "skimmer-content-sql" | "row-skimmer" => {
            "Script put into the shop's pages, where it can copy cards as they are typed".into()
        }
        "api-record-walk" | "api-record-drip" => {
            "Orders or customers read one after the other through the API".into()
        }
        _ => lead.title.trim_end_matches('.').into(),
    }
}

/// Says what happened, by whom, to what, where.
///
/// `is_page_besides`: another finding says that cards may go out as they are typed, which nobody may read past.
pub(crate) fn title(
    lead: &Finding,
    is_page_besides: bool,
    actors: &[Actor],
    assets: &[Asset],
    scopes: &[Scope],
) -> String {
    let mut out = happened(lead).into_owned();
    if is_page_besides {
        out.push_str(", and something that can copy cards as they are typed");
    }
    out.push_str(": ");
    out.push_str(&who(actors).join(", "));
    // Where data worth stealing was touched, what else was touched would only hide it.
    let is_worth = |asset: &&Asset| asset.class > DataClass::Public;
    let worth: Vec<&Asset> = assets.iter().filter(is_worth).collect();
    let assets = if worth.is_empty() {
        assets.iter().collect()
    } else {
        worth
    };
    if !assets.is_empty() {
        let names: Vec<&str> = assets
            .iter()
            .take(WHAT_MAX)
            .map(|asset| asset.name.as_str())
            .collect();
        out.push_str(" on ");
        out.push_str(&names.join(", "));
        if assets.len() > WHAT_MAX {
            out.push_str(&format!(" and {} more", assets.len() - WHAT_MAX));
        }
    }
    let known = scopes.iter().filter(|scope| **scope != Scope::Unknown);
    let places: Vec<String> = known.map(Scope::to_string).collect();
    if !places.is_empty() {
        let shown: Vec<&str> = places.iter().take(WHERE_MAX).map(String::as_str).collect();
        out.push_str(" (");
        out.push_str(&shown.join(", "));
        if places.len() > WHERE_MAX {
            out.push_str(&format!(" and {} more", places.len() - WHERE_MAX));
        }
        out.push(')');
    }
    out
}

fn who(actors: &[Actor]) -> Vec<String> {
    let mut who = Vec::new();
    let connections: Vec<&str> = actors
        .iter()
        .filter(|actor| actor.kind == ActorKind::DatabaseConnection)
        .map(|actor| actor.value.rsplit('#').next().unwrap_or(&actor.value))
        .collect();
    let others: Vec<&Actor> = actors
        .iter()
        .filter(|actor| actor.kind != ActorKind::DatabaseConnection)
        .collect();
    for actor in others.iter().take(WHO_MAX) {
        let mut name = named(actor);
        if actor.kind == ActorKind::DatabaseAccount {
            match connections.as_slice() {
                [] => {}
                [one] => name.push_str(&format!(" (connection {one})")),
                [one, rest @ ..] => {
                    name.push_str(&format!(" (connection {one} and {} more)", rest.len()));
                }
            }
        }
        who.push(name);
    }
    if others.is_empty()
        && let [one, ..] = connections.as_slice()
    {
        who.push(format!("database connection {one}"));
    }
    if others.len() > WHO_MAX {
        who.push(format!("{} more", others.len() - WHO_MAX));
    }
    if who.is_empty() {
        who.push("nobody named".to_owned());
    }
    who
}

#[cfg(test)]
mod tests {
    use model::{Actor, ActorKind, Asset, AssetKind, DataClass, Finding, Scope};

    #[track_caller]
    fn check(rule: &str, assets: &[(&str, DataClass)], scopes: &[Scope], expected: &str) {
        let assets: Vec<Asset> = assets
            .iter()
            .map(|(name, class)| Asset {
                kind: AssetKind::Table,
                name: (*name).to_owned(),
                class: *class,
            })
            .collect();
        let lead = Finding {
            title: "A rule's title.".to_owned(),
            assets: assets.clone(),
            ..crate::plain::finding(rule)
        };
        let actors = [Actor {
            kind: ActorKind::DatabaseAccount,
            value: "x".to_owned(),
        }];
        assert_eq!(
            super::title(&lead, false, &actors, &assets, scopes),
            expected
        );
    }

    #[test]
    fn names_what_copies_cards_besides() {
        let lead = crate::plain::finding("db-dump-of-sensitive-tables");
        let said = super::title(&lead, true, &[], &[], &[]);
        let expected = "Data copied with a dump tool, and something that can copy cards as they are typed: nobody named";
        assert_eq!(said, expected);
    }

    #[test]
    fn says_what_happened_and_where() {
        let fr = [Scope::View("fr".to_owned())];
        check(
            "db-payment-unknown-shape",
            &[
                ("sales_order", DataClass::Public),
                ("quote_payment", DataClass::Pan),
            ],
            &fr,
            "Card data read past the shop's own code: database account x on quote_payment (view fr)",
        );
        check(
            "db-sqli-union",
            &[("admin_user", DataClass::Credential)],
            &[Scope::Unknown],
            "Passwords or keys read by SQL injection: database account x on admin_user",
        );
        check("of-its-own", &[], &[], "A rule's title: database account x");
    }
}
