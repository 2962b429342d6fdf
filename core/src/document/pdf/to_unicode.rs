//! A font's own table from codes to text.
//!
//! Files have these with every fault there is, so that each entry is read by itself: what one
//! of them does not say takes nothing from the others.

use std::collections::BTreeMap;
use std::rc::Rc;

use hayro_cmap::{BfString, CMap, CMapName};
use lopdf::{Dictionary, Object};

use super::budget::{Budget, Loss};
use super::file::File;
use super::fonts::Predefined;
use super::glyph_names;
use super::lexer::{Lexer, Operand, Token};
use crate::document::DocumentError;

/// Bytes of a table; one for every character there is has less.
const MOST: usize = 4 << 20;
/// Entries of a table.
const ENTRIES: usize = 200_000;
/// Units of UTF-16 that one code may stand for.
const UNITS: usize = 64;
/// What an entry takes in memory, with its text: nodes of a tree are half empty.
const SIZE: usize = 128;

/// A table, or the word that codes are text already.
pub(super) enum ToUnicode {
    None,
    /// Codes are UTF-16.
    Identity,
    Table(Table),
}

/// Ranges of codes by their first, none over another.
#[derive(Default)]
pub(super) struct Table {
    ranges: BTreeMap<u32, Range>,
    /// What another table says of codes that this one does not have.
    base: Option<Rc<CMap>>,
}

#[derive(Clone)]
struct Range {
    to: u32,
    /// The code that has the text; those behind it have the characters behind its last.
    origin: u32,
    text: Rc<str>,
}

impl ToUnicode {
    pub(super) fn read(
        file: &File,
        font: &Dictionary,
        predefined: &mut Predefined,
        budget: &mut Budget<'_>,
    ) -> Result<Self, DocumentError> {
        Ok(match file.get(font, b"ToUnicode") {
            Object::Stream(stream) => match file.content(stream, budget)? {
                Some(content) if content.len() > MOST => {
                    budget.lose(Loss::TooLarge);
                    Self::None
                }
                Some(content) => {
                    let table = Table::parse(&content, predefined, budget)?;
                    budget.keep(table.ranges.len() * SIZE)?;
                    Self::Table(table)
                }
                None => Self::None,
            },
            Object::Name(name) if name.starts_with(b"Identity") => Self::Identity,
            _ => Self::None,
        })
    }

    pub(super) fn text(&self, code: u32) -> Option<String> {
        match self {
            Self::None => None,
            Self::Identity => char::from_u32(code).map(String::from),
            Self::Table(table) => table.text(code),
        }
        .filter(|text| text.chars().any(|c| c != '\0' && c != '\u{fffd}'))
    }
}

impl Table {
    fn parse(
        content: &[u8],
        predefined: &mut Predefined,
        budget: &mut Budget<'_>,
    ) -> Result<Self, DocumentError> {
        let mut table = Self::default();
        let mut lexer = Lexer::new(content);
        let mut entry: Vec<Operand> = Vec::new();
        // How many operands make an entry; none outside of both lists.
        let mut length = 0;
        while let Some(token) = lexer.separate() {
            budget.operation()?;
            match token {
                Token::Word(word) => {
                    length = match word {
                        b"beginbfchar" => 2,
                        b"beginbfrange" => 3,
                        _ => 0,
                    };
                    if word == b"usecmap"
                        && let Some(Operand::Name(name)) = entry.last()
                    {
                        table.base = predefined.get(CMapName::from_bytes(name), budget)?;
                    }
                    entry.clear();
                }
                Token::Operand(operand) => {
                    if length == 0 {
                        entry.clear();
                    }
                    entry.push(operand);
                    if entry.len() == length {
                        table.add(&entry);
                        entry.clear();
                    }
                }
                Token::End => {}
            }
        }
        Ok(table)
    }

    fn add(&mut self, entry: &[Operand]) {
        match entry {
            [code, text] => {
                if let (Some(code), Some(text)) = (code_of(code), text_of(text)) {
                    self.set(code, code, text);
                }
            }
            [from, to, Operand::Array(texts)] => {
                if let (Some(from), Some(to)) = (code_of(from), code_of(to)) {
                    for (code, text) in (from..=to).zip(texts) {
                        if let Some(text) = text_of(text) {
                            self.set(code, code, text);
                        }
                    }
                }
            }
            [from, to, text] => {
                if let (Some(from), Some(to)) = (code_of(from), code_of(to))
                    && let Some(text) = text_of(text)
                {
                    self.set(from, to, text);
                }
            }
            _ => {}
        }
    }

    /// Sets a range; where it lies over earlier ones, they give way.
    fn set(&mut self, from: u32, to: u32, text: Rc<str>) {
        if from > to || self.ranges.len() + 2 > ENTRIES {
            return;
        }
        if let Some((_, before)) = self.ranges.range_mut(..from).next_back()
            && before.to >= from
        {
            let behind = before.clone();
            before.to = from - 1;
            self.keep_behind(to, behind);
        }
        while let Some((&first, _)) = self.ranges.range(from..=to).next() {
            if let Some(over) = self.ranges.remove(&first) {
                self.keep_behind(to, over);
            }
        }
        let origin = from;
        self.ranges.insert(from, Range { to, origin, text });
    }

    fn keep_behind(&mut self, to: u32, range: Range) {
        if range.to > to {
            self.ranges.insert(to + 1, range);
        }
    }

    fn text(&self, code: u32) -> Option<String> {
        let range = self.ranges.range(..=code).next_back();
        let Some((_, range)) = range.filter(|(_, range)| code <= range.to) else {
            return match self.base.as_ref()?.lookup_bf_string(code)? {
                BfString::Char(c) => Some(c.to_string()),
                BfString::String(text) => Some(text),
            };
        };
        let mut text = range.text.to_string();
        if code > range.origin {
            let last = u32::from(text.pop()?).checked_add(code - range.origin)?;
            text.push(char::from_u32(last)?);
        }
        Some(text)
    }
}

fn code_of(operand: &Operand) -> Option<u32> {
    match operand {
        Operand::Text(bytes) if (1..=4).contains(&bytes.len()) => {
            let join = |code, byte: &u8| code << 8 | u32::from(*byte);
            Some(bytes.iter().fold(0, join))
        }
        _ => None,
    }
}

/// What a code stands for: UTF-16, the name of a glyph, or the number of a character.
fn text_of(operand: &Operand) -> Option<Rc<str>> {
    let text = match operand {
        Operand::Text(bytes) => match bytes[..] {
            [] => return None,
            [only] => char::from(only).to_string(),
            _ => {
                let units = bytes.chunks_exact(2).take(UNITS);
                let units = units.map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
                String::from_utf16_lossy(&units.collect::<Vec<u16>>())
            }
        },
        Operand::Name(name) => glyph_names::text(&String::from_utf8_lossy(name))?,
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Operand::Number(number) if *number > 0.0 => char::from_u32(*number as u32)?.to_string(),
        _ => return None,
    };
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::document::Limits;
    use crate::document::pdf::account::Account;

    fn table(content: &str) -> Table {
        let limits = Limits {
            time: Duration::from_secs(60),
            ..Limits::default()
        };
        let mut budget = Budget::new(&limits, &Account::new(&limits));
        Table::parse(content.as_bytes(), &mut Predefined::default(), &mut budget).unwrap()
    }

    /// What the codes 1, 2 and 3 are.
    fn three(content: &str) -> String {
        let table = table(content);
        (1..=3).filter_map(|code| table.text(code)).collect()
    }

    #[test]
    fn a_flaw_costs_its_own_entry_only() {
        for (content, expected) in [
            (
                "3 beginbfchar <01> <0041> <02> <> <03> <0043> endbfchar",
                "AC",
            ),
            (
                "1 begincodespacerange <00> <FFFF> endcodespacerange 1 beginbfrange <01> <03> <0041> endbfrange",
                "ABC",
            ),
            ("beginbfchar <01> <41> <02> /B <03> 67 endbfchar", "ABC"),
            (
                "beginbfrange <01> <04> [<0041> <0042> <0043>] endbfrange",
                "ABC",
            ),
            (
                "beginbfrange <01> <02> [<0041> <0042> <0058>] endbfrange beginbfchar <03> <0043> endbfchar",
                "ABC",
            ),
            (
                "/Nope usecmap 1 beginbfrange <0001> <0003> <0041> endbfrange",
                "ABC",
            ),
            ("beginbfchar <01> <0041> <02> <0042> <03> <0043>", "ABC"),
            (
                "beginbfrange <01> <03> 65 endbfrange endcmap )>> ] (",
                "ABC",
            ),
            (
                "/Info << /Ordering (x) def 1 beginbfrange <01> <03> <0041> endbfrange",
                "ABC",
            ),
        ] {
            assert_eq!(three(content), expected, "{content}");
        }
    }

    #[test]
    fn the_last_that_is_said_of_a_code_holds() {
        let ranges = "beginbfrange <00> <FF> <0040> endbfrange beginbfchar <02> <0058> endbfchar";
        assert_eq!(three(ranges), "AXC");
        let over = "beginbfchar <02> <0058> endbfchar beginbfrange <00> <FF> <0040> endbfrange";
        assert_eq!(three(over), "ABC");
        let part = "beginbfrange <01> <02> <0061> <02> <05> <0042> endbfrange";
        assert_eq!(three(part), "aBC");
    }

    #[test]
    fn a_table_may_go_on_from_one_that_is_known() {
        let table = table("/Adobe-Japan1-UCS2 usecmap beginbfchar <0023> <0058> endbfchar");
        assert_eq!(table.text(0x22).as_deref(), Some("A"));
        assert_eq!(table.text(0x23).as_deref(), Some("X"));
    }
}
