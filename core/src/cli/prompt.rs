//! The prompt of a command line: a word, or `-` for standard input.

use std::ffi::OsStr;
use std::io::Read;

use crate::config::invalid;
use crate::error::Error;
use crate::wrapper::PROMPT_LIMIT;

/// The text to ask with.
pub(super) fn read(word: &OsStr, input: &mut dyn Read) -> Result<String, Error> {
    let text = if word == "-" {
        from(input)?
    } else {
        word.to_str()
            .ok_or_else(|| invalid("the prompt", &"it is not UTF-8 text"))?
            .to_owned()
    };
    // Before accounts are looked for: what to do next does not depend on them.
    if text.trim().is_empty() {
        return Err(Error::EmptyPrompt);
    }
    Ok(text)
}

fn from(input: &mut dyn Read) -> Result<String, Error> {
    let unusable = |problem: &dyn std::fmt::Display| invalid("standard input", problem);
    let mut bytes = Vec::new();
    input
        .take(PROMPT_LIMIT as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|problem| unusable(&problem))?;
    if bytes.len() > PROMPT_LIMIT {
        return Err(Error::PromptTooLarge {
            bytes: bytes.len(),
            limit: PROMPT_LIMIT,
        });
    }
    String::from_utf8(bytes).map_err(|_| unusable(&"it is not UTF-8 text: convert it first"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn code(word: &[u8], mut input: &[u8]) -> &'static str {
        match read(OsStr::from_bytes(word), &mut input) {
            Ok(_) => "ok",
            Err(error) => error.code(),
        }
    }

    #[test]
    fn a_prompt_is_a_word_or_standard_input_and_never_nothing() {
        let rows: [(&[u8], &[u8], &str); 6] = [
            (b"hello", b"", "ok"),
            (b"-", b"hello\n", "ok"),
            (b" \n", b"", "empty_prompt"),
            (b"-", b"", "empty_prompt"),
            (b"-", b"\xff\xfe", "invalid_config"),
            (b"\xff", b"", "invalid_config"),
        ];
        for (word, input, expected) in rows {
            assert_eq!(code(word, input), expected, "{word:?}");
        }
    }

    #[test]
    fn standard_input_without_an_end_is_read_to_the_limit_only() {
        let error = read(OsStr::new("-"), &mut std::io::repeat(b'a')).unwrap_err();
        assert_eq!(error.code(), "prompt_too_large");
    }
}
