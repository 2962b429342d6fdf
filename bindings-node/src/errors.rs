//! The core's errors on their way to JavaScript: as JSON, which `lib/errors.ts`
//! turns into one class per code.

use credential_rotation::Error;
use credential_rotation::error::CODES;
use credential_rotation::job::{self, JobError};
use credential_rotation::{conversation, document, session};
use napi_derive::napi;

/// What tells `lib/errors.ts` that an error's message is the core's error as JSON.
#[derive(Debug, Clone, Copy)]
pub struct FromCore;

impl AsRef<str> for FromCore {
    fn as_ref(&self) -> &str {
        "credential_rotation"
    }
}

/// What a function that answers at once may throw.
pub(crate) type Thrown = napi::Error<FromCore>;

/// The error to throw for one of the core's.
pub(crate) fn thrown(error: &Error) -> Thrown {
    napi::Error::new(FromCore, error.to_json().to_string())
}

/// The same for jobs.
pub(crate) fn job_thrown(error: &JobError) -> Thrown {
    napi::Error::new(FromCore, error.to_json().to_string())
}

/// Every code there is, in the order of the documentation.
#[napi]
pub(crate) fn error_codes() -> Vec<&'static str> {
    [
        &CODES[..],
        &job::CODES[..],
        &session::CODES[..],
        &conversation::CODES[..],
        &document::CODES[..],
    ]
    .concat()
}
