//! The text of a letter: what happened, whose data, since when, by when whom to tell, what to do next, and where.
//!
//! Plain text. What a log says stands in it masked and inert; what people wrote – remarks, titles of tasks, what they filled
//! in – and counsel's notes don't: mail lies on servers that this program knows nothing of.

use incident::containment::{Told, levers};
use model::{Finding, Incident, Lane, Timestamp};
use report::{count, duration, excerpt, span, when};
use sha2::{Digest as _, Sha256};
use sinks::mail::{Letter, SUBJECT_CHARACTERS_MAX, cut};

use super::occasions::Occasion;
use crate::desk::{Work, places};
use crate::hide::hide;

/// Actors, things touched and places that a letter names of each.
const NAMES_MAX: usize = 6;
/// Clocks that it names.
const CLOCKS_MAX: usize = 8;
/// Acts of others that it names.
const ACTS_MAX: usize = 8;
/// Incidents that one letter of many names.
const INCIDENTS_MAX: usize = 30;
/// Bytes of a text of a log.
const TEXT_BYTES: usize = 300;
/// Characters that a subject leaves to the place.
const PLACE_CHARACTERS: usize = 20;

/// What letters say of the installation.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) installation: String,
    /// Where the console is reached, without a slash at its end.
    pub(super) url: String,
}

/// What is told of one incident.
pub(super) struct News<'a> {
    pub(super) work: &'a Work,
    pub(super) occasions: &'a [Occasion],
    /// The same for the same news, and for no other.
    pub(super) mark: &'a str,
}

impl Sender {
    /// A letter of one incident; `incident` and `findings` as far as they are at hand.
    pub(super) fn one(
        &self,
        to: &str,
        told: &News<'_>,
        whole: Option<&Incident>,
        findings: &[std::sync::Arc<Finding>],
        now: Timestamp,
    ) -> Letter {
        let (work, brief) = (told.work, &told.work.incident);
        let mut body = String::new();
        for occasion in told.occasions {
            line(&mut body, "", &words(occasion, now));
        }
        body.push('\n');
        if brief.lane == Lane::Exercise {
            line(
                &mut body,
                "Exercise",
                "this happens in an exercise, not in the shop",
            );
        }
        line(&mut body, "What", &safe(&brief.title));
        let because = whole.and_then(|one| one.severity_because.first());
        let because = because.map_or_else(String::new, |why| format!("; {}", safe(why)));
        line(
            &mut body,
            "Severity",
            &format!("{}{because}", work.severity.name()),
        );
        line(&mut body, "State", work.state.name());
        line(
            &mut body,
            "Where",
            &listed(brief.places().iter().map(ToString::to_string)),
        );
        let actors = brief.actors.iter();
        line(
            &mut body,
            "Who",
            &listed(actors.map(|one| format!("{} {}", one.kind.name(), one.value))),
        );
        line(
            &mut body,
            "Data",
            &listed(brief.assets.iter().map(|one| one.name.clone())),
        );
        line(&mut body, "Records", &count(&brief.rows));
        line(&mut body, "Seen", &span(&brief.first, &brief.last));
        line(&mut body, "Detected", &when(&brief.detected));
        if brief.clocks.is_empty() {
            line(
                &mut body,
                "Clocks",
                "none whose time is known; its page says what hinges on who the merchant is",
            );
        }
        for clock in brief.clocks.iter().take(CLOCKS_MAX) {
            let left = clock.due.seconds_since(now);
            let left = match left > 0 {
                true => format!("in {}", duration(left)),
                false => format!("over for {}", duration(-left)),
            };
            let regime = safe(&clock.regime);
            line(
                &mut body,
                "Clock",
                &format!(
                    "{}, {left}: {regime}, tell {}",
                    when(&clock.due),
                    safe(&clock.recipient)
                ),
            );
        }
        line(&mut body, "Next", work.next());
        if let Some(lever) = whole.and_then(|whole| first_lever(whole, findings)) {
            line(&mut body, "First lever", &lever);
        }
        let link = format!("{}/incidents/{}", self.url, brief.id);
        body.push_str(&format!("\n{link}\n"));
        self.sign(&mut body);
        Letter {
            to: to.to_owned(),
            subject: subject(told),
            id: hash(&[to, &brief.id, told.mark]),
            thread: thread(to, &brief.id),
            body,
        }
    }

    /// One letter of many incidents, the severest first, when so many letters would be too many; `went` within the hour, and at most as many may.
    pub(super) fn many(
        &self,
        to: &str,
        told: &[News<'_>],
        (went, most): (usize, usize),
        now: Timestamp,
    ) -> Letter {
        let count = told.len();
        let severest = told.iter().map(|one| one.work.severity).max();
        let severest = severest.map_or("unknown", model::Level::name);
        let mut body = format!(
            "{count} incident{} with something new, in one letter: at most {most} letters go to one address within an hour, and {went} \
             went. What comes beyond is held back, and told like this as soon as the hour allows.\n\n",
            if count == 1 { "" } else { "s" }
        );
        for one in told.iter().take(INCIDENTS_MAX) {
            let brief = &one.work.incident;
            let news: Vec<String> = one.occasions.iter().map(|one| words(one, now)).collect();
            body.push_str(&format!(
                "{}: {} · {}\n  {}\n  {}/incidents/{}\n",
                one.work.severity.name(),
                safe(&brief.title),
                place(one.work),
                news.join("; "),
                self.url,
                brief.id
            ));
        }
        if count > INCIDENTS_MAX {
            body.push_str(&format!("… and {} more\n", count - INCIDENTS_MAX));
        }
        body.push_str(&format!("\n{}/incidents\n", self.url));
        self.sign(&mut body);
        let s = if count == 1 { "" } else { "s" };
        let mut parts = vec![to, "many"];
        parts.extend(told.iter().map(|one| one.mark));
        Letter {
            to: to.to_owned(),
            subject: format!("{severest}: {count} incident{s} with news, letters are held back"),
            id: hash(&parts),
            thread: String::new(),
            body,
        }
    }

    fn sign(&self, body: &mut String) {
        let installation = safe(&self.installation);
        body.push_str(&format!(
            "\n-- \nmagewarden, installation {installation}. Times are UTC. Nobody reads answers to this letter.\n"
        ));
    }
}

/// A field of a letter.
fn line(body: &mut String, name: &str, text: &str) {
    match name {
        "" => body.push_str(&format!("* {text}\n")),
        name => body.push_str(&format!("{:<12} {text}\n", format!("{name}:"))),
    }
}

/// A text of a log for one line: masked, inert, bounded.
fn safe(text: &str) -> String {
    let mut text = text.to_owned();
    hide(&mut text);
    excerpt(&text, TEXT_BYTES).replace(['\n', '\t', '\r'], " ")
}

fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let all = names.len();
    let mut shown: Vec<String> = names.take(NAMES_MAX).map(|name| safe(&name)).collect();
    if all == 0 {
        return "unknown".to_owned();
    }
    if all > shown.len() {
        shown.push(format!("{} more", all - shown.len()));
    }
    shown.join(", ")
}

fn place(work: &Work) -> String {
    let places = places(&work.incident.scopes, work.incident.is_shared);
    match places.as_slice() {
        [] => "unknown".to_owned(),
        [one] => safe(&one.to_string()),
        [one, rest @ ..] => format!("{} +{}", safe(&one.to_string()), rest.len()),
    }
}

/// What a letter is about: severity, what, which store.
fn subject(told: &News<'_>) -> String {
    let severity = told.work.severity.name();
    let exercise = match told.work.incident.lane {
        Lane::Exercise => "EXERCISE ",
        Lane::Live => "",
    };
    let news = match told.occasions.first() {
        None | Some(Occasion::Opened) => String::new(),
        Some(Occasion::Rose { from }) => format!(", was {}", from.name()),
        Some(Occasion::Leads) => ", you lead".to_owned(),
        Some(Occasion::Task { .. }) => ", task".to_owned(),
        Some(Occasion::Run { .. }) => ", run waits".to_owned(),
        Some(Occasion::Clock { is_over: true, .. }) => ", clock over".to_owned(),
        Some(Occasion::Clock { .. }) => ", clock".to_owned(),
        Some(Occasion::Found(_) | Occasion::Decided(_)) => ", news".to_owned(),
    };
    let place = cut(&place(told.work), PLACE_CHARACTERS);
    let head = format!("{exercise}{severity}{news}: ");
    let taken = head.chars().count() + 3 + place.chars().count();
    let title = cut(
        &safe(&told.work.incident.title),
        SUBJECT_CHARACTERS_MAX.saturating_sub(taken),
    );
    format!("{head}{title} · {place}")
}

/// An occasion as a sentence.
fn words(occasion: &Occasion, now: Timestamp) -> String {
    match occasion {
        Occasion::Opened => "A new incident.".to_owned(),
        Occasion::Rose { from } => format!("It weighs more: it was {}.", from.name()),
        Occasion::Leads => "You lead it now.".to_owned(),
        Occasion::Task { number, due } => {
            let due = due.map_or_else(String::new, |due| format!(", due {}", when(&due)));
            format!("Task {number} is yours{due}; what it is stands on its page.")
        }
        Occasion::Run { host, waits } => {
            format!(
                "A run of containment for host {} waits for {waits}.",
                safe(host)
            )
        }
        Occasion::Clock { clock, is_over } => {
            let whom = safe(&clock.recipient);
            let due = when(&clock.due);
            match is_over {
                true => format!("The time to tell {whom} is over since {due}."),
                false => {
                    let left = duration(clock.due.seconds_since(now));
                    format!("The time to tell {whom} ends in {left}, at {due}.")
                }
            }
        }
        Occasion::Found(1) => "One finding more.".to_owned(),
        Occasion::Found(count) => format!("{count} findings more."),
        Occasion::Decided(acts) => {
            let first = acts.len().saturating_sub(ACTS_MAX);
            let named = acts.iter().skip(first);
            let named: Vec<String> = named
                .map(|(who, act)| format!("{} by {}", act.replace('_', " "), safe(who)))
                .collect();
            let more = match first {
                0 => String::new(),
                more => format!("{more} acts, then "),
            };
            format!("What others did: {more}{}.", named.join(", "))
        }
    }
}

/// What stops it first, as its page says it.
fn first_lever(incident: &Incident, findings: &[std::sync::Arc<Finding>]) -> Option<String> {
    let told = findings.iter().map(|finding| Told {
        finding,
        root: None,
        texts: &[],
    });
    let told: Vec<Told<'_>> = told.collect();
    let lever = levers(incident, &told).into_iter().next()?;
    Some(format!("{} ({})", safe(&lever.does), lever.effect.words()))
}

fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let hash = hash.finalize();
    hash.iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// By which mail readers show letters of one incident together.
fn thread(to: &str, incident: &str) -> String {
    hash(&[to, incident])
}
