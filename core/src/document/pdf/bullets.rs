//! Bullets that are drawn apart from the lines they begin, put there.

use super::font::Text;
use super::layout::Line;

/// How far before its line a bullet stands, and how much higher or lower, in their size.
const BEFORE: f32 = 3.5;
const LEVEL: f32 = 0.3;
/// Lines of one height that are looked at for a bullet.
const LOOKED_AT: usize = 64;

/// Puts bullets that are lines of their own into the lines they stand before.
pub(super) fn put_in_place(mut lines: Vec<Line>) -> Vec<Line> {
    if !lines.iter().any(is_bullet) {
        return lines;
    }
    let mut level: Vec<usize> = (0..lines.len()).collect();
    level.retain(|at| !is_bullet(&lines[*at]));
    level.sort_by(|a, b| lines[*a].base.total_cmp(&lines[*b].base));
    let mut moved = vec![false; lines.len()];
    for at in 0..lines.len() {
        let bullet = &lines[at];
        if !is_bullet(bullet) {
            continue;
        }
        let lowest = bullet.base - LEVEL * bullet.size;
        let from = level.partition_point(|other| lines[*other].base < lowest);
        let near = level[from..].iter().take(LOOKED_AT);
        let found = near.copied().find(|other| begins(bullet, &lines[*other]));
        if let Some(found) = found {
            let pieces = std::mem::take(&mut lines[at].pieces);
            for piece in pieces {
                lines[found].push(piece);
            }
            moved[at] = true;
        }
    }
    let mut moved = moved.into_iter();
    lines.retain(|_| !moved.next().unwrap_or(false));
    lines
}

fn is_bullet(line: &Line) -> bool {
    let [piece] = &line.pieces[..] else {
        return false;
    };
    let mut glyphs = piece.glyphs.iter().filter(|glyph| !glyph.is_space());
    let only = (glyphs.next(), glyphs.next());
    matches!(only, (Some(glyph), None) if matches!(glyph.text,
        Text::One('-' | '\u{ad}' | '‐' | '−' | '–' | '—' | '*' | '·' | '•' | '‣' | '◦' | '○' | '●' | '■' | '□' | '▪')))
}

fn begins(bullet: &Line, line: &Line) -> bool {
    let size = bullet.size.max(line.size);
    let gap = line.from - bullet.to;
    bullet.direction == line.direction
        && (line.base - bullet.base).abs() < LEVEL * size
        && gap > 0.0
        && gap < BEFORE * size
}
