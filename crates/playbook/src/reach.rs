//! Whom a step reaches by the shop's own nesting, and what undoes it, in words.

use std::collections::BTreeMap;

use model::{ActionFacts, ParameterKind, Reach, StoreMap, Touched, Undo, UndoWords};

pub(crate) fn undo(undo: Undo) -> UndoWords {
    let words = match undo {
        Undo::Whole => "all is as before".to_owned(),
        Undo::AllBut(what) => format!("all is as before but {what}"),
        Undo::MadeAnew(what) => {
            format!("{what} aren't given back; whoever needs them makes them anew")
        }
        Undo::Danger => "nothing undoes it".to_owned(),
    };
    UndoWords {
        words,
        is_danger: undo == Undo::Danger,
    }
}

pub(crate) fn touched(
    facts: &ActionFacts,
    arguments: &BTreeMap<String, String>,
    stores: &StoreMap,
) -> Touched {
    let named = |kind| {
        let parameter = facts.parameters.iter().find(|one| one.kind == kind)?;
        arguments.get(parameter.name)
    };
    let mut out = Touched::default();
    match facts.reach {
        Reach::Nobody | Reach::Actor => {}
        Reach::View => {
            match named(ParameterKind::View).map(|code| (code, stores.views.get(code))) {
                Some((code, Some(place))) => {
                    out.views.insert(code.clone());
                    if !place.website.is_empty() {
                        out.websites.insert(place.website.clone());
                    }
                }
                _ => out.is_unknown = true,
            }
        }
        Reach::Website => {
            let website = named(ParameterKind::Website);
            let of_it = |(_, place): &(&String, &model::ViewPlace)| Some(&place.website) == website;
            out.views.extend(
                stores
                    .views
                    .iter()
                    .filter(of_it)
                    .map(|(code, _)| code.clone()),
            );
            out.websites
                .extend(website.filter(|_| !out.views.is_empty()).cloned());
            out.is_unknown = out.views.is_empty();
        }
        Reach::Host | Reach::Installation => {
            out.is_everything = true;
            out.views.extend(stores.views.keys().cloned());
            let websites = stores.views.values().map(|place| place.website.clone());
            out.websites
                .extend(websites.filter(|code| !code.is_empty()));
        }
    }
    out
}
