//! Plain text and Markdown.

use super::{Document, DocumentError, DocumentKind, Limits, Page};

/// The longest title that is taken from a heading, in characters.
const TITLE: usize = 200;

pub(super) fn read(
    bytes: &[u8],
    kind: DocumentKind,
    limits: &Limits,
) -> Result<Document, DocumentError> {
    let text = decode(bytes)?;
    if text.len() > limits.output_bytes {
        return Err(DocumentError::limit(format_args!(
            "{} bytes of text",
            limits.output_bytes
        )));
    }
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let title = match kind {
        DocumentKind::Markdown => text
            .lines()
            .find_map(|line| line.strip_prefix("# "))
            .map(|heading| heading.trim().chars().take(TITLE).collect()),
        _ => None,
    };
    let text = text.trim_matches(['\n', '\u{feff}', ' ']).to_owned();
    if text.chars().all(char::is_whitespace) {
        return Err(DocumentError::Empty);
    }
    Ok(Document {
        kind,
        title,
        page_count: 1,
        pages: vec![Page { number: 1, text }],
        warnings: Vec::new(),
    })
}

/// Whether it begins with the mark of UTF-16.
pub(super) fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xFE, 0xFF]) || bytes.starts_with(&[0xFF, 0xFE])
}

fn decode(bytes: &[u8]) -> Result<String, DocumentError> {
    if is_utf16(bytes) {
        let big = bytes[0] == 0xFE;
        let units = bytes[2..].chunks_exact(2).map(|pair| {
            let pair = [pair[0], pair[1]];
            if big {
                u16::from_be_bytes(pair)
            } else {
                u16::from_le_bytes(pair)
            }
        });
        let decoded: Result<String, _> = char::decode_utf16(units).collect();
        return decoded.map_err(|_| DocumentError::damaged("it is no whole UTF-16"));
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(problem) => Err(DocumentError::Damaged {
            problem: format!(
                "it is no UTF-8 from byte {}: save it in UTF-8",
                problem.valid_up_to()
            ),
        }),
    }
}
