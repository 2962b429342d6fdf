//! What a document is, by its content first and its name second.

use serde::Serialize;

use super::DocumentError;

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentKind {
    /// A PDF file.
    Pdf,
    /// Markdown: read as it is, its title from the first heading.
    Markdown,
    /// Plain text in UTF-8 or, with its mark, UTF-16.
    Text,
}

/// How far into a file a PDF's mark may stand.
const MARK_WITHIN: usize = 1_024;

/// Beginnings of what is often given by mistake.
const OTHERS: [(&[u8], &str); 9] = [
    (b"PK\x03\x04", "a ZIP archive or an Office file"),
    (b"\xD0\xCF\x11\xE0", "an old Office file"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xFF\xD8\xFF", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"\x1F\x8B", "a gzip archive"),
    (b"{\\rtf", "an RTF file"),
];

const WEB_PAGE: &str = "a web page";

/// Endings of names that promise something else than text, and what. Any other ending is a
/// text's that has one of its own: `.log`, `.csv`.
const FOREIGN: [(&[&str], &str); 9] = [
    (&["doc", "docx", "odt"], "a word processor's document"),
    (&["rtf"], "an RTF file"),
    (&["htm", "html", "xhtml", "mhtml"], WEB_PAGE),
    (&["xls", "xlsx", "ods"], "a spreadsheet"),
    (&["ppt", "pptx", "odp"], "a presentation"),
    (&["epub", "mobi", "azw3"], "an electronic book"),
    (
        &[
            "png", "jpg", "jpeg", "gif", "tif", "tiff", "bmp", "webp", "heic",
        ],
        "a picture",
    ),
    (
        &["zip", "gz", "tgz", "tar", "7z", "rar", "bz2", "xz", "zst"],
        "an archive",
    ),
    (
        &[
            "mp3", "wav", "ogg", "flac", "m4a", "mp4", "mov", "avi", "mkv", "webm",
        ],
        "a recording",
    ),
];

pub(super) fn of(bytes: &[u8], name: Option<&str>) -> Result<DocumentKind, DocumentError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(DocumentError::Empty);
    }
    let ending = name
        .and_then(|name| name.rsplit_once('.'))
        .map(|(_, ending)| ending.to_ascii_lowercase());
    let expected = match ending.as_deref() {
        Some("pdf") => Some(DocumentKind::Pdf),
        Some("md" | "markdown") => Some(DocumentKind::Markdown),
        Some("txt" | "text") => Some(DocumentKind::Text),
        _ => None,
    };
    let foreign = ending.as_deref().and_then(promised);
    let words = match expected {
        Some(DocumentKind::Pdf) => "a PDF",
        Some(DocumentKind::Markdown) => "Markdown",
        Some(DocumentKind::Text) => "plain text",
        None => "a document",
    };
    let refused = |looks| mismatch(looks, words);
    let beginning = &bytes[..bytes.len().min(MARK_WITHIN)];
    let mark = beginning.windows(5).position(|window| window == b"%PDF-");
    let is_pdf = mark.is_some();
    // A text may speak of the mark; in front of it a file has nothing, a header, or bytes.
    let speaks = mark.is_some_and(|mark| match std::str::from_utf8(&beginning[..mark]) {
        Ok(before) => !before.is_empty() && !before.ends_with(['\n', '\r', '\u{feff}', '\0']),
        Err(_) => false,
    });
    match (is_pdf, expected) {
        (true, Some(DocumentKind::Pdf)) => return Ok(DocumentKind::Pdf),
        (true, None) if !speaks => {
            return match foreign {
                Some(promised) => mismatch("a PDF", promised),
                None => Ok(DocumentKind::Pdf),
            };
        }
        (true, Some(_)) if bytes.starts_with(b"%PDF-") => return refused("a PDF"),
        _ => {}
    }
    if let Some((_, looks)) = OTHERS.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        return refused(looks);
    }
    if beginning.contains(&0) && !super::text::is_utf16(bytes) {
        return refused("binary data");
    }
    let html = beginning.trim_ascii_start();
    let html = html.starts_with(b"<!") || html.starts_with(b"<html");
    let looks = if html { WEB_PAGE } else { "plain text" };
    match (expected, foreign) {
        (Some(DocumentKind::Pdf), _) => refused(looks),
        (Some(kind), _) => Ok(kind),
        // What it promises, it is.
        (None, Some(WEB_PAGE)) if html => refused(looks),
        (None, Some(promised)) => mismatch(looks, promised),
        (None, None) => Ok(DocumentKind::Text),
    }
}

/// What a name with that ending promises, if it is no document's.
fn promised(ending: &str) -> Option<&'static str> {
    let found = FOREIGN
        .iter()
        .find(|(endings, _)| endings.contains(&ending));
    found.map(|(_, promised)| *promised)
}

fn mismatch(looks: &'static str, expected: &'static str) -> Result<DocumentKind, DocumentError> {
    Err(DocumentError::NotSupported { looks, expected })
}
