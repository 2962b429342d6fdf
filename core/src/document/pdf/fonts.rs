//! What the pages of a file share: the fonts that were met lately, the tables that all of them
//! may name, and the layers that are shown.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use hayro_cmap::{CMap, CMapName, load_embedded};
use lopdf::Dictionary;

use super::account::Held;
use super::budget::Budget;
use super::cmap;
use super::file::File;
use super::font::Font;
use super::marks::Layers;
use crate::document::DocumentError;

/// Bytes of fonts that are kept. With more, all of them are read anew. Those that are in use
/// are kept beside these.
const KEPT: u64 = 64 << 20;

/// Fonts by where their dictionaries are in memory: those that have no number have that too.
#[derive(Default)]
pub(super) struct Fonts {
    known: HashMap<usize, Rc<Font>>,
    predefined: Predefined,
    layers: Option<Rc<Layers>>,
}

impl Fonts {
    /// The layers of the file, read once.
    pub(super) fn layers(&mut self, file: &File<'_>) -> Rc<Layers> {
        let read = || Rc::new(Layers::of(file));
        Rc::clone(self.layers.get_or_insert_with(read))
    }

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
        let kept: u64 = self.known.values().map(|font| font.memory()).sum();
        if kept + font.memory() > KEPT {
            self.known.clear();
        }
        self.known.insert(place, Rc::clone(&font));
        Ok(font)
    }
}

/// Tables that a font names: each is read once for all of them.
#[derive(Default)]
pub(super) struct Predefined(HashMap<Vec<u8>, (Option<Rc<CMap>>, Held)>);

impl Predefined {
    pub(super) fn get(
        &mut self,
        name: CMapName<'_>,
        budget: &Budget<'_>,
    ) -> Result<Option<Rc<CMap>>, DocumentError> {
        let Some(data) = load_embedded(name) else {
            return Ok(None);
        };
        Ok(match self.0.entry(name.to_bytes().to_vec()) {
            Entry::Occupied(known) => known.get().0.clone(),
            Entry::Vacant(unknown) => {
                let held = budget.account.hold(data.len() * cmap::GROWS)?;
                let read = CMap::parse(data, load_embedded).map(Rc::new);
                unknown.insert((read, held)).0.clone()
            }
        })
    }
}
