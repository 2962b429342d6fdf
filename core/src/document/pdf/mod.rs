//! PDF files as text.
//!
//! Objects are read within bounds, encryption and filters are undone with a library's help;
//! what a page shows, what its fonts mean by it and in which order it is read is found here.
//! Nothing is drawn.

mod account;
mod bidi;
mod budget;
mod bullets;
mod cmap;
mod columns;
mod composite;
mod file;
mod font;
mod font_tables;
mod fonts;
mod glyph_names;
mod interpret;
mod layout;
mod lexer;
mod lines;
mod load;
mod marks;
mod matrix;
mod order;
mod pages;
mod picture;
mod program;
mod repair;
mod simple;
mod to_unicode;
mod widths;

use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use lopdf::{Dictionary, Object};

use self::account::Account;
use self::budget::{Budget, Loss};
use self::file::{File, dictionary_of};
use self::fonts::Fonts;
use self::interpret::{Glyph, Interpreter};
use self::matrix::Matrix;
use self::pages::{PageNode, Pages};
use super::{Document, DocumentError, DocumentKind, Limits, Page, Progress, queue};

/// The stack of the thread that reads: files lie deep in themselves.
const STACK: usize = 32 << 20;
/// The longest title, in characters.
const TITLE: usize = 300;
/// Bytes of a page's content, all its parts together.
const CONTENT: usize = 32 << 20;
/// Warnings that are told.
const WARNINGS: usize = 100;

/// Reads a file on a thread of its own.
pub(super) fn read(
    bytes: &[u8],
    limits: &Limits,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Document, DocumentError> {
    let waiting = Progress {
        bytes: bytes.len() as u64,
        pages: 0,
        page_count: 0,
    };
    let _place = queue::enter(|| progress(waiting).is_continue())?;
    let (told, tell) = std::sync::mpsc::channel::<Progress>();
    let cancelled = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stopped = &cancelled;
        let reader = std::thread::Builder::new()
            .name("document".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, move || {
                read_here(bytes, limits, &Account::new(limits), &mut |progress| {
                    // As many as there are pages: it does not wait to be heard.
                    let heard = told.send(progress).is_ok();
                    match heard && !stopped.load(Ordering::Relaxed) {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    }
                })
            })
            .map_err(DocumentError::damaged)?;
        for now in tell {
            if !cancelled.load(Ordering::Relaxed) && progress(now).is_break() {
                cancelled.store(true, Ordering::Relaxed);
            }
        }
        match reader.join() {
            // Also where it had read all by then.
            Ok(_) if cancelled.load(Ordering::Relaxed) => Err(DocumentError::Cancelled),
            Ok(read) => read,
            // A fault of a library's: the file is at fault, not the process.
            Err(_) => Err(DocumentError::damaged("its structure cannot be read")),
        }
    })
}

fn read_here(
    bytes: &[u8],
    limits: &Limits,
    account: &Rc<Account>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Document, DocumentError> {
    let mut budget = Budget::new(limits, account);
    let file = File::open(bytes, limits, account)?;
    let mut found = pages::of_tree(&file, account)?;
    account.time()?;
    if !found.are_whole() {
        match rebuilt(bytes, limits, account, &found) {
            Ok(None) => {}
            Ok(Some(rebuilt)) => {
                // One file at a time.
                drop(found);
                drop(file);
                let pages = match rebuilt.by_tree {
                    true => pages::of_tree(&rebuilt.file, account)?,
                    false => pages::of_file(&rebuilt.file, account)?,
                };
                return read_pages(bytes.len(), &rebuilt.file, &pages, &mut budget, progress);
            }
            Err(problem) if found.nodes.is_empty() => return Err(problem),
            Err(problem) => found.unsearched = Some(problem),
        }
    }
    read_pages(bytes.len(), &file, &found, &mut budget, progress)
}

/// A file that was opened without its tables.
struct Rebuilt<'b> {
    file: File<'b>,
    /// Whether its tree leads to the most pages.
    by_tree: bool,
}

/// Opens a file without its tables, if there are more of its pages so.
fn rebuilt<'b>(
    bytes: &'b [u8],
    limits: &Limits,
    account: &Rc<Account>,
    found: &Pages<'_>,
) -> Result<Option<Rebuilt<'b>>, DocumentError> {
    let file = File::rebuild(bytes, limits, account)?;
    let tree = pages::of_tree(&file, account)?;
    let all = pages::of_file(&file, account)?;
    let by_tree = tree.is_better_than(found);
    let by_all = all.is_better_than(if by_tree { &tree } else { found });
    drop((tree, all));
    Ok((by_tree || by_all).then_some(Rebuilt {
        file,
        by_tree: !by_all,
    }))
}

fn read_pages<'f>(
    bytes: usize,
    file: &'f File<'f>,
    found: &Pages<'f>,
    budget: &mut Budget<'_>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Document, DocumentError> {
    file.objects.check()?;
    budget.time()?;
    let nodes = &found.nodes;
    if nodes.is_empty() {
        return Err(DocumentError::damaged("it has no pages"));
    }
    let limits = budget.limits;
    let page_count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    let wanted = limits.max_pages.unwrap_or(page_count).min(page_count);
    if wanted > limits.pages {
        return Err(DocumentError::limit(format_args!("{} pages", limits.pages)));
    }
    let mut pages = Vec::new();
    let mut warnings = Vec::new();
    if found.lost > 0 {
        warnings.push(format!(
            "{} parts of the tree of pages cannot be found",
            found.lost
        ));
    }
    if let Some(problem) = &found.unsearched {
        warnings.push(format!(
            "the file was not searched for pages that are missing: {problem}"
        ));
    }
    let mut fonts = Fonts::default();
    let mut too_large = false;
    let mut damaged = false;
    for (number, node) in (1..=wanted).zip(nodes) {
        let told = Progress {
            bytes: bytes as u64,
            pages: number - 1,
            page_count: wanted,
        };
        if progress(told).is_break() {
            return Err(DocumentError::Cancelled);
        }
        budget.time()?;
        let text = page(file, node, budget, &mut fonts)?;
        file.objects.check()?;
        for loss in budget.losses() {
            too_large |= loss == Loss::TooLarge;
            damaged |= loss == Loss::Damaged;
            if warnings.len() < WARNINGS {
                warnings.push(format!("page {number}: {loss}"));
            }
        }
        budget.page_done(&text)?;
        pages.push(Page { number, text });
    }
    if pages.iter().all(|page| page.text.is_empty()) {
        if too_large {
            let limit = limits.stream_bytes;
            return Err(DocumentError::limit(format_args!("{limit} bytes a stream")));
        }
        return Err(DocumentError::NoText {
            pages: page_count,
            problem: match (budget.has_shown(), damaged) {
                (true, _) => "its fonts do not tell which letters their signs are",
                (false, true) => "what is on them is damaged",
                (false, false) => "it is probably a scan",
            },
        });
    }
    Ok(Document {
        kind: DocumentKind::Pdf,
        title: title(file),
        page_count,
        pages,
        warnings,
    })
}

fn page<'f>(
    file: &'f File<'f>,
    node: &PageNode<'f>,
    budget: &mut Budget<'_>,
    fonts: &mut Fonts,
) -> Result<String, DocumentError> {
    let mut content = Vec::new();
    let mut held = budget.account.nothing();
    let parts = match file.get(node.dictionary, b"Contents") {
        Object::Array(parts) => parts.iter().map(|part| file.resolve(part)).collect(),
        single => vec![single],
    };
    for part in parts {
        budget.operation()?;
        let Object::Stream(stream) = part else {
            if !matches!(part, Object::Null) {
                budget.lose(Loss::Damaged);
            }
            continue;
        };
        match file.content(stream, budget)? {
            Some(unpacked) if content.len() + unpacked.len() <= CONTENT => {
                // It grows by doubling.
                held.at_least(2 * (content.len() + unpacked.len()))?;
                content.extend_from_slice(&unpacked);
            }
            Some(_) => budget.lose(Loss::TooLarge),
            None => {}
        }
        // What one part begins the next does not go on with.
        content.push(b'\n');
    }
    let upright = upright(node);
    let mut interpreter = Interpreter::new(file, budget, fonts);
    interpreter.run(&content, node.resources, upright)?;
    for annotation in file.array(node.dictionary, b"Annots") {
        annotated(file, annotation, &mut interpreter, upright)?;
    }
    let mut glyphs = interpreter.glyphs();
    drop((content, held));
    keep_visible(&mut glyphs, node);
    layout::text(glyphs, budget)
}

/// Drops what lies beside the page: marks for the printer, and what was moved out of sight.
fn keep_visible(glyphs: &mut Vec<Glyph>, node: &PageNode<'_>) {
    let [left, bottom, right, top] = node.bounds;
    let (width, height) = match node.turned {
        1 | 3 => (top - bottom, right - left),
        _ => (right - left, top - bottom),
    };
    let reaches = |a: f32, b: f32, size: f32| a.max(b) >= 0.0 && a.min(b) <= size;
    let visible = |glyph: &Glyph| {
        let (from, to) = (glyph.from, glyph.to);
        reaches(from.0, to.0, width) && reaches(from.1, to.1, height)
    };
    // A page of which nothing would be left has bounds that are wrong.
    if glyphs.iter().any(visible) {
        glyphs.retain(visible);
    }
}

/// The page as it is looked at, its lower left corner at zero.
fn upright(node: &PageNode<'_>) -> Matrix {
    let [left, bottom, right, top] = node.bounds;
    let (width, height) = (right - left, top - bottom);
    let turn = match node.turned {
        0 => Matrix::IDENTITY,
        1 => Matrix([0.0, -1.0, 1.0, 0.0, 0.0, width]),
        2 => Matrix([-1.0, 0.0, 0.0, -1.0, width, height]),
        _ => Matrix([0.0, 1.0, -1.0, 0.0, height, 0.0]),
    };
    Matrix::shift(-left, -bottom).then(turn)
}

/// What an annotation or a field of a form shows.
fn annotated<'f>(
    file: &'f File<'f>,
    annotation: &'f Object,
    interpreter: &mut Interpreter<'f, '_, '_>,
    upright: Matrix,
) -> Result<(), DocumentError> {
    const HIDDEN: i64 = 2 | 32;
    interpreter.operation()?;
    let Some(dictionary) = dictionary_of(file.resolve(annotation)) else {
        return Ok(());
    };
    let flags = file.get(dictionary, b"F").as_i64().unwrap_or(0);
    let kind = file.name(dictionary, b"Subtype");
    let hidden = flags & HIDDEN != 0 || interpreter.is_hidden(dictionary)?;
    if hidden || kind == Some(b"Popup") {
        return Ok(());
    }
    let Some(looks) = file.dictionary(dictionary, b"AP") else {
        if kind == Some(b"Widget") {
            filled_in(file, dictionary, interpreter, upright)?;
        }
        return Ok(());
    };
    let Ok(mut look) = looks.get(b"N") else {
        return Ok(());
    };
    if let Object::Dictionary(states) = file.resolve(look) {
        let state = file.name(dictionary, b"AS").unwrap_or(b"Off");
        match states.get(state) {
            Ok(found) => look = found,
            Err(_) => return Ok(()),
        }
    }
    let numbers = file.numbers(dictionary, b"Rect");
    let Some([a, b, c, d]) = numbers.first_chunk::<4>() else {
        return Ok(());
    };
    let rectangle = [a.min(*c), b.min(*d), a.max(*c), b.max(*d)];
    let form = dictionary_of(file.resolve(look));
    let place = form.map_or(Matrix::IDENTITY, |form| placed(file, form, rectangle));
    interpreter.look(look, None, place.then(upright))
}

/// What brings a form into a rectangle: its box there, as its own matrix has turned it.
fn placed(file: &File, form: &Dictionary, [left, bottom, right, top]: [f32; 4]) -> Matrix {
    let own = Matrix::of(&file.numbers(form, b"Matrix")).unwrap_or(Matrix::IDENTITY);
    let numbers = file.numbers(form, b"BBox");
    let Some([a, b, c, d]) = numbers.first_chunk::<4>().copied() else {
        return Matrix::shift(left, bottom);
    };
    let corners = [(a, b), (a, d), (c, b), (c, d)].map(|(x, y)| own.apply(x, y));
    let low = corners.iter().fold((f32::MAX, f32::MAX), |low, corner| {
        (low.0.min(corner.0), low.1.min(corner.1))
    });
    let high = corners.iter().fold((f32::MIN, f32::MIN), |high, corner| {
        (high.0.max(corner.0), high.1.max(corner.1))
    });
    let scale = |wanted: f32, given: f32| match wanted > 0.0 && given > 0.0 {
        true => wanted / given,
        false => 1.0,
    };
    let (x, y) = (
        scale(right - left, high.0 - low.0),
        scale(top - bottom, high.1 - low.1),
    );
    Matrix([x, 0.0, 0.0, y, left - low.0 * x, bottom - low.1 * y])
}

/// What was filled in a field that has no look of its own.
fn filled_in(
    file: &File,
    field: &Dictionary,
    interpreter: &mut Interpreter<'_, '_, '_>,
    upright: Matrix,
) -> Result<(), DocumentError> {
    const PASSWORD: i64 = 1 << 13;
    /// The largest type that it would be shown in.
    const SIZE: f32 = 12.0;
    let kind = inherited(file, field, b"FT").as_name();
    let flags = inherited(file, field, b"Ff").as_i64().unwrap_or(0);
    let Object::String(value, _) = inherited(file, field, b"V") else {
        return Ok(());
    };
    if flags & PASSWORD != 0 {
        return Ok(());
    }
    let numbers = file.numbers(field, b"Rect");
    if let (Ok(b"Tx" | b"Ch"), Some([a, b, c, d])) = (kind, numbers.first_chunk::<4>()) {
        let size = (0.8 * (d - b).abs()).clamp(1.0, SIZE);
        let base = b.max(*d) - size;
        let (from, to) = (
            upright.apply(a.min(*c), base),
            upright.apply(a.max(*c), base),
        );
        interpreter.write(&marks::replacing(value), from, to, size)?;
    }
    Ok(())
}

/// What a field says, or one that it is a part of.
fn inherited<'f>(file: &'f File, field: &'f Dictionary, key: &[u8]) -> &'f Object {
    const DEPTH: usize = 16;
    let mut field = Some(field);
    for _ in 0..DEPTH {
        let Some(known) = field else { break };
        match file.get(known, key) {
            Object::Null => field = file.dictionary(known, b"Parent"),
            found => return found,
        }
    }
    &Object::Null
}

fn title(file: &File) -> Option<String> {
    let information = file.root(b"Info")?;
    let Object::String(title, _) = file.get(information, b"Title") else {
        return None;
    };
    let title: String = marks::words(title).trim().chars().take(TITLE).collect();
    (!title.is_empty()).then_some(title)
}
