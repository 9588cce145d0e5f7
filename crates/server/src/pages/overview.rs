//! The first page: what burns and whether somebody looks, which clocks run, which store it is, whether everything is seen.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use engine::desk::{Figures, RunningClock, Sight, SourceView, Work};
use engine::pause::Held;
use engine::watching::{self, Change};
use model::{Level, Right, Scope, TaskState, Timestamp};

use super::next::{Quiet, Step, while_quiet};
use super::reads::{self, Chart};
use super::{Frame, page};
use crate::access::{Caller, Console, Seen, aside};

/// Incidents shown at once.
const BURNING_MAX: usize = 6;
/// Tasks shown at once.
const TASKS_MAX: usize = 8;
/// Lines of what is new.
const NEWS_MAX: usize = 20;

/// A store view, or a place that is none, as a box.
struct Place {
    name: String,
    /// Where the queue shows its incidents.
    link: String,
    /// Where all is told that is known of it; empty when nothing can be.
    about: String,
    /// The worst of the incidents that are worked on there; `None` when there is none.
    level: Option<Level>,
    count: usize,
}

/// A website with its views.
struct Site {
    name: String,
    places: Vec<Place>,
    /// What is below it, where the name doesn't say.
    meaning: &'static str,
    /// What is said of a place without incidents.
    quiet: &'static str,
}

/// A line of what is new.
struct News {
    work: Work,
    at: Timestamp,
    /// Who did it; empty for what was found.
    who: String,
    what: String,
}

impl News {
    fn new(change: Change) -> Self {
        let (who, what) = match change.what {
            watching::News::Decided(taken) => {
                let what = super::handling::line(&taken.decision.act);
                (taken.decision.by.name, what)
            }
            watching::News::Found(1) => (String::new(), "one more finding".to_owned()),
            watching::News::Found(more) => (String::new(), format!("{more} more findings")),
        };
        Self {
            work: change.work,
            at: change.at,
            who,
            what,
        }
    }
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    sight: Sight,
    /// Whether decisions are taken here at all.
    is_open: bool,
    /// Incidents that somebody has to work on, the severest first.
    burning: Vec<Work>,
    /// How many there are in all, and how many nobody looked at.
    open: usize,
    unseen: usize,
    clocks: Vec<RunningClock>,
    sites: Vec<Site>,
    mine: Vec<(String, String, u32, Option<Timestamp>)>,
    /// What is new where they watch or lead, and how much more of it there is.
    news: Vec<News>,
    more_news: usize,
    sources: Vec<SourceView>,
    ailing: Vec<SourceView>,
    /// What is expected to be silent.
    pauses: Vec<Held>,
    gaps: usize,
    /// Reads of payment tables in the last day.
    charts: Vec<Chart>,
    narrow: bool,
    /// What to do while nothing burns.
    quiet: Vec<Step>,
}

impl Overview {
    fn next(&self, work: &Work) -> String {
        let may = self.sight.may(Right::Work, &work.incident.scopes);
        super::next::next_for(work, may, self.is_open)
    }
}

/// The first page.
pub(crate) async fn overview(
    State(console): State<Console>,
    Seen(sight): Seen,
    caller: Caller,
) -> Response {
    let news = match &console.watching {
        Some(watching) => watching.news(&sight).await.unwrap_or_default(),
        None => Vec::new(),
    };
    let (all, figures) = (sight.incidents(), sight.figures());
    let sources = sight.sources();
    let eyes = sight.clone();
    let charts = aside(move || reads::of_day(&eyes)).await;
    let ails = |source: &&SourceView| source.state != "reading" && !source.reason.is_empty();
    let page_of = Overview {
        frame: Frame::new(&sight).at("/", caller.now),
        burning: all
            .iter()
            .take(figures.open.min(BURNING_MAX))
            .cloned()
            .collect(),
        open: figures.open,
        unseen: figures.unseen,
        clocks: figures.clocks.clone(),
        sites: sites(&sight, &figures),
        mine: mine(&sight, &figures.with_tasks),
        charts: charts.unwrap_or_default(),
        more_news: news.len().saturating_sub(NEWS_MAX),
        news: news.into_iter().take(NEWS_MAX).map(News::new).collect(),
        quiet: while_quiet(&Quiet {
            ailing: sources.iter().filter(ails).count(),
            sources: sources.len(),
            gaps: sight.gaps().len(),
            is_whole: !sight.is_narrow(),
        }),
        ailing: sources.iter().filter(ails).cloned().collect(),
        pauses: sight.pauses(caller.now),
        sources,
        gaps: sight.gaps().len(),
        narrow: sight.is_narrow(),
        is_open: console.decider.is_some(),
        sight: sight.clone(),
    };
    page(&page_of)
}

/// My open tasks: incident, title, number, due.
fn mine(sight: &Sight, open: &[Work]) -> Vec<(String, String, u32, Option<Timestamp>)> {
    let me = sight.person().account;
    let mut mine: Vec<_> = open
        .iter()
        .flat_map(|work| work.handling.tasks.iter().map(move |task| (work, task)))
        .filter(|(_, task)| task.state == TaskState::Open)
        .filter(|(_, task)| task.owner.as_ref().is_some_and(|owner| owner.account == me))
        .map(|(work, task)| {
            (
                work.incident.id.clone(),
                task.title.clone(),
                task.number,
                task.due,
            )
        })
        .collect();
    mine.sort_by_key(|(_, _, number, due)| (due.is_none(), *due, *number));
    mine.truncate(TASKS_MAX);
    mine
}

/// The stores they see, each with the worst that is worked on there; what isn't one store's has boxes of its own.
fn sites(sight: &Sight, figures: &Figures) -> Vec<Site> {
    let worst = &figures.places;
    let place = |name: &str, link: &str, scope: &Scope| {
        let found = worst.get(scope);
        Place {
            name: name.to_owned(),
            link: format!("/incidents?store={}", super::encoded(link)),
            about: super::place_link(scope),
            level: found.map(|(level, _)| *level),
            count: found.map_or(0, |(_, count)| *count),
        }
    };
    // A store that shares its database with a leak isn't out of it.
    let is_shared = |scope: &Scope| matches!(scope, Scope::Installation | Scope::Host(_));
    let quiet = if worst.keys().any(is_shared) {
        "nothing open of its own"
    } else {
        "nothing open"
    };
    let mut sites: BTreeMap<&str, Vec<Place>> = BTreeMap::new();
    for (code, view) in &sight.stores().views {
        let scope = Scope::View(code.clone());
        if view.is_active
            && sight
                .principal()
                .sees(std::slice::from_ref(&scope), sight.stores())
        {
            sites
                .entry(&view.website)
                .or_default()
                .push(place(code, code, &scope));
        }
    }
    let mut out: Vec<Site> = sites
        .into_iter()
        .map(|(website, mut places)| {
            let scope = Scope::Website(website.to_owned());
            if worst.contains_key(&scope) {
                places.push(place("all of it", website, &scope));
            }
            let name = if website.is_empty() {
                "website unknown"
            } else {
                website
            };
            Site {
                name: name.to_owned(),
                places,
                meaning: "",
                quiet,
            }
        })
        .collect();
    let rest = worst.keys().filter(|scope| match scope {
        Scope::View(code) => !sight.stores().views.contains_key(code),
        Scope::Website(code) => !sight
            .stores()
            .views
            .values()
            .any(|view| view.website == *code),
        _ => true,
    });
    let rest: Vec<Place> = rest
        .map(|scope| match scope {
            Scope::Unknown => place("store unknown", "unknown", scope),
            Scope::Installation => place(&super::place_name(scope), "installation", scope),
            Scope::Website(code) | Scope::Store(code) | Scope::View(code) => {
                place(code, code, scope)
            }
            Scope::Host(host) => place(host, host, scope),
        })
        .collect();
    if !rest.is_empty() {
        out.push(Site {
            name: "not one store".to_owned(),
            places: rest,
            quiet,
            meaning: "What reached the database or a host touches all stores; a host stands by itself where no store view is known for it (say which with \
                      --stores, docs/stores.md); a store is unknown where nothing that was read says which.",
        });
    }
    out
}
