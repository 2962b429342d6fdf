//! The fonts of a file that were met lately, and the tables that all of them may name.

use std::collections::HashMap;
use std::rc::Rc;

use hayro_cmap::{CMap, CMapName, load_embedded};
use lopdf::Dictionary;

use super::budget::Budget;
use super::file::File;
use super::font::Font;
use crate::document::DocumentError;

/// Bytes of fonts that are kept. With more, all of them are read anew.
const KEPT: usize = 64 << 20;

/// Fonts by where their dictionaries are in memory: those that have no number have that too.
#[derive(Default)]
pub(super) struct Fonts {
    known: HashMap<usize, Rc<Font>>,
    kept: usize,
    predefined: Predefined,
}

impl Fonts {
    pub(super) fn open<'f>(
        &mut self,
        file: &'f File<'f>,
        dictionary: &'f Dictionary,
        budget: &mut Budget<'_>,
    ) -> Result<Rc<Font>, DocumentError> {
        let place = std::ptr::from_ref(dictionary) as usize;
        if let Some(font) = self.known.get(&place) {
            return Ok(Rc::clone(font));
        }
        let font = Font::read(file, dictionary, &mut self.predefined, budget)?;
        let font = Rc::new(font);
        self.kept += budget.kept();
        if self.kept > KEPT {
            self.known.clear();
            self.kept = 0;
        }
        self.known.insert(place, Rc::clone(&font));
        Ok(font)
    }
}

/// Tables that a font names: each is read once for all of them.
#[derive(Default)]
pub(super) struct Predefined(HashMap<Vec<u8>, Option<Rc<CMap>>>);

impl Predefined {
    pub(super) fn get(&mut self, name: CMapName<'_>) -> Option<Rc<CMap>> {
        let data = load_embedded(name)?;
        let known = self.0.entry(name.to_bytes().to_vec());
        let read = || CMap::parse(data, load_embedded).map(Rc::new);
        known.or_insert_with(read).clone()
    }
}
