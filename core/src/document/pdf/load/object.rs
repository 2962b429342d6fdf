//! Objects as they are written. Readers forgive much, so writers get away with it: what makes
//! no sense is passed over, and the rest is kept.

use lopdf::{Dictionary, Object, StringFormat};

use super::meter::Meter;
use crate::document::pdf::lexer::{Lexer, is_delimiter, is_space};

/// How deep arrays and dictionaries may lie in each other.
const DEPTH: usize = 64;
/// What an item takes in memory: arrays grow by doubling.
const ITEM: usize = 2 * size_of::<Object>();
/// What an entry of a dictionary takes, beside its value: its key, its place in the index.
const ENTRY: usize = size_of::<Object>() + 128;
/// Words at which an object that was not closed ends.
const ENDS: [&[u8]; 6] = [
    b"endobj",
    b"endstream",
    b"stream",
    b"obj",
    b"xref",
    b"trailer",
];

/// Reads objects.
pub(super) struct Parser<'b, 'm> {
    bytes: &'b [u8],
    lexer: Lexer<'b>,
    meter: &'m Meter,
}

impl<'b, 'm> Parser<'b, 'm> {
    pub(super) fn new(bytes: &'b [u8], at: usize, meter: &'m Meter) -> Self {
        let lexer = Lexer::at(bytes, at.min(bytes.len()));
        Self {
            bytes,
            lexer,
            meter,
        }
    }

    pub(super) fn place(&self) -> usize {
        self.lexer.at
    }

    pub(super) fn go(&mut self, place: usize) {
        self.lexer.at = place;
    }

    /// The number and the generation of `12 0 obj`.
    pub(super) fn header(&mut self) -> Option<(u32, u16)> {
        let number = self.integer()?;
        let generation = self.integer()?;
        self.word(b"obj").then_some(())?;
        let generation = u16::try_from(generation).unwrap_or(u16::MAX);
        Some((u32::try_from(number).ok()?, generation))
    }

    /// An integer without a sign.
    pub(super) fn integer(&mut self) -> Option<u64> {
        self.skip_space();
        let digits = self.rest().iter().take_while(|b| b.is_ascii_digit());
        let (count, value) = digits.fold((0, 0_u64), |(count, value), digit| {
            let value = value.saturating_mul(10);
            (count + 1, value.saturating_add(u64::from(digit - b'0')))
        });
        self.lexer.at += count;
        (count > 0).then_some(value)
    }

    /// Whether this word is next; then goes behind it.
    pub(super) fn word(&mut self, word: &[u8]) -> bool {
        self.skip_space();
        let is = self.rest().starts_with(word);
        if is {
            self.lexer.at += word.len();
        }
        is
    }

    /// The next object, if there is one here.
    pub(super) fn value(&mut self) -> Option<Object> {
        let from = self.place();
        let value = self.value_at(0);
        self.meter.work(self.place() - from).then_some(())?;
        value
    }

    fn value_at(&mut self, depth: usize) -> Option<Object> {
        self.skip_space();
        let next = self.bytes.get(self.place() + 1);
        match self.lexer.peek()? {
            b'(' => {
                let text = self.lexer.literal();
                self.kept(text.len())?;
                Some(Object::String(text, StringFormat::Literal))
            }
            b'<' if next == Some(&b'<') => self.dictionary(depth),
            b'<' => {
                let text = self.lexer.hexadecimal();
                self.kept(text.len())?;
                Some(Object::String(text, StringFormat::Hexadecimal))
            }
            b'[' => self.array(depth),
            b'/' => {
                let name = self.name();
                self.kept(name.len())?;
                Some(Object::Name(name))
            }
            b'+' | b'-' | b'.' | b'0'..=b'9' => Some(self.number()),
            _ => {
                let from = self.place();
                match self.lexer.word() {
                    b"true" => Some(Object::Boolean(true)),
                    b"false" => Some(Object::Boolean(false)),
                    b"null" => Some(Object::Null),
                    _ => {
                        self.lexer.at = from;
                        None
                    }
                }
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Object> {
        self.lexer.at += 1;
        self.shallow(depth)?;
        let mut items = Vec::new();
        loop {
            self.skip_space();
            match self.lexer.peek() {
                Some(b']') => {
                    self.lexer.at += 1;
                    break;
                }
                None => break,
                // It was not closed; the dictionary that it lies in is.
                Some(b'>') if self.rest().starts_with(b">>") => break,
                Some(_) => match self.value_at(depth + 1) {
                    Some(item) => {
                        self.kept(ITEM)?;
                        items.push(item);
                    }
                    None if self.skip_odd() => {}
                    None => break,
                },
            }
        }
        items.shrink_to_fit();
        Some(Object::Array(items))
    }

    fn dictionary(&mut self, depth: usize) -> Option<Object> {
        self.lexer.at += 2;
        self.shallow(depth)?;
        let mut pairs = Vec::new();
        loop {
            self.skip_space();
            match self.lexer.peek() {
                Some(b'>') if self.rest().starts_with(b">>") => {
                    self.lexer.at += 2;
                    break;
                }
                None => break,
                Some(b'/') => {
                    let key = self.name();
                    // One without a value is passed over.
                    if let Some(value) = self.value_at(depth + 1) {
                        self.kept(ITEM + ENTRY + key.len())?;
                        pairs.push((key, value));
                    }
                }
                Some(_) => {
                    if self.value_at(depth + 1).is_none() && !self.skip_odd() {
                        break;
                    }
                }
            }
        }
        let mut dictionary = Dictionary::new();
        dictionary.as_hashmap_mut().reserve_exact(pairs.len());
        for (key, value) in pairs {
            dictionary.set(key, value);
        }
        Some(Object::Dictionary(dictionary))
    }

    /// Goes behind something that is no value; not if the object ends here.
    fn skip_odd(&mut self) -> bool {
        let from = self.place();
        let word = self.lexer.word();
        if ENDS.iter().any(|end| word.starts_with(end)) || !self.meter.goes_on() {
            self.lexer.at = from;
            return false;
        }
        if word.is_empty() {
            self.lexer.at += 1;
        }
        self.place() <= self.bytes.len()
    }

    fn name(&mut self) -> Vec<u8> {
        self.lexer.at += 1;
        self.lexer.name()
    }

    #[allow(clippy::cast_possible_truncation)]
    fn number(&mut self) -> Object {
        let from = self.place();
        let mut negative = false;
        while let Some(sign @ (b'+' | b'-')) = self.lexer.peek() {
            negative |= sign == b'-';
            self.lexer.at += 1;
        }
        let signed = self.place() > from;
        let (mut whole, mut value, mut scale, mut real) = (0_i64, 0.0_f64, 1.0_f64, false);
        while let Some(byte) = self.lexer.peek() {
            match byte {
                b'0'..=b'9' => {
                    let digit = byte - b'0';
                    whole = whole.saturating_mul(10).saturating_add(i64::from(digit));
                    value = value * 10.0 + f64::from(digit);
                    if real {
                        scale *= 10.0;
                    }
                }
                b'.' if !real => real = true,
                // Some write `1.2-3` or `6.1.2`: what follows is dropped, as others do.
                b'-' | b'.' => {
                    while self
                        .lexer
                        .peek()
                        .is_some_and(|b| !is_space(b) && !is_delimiter(b))
                    {
                        self.lexer.at += 1;
                    }
                    break;
                }
                _ => break,
            }
            self.lexer.at += 1;
        }
        if real {
            let value = value / scale;
            let value = if value.is_finite() { value } else { 0.0 };
            return Object::Real((if negative { -value } else { value }) as f32);
        }
        if signed {
            return Object::Integer(if negative { -whole } else { whole });
        }
        self.reference(whole).unwrap_or(Object::Integer(whole))
    }

    /// `12 0 R`, if the first number is one of those. Generations tell nothing.
    fn reference(&mut self, number: i64) -> Option<Object> {
        let number = u32::try_from(number).ok()?;
        let from = self.place();
        let is = is_space(self.lexer.peek()?) && self.integer().is_some() && {
            self.skip_space();
            let behind = self.bytes.get(self.place() + 1);
            self.lexer.peek() == Some(b'R')
                && behind.is_none_or(|byte| is_space(*byte) || is_delimiter(*byte))
        };
        // What is looked at in vain is read again.
        self.meter.work(self.place() - from);
        self.lexer.at = if is { self.place() + 1 } else { from };
        is.then_some(Object::Reference((number, 0)))
    }

    /// Where the content of a stream begins, if one is here.
    pub(super) fn stream(&mut self) -> Option<usize> {
        self.word(b"stream").then_some(())?;
        let rest = self.rest();
        let blank = rest
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t'))
            .count();
        let end = match rest[blank..] {
            [b'\r', b'\n', ..] => blank + 2,
            [b'\r' | b'\n', ..] => blank + 1,
            _ => 0,
        };
        Some(self.place() + end)
    }

    /// Goes behind blanks and comments, which may be most of a file.
    fn skip_space(&mut self) {
        if self.meter.goes_on() {
            let from = self.place();
            self.lexer.skip_space();
            self.meter.work(self.place() - from);
        }
    }

    fn rest(&self) -> &'b [u8] {
        &self.bytes[self.place()..]
    }

    /// Nothing more is read of what is too deep, or over a limit.
    fn shallow(&mut self, depth: usize) -> Option<()> {
        let goes_on = depth < DEPTH && self.meter.goes_on();
        if !goes_on {
            self.lexer.at = self.bytes.len();
        }
        goes_on.then_some(())
    }

    fn kept(&mut self, bytes: usize) -> Option<()> {
        let goes_on = self.meter.take(bytes + 32);
        if !goes_on {
            self.lexer.at = self.bytes.len();
        }
        goes_on.then_some(())
    }
}
