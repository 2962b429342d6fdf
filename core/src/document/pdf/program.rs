//! What an embedded font program says of its glyphs' texts.

use std::collections::HashMap;

use ttf_parser::{Face, GlyphId, Tag, cff};

use super::budget::Budget;
use super::lexer::{is_delimiter, is_space};
use super::{font_tables, glyph_names};
use crate::document::DocumentError;

/// What the text of a glyph takes in memory.
const TEXT: usize = 100;

/// An embedded TrueType, OpenType or CFF font.
#[derive(Default)]
pub(super) struct Program {
    /// Texts by glyph.
    texts: HashMap<u16, String>,
    /// Glyphs by the codes of a symbol font or an old Macintosh table.
    codes: HashMap<u32, u16>,
    /// Glyphs by code, of a CFF font's own encoding.
    encoding: HashMap<u8, String>,
    /// Glyphs by character identifier, where they differ.
    identifiers: HashMap<u16, u16>,
}

impl Program {
    /// Reads a TrueType or OpenType font.
    pub(super) fn opentype(data: &[u8], budget: &mut Budget<'_>) -> Result<Self, DocumentError> {
        let Ok(face) = Face::parse(data, 0) else {
            return Self::compact(data, budget);
        };
        let mut program = Self::default();
        font_tables::codes(&face, budget, |code, glyph, unicode| {
            if glyph == 0 {
                return;
            }
            let private = (0xF000..=0xF0FF).contains(&code);
            match char::from_u32(code) {
                Some(c) if unicode && !private => {
                    program.texts.entry(glyph).or_insert_with(|| c.to_string());
                }
                _ => {
                    program.codes.entry(code & 0xFF).or_insert(glyph);
                }
            }
            if private {
                program.codes.insert(code & 0xFF, glyph);
            }
        })?;
        for (glyph, name) in font_tables::names(&face) {
            budget.work(glyph_names::cost(name))?;
            if !program.texts.contains_key(&glyph)
                && let Some(text) = glyph_names::text(name)
            {
                program.texts.insert(glyph, text);
            }
        }
        if let Some(table) = face.tables().cff {
            let data = face.raw_face().table(Tag::from_bytes(b"CFF "));
            program.add_compact(&table, data.unwrap_or_default(), budget)?;
        }
        budget.keep((program.texts.len() + program.identifiers.len()) * TEXT)?;
        Ok(program)
    }

    /// Reads a bare CFF font.
    pub(super) fn compact(data: &[u8], budget: &mut Budget<'_>) -> Result<Self, DocumentError> {
        let mut program = Self::default();
        if let Some(table) = cff::Table::parse(data) {
            program.add_compact(&table, data, budget)?;
        }
        budget.keep((program.texts.len() + program.identifiers.len()) * TEXT)?;
        Ok(program)
    }

    fn add_compact(
        &mut self,
        table: &cff::Table<'_>,
        data: &[u8],
        budget: &mut Budget<'_>,
    ) -> Result<(), DocumentError> {
        if !font_tables::can_be_named(data, table.number_of_glyphs(), budget)? {
            return Ok(());
        }
        for glyph in 0..table.number_of_glyphs() {
            if let Some(cid) = table.glyph_cid(GlyphId(glyph)) {
                self.identifiers.insert(cid, glyph);
            }
            let name = table.glyph_name(GlyphId(glyph));
            budget.work(name.map_or(0, glyph_names::cost))?;
            if let Some(text) = name.and_then(glyph_names::text) {
                self.texts.entry(glyph).or_insert(text);
            }
        }
        for code in 0..=u8::MAX {
            let name = table
                .glyph_index(code)
                .filter(|glyph| glyph.0 != 0)
                .and_then(|glyph| table.glyph_name(glyph));
            if let Some(text) = name.and_then(glyph_names::text) {
                self.encoding.insert(code, text);
            }
        }
        Ok(())
    }

    /// The text of a glyph.
    pub(super) fn glyph(&self, glyph: u16) -> Option<&str> {
        self.texts.get(&glyph).map(String::as_str)
    }

    /// The text of a character identifier, where glyphs have other numbers.
    pub(super) fn identifier(&self, cid: u16) -> Option<&str> {
        let glyph = match self.identifiers.is_empty() {
            true => cid,
            false => *self.identifiers.get(&cid)?,
        };
        self.glyph(glyph)
    }

    /// The text of a code in a font that has its own encoding.
    pub(super) fn code(&self, code: u8) -> Option<&str> {
        let own = self.encoding.get(&code).map(String::as_str);
        own.or_else(|| self.glyph(*self.codes.get(&u32::from(code))?))
    }
}

/// The names in the readable part of a Type 1 font: `dup 65 /A put`, or `dup 8#101/A put`.
pub(super) fn type1_encoding(data: &[u8]) -> HashMap<u8, String> {
    let mut found = HashMap::new();
    let Some(from) = memchr::memmem::find(data, b"/Encoding") else {
        return found;
    };
    let clear = &data[from..];
    let end = memchr::memmem::find(clear, b"eexec").unwrap_or(clear.len());
    let mut lexer = PostScript(&clear[..end.min(20_000)]);
    let mut last: [&[u8]; 4] = [b""; 4];
    while let Some(word) = lexer.next() {
        last.rotate_left(1);
        last[3] = word;
        let [b"dup", code, name, b"put"] = last else {
            continue;
        };
        let name = name
            .strip_prefix(b"/")
            .and_then(|name| std::str::from_utf8(name).ok());
        if let (Some(code), Some(text)) = (type1_code(code), name.and_then(glyph_names::text)) {
            found.insert(code, text);
        }
    }
    found
}

/// A number, which may have another base: `8#101`.
fn type1_code(word: &[u8]) -> Option<u8> {
    let word = std::str::from_utf8(word).ok()?;
    match word.split_once('#') {
        Some((base, digits)) => {
            let base = base.parse().ok().filter(|base| (2..=36).contains(base))?;
            u8::from_str_radix(digits, base).ok()
        }
        None => word.parse().ok(),
    }
}

/// The words of a program; names have their stroke.
struct PostScript<'d>(&'d [u8]);

impl<'d> PostScript<'d> {
    fn next(&mut self) -> Option<&'d [u8]> {
        loop {
            let space = self.0.iter().take_while(|byte| is_space(**byte)).count();
            self.0 = &self.0[space..];
            if *self.0.first()? != b'%' {
                break;
            }
            let line = |byte: &&u8| !matches!(**byte, b'\n' | b'\r');
            let comment = self.0.iter().take_while(line).count();
            self.0 = &self.0[comment..];
        }
        let rest = self.0.iter().skip(1);
        let rest = rest.take_while(|byte| !is_space(**byte) && !is_delimiter(**byte));
        let length = match self.0.first()? {
            b'/' => 1 + rest.count(),
            byte if is_delimiter(*byte) => 1,
            _ => 1 + rest.count(),
        };
        let (word, behind) = self.0.split_at(length);
        self.0 = behind;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_of_a_type_1_font_needs_no_blanks() {
        for line in [
            "dup 65 /B put",
            "dup 65/B put",
            "dup 8#101/B put % of Z",
            "dup 16#41\n/B\rput",
            "[dup 65/B put]",
        ] {
            let program = format!("/Encoding 256 array\n{line}\nreadonly def currentfile eexec");
            let found = type1_encoding(program.as_bytes());
            assert_eq!(found.get(&65).map(String::as_str), Some("B"), "{line}");
            assert_eq!(found.len(), 1);
        }
    }
}
