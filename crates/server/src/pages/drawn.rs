//! Drawings of playbooks, plans and runs, as the template shows them: what stands in each shape, and where it leads.

use std::fmt::Write as _;

use model::{Layer, Plan, Stops, Undo, Work};
use playbook::{
    DOT_SIZE, Document, Drawing, FORK_SIZE, Line, Mark, PILL_SIZE, Run, Shape, Step, StepKind, Way,
};

use super::pictures::{cut, wrapped};
use super::shortened;

/// Letters that fit into a shape: of its small lines, and of its name.
const SMALL_CHARS: usize = 34;
const NAME_CHARS: usize = 26;
/// Letters beside a line.
const WAY_CHARS: usize = 12;
/// Width up to which a list finds room beside it.
const NARROW: u32 = 450;
/// Bytes of a whole text that is told of a shape.
const WHOLE_BYTES: usize = 300;

/// A shape with its words; each text of few letters and of one line, whatever the document has.
pub(super) struct Drawn {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) class: &'static str,
    /// Its outline where it is no rectangle.
    pub(super) outline: String,
    /// Where more of it stands on the page; empty for none.
    pub(super) link: String,
    pub(super) whole: String,
    pub(super) head: String,
    pub(super) name: [String; 2],
    pub(super) foot: String,
}

/// A line with its word.
pub(super) struct Drew {
    pub(super) path: String,
    pub(super) class: &'static str,
    /// Its tip, where it leads into something.
    pub(super) tip: String,
    pub(super) word: String,
    pub(super) word_x: u32,
    pub(super) word_y: u32,
    /// Whether the word ends there.
    pub(super) is_left: bool,
}

/// What is drawn on a page.
#[derive(Default)]
pub(super) struct Picture {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) shapes: Vec<Drawn>,
    pub(super) lines: Vec<Drew>,
    /// Where it is said that what follows is done when anything else fails.
    pub(super) exception: Option<(u32, u32)>,
    /// What it shows, for whoever doesn't see it.
    pub(super) told: String,
}

/// What stands in a shape.
#[derive(Default)]
struct Words {
    class: &'static str,
    link: String,
    head: String,
    name: String,
    foot: String,
}

impl Picture {
    /// Of a playbook, each step leading to where its text is on the page.
    pub(super) fn of_document(document: &Document) -> Self {
        let drawing = Drawing::of(document);
        let words = |mark: &Mark| match mark {
            Mark::Step(id) => document
                .steps
                .get(id)
                .map_or_else(Words::default, |step| of_step(id, step)),
            _ => Words::default(),
        };
        let steps = drawing.shapes.iter().filter(|one| one.height > PILL_SIZE.1);
        let told = format!("The playbook as a drawing: {}", counted(steps.count()));
        Self::new(&drawing, words, told)
    }

    /// Of a plan and, once it is carried out, what became of each step; empty when it can't be drawn.
    pub(super) fn of_plan(plan: &Plan, run: Option<&Run>) -> Self {
        let Some(drawing) = Drawing::of_plan(plan) else {
            return Self::default();
        };
        let words = |mark: &Mark| match mark {
            Mark::Planned(at) => of_planned(plan, *at, run),
            Mark::Condition(condition) => Words {
                class: "fork",
                head: "only if".to_owned(),
                name: condition.clone(),
                ..Words::default()
            },
            Mark::Step(_) => Words::default(),
        };
        let what = if run.is_some() { "run" } else { "plan" };
        let told = format!("The {what} as a drawing: {}", counted(plan.steps.len()));
        Self::new(&drawing, words, told)
    }

    /// Whether its list finds room beside it on a wide screen.
    pub(super) fn is_narrow(&self) -> bool {
        !self.is_empty() && self.width <= NARROW
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    fn new(drawing: &Drawing, words: impl Fn(&Mark) -> Words, told: String) -> Self {
        Self {
            width: drawing.width,
            height: drawing.height,
            shapes: drawing
                .shapes
                .iter()
                .map(|shape| drawn(shape, words(&shape.mark)))
                .collect(),
            lines: drawing.lines.iter().map(drew).collect(),
            exception: drawing.exception,
            told,
        }
    }
}

fn counted(steps: usize) -> String {
    match steps {
        1 => "1 step".to_owned(),
        steps => format!("{steps} steps"),
    }
}

/// The page's place for a step of a playbook.
pub(super) fn step_anchor(id: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let id: String = id.chars().filter(is_plain).take(80).collect();
    format!("step-{id}")
}

/// Facts of an action that a step names.
pub(super) fn facts_of(step: &Step) -> Option<&'static model::ActionFacts> {
    let action = step.wanted.as_ref()?.action.as_ref()?;
    playbook::EXPECTED.iter().find(|one| one.name == action)
}

/// What a step does to the cause and to evidence, and whether it can be undone, in few words.
pub(super) fn effect_words(step: &Step) -> String {
    let facts = facts_of(step);
    let wanted = step.wanted.as_ref();
    let is_evidence = facts.is_some_and(|facts| facts.layer == Layer::Evidence);
    let effect = match wanted.and_then(|wanted| wanted.effect) {
        _ if is_evidence => "keeps evidence",
        Some(Stops::Contains) => "contains",
        Some(Stops::OnlyMitigates) => "only mitigates",
        None => "",
    };
    let undo = match facts.map(|facts| facts.undo) {
        Some(Undo::Danger) => "can't be undone",
        Some(Undo::MadeAnew(_)) => "gives nothing back",
        _ => "",
    };
    let waiver = wanted.is_some_and(|wanted| wanted.waiver.is_some());
    let waiver = if waiver { "evidence waived" } else { "" };
    joined(&[effect, undo, waiver])
}

fn joined(parts: &[&str]) -> String {
    let some = parts.iter().filter(|part| !part.is_empty()).copied();
    some.collect::<Vec<_>>().join(" · ")
}

/// What a step is, in few words.
pub(super) fn kind_words(step: &Step) -> String {
    let wanted = step.wanted.as_ref();
    match &step.kind {
        StepKind::Start => "start".to_owned(),
        StepKind::End => "end".to_owned(),
        StepKind::Action { .. } => wanted
            .and_then(|wanted| wanted.action.clone())
            .unwrap_or_else(|| "a person".to_owned()),
        StepKind::PlaybookAction { .. } => "another playbook".to_owned(),
        StepKind::Parallel { .. } => "at the same time".to_owned(),
        StepKind::If { condition, .. } => format!("if {condition}"),
        StepKind::While { condition, .. } => {
            let bound = wanted.and_then(|wanted| wanted.bound);
            let bound = bound.map_or_else(String::new, |bound| format!("{bound} times at most, "));
            format!("{bound}as long as {condition}")
        }
        StepKind::Switch { on, .. } => format!("by {on}"),
        StepKind::Unknown => "of a type that isn't known".to_owned(),
    }
}

/// When a line is gone along, in words.
pub(super) fn way_words(way: &Way) -> String {
    match way {
        Way::Then | Way::Back | Way::Round | Way::Always => String::new(),
        Way::Success => "done".to_owned(),
        Way::Failure => "fails".to_owned(),
        Way::True => "yes".to_owned(),
        Way::False => "no".to_owned(),
        Way::Again => "each time".to_owned(),
        Way::Case(case) => case.clone(),
        Way::Otherwise => "otherwise".to_owned(),
    }
}

fn of_step(id: &str, step: &Step) -> Words {
    let class = match &step.kind {
        StepKind::Start | StepKind::End => "pill",
        StepKind::Action { .. } => match step.wanted.as_ref().and_then(|wanted| wanted.effect) {
            Some(Stops::Contains) => "contains",
            _ if facts_of(step).is_none() => "person",
            _ => "",
        },
        StepKind::PlaybookAction { .. } | StepKind::Unknown => "person",
        _ => "fork",
    };
    let is_pill = class == "pill";
    Words {
        class,
        link: if is_pill {
            String::new()
        } else {
            format!("#{}", step_anchor(id))
        },
        head: if is_pill {
            String::new()
        } else {
            kind_words(step)
        },
        name: if is_pill {
            kind_words(step)
        } else {
            step.called(id).to_owned()
        },
        foot: effect_words(step),
    }
}

fn of_planned(plan: &Plan, at: usize, run: Option<&Run>) -> Words {
    let Some(planned) = plan.steps.get(at) else {
        return Words::default();
    };
    let step = run.and_then(|run| run.steps.get(at));
    let (what, is_danger, is_evidence) = match &planned.work {
        Work::Action {
            action,
            undo,
            layer,
            ..
        } => (action.as_str(), undo.is_danger, *layer == Layer::Evidence),
        Work::Person { .. } => ("a person", false, false),
    };
    let effect = match planned.stops {
        Stops::Contains => "contains",
        Stops::OnlyMitigates if is_evidence => "keeps evidence",
        Stops::OnlyMitigates if what == "a person" => "",
        Stops::OnlyMitigates => "only mitigates",
    };
    let (class, foot) = match step {
        None => {
            let class = match (planned.stops, what) {
                (Stops::Contains, _) => "contains",
                (_, "a person") => "person",
                _ => "",
            };
            let undo = if is_danger { "can't be undone" } else { "" };
            let waiver = planned.waiver.as_ref().map_or("", |_| "evidence waived");
            (class, joined(&[effect, undo, waiver]))
        }
        Some(step) => {
            let class = super::runs::step_class(step);
            let sign = match class {
                "is-done" => "✓ ",
                "is-failed" => "✗ ",
                _ => "",
            };
            (class, format!("{sign}{}", step.words()))
        }
    };
    let name = if planned.name.is_empty() {
        &planned.id
    } else {
        &planned.name
    };
    Words {
        class,
        link: format!("#step-{}", at + 1),
        head: format!("{}. {what}", at + 1),
        name: name.clone(),
        foot,
    }
}

fn drawn(shape: &Shape, words: Words) -> Drawn {
    let (width, height) = (shape.width, shape.height);
    let is_dot = (width, height) == DOT_SIZE;
    let line = |text: &str| text.replace(['\n', '\r', '\t'], " ");
    let whole = [&words.head, &words.name, &words.foot];
    let whole: Vec<_> = whole.into_iter().filter(|text| !text.is_empty()).collect();
    let whole: Vec<String> = whole
        .into_iter()
        .map(|text| shortened(&line(text), WHOLE_BYTES))
        .collect();
    let outline = if (width, height) == FORK_SIZE {
        // A rhombus would leave no room for words.
        format!(
            "M{} {}h{}l16 {}l-16 {}h-{}l-16 -{}z",
            shape.x + 16,
            shape.y,
            width - 32,
            height / 2,
            height - height / 2,
            width - 32,
            height / 2
        )
    } else {
        String::new()
    };
    Drawn {
        x: shape.x,
        y: shape.y,
        width,
        height,
        class: if is_dot { "dot" } else { words.class },
        outline,
        link: if is_dot { String::new() } else { words.link },
        whole: whole.join(": "),
        head: cut(&line(&words.head), SMALL_CHARS),
        name: if is_dot {
            Default::default()
        } else {
            wrapped(&line(&words.name), NAME_CHARS)
        },
        foot: cut(&line(&words.foot), SMALL_CHARS),
    }
}

fn drew(line: &Line) -> Drew {
    let mut path = String::new();
    for (at, (x, y)) in line.points.iter().enumerate() {
        let letter = if at == 0 { 'M' } else { 'L' };
        write!(path, "{letter}{x} {y}").expect("a text takes all");
    }
    let (x, y) = line.points.last().copied().unwrap_or_default();
    let tip = match (&line.to, line.way == Way::Round) {
        (None, _) => String::new(),
        (_, true) => format!("M{} {}l6 5l-6 5", x.saturating_sub(6), y.saturating_sub(5)),
        _ => format!("M{} {}l5 6l5 -6", x.saturating_sub(5), y.saturating_sub(6)),
    };
    let class = match line.way {
        Way::Failure => "fails",
        Way::Round => "round",
        _ => "",
    };
    let is_left = line.way == Way::Failure;
    // Beside the stretch that ends in what it leads to; beside the empty branch where it leads to nothing.
    let (beside, above) = match (&line.to, line.points.get(line.points.len() / 2)) {
        (None, _) => line.points.get(2).copied().unwrap_or((x, y)),
        _ => (x, y),
    };
    let (word_x, word_y) = match (&line.to, is_left) {
        (None, _) => (beside + 6, above + 18),
        (_, true) => (x.saturating_sub(7), y.saturating_sub(7)),
        (_, false) => (x + 7, y.saturating_sub(7)),
    };
    Drew {
        path,
        class,
        tip,
        word: cut(
            &way_words(&line.way).replace(['\n', '\r', '\t'], " "),
            WAY_CHARS,
        ),
        word_x,
        word_y,
        is_left,
    }
}

#[cfg(test)]
mod tests {
    use super::{Picture, step_anchor};
    use playbook::Document;
    use serde_json::json;

    #[test]
    fn a_hostile_name_is_cut_and_changes_no_line() {
        let name = format!("\"/><script>{}\n\u{202e}", "x".repeat(5000));
        let value = json!({"workflow_start": "start--1", "workflow": {
            "start--1": {"type": "start", "on_completion": name},
            (name.as_str()): {"type": "action", "name": name, "on_completion": "end--1"},
            "end--1": {"type": "end"}}});
        let document = Document::read(value.to_string().as_bytes()).expect("it is read");
        let picture = Picture::of_document(&document);
        assert_eq!(picture.shapes.len(), 3);
        for shape in &picture.shapes {
            assert!(shape.whole.len() < 1000 && !shape.whole.contains('\n'));
            assert!(shape.name.iter().all(|line| line.chars().count() <= 26));
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "#-".contains(c);
            assert!(shape.link.chars().all(is_plain), "{}", shape.link);
        }
        assert_eq!(step_anchor("action--a\" onload=x"), "step-action--aonloadx");
    }
}
