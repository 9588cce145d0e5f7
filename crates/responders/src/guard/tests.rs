//! Walks through the shop in memory, with answers put in its way; a real shop is walked by `tests/services/guard.py`.

use std::sync::{Arc, Mutex};

use model::{Leftover, Walk, WalkEnd, WalkStage};

use super::{look, walks};
use crate::host::Host;
use crate::http::{Answer, NoAnswer, Request};
use crate::{action, memory};

/// An answer that is given instead of the shop's, so many times, to requests whose method and path hold a text.
struct Instead {
    to: &'static str,
    times: u32,
    answer: Result<(u16, &'static str), NoAnswer>,
}

type Asked = Arc<Mutex<Vec<Request>>>;

/// The shop in memory, with answers put in its way, and what it is asked.
fn shop(folder: &tempfile::TempDir, instead: Vec<Instead>) -> (Host, Asked) {
    let host = memory::host(folder.path()).expect("a host");
    let asked = Asked::default();
    let (instead, all) = (Mutex::new(instead), Arc::clone(&asked));
    let answering: Box<memory::Answering> = Box::new(move |shop, at, request, limit| {
        all.lock().expect("asked").push(request.clone());
        let named = format!("{} {}", request.method, request.path);
        let mut instead = instead.lock().expect("instead");
        let found = instead
            .iter_mut()
            .find(|one| one.times > 0 && named.contains(one.to));
        let Some(found) = found else {
            return shop.request(at, request, limit);
        };
        found.times -= 1;
        let (status, body) = found.answer.clone()?;
        Ok(Answer {
            status,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        })
    });
    (memory::answering(host, answering), asked)
}

fn failed(stage: WalkStage, why: &str) -> WalkEnd {
    let why = why.to_owned();
    WalkEnd::Failed { stage, why }
}

fn overload(stage: WalkStage, why: &str) -> WalkEnd {
    let why = why.to_owned();
    WalkEnd::Overload { stage, why }
}

/// A walk through the view `fr`.
fn walk(host: &Host) -> Walk {
    let view = "fr".to_owned();
    walks(host, &[&view]).expect("a walk").remove(0)
}

#[track_caller]
fn check(instead: Vec<Instead>, end: &WalkEnd, tries: u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let (host, asked) = shop(&folder, instead);
    let walk = walk(&host);
    assert_eq!((&walk.end, walk.tries), (end, tries));
    for request in asked.lock().expect("asked").iter() {
        let body = request.body.as_deref().unwrap_or_default();
        assert!(!request.path.contains("payment-information") && !request.path.contains("/order"));
        assert!(!body.contains('@') && !body.contains("mail"), "{body}");
        let mark = ("User-Agent", "magewarden-guard".to_owned());
        assert!(request.headers.contains(&mark), "{request:?}");
        assert_eq!(request.host, "fr.shop.test");
    }
}

fn always(to: &'static str, answer: Result<(u16, &'static str), NoAnswer>) -> Instead {
    let times = u32::MAX;
    Instead { to, times, answer }
}

#[test]
fn a_shop_that_sells_is_walked_once() {
    check(Vec::new(), &WalkEnd::Passed, 1);
    let folder = tempfile::tempdir().expect("a folder");
    let (host, asked) = shop(&folder, Vec::new());
    let walk = walk(&host);
    let stages: Vec<_> = walk
        .stages
        .iter()
        .map(|one| (one.stage, one.status))
        .collect();
    assert_eq!(stages, WalkStage::ALL.map(|stage| (stage, Some(200))));
    let asked = asked.lock().expect("asked");
    let last = asked.last().expect("requests");
    assert_eq!(
        (last.method, last.path.as_str()),
        ("DELETE", "/rest/fr/V1/guest-carts/cart1/items/7")
    );
    assert!(
        matches!(walk.left, Leftover::EmptyCarts { carts: 1, .. }),
        "{:?}",
        walk.left
    );
    // One session a walk: the first page's cookie goes with all that follow, and no other does.
    let cookies = asked.iter().map(|request| {
        let cookie = request.headers.iter().find(|(name, _)| *name == "Cookie");
        cookie.map(|(_, value)| value.as_str())
    });
    let cookies: Vec<_> = cookies.collect();
    assert_eq!(cookies.first(), Some(&None));
    assert!(
        cookies
            .iter()
            .skip(1)
            .all(|one| *one == Some("PHPSESSID=abc,1")),
        "{cookies:?}"
    );
}

#[test]
fn each_stage_is_where_it_fails() {
    for (to, stage) in [
        ("GET / ", WalkStage::Home),
        ("/a.html", WalkStage::Category),
        ("/b.html", WalkStage::Product),
        ("POST /rest/fr/V1/guest-carts", WalkStage::Cart),
        ("/items", WalkStage::Item),
        ("/estimate-shipping-methods", WalkStage::Shipping),
        ("/payment-methods", WalkStage::Payment),
    ] {
        let to = if stage == WalkStage::Home {
            "GET /"
        } else {
            to
        };
        check(vec![always(to, Ok((500, "")))], &failed(stage, "500"), 3);
    }
    let none = vec![always("/payment-methods", Ok((200, "[]")))];
    check(
        none,
        &failed(WalkStage::Payment, "200, and the answer has no way to pay"),
        3,
    );
    let none = vec![always("/estimate", Ok((200, "[]")))];
    check(
        none,
        &failed(
            WalkStage::Shipping,
            "200, and the answer has no way of shipping",
        ),
        3,
    );
    let page = vec![always("POST /rest", Ok((200, "<html>")))];
    check(
        page,
        &failed(WalkStage::Cart, "200, and the answer has no cart"),
        3,
    );
}

#[test]
fn a_failure_that_passes_is_none_and_load_is_told_apart() {
    let once = |times, answer| {
        vec![Instead {
            to: "/a.html",
            times,
            answer,
        }]
    };
    check(once(2, Ok((500, ""))), &WalkEnd::Passed, 3);
    check(
        once(9, Ok((429, ""))),
        &overload(WalkStage::Category, "429"),
        3,
    );
    let late = NoAnswer::Late {
        milliseconds: 10_000,
    };
    let words = "no answer within 10000 ms";
    check(
        once(9, Err(late.clone())),
        &overload(WalkStage::Category, words),
        3,
    );
    // One try of three that fails as under load: nothing is held against the shop.
    let mixed = vec![
        Instead {
            to: "/a.html",
            times: 1,
            answer: Err(late),
        },
        always("/a.html", Ok((500, ""))),
    ];
    check(mixed, &overload(WalkStage::Category, words), 3);
}

#[test]
fn a_view_that_wants_to_see_a_person_is_left_alone() {
    let asks = r#"{"message":"ReCaptcha validation failed, please try again"}"#;
    let (stage, why) = (
        WalkStage::Cart,
        "400: Magento asks for a CAPTCHA".to_owned(),
    );
    let passive = WalkEnd::Passive { stage, why };
    check(vec![always("POST /rest", Ok((400, asks)))], &passive, 1);
}

#[test]
fn what_stays_is_counted_over_all_tries() {
    let left = |instead| {
        let folder = tempfile::tempdir().expect("a folder");
        let (host, _) = shop(&folder, instead);
        walk(&host).left
    };
    let fails = |to| always(to, Ok((500, "")));
    assert_eq!(left(vec![fails("GET /")]), Leftover::Nothing);
    let refuses = |to| always(to, Ok((404, "")));
    let refused = left(vec![refuses("POST /rest/fr/V1/guest-carts")]);
    assert_eq!(refused, Leftover::Nothing);
    // It went wrong: who knows how far it came.
    let wrong = left(vec![fails("POST /rest/fr/V1/guest-carts")]);
    assert!(
        matches!(wrong, Leftover::Carts { carts: 3, .. }),
        "{wrong:?}"
    );
    let three = left(vec![fails("/payment-methods")]);
    assert!(
        matches!(three, Leftover::EmptyCarts { carts: 3, .. }),
        "{three:?}"
    );
    let three = left(vec![fails("/payment-methods"), fails("DELETE")]);
    assert!(
        matches!(three, Leftover::Carts { carts: 3, .. }),
        "{three:?}"
    );
    let refused = left(vec![refuses("POST /rest/fr/V1/guest-carts/cart1/items")]);
    assert!(
        matches!(refused, Leftover::EmptyCarts { carts: 3, .. }),
        "{refused:?}"
    );
    let late = || Err(NoAnswer::Late { milliseconds: 1 });
    let lost = left(vec![always("POST /rest/fr/V1/guest-carts", late())]);
    assert!(matches!(lost, Leftover::Carts { carts: 3, .. }), "{lost:?}");
}

#[test]
fn a_closed_view_fails_at_its_first_stage_and_others_pass() {
    let folder = tempfile::tempdir().expect("a folder");
    let (host, _) = shop(&folder, Vec::new());
    let close = action("close_view").expect("an action");
    let fr = model::Argument::read(model::ParameterKind::View, "fr").expect("a view");
    let given = [("view", fr)].into();
    let kept = close.survey(&host, &given).expect("surveyed").kept;
    close.act(&host, &given, &kept).expect("closed");
    let seen = look(&host, &[]).expect("a look");
    let closed = "503 with our holding page: a rule of ours closes it";
    assert_eq!(seen.views["fr"].walk.end, failed(WalkStage::Home, closed));
    assert_eq!(seen.views["de"].walk.end, WalkEnd::Passed);
    assert!(
        seen.orders_lack.contains("[database]"),
        "{}",
        seen.orders_lack
    );
}

#[test]
fn what_is_not_of_the_view_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |change: &dyn Fn(&mut super::ViewSettings), in_path, view: &str| {
        let (mut host, _) = shop(&folder, Vec::new());
        host.stores.code_in_path = Some(in_path);
        let guard = host.settings.guard.as_mut().expect("a guard");
        change(guard.view.get_mut("fr").expect("a view"));
        let told = look(&host, &[view.to_owned()]);
        told.err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    let at_de = |of: &mut super::ViewSettings| of.host = "de.shop.test".to_owned();
    assert_eq!(refused(&|_| (), false, "fr"), "");
    assert!(refused(&at_de, false, "fr").contains("/ at de.shop.test isn't of fr"));
    assert!(refused(&|_| (), false, "us").contains("no part [guard.view.us]"));
    let named = |of: &mut super::ViewSettings| {
        at_de(of);
        for path in [&mut of.home, &mut of.category, &mut of.product] {
            path.push_str("?___store=fr");
        }
    };
    assert_eq!(refused(&named, false, "fr"), "");
    let below = |of: &mut super::ViewSettings| {
        at_de(of);
        for path in [&mut of.home, &mut of.category, &mut of.product] {
            path.insert_str(0, "/fr");
        }
    };
    assert_eq!(refused(&below, true, "fr"), "");
    assert!(refused(&below, false, "fr").contains("isn't of fr"));
}

#[test]
fn views_that_fail_are_tried_again_together_and_no_others() {
    for (fails, expected) in [
        (
            &["/rest/de/", "/rest/fr/"][..],
            &["de", "fr", "de", "fr", "de", "fr"][..],
        ),
        (&["/rest/de/"], &["de", "fr", "de", "de"]),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let instead = fails.iter().map(|to| Instead {
            to,
            times: 100,
            answer: Ok((404, "")),
        });
        let (host, asked) = shop(&folder, instead.collect());
        let seen = look(&host, &[]).expect("a look").views;
        assert_eq!(seen["de"].walk.tries, 3);
        assert_eq!(seen["fr"].walk.end == WalkEnd::Passed, fails.len() == 1);
        let asked = asked.lock().expect("asked");
        let carts = asked
            .iter()
            .filter(|one| one.path.ends_with("/guest-carts"));
        let views: Vec<_> = carts.filter_map(|one| one.path.split('/').nth(2)).collect();
        assert_eq!(views, expected);
    }
}
