//! Sessions: conversations that are kept, shared by processes and isolated by owner.
//!
//! [`SessionManager`] is the seam; memory, SQLite and Redis are behind it. It knows messages
//! and versions; who speaks with a model is a conversation.

mod drawn;
mod entry;
mod error;
mod key;
mod manager;
pub mod memory;
mod query;
pub mod redis;
mod rules;
#[allow(clippy::module_inception)]
mod session;
pub mod sqlite;
mod transfer;
pub mod wire;
mod write;

pub use entry::{Entry, EntryKind};
pub use error::{CODES, SessionError};
pub(crate) use key::check_name;
pub use key::{NAME_LIMIT, SessionKey};
pub use manager::{FILE_BYTES, FILE_LIMIT, SessionManager, SharedSessions};
pub use query::{PAGE_LIMIT, READ_LIMIT, Range, SessionFilter, SessionPage, Transcript};
pub use rules::{MESSAGE_BYTES, MESSAGE_LIMIT, SESSION_BYTES, TRAINING_LIMIT};
pub use session::{AttachedJob, NewSession, SETTINGS_LIMIT, Session, TAG_LIMIT};
pub use write::{Change, Fence, Guard, NewMessage, NewTurn, Verb, Write, Written};
