//! Where things stand: a block's units in layers, a unit's branches side by side.

use super::{Line, Mark, Shape, Way};

/// Room between what stands side by side.
const BESIDE: u32 = 28;
/// Room between layers, in which lines run across.
const BETWEEN: u32 = 44;
/// Room for a line beside the layers.
const LANE: u32 = 14;
/// Width of a branch without steps.
const EMPTY: u32 = 136;
/// Room left of a loop's branch, for the line that leads back.
const LOOP: u32 = 24;

/// A branch of a unit.
pub(super) struct Branch {
    pub(super) way: Way,
    /// `None`: nothing is done, and it goes on behind the branches.
    pub(super) block: Option<Block>,
}

/// A step with all that hangs off it.
pub(super) struct Unit {
    pub(super) mark: Mark,
    pub(super) size: (u32, u32),
    pub(super) branches: Vec<Branch>,
    /// Whether the branch leads back to it.
    pub(super) is_loop: bool,
}

/// Units that follow each other, each behind all that lead to it.
#[derive(Default)]
pub(super) struct Block {
    pub(super) units: Vec<Unit>,
    /// From, to – a later one –, when.
    pub(super) links: Vec<(usize, usize, Way)>,
}

/// What is laid out: gone into at (`spine`, 0), left at (`spine`, `height`).
#[derive(Default)]
pub(super) struct Piece {
    pub(super) width: u32,
    pub(super) height: u32,
    spine: u32,
    pub(super) shapes: Vec<Shape>,
    pub(super) lines: Vec<Line>,
    /// Lines of branches' ends that lead to where it is left, to be gone on with from there.
    loose: Vec<Line>,
}

impl Piece {
    /// The same further right and further down.
    pub(super) fn moved(mut self, right: u32, down: u32) -> Self {
        for shape in &mut self.shapes {
            shape.x += right;
            shape.y += down;
        }
        for line in self.lines.iter_mut().chain(&mut self.loose) {
            for (x, y) in &mut line.points {
                *x += right;
                *y += down;
            }
        }
        self.spine += right;
        self
    }
}

/// A line's corners without those that lie on the way anyhow.
fn corners(points: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    let mut out: Vec<(u32, u32)> = Vec::new();
    for point in points {
        if out.last() == Some(&point) {
            continue;
        }
        if let [.., before, last] = out.as_slice()
            && (before.0 == last.0 && last.0 == point.0 || before.1 == last.1 && last.1 == point.1)
        {
            out.pop();
        }
        out.push(point);
    }
    out
}

impl Unit {
    fn laid_out(self) -> Piece {
        let (wide, high) = self.size;
        let shape = |x: u32| Shape {
            mark: self.mark.clone(),
            x,
            y: 0,
            width: wide,
            height: high,
        };
        if self.branches.is_empty() {
            return Piece {
                width: wide,
                height: high,
                spine: wide / 2,
                shapes: vec![shape(0)],
                ..Piece::default()
            };
        }
        let top = high + BETWEEN;
        let mut right = if self.is_loop { LOOP } else { 0 };
        let mut columns = Vec::new();
        for branch in self.branches {
            let is_empty = branch.block.is_none();
            let piece = match branch.block {
                Some(block) => block.laid_out(true),
                None => Piece {
                    width: EMPTY,
                    spine: EMPTY / 2,
                    ..Piece::default()
                },
            };
            // As wide as the words beside the line into it.
            let width = piece.width.max(EMPTY);
            let within = (width - piece.width) / 2;
            columns.push((branch.way, is_empty, piece.moved(right + within, top)));
            right += width + BESIDE;
        }
        let across = right - BESIDE;
        // Of a loop the room at its left isn't part of what is centred.
        let left = if self.is_loop { LOOP } else { 0 };
        let mut spine = u32::midpoint(left, across).max(left + wide / 2);
        if let [(_, _, only)] = columns.as_slice() {
            spine = spine.max(only.spine);
        }
        let bottom = columns.iter().map(|(_, _, piece)| piece.height).max();
        let bottom = top + bottom.unwrap_or_default();
        let merge = bottom + BETWEEN / 2;
        let mut whole = Piece {
            width: across.max(spine + wide.div_ceil(2)),
            height: bottom + BETWEEN,
            spine,
            shapes: vec![shape(spine - wide / 2)],
            ..Piece::default()
        };
        let leave = [(spine, merge), (spine, whole.height)];
        for (way, is_empty, piece) in columns {
            let into = [(spine, high), (spine, high + BETWEEN / 2)];
            let into = into.into_iter().chain([(piece.spine, high + BETWEEN / 2)]);
            if is_empty {
                let points = into.chain([(piece.spine, merge)]).chain(leave);
                whole.loose.push(Line {
                    from: self.mark.clone(),
                    to: None,
                    way,
                    points: corners(points.collect()),
                });
                continue;
            }
            whole.lines.push(Line {
                from: self.mark.clone(),
                to: piece.shapes.first().map(|first| first.mark.clone()),
                way,
                points: corners(into.chain([(piece.spine, top)]).collect()),
            });
            whole.shapes.extend(piece.shapes);
            whole.lines.extend(piece.lines);
            for mut end in piece.loose {
                end.points.push((piece.spine, merge));
                if self.is_loop {
                    let back = [(LOOP / 2, merge), (LOOP / 2, high / 2)];
                    end.points.extend(back);
                    end.points.push((spine - wide / 2, high / 2));
                    end.to = Some(self.mark.clone());
                    end.way = Way::Round;
                    end.points = corners(end.points);
                    whole.lines.push(end);
                } else {
                    end.points.extend(leave);
                    end.points = corners(end.points);
                    whole.loose.push(end);
                }
            }
        }
        // What ends a branch ends here; what hangs below goes on from where this is left.
        whole.lines.append(&mut whole.loose);
        whole
    }
}

impl Block {
    /// For each unit, how many lie on the longest way to it.
    fn layers(&self) -> Vec<usize> {
        let mut layers = vec![0; self.units.len()];
        let mut links: Vec<_> = self.links.iter().collect();
        links.sort_by_key(|(from, _, _)| *from);
        for (from, to, _) in links {
            layers[*to] = layers[*to].max(layers[*from] + 1);
        }
        layers
    }

    /// `leads_on`: whether the ends of it lead to where it is left.
    pub(super) fn laid_out(self, leads_on: bool) -> Piece {
        let layers = self.layers();
        let count = layers.iter().max().map_or(0, |last| last + 1);
        let marks: Vec<Mark> = self.units.iter().map(|unit| unit.mark.clone()).collect();
        let pieces: Vec<Piece> = self.units.into_iter().map(Unit::laid_out).collect();
        let mut rows: Vec<Vec<usize>> = vec![Vec::new(); count];
        for (unit, layer) in layers.iter().enumerate() {
            rows[*layer].push(unit);
        }
        // What comes first in each layer stands below what comes first in the one above.
        let firsts = rows
            .iter()
            .filter_map(|row| Some(pieces.get(*row.first()?)?.spine));
        let spine = firsts.max().unwrap_or_default();
        let mut at = vec![(0, 0); pieces.len()];
        let mut bottoms = Vec::new();
        let (mut down, mut content) = (0, 0);
        for row in &rows {
            let mut right = row.first().map_or(0, |first| spine - pieces[*first].spine);
            let mut high = 0;
            for unit in row {
                at[*unit] = (right, down);
                right += pieces[*unit].width;
                content = content.max(right);
                right += BESIDE;
                high = high.max(pieces[*unit].height);
            }
            bottoms.push(down + high);
            down += high + BETWEEN;
        }
        let mut whole = Piece {
            spine,
            height: bottoms.last().copied().unwrap_or_default(),
            ..Piece::default()
        };
        let mut doors = Vec::new();
        for (piece, (right, down)) in pieces.into_iter().zip(&at) {
            let piece = piece.moved(*right, *down);
            doors.push(((piece.spine, *down), (piece.spine, down + piece.height)));
            whole.shapes.extend(piece.shapes);
            whole.lines.extend(piece.lines);
        }
        let mut lanes = 0;
        let mut lane = || {
            lanes += 1;
            content + lanes * LANE
        };
        for (from, to, way) in &self.links {
            let (leaves, enters) = (doors[*from].1, doors[*to].0);
            let below = bottoms[layers[*from]] + BETWEEN / 2;
            let mut points = vec![leaves, (leaves.0, below)];
            if layers[*to] > layers[*from] + 1 {
                let beside = lane();
                points.extend([(beside, below), (beside, enters.1 - BETWEEN / 2)]);
            }
            points.extend([(enters.0, enters.1 - BETWEEN / 2), enters]);
            whole.lines.push(Line {
                from: marks[*from].clone(),
                to: Some(marks[*to].clone()),
                way: way.clone(),
                points: corners(points),
            });
        }
        if leads_on {
            let ends: Vec<usize> = (0..marks.len())
                .filter(|unit| !self.links.iter().any(|(from, _, _)| from == unit))
                .collect();
            let is_last = |unit: usize| layers[unit] + 1 == count && doors[unit].1.0 == spine;
            if !ends.iter().all(|unit| is_last(*unit)) {
                whole.height += BETWEEN;
            }
            let under = whole.height.saturating_sub(BETWEEN / 2);
            for unit in ends {
                let leaves = doors[unit].1;
                let mut points = vec![leaves];
                if !is_last(unit) {
                    let below = bottoms[layers[unit]] + BETWEEN / 2;
                    points.push((leaves.0, below));
                    if layers[unit] + 1 < count {
                        let beside = lane();
                        points.extend([(beside, below), (beside, under)]);
                    }
                    points.push((spine, under));
                }
                points.push((spine, whole.height));
                whole.loose.push(Line {
                    from: marks[unit].clone(),
                    to: None,
                    way: Way::Back,
                    points: corners(points),
                });
            }
        }
        whole.width = content + if lanes > 0 { (lanes + 1) * LANE } else { 0 };
        whole
    }
}
