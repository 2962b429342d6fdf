//! Reading as other languages ask for it: names and forms are here once for all of them.

use serde::Deserialize;
use serde_json::json;

use super::{DocumentError, Limits, read};

/// What may be asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    name: Option<String>,
    max_pages: Option<u32>,
}

/// Reads a document by options as JSON, and gives it as JSON.
///
/// # Errors
/// As [`read`]; options that are none are a damaged document.
pub fn read_json(bytes: &[u8], options: &str) -> Result<String, DocumentError> {
    let options: Options = serde_json::from_str(options).map_err(DocumentError::damaged)?;
    let limits = Limits {
        max_pages: options.max_pages,
        ..Limits::default()
    };
    let document = read(bytes, options.name.as_deref(), &limits)?;
    Ok(json!(document).to_string())
}
