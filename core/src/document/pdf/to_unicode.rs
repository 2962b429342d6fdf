//! A font's own table from codes to text.

use hayro_cmap::{BfString, CMap};
use lopdf::{Dictionary, Object};

use super::budget::Budget;
use super::cmap;
use super::file::File;
use crate::document::DocumentError;

/// A table, or the word that codes are text already.
pub(super) enum ToUnicode {
    None,
    /// Codes are UTF-16.
    Identity,
    Table(Box<CMap>),
}

impl ToUnicode {
    pub(super) fn read(
        file: &File,
        font: &Dictionary,
        budget: &mut Budget<'_>,
    ) -> Result<Self, DocumentError> {
        Ok(match file.get(font, b"ToUnicode") {
            Object::Stream(stream) => {
                let table = match file.content(stream, budget)? {
                    Some(content) => cmap::read(&content, budget)?,
                    None => None,
                };
                table.map_or(Self::None, |table| Self::Table(Box::new(table)))
            }
            Object::Name(name) if name.starts_with(b"Identity") => Self::Identity,
            _ => Self::None,
        })
    }

    pub(super) fn text(&self, code: u32) -> Option<String> {
        match self {
            Self::None => None,
            Self::Identity => char::from_u32(code).map(String::from),
            Self::Table(table) => match table.lookup_bf_string(code)? {
                BfString::Char(c) => Some(c.to_string()),
                BfString::String(text) => Some(text),
            },
        }
        .filter(|text| text.chars().any(|c| c != '\0' && c != '\u{fffd}'))
    }
}
