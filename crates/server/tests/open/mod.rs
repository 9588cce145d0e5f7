//! Pages that stay open: what they are told.

use axum::body::Body;
use axum::http::Request;
use engine::desk::Update;
use tower::ServiceExt as _;

use super::desk;

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
