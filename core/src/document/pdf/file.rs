//! A PDF file's objects as they are looked up, and what its streams have in them.

use std::rc::Rc;

use lopdf::{Dictionary, Object, Stream};

use super::account::Account;
use super::budget::{Budget, Loss};
use super::load::{Content, Objects, Unpacked, filters, undo};
use crate::document::{DocumentError, Limits};

/// An opened file.
pub(super) struct File<'b> {
    pub(super) objects: Objects<'b>,
}

impl<'b> File<'b> {
    pub(super) fn open(
        bytes: &'b [u8],
        limits: &Limits,
        account: &Rc<Account>,
    ) -> Result<Self, DocumentError> {
        let objects = Objects::open(from_mark(bytes), limits, account)?;
        Ok(Self { objects })
    }

    /// Opens it without its tables, by what is found in it.
    pub(super) fn rebuild(
        bytes: &'b [u8],
        limits: &Limits,
        account: &Rc<Account>,
    ) -> Result<Self, DocumentError> {
        let objects = Objects::rebuild(from_mark(bytes), limits, account)?;
        Ok(Self { objects })
    }

    /// A dictionary that the trailer leads to.
    pub(super) fn root(&self, key: &[u8]) -> Option<&Dictionary> {
        let found = self.objects.trailer.get(key).ok()?;
        dictionary_of(self.resolve(found))
    }

    /// What a reference leads to; anything else is itself.
    pub(super) fn resolve<'a>(&'a self, object: &'a Object) -> &'a Object {
        self.objects.resolve(object)
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

    /// What an array holds, each followed to what it refers to.
    pub(super) fn items<'a>(
        &'a self,
        dictionary: &'a Dictionary,
        key: &[u8],
    ) -> impl Iterator<Item = &'a Object> + use<'a> {
        let items = self.array(dictionary, key).iter();
        items.map(|item| self.resolve(item))
    }

    pub(super) fn name<'a>(&'a self, dictionary: &'a Dictionary, key: &[u8]) -> Option<&'a [u8]> {
        self.get(dictionary, key).as_name().ok()
    }

    pub(super) fn number(&self, dictionary: &Dictionary, key: &[u8]) -> Option<f32> {
        number(self.get(dictionary, key))
    }

    /// The first numbers of an array: those of a matrix are six.
    pub(super) fn numbers(&self, dictionary: &Dictionary, key: &[u8]) -> Vec<f32> {
        let items = self.array(dictionary, key).iter().take(8);
        items
            .filter_map(|item| number(self.resolve(item)))
            .collect()
    }

    /// A stream's content, unpacked. One over the limit, or packed in an unknown way, is
    /// none; the budget is told what is lost.
    pub(super) fn content(
        &self,
        stream: &Stream,
        budget: &mut Budget<'_>,
    ) -> Result<Option<Unpacked>, DocumentError> {
        self.objects.check()?;
        let raw = self.objects.raw(stream);
        let filters = filters(&stream.dict, |object| self.resolve(object));
        let (content, cost) = match filters {
            Some(filters) => undo(&filters, raw, budget.limits.stream_bytes, &budget.account)?,
            None => (Content::Unknown, raw.len()),
        };
        budget.content(cost)?;
        Ok(match content {
            Content::Whole(content) => Some(content),
            Content::Part(content) => {
                budget.lose(Loss::Damaged);
                Some(content)
            }
            Content::Over => {
                budget.lose(Loss::TooLarge);
                None
            }
            Content::Unknown => {
                budget.lose(Loss::Damaged);
                None
            }
        })
    }
}

/// The file from its mark on: places in it count from there.
fn from_mark(bytes: &[u8]) -> &[u8] {
    &bytes[find(bytes, b"%PDF-").unwrap_or(0)..]
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

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}
