//! JSON that is kept byte for byte: what a producer wrote is what a handler reads.

use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::JobError;

/// A JSON text. Large integers and the order of members survive.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

impl Payload {
    /// `null`.
    pub const NULL: Self = Self(Bytes::from_static(b"null"));

    /// Takes a JSON text.
    ///
    /// # Errors
    /// [`JobError::Invalid`] when it is none; the message has no part of it.
    pub fn from_json(text: impl Into<Bytes>) -> Result<Self, JobError> {
        let text = text.into();
        // The JSON reader passes over strings without a look at their bytes.
        let Ok(unicode) = std::str::from_utf8(&text) else {
            return Err(JobError::invalid("payload", "it is no UTF-8"));
        };
        match serde_json::from_str::<IgnoredAny>(unicode) {
            Ok(_) => Ok(Self(text)),
            Err(e) => Err(JobError::invalid(
                "payload",
                format!("it is no JSON at line {}, column {}", e.line(), e.column()),
            )),
        }
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// [`JobError::Invalid`] for a value that JSON has no form for.
    pub fn of(value: &impl Serialize) -> Result<Self, JobError> {
        serde_json::to_vec(value)
            .map(|text| Self(text.into()))
            .map_err(|e| JobError::invalid("payload", format!("it cannot be written as JSON: {e}")))
    }

    /// Reads it as a value.
    ///
    /// # Errors
    /// [`JobError::Invalid`] when it is not such a one.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, JobError> {
        serde_json::from_slice(&self.0).map_err(|e| JobError::invalid("payload", e.to_string()))
    }

    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The text's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: no JSON text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    // What was looked at before, or is to be shown as it is.
    pub(super) fn trusted(text: Bytes) -> Self {
        Self(text)
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::NULL
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // What anyone pushed to a queue may be no JSON: then it is shown as a text.
        match serde_json::from_slice::<&RawValue>(&self.0) {
            Ok(raw) => raw.serialize(serializer),
            Err(_) => serializer.serialize_str(&String::from_utf8_lossy(&self.0)),
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(Bytes::from(Box::<str>::from(raw).into_string())))
    }
}
