//! Playbooks on the console: the list, each in words and as a drawing, and the document as the command gives it.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use engine::containment::Playbooks;
use engine::desk::{Desk, Update};
use scraper::{ElementRef, Html};
use serde_json::Value;

use crate::{answered, desk, finding, get, incident, selector};

fn texts(of: ElementRef<'_>, css: &str) -> Vec<String> {
    of.select(&selector(css))
        .map(|one| one.text().collect::<String>())
        .collect()
}

/// The drawing of a page: it has to have one, named, in a box that scrolls by keys.
#[track_caller]
fn drawing(page: &Html) -> ElementRef<'_> {
    let all = selector(".scroll[tabindex='0'][role=region][aria-label] > svg.drawing[aria-label]");
    let mut all = page.select(&all);
    let drawing = all.next().expect("a drawing");
    assert_eq!(all.next(), None, "two drawings");
    assert_eq!(texts(drawing, ":scope > title").len(), 1);
    assert_eq!(texts(drawing, ":scope > desc").len(), 1);
    drawing
}

/// Links of a drawing, each to a place that is there once.
#[track_caller]
fn check_links(page: &Html, drawing: ElementRef<'_>) -> usize {
    let links = selector("a[href]");
    let links: Vec<&str> = drawing
        .select(&links)
        .filter_map(|link| link.attr("href"))
        .collect();
    for link in &links {
        let id = link.strip_prefix('#').expect("a place on the page");
        let named = selector("[id]");
        let places = page.select(&named);
        let places = places.filter(|one| one.attr("id") == Some(id)).count();
        assert_eq!(places, 1, "{link}");
    }
    let different: BTreeSet<_> = links.iter().collect();
    assert_eq!(different.len(), links.len());
    links.len()
}

#[test]
fn every_playbook_is_listed_and_has_a_page_with_a_drawing_whose_steps_lead_to_their_words() {
    let desk = desk("x");
    let (status, _, list) = get(&desk, "/playbooks");
    assert_eq!(status, StatusCode::OK);
    for one in Playbooks::default().all() {
        assert!(list.contains(&format!("href=\"/playbooks/{}\"", one.name)));
        let (status, _, page) = get(&desk, &format!("/playbooks/{}", one.name));
        assert_eq!(status, StatusCode::OK, "{}", one.name);
        let page = Html::parse_document(&page);
        let drawn = check_links(&page, drawing(&page));
        let words = page.select(&selector(".outline li[id]")).count();
        assert_eq!(drawn, words, "{}: drawn and in words", one.name);
    }
}

#[test]
fn a_drawing_says_what_contains_what_only_mitigates_and_what_cannot_be_undone() {
    let desk = desk("x");
    let of = |name: &str| {
        let (_, _, page) = get(&desk, &format!("/playbooks/{name}"));
        let page = Html::parse_document(&page);
        texts(drawing(&page), "text").join("|")
    };
    let shell = of("web-shell");
    for words in [
        "quarantine_file",
        "Move the file away",
        "contains",
        "only mitigates",
        "keeps evidence",
        "a person",
        "start",
        "end",
    ] {
        assert!(shell.contains(words), "{words}: {shell}");
    }
    assert!(of("key-compromise").contains("can't be undone"));
    let account = of("database-account-stolen");
    assert!(
        account.contains("if __") && account.contains("yes"),
        "{account}"
    );
}

#[test]
fn the_document_is_given_as_the_command_gives_it_and_by_the_api() {
    let desk = desk("x");
    for one in Playbooks::default().all() {
        let (status, headers, body) = get(&desk, &format!("/playbooks/{}.json", one.name));
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(body, one.document.write());
        let (_, _, told) = get(&desk, &format!("/api/v1/playbooks/{}", one.name));
        let told: Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!(&told["document"], one.document.value());
    }
    let (_, _, told) = get(&desk, "/api/v1/playbooks");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(
        told["items"].as_array().map(Vec::len),
        Some(Playbooks::default().all().count())
    );
}

#[test]
fn what_is_no_playbook_is_said_not_to_be_there() {
    let desk = desk("x");
    for path in [
        "/playbooks/none",
        "/playbooks/none.json",
        "/api/v1/playbooks/none",
    ] {
        let (status, _, body) = get(&desk, path);
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert!(
            body.to_lowercase().contains("there is no such playbook"),
            "{body}"
        );
    }
}

#[test]
fn incidents_that_a_playbook_answers_stand_on_its_page_with_their_plan() {
    let on: Desk = desk("x");
    let mut read = finding("a1", "x");
    read.rule = "db-payment-walk".to_owned();
    on.publish(Update::Decided {
        incidents: vec![incident("b1", "x", &[&read])],
        findings: vec![read],
    });
    let (_, _, told) = answered(on.clone(), "GET", "/api/v1/playbooks", "localhost");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let items = told["items"].as_array().expect("items");
    let answering: Vec<_> = items
        .iter()
        .filter(|one| one["incidents"] == serde_json::json!(["b1"]))
        .collect();
    assert!(!answering.is_empty(), "{told}");
    assert_eq!(items.first(), answering.first().copied(), "they come first");
    for one in answering {
        let name = one["name"].as_str().expect("a name");
        let (_, _, page) = get(&on, &format!("/playbooks/{name}"));
        assert!(
            page.contains(&format!("/incidents/b1/plans/{name}")),
            "{page}"
        );
    }
}

#[test]
fn a_plan_and_a_run_are_drawn_with_what_became_of_each_step() {
    let desk = desk("x");
    let (_, _, page) = get(
        &desk,
        "/incidents/b1/plans/web-shell?v.__file__=pub/x.php&v.__network__=203.0.113.9",
    );
    let page = Html::parse_document(&page);
    let drawn = drawing(&page);
    assert!(check_links(&page, drawn) > 5);
    assert!(texts(drawn, "text").join("|").contains("quarantine_file"));
    let (_, _, page) = get(&desk, "/runs/run-1");
    let page = Html::parse_document(&page);
    let drawn = drawing(&page);
    assert!(check_links(&page, drawn) > 5);
    let words = texts(drawn, ".foot").join("|");
    assert!(
        words.contains("✗ failed") && words.contains("not begun"),
        "{words}"
    );
    assert!(drawn.select(&selector(".place.is-failed")).next().is_some());
}
