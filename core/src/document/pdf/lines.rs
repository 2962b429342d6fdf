//! From glyphs to lines: what stands together on one baseline, in the order it is drawn.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hash, Hasher};

use foldhash::fast::RandomState;

use super::font::Text;
use super::interpret::Glyph;
use super::repair;

/// A gap this wide, in the font's size, is a space.
const SPACE: f32 = 0.13;
/// Letters may be spread so far without falling apart.
const SPREAD: f32 = 0.12;
/// A gap this wide begins another piece: a column, or a cell.
const PIECE: f32 = 1.2;

/// A glyph in its line: the line runs along x, and y is up.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) text: Text,
    pub(super) from: f32,
    pub(super) to: f32,
    pub(super) size: f32,
    base: f32,
    spread: f32,
}

/// Glyphs that were drawn one after the other on one baseline.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub(super) glyphs: Vec<Placed>,
    pub(super) from: f32,
    pub(super) to: f32,
    pub(super) base: f32,
    pub(super) size: f32,
    pub(super) direction: Direction,
}

/// Gathers glyphs into pieces.
pub(super) fn pieces(glyphs: &[Glyph]) -> Vec<Piece> {
    let mut found: Vec<Piece> = Vec::new();
    let mut drawn = Drawn::default();
    let mut direction = Direction::RIGHT;
    for glyph in glyphs {
        direction = Direction::of(glyph, direction);
        let (from, base) = direction.turned(glyph.from);
        let (to, _) = direction.turned(glyph.to);
        let placed = Placed {
            text: glyph.text.clone(),
            from: from.min(to),
            to: to.max(from),
            size: glyph.size.max(0.1),
            base,
            spread: glyph.spread,
        };
        if let Some(last) = found.last_mut().filter(|last| last.direction == direction)
            && last.take(&placed)
        {
            continue;
        }
        if let Text::None = placed.text {
            continue;
        }
        drawn.settle(&mut found);
        found.push(Piece {
            from: placed.from,
            to: placed.to,
            base,
            size: placed.size,
            glyphs: vec![placed],
            direction,
        });
    }
    drawn.settle(&mut found);
    found
}

impl Piece {
    /// How many words it has, those that begin with a letter.
    pub(super) fn words(&self) -> usize {
        let first = self.glyphs.first().filter(|glyph| glyph.is_letter());
        let begin = |pair: &&[Placed]| {
            pair[1].is_letter() && (pair[0].is_space() || pair[0].is_apart(&pair[1]))
        };
        usize::from(first.is_some()) + self.glyphs.windows(2).filter(begin).count()
    }

    /// Takes one more glyph, if it goes on with this piece.
    fn take(&mut self, next: &Placed) -> bool {
        let size = self.size.max(next.size);
        let rise = (next.base - self.base).abs();
        let Some(last) = self.glyphs.last_mut() else {
            return false;
        };
        if rise < size * 0.7 && repair::accent(last, next) {
            self.to = self.to.max(next.to);
            return true;
        }
        let gap = next.from - last.to;
        let near = gap > -0.35 * size && gap < 0.6 * size;
        let level = rise.min((next.base - last.base).abs()) < 0.2 * size;
        // Smaller ones may stand higher or lower, as the number of a note does.
        let same = level || (rise < 0.55 * size && near && next.size != last.size);
        if !same {
            return false;
        }
        // The same glyph once more, a hair beside itself, is bold type by other means.
        if last.text == next.text
            && (next.from - last.from).abs() < 0.08 * size
            && next.to - next.from > 0.2 * size
        {
            return true;
        }
        if let Text::None = next.text {
            let goes_on = gap > -0.35 * size && gap < PIECE * size;
            if goes_on {
                last.to = last.to.max(next.to);
                self.to = self.to.max(next.to);
            }
            return goes_on;
        }
        if gap < -0.35 * size || gap > PIECE * size {
            return false;
        }
        self.from = self.from.min(next.from);
        self.to = self.to.max(next.to);
        if next.size > self.size {
            (self.size, self.base) = (next.size, next.base);
        }
        self.glyphs.push(next.clone());
        true
    }
}

impl Placed {
    pub(super) fn is_space(&self) -> bool {
        match &self.text {
            Text::None => true,
            Text::One(c) => c.is_whitespace(),
            Text::Many(text) => text.trim().is_empty(),
        }
    }

    fn is_letter(&self) -> bool {
        let first = match &self.text {
            Text::None => None,
            Text::One(c) => Some(*c),
            Text::Many(text) => text.chars().next(),
        };
        first.is_some_and(char::is_alphabetic)
    }

    /// Whether there is a space between this glyph and the next to the right.
    pub(super) fn is_apart(&self, next: &Self) -> bool {
        let size = self.size.max(next.size);
        let absorbed = self.spread.clamp(0.0, SPREAD * size);
        next.from - self.to - absorbed > SPACE * size
    }
}

/// What has been drawn where: some files draw text twice, to make it bold or to be safe. Of
/// the text there is a hash, as pages have thousands of pieces.
#[derive(Default)]
struct Drawn {
    places: HashSet<(Direction, i32, i32, u64), RandomState>,
    texts: RandomState,
}

impl Drawn {
    /// Drops the last piece if it is blank, or was drawn before in the same place.
    fn settle(&mut self, pieces: &mut Vec<Piece>) {
        let Some(last) = pieces.last() else { return };
        if last.glyphs.iter().all(Placed::is_space) {
            pieces.pop();
            return;
        }
        let mut text = self.texts.build_hasher();
        for glyph in &last.glyphs {
            match &glyph.text {
                Text::None => {}
                Text::One(c) => c.hash(&mut text),
                Text::Many(several) => several.chars().for_each(|c| c.hash(&mut text)),
            }
        }
        let text = text.finish();
        let unit = (last.size * 0.3).max(0.5);
        #[allow(clippy::cast_possible_truncation)]
        let (x, y) = (
            (last.from / unit).round() as i32,
            (last.base / unit).round() as i32,
        );
        let place = |(dx, dy)| {
            let (x, y) = (x.saturating_add(dx), y.saturating_add(dy));
            (last.direction, x, y, text)
        };
        if AROUND.iter().any(|at| self.places.contains(&place(*at))) {
            pieces.pop();
        } else {
            self.places.insert(place((0, 0)));
        }
    }
}

const AROUND: [(i32, i32); 5] = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)];

/// In which direction a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Direction {
    /// In degrees, against the clock, from -180.
    degrees: i16,
    /// Whether it is seen from behind: it goes to the left, and the next line is below.
    mirrored: bool,
}

impl Direction {
    const RIGHT: Self = Self {
        degrees: 0,
        mirrored: false,
    };
    /// What is nearer to the page's edges than this is along them.
    const ALONG: f32 = 3.0;

    /// That of a glyph; one without a way has that of the one before.
    fn of(glyph: &Glyph, before: Self) -> Self {
        let (x, y) = (glyph.to.0 - glyph.from.0, glyph.to.1 - glyph.from.1);
        if x.abs() < 1e-4 && y.abs() < 1e-4 {
            return before;
        }
        let degrees = y.atan2(x).to_degrees();
        let along = (degrees / 90.0).round() * 90.0;
        let degrees = if (degrees - along).abs() <= Self::ALONG {
            along
        } else if (degrees - f32::from(before.degrees)).abs() <= 1.0 {
            f32::from(before.degrees)
        } else {
            degrees.round()
        };
        #[allow(clippy::cast_possible_truncation)]
        let degrees = if degrees >= 180.0 {
            -180
        } else {
            degrees as i16
        };
        Self {
            degrees,
            mirrored: glyph.mirrored && degrees == -180,
        }
    }

    /// A place, turned so that its line runs along x.
    fn turned(self, (x, y): (f32, f32)) -> (f32, f32) {
        match self.degrees {
            0 => (x, y),
            90 => (y, -x),
            -180 if self.mirrored => (-x, y),
            -180 => (-x, -y),
            -90 => (-y, x),
            degrees => {
                let (sin, cos) = f32::from(degrees).to_radians().sin_cos();
                (x * cos + y * sin, y * cos - x * sin)
            }
        }
    }
}
