//! Fonts: from the bytes of a shown string to characters and their widths.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use lopdf::Dictionary;

use super::account::Held;
use super::bidi;
use super::budget::Budget;
use super::composite::Composite;
use super::file::{File, number};
use super::fonts::Predefined;
use super::simple::Simple;
use super::to_unicode::ToUnicode;
use crate::document::DocumentError;

/// The longest text of one code, in characters.
const TEXT: usize = 32;
/// Characters of a font with longer codes that are remembered.
const CHARACTERS: usize = 4_096;
/// Operations that it costs to look for one.
const MEET: u64 = 4;
/// What one of them takes in memory, beside its text: tables double as they grow.
const CHARACTER: usize = 2 * size_of::<((u32, u8), Shown)>() + 32;
/// What a font with codes of one byte takes in memory.
const SIZE: usize = 64 << 10;

/// A character of a shown string.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shown {
    /// Its text; empty if nobody knows it.
    pub(super) text: Text,
    /// How far it moves on, in the font's size; downwards if the font is written so.
    pub(super) advance: f32,
    /// Whether it is the single byte 32, to which word spacing applies.
    pub(super) is_space: bool,
}

/// The text of a glyph.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Text {
    None,
    One(char),
    Many(Rc<str>),
}

/// A font.
pub(super) struct Font {
    kind: Kind,
    /// Characters that were met, by code: of one byte, and of more with their length.
    short: RefCell<Vec<Option<Shown>>>,
    long: RefCell<HashMap<(u32, u8), Shown>>,
    held: RefCell<Held>,
    pub(super) vertical: bool,
    /// The size of its units, 0.001 but for fonts made of pictures.
    unit: f32,
    /// How high a line of it is, in its size: fonts made of pictures say what they like.
    pub(super) height: f32,
}

enum Kind {
    Simple(Box<Simple>),
    Composite(Box<Composite>),
}

impl Font {
    pub(super) fn read(
        file: &File,
        dictionary: &Dictionary,
        predefined: &mut Predefined,
        budget: &mut Budget<'_>,
    ) -> Result<Self, DocumentError> {
        let to_unicode = ToUnicode::read(file, dictionary, predefined, budget)?;
        let composite = file.name(dictionary, b"Subtype") == Some(b"Type0");
        let (mut unit, mut height) = (0.001, 1.0);
        let (kind, vertical) = if composite {
            let font = Composite::read(file, dictionary, to_unicode, predefined, budget)?;
            let vertical = font.vertical;
            (Kind::Composite(Box::new(font)), vertical)
        } else {
            if file.name(dictionary, b"Subtype") == Some(b"Type3") {
                (unit, height) = pictures(file, dictionary);
            }
            let font = Simple::read(file, dictionary, to_unicode, budget)?;
            (Kind::Simple(Box::new(font)), false)
        };
        budget.keep(SIZE)?;
        Ok(Self {
            kind,
            short: RefCell::new(vec![None; 256]),
            long: RefCell::default(),
            held: RefCell::new(budget.kept()),
            vertical,
            unit,
            height,
        })
    }

    /// The bytes of memory that it holds.
    pub(super) fn memory(&self) -> u64 {
        self.held.borrow().bytes()
    }

    /// The characters of a string, one after the other.
    pub(super) fn show(
        &self,
        bytes: &[u8],
        file: &File,
        budget: &mut Budget<'_>,
        mut each: impl FnMut(Shown, &mut Budget<'_>) -> Result<(), DocumentError>,
    ) -> Result<(), DocumentError> {
        let mut at = 0;
        while at < bytes.len() {
            let (code, length) = match &self.kind {
                Kind::Simple(_) => (u32::from(bytes[at]), 1),
                Kind::Composite(font) => font.code(&bytes[at..]),
            };
            at += usize::from(length.max(1));
            let shown = match self.met(code, length) {
                Some(shown) => shown,
                None => self.meet(code, length, file, budget)?,
            };
            each(shown, budget)?;
        }
        Ok(())
    }

    fn met(&self, code: u32, length: u8) -> Option<Shown> {
        match length {
            1 => self.short.borrow().get(code as usize).cloned().flatten(),
            _ => self.long.borrow().get(&(code, length)).cloned(),
        }
    }

    fn meet(
        &self,
        code: u32,
        length: u8,
        file: &File,
        budget: &mut Budget<'_>,
    ) -> Result<Shown, DocumentError> {
        budget.work(MEET)?;
        let shown = self.make(code, length, file, budget)?;
        let read = budget.kept();
        self.held.borrow_mut().join(read);
        let mut long = self.long.borrow_mut();
        match (length, self.short.borrow_mut().get_mut(code as usize)) {
            (1, Some(place)) => *place = Some(shown.clone()),
            _ => {
                let mut held = self.held.borrow_mut();
                if long.len() == CHARACTERS {
                    let texts = long.drain().map(|(_, shown)| CHARACTER + shown.text.len());
                    held.give_back(texts.sum::<usize>() as u64);
                }
                held.grow(CHARACTER + shown.text.len())?;
                long.insert((code, length), shown.clone());
            }
        }
        Ok(shown)
    }

    fn make(
        &self,
        code: u32,
        length: u8,
        file: &File,
        budget: &mut Budget<'_>,
    ) -> Result<Shown, DocumentError> {
        let (text, width) = match &self.kind {
            Kind::Simple(font) => font.character(u8::try_from(code).unwrap_or_default()),
            Kind::Composite(font) => font.character(code, length, file, budget)?,
        };
        let text = text.unwrap_or_default();
        let end = text
            .char_indices()
            .nth(TEXT)
            .map_or(text.len(), |(at, _)| at);
        Ok(Shown {
            text: Text::of(&text[..end]),
            advance: width * self.unit,
            is_space: code == 32 && length == 1,
        })
    }
}

impl Text {
    fn of(text: &str) -> Self {
        let mut characters = text.chars().filter(|c| !is_nothing(*c));
        match (characters.next(), characters.next()) {
            (None, _) => Self::None,
            (Some(only), None) => Self::One(only),
            _ => {
                let text: String = text.chars().filter(|c| !is_nothing(*c)).collect();
                Self::Many(text.into())
            }
        }
    }

    pub(super) fn push_to(&self, out: &mut String) {
        match self {
            Self::None => {}
            Self::One(c) => out.push(*c),
            Self::Many(text) => out.push_str(text),
        }
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::One(c) => c.len_utf8(),
            Self::Many(text) => text.len(),
        }
    }

    /// Whether it has letters that are written from right to left.
    pub(super) fn is_rightward(&self) -> bool {
        match self {
            Self::None => false,
            Self::One(c) => bidi::is_rightward(*c),
            Self::Many(text) => text.chars().any(bidi::is_rightward),
        }
    }

    pub(super) fn from_text(text: &str) -> Self {
        Self::of(text)
    }
}

/// The size of units, and the height of lines, of a font made of pictures.
fn pictures(file: &File, font: &Dictionary) -> (f32, f32) {
    /// How high a line is, in the mean width of its characters.
    const HEIGHT: f32 = 2.0;
    let [a, b, c, d] = match file.numbers(font, b"FontMatrix").first_chunk() {
        Some(known) => *known,
        None => [0.001, 0.0, 0.0, 0.001],
    };
    let unit = a.hypot(b);
    let widths = file.array(font, b"Widths").iter().take(256);
    let widths = widths.filter_map(|width| number(file.resolve(width)));
    let (sum, count) = widths
        .filter(|width| *width != 0.0)
        .fold((0.0, 0.0), |(sum, count), width| {
            (sum + width.abs(), count + 1.0)
        });
    let by_width = HEIGHT * unit * sum / f32::max(count, 1.0);
    let by_box = match file.numbers(font, b"FontBBox").first_chunk() {
        Some([_, bottom, _, top]) => (top - bottom).abs() * c.hypot(d),
        None => 0.0,
    };
    // A box that does not fit the characters is not theirs.
    let height = match (by_width > 0.0, by_box > 0.0) {
        (true, true) => by_box.clamp(0.5 * by_width, 1.5 * by_width),
        (true, false) => by_width,
        (false, true) => by_box,
        (false, false) => 1.0,
    };
    (unit, if height.is_finite() { height } else { 1.0 })
}

/// What is no text, although a font says it is.
fn is_nothing(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\n')) || matches!(c, '\u{fffd}' | '\u{feff}')
}
