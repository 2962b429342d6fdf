//! Objects that lie packed in a stream.

use std::collections::btree_map::Entry;

use lopdf::{Dictionary, Object};

use super::object::Parser;
use super::unpack::Unpacked;
use super::{Content, Objects, Place, SLOT, Slot, filters, scan, undo};

/// A stream of objects, unpacked.
pub(super) struct Packed {
    pub(super) content: Unpacked,
    /// Where they begin, in the order of their numbers.
    places: Vec<(u32, usize)>,
}

/// What a place takes in memory: lists grow by doubling, and are sorted with half as much.
const PLACE: usize = 3 * size_of::<(u32, usize)>();

impl Packed {
    pub(super) fn open(objects: &Objects<'_>, stream: &Object) -> Option<Self> {
        let Object::Stream(stream) = stream else {
            return None;
        };
        let number = |key: &[u8]| {
            let number = objects.resolve(stream.dict.get(key).ok()?).as_i64().ok()?;
            usize::try_from(number).ok()
        };
        let (count, first) = (number(b"N")?, number(b"First")?);
        let meter = &objects.meter;
        let filters = filters(&stream.dict, |object| objects.resolve(object))?;
        let undone = undo(&filters, objects.raw(stream), meter.left(), &meter.account);
        let (content, cost) = meter.unless(undone)?;
        let content = match content {
            Content::Whole(content) | Content::Part(content) => Some(content),
            Content::Over => None,
            Content::Unknown => return None,
        };
        let within =
            meter.work(cost) && meter.unpack(content.as_ref().map(|content| content.len()));
        let content = content.filter(|_| within)?;
        let mut parser = Parser::new(&content, 0, meter);
        let mut places = Vec::new();
        for _ in 0..count {
            let (Some(number), Some(place)) = (parser.integer(), parser.integer()) else {
                break;
            };
            (meter.count(places.len()) && meter.hold(PLACE)).then_some(())?;
            if let (Ok(number), Ok(place)) = (u32::try_from(number), usize::try_from(place)) {
                places.push((number, first.saturating_add(place)));
            }
        }
        // Of those with the same number, the last.
        places.reverse();
        places.sort_by_key(|(number, _)| *number);
        places.dedup_by_key(|(number, _)| *number);
        places.shrink_to_fit();
        Some(Self { content, places })
    }

    pub(super) fn place(&self, number: u32) -> Option<usize> {
        let at = self
            .places
            .binary_search_by_key(&number, |(number, _)| *number);
        Some(self.places[at.ok()?].1)
    }
}

/// What is found where the tables are no use.
impl Objects<'_> {
    /// The streams that have objects in them, by number. Those that are tables tell of the
    /// trailer.
    pub(super) fn find_streams(&mut self) -> Vec<u32> {
        let mut found = Vec::new();
        let mut trailer = Dictionary::new();
        for (number, slot) in &self.slots {
            self.peek(*number, slot.place, |object| {
                let Object::Stream(stream) = object else {
                    return;
                };
                match kind(&stream.dict) {
                    Some(b"ObjStm") => found.push(*number),
                    Some(b"XRef") if stream.dict.has(b"Root") => {
                        scan::add(&mut trailer, stream.dict.clone());
                    }
                    _ => {}
                }
            });
        }
        // What a file says last is what it means.
        scan::add(&mut trailer, std::mem::take(&mut self.trailer));
        self.trailer = trailer;
        found
    }

    /// Adds what lies in streams, unless it is in the file itself too.
    pub(super) fn add_packed(&mut self, streams: &[u32]) {
        for stream in streams {
            let Some(packed) = self.packed(*stream) else {
                continue;
            };
            for (number, _) in &packed.places {
                let slot = Slot::new(Place::Packed(*stream));
                match self.slots.entry(*number) {
                    Entry::Vacant(vacant) => {
                        if !self.meter.hold(SLOT) {
                            return;
                        }
                        vacant.insert(slot);
                    }
                    Entry::Occupied(mut before) => {
                        if let Place::Packed(_) = before.get().place {
                            before.get_mut().place = Place::Packed(*stream);
                        }
                    }
                }
            }
            if !self.meter.count(self.slots.len()) {
                return;
            }
        }
    }

    /// Looks for a catalog, if the trailer leads to none.
    pub(super) fn find_root(&mut self) {
        let pages = |object: &Object| {
            let root = object.as_dict().ok();
            root.is_some_and(|root| root.get(b"Pages").is_ok())
        };
        let root = self.trailer.get(b"Root").map(|root| self.resolve(root));
        if root.is_ok_and(pages) {
            return;
        }
        let mut found = None;
        for (number, slot) in &self.slots {
            self.peek(*number, slot.place, |object| {
                if pages(object) && object.as_dict().ok().and_then(kind) == Some(b"Catalog") {
                    found = Some(*number);
                }
            });
        }
        if let Some(number) = found {
            self.trailer.set("Root", Object::Reference((number, 0)));
        }
    }

    /// The numbers of the dictionaries of a type.
    pub(in crate::document::pdf) fn of_kind(&self, wanted: &[u8]) -> Vec<u32> {
        let mut found = Vec::new();
        for (number, slot) in &self.slots {
            self.peek(*number, slot.place, |object| {
                if object.as_dict().ok().and_then(kind) == Some(wanted) {
                    found.push(*number);
                }
            });
        }
        found
    }

    /// Looks at an object without keeping it.
    fn peek(&self, number: u32, place: Place, look: impl FnOnce(&Object)) {
        self.meter.for_a_look(|| {
            if let Some(object) = self.make(number, place) {
                look(&object);
            }
        });
    }
}

fn kind(dictionary: &Dictionary) -> Option<&[u8]> {
    dictionary.get(b"Type").and_then(Object::as_name).ok()
}
