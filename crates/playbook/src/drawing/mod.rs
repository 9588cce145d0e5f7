//! A playbook, or a plan, as a drawing: where each step stands and how lines run between them.
//!
//! Steps of a block stand in layers, each as far down as the longest way to it; branches stand side by side below what they hang
//! off. Lines run between layers and beside them. So nothing lies over anything else, whatever the document is.
//!
//! Invariants: no two shapes overlap, no line runs through a shape, all lies within the drawing; the same document gives the same
//! drawing. No words: whoever shows it says what a shape is.

mod block;
mod source;

use model::Plan;

use crate::document::Document;
use crate::flow::Flow;
use block::Piece;

/// Most shapes of a drawing: a plan that a host made by itself may nest its conditions as it likes.
pub const SHAPES_MAX: usize = 2000;

/// Width and height of a step.
pub const STEP_SIZE: (u32, u32) = (236, 92);
/// Of what branches.
pub const FORK_SIZE: (u32, u32) = (236, 74);
/// Of where the whole begins and ends.
pub const PILL_SIZE: (u32, u32) = (84, 30);
/// Of where a branch begins and ends.
pub const DOT_SIZE: (u32, u32) = (12, 12);

/// Room around the whole.
const MARGIN: u32 = 12;
/// Room for the words over what is done when anything else fails.
const CAPTION: u32 = 44;

/// What a shape stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// A step of a document, by identifier.
    Step(String),
    /// A step of a plan, by its place in it.
    Planned(usize),
    /// A condition of a plan, as the first step below it has it.
    Condition(String),
}

/// When a line is gone along.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Whatever came of it.
    Then,
    /// When it succeeded, and there is another way when it failed.
    Success,
    /// When it failed.
    Failure,
    /// The condition holds.
    True,
    /// It doesn't.
    False,
    /// As long as it holds.
    Again,
    /// At the same time as others.
    Always,
    /// The value is this one.
    Case(String),
    /// None of the others: it goes on behind the branches.
    Otherwise,
    /// The end of a branch: back to what it hangs off, and on from there.
    Back,
    /// The end of a loop's branch: the condition is asked anew.
    Round,
}

/// A step, as it stands in the drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What it stands for.
    pub mark: Mark,
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it begins.
    pub from: Mark,
    /// Where it leads; `None` where it goes on with whatever comes behind the branches.
    pub to: Option<Mark>,
    /// When it is gone along.
    pub way: Way,
    /// Corners, each level with or upright to the one before.
    pub points: Vec<(u32, u32)>,
}

/// A drawing; sizes are those of CSS pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drawing {
    /// Width of the whole.
    pub width: u32,
    /// Height of the whole.
    pub height: u32,
    /// Steps, each behind all that lead to it.
    pub shapes: Vec<Shape>,
    /// Lines.
    pub lines: Vec<Line>,
    /// Where, from left and top, it is said that what follows is done when anything else fails.
    pub exception: Option<(u32, u32)>,
}

impl Drawing {
    /// Draws a document: every step that is reached.
    #[must_use]
    pub fn of(document: &Document) -> Self {
        let (flow, _) = Flow::of(document);
        let main = (!flow.blocks.is_empty()).then(|| source::of_flow(document, &flow, 0));
        let exception = flow
            .exception
            .map(|block| source::of_flow(document, &flow, block));
        Self::assembled(
            main.map(|block| block.laid_out(false)),
            exception.map(|block| block.laid_out(false)),
        )
    }

    /// Draws a plan: its steps in their order, below the conditions that have yet to be decided; `None` for more than [`SHAPES_MAX`].
    #[must_use]
    pub fn of_plan(plan: &Plan) -> Option<Self> {
        let block = source::of_plan(&plan.steps)?;
        Some(Self::assembled(Some(block.laid_out(false)), None))
    }

    fn assembled(main: Option<Piece>, exception: Option<Piece>) -> Self {
        let mut all = Self::default();
        let mut below = MARGIN;
        for (piece, is_exception) in [(main, false), (exception, true)] {
            let Some(piece) = piece.filter(|piece| !piece.shapes.is_empty()) else {
                continue;
            };
            if is_exception {
                all.exception = Some((MARGIN, below + CAPTION / 2));
                below += CAPTION;
            }
            let piece = piece.moved(MARGIN, below);
            all.width = all.width.max(piece.width + 2 * MARGIN);
            below += piece.height + MARGIN;
            all.shapes.extend(piece.shapes);
            all.lines.extend(piece.lines);
        }
        all.height = below;
        all
    }
}
