//! From pieces of lines to a page's text, in the order in which people read it.

use super::bidi;
use super::budget::Budget;
use super::font::Text;
use super::interpret::Glyph;
use super::lines::{Direction, Piece, Placed, pieces};
use super::{bullets, columns, order, repair};
use crate::document::DocumentError;

/// A gap between lines this wide, in their size, is a paragraph's.
pub(super) const PARAGRAPH: f32 = 1.7;

/// Operations that it costs to put a piece in its place, and once more for each beyond as many
/// as fit the processor's caches.
const PIECE: u64 = 6;
const PIECES: usize = 2_000;

/// A line of text.
pub(super) struct Line {
    pub(super) pieces: Vec<Piece>,
    pub(super) from: f32,
    pub(super) to: f32,
    pub(super) base: f32,
    pub(super) size: f32,
    pub(super) direction: Direction,
}

/// The text of a page.
pub(super) fn text(glyphs: Vec<Glyph>, budget: &mut Budget<'_>) -> Result<String, DocumentError> {
    let pieces = pieces(&glyphs);
    drop(glyphs);
    let crowd = pieces.len().saturating_sub(PIECES);
    budget.arrange(PIECE * (pieces.len() + crowd) as u64)?;
    let lines = columns::split(bullets::put_in_place(lines(pieces)));
    let lines = order::in_reading_order(lines);
    budget.time()?;
    join(&lines, budget)
}

/// Joins pieces that were drawn one after the other on one baseline.
fn lines(pieces: Vec<Piece>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for piece in pieces {
        if let Some(last) = lines.last_mut()
            && last.takes(&piece)
        {
            last.push(piece);
            continue;
        }
        lines.push(Line::of(piece));
    }
    lines
}

impl Line {
    pub(super) fn of(piece: Piece) -> Self {
        Self {
            from: piece.from,
            to: piece.to,
            base: piece.base,
            size: piece.size,
            direction: piece.direction,
            pieces: vec![piece],
        }
    }

    pub(super) fn push(&mut self, piece: Piece) {
        self.from = self.from.min(piece.from);
        self.to = self.to.max(piece.to);
        self.size = self.size.max(piece.size);
        self.pieces.push(piece);
    }

    fn takes(&self, piece: &Piece) -> bool {
        let size = self.size.max(piece.size);
        let beside = piece.from > self.to - 0.4 * size || piece.to < self.from + 0.4 * size;
        self.direction == piece.direction && (self.base - piece.base).abs() < 0.3 * size && beside
    }

    /// Whether it has letters that are written from right to left.
    pub(super) fn is_rightward(&self) -> bool {
        let mut glyphs = self.pieces.iter().flat_map(|piece| &piece.glyphs);
        glyphs.any(|glyph| glyph.text.is_rightward())
    }

    fn text(&self, budget: &mut Budget<'_>) -> Result<String, DocumentError> {
        let mut pieces: Vec<&Piece> = self.pieces.iter().collect();
        pieces.sort_by(|a, b| a.from.total_cmp(&b.from));
        let mut glyphs: Vec<&Placed> = pieces.iter().flat_map(|piece| &piece.glyphs).collect();
        let longer = glyphs.iter().map(|glyph| repair::longer(&glyph.text));
        budget.longer(longer.sum())?;
        let text = if self.is_rightward() {
            glyphs.sort_by(|a, b| a.from.total_cmp(&b.from));
            let mut units: Vec<String> = Vec::with_capacity(glyphs.len());
            spaced(&glyphs, |unit| {
                let mut text = String::new();
                unit.push_to(&mut text);
                units.push(repair::plain(text));
            });
            bidi::logical(&units)
        } else {
            let mut text = String::with_capacity(glyphs.len() + glyphs.len() / 4);
            spaced(&glyphs, |unit| unit.push_to(&mut text));
            text
        };
        Ok(repair::plain(text).trim().to_owned())
    }
}

/// Gives glyphs one after the other, with single spaces where they stand apart.
fn spaced(glyphs: &[&Placed], mut give: impl FnMut(&Text)) {
    const SPACE: Text = Text::One(' ');
    let mut before: Option<&Placed> = None;
    let mut after_space = true;
    for glyph in glyphs {
        if glyph.is_space() {
            if !after_space {
                give(&SPACE);
            }
            after_space = true;
        } else {
            if !after_space && before.is_some_and(|before| before.is_apart(glyph)) {
                give(&SPACE);
            }
            give(&glyph.text);
            after_space = false;
        }
        before = Some(glyph);
    }
}

/// Lines as text, broken words made whole.
fn join(lines: &[Line], budget: &mut Budget<'_>) -> Result<String, DocumentError> {
    let mut out = String::new();
    let mut before: Option<&Line> = None;
    for line in lines {
        let text = line.text(budget)?;
        if text.is_empty() {
            continue;
        }
        if repair::is_broken(&out, &text) {
            out.pop();
        } else if let Some(before) = before {
            let fall = before.base - line.base;
            let size = before.size.max(line.size);
            let apart = before.direction != line.direction
                || !(-0.5 * size..PARAGRAPH * size).contains(&fall);
            out.push_str(if apart { "\n\n" } else { "\n" });
        }
        out.push_str(&text);
        before = Some(line);
    }
    out.shrink_to_fit();
    Ok(out)
}
