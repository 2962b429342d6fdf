//! Marked content: text that replaces what is shown, and layers that are not shown.

use std::collections::HashSet;
use std::rc::Rc;

use lopdf::{Dictionary, Object, ObjectId};

use super::budget::Budget;
use super::file::{File, dictionary_of};
use super::font::Text;
use super::interpret::Glyph;
use super::lexer::Operand;
use crate::document::DocumentError;

/// How deep marks may lie in each other.
const DEPTH: usize = 256;
/// Bytes of a text that replaces what is shown.
const REPLACED: usize = 64 << 10;
/// Layers of a file that are looked at.
const LAYERS: usize = 4_096;

/// The marks that are open.
pub(super) struct Marks<'f> {
    file: &'f File<'f>,
    open: Vec<Mark>,
    layers: Rc<Layers>,
    hidden: usize,
    /// Marks beyond the depth.
    beyond: usize,
}

struct Mark {
    replaced: Option<String>,
    from: usize,
    hidden: bool,
}

impl<'f> Marks<'f> {
    pub(super) fn new(file: &'f File<'f>, layers: Rc<Layers>) -> Self {
        Self {
            file,
            open: Vec::new(),
            layers,
            hidden: 0,
            beyond: 0,
        }
    }

    pub(super) fn depth(&self) -> usize {
        self.open.len() + self.beyond
    }

    /// Whether what is shown now is on a layer that is off.
    pub(super) fn hidden(&self) -> bool {
        self.hidden > 0
    }

    /// Whether something with this dictionary is.
    pub(super) fn is_hidden(
        &self,
        dictionary: &Dictionary,
        budget: &mut Budget<'_>,
    ) -> Result<bool, DocumentError> {
        match dictionary.get(b"OC") {
            Ok(layer) => self.is_off(layer, budget),
            Err(_) => Ok(false),
        }
    }

    pub(super) fn begin(
        &mut self,
        operands: &[Operand],
        resources: Option<&Dictionary>,
        from: usize,
        budget: &mut Budget<'_>,
    ) -> Result<(), DocumentError> {
        if self.open.len() >= DEPTH {
            self.beyond += 1;
            return Ok(());
        }
        let named = match operands.get(1) {
            Some(Operand::Name(name)) => resources
                .and_then(|r| self.file.dictionary(r, b"Properties"))
                .and_then(|properties| properties.get(name).ok()),
            _ => None,
        };
        let replaced = match operands.get(1) {
            Some(Operand::Dictionary(pairs)) => {
                let mut pairs = pairs.iter();
                pairs.find_map(|(key, value)| match value {
                    Operand::Text(text) if key == b"ActualText" => Some(replacing(text)),
                    _ => None,
                })
            }
            _ => named
                .and_then(|object| dictionary_of(self.file.resolve(object)))
                .and_then(
                    |dictionary| match self.file.get(dictionary, b"ActualText") {
                        Object::String(text, _) => Some(replacing(text)),
                        _ => None,
                    },
                ),
        };
        let layer = matches!(operands.first(), Some(Operand::Name(name)) if name == b"OC");
        let hidden = match named.filter(|_| layer) {
            Some(layer) => self.is_off(layer, budget)?,
            None => false,
        };
        self.hidden += usize::from(hidden);
        budget.content(replaced.as_ref().map_or(0, String::len))?;
        self.open.push(Mark {
            replaced,
            from,
            hidden,
        });
        Ok(())
    }

    pub(super) fn end(
        &mut self,
        glyphs: &mut Vec<Glyph>,
        budget: &mut Budget<'_>,
    ) -> Result<(), DocumentError> {
        if self.beyond > 0 {
            self.beyond -= 1;
            return Ok(());
        }
        let Some(mark) = self.open.pop() else {
            return Ok(());
        };
        self.hidden -= usize::from(mark.hidden);
        let shown = glyphs.get_mut(mark.from..);
        let (Some(replaced), Some(shown)) = (mark.replaced, shown.filter(|s| !s.is_empty())) else {
            return Ok(());
        };
        let hyphen = matches!(&shown[0].text, Text::One(c) if is_hyphen(*c)) && shown.len() == 1;
        let text = match replaced.is_empty() && hyphen {
            // One that is there for the end of the line only.
            true => Text::One('\u{ad}'),
            false => Text::from_text(&replaced),
        };
        budget.glyph(&text)?;
        // Its first glyph has all of the text, and reaches to the end of the last.
        let to = shown[shown.len() - 1].to;
        shown[0].text = text;
        shown[0].to = to;
        glyphs.truncate(mark.from + 1);
        Ok(())
    }

    fn is_off(&self, layer: &Object, budget: &mut Budget<'_>) -> Result<bool, DocumentError> {
        let Some(dictionary) = dictionary_of(self.file.resolve(layer)) else {
            return Ok(false);
        };
        let Ok(members) = dictionary.get(b"OCGs") else {
            return Ok(self.layers.is_off(layer));
        };
        let members = match self.file.resolve(members) {
            Object::Array(members) => &members[..members.len().min(LAYERS)],
            _ => std::slice::from_ref(members),
        };
        budget.work(members.len() as u64 / 4)?;
        let off = |member: &Object| self.layers.is_off(member);
        let shown = match self.file.name(dictionary, b"P") {
            Some(b"AllOn") => !members.iter().any(off),
            Some(b"AnyOff") => members.iter().any(off),
            Some(b"AllOff") => members.iter().all(off),
            // Any of them is on.
            _ => !members.iter().all(off),
        };
        Ok(!shown && !members.is_empty())
    }
}

/// Which layers of a file are shown.
#[derive(Default)]
pub(super) struct Layers {
    /// Whether those that nothing is said of are off.
    off_by_default: bool,
    on: HashSet<ObjectId>,
    off: HashSet<ObjectId>,
}

impl Layers {
    pub(super) fn of(file: &File) -> Self {
        let layers = file
            .root(b"Root")
            .and_then(|root| file.dictionary(root, b"OCProperties"))
            .and_then(|layers| file.dictionary(layers, b"D"));
        let Some(layers) = layers else {
            return Self::default();
        };
        let all = |key| {
            let all = file.array(layers, key).iter().take(LAYERS);
            all.filter_map(|layer| layer.as_reference().ok()).collect()
        };
        Self {
            off_by_default: file.name(layers, b"BaseState") == Some(b"OFF"),
            on: all(b"ON"),
            off: all(b"OFF"),
        }
    }

    fn is_off(&self, layer: &Object) -> bool {
        match layer {
            Object::Reference(id) if self.off_by_default => !self.on.contains(id),
            Object::Reference(id) => self.off.contains(id),
            _ => false,
        }
    }
}

fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}' | '\u{ad}')
}

pub(super) fn replacing(text: &[u8]) -> String {
    words(&text[..text.len().min(REPLACED)])
}

/// A string of the file's own, not of a font's.
pub(super) fn words(bytes: &[u8]) -> String {
    if let Some(utf8) = bytes.strip_prefix(&[0xEF, 0xBB, 0xBF]) {
        return String::from_utf8_lossy(utf8).into_owned();
    }
    if bytes.starts_with(&[0xFE, 0xFF]) || bytes.starts_with(&[0xFF, 0xFE]) {
        let units: Vec<u16> = bytes[2..]
            .chunks_exact(2)
            .map(|pair| match bytes[0] {
                0xFE => u16::from_be_bytes([pair[0], pair[1]]),
                _ => u16::from_le_bytes([pair[0], pair[1]]),
            })
            .collect();
        return String::from_utf16_lossy(&units);
    }
    // Letters of this encoding are those of Windows, near enough.
    let map = pdf_encoding::Encoding::WinAnsiEncoding.forward_map();
    let letter = |byte: &u8| map.and_then(|map| map.get(*byte)).unwrap_or(' ');
    bytes.iter().map(letter).collect()
}
