//! Pages that stay open, and pages of what is read from the ledger: what they are told.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use engine::desk::{Brief, Desk, Update, Words};
use tower::ServiceExt as _;

use super::{ask, desk, finding, get, incident};

#[test]
fn an_open_page_is_told_of_news() {
    let desk = desk("x");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let request = Request::builder()
            .uri("/live")
            .header("host", "localhost")
            .body(Body::empty())
            .expect("a request");
        let answer = server::router(desk.clone())
            .oneshot(request)
            .await
            .expect("an answer");
        let mut stream = answer.into_body().into_data_stream();
        desk.publish(Update::Gaps(Vec::new()));
        let wait = std::time::Duration::from_secs(5);
        let news = tokio::time::timeout(wait, tokio_stream::StreamExt::next(&mut stream))
            .await
            .expect("in time")
            .expect("an event")
            .expect("bytes");
        assert!(news.starts_with(b"event: counters\n"), "{news:?}");
    });
}

#[test]
fn findings_that_cannot_be_read_are_told() {
    let desk = Desk::new(Box::new(|_| None));
    let known = finding("f1", "x");
    let gone = finding("f2", "x");
    desk.publish(Update::Decided {
        incidents: vec![incident("i1", "x", &[&known, &gone])],
        findings: vec![known],
    });
    let page = get(&desk, "/incidents/i1").2;
    let told = "1 of the findings of this page can't be read from the ledger";
    assert!(page.contains(told), "{page}");
    assert!(page.contains("because x"), "the other is shown");
}

#[test]
fn an_incident_that_lists_have_and_the_ledger_does_not_give_is_told() {
    let desk = Desk::new(Box::new(|_| None));
    let incident = incident("i1", "x", &[&finding("f1", "x")]);
    let brief = Brief::of(&incident, &Default::default(), &mut Words::default());
    desk.publish(Update::Resting(vec![brief]));
    assert!(get(&desk, "/incidents").2.contains("/incidents/i1"));
    assert!(
        get(&desk, "/incidents/i1")
            .2
            .contains("be read from the ledger")
    );
    assert!(
        get(&desk, "/incidents/i2")
            .2
            .contains("There is no such incident")
    );
}

#[test]
fn where_nobody_logs_in_no_views_are_kept() {
    let desk = desk("x");
    let told: serde_json::Value =
        serde_json::from_str(&get(&desk, "/api/v1/views").2).expect("JSON");
    assert_eq!(
        told,
        serde_json::json!({"items": [], "next": null, "total": 0})
    );
    for method in ["POST", "DELETE"] {
        let (status, headers, told) = ask(&desk, method, "/api/v1/views?name=x", "127.0.0.1:8780");
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(headers["content-type"], "application/problem+json");
        assert!(told.contains("people with accounts"), "{told}");
    }
}
