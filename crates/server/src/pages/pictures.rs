//! Pictures of an incident: the steps of an attack – who, what, which store – and when, with holes of what is seen.

use std::sync::Arc;

use engine::desk::{Sight, SourceView};
use engine::zone::Zone;
use model::{ActorKind, Finding, Incident, Level, Right, Scope, Timestamp};

use super::{actor_link, encoded, place_link, place_name, shortened};

/// Steps drawn, and sources with holes.
const STEPS_MAX: usize = 10;
const LANES_MAX: usize = 8;
/// Holes and findings drawn of a lane.
const MARKS_MAX: usize = 200;
/// Letters that fit into a box.
const WHO_CHARS: usize = 27;
const WHAT_CHARS: usize = 44;
const WHERE_CHARS: usize = 24;
/// Bytes of a whole text that is told of a box.
const WHOLE_BYTES: usize = 300;
/// Height of a step, and of a lane.
const STEP: usize = 84;
const LANE: usize = 26;
/// Shortest time drawn.
const SPAN_MIN: i64 = 60 * Timestamp::SECOND;

/// A step: findings one after the other by one actor, of one rule, at one place.
pub(super) struct Step {
    pub(super) y: usize,
    pub(super) first: Timestamp,
    pub(super) level: Level,
    /// In two lines, as the others; whole beside.
    pub(super) who: [String; 2],
    pub(super) who_whole: String,
    pub(super) who_link: String,
    pub(super) what: [String; 2],
    pub(super) what_whole: String,
    pub(super) what_link: String,
    /// What was touched.
    pub(super) assets: String,
    pub(super) place: [String; 2],
    pub(super) place_whole: String,
    pub(super) place_link: String,
    /// How many findings it is.
    pub(super) count: usize,
}

/// Something that took time.
pub(super) struct Mark {
    pub(super) x: i64,
    pub(super) width: i64,
    /// Class of its colour.
    pub(super) class: &'static str,
    pub(super) words: String,
}

/// A line of the picture of times.
pub(super) struct Lane {
    pub(super) y: usize,
    pub(super) name: String,
    pub(super) marks: Vec<Mark>,
}

/// What is drawn of an incident.
pub(super) struct Pictures {
    pub(super) steps: Vec<Step>,
    /// Steps that aren't drawn.
    pub(super) left: usize,
    /// The first lane is of findings, the others of sources with holes.
    pub(super) lanes: Vec<Lane>,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    /// Whether holes are told to whoever looks.
    pub(super) sees_holes: bool,
    /// Where the entries are that tell of holes before this start.
    pub(super) told: String,
}

impl Pictures {
    /// Of all findings in order, of which a page shows `each`.
    pub(super) fn new(
        sight: &Sight,
        incident: &Incident,
        findings: &[(Arc<Finding>, String)],
        each: usize,
    ) -> Self {
        let (steps, left) = steps(incident, findings, each);
        let around = ((incident.last.0 - incident.first.0) / 20).max(SPAN_MIN / 2);
        let from = Timestamp(incident.first.0.saturating_sub(around));
        let to = Timestamp(incident.last.0.saturating_add(around));
        let mut lanes = vec![Lane {
            y: 0,
            name: "findings".to_owned(),
            marks: findings
                .iter()
                .take(MARKS_MAX)
                .map(|(finding, _)| mark(finding, from, to, sight.zone()))
                .collect(),
        }];
        let holes = sight.sources().into_iter();
        let holes = holes.map(|source| (holes_of(&source, from, to, sight.zone()), source.id));
        for (marks, name) in holes.filter(|(marks, _)| !marks.is_empty()).take(LANES_MAX) {
            let y = lanes.len() * LANE;
            let name = shortened(&name, WHO_CHARS);
            lanes.push(Lane { y, name, marks });
        }
        let time = |time: Timestamp| encoded(&time.to_string());
        Self {
            steps,
            left,
            lanes,
            from,
            to,
            sees_holes: sight.principal().may_all(Right::SeeSources),
            told: format!(
                "/entries?from={}&to={}&source=magewarden%3Ahealth",
                time(from),
                time(to)
            ),
        }
    }

    pub(super) fn chain_height(&self) -> usize {
        self.steps.len() * STEP
    }

    pub(super) fn times_height(&self) -> usize {
        self.lanes.len() * LANE + 22
    }

    /// Every hole in words.
    pub(super) fn holes(&self) -> Vec<String> {
        let lanes = self.lanes.iter().skip(1);
        lanes
            .flat_map(|lane| lane.marks.iter().map(|hole| hole.words.clone()))
            .take(LANES_MAX)
            .collect()
    }
}

fn steps(
    incident: &Incident,
    findings: &[(Arc<Finding>, String)],
    each: usize,
) -> (Vec<Step>, usize) {
    let mut steps: Vec<Step> = Vec::new();
    let mut left = 0;
    let mut before: Option<&Finding> = None;
    for (at, (finding, _)) in findings.iter().enumerate() {
        let is_same = before.is_some_and(|before| {
            before.rule == finding.rule
                && before.actors.first() == finding.actors.first()
                && before.scope == finding.scope
        });
        before = Some(finding);
        if is_same {
            if let Some(step) = steps.last_mut().filter(|_| left == 0) {
                step.count += 1;
                step.level = step.level.max(finding.level);
            }
            continue;
        }
        if steps.len() == STEPS_MAX {
            left += 1;
            continue;
        }
        let page = match at / each * each {
            0 => String::new(),
            from => format!("?from={from}"),
        };
        let who = match finding.actors.as_slice() {
            [] => "unknown".to_owned(),
            [one] => one.value.clone(),
            [one, rest @ ..] => format!("{} +{}", one.value, rest.len()),
        };
        let assets: Vec<_> = finding.assets.iter().map(|one| one.name.as_str()).collect();
        let assets = assets.join(", ");
        let what_whole = match assets.as_str() {
            "" => finding.title.clone(),
            assets => format!("{}: {assets}", finding.title),
        };
        let place = place_of(finding);
        steps.push(Step {
            y: steps.len() * STEP,
            first: finding.first,
            level: finding.level,
            who: wrapped(&who, WHO_CHARS),
            who_whole: shortened(&who, WHOLE_BYTES),
            who_link: finding.actors.first().map_or_else(String::new, actor_link),
            what: wrapped(&finding.title, WHAT_CHARS),
            what_whole: shortened(&what_whole, WHOLE_BYTES),
            what_link: format!("/incidents/{}{page}#f{}", incident.id, finding.id),
            assets: cut(&assets, WHAT_CHARS),
            place: wrapped(&place, WHERE_CHARS),
            place_whole: shortened(&place, WHOLE_BYTES),
            place_link: place_link(&finding.scope),
            count: 1,
        });
    }
    (steps, left)
}

/// Where a finding is: what is in the database all stores share, whatever its log can't say.
fn place_of(finding: &Finding) -> String {
    let is_database = |actor: &model::Actor| {
        matches!(
            actor.kind,
            ActorKind::DatabaseAccount | ActorKind::DatabaseConnection
        )
    };
    match &finding.scope {
        Scope::Unknown if finding.actors.iter().any(is_database) => {
            "the database of all stores".to_owned()
        }
        scope => place_name(scope),
    }
}

/// The first letters of a text: a box has room for so many.
pub(super) fn cut(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    let begin: String = text.chars().take(chars - 1).collect();
    format!("{begin}…")
}

/// A text in two lines of a box, broken between words where it can be; the second is empty where one is enough. Two whatever
/// the text is: no string changes what a page is made of.
pub(super) fn wrapped(text: &str, chars: usize) -> [String; 2] {
    if text.chars().count() <= chars {
        return [text.to_owned(), String::new()];
    }
    let end = text
        .char_indices()
        .nth(chars)
        .map_or(text.len(), |(at, _)| at);
    let begin = text.get(..end).unwrap_or_default();
    let is_between = text.get(end..).is_some_and(|rest| rest.starts_with(' '));
    let at = match begin.rfind(' ') {
        _ if is_between => end,
        Some(blank) if blank > 0 => blank,
        _ => end,
    };
    let (first, rest) = text.split_at(at);
    [first.to_owned(), cut(rest.trim_start(), chars)]
}

fn mark(finding: &Finding, from: Timestamp, to: Timestamp, zone: &Zone) -> Mark {
    let (x, width) = report::bar(finding.first, finding.last, from, to);
    Mark {
        x,
        width,
        class: finding.level.name(),
        words: format!(
            "{}: {}",
            zone.span(&finding.first, &finding.last),
            shortened(&finding.title, 100)
        ),
    }
}

/// A source's holes within a time.
fn holes_of(source: &SourceView, from: Timestamp, to: Timestamp, zone: &Zone) -> Vec<Mark> {
    let holes = source.holes.iter();
    let holes = holes.filter(|hole| hole.since < to && hole.until.is_none_or(|end| end > from));
    holes
        .take(MARKS_MAX)
        .map(|hole| {
            let (begin, end) = (hole.since.max(from), hole.until.unwrap_or(to).min(to));
            let (x, width) = report::bar(begin, end, from, to);
            let words = match &hole.until {
                Some(until) => zone.span(&hole.since, until),
                None => format!("since {}", zone.words(&hole.since)),
            };
            let name = shortened(&source.id, 80);
            Mark {
                x,
                width,
                class: "hole",
                words: format!("{name}: {}, {words}", hole.trouble.name()),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{cut, holes_of, wrapped};
    use engine::desk::SourceView;
    use engine::health::{Hole, Trouble};
    use engine::zone::Zone;
    use model::Timestamp;

    #[track_caller]
    fn check(since: i64, until: Option<i64>, expected: &[(i64, i64)]) {
        let at = Timestamp::from_seconds;
        let source = SourceView {
            id: "a".to_owned(),
            holes: vec![Hole {
                trouble: Trouble::Silent,
                since: at(since),
                until: until.map(at),
            }],
            ..SourceView::default()
        };
        let marks = holes_of(&source, at(1000), at(2000), &Zone::default());
        let found: Vec<_> = marks.iter().map(|mark| (mark.x, mark.width)).collect();
        assert_eq!(found, expected, "{since} to {until:?}");
    }

    #[test]
    fn holes_are_drawn_as_far_as_they_lie_in_the_time() {
        check(1100, Some(1300), &[(100, 200)]);
        check(500, Some(1300), &[(0, 300)]);
        check(1900, None, &[(900, 100)]);
        check(500, Some(3000), &[(0, 1000)]);
        check(500, Some(1000), &[]);
        check(2000, None, &[]);
    }

    #[test]
    fn a_long_text_takes_two_lines_and_is_cut_in_the_second_alone() {
        assert_eq!(wrapped("short", 9), ["short", ""]);
        assert_eq!(wrapped("two words here", 9), ["two words", "here"]);
        assert_eq!(wrapped("two words more", 8), ["two", "words m…"]);
        assert_eq!(wrapped("éééééééé", 5), ["ééééé", "ééé"]);
    }

    #[test]
    fn a_text_is_cut_between_letters() {
        assert_eq!(cut("ééééé", 5), "ééééé");
        assert_eq!(cut("éééééé", 5), "éééé…");
    }
}
