//! Which lines are read first: as the file draws them, but nothing before what stands above.

use super::layout::{Line, PARAGRAPH};

/// Blocks of a page that are put in order; with more, they stay as they are drawn.
const BLOCKS: usize = 400;

/// Lines of one column that were drawn one after the other.
struct Block {
    lines: Vec<Line>,
    from: f32,
    to: f32,
    top: f32,
    bottom: f32,
}

/// Puts lines in the order in which they are read.
pub(super) fn in_reading_order(lines: Vec<Line>) -> Vec<Line> {
    let mut directions: Vec<u8> = lines.iter().map(|line| line.direction).collect();
    directions.dedup();
    if directions.len() > 1 {
        // What runs across the rest has no place in its order.
        return lines;
    }
    let mut blocks = blocks(lines);
    if blocks.len() > BLOCKS {
        return blocks.into_iter().flat_map(|block| block.lines).collect();
    }
    let mut ordered = Vec::new();
    while !blocks.is_empty() {
        // The first drawn that has nothing above it, of those that are left.
        let free = |block: &Block| !blocks.iter().any(|other| other.is_above(block));
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
}
