//! Fonts with codes of several bytes.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use hayro_cmap::{BfString, CMap, CMapName, CidFamily, WritingMode};
use lopdf::{Dictionary, Object, ObjectId};

use super::budget::Budget;
use super::cmap;
use super::file::{File, dictionary_of, number};
use super::fonts::Predefined;
use super::load::Unpacked;
use super::program::Program;
use super::to_unicode::ToUnicode;
use crate::document::DocumentError;

/// Identifiers that a font may have.
const IDENTIFIERS: u32 = 0xFF_FFFF;
/// Widths of single identifiers that are kept.
const WIDTHS: usize = 66_000;
/// What a width takes in memory: tables double as they grow.
const WIDTH: usize = 32;
/// Bytes of a table that has a glyph for each identifier.
const GLYPHS: usize = 2 << 16;

/// Codes that are text themselves.
#[derive(Clone, Copy)]
enum UnicodeCodes {
    None,
    Utf8,
    Utf16,
    Utf32,
}

impl UnicodeCodes {
    /// As the name of a table says: `UniJIS-UTF16-H`.
    fn of(name: &[u8]) -> Self {
        let has = |part: &[u8]| memchr::memmem::find(name, part).is_some();
        if has(b"UCS2") || has(b"UTF16") {
            Self::Utf16
        } else if has(b"UTF32") {
            Self::Utf32
        } else if has(b"UTF8") {
            Self::Utf8
        } else {
            Self::None
        }
    }
}

/// Where the embedded program is.
#[derive(Default)]
struct Embedded {
    program: Option<ObjectId>,
    glyphs: Option<ObjectId>,
}

/// The embedded program.
struct Embedding {
    program: Program,
    /// Glyphs by identifier, two bytes each.
    glyphs: Option<Vec<u8>>,
}

/// A font with codes of several bytes.
pub(super) struct Composite {
    to_unicode: ToUnicode,
    /// From codes to identifiers; none where they are the same two bytes.
    codes: Option<Rc<CMap>>,
    /// Codes are text already, whatever the identifiers.
    unicode_codes: UnicodeCodes,
    /// From identifiers to text, of the collection that they are of.
    collection: Option<Rc<CMap>>,
    embedded: Embedded,
    /// The embedded program, read when a code is met that nothing else tells the text of.
    program: OnceCell<Option<Embedding>>,
    widths: HashMap<u32, f32>,
    ranges: Vec<(u32, u32, f32)>,
    width: f32,
    /// How far identifiers move down, where that is not their size.
    falls: HashMap<u32, f32>,
    fall: f32,
    pub(super) vertical: bool,
}

impl Composite {
    pub(super) fn read(
        file: &File,
        font: &Dictionary,
        to_unicode: ToUnicode,
        predefined: &mut Predefined,
        budget: &mut Budget<'_>,
    ) -> Result<Self, DocumentError> {
        let below = file.array(font, b"DescendantFonts").first();
        let below = below.and_then(|below| dictionary_of(file.resolve(below)));
        let encoding = file.get(font, b"Encoding");
        let (mut codes, mut unicode_codes) = (None, UnicodeCodes::None);
        let mut vertical = false;
        match encoding {
            Object::Name(name) if name.starts_with(b"Identity") => {
                vertical = name.ends_with(b"-V");
            }
            Object::Name(name) => {
                codes = predefined.get(CMapName::from_bytes(name), budget)?;
                unicode_codes = UnicodeCodes::of(name);
                vertical = name.ends_with(b"-V");
            }
            Object::Stream(stream) => {
                if let Some(content) = file.content(stream, budget)? {
                    codes = cmap::read(&content, budget)?.map(Rc::new);
                }
                let mode = codes
                    .as_ref()
                    .and_then(|codes| codes.metadata().writing_mode);
                vertical = mode == Some(WritingMode::Vertical);
            }
            _ => {}
        }
        let info = below.and_then(|below| file.dictionary(below, b"CIDSystemInfo"));
        let text = |key: &[u8]| match info.map(|info| file.get(info, key)) {
            Some(Object::String(text, _)) => text.clone(),
            _ => Vec::new(),
        };
        let family = CidFamily::from_registry_ordering(&text(b"Registry"), &text(b"Ordering"));
        let collection = match family.ucs2_cmap() {
            Some(name) => predefined.get(name, budget)?,
            None => None,
        };
        let mut read = Self {
            to_unicode,
            codes,
            unicode_codes,
            collection,
            embedded: Embedded::default(),
            program: OnceCell::new(),
            widths: HashMap::new(),
            ranges: Vec::new(),
            width: 1_000.0,
            falls: HashMap::new(),
            fall: 1_000.0,
            vertical,
        };
        if let Some(below) = below {
            read.width = file.number(below, b"DW").unwrap_or(1_000.0);
            budget.work((file.array(below, b"W").len() + file.array(below, b"W2").len()) as u64)?;
            read.read_widths(file, below, budget)?;
            if vertical {
                read.read_falls(file, below, budget)?;
            }
            read.embedded = Embedded::find(file, below);
        }
        budget.keep((read.widths.len() + read.falls.len() + read.ranges.len()) * WIDTH)?;
        Ok(read)
    }

    /// The next code of a string, and its length.
    pub(super) fn code(&self, bytes: &[u8]) -> (u32, u8) {
        let mut code = 0;
        if let UnicodeCodes::Utf8 = self.unicode_codes {
            let length = match bytes[0] {
                0xF0.. => 4,
                0xE0.. => 3,
                0xC0.. => 2,
                _ => 1,
            };
            let join = |code, byte: &u8| code << 8 | u32::from(*byte);
            let code = bytes.iter().take(length.into()).fold(0, join);
            return (code, length);
        }
        if let (UnicodeCodes::Utf32, Some(code)) = (self.unicode_codes, bytes.first_chunk()) {
            return (u32::from_be_bytes(*code), 4);
        }
        let Some(codes) = &self.codes else {
            let low = bytes.get(1).copied().unwrap_or_default();
            return (u32::from(bytes[0]) << 8 | u32::from(low), 2);
        };
        for (length, byte) in (1_u8..=4).zip(bytes) {
            code = code << 8 | u32::from(*byte);
            if codes.lookup_cid_code(code, length).is_some() {
                return (code, length);
            }
        }
        let low = bytes.get(1).copied().unwrap_or_default();
        (u32::from(bytes[0]) << 8 | u32::from(low), 2)
    }

    /// A code's text and width.
    pub(super) fn character(
        &self,
        code: u32,
        length: u8,
        file: &File,
        budget: &mut Budget<'_>,
    ) -> Result<(Option<String>, f32), DocumentError> {
        let cid = match &self.codes {
            Some(codes) => codes.lookup_cid_code(code, length).unwrap_or(0),
            None => code,
        };
        let width = if self.vertical {
            self.falls.get(&cid).copied().unwrap_or(self.fall)
        } else {
            self.width_of(cid)
        };
        let text = self
            .to_unicode
            .text(code)
            .or_else(|| self.unicode(code, length))
            .or_else(|| self.of_collection(cid));
        // What the tables say is better than what the program lets guess.
        let text = match text {
            None => self.of_program(cid, file, budget)?,
            known => known,
        };
        Ok((text, width))
    }

    fn unicode(&self, code: u32, length: u8) -> Option<String> {
        match self.unicode_codes {
            UnicodeCodes::None => None,
            UnicodeCodes::Utf8 => {
                let bytes = code.to_be_bytes();
                let bytes = bytes.get(4_usize.checked_sub(length.into())?..)?;
                std::str::from_utf8(bytes).ok().map(str::to_owned)
            }
            UnicodeCodes::Utf16 => {
                let units = match length {
                    4 => vec![(code >> 16) as u16, (code & 0xFFFF) as u16],
                    _ => vec![u16::try_from(code).ok()?],
                };
                String::from_utf16(&units).ok()
            }
            UnicodeCodes::Utf32 => char::from_u32(code).map(String::from),
        }
    }

    fn of_collection(&self, cid: u32) -> Option<String> {
        match self.collection.as_ref()?.lookup_bf_string(cid)? {
            BfString::Char(c) => Some(c.to_string()),
            BfString::String(text) => Some(text),
        }
    }

    fn of_program(
        &self,
        cid: u32,
        file: &File,
        budget: &mut Budget<'_>,
    ) -> Result<Option<String>, DocumentError> {
        let embedding = match self.program.get() {
            Some(known) => known,
            None => {
                let read = self.embedded.read(file, budget)?;
                self.program.get_or_init(|| read)
            }
        };
        let text = embedding.as_ref().zip(u16::try_from(cid).ok());
        let text = text.and_then(|(embedding, cid)| embedding.text(cid));
        Ok(text.map(str::to_owned))
    }

    fn width_of(&self, cid: u32) -> f32 {
        let single = self.widths.get(&cid).copied();
        single
            .or_else(|| {
                let behind = self.ranges.partition_point(|(from, _, _)| *from <= cid);
                let (_, to, width) = self.ranges.get(behind.checked_sub(1)?)?;
                (cid <= *to).then_some(*width)
            })
            .unwrap_or(self.width)
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn read_widths(
        &mut self,
        file: &File,
        below: &Dictionary,
        budget: &mut Budget<'_>,
    ) -> Result<(), DocumentError> {
        let mut items = file.items(below, b"W");
        while let Some(first) = items.next().and_then(number) {
            let first = (first as u32).min(IDENTIFIERS);
            match items.next() {
                Some(Object::Array(widths)) => {
                    // The same list may stand here often.
                    budget.work(widths.len() as u64)?;
                    for (cid, width) in (first..).zip(widths) {
                        if let Some(width) = number(file.resolve(width))
                            && self.widths.len() < WIDTHS
                        {
                            self.widths.insert(cid, width);
                        }
                    }
                }
                Some(last) => {
                    let width = items.next().and_then(number);
                    if let (Some(last), Some(width)) = (number(last), width)
                        && self.ranges.len() < WIDTHS / 10
                    {
                        self.ranges.push((first, last as u32, width));
                    }
                }
                None => break,
            }
        }
        self.ranges.sort_by_key(|(from, _, _)| *from);
        Ok(())
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn read_falls(
        &mut self,
        file: &File,
        below: &Dictionary,
        budget: &mut Budget<'_>,
    ) -> Result<(), DocumentError> {
        if let [_, fall] = *file.numbers(below, b"DW2") {
            self.fall = -fall;
        }
        let mut items = file.items(below, b"W2");
        while let Some(first) = items.next().and_then(number) {
            let first = (first as u32).min(IDENTIFIERS);
            let (cids, fall): (Vec<u32>, Vec<f32>) = match items.next() {
                Some(Object::Array(numbers)) => {
                    budget.work(numbers.len() as u64)?;
                    let numbers: Vec<f32> = numbers
                        .iter()
                        .filter_map(|item| number(file.resolve(item)))
                        .collect();
                    let falls: Vec<f32> = numbers.chunks(3).map(|three| -three[0]).collect();
                    ((first..).take(falls.len()).collect(), falls)
                }
                Some(last) => {
                    let fall = items.next().and_then(number);
                    // Where it begins to fall is not asked.
                    let _ = (items.next(), items.next());
                    let (Some(last), Some(fall)) = (number(last), fall) else {
                        return Ok(());
                    };
                    let cids: Vec<u32> = (first..=(last as u32).min(IDENTIFIERS))
                        .take(WIDTHS)
                        .collect();
                    budget.work(cids.len() as u64)?;
                    let falls = vec![-fall; cids.len()];
                    (cids, falls)
                }
                None => return Ok(()),
            };
            if self.falls.len() + cids.len() > WIDTHS {
                return Ok(());
            }
            self.falls.extend(cids.into_iter().zip(fall));
        }
        Ok(())
    }
}

impl Embedded {
    fn find(file: &File, below: &Dictionary) -> Self {
        let descriptor = file.dictionary(below, b"FontDescriptor");
        let at = |dictionary: &Dictionary, key: &[u8]| {
            let place = dictionary.get(key).ok()?;
            place.as_reference().ok()
        };
        let program = descriptor.and_then(|descriptor| {
            let keys = [&b"FontFile3"[..], b"FontFile2"];
            keys.into_iter().find_map(|key| at(descriptor, key))
        });
        Self {
            program,
            glyphs: at(below, b"CIDToGIDMap"),
        }
    }

    fn read(
        &self,
        file: &File,
        budget: &mut Budget<'_>,
    ) -> Result<Option<Embedding>, DocumentError> {
        let Some(data) = unpacked(file, self.program, budget)? else {
            return Ok(None);
        };
        let program = Program::opentype(&data, budget)?;
        drop(data);
        let glyphs = unpacked(file, self.glyphs, budget)?;
        // They are a part of the font: fonts are kept by what they hold.
        let glyphs = glyphs.map(|glyphs| {
            let (glyphs, held) = glyphs.first(GLYPHS);
            budget.keep_held(held);
            glyphs
        });
        Ok(Some(Embedding { program, glyphs }))
    }
}

fn unpacked(
    file: &File,
    place: Option<ObjectId>,
    budget: &mut Budget<'_>,
) -> Result<Option<Unpacked>, DocumentError> {
    let place = place.map_or(Object::Null, Object::Reference);
    match file.resolve(&place) {
        Object::Stream(stream) => file.content(stream, budget),
        _ => Ok(None),
    }
}

impl Embedding {
    fn text(&self, cid: u16) -> Option<&str> {
        match &self.glyphs {
            Some(glyphs) => {
                let at = usize::from(cid) * 2;
                let pair: [u8; 2] = glyphs.get(at..at + 2)?.try_into().ok()?;
                self.program.glyph(u16::from_be_bytes(pair))
            }
            None => self.program.identifier(cid),
        }
    }
}
