//! Pictures that lie in a content stream itself: where they end.
//!
//! Nothing says so but the letters `EI`, which the picture's own bytes may have too.

use super::lexer::{Lexer, Operand, Token, is_space};

/// How far behind a picture's end it is looked whether a page goes on there.
const AHEAD: usize = 96;
/// Operands that the operation behind a picture may have.
const OPERANDS: usize = 8;
/// Space between a picture's bytes and the letters.
const SPACE: usize = 8;

/// What may stand behind a picture.
const OPERATORS: [&[u8]; 74] = [
    b"b",
    b"B",
    b"b*",
    b"B*",
    b"BDC",
    b"BI",
    b"BMC",
    b"BT",
    b"BX",
    b"c",
    b"cm",
    b"CS",
    b"cs",
    b"d",
    b"d0",
    b"d1",
    b"Do",
    b"DP",
    b"EMC",
    b"ET",
    b"EX",
    b"f",
    b"F",
    b"f*",
    b"G",
    b"g",
    b"gs",
    b"h",
    b"i",
    b"j",
    b"J",
    b"K",
    b"k",
    b"l",
    b"m",
    b"M",
    b"MP",
    b"n",
    b"q",
    b"Q",
    b"re",
    b"RG",
    b"rg",
    b"ri",
    b"s",
    b"S",
    b"SC",
    b"sc",
    b"SCN",
    b"scn",
    b"sh",
    b"T*",
    b"Tc",
    b"Td",
    b"TD",
    b"Tf",
    b"TJ",
    b"Tj",
    b"TL",
    b"Tm",
    b"Tr",
    b"Ts",
    b"Tw",
    b"Tz",
    b"v",
    b"w",
    b"W",
    b"W*",
    b"y",
    b"'",
    b"\"",
    b"endstream",
    b"true",
    b"false",
];

/// How a picture is written, as far as it says how long it is.
#[derive(Default)]
struct Shape {
    width: usize,
    height: usize,
    bits: usize,
    components: usize,
    packed: bool,
}

/// Where the bytes of a picture begin and how many they are, if that is said. None if it is
/// no picture; the lexer stands behind what was read of it.
pub(super) fn begin(lexer: &mut Lexer<'_>) -> Option<Option<usize>> {
    let mut shape = Shape::default();
    let mut key = None;
    loop {
        let at = lexer.at;
        match lexer.separate()? {
            Token::Operand(operand) => match (key.take(), operand) {
                (None, Operand::Name(name)) => key = Some(name),
                (Some(name), value) => shape.read(&name, &value),
                _ => {}
            },
            Token::Word(b"true") if key.as_deref().is_some_and(is_mask) => {
                (shape.bits, shape.components) = (1, 1);
                key = None;
            }
            Token::Word(b"true" | b"false" | b"null") => key = None,
            Token::Word(word) if word.starts_with(b"ID") => {
                // Its bytes begin behind one space.
                lexer.at -= word.len() - 2;
                lexer.at += usize::from(lexer.peek().is_some_and(is_space));
                return Some(shape.length());
            }
            Token::Word(_) => {
                lexer.at = at;
                return None;
            }
            Token::End => {}
        }
    }
}

/// The place behind a picture whose bytes begin there.
pub(super) fn end(bytes: &[u8], from: usize, length: Option<usize>) -> Option<usize> {
    if let Some(to) = length.and_then(|length| from.checked_add(length))
        && let Some(behind) = bytes.get(to..)
    {
        let space = behind.iter().take(SPACE).take_while(|b| is_space(**b));
        let to = to + space.count();
        if bytes[to..].starts_with(b"EI") && goes_on(&bytes[to + 2..]) {
            return Some(to + 2);
        }
    }
    let mut found = memchr::memmem::find_iter(&bytes[from..], b"EI");
    found.find_map(|at| goes_on(&bytes[from + at + 2..]).then_some(from + at + 2))
}

/// Whether it reads as a page: nothing, or operands and an operator.
fn goes_on(behind: &[u8]) -> bool {
    if behind.first().is_some_and(|byte| !is_space(*byte)) {
        return false;
    }
    let mut lexer = Lexer::new(&behind[..behind.len().min(AHEAD)]);
    for _ in 0..OPERANDS {
        match lexer.separate() {
            None => return true,
            Some(Token::Word(word)) => return OPERATORS.contains(&word),
            Some(Token::Operand(_)) => {}
            Some(Token::End) => return false,
        }
    }
    false
}

fn is_mask(key: &[u8]) -> bool {
    matches!(key, b"IM" | b"ImageMask")
}

impl Shape {
    fn read(&mut self, key: &[u8], value: &Operand) {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let number = match value {
            Operand::Number(number) => *number as usize,
            _ => 0,
        };
        match key {
            b"W" | b"Width" => self.width = number,
            b"H" | b"Height" => self.height = number,
            b"BPC" | b"BitsPerComponent" => self.bits = number,
            b"F" | b"Filter" => {
                self.packed |= !matches!(value, Operand::Array(of) if of.is_empty())
            }
            b"CS" | b"ColorSpace" => {
                let name = match value {
                    Operand::Array(parts) => parts.first(),
                    other => Some(other),
                };
                self.components = match name {
                    Some(Operand::Name(name)) => match &name[..] {
                        b"G" | b"DeviceGray" | b"CalGray" | b"I" | b"Indexed" => 1,
                        b"RGB" | b"DeviceRGB" | b"CalRGB" => 3,
                        b"CMYK" | b"DeviceCMYK" => 4,
                        _ => 0,
                    },
                    _ => 0,
                };
            }
            _ => {}
        }
    }

    fn length(&self) -> Option<usize> {
        if self.packed || self.components == 0 {
            return None;
        }
        let row = self.width.checked_mul(self.bits)?;
        let row = row.checked_mul(self.components)?.div_ceil(8);
        row.checked_mul(self.height)
    }
}
