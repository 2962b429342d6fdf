//! A PDF file's objects, each read when it is asked for: what nobody asks for costs nothing.
//!
//! The tables of the file say where they are. Where one is not in its place, it is looked for
//! by its number in all of the file; where the tables are no use, everything is. What all of
//! it may cost is counted in one place, and whoever asks for more gets nothing.

mod cipher;
mod meter;
mod object;
mod object_stream;
mod scan;
mod unpack;
mod xref;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use lopdf::{Dictionary, Object, Stream};

use self::cipher::Cipher;
use self::meter::Meter;
use self::object::Parser;
use self::object_stream::Packed;
pub(super) use self::unpack::{Content, Unpacked, filters, undo};
use super::account::Account;
use super::lexer::is_space;
use crate::document::{DocumentError, Limits};

/// How many objects are read to read one: a stream in which it lies, its length, its filter.
const NESTED: u32 = 4;
/// How many references are followed from one to the next.
const CHAIN: usize = 32;

/// Where an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    At(usize),
    /// In the stream of that number.
    Packed(u32),
    /// There is none.
    Free,
}

struct Slot {
    place: Place,
    /// None in it if there is none in its place.
    object: OnceCell<Option<Box<Object>>>,
}

/// By number.
type Slots = BTreeMap<u32, Slot>;
/// What one takes in memory: nodes of a tree are half empty.
const SLOT: usize = 2 * size_of::<(u32, Slot)>();

/// The objects of a file.
pub(super) struct Objects<'b> {
    bytes: &'b [u8],
    pub(super) trailer: Dictionary,
    slots: Slots,
    /// Objects by where they begin, if some were not in their places.
    scanned: OnceCell<Slots>,
    packed: RefCell<HashMap<u32, Option<Rc<Packed>>>>,
    cipher: Option<Cipher>,
    meter: Meter,
    nested: Cell<u32>,
}

impl<'b> Objects<'b> {
    /// The objects of a file by its tables, or without if they are no use.
    pub(super) fn open(
        bytes: &'b [u8],
        limits: &Limits,
        account: &Rc<Account>,
    ) -> Result<Self, DocumentError> {
        let meter = Meter::new(limits, account);
        let table = xref::read(bytes, &meter);
        meter.check()?;
        let Some(table) = table else {
            return Self::rebuild(bytes, limits, account);
        };
        let mut objects = Self::new(bytes, meter, table.places, table.trailer);
        objects.unlock()?;
        Ok(objects)
    }

    /// The objects of a file by how they begin.
    pub(super) fn rebuild(
        bytes: &'b [u8],
        limits: &Limits,
        account: &Rc<Account>,
    ) -> Result<Self, DocumentError> {
        let meter = Meter::new(limits, account);
        let places = scan::objects(bytes, &meter);
        let trailer = scan::trailers(bytes, &meter);
        let mut objects = Self::new(bytes, meter, places, trailer);
        let _ = objects.scanned.set(Slots::new());
        let streams = objects.find_streams();
        objects.unlock()?;
        objects.add_packed(&streams);
        objects.find_root();
        objects.check()?;
        Ok(objects)
    }

    fn new(bytes: &'b [u8], meter: Meter, slots: Slots, trailer: Dictionary) -> Self {
        Self {
            bytes,
            trailer,
            slots,
            scanned: OnceCell::new(),
            packed: RefCell::default(),
            cipher: None,
            meter,
            nested: Cell::new(0),
        }
    }

    /// An error if objects were not read because of a limit.
    pub(super) fn check(&self) -> Result<(), DocumentError> {
        self.meter.check()
    }

    /// The object of that number.
    pub(super) fn get(&self, number: u32) -> &Object {
        let slot = self.slots.get(&number);
        if slot.is_some_and(|slot| slot.place == Place::Free) {
            return &Object::Null;
        }
        let found = slot.and_then(|slot| self.fill(number, slot));
        let found = found.or_else(|| self.fill(number, self.scanned().get(&number)?));
        found.unwrap_or(&Object::Null)
    }

    /// What a reference leads to; anything else is itself.
    pub(super) fn resolve<'a>(&'a self, mut object: &'a Object) -> &'a Object {
        for _ in 0..CHAIN {
            match object {
                Object::Reference((number, _)) => object = self.get(*number),
                found => return found,
            }
        }
        &Object::Null
    }

    /// The content of a stream as it is in the file.
    pub(super) fn raw<'a>(&'a self, stream: &'a Stream) -> &'a [u8] {
        let Some(from) = stream.start_position else {
            return &stream.content;
        };
        let length = stream.dict.get(b"Length").and_then(Object::as_i64).ok();
        let length = length.and_then(|length| usize::try_from(length).ok());
        let to = from.saturating_add(length.unwrap_or(0));
        self.bytes.get(from..to).unwrap_or_default()
    }

    fn scanned(&self) -> &Slots {
        self.scanned
            .get_or_init(|| scan::objects(self.bytes, &self.meter))
    }

    fn fill<'a>(&'a self, number: u32, slot: &'a Slot) -> Option<&'a Object> {
        if slot.object.get().is_none() {
            let taken = self.meter.taken();
            let made = self.make(number, slot.place).map(Box::new);
            self.meter.keep(taken);
            // Whoever was asked for on the way may have been the same.
            let _ = slot.object.set(made);
        }
        slot.object.get()?.as_deref()
    }

    fn make(&self, number: u32, place: Place) -> Option<Object> {
        if self.nested.get() == NESTED || !self.meter.goes_on() {
            return None;
        }
        self.nested.set(self.nested.get() + 1);
        let made = match place {
            Place::At(place) => self.read(number, place),
            Place::Packed(stream) => self.packed(stream).and_then(|packed| {
                let place = packed.place(number)?;
                Parser::new(&packed.content, place, &self.meter).value()
            }),
            Place::Free => None,
        };
        self.nested.set(self.nested.get() - 1);
        made
    }

    /// The object of that number at that place in the file.
    fn read(&self, number: u32, place: usize) -> Option<Object> {
        let mut parser = Parser::new(self.bytes, place, &self.meter);
        let (found, generation) = parser.header()?;
        if found != number {
            return None;
        }
        let mut object = parser.value().unwrap_or(Object::Null);
        if let Object::Dictionary(dictionary) = &mut object
            && let Some(from) = parser.stream()
        {
            let mut dictionary = std::mem::take(dictionary);
            let to = stream_end(self.bytes, from, self.length(&dictionary), &self.meter);
            dictionary.set("Length", i64::try_from(to - from).unwrap_or(i64::MAX));
            object = Object::Stream(Stream::with_position(dictionary, from));
        }
        if let Some(cipher) = &self.cipher {
            self.take_content(&mut object)?;
            cipher.undo((number, generation), &mut object);
        }
        Some(object)
    }

    /// Gives a stream its content, that it may be changed. Pictures are not looked at.
    fn take_content(&self, object: &mut Object) -> Option<()> {
        let Object::Stream(stream) = object else {
            return Some(());
        };
        let kind = stream.dict.get(b"Subtype").and_then(Object::as_name);
        let content = match kind {
            Ok(b"Image") => &[],
            _ => self.raw(stream),
        };
        let length = content.len();
        (self.meter.work(length) && self.meter.take(length)).then_some(())?;
        stream.content = content.to_vec();
        stream.start_position = None;
        Some(())
    }

    fn length(&self, dictionary: &Dictionary) -> Option<usize> {
        let length = self.resolve(dictionary.get(b"Length").ok()?);
        usize::try_from(length.as_i64().ok()?).ok()
    }

    /// The stream of that number that has objects in it.
    fn packed(&self, number: u32) -> Option<Rc<Packed>> {
        if let Some(known) = self.packed.borrow().get(&number) {
            return known.clone();
        }
        // It lies in no other, not even in itself.
        let slot = self.slots.get(&number);
        let packed = match slot.filter(|slot| matches!(slot.place, Place::At(_))) {
            Some(_) => Packed::open(self, self.get(number)),
            None => None,
        };
        let packed = packed.map(Rc::new);
        self.packed.borrow_mut().insert(number, packed.clone());
        packed
    }

    /// Undoes the file's encryption from now on, if it has one.
    fn unlock(&mut self) -> Result<(), DocumentError> {
        let Ok(how) = self.trailer.get(b"Encrypt") else {
            return Ok(());
        };
        let Object::Dictionary(how) = self.whole(how, 0) else {
            return match how {
                Object::Null => Ok(()),
                _ => Err(DocumentError::Encrypted),
            };
        };
        let name = self.trailer.get(b"ID").map(|id| self.whole(id, 0));
        let name = match name {
            Ok(Object::Array(parts)) => parts.into_iter().next(),
            _ => None,
        };
        let name = match name {
            Some(Object::String(name, _)) => Some(name),
            _ => None,
        };
        self.cipher = Some(Cipher::open(how, name)?);
        Ok(())
    }

    /// An object with everything that it refers to, as far as a few steps go.
    fn whole(&self, object: &Object, depth: u32) -> Object {
        let object = self.resolve(object);
        // The same may stand here often, and in itself.
        let own = match object {
            Object::String(text, _) | Object::Name(text) => text.len(),
            _ => 0,
        };
        if !self.meter.take(WHOLE + own) {
            return Object::Null;
        }
        match object {
            Object::Dictionary(dictionary) if depth < NESTED => {
                let pairs = dictionary.iter();
                let whole = pairs.map(|(key, value)| (key.clone(), self.whole(value, depth + 1)));
                Object::Dictionary(whole.collect())
            }
            Object::Array(items) if depth < NESTED => {
                let items = items.iter().take(NESTED as usize);
                Object::Array(items.map(|item| self.whole(item, depth + 1)).collect())
            }
            Object::Stream(_) | Object::Dictionary(_) | Object::Array(_) => Object::Null,
            other => other.clone(),
        }
    }
}

impl Slot {
    fn new(place: Place) -> Self {
        let object = OnceCell::new();
        Self { place, object }
    }
}

/// What a copy of an object takes in memory, with its key.
const WHOLE: usize = 512;
/// Bytes in which the beginning of the next object is looked for.
const HEADER: usize = 64;

/// Where a stream ends: where it says, if it does so, else before the next word that ends one.
fn stream_end(bytes: &[u8], from: usize, length: Option<usize>, meter: &Meter) -> usize {
    let from = from.min(bytes.len());
    if let Some(to) = length.and_then(|length| from.checked_add(length))
        && let Some(behind) = bytes.get(to..)
    {
        let blank = behind.iter().take(4).take_while(|b| is_space(**b)).count();
        if behind[blank..].starts_with(b"endstream") || behind[blank..].starts_with(b"endobj") {
            return to;
        }
    }
    let rest = &bytes[from..];
    let end = memchr::memmem::find(rest, b"endstream");
    let until = end.unwrap_or(rest.len());
    meter.work(until);
    // One that was not ended ends with its object.
    let objects = memchr::memmem::find_iter(&rest[..until], b"endobj");
    let mut ended = objects.filter(|place| {
        let behind = from + place + b"endobj".len();
        let mut parser = Parser::new(&bytes[..bytes.len().min(behind + HEADER)], behind, meter);
        parser.header().is_some() || parser.word(b"xref") || parser.word(b"trailer")
    });
    let end = ended.next().or(end);
    let mut to = from + end.unwrap_or(rest.len());
    if to > from && bytes[to - 1] == b'\n' {
        to -= 1;
    }
    if to > from && bytes[to - 1] == b'\r' {
        to -= 1;
    }
    to
}
