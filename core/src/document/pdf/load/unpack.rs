//! What streams have in them: their filters undone one by one, none beyond what it may give.

use std::io::Read;

use flate2::bufread::DeflateDecoder;
use lopdf::filters::png::{FilterType, decode_row};
use lopdf::{DecompressError, Dictionary, Error, Object, Stream};

use super::meter::Meter;

/// Filters of one stream; files use one or two.
const FILTERS: usize = 8;

/// What was in a stream.
pub(in crate::document::pdf) enum Content {
    Whole(Vec<u8>),
    /// It is damaged; this is what comes before.
    Part(Vec<u8>),
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
) -> (Content, usize) {
    let mut cost = raw.len();
    let mut whole = true;
    let mut content: Option<Vec<u8>> = None;
    if filters.len() > FILTERS {
        return (Content::Unknown, cost);
    }
    for (name, told) in filters {
        let input = content.as_deref().unwrap_or(raw);
        let undone = match *name {
            b"Crypt" => continue,
            b"FlateDecode" | b"Fl" => inflate(input, *told, most),
            b"LZWDecode" | b"LZW" => lzw(input, *told, most),
            b"ASCIIHexDecode" | b"AHx" => by_library("ASCIIHexDecode", input, None, most),
            b"ASCII85Decode" | b"A85" => by_library("ASCII85Decode", ascii85(input), None, most),
            b"RunLengthDecode" | b"RL" => by_library("RunLengthDecode", input, None, most),
            b"BrotliDecode" => by_library("BrotliDecode", input, None, most),
            _ => Content::Unknown,
        };
        let next = match undone {
            Content::Whole(next) => next,
            Content::Part(next) => {
                whole = false;
                next
            }
            failed => return (failed, cost + most),
        };
        cost += next.len();
        content = Some(next);
    }
    let content = match content {
        Some(content) => content,
        None if raw.len() > most => return (Content::Over, cost),
        None => raw.to_vec(),
    };
    match whole {
        true => (Content::Whole(content), cost),
        false => (Content::Part(content), cost),
    }
}

/// The content of a stream that has objects, or their places, in it. Its filters are told
/// where it is.
pub(super) fn for_objects(dictionary: &Dictionary, raw: &[u8], meter: &Meter) -> Option<Vec<u8>> {
    let filters = filters(dictionary, |object| object)?;
    let (content, cost) = undo(&filters, raw, meter.left());
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
fn inflate(input: &[u8], told: Option<&Dictionary>, most: usize) -> Content {
    let headed = matches!(input, [first, second, ..]
        if first & 15 == 8 && (u16::from(*first) << 8 | u16::from(*second)).is_multiple_of(31));
    let mut content = Vec::new();
    let mut whole = inflate_to(&mut content, input.get(2..).unwrap_or_default(), most);
    if content.is_empty() && !whole && !headed {
        whole = inflate_to(&mut content, input, most);
    }
    if content.len() > most {
        return Content::Over;
    }
    predict(&mut content, told);
    match whole {
        true => Content::Whole(content),
        false => Content::Part(content),
    }
}

/// Tells whether it is as it was packed; one that lost no more than its checksum is.
fn inflate_to(content: &mut Vec<u8>, input: &[u8], most: usize) -> bool {
    let mut reader = DeflateDecoder::new(input).take(most as u64 + 1);
    let ended = reader.read_to_end(content).is_ok();
    let read = usize::try_from(reader.into_inner().total_in()).unwrap_or(usize::MAX);
    let sum = input.get(read..).and_then(|rest| rest.first_chunk());
    ended && sum.is_none_or(|sum| u32::from_be_bytes(*sum) == checksum(content))
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

fn lzw(input: &[u8], told: Option<&Dictionary>, most: usize) -> Content {
    let mut only = Dictionary::new();
    if let Some(early) = told.and_then(|told| told.get(b"EarlyChange").ok()) {
        only.set("EarlyChange", early.clone());
    }
    match by_library("LZWDecode", input, Some(only), most) {
        Content::Whole(mut content) => {
            predict(&mut content, told);
            Content::Whole(content)
        }
        failed => failed,
    }
}

fn by_library(name: &str, input: &[u8], told: Option<Dictionary>, most: usize) -> Content {
    let mut dictionary = Dictionary::new();
    dictionary.set("Filter", name);
    if let Some(told) = told {
        dictionary.set("DecodeParms", told);
    }
    let stream = Stream::new(dictionary, input.to_vec());
    match stream.decompressed_content_with_limit(most) {
        Ok(content) => Content::Whole(content),
        Err(Error::Decompress(DecompressError::MemoryLimitExceeded { .. })) => Content::Over,
        Err(_) => Content::Unknown,
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
            let mut plain = Vec::with_capacity(content.len());
            for line in content.chunks_mut(row + 1) {
                let Some((kind, line)) = line.split_first_mut() else {
                    break;
                };
                let kind = FilterType::try_from(*kind).unwrap_or(FilterType::None);
                decode_row(kind, pixel, &before, line);
                plain.extend_from_slice(line);
                before[..line.len()].copy_from_slice(line);
            }
            *content = plain;
        }
        _ => {}
    }
}
