//! Everybody reads times in the zone they chose, with its offset; programs and evidence have UTC.

use axum::http::StatusCode;
use model::{Grant, Role};
use scraper::{Html, Selector};

use super::Browser;
use super::attaching::{Sealing, sealing};

/// Times of a day on a page that stand without a zone, as text or for whoever points at or hears something.
fn zoneless(page: &str) -> Vec<String> {
    let page = Html::parse_document(page);
    let mut texts: Vec<String> = Vec::new();
    for node in page.tree.nodes() {
        let mut around = node.ancestors().filter_map(|one| one.value().as_element());
        let is_quoted = around.any(|element| ["pre", "code"].contains(&element.name()));
        match node.value() {
            // What a record says itself is told as it was sealed.
            scraper::Node::Text(text) if !is_quoted => texts.push(text.to_string()),
            scraper::Node::Element(element) => {
                let told = ["title", "aria-label", "placeholder"];
                texts.extend(
                    told.iter()
                        .filter_map(|name| element.attr(name))
                        .map(str::to_owned),
                );
            }
            _ => {}
        }
    }
    let mut out = Vec::new();
    for text in texts {
        let bytes = text.as_bytes();
        for at in 0..bytes.len().saturating_sub(7) {
            let clock = bytes.get(at..at + 8).unwrap_or_default();
            let digits = [0, 1, 3, 4, 6, 7]
                .iter()
                .all(|place| clock[*place].is_ascii_digit());
            if !digits || clock[2] != b':' || clock[5] != b':' {
                continue;
            }
            let rest = text.get(at + 8..).unwrap_or_default();
            let is_zoned = [" UTC", " +", " -", "Z", " to "]
                .iter()
                .any(|zone| rest.starts_with(zone));
            if !is_zoned && !rest.starts_with('.') {
                out.push(text.clone());
            }
        }
    }
    out
}

fn choose(sealing: &Sealing, browser: &Browser, zone: &str) -> super::Answer {
    sealing
        .stage
        .post(browser, "/account/zone", &[("zone", zone)])
}

/// What the first time of a page says: for programs, where one points at it, for people.
fn first_time(page: &str) -> [String; 3] {
    let page = Html::parse_document(page);
    let times = Selector::parse("main time[datetime]:not(.until)").expect("a selector");
    let time = page.select(&times).next().expect("a time");
    let of = |name: &str| time.value().attr(name).unwrap_or_default().to_owned();
    [of("datetime"), of("title"), time.text().collect()]
}

#[test]
fn every_page_tells_times_in_the_zone_that_its_reader_chose_with_their_offset() {
    let sealing = sealing();
    let root = sealing.stage.first();
    let lea = sealing.stage.invited("lea", Grant::all(Role::IncidentLead));
    let one = format!("/incidents/{}", sealing.id);
    let pages = [
        "/",
        "/incidents?state=all",
        one.as_str(),
        "/entries",
        "/sources",
        "/rules",
        "/runs",
        "/account",
    ];
    for (zone, offset) in [
        ("", "UTC"),
        ("Asia/Kathmandu", "+05:45"),
        ("America/St_Johns", "-02:30"),
    ] {
        let chosen = choose(&sealing, &lea, zone);
        assert_eq!(chosen.status, StatusCode::SEE_OTHER, "{}", chosen.body);
        for path in pages {
            let page = sealing.stage.get(&lea, path).body;
            assert_eq!(zoneless(&page), Vec::<String>::new(), "{path} in {zone:?}");
        }
        let [datetime, title, told] = first_time(&sealing.stage.get(&lea, &one).body);
        assert!(
            datetime.ends_with('Z') && title.ends_with(" UTC"),
            "{datetime} {title}"
        );
        assert!(told.ends_with(&format!(" {offset}")), "{told}");
        let field = sealing
            .stage
            .get(&lea, "/account")
            .of("#zone input[name=zone]", "value");
        assert_eq!(field, zone);
    }
    // It is each one's own.
    assert!(first_time(&sealing.stage.get(&root, &one).body)[2].ends_with(" UTC"));
    let api = sealing.stage.get(&lea, &format!("/api/v1{one}")).body;
    assert!(!api.contains("-02:30"), "programs have UTC");
}

#[test]
fn a_zone_that_is_not_known_is_refused_at_its_field_and_changes_nothing() {
    let sealing = sealing();
    let lea = sealing.stage.invited("lea", Grant::all(Role::IncidentLead));
    choose(&sealing, &lea, "europe/berlin");
    for zone in ["Berlin", "+02:00", "../../etc/localtime", "<b>"] {
        let refused = choose(&sealing, &lea, zone);
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(refused.of("#zone-zone-fault", "").contains("Europe/Berlin"));
        assert_eq!(
            refused.of("#zone input[name=zone]", "value"),
            "Europe/Berlin"
        );
    }
}

#[test]
fn a_task_is_due_when_it_says_so_in_the_zone_of_who_typed_it() {
    let sealing = sealing();
    let lea = sealing.stage.invited("lea", Grant::all(Role::IncidentLead));
    choose(&sealing, &lea, "Europe/Berlin");
    let page = sealing.page(&lea);
    let seen = page.of("#next input[name=seen]", "value");
    assert!(
        page.body.contains("due (Europe/Berlin)"),
        "the form says in which"
    );
    let fields = [
        ("seen", seen.as_str()),
        ("act", "add_task"),
        ("title", "ring them"),
        ("due", "2026-11-29T18:30"),
    ];
    let done = sealing
        .stage
        .post(&lea, &format!("/incidents/{}/decide", sealing.id), &fields);
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.body);
    let handling = sealing.stage.desk.handling(&sealing.id);
    let due = handling.tasks[0].due.expect("a time");
    assert_eq!(due.to_string(), "2026-11-29T17:30:00Z");
    assert!(
        sealing
            .page(&lea)
            .body
            .contains(">2026-11-29 18:30:00 +01:00</time>")
    );
}
