//! Tables of codes that a file has for a font.

use std::cell::Cell;

use hayro_cmap::{CMap, CMapName, load_embedded};

use super::budget::{Budget, Loss};
use crate::document::DocumentError;

/// Bytes of a table; one for every character there is has less.
const MOST: usize = 4 << 20;
/// How much more memory a table takes than its text, and than the packed ones that come along.
pub(super) const GROWS: usize = 16;

/// Tables that one may go on from, each from the next.
const LOADS: u32 = 16;

/// Reads a table.
pub(super) fn read(content: &[u8], budget: &mut Budget<'_>) -> Result<Option<CMap>, DocumentError> {
    if content.len() > MOST {
        budget.lose(Loss::TooLarge);
        return Ok(None);
    }
    // It may begin with one that is known by its name.
    let (known, loads) = (Cell::new(0), Cell::new(0));
    let load = |name: CMapName<'_>| {
        loads.set(loads.get() + 1);
        let data = load_embedded(name).filter(|_| loads.get() <= LOADS)?;
        known.set(known.get() + data.len());
        Some(data)
    };
    budget.keep(content.len() * GROWS)?;
    let table = CMap::parse(content, load);
    budget.content(known.get() * GROWS)?;
    budget.keep(known.get() * GROWS)?;
    Ok(table)
}
