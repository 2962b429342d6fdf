//! The pages of a file, in order, with what they inherit.

use std::collections::HashSet;
use std::rc::Rc;

use lopdf::{Dictionary, Object, ObjectId};

use super::account::{Account, Held};
use super::file::{File, dictionary_of, number};
use crate::document::DocumentError;

/// How deep the tree of pages may be.
const DEPTH: usize = 64;
/// Nodes of the tree that are looked at.
const NODES: usize = 1_000_000;

/// What a node takes in memory, while it waits and as a page: lists grow by doubling.
const NODE: usize = 3 * size_of::<PageNode<'_>>();
/// What it takes to know that one was seen.
const SEEN: usize = 2 * size_of::<ObjectId>() + 8;
/// How many nodes cost as much as one look at the clock.
const LOOK: usize = 4_096;

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

/// The pages of a file, and whether some are missing.
pub(super) struct Pages<'f> {
    pub(super) nodes: Vec<PageNode<'f>>,
    /// Parts of the tree that are not there.
    pub(super) lost: usize,
    /// Why the file was not gone through for them.
    pub(super) unsearched: Option<DocumentError>,
    /// How many there are by what the tree says.
    announced: usize,
    held: Held,
}

impl Pages<'_> {
    fn new(account: &Rc<Account>) -> Self {
        Self {
            nodes: Vec::new(),
            lost: 0,
            unsearched: None,
            announced: 0,
            held: account.nothing(),
        }
    }

    /// Whether these are more of the same; what was deleted may still be in the file.
    pub(super) fn is_better_than(&self, other: &Pages<'_>) -> bool {
        let missing = other
            .lost
            .max(other.announced.saturating_sub(other.nodes.len()));
        let most = match other.nodes.is_empty() {
            true => usize::MAX,
            false => other.nodes.len() + missing,
        };
        self.nodes.len() > other.nodes.len() && self.nodes.len() <= most
    }

    /// Whether it is not worth to look for more.
    pub(super) fn are_whole(&self) -> bool {
        !self.nodes.is_empty() && self.lost == 0 && self.announced <= self.nodes.len()
    }
}

/// The pages that the tree of a file leads to.
pub(super) fn of_tree<'f>(
    file: &'f File<'f>,
    account: &Rc<Account>,
) -> Result<Pages<'f>, DocumentError> {
    let mut pages = Pages::new(account);
    if let Some(root) = file.root(b"Root")
        && let Ok(tree) = root.get(b"Pages")
    {
        let count = dictionary_of(file.resolve(tree)).map(|tree| file.get(tree, b"Count"));
        let count = count.and_then(|count| usize::try_from(count.as_i64().ok()?).ok());
        pages.announced = count.unwrap_or(0);
        walk(file, tree, &mut pages, account)?;
    }
    Ok(pages)
}

/// The pages that are in a file, by their numbers, whether its tree leads to them or not.
pub(super) fn of_file<'f>(
    file: &'f File<'f>,
    account: &Rc<Account>,
) -> Result<Pages<'f>, DocumentError> {
    let mut pages = Pages::new(account);
    let all = file.objects.of_kind(b"Page");
    pages.held.grow(NODE * all.len())?;
    for (at, number) in all.into_iter().enumerate() {
        if at % (LOOK / DEPTH) == 0 {
            account.time()?;
        }
        let page = dictionary_of(file.objects.get(number));
        pages.nodes.extend(page.map(|page| {
            // What stands above it may still be there.
            let mut line = vec![page];
            while let Some(above) = file.dictionary(line[line.len() - 1], b"Parent")
                && line.len() < DEPTH
            {
                line.push(above);
            }
            let above = line.into_iter().rev();
            let inherited = above.fold(Inherited::default(), |inherited, node| {
                inherited.under(file, node)
            });
            inherited.page(page)
        }));
    }
    Ok(pages)
}

fn walk<'f>(
    file: &'f File<'f>,
    root: &'f Object,
    pages: &mut Pages<'f>,
    account: &Rc<Account>,
) -> Result<(), DocumentError> {
    let mut seen: HashSet<ObjectId> = HashSet::new();
    let mut held = account.nothing();
    let mut stack = vec![(root, Inherited::default(), 0)];
    let mut nodes = 0;
    while let Some((object, inherited, depth)) = stack.pop() {
        nodes += 1;
        if nodes > NODES {
            return Ok(());
        }
        if nodes % LOOK == 0 {
            account.time()?;
        }
        if let Object::Reference(id) = object {
            held.grow(SEEN)?;
            if !seen.insert(*id) {
                continue;
            }
        }
        let Some(dictionary) = dictionary_of(file.resolve(object)) else {
            pages.lost += 1;
            continue;
        };
        let inherited = inherited.under(file, dictionary);
        let kids = file.array(dictionary, b"Kids");
        let is_page = kids.is_empty() || file.name(dictionary, b"Type") == Some(b"Page");
        if is_page {
            if file.name(dictionary, b"Type") != Some(b"Pages") {
                pages.nodes.push(inherited.page(dictionary));
            }
        } else if depth < DEPTH && stack.len() + kids.len() <= NODES {
            pages.held.grow(NODE * kids.len())?;
            stack.extend(kids.iter().rev().map(|kid| (kid, inherited, depth + 1)));
        }
    }
    Ok(())
}

impl<'f> Inherited<'f> {
    fn under(self, file: &'f File<'f>, dictionary: &'f Dictionary) -> Self {
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
