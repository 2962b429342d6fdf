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
    let words = match expected {
        Some(DocumentKind::Pdf) => "a PDF",
        Some(DocumentKind::Markdown) => "Markdown",
        Some(DocumentKind::Text) => "plain text",
        None => "a document",
    };
    let refused = |looks| {
        Err(DocumentError::NotSupported {
            looks,
            expected: words,
        })
    };
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
        (true, None) if !speaks => return Ok(DocumentKind::Pdf),
        (true, Some(_)) if bytes.starts_with(b"%PDF-") => return refused("a PDF"),
        _ => {}
    }
    if let Some((_, looks)) = OTHERS.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        return refused(looks);
    }
    if beginning.contains(&0) && !super::text::is_utf16(bytes) {
        return refused("binary data");
    }
    match expected {
        Some(DocumentKind::Pdf) => {
            let html = beginning.trim_ascii_start();
            let html = html.starts_with(b"<!") || html.starts_with(b"<html");
            refused(if html { "a web page" } else { "plain text" })
        }
        Some(kind) => Ok(kind),
        None => Ok(DocumentKind::Text),
    }
}
