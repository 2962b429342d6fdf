//! What a document may cost.

use std::time::Duration;

use super::DocumentError;

/// Bytes of a file, unless another limit is given.
pub const MAX_BYTES: u32 = 64 << 20;

/// What a document may cost. All of it holds for one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file. Default: 64 MiB.
    pub max_bytes: u64,
    /// Read only the first so many pages. Default: all.
    pub max_pages: Option<u32>,
    /// Pages that are read, beyond which it is an error. Default: 5,000.
    pub pages: u32,
    /// Objects of a PDF file. Default: 500,000.
    pub objects: u64,
    /// Bytes of memory that the objects of a PDF file may take, but for what is in its streams.
    /// Default: 128 MiB.
    pub object_bytes: u64,
    /// Bytes of memory that reading may hold at a time, all together, beside the file itself.
    /// Default: 256 MiB.
    pub memory_bytes: u64,
    /// Bytes that streams may have unpacked to find objects in them. Default: 64 MiB.
    pub load_stream_bytes: usize,
    /// Bytes that one stream of a page may have unpacked. Default: 16 MiB.
    pub stream_bytes: usize,
    /// Bytes of all unpacked streams. Default: 256 MiB.
    pub content_bytes: u64,
    /// Operations of all pages, and as many to put their text in order. Default: 20 million.
    pub operations: u64,
    /// How deep forms may lie in each other. Default: 12.
    pub depth: u32,
    /// Bytes of text. Default: 32 MiB.
    pub output_bytes: usize,
    /// Time. Default: 15 s.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: u64::from(MAX_BYTES),
            max_pages: None,
            pages: 5_000,
            objects: 500_000,
            object_bytes: 128 << 20,
            memory_bytes: 256 << 20,
            load_stream_bytes: 64 << 20,
            stream_bytes: 16 << 20,
            content_bytes: 256 << 20,
            operations: 20_000_000,
            depth: 12,
            output_bytes: 32 << 20,
            time: Duration::from_secs(15),
        }
    }
}

impl Limits {
    pub(super) fn check_size(&self, bytes: u64) -> Result<(), DocumentError> {
        if bytes > self.max_bytes {
            let limit = self.max_bytes;
            return Err(DocumentError::TooLarge { bytes, limit });
        }
        Ok(())
    }

    pub(super) fn check_pages(&self) -> Result<(), DocumentError> {
        match self.max_pages {
            Some(0) => Err(DocumentError::limit("0 pages, as `max_pages` is 0")),
            _ => Ok(()),
        }
    }
}
