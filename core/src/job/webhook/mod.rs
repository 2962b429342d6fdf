//! Who is told of a job's end: deliveries, which are jobs themselves.
//!
//! Where a backend ends a job with a webhook it adds a delivery to the same queue, in the
//! same step: an end that is recorded is told of. Workers do deliveries on their own; see
//! [`deliver`]. Pure but for that.

mod address;
mod body;
mod deliver;
mod sign;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

pub(in crate::job) use self::deliver::Deliveries;
pub use self::deliver::WebhookOptions;
pub use self::sign::WEBHOOK_SECRET_VARIABLE;
use super::{JobError, JobId, JobSpec, JobState, JobStatus, Payload, RetryPolicy};
use crate::clock::{EpochMillis, millis};

/// The kind of the jobs that tell of the ends of others.
pub const WEBHOOK_KIND: &str = "credential-rotation.webhook";

/// The longest URL, in bytes.
const URL_LIMIT: usize = 2_000;
/// The longest id of a job with a webhook, in bytes: its delivery's has more to hold.
const ID_LIMIT: usize = 150;
/// What stands before the job's id in its delivery's.
const PREFIX: &str = "webhook:";
/// The rests between attempts, as the Standard Webhooks specification has them.
const RESTS: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(5 * 60 * 60),
    Duration::from_secs(10 * 60 * 60),
    Duration::from_secs(10 * 60 * 60),
];
/// How long an attempt may take; the request in it gives up before.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What a delivery knows of the job even if that is gone: its payload.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Notice {
    id: JobId,
    queue: Box<str>,
    kind: Box<str>,
    state: JobState,
    ended_at: EpochMillis,
    url: Box<str>,
}

/// The delivery that a job's end makes, without an id.
///
/// The Redis scripts write the same; the conformance suite holds all to it.
pub(super) fn delivery(id: &JobId, spec: &JobSpec, status: &JobStatus) -> Option<JobSpec> {
    let url = spec.webhook.as_deref()?;
    let notice = Notice {
        id: id.clone(),
        queue: (&*spec.queue).into(),
        kind: spec.kind().into(),
        state: status.state,
        ended_at: status.finished_at?,
        url: url.into(),
    };
    let payload = Payload::of(&notice).ok()?;
    Some(JobSpec {
        queue: spec.queue.clone(),
        payload,
        ..template()
    })
}

/// What all deliveries have in common.
pub(super) fn template() -> JobSpec {
    JobSpec {
        kind: Some(WEBHOOK_KIND.into()),
        max_attempts: RESTS.len() as u32 + 1,
        retry: RetryPolicy::List {
            delays_ms: RESTS.map(millis).to_vec(),
            jitter: 0.1,
        },
        timeout_ms: Some(millis(TIMEOUT)),
        ..JobSpec::default()
    }
}

/// The names that a delivery may have: it takes the first that is free. The later ones are
/// for jobs that were tried again and ended again.
pub(super) fn names(id: &JobId, status: &JobStatus) -> impl Iterator<Item = JobId> + use<> {
    let (epoch, at) = (status.epoch, status.finished_at.unwrap_or(0));
    let short = id.as_str().len() <= ID_LIMIT;
    let names = [
        format!("{PREFIX}{id}"),
        format!("{PREFIX}{id}:{epoch}"),
        format!("{PREFIX}{id}:{epoch}:{at}"),
    ];
    let names = names.into_iter().filter(move |_| short);
    names.filter_map(|name| JobId::from_text(name).ok())
}

/// # Errors
/// [`JobError::Invalid`] for a kind that is ours, and for a webhook that cannot be told.
pub(super) fn check(spec: &JobSpec) -> Result<(), JobError> {
    if spec.kind() == WEBHOOK_KIND {
        let problem = "it is made for jobs with a `webhook`: give one of them that";
        return Err(JobError::invalid("kind", problem));
    }
    let Some(url) = &spec.webhook else {
        return Ok(());
    };
    if spec
        .id
        .as_ref()
        .is_some_and(|id| id.as_str().len() > ID_LIMIT)
    {
        let problem = "it is over 150 bytes, which is the limit of jobs with a `webhook`";
        return Err(JobError::invalid("id", problem));
    }
    check_url(url)
}

/// # Errors
/// [`JobError::Invalid`] for what is no `http` or `https` URL, or has a user in it.
fn check_url(url: &str) -> Result<(), JobError> {
    let refused = |problem: &str| Err(JobError::invalid("webhook", problem));
    if url.len() > URL_LIMIT {
        return refused("it is over 2,000 bytes");
    }
    let Ok(url) = Url::parse(url) else {
        return refused("it is no URL: give one as `https://example.com/hooks`");
    };
    if !matches!(url.scheme(), "http" | "https") {
        return refused("it is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return refused("it has a user or password in it: deliveries are signed instead");
    }
    match url.host() {
        Some(Host::Domain(_) | Host::Ipv4(_) | Host::Ipv6(_)) => Ok(()),
        None => refused("it has no host"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(spec: &JobSpec) -> (Option<JobSpec>, Vec<String>) {
        let id = JobId::from_text("a").unwrap();
        let mut status = JobStatus::taken_in(5, None);
        status.state = JobState::Failed;
        status.finished_at = Some(9);
        status.epoch = 2;
        let names = names(&id, &status).map(String::from).collect();
        (delivery(&id, spec, &status), names)
    }

    #[test]
    fn an_end_makes_a_delivery_and_a_delivery_makes_none() {
        let mut spec = JobSpec::new("q", Payload::NULL);
        assert_eq!(ended(&spec).0, None);
        spec.webhook = Some("https://example.com/h".into());
        let (made, names) = ended(&spec);
        let made = made.unwrap();
        assert_eq!(
            made.payload.as_bytes(),
            r#"{"id":"a","queue":"q","kind":"q","state":"failed","ended_at":9,"url":"https://example.com/h"}"#
        );
        assert_eq!((made.kind(), made.max_attempts), (WEBHOOK_KIND, 8));
        assert_eq!(names, ["webhook:a", "webhook:a:2", "webhook:a:2:9"]);
        assert_eq!(ended(&made).0, None);
    }

    #[test]
    fn the_scripts_of_redis_have_the_same_template() {
        let scripts = include_str!("../redis/lua/moves.lua");
        let header = serde_json::to_string(&template()).unwrap();
        let (_, rest) = scripts.split_once("local DELIVERY = '").unwrap();
        let (theirs, _) = rest.split_once('\'').unwrap();
        assert_eq!(theirs, header);
        assert!(scripts.contains(&format!("local DELIVERED_ID_LIMIT = {ID_LIMIT}\n")));
    }

    #[test]
    fn what_cannot_be_told_is_refused_at_once() {
        let long_url = format!("https://example.com/{}", "x".repeat(2_000));
        let rows = [
            ("https://example.com/hooks?a=1", "a", true),
            ("http://127.0.0.1:8080", "a", true),
            ("", "a", false),
            ("example.com/hooks", "a", false),
            ("ftp://example.com", "a", false),
            ("https://user:word@example.com", "a", false),
            ("https://", "a", false),
            (long_url.as_str(), "a", false),
            ("https://example.com", &"x".repeat(150), true),
            ("https://example.com", &"x".repeat(151), false),
        ];
        for (url, id, fits) in rows {
            let spec = JobSpec::new("q", Payload::NULL)
                .with_id(JobId::from_text(id).unwrap())
                .with(|spec| spec.webhook = Some(url.into()));
            assert_eq!(spec.check().is_ok(), fits, "{url} {id}");
        }
        let forged =
            JobSpec::new("q", Payload::NULL).with(|spec| spec.kind = Some(WEBHOOK_KIND.into()));
        assert!(forged.check().is_err());
        assert!(JobSpec::new(WEBHOOK_KIND, Payload::NULL).check().is_err());
    }
}
