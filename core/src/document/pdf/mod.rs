//! PDF files as text.
//!
//! The library below parses objects and undoes encryption; what a page shows, what its
//! fonts mean by it and in which order it is read is found here. Nothing is drawn.

mod bidi;
mod budget;
mod composite;
mod file;
mod font;
mod glyph_names;
mod interpret;
mod layout;
mod lexer;
mod lines;
mod marks;
mod matrix;
mod order;
mod pages;
mod program;
mod repair;
mod simple;
mod to_unicode;
mod widths;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use lopdf::Object;

use self::budget::Budget;
use self::file::{File, dictionary_of};
use self::interpret::Interpreter;
use self::matrix::Matrix;
use self::pages::PageNode;
use super::{Document, DocumentError, DocumentKind, Limits, Page, Progress};

/// The stack of the thread that reads: files lie deep in themselves.
const STACK: usize = 32 << 20;
/// The longest title, in characters.
const TITLE: usize = 300;

/// Reads a file on a thread of its own.
pub(super) fn read(
    bytes: &[u8],
    limits: &Limits,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Document, DocumentError> {
    let (told, tell) = std::sync::mpsc::channel::<Progress>();
    let cancelled = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stopped = &cancelled;
        let reader = std::thread::Builder::new()
            .name("document".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, move || {
                read_here(bytes, limits, &mut |progress| {
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
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Document, DocumentError> {
    let mut budget = Budget::new(limits);
    let file = File::open(bytes, limits)?;
    budget.time()?;
    let nodes = pages::all(&file);
    if nodes.is_empty() {
        return Err(DocumentError::damaged("it has no pages"));
    }
    let page_count = u32::try_from(nodes.len()).unwrap_or(u32::MAX);
    let wanted = limits.max_pages.unwrap_or(page_count).min(page_count);
    if wanted > limits.pages {
        return Err(DocumentError::limit(format_args!("{} pages", limits.pages)));
    }
    let mut pages = Vec::new();
    let mut warnings = Vec::new();
    let mut fonts = HashMap::new();
    for (number, node) in (1..=wanted).zip(&nodes) {
        let told = Progress {
            bytes: bytes.len() as u64,
            pages: number - 1,
            page_count: wanted,
        };
        if progress(told).is_break() {
            return Err(DocumentError::Cancelled);
        }
        budget.time()?;
        let text = page(&file, node, &mut budget, &mut fonts, number, &mut warnings)?;
        budget.output(text.len())?;
        pages.push(Page { number, text });
    }
    Ok(Document {
        kind: DocumentKind::Pdf,
        title: title(&file),
        page_count,
        pages,
        warnings,
    })
}

type Fonts = HashMap<lopdf::ObjectId, std::rc::Rc<font::Font>>;

fn page(
    file: &File,
    node: &PageNode<'_>,
    budget: &mut Budget<'_>,
    fonts: &mut Fonts,
    number: u32,
    warnings: &mut Vec<String>,
) -> Result<String, DocumentError> {
    let mut content = Vec::new();
    let parts = match file.get(node.dictionary, b"Contents") {
        Object::Array(parts) => parts.iter().map(|part| file.resolve(part)).collect(),
        single => vec![single],
    };
    for part in parts {
        let Object::Stream(stream) = part else {
            continue;
        };
        match file.content(stream, budget)? {
            Some(unpacked) => content.extend_from_slice(&unpacked),
            None if warnings.len() < 100 => {
                warnings.push(format!("page {number}: a part of it cannot be unpacked"));
            }
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
    let glyphs = interpreter.glyphs();
    Ok(layout::text(glyphs))
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
    file: &'f File,
    annotation: &'f Object,
    interpreter: &mut Interpreter<'f, '_, '_>,
    upright: Matrix,
) -> Result<(), DocumentError> {
    const HIDDEN: i64 = 2 | 32;
    let Some(dictionary) = dictionary_of(file.resolve(annotation)) else {
        return Ok(());
    };
    let flags = file.get(dictionary, b"F").as_i64().unwrap_or(0);
    let kind = file.name(dictionary, b"Subtype");
    if flags & HIDDEN != 0 || kind == Some(b"Popup") {
        return Ok(());
    }
    let Some(looks) = file.dictionary(dictionary, b"AP") else {
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
    let own = dictionary_of(file.resolve(look)).map(|form| file.numbers(form, b"BBox"));
    let own = own.unwrap_or_default();
    let corner = own.first_chunk::<2>().copied().unwrap_or([0.0, 0.0]);
    let place = Matrix::shift(a.min(*c) - corner[0], b.min(*d) - corner[1]);
    interpreter.look(look, None, place.then(upright))
}

fn title(file: &File) -> Option<String> {
    let information = file.objects.trailer.get(b"Info").ok()?;
    let information = dictionary_of(file.resolve(information))?;
    let Object::String(title, _) = file.get(information, b"Title") else {
        return None;
    };
    let title: String = marks::words(title).trim().chars().take(TITLE).collect();
    (!title.is_empty()).then_some(title)
}
