//! From the order in which a line is seen to the order in which it is read.

use unicode_bidi::{BidiClass, bidi_class};

/// Whether it is a letter that is written from right to left.
pub(super) fn is_rightward(c: char) -> bool {
    u32::from(c) >= 0x590 && is_rtl(c)
}

fn is_rtl(c: char) -> bool {
    matches!(bidi_class(c), BidiClass::R | BidiClass::AL)
}

fn is_number(c: char) -> bool {
    matches!(bidi_class(c), BidiClass::EN | BidiClass::AN)
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Left,
    Right,
    Number,
    Neutral,
}

fn side(unit: &str) -> Side {
    let mut sides = unit.chars().map(|c| match c {
        c if is_rtl(c) => Side::Right,
        c if is_number(c) => Side::Number,
        c if c.is_alphabetic() => Side::Left,
        _ => Side::Neutral,
    });
    sides
        .find(|side| *side != Side::Neutral)
        .unwrap_or(Side::Neutral)
}

/// Puts units, each a glyph's text, from the order seen, left to right, into reading order.
pub(super) fn logical(units: &[String]) -> String {
    let sides: Vec<Side> = units.iter().map(|unit| side(unit)).collect();
    let count = |wanted: Side| sides.iter().filter(|side| **side == wanted).count();
    let rightward = count(Side::Right) >= count(Side::Left);
    let mut out = String::new();
    // In a line that is read from the right, runs that are read from the left are turned
    // back; in another one only the runs that are read from the right are turned.
    let mut runs: Vec<(usize, usize, bool)> = Vec::new();
    let mut at = 0;
    while at < units.len() {
        let leftward = |place: usize| match rightward {
            true => matches!(sides[place], Side::Left | Side::Number),
            false => sides[place] != Side::Right,
        };
        let kind = leftward(at);
        let mut end = at + 1;
        let mut last = at;
        while end < units.len() {
            let neutral = sides[end] == Side::Neutral;
            let strong = match rightward {
                // Neutrals belong to a run only between two of its own.
                true if kind => leftward(end),
                true => !leftward(end),
                false if kind => leftward(end),
                false => sides[end] == Side::Right || sides[end] == Side::Number,
            };
            if strong {
                last = end;
            } else if !neutral
                || units[end].trim().is_empty() && rightward && kind && sides[at] == Side::Number
            {
                break;
            }
            end += 1;
        }
        runs.push((at, last + 1, kind));
        at = last + 1;
    }
    let ordered: Vec<&(usize, usize, bool)> = if rightward {
        runs.iter().rev().collect()
    } else {
        runs.iter().collect()
    };
    for (from, to, leftward) in ordered {
        if *leftward {
            units[*from..*to].iter().for_each(|unit| out.push_str(unit));
        } else {
            for unit in units[*from..*to].iter().rev() {
                out.extend(unit.chars().map(mirrored));
            }
        }
    }
    out
}

/// What is seen as one bracket is written as the other.
fn mirrored(c: char) -> char {
    match c {
        '(' => ')',
        ')' => '(',
        '[' => ']',
        ']' => '[',
        '{' => '}',
        '}' => '{',
        '<' => '>',
        '>' => '<',
        '«' => '»',
        '»' => '«',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(seen: &str) -> String {
        let units: Vec<String> = seen.chars().map(String::from).collect();
        logical(&units)
    }

    #[test]
    fn a_line_is_read_from_its_own_side() {
        assert_eq!(read("םלוע םולש"), "שלום עולם");
        assert_eq!(read("plain text, 12"), "plain text, 12");
        assert_eq!(read("word םולש here"), "word שלום here");
        assert_eq!(read("2024 תנש"), "שנת 2024");
        assert_eq!(read("םלוע Chrome 12 םולש"), "שלום Chrome 12 עולם");
    }
}
