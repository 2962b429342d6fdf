//! A page's operations, carried out as far as text goes: what is shown, where, and how large.

use std::collections::HashMap;
use std::rc::Rc;

use lopdf::{Dictionary, Object, ObjectId};

use super::budget::{Budget, Loss};
use super::file::{File, dictionary_of};
use super::font::{Font, Text};
use super::fonts::Fonts;
use super::lexer::{Lexer, Operand};
use super::load::Unpacked;
use super::marks::Marks;
use super::matrix::Matrix;
use crate::document::DocumentError;

/// A character on the page.
#[derive(Debug, Clone)]
pub(super) struct Glyph {
    pub(super) text: Text,
    /// Where it begins and where it ends, on its baseline.
    pub(super) from: (f32, f32),
    pub(super) to: (f32, f32),
    /// The height of its font on the page.
    pub(super) size: f32,
    /// The part of the way to the next that is the file's wish, not the font's.
    pub(super) spread: f32,
    /// Whether it is seen from behind.
    pub(super) mirrored: bool,
}

/// How many states may be saved in each other.
const SAVED: usize = 256;
/// Glyphs of a page.
const GLYPHS: usize = 400_000;
/// Bytes of forms that are kept while a page is read.
const FORMS: usize = 32 << 20;
/// What the operands of one operation take in memory, beside their texts, at most, and for
/// each byte of the content.
const OPERANDS: usize = 4 << 20;
const OPERAND: usize = 32;

#[derive(Clone)]
struct State {
    page: Matrix,
    font: Option<Rc<Font>>,
    size: f32,
    character_spacing: f32,
    word_spacing: f32,
    stretch: f32,
    leading: f32,
    rise: f32,
}

impl State {
    fn new(page: Matrix) -> Self {
        Self {
            page,
            font: None,
            size: 0.0,
            character_spacing: 0.0,
            word_spacing: 0.0,
            stretch: 1.0,
            leading: 0.0,
            rise: 0.0,
        }
    }
}

/// Carries out the operations of pages.
pub(super) struct Interpreter<'f, 'b, 'l> {
    file: &'f File<'f>,
    budget: &'b mut Budget<'l>,
    /// Fonts of the whole file.
    fonts: &'b mut Fonts,
    forms: HashMap<ObjectId, Option<Rc<Unpacked>>>,
    /// The bytes of the forms.
    kept: usize,
    glyphs: Vec<Glyph>,
    marks: Marks<'f>,
    depth: u32,
}

impl<'f, 'b, 'l> Interpreter<'f, 'b, 'l> {
    pub(super) fn new(
        file: &'f File<'f>,
        budget: &'b mut Budget<'l>,
        fonts: &'b mut Fonts,
    ) -> Self {
        let marks = Marks::new(file, fonts.layers(file));
        Self {
            file,
            budget,
            fonts,
            forms: HashMap::new(),
            kept: 0,
            glyphs: Vec::new(),
            marks,
            depth: 0,
        }
    }

    pub(super) fn glyphs(self) -> Vec<Glyph> {
        self.glyphs
    }

    /// One more thing that a page has.
    pub(super) fn operation(&mut self) -> Result<(), DocumentError> {
        self.budget.operation()
    }

    /// Carries out a stream; the matrix says where it lies.
    pub(super) fn run(
        &mut self,
        content: &[u8],
        resources: Option<&'f Dictionary>,
        matrix: Matrix,
    ) -> Result<(), DocumentError> {
        self.carry_out(content, resources, State::new(matrix))
    }

    fn carry_out(
        &mut self,
        content: &[u8],
        resources: Option<&'f Dictionary>,
        mut state: State,
    ) -> Result<(), DocumentError> {
        let texts = 2 * content.len();
        let held = texts + OPERANDS.min(content.len() * OPERAND);
        let _operands = self.budget.account.hold(held)?;
        let mut lexer = Lexer::new(content);
        let mut operands = Vec::new();
        let mut saved: Vec<State> = Vec::new();
        let (mut text, mut line) = (Matrix::IDENTITY, Matrix::IDENTITY);
        let marked = self.marks.depth();
        while let Some(operator) = lexer.next(&mut operands) {
            self.budget.operation()?;
            // An operator's own operands are the last ones, whatever stands before them.
            let last = |count: usize| operands.len().saturating_sub(count);
            let n = |at: usize, count: usize| match operands.get(last(count) + at) {
                Some(Operand::Number(number)) => *number,
                _ => 0.0,
            };
            let six = || [n(0, 6), n(1, 6), n(2, 6), n(3, 6), n(4, 6), n(5, 6)];
            match operator {
                b"q" if saved.len() < SAVED => saved.push(state.clone()),
                b"Q" => {
                    if let Some(last) = saved.pop() {
                        state = last;
                    }
                }
                b"cm" => {
                    if let Some(matrix) = Matrix::of(&six()) {
                        state.page = matrix.then(state.page);
                    }
                }
                b"BT" => (text, line) = (Matrix::IDENTITY, Matrix::IDENTITY),
                b"Tf" => {
                    if let Some(Operand::Name(name)) = operands.get(last(2)) {
                        state.font = self.font(resources, name)?;
                    }
                    state.size = n(1, 2);
                }
                b"Tc" => state.character_spacing = n(0, 1),
                b"Tw" => state.word_spacing = n(0, 1),
                b"Tz" => state.stretch = n(0, 1) / 100.0,
                b"TL" => state.leading = n(0, 1),
                b"Ts" => state.rise = n(0, 1),
                b"Td" | b"TD" => {
                    if operator == b"TD" {
                        state.leading = -n(1, 2);
                    }
                    line = Matrix::shift(n(0, 2), n(1, 2)).then(line);
                    text = line;
                }
                b"Tm" => {
                    if let Some(matrix) = Matrix::of(&six()) {
                        (text, line) = (matrix, matrix);
                    }
                }
                b"T*" => {
                    line = Matrix::shift(0.0, -state.leading).then(line);
                    text = line;
                }
                b"'" | b"\"" => {
                    if operator == b"\"" {
                        (state.word_spacing, state.character_spacing) = (n(0, 3), n(1, 3));
                    }
                    line = Matrix::shift(0.0, -state.leading).then(line);
                    text = line;
                    if let Some(Operand::Text(bytes)) = operands.last() {
                        self.show(bytes, &state, &mut text)?;
                    }
                }
                b"Tj" | b"TJ" => {
                    let items = match operands.last() {
                        Some(Operand::Array(items)) => items,
                        _ => &operands[last(1)..],
                    };
                    let vertical = state.font.as_ref().is_some_and(|font| font.vertical);
                    for item in items {
                        match item {
                            Operand::Text(bytes) => self.show(bytes, &state, &mut text)?,
                            Operand::Number(number) => {
                                let way = -number / 1000.0 * state.size;
                                text = if vertical {
                                    Matrix::shift(0.0, way)
                                } else {
                                    Matrix::shift(way * state.stretch, 0.0)
                                }
                                .then(text);
                            }
                            _ => {}
                        }
                    }
                }
                b"Do" => {
                    if let Some(Operand::Name(name)) = operands.last() {
                        self.form(resources, name, &state)?;
                    }
                }
                b"gs" => {
                    if let Some(Operand::Name(name)) = operands.last() {
                        self.graphics_state(resources, name, &mut state)?;
                    }
                }
                b"BMC" | b"BDC" => {
                    let from = self.glyphs.len();
                    self.marks.begin(&operands, resources, from, self.budget)?;
                }
                b"EMC" if self.marks.depth() > marked => {
                    self.marks.end(&mut self.glyphs, self.budget)?;
                }
                _ => {}
            }
        }
        if lexer.lost {
            self.budget.lose(Loss::Damaged);
        }
        while self.marks.depth() > marked {
            self.marks.end(&mut self.glyphs, self.budget)?;
        }
        Ok(())
    }

    /// Whether something with this dictionary is on a layer that is off.
    pub(super) fn is_hidden(&mut self, dictionary: &Dictionary) -> Result<bool, DocumentError> {
        self.marks.is_hidden(dictionary, self.budget)
    }

    /// Puts a text that no font shows in its place.
    pub(super) fn write(
        &mut self,
        text: &str,
        from: (f32, f32),
        to: (f32, f32),
        size: f32,
    ) -> Result<(), DocumentError> {
        self.budget.show();
        let text = Text::from_text(text);
        self.budget.glyph(&text)?;
        if self.glyphs.len() < GLYPHS {
            self.glyphs.push(Glyph {
                text,
                from,
                to,
                size,
                spread: 0.0,
                mirrored: false,
            });
        }
        Ok(())
    }

    /// Carries out a form, or anything else that has a look of its own.
    pub(super) fn look(
        &mut self,
        object: &'f Object,
        resources: Option<&'f Dictionary>,
        matrix: Matrix,
    ) -> Result<(), DocumentError> {
        self.look_from(object, resources, State::new(matrix))
    }

    /// The same, from the state in which it is called.
    fn look_from(
        &mut self,
        object: &'f Object,
        resources: Option<&'f Dictionary>,
        mut state: State,
    ) -> Result<(), DocumentError> {
        let Object::Stream(stream) = self.file.resolve(object) else {
            return Ok(());
        };
        if self.depth >= self.budget.limits.depth || self.is_hidden(&stream.dict)? {
            return Ok(());
        }
        let content = match object {
            Object::Reference(id) => match self.forms.get(id) {
                Some(known) => known.clone(),
                None => {
                    let content = self.file.content(stream, self.budget)?.map(Rc::new);
                    let length = content.as_ref().map_or(0, |content| content.len());
                    self.kept += length;
                    if self.kept > FORMS {
                        self.forms.clear();
                        self.kept = length;
                    }
                    self.forms.insert(*id, content.clone());
                    content
                }
            },
            _ => self.file.content(stream, self.budget)?.map(Rc::new),
        };
        let Some(content) = content else {
            return Ok(());
        };
        let own = Matrix::of(&self.file.numbers(&stream.dict, b"Matrix"));
        state.page = own.unwrap_or(Matrix::IDENTITY).then(state.page);
        let resources = self
            .file
            .dictionary(&stream.dict, b"Resources")
            .or(resources);
        self.depth += 1;
        let done = self.carry_out(&content, resources, state);
        self.depth -= 1;
        done
    }

    fn form(
        &mut self,
        resources: Option<&'f Dictionary>,
        name: &[u8],
        state: &State,
    ) -> Result<(), DocumentError> {
        let objects = resources.and_then(|r| self.file.dictionary(r, b"XObject"));
        let Some(Ok(object)) = objects.map(|objects| objects.get(name)) else {
            return Ok(());
        };
        let form = dictionary_of(self.file.resolve(object))
            .is_some_and(|d| self.file.name(d, b"Subtype") == Some(b"Form"));
        if form {
            self.look_from(object, resources, state.clone())?;
        }
        Ok(())
    }

    fn font(
        &mut self,
        resources: Option<&'f Dictionary>,
        name: &[u8],
    ) -> Result<Option<Rc<Font>>, DocumentError> {
        let fonts = resources.and_then(|r| self.file.dictionary(r, b"Font"));
        let object = fonts.and_then(|fonts| fonts.get(name).ok());
        object.map_or(Ok(None), |object| self.open_font(object))
    }

    fn open_font(&mut self, object: &'f Object) -> Result<Option<Rc<Font>>, DocumentError> {
        let Some(dictionary) = dictionary_of(self.file.resolve(object)) else {
            return Ok(None);
        };
        let font = self.fonts.open(self.file, dictionary, self.budget)?;
        Ok(Some(font))
    }

    fn graphics_state(
        &mut self,
        resources: Option<&'f Dictionary>,
        name: &[u8],
        state: &mut State,
    ) -> Result<(), DocumentError> {
        let states = resources.and_then(|r| self.file.dictionary(r, b"ExtGState"));
        let Some(found) = states.and_then(|states| self.file.dictionary(states, name)) else {
            return Ok(());
        };
        if let [font, size] = self.file.array(found, b"Font") {
            state.font = self.open_font(font)?;
            state.size = super::file::number(self.file.resolve(size)).unwrap_or(state.size);
        }
        Ok(())
    }

    fn show(
        &mut self,
        bytes: &[u8],
        state: &State,
        text: &mut Matrix,
    ) -> Result<(), DocumentError> {
        let Some(font) = state.font.clone() else {
            return Ok(());
        };
        let hidden = self.marks.hidden();
        // Moving on does not change these.
        let [a, b, c, d, _, _] = text.then(state.page).0;
        let (width, height) = (a.hypot(b), c.hypot(d));
        let size = (state.size * font.height).abs().min(10_000.0) * height;
        // Up is down, as seen from where the line goes.
        let mirrored = a * d - b * c < 0.0;
        let glyphs = &mut self.glyphs;
        font.show(bytes, self.file, self.budget, |shown, budget| {
            budget.operation()?;
            let spacing = state.character_spacing
                + if shown.is_space {
                    state.word_spacing
                } else {
                    0.0
                };
            let advance = shown.advance * state.size;
            let (x, y) = if font.vertical {
                (0.0, -advance)
            } else {
                (advance * state.stretch, 0.0)
            };
            let place = text.then(state.page);
            budget.show();
            if glyphs.len() == GLYPHS {
                budget.lose(Loss::Crowded);
            } else if !hidden {
                budget.glyph(&shown.text)?;
                let from = place.apply(0.0, state.rise);
                let to = place.apply(x, y + state.rise);
                let spread = spacing * state.stretch * width;
                if from.0.is_finite() && to.1.is_finite() && to.0.is_finite() && from.1.is_finite()
                {
                    glyphs.push(Glyph {
                        text: shown.text,
                        from,
                        to,
                        size,
                        spread,
                        mirrored,
                    });
                }
            }
            let shift = if font.vertical {
                Matrix::shift(0.0, y - spacing)
            } else {
                Matrix::shift(x + spacing * state.stretch, 0.0)
            };
            *text = shift.then(*text);
            Ok(())
        })
    }
}
