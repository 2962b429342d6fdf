//! What a glyph's name says of its text.

use std::borrow::Cow;

/// The longest name; the format allows 127 bytes.
const NAME: usize = 256;

/// How many operations it costs to look for a name, beyond the one for what has it.
pub(super) fn cost(name: &str) -> u64 {
    match name.len() > NAME {
        true => 0,
        false => name.bytes().filter(|byte| *byte == b'_').count() as u64,
    }
}

/// A name as a file has it, unless it is longer than any that means something.
pub(super) fn of(name: &[u8]) -> Option<Cow<'_, str>> {
    (name.len() <= NAME).then(|| String::from_utf8_lossy(name))
}

/// The text of a glyph by its name, as Adobe's glyph list has it or its rules make it.
pub(super) fn text(name: &str) -> Option<String> {
    if name.len() > NAME {
        return None;
    }
    if let Some(text) = listed(name) {
        return Some(text);
    }
    // What stands behind a dot is a variant: `a.swash`.
    let plain = name.split('.').next().filter(|plain| !plain.is_empty())?;
    let mut whole = String::new();
    for part in plain.split('_') {
        match listed(part).or_else(|| by_code(part)) {
            Some(text) => whole.push_str(&text),
            None => return None,
        }
    }
    Some(whole)
}

/// The character that a name of one letter and a number says, as fonts made of pictures
/// have them: `a65`, `C101`.
pub(super) fn numbered(name: &str) -> Option<u32> {
    let digits = name.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let letters = name.len() - digits.len();
    ((1..=3).contains(&letters) && !digits.is_empty())
        .then(|| digits.parse().ok())
        .flatten()
}

/// The same of a name with two hexadecimal digits: `g4A`.
pub(super) fn hexadecimal(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(|c: char| c.is_ascii_alphabetic())?;
    let two = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    two.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
}

fn listed(name: &str) -> Option<String> {
    let tex = match name {
        "ff" => "ff",
        "fi" => "fi",
        "fl" => "fl",
        "ffi" => "ffi",
        "ffl" => "ffl",
        "dotlessj" => "ȷ",
        "nbspace" => " ",
        "sfthyphen" => "\u{ad}",
        _ => "",
    };
    if !tex.is_empty() {
        return Some(tex.to_owned());
    }
    pdf_encoding::glyphname_to_unicode(name).map(str::to_owned)
}

/// `uni20AC0308` and `u1F600`.
fn by_code(name: &str) -> Option<String> {
    if let Some(digits) = name.strip_prefix("uni")
        && digits.len() >= 4
        && digits.len().is_multiple_of(4)
        && digits.is_ascii()
    {
        let units: Option<Vec<u16>> = (0..digits.len())
            .step_by(4)
            .map(|at| u16::from_str_radix(&digits[at..at + 4], 16).ok())
            .collect();
        return String::from_utf16(&units?).ok();
    }
    let digits = name.strip_prefix('u')?;
    let hex = (4..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let code = hex
        .then(|| u32::from_str_radix(digits, 16).ok())
        .flatten()?;
    char::from_u32(code).map(String::from)
}
