//! How wide the characters of the standard fonts are, which files need not say, in
//! thousandths of the font's size.

/// From the space to the tilde, of Helvetica.
const HELVETICA: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556,
    556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667,
    611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667,
    667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500,
    222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];

/// The same of Times.
const TIMES: [u16; 95] = [
    250, 333, 408, 500, 500, 833, 778, 180, 333, 333, 500, 564, 250, 333, 250, 278, 500, 500, 500,
    500, 500, 500, 500, 500, 500, 500, 278, 278, 564, 564, 564, 444, 921, 722, 667, 667, 722, 611,
    556, 722, 722, 333, 389, 722, 611, 889, 722, 722, 556, 722, 667, 556, 611, 722, 722, 944, 722,
    722, 611, 333, 278, 333, 469, 500, 333, 444, 500, 444, 500, 444, 333, 500, 500, 278, 278, 500,
    278, 778, 500, 500, 500, 500, 333, 389, 278, 500, 500, 722, 500, 500, 444, 480, 200, 480, 541,
];

/// The width of a character in the font of that name.
pub(super) fn standard(font: &str, character: Option<char>) -> f32 {
    if font.contains("Courier") || font.contains("Mono") {
        return 600.0;
    }
    let (table, bold, other) = if font.contains("Times") || font.contains("Serif") {
        (&TIMES, 1.03, 480.0)
    } else {
        (&HELVETICA, 1.06, 556.0)
    };
    // An accent makes a letter no wider.
    let base = character.map(|c| {
        let mut first = None;
        unicode_normalization::char::decompose_canonical(c, |part| {
            first.get_or_insert(part);
        });
        first.unwrap_or(c)
    });
    let place = base.and_then(|c| (u32::from(c)).checked_sub(32));
    let width = place
        .and_then(|place| table.get(place as usize))
        .map_or(other, |width| f32::from(*width));
    if font.contains("Bold") {
        width * bold
    } else {
        width
    }
}
