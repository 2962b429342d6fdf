//! Fonts with codes of one byte.

use std::collections::HashMap;

use lopdf::{Dictionary, Object};
use pdf_encoding::Encoding;

use super::budget::Budget;
use super::file::{File, dictionary_of, number};
use super::glyph_names;
use super::program::{Program, type1_encoding};
use super::to_unicode::ToUnicode;
use super::widths;
use crate::document::DocumentError;

/// Entries of an encoding that are read; there are 256 codes.
const DIFFERENCES: usize = 4_096;
/// Bytes of a font's name.
const NAME: usize = 256;

/// A font with codes of one byte.
pub(super) struct Simple {
    to_unicode: ToUnicode,
    /// Texts by code, as the encoding says.
    texts: HashMap<u8, String>,
    widths: HashMap<u8, f32>,
    missing: Option<f32>,
    name: String,
}

impl Simple {
    pub(super) fn read(
        file: &File,
        font: &Dictionary,
        to_unicode: ToUnicode,
        budget: &mut Budget<'_>,
    ) -> Result<Self, DocumentError> {
        let name = file.name(font, b"BaseFont").unwrap_or_default();
        let name = String::from_utf8_lossy(&name[..name.len().min(NAME)]).into_owned();
        let descriptor = file.dictionary(font, b"FontDescriptor");
        let missing = descriptor.and_then(|d| file.number(d, b"MissingWidth"));
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let first = file.number(font, b"FirstChar").unwrap_or(0.0) as u32;
        let mut widths = HashMap::new();
        for (code, width) in (first..=255).zip(file.array(font, b"Widths")) {
            if let (Ok(code), Some(width)) = (u8::try_from(code), number(file.resolve(width))) {
                widths.insert(code, width);
            }
        }
        let texts = texts(file, font, descriptor, &name, budget)?;
        Ok(Self {
            to_unicode,
            texts,
            widths,
            missing,
            name,
        })
    }

    /// A code's text and width.
    pub(super) fn character(&self, code: u8) -> (Option<String>, f32) {
        let mapped = self.to_unicode.text(u32::from(code));
        let text = match (mapped, self.texts.get(&code)) {
            // A table that says "private use" knows less than the encoding.
            (Some(mapped), Some(named)) if mapped.chars().all(is_private) => Some(named.clone()),
            (Some(mapped), _) => Some(mapped),
            (None, named) => named.cloned(),
        };
        let width = self.widths.get(&code).copied();
        let width = width
            .or(self.missing.filter(|w| *w > 0.0))
            .unwrap_or_else(|| {
                let first = text.as_ref().and_then(|text| text.chars().next());
                widths::standard(&self.name, first)
            });
        (text, width)
    }
}

fn is_private(c: char) -> bool {
    ('\u{e000}'..='\u{f8ff}').contains(&c)
}

/// The texts of all codes, by what the font says of them.
fn texts(
    file: &File,
    font: &Dictionary,
    descriptor: Option<&Dictionary>,
    name: &str,
    budget: &mut Budget<'_>,
) -> Result<HashMap<u8, String>, DocumentError> {
    let encoding = file.get(font, b"Encoding");
    let subtype = file.name(font, b"Subtype").unwrap_or_default();
    let named = match encoding {
        Object::Name(name) => Some(&name[..]),
        other => dictionary_of(other).and_then(|d| file.name(d, b"BaseEncoding")),
    };
    let mut texts = HashMap::new();
    let base = named.and_then(table).or_else(|| special(name));
    let own = match base {
        Some(_) => HashMap::new(),
        None => built_in(file, descriptor, budget)?,
    };
    let base = base.unwrap_or(match subtype {
        b"TrueType" => Encoding::WinAnsiEncoding,
        _ => Encoding::AdobeStandard,
    });
    if let Some(map) = base.forward_map() {
        for code in 0..=u8::MAX {
            if let Some(c) = map.get(code) {
                texts.insert(code, c.to_string());
            }
        }
    }
    texts.extend(own);
    if let Some(dictionary) = dictionary_of(encoding) {
        let differences = file.array(dictionary, b"Differences");
        let differences = &differences[..differences.len().min(DIFFERENCES)];
        budget.work(differences.len() as u64)?;
        let all = |read| all_numbered(file, differences, read);
        let read: Option<NameNumber> = if subtype == b"Type3" || all(glyph_names::numbered) {
            Some(glyph_names::numbered)
        } else {
            Some(glyph_names::hexadecimal as NameNumber).filter(|read| all(*read))
        };
        let mut code: u32 = 0;
        for item in differences {
            match file.resolve(item) {
                Object::Name(name) => {
                    if let (Ok(code), Some(name)) = (u8::try_from(code), glyph_names::of(name)) {
                        budget.work(glyph_names::cost(&name))?;
                        let numbered = || {
                            let number = read.and_then(|read| read(&name))?;
                            let number = u8::try_from(number).ok()?;
                            let map = Encoding::WinAnsiEncoding.forward_map()?;
                            map.get(number).map(String::from)
                        };
                        match glyph_names::text(&name).or_else(numbered) {
                            Some(text) => drop(texts.insert(code, text)),
                            None if name == ".notdef" => drop(texts.remove(&code)),
                            None => {}
                        }
                    }
                    code = code.saturating_add(1);
                }
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                other => code = number(other).map_or(code, |number| number as u32),
            }
        }
    }
    Ok(texts)
}

/// How the number of a character is read from a glyph's name.
type NameNumber = fn(&str) -> Option<u32>;

fn all_numbered(file: &File, differences: &[Object], read: NameNumber) -> bool {
    let mut names = differences
        .iter()
        .filter_map(|item| file.resolve(item).as_name().ok())
        .filter(|name| *name != b".notdef" && *name != b"space")
        .peekable();
    let is = |name: &[u8]| glyph_names::of(name).is_some_and(|name| read(&name).is_some());
    names.peek().is_some() && names.all(is)
}

fn table(name: &[u8]) -> Option<Encoding> {
    Some(match name {
        b"WinAnsiEncoding" => Encoding::WinAnsiEncoding,
        b"MacRomanEncoding" => Encoding::MacRomanEncoding,
        b"MacExpertEncoding" => Encoding::AdobeExpert,
        b"StandardEncoding" => Encoding::AdobeStandard,
        _ => return None,
    })
}

/// Fonts that are known by their name to hold no letters.
fn special(name: &str) -> Option<Encoding> {
    let name = name.split_once('+').map_or(name, |(_, name)| name);
    if matches!(name.split(',').next(), Some("Symbol" | "SymbolMT")) {
        Some(Encoding::AdobeSymbol)
    } else if name.starts_with("ZapfDingbats") {
        Some(Encoding::AdobeZdingbat)
    } else {
        None
    }
}

/// What the embedded font itself says.
fn built_in(
    file: &File,
    descriptor: Option<&Dictionary>,
    budget: &mut Budget<'_>,
) -> Result<HashMap<u8, String>, DocumentError> {
    let Some(descriptor) = descriptor else {
        return Ok(HashMap::new());
    };
    for key in [&b"FontFile"[..], b"FontFile2", b"FontFile3"] {
        let Object::Stream(stream) = file.get(descriptor, key) else {
            continue;
        };
        let Some(data) = file.content(stream, budget)? else {
            continue;
        };
        if key == b"FontFile" && !data.starts_with(&[1, 0]) {
            return Ok(type1_encoding(&data));
        }
        let program = match key {
            b"FontFile2" => Program::opentype(&data, budget)?,
            _ if data.starts_with(b"OTTO") => Program::opentype(&data, budget)?,
            _ => Program::compact(&data, budget)?,
        };
        let texts = (0..=u8::MAX).filter_map(|code| {
            let text = program.code(code)?;
            Some((code, text.to_owned()))
        });
        return Ok(texts.collect());
    }
    Ok(HashMap::new())
}
