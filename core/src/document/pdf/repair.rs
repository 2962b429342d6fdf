//! What typesetters do to letters, undone: accents drawn by themselves, words broken at the
//! end of a line, letters of compatibility.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{compose, is_combining_mark};

use super::font::Text;
use super::lines::Placed;

/// Joins an accent with the letter that it stands over; the first takes the second in.
pub(super) fn accent(last: &mut Placed, next: &Placed) -> bool {
    let (Some(first), Some(second)) = (only(&last.text), only(&next.text)) else {
        return false;
    };
    if second >= '\u{300}' && is_combining_mark(second) {
        let mut text = String::new();
        last.text.push_to(&mut text);
        text.push(second);
        last.text = Text::from_text(&text.nfc().collect::<String>());
        return true;
    }
    let overlap = last.to.min(next.to) - last.from.max(next.from);
    let narrow = (last.to - last.from).min(next.to - next.from);
    if overlap < 0.4 * narrow || narrow <= 0.0 {
        return false;
    }
    let composed = match (combining(first), combining(second)) {
        (Some(mark), None) if second.is_alphabetic() => compose(dotted(second), mark),
        (None, Some(mark)) if first.is_alphabetic() => compose(dotted(first), mark),
        _ => None,
    };
    let Some(composed) = composed else {
        return false;
    };
    last.text = Text::One(composed);
    last.from = last.from.min(next.from);
    last.to = last.to.max(next.to);
    true
}

fn only(text: &Text) -> Option<char> {
    match text {
        Text::One(c) => Some(*c),
        _ => None,
    }
}

/// The mark that combines, of one that stands by itself.
fn combining(c: char) -> Option<char> {
    Some(match c {
        '`' | '\u{2cb}' => '\u{300}',
        '´' | '\u{2ca}' => '\u{301}',
        '^' | 'ˆ' => '\u{302}',
        '~' | '˜' => '\u{303}',
        '¯' | 'ˉ' => '\u{304}',
        '˘' => '\u{306}',
        '˙' => '\u{307}',
        '¨' => '\u{308}',
        '˚' | '°' => '\u{30a}',
        '˝' => '\u{30b}',
        'ˇ' => '\u{30c}',
        '¸' => '\u{327}',
        '˛' => '\u{328}',
        _ => return None,
    })
}

/// A letter that lost its dot to make room.
fn dotted(c: char) -> char {
    match c {
        'ı' => 'i',
        'ȷ' => 'j',
        c => c,
    }
}

/// How many bytes longer than itself a text is as what it stands for.
pub(super) fn longer(text: &Text) -> usize {
    let longer = |c: char| match is_compatible(c) {
        true => {
            let plain: usize = std::iter::once(c).nfkc().map(char::len_utf8).sum();
            plain.saturating_sub(c.len_utf8())
        }
        false => 0,
    };
    match text {
        Text::None => 0,
        Text::One(c) => longer(*c),
        Text::Many(text) => text.chars().map(longer).sum(),
    }
}

/// Letters of compatibility as what they stand for.
pub(super) fn plain(text: String) -> String {
    if text.is_ascii() {
        return text;
    }
    // What is seen is a hyphen, whatever the font's table calls it.
    let text = text.replace('\u{ad}', "-");
    if !text.chars().any(is_compatible) {
        return text.nfc().collect();
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if is_compatible(c) {
            plain.extend(std::iter::once(c).nfkc());
        } else {
            plain.push(c);
        }
    }
    plain.nfc().collect()
}

/// Whether a character is another's form: a ligature, a letter by its place in the word, a
/// wide or narrow one, a space of a certain width.
fn is_compatible(c: char) -> bool {
    matches!(c,
        '\u{a0}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
        | '\u{fb00}'..='\u{fb4f}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}'
        | '\u{ff01}'..='\u{ffee}' | '\u{2f00}'..='\u{2fd5}' | '\u{f900}'..='\u{faff}'
        | '\u{132}' | '\u{133}' | '\u{1c4}'..='\u{1cc}' | '\u{2100}'..='\u{214f}'
        | '\u{1d400}'..='\u{1d7ff}')
}

/// Whether a word goes on in the next line: then its hyphen goes.
pub(super) fn is_broken(line: &str, next: &str) -> bool {
    let mut back = line.chars().rev();
    let hyphen = matches!(back.next(), Some('-' | '\u{2010}' | '\u{ad}'));
    let letter = back.next().is_some_and(char::is_alphabetic);
    hyphen && letter && next.chars().next().is_some_and(char::is_lowercase)
}
