//! The tables that say where objects are: those of lines, those in streams, and both in one.

use std::collections::HashSet;
use std::collections::btree_map::Entry;

use lopdf::{Dictionary, Object};

use super::meter::Meter;
use super::object::Parser;
use super::{Place, SLOT, Slot, Slots, unpack};

/// Tables that are followed from one to the one before.
const TABLES: usize = 4_096;
/// Keys of a trailer that an older one may have for it.
const SHARED: [&[u8]; 4] = [b"Root", b"Info", b"Encrypt", b"ID"];

/// Where objects are.
#[derive(Default)]
pub(super) struct Table {
    pub(super) places: Slots,
    pub(super) trailer: Dictionary,
}

/// Reads the tables of a file, the newest first; none if there is no whole one.
pub(super) fn read(bytes: &[u8], meter: &Meter) -> Option<Table> {
    let mark = memchr::memmem::rfind(bytes, b"startxref")?;
    let start = Parser::new(bytes, mark + b"startxref".len(), meter).integer()?;
    let mut table = Table::default();
    let mut seen = HashSet::new();
    let mut waiting = vec![start];
    let mut entries = 0;
    while let Some(place) = waiting.pop() {
        if seen.len() == TABLES || !meter.goes_on() {
            break;
        }
        if !seen.insert(place) {
            continue;
        }
        let place = usize::try_from(place).ok().filter(|p| *p < bytes.len());
        let trailer =
            place.and_then(|place| section(bytes, place, meter, &mut table, &mut entries));
        let Some(trailer) = trailer else {
            // What the newest says may do without the older ones.
            if seen.len() == 1 {
                return None;
            }
            continue;
        };
        let number = |key: &[u8]| trailer.get(key).and_then(Object::as_i64).ok();
        for key in [&b"Prev"[..], b"XRefStm"] {
            waiting.extend(number(key).and_then(|place| u64::try_from(place).ok()));
        }
        if table.trailer.is_empty() {
            table.trailer = trailer;
        } else {
            for key in SHARED {
                if let (false, Ok(value)) = (table.trailer.has(key), trailer.get(key)) {
                    table.trailer.set(key, value.clone());
                }
            }
        }
    }
    table.trailer.has(b"Root").then_some(table)
}

/// One table, and its trailer.
fn section(
    bytes: &[u8],
    place: usize,
    meter: &Meter,
    table: &mut Table,
    entries: &mut usize,
) -> Option<Dictionary> {
    let mut parser = Parser::new(bytes, place, meter);
    if parser.word(b"xref") {
        lines(&mut parser, meter, table, entries)?;
        return match parser.value()? {
            Object::Dictionary(trailer) => Some(trailer),
            _ => None,
        };
    }
    parser.header()?;
    let Object::Dictionary(dictionary) = parser.value()? else {
        return None;
    };
    let from = parser.stream()?;
    let number = |key: &[u8]| dictionary.get(key).and_then(Object::as_i64).ok();
    let length = number(b"Length").and_then(|length| usize::try_from(length).ok());
    let to = super::stream_end(bytes, from, length, meter);
    let content = unpack::for_objects(&dictionary, &bytes[from..to], meter)?;
    packed(&dictionary, &content, meter, table, entries)?;
    Some(dictionary)
}

/// A table of lines: `0000000015 00000 n`.
fn lines(
    parser: &mut Parser<'_, '_>,
    meter: &Meter,
    table: &mut Table,
    entries: &mut usize,
) -> Option<()> {
    while !parser.word(b"trailer") {
        let mut first = u32::try_from(parser.integer()?).ok()?;
        let count = parser.integer()?;
        for n in 0..count {
            let from = parser.place();
            let Some(place) = parser.integer() else {
                // It has fewer than it says.
                break;
            };
            let generation = parser.integer()?;
            // The first of all is free; some count it as the second.
            if n == 0 && first == 1 && generation == 65_535 && place == 0 {
                first = 0;
            }
            let used = parser.word(b"n");
            if !used && !parser.word(b"f") {
                // It was the head of the next part.
                parser.go(from);
                break;
            }
            let number = first.checked_add(u32::try_from(n).ok()?)?;
            count_entry(meter, entries, parser.place() - from)?;
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            let place = match used && place > 0 {
                true => Place::At(place),
                false => Place::Free,
            };
            table.add(number, place, meter)?;
        }
    }
    Some(())
}

/// A table in a stream: numbers of fixed widths.
fn packed(
    dictionary: &Dictionary,
    content: &[u8],
    meter: &Meter,
    table: &mut Table,
    entries: &mut usize,
) -> Option<()> {
    let numbers = |key: &[u8]| -> Option<Vec<usize>> {
        let items = dictionary.get(key).and_then(Object::as_array).ok()?;
        let number = |item: &Object| usize::try_from(item.as_i64().ok()?).ok();
        items.iter().map(number).collect()
    };
    let widths = numbers(b"W")?;
    let [kind, second, third] = *widths.first_chunk::<3>()?;
    let width = kind.checked_add(second)?.checked_add(third)?;
    if width == 0 || [kind, second, third].iter().any(|width| *width > 8) {
        return None;
    }
    let parts = numbers(b"Index").unwrap_or_else(|| vec![0, usize::MAX]);
    let mut rows = content.chunks_exact(width);
    for part in parts.chunks_exact(2) {
        for n in 0..part[1] {
            let Some(row) = rows.next() else {
                return Some(());
            };
            count_entry(meter, entries, width)?;
            // The third says which of its stream it is; that the stream tells itself.
            let (first, rest) = row.split_at(kind);
            let second = &rest[..second];
            let place = match (first.is_empty(), big(first)) {
                (true, _) | (_, 1) => Place::At(usize::try_from(big(second)).ok()?),
                (_, 2) => Place::Packed(u32::try_from(big(second)).ok()?),
                _ => Place::Free,
            };
            let number = u32::try_from(part[0].checked_add(n)?).ok()?;
            table.add(number, place, meter)?;
        }
    }
    Some(())
}

impl Table {
    /// What a newer table says of a number holds.
    fn add(&mut self, number: u32, place: Place, meter: &Meter) -> Option<()> {
        if let Entry::Vacant(vacant) = self.places.entry(number) {
            meter.hold(SLOT).then_some(())?;
            vacant.insert(Slot::new(place));
        }
        Some(())
    }
}

/// One more entry; files that are changed often name the same object several times.
fn count_entry(meter: &Meter, entries: &mut usize, bytes: usize) -> Option<()> {
    *entries += 1;
    (meter.count(*entries / 4) && meter.work(bytes)).then_some(())
}

fn big(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}
