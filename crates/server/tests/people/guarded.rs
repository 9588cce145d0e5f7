//! A run that another store suffers from, on its page and in the API: who keeps the step, and that it takes a reason.

use axum::http::StatusCode;
use engine::containment::HostSeen;
use engine::desk::Update;
use model::{Grant, Happened, Orders, Revenue, Role, Sales, Scope, Verdict, WalkStage};
use serde_json::json;

use super::attaching::sealing;
use super::host::Shop;
use super::{now, stage};
use crate::hostile::HOSTILE;

#[test]
fn who_decides_keeps_a_step_that_a_store_suffers_from_and_says_why() {
    let on = sealing();
    on.stage.first();
    let shop = Shop::of(&on);
    shop.report(&[]);
    let lead = on.stage.invited("lead", Grant::all(Role::IncidentLead));
    let analyst = on.stage.invited("analyst", Grant::all(Role::Analyst));
    let asked = on.propose(&lead);
    let run = asked.header("location").to_owned();
    let api = format!("/api/v1{run}");
    shop.work();
    let told = on.told(&lead, &api);
    let steps = told["steps"].as_array().expect("steps");
    assert!(steps.iter().all(|step| step["guarded"].is_null()));
    let mut at = 0;
    shop.happens(|run| {
        let blocks = |step: &usize| run.action(*step) == Some("block_network");
        at = (0..run.steps.len()).find(blocks).expect("a step");
        let stage = WalkStage::Payment;
        let why = format!("403 {}", HOSTILE[0]);
        let verdicts = [
            ("de".to_owned(), Verdict::Fine),
            ("fr".to_owned(), Verdict::Broken { stage, why }),
        ];
        Happened::Guarded {
            step: at,
            verdicts: verdicts.into(),
        }
    });
    let told = on.told(&lead, &api);
    let step = &told["steps"][at];
    assert_eq!(step["guarded"]["de"], json!({"verdict": "fine"}));
    assert_eq!(step["guarded"]["fr"]["stage"], "payment");
    assert_eq!(
        (&step["heeded"], &step["holds"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(told["takes"], json!(["yes", "undo", "close"]));
    let page = on.stage.get(&lead, &run).body;
    for part in [
        format!("Since step {} ", at + 1),
        "the view fr no longer sells (at payment: 403".to_owned(),
        "Keep the step, or undo the run?".to_owned(),
        "Keep it".to_owned(),
        "de still sells; fr: broken at payment since this step".to_owned(),
    ] {
        assert!(page.contains(&part), "{part}: {page}");
    }
    assert!(!page.contains(HOSTILE[0]), "{page}");
    // Who only works on the incident sees it, and neither keeps nor undoes.
    let page = on.stage.get(&analyst, &run).body;
    assert!(page.contains("no longer sells") && !page.contains("Keep it"));
    let refused = on.say(&analyst, &run, "yes", "go on");
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.body);
    let short = on.say(&lead, &run, "yes", "");
    assert_eq!(short.status, StatusCode::CONFLICT);
    assert!(short.body.contains("Write why"), "{}", short.body);
    let kept = on.say(&lead, &run, "yes", "the leak is worse");
    assert_eq!(kept.status, StatusCode::SEE_OTHER, "{}", kept.body);
    let page = on.stage.get(&lead, &run).body;
    assert!(page.contains("Said by lead: Keep it"), "{page}");
    shop.work();
    let told = on.told(&lead, &api);
    assert_eq!(told["steps"][at]["heeded"], true);
    let page = on.stage.get(&lead, &run).body;
    assert!(page.contains("it holds because a person says so"), "{page}");
    assert!(page.contains("“the leak is worse”") && !page.contains("Keep it"));
}

#[test]
fn a_plan_tells_what_the_stores_sold_that_it_reaches_and_nobody_of_anothers() {
    let stage = stage();
    stage.first();
    let orders = |hour_before| Orders {
        last_10_minutes: 1,
        hour_before,
    };
    let views = [("us_en", orders(4)), ("fr", orders(8))];
    let seen = HostSeen {
        at: now(),
        sales: Some(Sales {
            at: now(),
            views: views.map(|(code, orders)| (code.to_owned(), orders)).into(),
            revenue: [("us_en", 12_050, "USD"), ("fr", 81_200, "EUR")]
                .map(|(code, hundredths, currency)| {
                    let currency = currency.to_owned();
                    let revenue = Revenue {
                        hundredths,
                        currency,
                    };
                    (code.to_owned(), revenue)
                })
                .into(),
        }),
        ..HostSeen::default()
    };
    stage.desk.publish(Update::Host("shop1".to_owned(), seen));
    let scope = Scope::Website("us".to_owned());
    let role = Role::IncidentLead;
    let (all, us) = (
        stage.invited("all", Grant::all(role)),
        stage.invited("us", Grant { role, scope }),
    );
    let path =
        "/incidents/i1/plans/web-shell?v.__file__=pub%2Fmedia%2Fx.php&v.__network__=203.0.113.66";
    let told = stage.get(&all, path).body;
    assert!(
        told.contains("14 orders in the 70 minutes before"),
        "{told}"
    );
    assert!(
        told.contains(", 12 an hour: fr 9 (EUR 812.00), us_en 5 (USD 120.50)"),
        "{told}"
    );
    let told = stage.get(&us, path).body;
    assert!(told.contains("5 orders in the 70 minutes before"), "{told}");
    assert!(!told.contains("fr 9") && !told.contains("EUR"), "{told}");
}
