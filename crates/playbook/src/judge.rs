//! What is said of the views outside of a step's scope: pure, from how they were seen before it and after it.
//!
//! Invariants: a view inside of the scope is never judged; trouble that began before the step is never [`Verdict::Broken`]; nor is
//! what an attacker can cause by load, or by orders that stop.

use std::collections::BTreeMap;

use model::{Look, Touched, UnknownWhy, Verdict, ViewLook, WalkEnd};

/// Judges every view of either look that isn't `touched` by the step.
#[must_use]
pub fn judge(before: &Look, after: &Look, touched: &Touched) -> BTreeMap<String, Verdict> {
    if touched.is_everything {
        return BTreeMap::new();
    }
    let seen = before.views.keys().chain(after.views.keys());
    seen.filter(|code| !touched.views.contains(*code))
        .map(|code| {
            let verdict = if touched.is_unknown {
                unknown(UnknownWhy::Scope)
            } else {
                of_view(before.views.get(code), after.views.get(code))
            };
            (code.clone(), verdict)
        })
        .collect()
}

const fn unknown(why: UnknownWhy) -> Verdict {
    Verdict::Unknown { why }
}

fn of_view(before: Option<&ViewLook>, after: Option<&ViewLook>) -> Verdict {
    let Some(after) = after else {
        return unknown(UnknownWhy::After);
    };
    let was = before.map(|look| &look.walk.end);
    match (&after.walk.end, was) {
        (WalkEnd::Passed, _) if orders_stopped_since(before, after) => unknown(UnknownWhy::Orders),
        (WalkEnd::Passed, _) => Verdict::Fine,
        (_, Some(WalkEnd::Failed { .. })) => Verdict::WasBroken,
        (WalkEnd::Overload { .. }, _) => unknown(UnknownWhy::Overload),
        (WalkEnd::Passive { .. }, _) => unknown(UnknownWhy::Passive),
        (WalkEnd::Failed { stage, why }, Some(WalkEnd::Passed)) => Verdict::Broken {
            stage: *stage,
            why: why.clone(),
        },
        // It may have begun before the step, unseen behind load or a challenge.
        (WalkEnd::Failed { .. }, _) => unknown(UnknownWhy::Before),
    }
}

/// Whether orders came before the step and have stopped after it.
fn orders_stopped_since(before: Option<&ViewLook>, after: &ViewLook) -> bool {
    let stopped = |look: &ViewLook| look.orders.is_some_and(model::Orders::have_stopped);
    stopped(after) && !before.is_some_and(stopped)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::judge;
    use model::{
        Leftover, Look, Orders, Touched, UnknownWhy, Verdict, ViewLook, Walk, WalkEnd, WalkStage,
    };
    use proptest::prelude::*;

    fn look(end: WalkEnd, orders: Option<(u32, u32)>) -> ViewLook {
        ViewLook {
            walk: Walk {
                stages: Vec::new(),
                tries: 1,
                end,
                left: Leftover::Nothing,
            },
            orders: orders.map(|(last_10_minutes, hour_before)| Orders {
                last_10_minutes,
                hour_before,
            }),
        }
    }

    fn failed(stage: WalkStage) -> WalkEnd {
        let why = "404".to_owned();
        WalkEnd::Failed { stage, why }
    }

    fn overload() -> WalkEnd {
        let (stage, why) = (WalkStage::Cart, "429".to_owned());
        WalkEnd::Overload { stage, why }
    }

    fn passive() -> WalkEnd {
        let (stage, why) = (WalkStage::Home, "a challenge".to_owned());
        WalkEnd::Passive { stage, why }
    }

    const FIVE: Option<(u32, u32)> = Some((5, 90));
    const NONE: Option<(u32, u32)> = Some((0, 90));

    #[track_caller]
    fn check(before: Option<ViewLook>, after: Option<ViewLook>, expected: &Verdict) {
        let views = |look: Option<ViewLook>| Look {
            views: look
                .map(|look| ("de".to_owned(), look))
                .into_iter()
                .collect(),
            ..Look::default()
        };
        let told = judge(&views(before), &views(after), &Touched::default());
        assert_eq!(told.get("de"), Some(expected));
    }

    #[test]
    fn each_end_after_each_end_has_its_verdict() {
        let unknown = |why| Verdict::Unknown { why };
        let passed = || Some(look(WalkEnd::Passed, FIVE));
        let fails = |stage| Some(look(failed(stage), FIVE));
        let broken = Verdict::Broken {
            stage: WalkStage::Category,
            why: "404".to_owned(),
        };
        check(passed(), passed(), &Verdict::Fine);
        check(None, passed(), &Verdict::Fine);
        check(fails(WalkStage::Home), passed(), &Verdict::Fine);
        check(passed(), fails(WalkStage::Category), &broken);
        // It began elsewhere, and before.
        let was = Verdict::WasBroken;
        check(fails(WalkStage::Payment), fails(WalkStage::Home), &was);
        check(fails(WalkStage::Home), Some(look(overload(), None)), &was);
        check(
            passed(),
            Some(look(overload(), None)),
            &unknown(UnknownWhy::Overload),
        );
        check(
            passed(),
            Some(look(passive(), None)),
            &unknown(UnknownWhy::Passive),
        );
        for before in [
            None,
            Some(look(overload(), None)),
            Some(look(passive(), None)),
        ] {
            check(before, fails(WalkStage::Home), &unknown(UnknownWhy::Before));
        }
        check(passed(), None, &unknown(UnknownWhy::After));
        let stopped = || Some(look(WalkEnd::Passed, NONE));
        check(passed(), stopped(), &unknown(UnknownWhy::Orders));
        check(stopped(), stopped(), &Verdict::Fine);
    }

    #[test]
    fn nothing_is_said_where_the_scope_is_everything_or_unknown() {
        let of = |end| Look {
            views: [("de".to_owned(), look(end, None))].into(),
            ..Look::default()
        };
        let (before, after) = (of(WalkEnd::Passed), of(failed(WalkStage::Home)));
        let everything = Touched {
            is_everything: true,
            ..Touched::default()
        };
        assert_eq!(judge(&before, &after, &everything), BTreeMap::new());
        let somewhere = Touched {
            is_unknown: true,
            ..Touched::default()
        };
        let why = UnknownWhy::Scope;
        let expected = [("de".to_owned(), Verdict::Unknown { why })].into();
        assert_eq!(judge(&before, &after, &somewhere), expected);
    }

    fn any_end() -> impl Strategy<Value = WalkEnd> {
        prop_oneof![
            Just(WalkEnd::Passed),
            prop::sample::select(WalkStage::ALL.to_vec()).prop_map(failed),
            Just(overload()),
            Just(passive()),
        ]
    }

    prop_compose! {
        fn any_look()(
            views in prop::collection::btree_map(
                "[a-d]",
                (any_end(), prop::option::of((0..9_u32, 0..99_u32))).prop_map(|(end, orders)| look(end, orders)),
                0..4,
            ),
        ) -> Look {
            Look { views, ..Look::default() }
        }
    }

    proptest! {
        #[test]
        fn only_what_passed_before_and_fails_after_is_broken(
            before in any_look(),
            after in any_look(),
            views in prop::collection::btree_set("[a-d]", 0..3),
            is_everything in any::<bool>(),
            is_unknown in any::<bool>(),
        ) {
            let touched = Touched { views, websites: BTreeSet::new(), is_everything, is_unknown };
            let told = judge(&before, &after, &touched);
            for view in &touched.views {
                prop_assert!(!told.contains_key(view), "inside of the scope");
            }
            prop_assert!(!is_everything || told.is_empty());
            for (view, verdict) in told {
                let end = |look: &Look| look.views.get(&view).map(|look| look.walk.end.clone());
                let is_broken = matches!(verdict, Verdict::Broken { .. });
                let passed_and_fails = end(&before) == Some(WalkEnd::Passed)
                    && matches!(end(&after), Some(WalkEnd::Failed { .. }));
                prop_assert_eq!(is_broken, passed_and_fails && !is_unknown);
                if matches!(verdict, Verdict::WasBroken) {
                    let was_broken = matches!(end(&before), Some(WalkEnd::Failed { .. }));
                    prop_assert!(was_broken);
                }
                if verdict == Verdict::Fine {
                    prop_assert_eq!(end(&after), Some(WalkEnd::Passed));
                }
            }
        }

        #[test]
        fn what_is_written_is_read_back(look in any_look()) {
            let text = serde_json::to_string(&look).expect("JSON");
            prop_assert_eq!(serde_json::from_str::<Look>(&text).expect("the same"), look);
        }
    }
}
