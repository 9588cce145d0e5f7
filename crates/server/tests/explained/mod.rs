//! Pages that explain themselves: who else it was, what to do, how long ago, what leaks first, whose duties, what is left out.

use engine::desk::Desk;
use engine::evidence::{Line, Listed, TIME_ALONE};
use model::{Count, Grade, Incident, Timestamp};
use scraper::Html;

use crate::desks::{desk_of, with};
use crate::{NOW, answered, entry, get, selector};

fn at(page: &str, wanted: &str) -> usize {
    page.find(wanted).unwrap_or(usize::MAX)
}

#[test]
fn whom_two_incidents_name_is_told_at_the_head_of_each() {
    let desk = desk_of(vec![
        with("b1", |_| {}),
        with("b2", |one| {
            one.title = "The other".to_owned();
            one.first = Timestamp(one.first.0 - 3600 * Timestamp::SECOND);
        }),
    ]);
    let (_, _, page) = get(&desk, "/incidents/b1");
    assert!(page.contains("is also in: <a href=\"/incidents/b2\">The other</a>"));
    let alone = desk_of(vec![
        with("b1", |_| {}),
        with("b2", |one| one.actors.clear()),
    ]);
    assert!(!get(&alone, "/incidents/b1").2.contains("is also in"));
}

#[test]
fn what_is_known_to_leak_stands_before_what_is_newer() {
    let rows = |lower, upper| {
        Some(Count {
            lower,
            upper,
            grade: Grade::Bounded,
        })
    };
    let newest = |one: &mut Incident| {
        one.exposure.rows = rows(0, None);
        one.last = Timestamp(one.last.0 + 1);
    };
    let desk = desk_of(vec![
        with("b1", newest),
        with("b2", |one| one.exposure.rows = rows(9, None)),
        with("b3", |one| {
            one.exposure.rows = rows(0, None);
            one.exposure.channels = vec![::incident::PAGE.to_owned()];
        }),
        with("b4", |one| one.exposure.rows = None),
    ]);
    for path in ["/", "/incidents"] {
        let (_, _, page) = get(&desk, path);
        let places =
            ["b2", "b3", "b1", "b4"].map(|id| at(&page, &format!("href=\"/incidents/{id}\"")));
        assert!(
            places.is_sorted() && places[3] < usize::MAX,
            "{path}: {places:?}"
        );
        assert!(page.contains("rows that left: at least 9"));
        assert!(page.contains("nothing found shows that data left"));
    }
}

#[test]
fn duties_that_bind_every_merchant_stand_before_those_that_may_not_bind_this_one() {
    let desk = desk_of(vec![with("b1", |one| {
        let mut bank = one.obligations[0].clone();
        bank.recipient = "A bank's supervisor".to_owned();
        bank.depends_on = vec!["whether the merchant is: bank".to_owned()];
        let mut own = bank.clone();
        own.recipient = "The acquirer".to_owned();
        own.due = bank.due.map(|due| due.plus_seconds(3600));
        own.depends_on.clear();
        one.obligations = vec![bank, own];
    })]);
    let (_, _, page) = get(&desk, "/incidents/b1");
    let apart = at(&page, "id=\"duties-some\"");
    assert!(at(&page, "The acquirer") < apart && apart < at(&page, "A bank's supervisor"));
    // Lists tell of clocks that surely run.
    let (_, _, page) = get(&desk, "/");
    assert!(page.contains("The acquirer") && !page.contains("A bank's supervisor"));
}

#[test]
fn the_page_that_is_shown_is_marked_in_the_navigation() {
    let desk = desk_of(vec![with("b1", |_| {})]);
    for (path, expected) in [
        ("/", "/"),
        ("/incidents/b1", "/incidents"),
        ("/entries", "/entries"),
        ("/rules", "/rules"),
        ("/sources", "/sources"),
    ] {
        let page = Html::parse_document(&get(&desk, path).2);
        let marked = selector("nav [aria-current=page]");
        let marked: Vec<_> = page
            .select(&marked)
            .filter_map(|link| link.attr("href"))
            .collect();
        assert_eq!(marked, [expected], "{path}");
    }
}

#[test]
fn an_open_console_with_a_clock_says_how_long_ago_and_that_nobody_decides_here() {
    let desk = desk_of(vec![with("b1", |_| {})]);
    let (_, _, page) = get(&desk, "/incidents/b1");
    assert!(page.contains("This console only shows") && !page.contains("Your roles"));
    assert!(!page.contains("ago)"), "without a clock no time is told");
    let console = server::Console::from(desk).with_clock(|| NOW.plus_seconds(240));
    let (_, _, page) = answered(console, "GET", "/incidents/b1", "localhost");
    assert!(page.contains("(4 min ago)") && page.contains("(4 min late)"));
}

#[test]
fn notes_of_the_time_are_left_out_of_entries_unless_asked_for() {
    let note = |sequence| {
        let mut line = Line::of(&entry(sequence, "x"));
        line.what = TIME_ALONE.to_owned();
        line
    };
    let desk = Desk::searching(
        Box::new(|_| None),
        Box::new(move |search| {
            let end = search.end.unwrap_or(200).min(200);
            let first = end.saturating_sub(search.limit as u64);
            let line = |sequence| {
                if sequence % 50 == 7 {
                    Line::of(&entry(sequence, "x"))
                } else {
                    note(sequence)
                }
            };
            Ok(Listed {
                lines: (first..end).rev().map(line).collect(),
                next: (first > 0).then_some(first),
                ..Listed::default()
            })
        }),
    );
    let shown = |path: &str| {
        let page = Html::parse_document(&get(&desk, path).2);
        let links = selector("td[data-label=Entry] a");
        page.select(&links)
            .map(|link| link.text().collect::<String>())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown("/entries"), ["157", "107", "57", "7"]);
    assert_eq!(shown("/entries?own=1").len(), 40);
    let (_, _, page) = get(&desk, "/entries?own=1");
    assert!(page.contains("href=\"/entries?before=160&#38;own=1\""));
}
