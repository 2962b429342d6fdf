//! A PDF file's objects: opened within the limits, and looked up without following circles.

use lopdf::{Dictionary, Document as Objects, LoadOptions, Object, Stream};

use super::budget::Budget;
use crate::document::{DocumentError, Limits};

/// How many references are followed from one to the next.
const CHAIN: usize = 32;

/// An opened file.
pub(super) struct File {
    pub(super) objects: Objects,
}

impl File {
    pub(super) fn open(bytes: &[u8], limits: &Limits) -> Result<Self, DocumentError> {
        // Places in the file count from its mark.
        let mark = find(bytes, b"%PDF-").unwrap_or(0);
        let bytes = &bytes[mark..];
        check_objects(bytes, limits)?;
        let options = || LoadOptions::with_max_decompressed_size(limits.load_stream_bytes);
        let objects = match Objects::load_mem_with_options(bytes, options()) {
            Ok(objects) => objects,
            Err(lopdf::Error::Decryption(_) | lopdf::Error::InvalidPassword) => {
                return Err(DocumentError::Encrypted);
            }
            Err(lopdf::Error::Decompress(problem)) => {
                return Err(DocumentError::limit(problem));
            }
            Err(problem) => {
                let again = LoadOptions {
                    force_reconstruct: true,
                    ..options()
                };
                Objects::load_mem_with_options(bytes, again)
                    .map_err(|_| DocumentError::damaged(problem))?
            }
        };
        if objects.is_encrypted() {
            return Err(DocumentError::Encrypted);
        }
        if objects.objects.len() as u64 > limits.objects {
            return Err(too_many(limits));
        }
        Ok(Self { objects })
    }

    /// What a reference leads to; anything else is itself.
    pub(super) fn resolve<'a>(&'a self, mut object: &'a Object) -> &'a Object {
        for _ in 0..CHAIN {
            match object {
                Object::Reference(id) => match self.objects.objects.get(id) {
                    Some(next) => object = next,
                    None => return &Object::Null,
                },
                found => return found,
            }
        }
        &Object::Null
    }

    pub(super) fn get<'a>(&'a self, dictionary: &'a Dictionary, key: &[u8]) -> &'a Object {
        dictionary
            .get(key)
            .map_or(&Object::Null, |object| self.resolve(object))
    }

    pub(super) fn dictionary<'a>(
        &'a self,
        dictionary: &'a Dictionary,
        key: &[u8],
    ) -> Option<&'a Dictionary> {
        dictionary_of(self.get(dictionary, key))
    }

    pub(super) fn array<'a>(&'a self, dictionary: &'a Dictionary, key: &[u8]) -> &'a [Object] {
        match self.get(dictionary, key) {
            Object::Array(items) => items,
            _ => &[],
        }
    }

    pub(super) fn name<'a>(&'a self, dictionary: &'a Dictionary, key: &[u8]) -> Option<&'a [u8]> {
        self.get(dictionary, key).as_name().ok()
    }

    pub(super) fn number(&self, dictionary: &Dictionary, key: &[u8]) -> Option<f32> {
        number(self.get(dictionary, key))
    }

    /// Numbers of an array.
    pub(super) fn numbers(&self, dictionary: &Dictionary, key: &[u8]) -> Vec<f32> {
        let items = self.array(dictionary, key).iter();
        items
            .filter_map(|item| number(self.resolve(item)))
            .collect()
    }

    /// A stream's content, unpacked. One over the limit, or packed in an unknown way, is
    /// none.
    pub(super) fn content(
        &self,
        stream: &Stream,
        budget: &mut Budget<'_>,
    ) -> Result<Option<Vec<u8>>, DocumentError> {
        let indirect = |key: &[u8]| match stream.dict.get(key) {
            Ok(Object::Reference(_)) => true,
            Ok(Object::Array(items)) => items.iter().any(|i| matches!(i, Object::Reference(_))),
            _ => false,
        };
        let most = budget.limits.stream_bytes;
        let unpacked = if indirect(b"Filter") || indirect(b"DecodeParms") {
            // The library looks at no references here.
            let mut direct = stream.clone();
            for key in [&b"Filter"[..], b"DecodeParms"] {
                if let Ok(object) = stream.dict.get(key) {
                    let object = match self.resolve(object) {
                        Object::Array(items) => {
                            let items = items.iter().map(|item| self.resolve(item).clone());
                            Object::Array(items.collect())
                        }
                        other => other.clone(),
                    };
                    direct.dict.set(key, object);
                }
            }
            direct.decompressed_content_with_limit(most)
        } else {
            stream.decompressed_content_with_limit(most)
        };
        match unpacked {
            Ok(content) => {
                budget.content(content.len())?;
                Ok(Some(content))
            }
            Err(_) => {
                budget.content(stream.content.len())?;
                Ok(None)
            }
        }
    }
}

pub(super) fn number(object: &Object) -> Option<f32> {
    match object {
        #[allow(clippy::cast_precision_loss)]
        Object::Integer(number) => Some(*number as f32),
        Object::Real(number) => Some(*number),
        _ => None,
    }
}

/// A dictionary, or that of a stream.
pub(super) fn dictionary_of(object: &Object) -> Option<&Dictionary> {
    match object {
        Object::Dictionary(dictionary) => Some(dictionary),
        Object::Stream(stream) => Some(&stream.dict),
        _ => None,
    }
}

/// Objects take much more memory than their bytes: they are counted before they are read.
fn check_objects(bytes: &[u8], limits: &Limits) -> Result<(), DocumentError> {
    let mut count: u64 = 0;
    let mut at = 0;
    while let Some(found) = find(&bytes[at..], b"obj") {
        at += found + 3;
        count += 1;
    }
    // Objects that lie packed in streams are announced by number.
    at = 0;
    while let Some(found) = find(&bytes[at..], b"ObjStm") {
        let around = at + found;
        at = around + 6;
        let from = around.saturating_sub(300);
        let to = (around + 300).min(bytes.len());
        count = count.saturating_add(announced(&bytes[from..to]));
    }
    if count > limits.objects * 2 {
        return Err(too_many(limits));
    }
    Ok(())
}

/// The number behind `/N`.
fn announced(around: &[u8]) -> u64 {
    let mut at = 0;
    let mut most = 0;
    while let Some(found) = find(&around[at..], b"/N") {
        at += found + 2;
        let digits: Vec<u8> = around[at..]
            .iter()
            .copied()
            .skip_while(u8::is_ascii_whitespace)
            .take_while(u8::is_ascii_digit)
            .take(12)
            .collect();
        let number = std::str::from_utf8(&digits)
            .ok()
            .and_then(|d| d.parse().ok());
        most = most.max(number.unwrap_or(0));
    }
    most
}

fn too_many(limits: &Limits) -> DocumentError {
    DocumentError::limit(format_args!("{} objects", limits.objects))
}

pub(super) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}
