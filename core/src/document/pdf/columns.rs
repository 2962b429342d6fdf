//! Columns that are drawn line by line across the page, taken apart.
//!
//! A gap that goes through several lines, with running text on both sides, is the space between
//! two columns. Tables have such gaps too; what tells them apart is that their cells are short.

use super::layout::{Line, PARAGRAPH};
use super::lines::Piece;

/// Lines that a gap must go through, with text on both sides.
const LINES: usize = 3;
/// How wide the gap must be, in the size of its lines.
const GAP: f32 = 1.0;
/// How far apart the lines of a column are at most.
const LEADING: f32 = 3.0;
/// How many words a line of a column has, and how much of its width it fills, on average.
const WORDS: usize = 3;
const FILLED: f32 = 0.7;
/// Gaps of one line that are looked at, and how many columns beside each other.
const GAPS: usize = 8;
const DEPTH: usize = 4;

type Gap = (f32, f32);

/// Takes lines apart where they go over columns.
pub(super) fn split(lines: Vec<Line>) -> Vec<Line> {
    split_to(lines, DEPTH)
}

fn split_to(lines: Vec<Line>, depth: usize) -> Vec<Line> {
    let mut done = Vec::with_capacity(lines.len());
    let mut run: Vec<Line> = Vec::new();
    let mut gaps: Vec<Gap> = Vec::new();
    for line in lines {
        let left = match run.last() {
            Some(last) if follows(last, &line) => through(&gaps, &line),
            _ => Vec::new(),
        };
        if left.is_empty() {
            close(&mut done, &mut run, &gaps, Some(&line), depth);
            gaps = inner(&line);
        } else {
            gaps = left;
        }
        run.push(line);
    }
    close(&mut done, &mut run, &gaps, None, depth);
    done
}

fn follows(last: &Line, line: &Line) -> bool {
    let fall = last.base - line.base;
    let size = last.size.max(line.size);
    last.direction == line.direction && fall > 0.0 && fall < LEADING * size
}

/// The gaps of a line.
fn inner(line: &Line) -> Vec<Gap> {
    let mut places: Vec<Gap> = line.pieces.iter().map(|p| (p.from, p.to)).collect();
    places.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut gaps = Vec::new();
    let mut end = line.from;
    for (from, to) in places {
        if from - end >= GAP * line.size && gaps.len() < GAPS {
            gaps.push((end, from));
        }
        end = end.max(to);
    }
    gaps
}

/// What is left of the gaps where one more line is under them.
fn through(gaps: &[Gap], line: &Line) -> Vec<Gap> {
    let mut free = inner(line);
    free.push((f32::MIN, line.from));
    free.push((line.to, f32::MAX));
    let mut left = Vec::new();
    for (from, to) in gaps {
        for (begin, end) in &free {
            let gap = (from.max(*begin), to.min(*end));
            if gap.1 - gap.0 >= GAP * line.size && left.len() < GAPS {
                left.push(gap);
            }
        }
    }
    left
}

/// Ends a run of lines that have gaps in common.
fn close(
    done: &mut Vec<Line>,
    run: &mut Vec<Line>,
    gaps: &[Gap],
    next: Option<&Line>,
    depth: usize,
) {
    let lines = std::mem::take(run);
    let widest = gaps
        .iter()
        .max_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)));
    let place = match widest {
        Some(gap) if depth > 0 && lines.len() >= LINES => f32::midpoint(gap.0, gap.1),
        _ => return done.extend(lines),
    };
    if is_hole(done.last(), &lines, next, place) || !are_columns(&lines, place) {
        return done.extend(lines);
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for line in lines {
        let (before, behind) = apart(line, place);
        left.extend(before);
        right.extend(behind);
    }
    let rightward = left.iter().chain(&right).any(Line::is_rightward);
    let (first, second) = match rightward {
        true => (right, left),
        false => (left, right),
    };
    done.extend(split_to(first, depth - 1));
    done.extend(split_to(second, depth - 1));
}

/// Whether the text above and below goes over the gap: then something stands in the way of the
/// lines between.
fn is_hole(before: Option<&Line>, lines: &[Line], next: Option<&Line>, place: f32) -> bool {
    let over = |line: &Line| line.from < place && line.to > place;
    let above = before.zip(lines.first());
    let below = lines.last().zip(next);
    above.is_some_and(|(before, first)| over(before) && goes_on(before, first))
        && below.is_some_and(|(last, next)| over(next) && goes_on(last, next))
}

fn goes_on(upper: &Line, lower: &Line) -> bool {
    let size = upper.size.max(lower.size);
    follows(upper, lower) && upper.base - lower.base < PARAGRAPH * size
}

/// Whether both sides of a place are running text.
fn are_columns(lines: &[Line], place: f32) -> bool {
    let both = lines
        .iter()
        .filter(|line| line.from < place && line.to > place);
    let mut sides = [Side::default(), Side::default()];
    for line in both {
        for piece in &line.pieces {
            let side = &mut sides[usize::from(piece.from > place)];
            side.words += piece.words();
            side.filled += piece.to - piece.from;
        }
        let before = |piece: &&Piece| piece.from <= place;
        let (before, behind): (Vec<&Piece>, Vec<&Piece>) = line.pieces.iter().partition(before);
        for (side, pieces) in sides.iter_mut().zip([before, behind]) {
            let from = pieces.iter().map(|p| p.from).fold(f32::MAX, f32::min);
            let to = pieces.iter().map(|p| p.to).fold(f32::MIN, f32::max);
            side.lines.push((from, to));
        }
    }
    let size = lines.iter().map(|line| line.size).fold(0.0, f32::max);
    let rightward = lines.iter().any(Line::is_rightward);
    sides.iter().all(|side| side.is_running(size, rightward))
}

/// One side of a gap.
#[derive(Default)]
struct Side {
    words: usize,
    /// Where its lines begin and end, and how much of that is text.
    lines: Vec<Gap>,
    filled: f32,
}

impl Side {
    fn is_running(&self, size: f32, rightward: bool) -> bool {
        let from = self.lines.iter().map(|l| l.0).fold(f32::MAX, f32::min);
        let to = self.lines.iter().map(|l| l.1).fold(f32::MIN, f32::max);
        let count = self.lines.len();
        #[allow(clippy::cast_precision_loss)]
        let whole = count as f32 * (to - from);
        // Lines begin under each other; those behind a hole in a text do not.
        let begins = |line: &&Gap| match rightward {
            true => to - line.1 < 0.5 * size,
            false => line.0 - from < 0.5 * size,
        };
        let aligned = self.lines.iter().filter(begins).count();
        count >= LINES
            && self.words >= WORDS * count
            && self.filled >= FILLED * whole
            && aligned * 2 > count
    }
}

fn apart(line: Line, place: f32) -> (Option<Line>, Option<Line>) {
    let mut sides = (None, None);
    for piece in line.pieces {
        let side = match piece.from < place {
            true => &mut sides.0,
            false => &mut sides.1,
        };
        match side {
            None => *side = Some(Line::of(piece)),
            Some(line) => line.push(piece),
        }
    }
    sides
}
