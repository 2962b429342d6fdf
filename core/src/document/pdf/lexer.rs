//! A content stream, operation by operation. Nothing of it is kept. The strings and names of a
//! file's objects are written in the same way.

use super::picture;

/// How deep arrays and dictionaries may lie in each other.
const DEPTH: usize = 16;
/// Operands of one operation.
const OPERANDS: usize = 4_096;
/// Operands of one operation, those in arrays and dictionaries included.
const HELD: usize = 65_536;
/// Bytes of one string.
const TEXT: usize = 4 << 20;

/// An operand.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Number(f32),
    Name(Vec<u8>),
    Text(Vec<u8>),
    Array(Vec<Operand>),
    Dictionary(Vec<(Vec<u8>, Operand)>),
}

/// Reads a content stream.
pub(super) struct Lexer<'c> {
    bytes: &'c [u8],
    pub(super) at: usize,
    /// Operands of this operation that lie in others.
    held: usize,
    /// Whether there was a picture without an end.
    pub(super) lost: bool,
}

pub(super) enum Token<'c> {
    Operand(Operand),
    Word(&'c [u8]),
    /// `]` or `>>`.
    End,
}

impl<'c> Lexer<'c> {
    pub(super) fn new(bytes: &'c [u8]) -> Self {
        Self::at(bytes, 0)
    }

    pub(super) fn at(bytes: &'c [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            held: 0,
            lost: false,
        }
    }

    /// The next word or operand by itself.
    pub(super) fn separate(&mut self) -> Option<Token<'c>> {
        self.held = 0;
        self.token(0)
    }

    /// The next operator; its operands are put in the place of those before.
    pub(super) fn next(&mut self, operands: &mut Vec<Operand>) -> Option<&'c [u8]> {
        operands.clear();
        self.held = 0;
        loop {
            match self.token(0)? {
                Token::Operand(operand) => {
                    if operands.len() == OPERANDS {
                        operands.clear();
                    }
                    operands.push(operand);
                }
                Token::Word(b"BI") => {
                    self.skip_image();
                    operands.clear();
                }
                Token::Word(word) => return Some(word),
                Token::End => {}
            }
        }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn skip_space(&mut self) {
        while let Some(byte) = self.peek() {
            if byte == b'%' {
                while let Some(byte) = self.peek()
                    && byte != b'\n'
                    && byte != b'\r'
                {
                    self.at += 1;
                }
            } else if is_space(byte) {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    fn token(&mut self, depth: usize) -> Option<Token<'c>> {
        self.skip_space();
        // What closes nothing means nothing.
        while let Some(b')' | b'{' | b'}' | b'>') = self.peek()
            && !self.bytes[self.at..].starts_with(b">>")
        {
            self.at += 1;
            self.skip_space();
        }
        let byte = self.peek()?;
        match byte {
            b'(' => Some(Token::Operand(Operand::Text(self.literal()))),
            b'<' if self.bytes.get(self.at + 1) == Some(&b'<') => {
                self.at += 2;
                Some(Token::Operand(self.dictionary(depth)))
            }
            b'<' => Some(Token::Operand(Operand::Text(self.hexadecimal()))),
            b'>' => {
                self.at += 2;
                Some(Token::End)
            }
            b'[' => {
                self.at += 1;
                Some(Token::Operand(self.array(depth)))
            }
            b']' => {
                self.at += 1;
                Some(Token::End)
            }
            b'/' => {
                self.at += 1;
                Some(Token::Operand(Operand::Name(self.name())))
            }
            b'+' | b'-' | b'.' | b'0'..=b'9' => Some(Token::Operand(self.number())),
            _ => Some(Token::Word(self.word())),
        }
    }

    pub(super) fn word(&mut self) -> &'c [u8] {
        let from = self.at;
        while let Some(byte) = self.peek()
            && !is_space(byte)
            && !is_delimiter(byte)
        {
            self.at += 1;
        }
        &self.bytes[from..self.at]
    }

    fn number(&mut self) -> Operand {
        let from = self.at;
        let mut negative = false;
        while let Some(sign @ (b'+' | b'-')) = self.peek() {
            negative |= sign == b'-';
            self.at += 1;
        }
        let (mut value, mut scale, mut fraction) = (0.0_f64, 1.0_f64, false);
        while let Some(byte) = self.peek() {
            match byte {
                b'0'..=b'9' => {
                    value = value * 10.0 + f64::from(byte - b'0');
                    if fraction {
                        scale *= 10.0;
                    }
                }
                b'.' if !fraction => fraction = true,
                // Some write `1.2-3`: what follows is dropped, as others do.
                b'-' => {}
                _ => break,
            }
            self.at += 1;
        }
        if self.at == from {
            self.at += 1;
        }
        let value = if value.is_finite() && scale.is_finite() {
            value / scale
        } else {
            0.0
        };
        #[allow(clippy::cast_possible_truncation)]
        Operand::Number((if negative { -value } else { value }) as f32)
    }

    pub(super) fn name(&mut self) -> Vec<u8> {
        let raw = self.word();
        if !raw.contains(&b'#') {
            return raw.to_vec();
        }
        let mut name = Vec::with_capacity(raw.len());
        let mut at = 0;
        while at < raw.len() {
            let digits = (raw[at] == b'#').then(|| raw.get(at + 1..at + 3)).flatten();
            if let Some(&[high, low]) = digits
                && let (Some(high), Some(low)) = (digit(high), digit(low))
            {
                name.push(high * 16 + low);
                at += 3;
            } else {
                name.push(raw[at]);
                at += 1;
            }
        }
        name
    }

    pub(super) fn literal(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut text = Vec::new();
        let mut open = 1;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'(' => open += 1,
                b')' => {
                    open -= 1;
                    if open == 0 {
                        return text;
                    }
                }
                b'\\' => {
                    self.escaped(&mut text);
                    text.truncate(TEXT);
                    continue;
                }
                _ => {}
            }
            if text.len() < TEXT {
                text.push(byte);
            }
        }
        text
    }

    fn escaped(&mut self, text: &mut Vec<u8>) {
        let Some(byte) = self.peek() else { return };
        self.at += 1;
        match byte {
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'b' => text.push(8),
            b'f' => text.push(12),
            b'\r' => {
                if self.peek() == Some(b'\n') {
                    self.at += 1;
                }
            }
            b'\n' => {}
            b'0'..=b'7' => {
                let mut value = u32::from(byte - b'0');
                for _ in 0..2 {
                    match self.peek() {
                        Some(next @ b'0'..=b'7') => {
                            value = value * 8 + u32::from(next - b'0');
                            self.at += 1;
                        }
                        _ => break,
                    }
                }
                text.push(u8::try_from(value & 0xFF).unwrap_or_default());
            }
            other => text.push(other),
        }
    }

    pub(super) fn hexadecimal(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut text = Vec::new();
        let mut high = None;
        while let Some(byte) = self.peek() {
            self.at += 1;
            if byte == b'>' {
                break;
            }
            if let Some(value) = digit(byte) {
                match high.take() {
                    Some(first) if text.len() < TEXT => text.push(first * 16 + value),
                    Some(_) => {}
                    None => high = Some(value),
                }
            }
        }
        if let Some(first) = high {
            text.push(first * 16);
        }
        text
    }

    fn array(&mut self, depth: usize) -> Operand {
        let mut items = Vec::new();
        if depth >= DEPTH {
            return Operand::Array(items);
        }
        loop {
            let at = self.at;
            match self.token(depth + 1) {
                Some(Token::Operand(item)) => {
                    if self.holds_more() {
                        items.push(item);
                    }
                }
                Some(Token::Word(b"true" | b"false" | b"null")) => {}
                Some(Token::Word(_)) => {
                    // It was not closed: an operator is in no array.
                    self.at = at;
                    break;
                }
                Some(Token::End) | None => break,
            }
        }
        Operand::Array(items)
    }

    fn dictionary(&mut self, depth: usize) -> Operand {
        let mut pairs = Vec::new();
        let mut key = None;
        if depth >= DEPTH {
            return Operand::Dictionary(pairs);
        }
        loop {
            let at = self.at;
            match self.token(depth + 1) {
                Some(Token::Operand(operand)) => match (key.take(), operand) {
                    (None, Operand::Name(name)) => key = Some(name),
                    (Some(name), value) if self.holds_more() => pairs.push((name, value)),
                    _ => {}
                },
                Some(Token::Word(b"true" | b"false" | b"null")) => key = None,
                Some(Token::Word(_)) => {
                    self.at = at;
                    break;
                }
                Some(Token::End) | None => break,
            }
        }
        Operand::Dictionary(pairs)
    }

    fn holds_more(&mut self) -> bool {
        self.held += 1;
        self.held <= HELD
    }

    /// Goes behind a picture that lies in the stream itself; if it ends nowhere, into it.
    fn skip_image(&mut self) {
        let Some(length) = picture::begin(self) else {
            return;
        };
        // What was once looked for to the end in vain is not looked for again.
        if !self.lost {
            match picture::end(self.bytes, self.at, length) {
                Some(behind) => self.at = behind,
                None => self.lost = true,
            }
        }
    }
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, 0 | 9 | 10 | 12 | 13 | 32)
}

pub(super) fn is_delimiter(byte: u8) -> bool {
    matches!(
        byte,
        b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%'
    )
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
