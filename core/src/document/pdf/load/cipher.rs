//! Encryption that opens without a password. The library knows its kinds; here it is given
//! one object at a time.

use lopdf::encryption::decrypt_object;
use lopdf::{Dictionary, Document, EncryptionState, Object, Stream, StringFormat};

use crate::document::DocumentError;

/// What undoes a file's encryption.
pub(super) struct Cipher(EncryptionState);

/// The number of the dictionary in the document that is made up for the library.
const NUMBER: (u32, u16) = (1, 0);

impl Cipher {
    /// Of a file's dictionary for it, and the first part of its name, all of it resolved.
    pub(super) fn open(how: Dictionary, name: Option<Vec<u8>>) -> Result<Self, DocumentError> {
        let mut document = Document::new();
        let name = Object::String(name.unwrap_or_default(), StringFormat::Literal);
        document.trailer.set("ID", vec![name.clone(), name]);
        document.trailer.set("Encrypt", Object::Reference(NUMBER));
        document.objects.insert(NUMBER, Object::Dictionary(how));
        let locked = |_| DocumentError::Encrypted;
        document.authenticate_raw_password(b"").map_err(locked)?;
        let state = EncryptionState::decode(&document, b"").map_err(locked)?;
        Ok(Self(state))
    }

    /// Undoes it in an object; what cannot be undone stays.
    pub(super) fn undo(&self, id: (u32, u16), object: &mut Object) {
        let undone = decrypt_object(&self.0, id, object);
        if let (Err(_), Object::Stream(Stream { content, .. })) = (undone, &mut *object) {
            // Its length may be a little wrong: blocks are of sixteen bytes.
            let whole = content.len() / 16 * 16;
            if whole < content.len() {
                content.truncate(whole);
                let _ = decrypt_object(&self.0, id, object);
            }
        }
    }
}
