//! Sessions: wishes and answers as JSON; names and forms are the core's.

use std::sync::Arc;

use bytes::Bytes;
use credential_rotation::session::{SessionError, SessionKey, SharedSessions, wire};
use credential_rotation::{Error, connect};
use napi::bindgen_prelude::Buffer;
use napi_derive::napi;
use parking_lot::Mutex;

use crate::desk::Desk;
use crate::errors::{Thrown, thrown};
use crate::runtime;

/// The sessions at a URL.
#[napi]
pub struct SessionManager {
    url: String,
    /// None until it is connected.
    sessions: Arc<Mutex<Option<SharedSessions>>>,
    /// Files that were read and wait to be taken.
    read: Arc<Mutex<Vec<(u32, Bytes)>>>,
}

#[napi]
impl SessionManager {
    /// Touches nothing.
    #[napi(factory)]
    pub fn at(url: String) -> Self {
        Self {
            url,
            sessions: Arc::default(),
            read: Arc::default(),
        }
    }

    /// Opens the sessions; where they are comes under `number`.
    #[napi]
    pub fn connect(&self, desk: &Desk, number: u32) -> napi::Result<()> {
        let (url, place) = (self.url.clone(), Arc::clone(&self.sessions));
        desk.shared().submit(number, async move {
            let sessions = connect::sessions(&url).await?;
            let backend = sessions.backend();
            *place.lock() = Some(sessions);
            Ok(serde_json::json!(backend).to_string())
        })
    }

    /// Does what a wish says; what came of it comes under `number`.
    #[napi]
    pub fn ask(&self, desk: &Desk, number: u32, wish: String) -> napi::Result<()> {
        let sessions = self.connected();
        desk.shared().submit(number, async move {
            Ok(wire::perform(&*sessions?, &wish).await?)
        })
    }

    /// Keeps a file with a session, as the wish says.
    #[napi]
    pub fn put_file(
        &self,
        desk: &Desk,
        number: u32,
        wish: String,
        body: Buffer,
    ) -> napi::Result<()> {
        let (sessions, body) = (self.connected(), Bytes::copy_from_slice(&body));
        desk.shared().submit(number, async move {
            wire::put_file(&*sessions?, &wish, body).await?;
            Ok("null".to_owned())
        })
    }

    /// Reads a file, which [`SessionManager::take_file`] then gives by its number.
    #[napi]
    pub fn file(
        &self,
        desk: &Desk,
        number: u32,
        owner: String,
        id: String,
        name: String,
    ) -> napi::Result<()> {
        let (sessions, read) = (self.connected(), Arc::clone(&self.read));
        desk.shared().submit(number, async move {
            let key = SessionKey::new(&owner, &id).map_err(Error::from)?;
            let body = sessions?.file(&key, &name).await.map_err(Error::from)?;
            read.lock().push((number, body));
            Ok(number.to_string())
        })
    }

    /// A file that was read.
    #[napi]
    pub fn take_file(&self, number: u32) -> Option<Buffer> {
        let mut read = self.read.lock();
        let place = read.iter().position(|(of, _)| *of == number)?;
        Some(read.swap_remove(place).1.to_vec().into())
    }
}

impl SessionManager {
    /// The core's, once it is connected.
    pub(crate) fn connected(&self) -> Result<SharedSessions, Error> {
        let closed = || {
            Error::from(SessionError::Job(
                credential_rotation::job::JobError::Closed,
            ))
        };
        self.sessions.lock().clone().ok_or_else(closed)
    }

    /// The same where an error is thrown.
    pub(crate) fn here(&self) -> Result<SharedSessions, Thrown> {
        self.connected().map_err(|error| thrown(&error))
    }
}

impl Drop for SessionManager {
    fn drop(&mut self) {
        runtime::drop_inside(self.sessions.lock().take());
    }
}
