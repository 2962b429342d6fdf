//! A file whose tables are no use: its objects are found by how they begin.

use lopdf::{Dictionary, Object};

use super::meter::Meter;
use super::object::Parser;
use super::{Place, SLOT, Slot, Slots};
use crate::document::pdf::lexer::{is_delimiter, is_space};

/// Blanks between the parts of `12 0 obj`, and digits of one of them.
const NEAR: usize = 10;

/// Where objects begin, by number; of those with the same one, the last.
pub(super) fn objects(bytes: &[u8], meter: &Meter) -> Slots {
    let mut found = Slots::new();
    if !meter.work(bytes.len()) {
        return found;
    }
    for place in memchr::memmem::find_iter(bytes, b"obj") {
        if let Some((number, from)) = header_before(bytes, place) {
            let slot = Slot::new(Place::At(from));
            let new = found.insert(number, slot).is_none();
            if new && !(meter.count(found.len()) && meter.hold(SLOT)) {
                break;
            }
        }
    }
    found
}

/// The number before `obj`, and where it begins.
fn header_before(bytes: &[u8], place: usize) -> Option<(u32, usize)> {
    let back = |mut at: usize, is: fn(u8) -> bool| {
        let least = at.saturating_sub(NEAR);
        while at > least && is(bytes[at - 1]) {
            at -= 1;
        }
        at
    };
    let digit = |byte: u8| byte.is_ascii_digit();
    let generation = back(place, is_space);
    let from = back(generation, digit);
    let number = back(from, is_space);
    let start = back(number, digit);
    let apart = start == 0 || is_space(bytes[start - 1]) || is_delimiter(bytes[start - 1]);
    // What stands before may be glued to it, as in `endobj12 0 obj`.
    let apart = apart || bytes[..start].ends_with(b"endobj");
    if start == number || from == generation || number == from || !apart {
        return None;
    }
    let number = std::str::from_utf8(&bytes[start..number]).ok()?;
    Some((number.parse().ok()?, start))
}

/// What the trailers of a file say, the last first.
pub(super) fn trailers(bytes: &[u8], meter: &Meter) -> Dictionary {
    let mut all = Dictionary::new();
    if !meter.work(bytes.len()) {
        return all;
    }
    for place in memchr::memmem::find_iter(bytes, b"trailer") {
        let mut parser = Parser::new(bytes, place + b"trailer".len(), meter);
        if let Some(Object::Dictionary(trailer)) = parser.value() {
            add(&mut all, trailer);
        }
        if !meter.goes_on() {
            break;
        }
    }
    all
}

pub(super) fn add(all: &mut Dictionary, trailer: Dictionary) {
    for (key, value) in trailer {
        all.set(key, value);
    }
}
