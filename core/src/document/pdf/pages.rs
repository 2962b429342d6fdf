//! The pages of a file, in order, with what they inherit.

use std::collections::HashSet;

use lopdf::{Dictionary, Object, ObjectId};

use super::file::{File, dictionary_of, number};

/// How deep the tree of pages may be.
const DEPTH: usize = 64;
/// Nodes of the tree that are looked at.
const NODES: usize = 1_000_000;

/// A page.
#[derive(Clone)]
pub(super) struct PageNode<'f> {
    pub(super) dictionary: &'f Dictionary,
    pub(super) resources: Option<&'f Dictionary>,
    /// Left, bottom, right, top.
    pub(super) bounds: [f32; 4],
    /// By how many quarters it is turned clockwise.
    pub(super) turned: u8,
}

/// What pages have from the nodes above them.
#[derive(Clone, Copy, Default)]
struct Inherited<'f> {
    resources: Option<&'f Dictionary>,
    bounds: Option<[f32; 4]>,
    turned: Option<u8>,
}

pub(super) fn all(file: &File) -> Vec<PageNode<'_>> {
    let mut found = Vec::new();
    let root = file
        .objects
        .trailer
        .get(b"Root")
        .map(|root| file.resolve(root))
        .ok()
        .and_then(dictionary_of);
    if let Some(Ok(pages)) = root.map(|root| root.get(b"Pages")) {
        walk(file, pages, &mut found);
    }
    if found.is_empty() {
        // The tree is gone: the pages that are there, by their number.
        let is_page = |object: &Object| {
            dictionary_of(object).is_some_and(|d| file.name(d, b"Type") == Some(b"Page"))
        };
        for object in file.objects.objects.values().filter(|o| is_page(o)) {
            if let Some(dictionary) = dictionary_of(object) {
                let inherited = Inherited::default().under(file, dictionary);
                found.push(inherited.page(dictionary));
            }
        }
    }
    found
}

fn walk<'f>(file: &'f File, root: &'f Object, found: &mut Vec<PageNode<'f>>) {
    let mut seen: HashSet<ObjectId> = HashSet::new();
    let mut stack = vec![(root, Inherited::default(), 0)];
    let mut nodes = 0;
    while let Some((object, inherited, depth)) = stack.pop() {
        nodes += 1;
        if nodes > NODES {
            return;
        }
        if let Object::Reference(id) = object
            && !seen.insert(*id)
        {
            continue;
        }
        let Some(dictionary) = dictionary_of(file.resolve(object)) else {
            continue;
        };
        let inherited = inherited.under(file, dictionary);
        let kids = file.array(dictionary, b"Kids");
        let is_page = kids.is_empty() || file.name(dictionary, b"Type") == Some(b"Page");
        if is_page {
            if file.name(dictionary, b"Type") != Some(b"Pages") {
                found.push(inherited.page(dictionary));
            }
        } else if depth < DEPTH {
            stack.extend(kids.iter().rev().map(|kid| (kid, inherited, depth + 1)));
        }
    }
}

impl<'f> Inherited<'f> {
    fn under(self, file: &'f File, dictionary: &'f Dictionary) -> Self {
        let rectangle = |key: &[u8]| {
            let numbers = file.numbers(dictionary, key);
            let [a, b, c, d] = *numbers.first_chunk::<4>()?;
            Some([a.min(c), b.min(d), a.max(c), b.max(d)])
        };
        let turned = dictionary
            .get(b"Rotate")
            .ok()
            .and_then(|object| number(file.resolve(object)))
            .map(quarters);
        Self {
            resources: file.dictionary(dictionary, b"Resources").or(self.resources),
            bounds: rectangle(b"CropBox")
                .or_else(|| rectangle(b"MediaBox"))
                .or(self.bounds),
            turned: turned.or(self.turned),
        }
    }

    fn page(self, dictionary: &'f Dictionary) -> PageNode<'f> {
        PageNode {
            dictionary,
            resources: self.resources,
            bounds: self.bounds.unwrap_or([0.0, 0.0, 612.0, 792.0]),
            turned: self.turned.unwrap_or(0),
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn quarters(degrees: f32) -> u8 {
    ((degrees / 90.0).round() as i64).rem_euclid(4) as u8
}
