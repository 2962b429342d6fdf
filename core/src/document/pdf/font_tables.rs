//! Tables of embedded fonts that a file can make endless, read with an end: which glyphs they
//! have for which codes, what glyphs are called, and how many parts a list of them has.

use ttf_parser::{Face, GlyphId, Tag};

use super::budget::Budget;
use crate::document::DocumentError;

/// Tables from codes to glyphs that are looked at; fonts have one to four.
const TABLES: u16 = 16;
/// How many glyphs there can be.
const GLYPHS: u32 = 1 << 16;
/// Steps that the names of all glyphs of a font may take.
const STEPS: usize = 40_000_000;

/// Gives every code that a font has a glyph for, and whether it is Unicode.
pub(super) fn codes(
    face: &Face<'_>,
    budget: &mut Budget<'_>,
    mut each: impl FnMut(u32, u16, bool),
) -> Result<(), DocumentError> {
    let Some(table) = face.tables().cmap else {
        return Ok(());
    };
    let raw = face.raw_face().table(Tag::from_bytes(b"cmap"));
    let raw = raw.unwrap_or_default();
    for at in 0..table.subtables.len().min(TABLES) {
        let place = long(raw, 4 + 8 * usize::from(at) + 4).unwrap_or(u32::MAX);
        let data = raw.get(place as usize..).unwrap_or_default();
        if is_cut_off(data) {
            continue;
        }
        let Some(subtable) = table.subtables.get(at) else {
            continue;
        };
        let unicode = subtable.is_unicode();
        match short(data, 0) {
            Some(12 | 13) => groups(data, budget, |code, glyph| each(code, glyph, unicode))?,
            // Tables of old encodings, which say nothing of Unicode.
            Some(2) => {}
            Some(4) if covered(data) > 2 * GLYPHS => {}
            // One in a row, however many they are.
            Some(10) if long(data, 16).unwrap_or(0) > 2 * GLYPHS => {}
            _ => {
                budget.work(u64::from(GLYPHS) / 64)?;
                subtable.codepoints(|code| {
                    if let Some(GlyphId(glyph)) = subtable.glyph_index(code) {
                        each(code, glyph, unicode);
                    }
                });
            }
        }
    }
    Ok(())
}

/// Whether a table says to have more than there is: the parser must not be asked for it, as
/// it asserts, where assertions are on, that no length leaves 32 bits.
fn is_cut_off(data: &[u8]) -> bool {
    let (at, size) = match short(data, 0) {
        Some(10) => (16, 2),
        Some(12 | 13) => (12, 12),
        Some(14) => (6, 11),
        _ => return false,
    };
    let said = u64::from(long(data, at).unwrap_or(0)) * size;
    said > data.len() as u64
}

/// Codes in groups, each of which begins with a glyph: one for all (format 13), or the next
/// for the next.
fn groups(
    data: &[u8],
    budget: &mut Budget<'_>,
    mut each: impl FnMut(u32, u16),
) -> Result<(), DocumentError> {
    let one_for_all = short(data, 0) == Some(13);
    let count = long(data, 12).unwrap_or(0) as usize;
    let groups = data.get(16..).unwrap_or_default().chunks_exact(12);
    for group in groups.take(count) {
        let number = |at| long(group, at).unwrap_or_default();
        let (from, to, glyph) = (number(0), number(4), number(8));
        let most = match one_for_all {
            true => 1,
            false => GLYPHS.saturating_sub(glyph),
        };
        let codes = (from..=to.min(u32::from(char::MAX))).zip(glyph..);
        let mut given = 0;
        for (code, glyph) in codes.take(most as usize) {
            each(code, u16::try_from(glyph).unwrap_or_default());
            given += 1;
        }
        budget.work(1 + given / 2)?;
    }
    Ok(())
}

/// How many codes the segments of a table (format 4) cover; those of a good one do not overlap.
fn covered(data: &[u8]) -> u32 {
    let segments = usize::from(short(data, 6).unwrap_or(0) / 2);
    (0..segments).fold(0, |sum: u32, at| {
        let to = short(data, 14 + 2 * at).unwrap_or(0);
        let from = short(data, 16 + 2 * (segments + at)).unwrap_or(0);
        sum.saturating_add(u32::from(to.saturating_sub(from)) + 1)
    })
}

/// What glyphs are called, by glyph.
pub(super) fn names<'f>(face: &Face<'f>) -> Vec<(u16, &'f str)> {
    /// Names with lower numbers are the same in all fonts.
    const OWN: u16 = 258;
    let raw = face.raw_face().table(Tag::from_bytes(b"post"));
    let raw = raw.filter(|raw| long(raw, 0) == Some(0x0002_0000));
    let raw = raw.unwrap_or_default();
    let count = short(raw, 32).unwrap_or(0);
    let mut rest = raw.get(34 + 2 * usize::from(count)..).unwrap_or_default();
    let mut own = Vec::new();
    while let Some((length, behind)) = rest.split_first()
        && let Some((name, behind)) = behind.split_at_checked(usize::from(*length))
        && let Ok(name) = std::str::from_utf8(name)
        && !name.is_empty()
    {
        own.push(name);
        rest = behind;
    }
    let name = |glyph: u16| {
        let index = short(raw, 34 + 2 * usize::from(glyph))?;
        let name = match index.checked_sub(OWN) {
            Some(index) => own.get(usize::from(index)).copied()?,
            None => face.tables().post?.glyph_name(GlyphId(glyph))?,
        };
        Some((glyph, name))
    };
    (0..count).filter_map(name).collect()
}

/// Whether the glyphs of a CFF font can be named one by one: each looks through the parts of
/// the list of all.
pub(super) fn can_be_named(
    data: &[u8],
    glyphs: u16,
    budget: &mut Budget<'_>,
) -> Result<bool, DocumentError> {
    let steps = usize::from(glyphs) * parts(data, glyphs).unwrap_or(1);
    if steps > STEPS {
        return Ok(false);
    }
    budget.work(steps as u64 / 64)?;
    Ok(true)
}

/// The parts of the list of glyphs.
fn parts(data: &[u8], glyphs: u16) -> Option<usize> {
    let names = usize::from(*data.get(2)?);
    let (_, tops) = index(data, names)?;
    let (top, _) = index(data, tops)?;
    let place = charset(top)?;
    let width = match data.get(place)? {
        1 => 3,
        2 => 4,
        _ => return None,
    };
    let mut left = u32::from(glyphs.saturating_sub(1));
    let parts = data.get(place + 1..)?.chunks_exact(width);
    let more = |part: &&[u8]| {
        let more = part[2..].iter();
        let has = 1 + more.fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        let goes_on = left > 0;
        left = left.saturating_sub(has);
        goes_on
    };
    Some(parts.take_while(more).count())
}

/// The first item of a list of items, and where what is behind the list begins.
fn index(data: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let count = usize::from(short(data, at)?);
    if count == 0 {
        return Some((&[], at + 2));
    }
    let size = usize::from(*data.get(at + 2)?);
    let offset = |n: usize| {
        let bytes = data.get(at + 3 + n * size..)?.get(..size)?;
        Some(
            bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
        )
    };
    if !(1..=4).contains(&size) {
        return None;
    }
    let items = at + 2 + (count + 1) * size;
    let first = data.get(items + offset(0)?..items + offset(1)?)?;
    Some((first, items.checked_add(offset(count)?)?))
}

/// Where the list of glyphs is, as the font's dictionary says.
fn charset(dictionary: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut last = None;
    while let Some(byte) = dictionary.get(at) {
        let (number, length) = match *byte {
            15 => return last,
            12 => (None, 2),
            28 => (short(dictionary, at + 1).map(usize::from), 3),
            29 => (long(dictionary, at + 1).map(|number| number as usize), 5),
            30 => {
                let end = dictionary[at..].iter().skip(1).position(|b| b & 15 == 15);
                (None, end? + 2)
            }
            32..=246 => (usize::from(*byte).checked_sub(139), 1),
            247..=250 => {
                let low = usize::from(*dictionary.get(at + 1)?);
                (Some((usize::from(*byte) - 247) * 256 + low + 108), 2)
            }
            251..=254 => (None, 2),
            _ => (None, 1),
        };
        last = number;
        at += length;
    }
    None
}

fn short(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes))
}

fn long(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_list_of_glyphs_are_counted() {
        // A header, one name, a dictionary that says where the list is, no strings.
        let mut font = vec![1, 0, 4, 1, 0, 1, 1, 1, 2, b'X'];
        font.extend_from_slice(&[0, 1, 1, 1, 4, 28, 0, 20, 15]);
        assert_eq!(font.len(), 19);
        font.push(0);
        // Five glyphs behind the first: one, one more, and three in a row.
        font.extend_from_slice(&[2, 0, 1, 0, 0, 0, 7, 0, 0, 0, 9, 0, 2, 0, 9, 0, 9]);
        assert_eq!(parts(&font, 6), None, "the dictionary ends too early");
        font[14] = 5;
        assert_eq!(parts(&font, 6), Some(3));
        assert_eq!(parts(&font, 3), Some(2));
    }

    #[test]
    fn the_codes_of_segments_are_counted_however_they_overlap() {
        let words = [4, 0, 0, 4, 0, 0, 0, 9, 0xFFFF, 0, 5, 0];
        let data: Vec<u8> = words
            .iter()
            .flat_map(|word: &u16| word.to_be_bytes())
            .collect();
        assert_eq!(covered(&data), 5 + 65_536);
    }
}
