//! Payment pages as they were kept whole: who is led to them, and as what they are given out.

use axum::http::StatusCode;
use engine::desk::{Desk, EntryView};
use engine::inventory::page_source;
use serde_json::{Value, json};

use super::{list, look, rows};
use crate::{NOW, entry, get, running};

#[test]
fn a_page_that_was_kept_whole_is_saved_as_text_and_a_run_leads_to_the_last_before_it() {
    const MARKUP: &str = "<html><script>steal(\"\\u0026\")</script>\n</html>";
    let desk = Desk::new(Box::new(|sequence| {
        let observation = |whole: Value| {
            let told = json!({"category": "payment_page", "change": "kept", "whole": whole});
            let format = parse::OBSERVATION.to_owned();
            EntryView {
                format,
                ..entry(sequence, &told.to_string())
            }
        };
        match sequence {
            2 => Some(observation(json!(MARKUP))),
            3 => Some(observation(json!(7))),
            4 => Some(EntryView {
                quarantined: true,
                ..observation(json!(MARKUP))
            }),
            5 => Some(entry(5, "{\"whole\": \"x\"}")),
            _ => None,
        }
    }));
    let kept = |time: i64| {
        let mut record = look("kept");
        record["time"] = NOW.plus_seconds(time).to_string().into();
        record
    };
    let (de, us) = (page_source("de", "browser"), page_source("us", "fetch"));
    let records = [
        (de.clone(), look("baseline")),
        (de.clone(), kept(-60)),
        (de, kept(60)),
        (us, look("baseline")),
    ];
    list(&desk, &records);
    for path in ["/entries/2/whole", "/api/v1/entries/2/whole"] {
        let (status, headers, body) = get(&desk, path);
        assert_eq!((status, body.as_str()), (StatusCode::OK, MARKUP));
        assert_eq!(headers["content-type"], "application/octet-stream");
        let disposition = headers["content-disposition"].to_str().expect("text");
        assert!(disposition.starts_with("attachment; filename=\"entry-2.txt\""));
    }
    for number in ["1", "3", "4", "5", "x", "-1"] {
        for path in [
            format!("/entries/{number}/whole"),
            format!("/api/v1/entries/{number}/whole"),
        ] {
            assert_eq!(get(&desk, &path).0, StatusCode::NOT_FOUND, "{path}");
        }
    }
    let link = "href=\"/entries/2/whole\"";
    assert!(get(&desk, "/entries/2").2.contains(link));
    assert!(!get(&desk, "/entries/5").2.contains("/whole"));
    let (_, _, page) = get(&desk, "/payment-pages");
    let watched = rows(&page, "Pages that are looked at");
    assert!(
        watched[0].contains("kept whole") && watched[0].contains("entry 3"),
        "{watched:?}"
    );
    assert!(!watched[1].contains("kept whole"), "{watched:?}");

    // A run that began between the two: what was kept after it began isn't of before.
    running::show(&desk, "b1", "shop1");
    let (_, _, page) = get(&desk, "/runs/run-1");
    let (_, shown) = page
        .split_once("Payment pages before it")
        .expect("a section");
    let (shown, _) = shown.split_once("</section>").expect("its end");
    assert!(shown.contains("view de, by browser") && shown.contains("href=\"/entries/2\""));
    assert!(!shown.contains("href=\"/entries/3\""), "{shown}");
    assert!(shown.contains("view us, by fetch") && shown.contains("not kept before it"));
    let (_, _, told) = get(&desk, "/api/v1/runs/run-1");
    let told: Value = serde_json::from_str(&told).expect("JSON");
    let pages = told["payment_pages"].as_array().expect("pages");
    let entries: Vec<_> = pages.iter().map(|page| &page["entry"]).collect();
    assert_eq!(entries, [&json!(2), &Value::Null]);
}
