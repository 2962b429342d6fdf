//! Which lines are read first: as the file draws them, but nothing before what stands above,
//! and no column before the one to its left.

use std::collections::HashMap;

use super::layout::{Line, PARAGRAPH};
use super::lines::Piece;

/// Blocks of a page that are put in order; with more, they stay as they are drawn.
const BLOCKS: usize = 400;

/// Lines that a column has, and words of each, if it is running text.
const LINES: usize = 3;
const WORDS: usize = 3;

/// Lines of one column that were drawn one after the other.
struct Block {
    lines: Vec<Line>,
    from: f32,
    to: f32,
    top: f32,
    bottom: f32,
    /// Whether it is running text that is written to the right.
    runs: bool,
}

/// Puts lines in the order in which they are read: those of one direction by themselves, as
/// what runs across the rest has no place in its order.
pub(super) fn in_reading_order(lines: Vec<Line>) -> Vec<Line> {
    let mut directions: Vec<Vec<Line>> = Vec::new();
    let mut places = HashMap::new();
    for line in lines {
        let next = directions.len();
        let place = *places.entry(line.direction).or_insert(next);
        match directions.get_mut(place) {
            Some(others) => others.push(line),
            None => directions.push(vec![line]),
        }
    }
    let directions: Vec<Vec<Block>> = directions.into_iter().map(blocks).collect();
    if directions.iter().map(Vec::len).sum::<usize>() > BLOCKS {
        let blocks = directions.into_iter().flatten();
        return blocks.flat_map(|block| block.lines).collect();
    }
    directions.into_iter().flat_map(one_direction).collect()
}

fn one_direction(mut blocks: Vec<Block>) -> Vec<Line> {
    for block in &mut blocks {
        block.runs = block.is_running();
    }
    let mut ordered = Vec::new();
    while !blocks.is_empty() {
        // The first drawn that has nothing above it, of those that are left, nor a column
        // before it.
        let before = |other: &Block, block: &Block| other.is_above(block) || other.is_beside(block);
        let free = |block: &Block| !blocks.iter().any(|other| before(other, block));
        let next = blocks.iter().position(free).unwrap_or(0);
        ordered.append(&mut blocks.remove(next).lines);
    }
    ordered
}

fn blocks(lines: Vec<Line>) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in lines {
        let (top, bottom) = (line.base + 0.7 * line.size, line.base - 0.2 * line.size);
        if let Some(last) = blocks.last_mut()
            && last.takes(&line)
        {
            last.from = last.from.min(line.from);
            last.to = last.to.max(line.to);
            last.top = last.top.max(top);
            last.bottom = last.bottom.min(bottom);
            last.lines.push(line);
            continue;
        }
        blocks.push(Block {
            from: line.from,
            to: line.to,
            top,
            bottom,
            runs: false,
            lines: vec![line],
        });
    }
    blocks
}

impl Block {
    fn takes(&self, line: &Line) -> bool {
        let Some(last) = self.lines.last() else {
            return false;
        };
        let size = last.size.max(line.size);
        let fall = last.base - line.base;
        let over = last.to.min(line.to) > last.from.max(line.from);
        over && fall > -0.3 * size && fall < PARAGRAPH * size
    }

    /// Whether it stands over the other, in the same column.
    fn is_above(&self, other: &Self) -> bool {
        let over = self.to.min(other.to) - self.from.max(other.from);
        over > 0.0 && self.bottom >= other.top - 0.1 * (other.top - other.bottom)
    }

    fn is_running(&self) -> bool {
        let pieces = self.lines.iter().flat_map(|line| &line.pieces);
        let words: usize = pieces.map(Piece::words).sum();
        self.lines.len() >= LINES
            && words >= WORDS * self.lines.len()
            && !self.lines.iter().any(Line::is_rightward)
    }

    /// Whether it is a column of running text to the left of the other.
    fn is_beside(&self, other: &Self) -> bool {
        let height = (self.top - self.bottom).min(other.top - other.bottom);
        let level = self.top.min(other.top) - self.bottom.max(other.bottom);
        self.runs && other.runs && self.to < other.from && level > 0.5 * height
    }
}
