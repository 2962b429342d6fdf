//! What streams have in them: their filters undone one by one, none beyond what it may give.

use std::io::Read;
use std::ops::Deref;
use std::rc::Rc;

use flate2::bufread::DeflateDecoder;
use lopdf::filters::png::{FilterType, decode_row};
use lopdf::{DecompressError, Dictionary, Error, Object, Stream};

use super::meter::Meter;
use crate::document::DocumentError;
use crate::document::pdf::account::{Account, Held};

/// Filters of one stream; files use one or two.
const FILTERS: usize = 8;
/// Bytes that are unpacked before more memory is asked for.
const STEP: usize = 64 << 10;
/// What a filter may look back to.
const WINDOW: usize = 16 << 20;

/// Bytes, with the memory that they take.
pub(in crate::document::pdf) struct Unpacked {
    bytes: Vec<u8>,
    held: Held,
}

impl Deref for Unpacked {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Unpacked {
    fn new(mut bytes: Vec<u8>, mut held: Held) -> Self {
        bytes.shrink_to_fit();
        held.shrink_to(bytes.len());
        Self { bytes, held }
    }

    /// The first so many bytes, and what holds them.
    pub(in crate::document::pdf) fn first(mut self, bytes: usize) -> (Vec<u8>, Held) {
        self.bytes.truncate(bytes);
        let first = Self::new(self.bytes, self.held);
        (first.bytes, first.held)
    }
}

/// What was in a stream.
pub(in crate::document::pdf) enum Content {
    Whole(Unpacked),
    /// It is damaged; this is what comes before.
    Part(Unpacked),
    /// It is more than it may be.
    Over,
    /// Nobody knows how it is packed.
    Unknown,
}

/// A filter and what it is told.
pub(in crate::document::pdf) type Filter<'o> = (&'o [u8], Option<&'o Dictionary>);

/// Undoes filters; each gives at most so many bytes. Tells with the content how many were read
/// and made on the way.
pub(in crate::document::pdf) fn undo(
    filters: &[Filter<'_>],
    raw: &[u8],
    most: usize,
    account: &Rc<Account>,
) -> Result<(Content, usize), DocumentError> {
    let mut cost = raw.len();
    let mut whole = true;
    let mut content: Option<Unpacked> = None;
    if filters.len() > FILTERS {
        return Ok((Content::Unknown, cost));
    }
    for (name, told) in filters {
        let input = content.as_deref().unwrap_or(raw);
        let undone = match *name {
            b"Crypt" => continue,
            b"FlateDecode" | b"Fl" => inflate(input, *told, most, account)?,
            b"LZWDecode" | b"LZW" => lzw(input, *told, most, account)?,
            b"ASCIIHexDecode" | b"AHx" => {
                Library::of("ASCIIHexDecode", 1, account).undo(input, most)?
            }
            b"ASCII85Decode" | b"A85" => {
                Library::of("ASCII85Decode", 4, account).undo(ascii85(input), most)?
            }
            b"RunLengthDecode" | b"RL" => {
                Library::of("RunLengthDecode", 64, account).undo(input, most)?
            }
            b"BrotliDecode" => {
                let _window = account.hold(WINDOW)?;
                Library::of("BrotliDecode", usize::MAX, account).undo(input, most)?
            }
            _ => Content::Unknown,
        };
        let next = match undone {
            Content::Whole(next) => next,
            Content::Part(next) => {
                whole = false;
                next
            }
            failed => return Ok((failed, cost + most)),
        };
        cost += next.len();
        content = Some(next);
    }
    let content = match content {
        Some(content) => content,
        None if raw.len() > most => return Ok((Content::Over, cost)),
        None => {
            let held = account.hold(raw.len())?;
            Unpacked::new(raw.to_vec(), held)
        }
    };
    Ok(match whole {
        true => (Content::Whole(content), cost),
        false => (Content::Part(content), cost),
    })
}

/// The content of a stream that has objects, or their places, in it. Its filters are told
/// where it is.
pub(super) fn for_objects(dictionary: &Dictionary, raw: &[u8], meter: &Meter) -> Option<Unpacked> {
    let filters = filters(dictionary, |object| object)?;
    let undone = undo(&filters, raw, meter.left(), &meter.account);
    let (content, cost) = meter.unless(undone)?;
    meter.work(cost).then_some(())?;
    match content {
        Content::Whole(content) | Content::Part(content) => {
            meter.unpack(Some(content.len())).then_some(content)
        }
        Content::Over => {
            meter.unpack(None);
            None
        }
        Content::Unknown => None,
    }
}

/// The filters of a stream, each with what it is told; none if they are no names.
pub(in crate::document::pdf) fn filters<'o>(
    dictionary: &'o Dictionary,
    resolve: impl Fn(&'o Object) -> &'o Object,
) -> Option<Vec<Filter<'o>>> {
    let either = |long: &[u8], short: &[u8]| {
        let found = dictionary.get(long).or_else(|_| dictionary.get(short));
        found.map_or(&Object::Null, &resolve)
    };
    let told = either(b"DecodeParms", b"DP");
    match either(b"Filter", b"F") {
        Object::Name(name) => {
            let told = match told {
                Object::Array(items) => items.first().map_or(&Object::Null, &resolve),
                told => told,
            };
            Some(vec![(name, told.as_dict().ok())])
        }
        Object::Array(names) => {
            let told = |at: usize| match told {
                Object::Array(items) => items.get(at).map(&resolve)?.as_dict().ok(),
                told => told.as_dict().ok(),
            };
            let names = names.iter().enumerate().take(FILTERS + 1);
            names
                .map(|(at, name)| Some((resolve(name).as_name().ok()?, told(at))))
                .collect()
        }
        _ => Some(Vec::new()),
    }
}

/// What is there is of use whatever its checksum says.
fn inflate(
    input: &[u8],
    told: Option<&Dictionary>,
    most: usize,
    account: &Rc<Account>,
) -> Result<Content, DocumentError> {
    let headed = matches!(input, [first, second, ..]
        if first & 15 == 8 && (u16::from(*first) << 8 | u16::from(*second)).is_multiple_of(31));
    let mut content = Vec::new();
    let mut held = account.nothing();
    let rest = input.get(2..).unwrap_or_default();
    let mut whole = inflate_to(&mut content, &mut held, rest, most)?;
    if content.is_empty() && !whole && !headed {
        whole = inflate_to(&mut content, &mut held, input, most)?;
    }
    if content.len() > most {
        return Ok(Content::Over);
    }
    predict(&mut content, told);
    let content = Unpacked::new(content, held);
    Ok(match whole {
        true => Content::Whole(content),
        false => Content::Part(content),
    })
}

/// Tells whether it is as it was packed; one that lost no more than its checksum is.
fn inflate_to(
    content: &mut Vec<u8>,
    held: &mut Held,
    input: &[u8],
    most: usize,
) -> Result<bool, DocumentError> {
    let mut reader = DeflateDecoder::new(input).take(most as u64 + 1);
    let ended = loop {
        // It grows by doubling; a predictor has as much again for a row at most.
        held.at_least(2 * (content.len() + STEP))?;
        match (&mut reader).take(STEP as u64).read_to_end(content) {
            Ok(STEP) => {}
            ended => break ended.is_ok(),
        }
    };
    let read = usize::try_from(reader.into_inner().total_in()).unwrap_or(usize::MAX);
    let sum = input.get(read..).and_then(|rest| rest.first_chunk());
    Ok(ended && sum.is_none_or(|sum| u32::from_be_bytes(*sum) == checksum(content)))
}

/// Adler-32.
fn checksum(content: &[u8]) -> u32 {
    const PRIME: u32 = 65_521;
    let (mut low, mut high) = (1, 0);
    // So many bytes do not carry over.
    for part in content.chunks(5_552) {
        for byte in part {
            low += u32::from(*byte);
            high += low;
        }
        (low, high) = (low % PRIME, high % PRIME);
    }
    high << 16 | low
}

fn lzw(
    input: &[u8],
    told: Option<&Dictionary>,
    most: usize,
    account: &Rc<Account>,
) -> Result<Content, DocumentError> {
    let mut only = Dictionary::new();
    if let Some(early) = told.and_then(|told| told.get(b"EarlyChange").ok()) {
        only.set("EarlyChange", early.clone());
    }
    let mut library = Library::of("LZWDecode", LZW, account);
    library.told = Some(only);
    Ok(match library.undo(input, most)? {
        Content::Whole(mut content) => {
            let _row = account.hold(content.len())?;
            predict(&mut content.bytes, told);
            let Unpacked { bytes, held } = content;
            Content::Whole(Unpacked::new(bytes, held))
        }
        failed => failed,
    })
}

/// A byte of this filter becomes at most so many.
const LZW: usize = 4_096;

/// A filter that the library undoes.
struct Library<'a> {
    name: &'static str,
    told: Option<Dictionary>,
    /// A byte becomes at most so many.
    gives: usize,
    account: &'a Rc<Account>,
}

impl<'a> Library<'a> {
    fn of(name: &'static str, gives: usize, account: &'a Rc<Account>) -> Self {
        Self {
            name,
            told: None,
            gives,
            account,
        }
    }

    fn undo(self, input: &[u8], most: usize) -> Result<Content, DocumentError> {
        // It has the input by itself, and its output grows by doubling.
        let gives = most.min(input.len().saturating_mul(self.gives));
        let held = self.account.hold(input.len() + 2 * gives)?;
        let mut dictionary = Dictionary::new();
        dictionary.set("Filter", self.name);
        if let Some(told) = self.told {
            dictionary.set("DecodeParms", told);
        }
        let stream = Stream::new(dictionary, input.to_vec());
        Ok(match stream.decompressed_content_with_limit(most) {
            Ok(content) => Content::Whole(Unpacked::new(content, held)),
            Err(Error::Decompress(DecompressError::MemoryLimitExceeded { .. })) => Content::Over,
            Err(_) => Content::Unknown,
        })
    }
}

/// Some put marks of a mail attachment around it.
fn ascii85(input: &[u8]) -> &[u8] {
    let input = input.trim_ascii();
    input.strip_prefix(b"<~").unwrap_or(input)
}

/// Adds to each byte what stands beside or over it, if the filter is told so.
fn predict(content: &mut Vec<u8>, told: Option<&Dictionary>) {
    let number = |key: &[u8], otherwise: usize| {
        let number = told.and_then(|told| told.get(key).and_then(Object::as_i64).ok());
        let number = number.and_then(|number| usize::try_from(number).ok());
        number.filter(|number| *number > 0).unwrap_or(otherwise)
    };
    let predictor = number(b"Predictor", 1);
    let colors = number(b"Colors", 1).min(32);
    let bits = number(b"BitsPerComponent", 8).min(16);
    let row = number(b"Columns", 1).min(1 << 24) * colors * bits;
    let (pixel, row) = ((colors * bits).div_ceil(8), row.div_ceil(8));
    match predictor {
        2 if bits == 8 => {
            for row in content.chunks_mut(row) {
                for at in colors..row.len() {
                    row[at] = row[at].wrapping_add(row[at - colors]);
                }
            }
        }
        10.. => {
            let mut before = vec![0; row.min(content.len())];
            let (mut from, mut to) = (0, 0);
            while let Some(kind) = content.get(from) {
                let kind = FilterType::try_from(*kind).unwrap_or(FilterType::None);
                let end = content.len().min(from + 1 + row);
                let line = &mut content[from + 1..end];
                decode_row(kind, pixel, &before, line);
                before[..line.len()].copy_from_slice(line);
                // Each line goes to the front by the bytes that told of those before.
                content.copy_within(from + 1..end, to);
                to += end - from - 1;
                from = end;
            }
            content.truncate(to);
        }
        _ => {}
    }
}
