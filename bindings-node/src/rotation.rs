//! A call's way through the pool, for the loop in `lib/run.ts` around client code
//! of the user's.

use std::sync::Arc;

use credential_rotation::Error;
use credential_rotation::credential::Credential;
use credential_rotation::provider::{Fault, FaultReason};
use credential_rotation::wrapper::{self, Report};
use napi_derive::napi;
use tokio::sync::Mutex;

use crate::desk::Desk;
use crate::runtime;

/// One call's way through the pool.
#[napi]
pub struct Rotation {
    way: Arc<Mutex<Option<wrapper::Rotation>>>,
    turn: Arc<parking_lot::Mutex<Option<Credential>>>,
}

#[napi]
impl Rotation {
    /// Whose turn it is, under `number`: `{id, base_url, model, number, target, attempt_timeout_ms}`.
    #[napi]
    pub fn next(&self, desk: &Desk, number: u32) -> napi::Result<()> {
        let (way, current) = (Arc::clone(&self.way), Arc::clone(&self.turn));
        desk.shared().submit(number, async move {
            let turn = way
                .lock()
                .await
                .as_mut()
                .ok_or(Error::Closed)?
                .next()
                .await?;
            let told = turn.to_json().to_string();
            *current.lock() = Some(turn.credential);
            Ok(told)
        })
    }

    /// The bare secret of the turn's credential.
    #[napi(getter)]
    pub fn secret(&self) -> Option<String> {
        let turn = self.turn.lock();
        turn.as_ref()
            .map(|credential| credential.secret().expose().to_owned())
    }

    /// Reports success, with the tokens it cost where they are known.
    #[napi]
    pub fn succeed(&self, desk: &Desk, number: u32, tokens: Option<u32>) -> napi::Result<()> {
        let way = Arc::clone(&self.way);
        desk.shared().submit(number, async move {
            if let Some(mut way) = way.lock().await.take() {
                way.succeed(tokens.map(u64::from)).await;
            }
            Ok("null".to_owned())
        })
    }

    /// Reports a failure, a [`Report`] as JSON. Whether the call goes on comes under `number`.
    #[napi]
    pub fn fail(&self, desk: &Desk, number: u32, report: String) -> napi::Result<()> {
        let (way, current) = (Arc::clone(&self.way), Arc::clone(&self.turn));
        desk.shared().submit(number, async move {
            let credential = current.lock().take();
            let fault =
                Report::from_json(&report).map(|report| report.into_fault(credential.as_ref()?));
            let mut way = way.lock().await;
            let goes_on = match (way.as_mut(), &fault) {
                (Some(way), Ok(Some(fault))) => way.fail(fault.clone(), None).await,
                // None of the pool's business: the credential goes back as it came.
                _ => false,
            };
            if !goes_on {
                way.take();
            }
            fault.map(|_| goes_on.to_string())
        })
    }

    /// Reports that the attempt took too long.
    #[napi]
    pub fn time_out(&self, desk: &Desk, number: u32, after_ms: f64) -> napi::Result<()> {
        let way = Arc::clone(&self.way);
        let words = format!("no answer within {after_ms} ms");
        desk.shared().submit(number, async move {
            if let Some(way) = way.lock().await.as_mut() {
                way.fail(Fault::new(FaultReason::Timeout, words), None)
                    .await;
            }
            Ok("null".to_owned())
        })
    }

    /// Gives the credential back, whatever came of it.
    #[napi]
    pub fn close(&self) {
        runtime::drop_inside(self.turn.lock().take());
        // At once where nothing is under way, so that whoever looks next sees it back.
        if let Ok(mut way) = self.way.try_lock() {
            way.take();
            return;
        }
        let way = Arc::clone(&self.way);
        let _ = runtime::spawn(async move {
            way.lock().await.take();
        });
    }
}

impl Rotation {
    pub(crate) fn new(way: wrapper::Rotation) -> Self {
        Self {
            way: Arc::new(Mutex::new(Some(way))),
            turn: Arc::default(),
        }
    }
}

impl Drop for Rotation {
    fn drop(&mut self) {
        self.close();
    }
}
