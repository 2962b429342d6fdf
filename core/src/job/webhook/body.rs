//! What a delivery says. Pure.

use std::borrow::Cow;

use serde::Serialize;

use super::{Notice, PREFIX};
use crate::clock::EpochMillis;
use crate::job::{Job, JobId, JobState, Payload};

/// Longer results are not sent: who is told can ask for them by the job's id.
const RESULT_LIMIT: usize = 256 * 1024;

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    timestamp: String,
    data: Data<'a>,
}

/// What is known of the job; the latter part only while it is there.
#[derive(Serialize)]
struct Data<'a> {
    id: &'a JobId,
    queue: &'a str,
    kind: &'a str,
    state: JobState,
    finished_at: EpochMillis,
    #[serde(flatten)]
    more: Option<More<'a>>,
}

#[derive(Serialize)]
struct More<'a> {
    attempts: u32,
    stalls: u32,
    created_at: EpochMillis,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<EpochMillis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [Box<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Words<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Payload>,
    /// The size of a result that is too large to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    result_bytes: Option<usize>,
}

/// A failure without its trace, which is for those who run the worker.
#[derive(Serialize)]
struct Words<'a> {
    kind: &'a str,
    message: &'a str,
}

/// The body of the request. The job is told of if it is still there as it ended.
pub(super) fn body(notice: &Notice, job: Option<&Job>) -> serde_json::Result<Vec<u8>> {
    let job = job.filter(|job| {
        *job.spec.queue == *notice.queue
            && job.status.state == notice.state
            && job.status.finished_at == Some(notice.ended_at)
    });
    serde_json::to_vec(&Body {
        r#type: match notice.state {
            JobState::Completed => "job.completed",
            JobState::Cancelled => "job.cancelled",
            _ => "job.failed",
        },
        timestamp: timestamp(notice.ended_at),
        data: Data {
            id: &notice.id,
            queue: &notice.queue,
            kind: &notice.kind,
            state: notice.state,
            finished_at: notice.ended_at,
            more: job.map(more),
        },
    })
}

/// By what receivers tell deliveries apart: the job's id, and for a job that was tried again
/// and ended again its epoch too. A header holds it, and it has no full stop: in what is
/// signed one ends it.
pub(super) fn message_id<'a>(delivery: &'a JobId, notice: &'a Notice) -> Cow<'a, str> {
    let id = delivery.as_str().strip_prefix(PREFIX);
    let id = id.unwrap_or(notice.id.as_str());
    // Nor what encoding makes: no two ids become one.
    let plain = |byte: u8| byte.is_ascii_graphic() && !b".%+".contains(&byte);
    if id.bytes().all(plain) {
        return Cow::Borrowed(id);
    }
    let encoded: String = url::form_urlencoded::byte_serialize(id.as_bytes()).collect();
    Cow::Owned(encoded.replace('.', "%2E"))
}

fn more(job: &Job) -> More<'_> {
    let (spec, status) = (&job.spec, &job.status);
    let (fits, too_large) = match &status.result {
        Some(result) if result.len() > RESULT_LIMIT => (None, Some(result.len())),
        result => (result.as_ref(), None),
    };
    More {
        attempts: status.attempt,
        stalls: status.stalls,
        created_at: status.created_at,
        started_at: status.started_at,
        session: spec.session.as_deref(),
        tags: &spec.tags,
        error: status.error.as_ref().map(|error| Words {
            kind: &error.kind,
            message: &error.message,
        }),
        result: fits,
        result_bytes: too_large,
    }
}

fn timestamp(at: EpochMillis) -> String {
    let at = i64::try_from(at).map(jiff::Timestamp::from_millisecond);
    // A time that no calendar has is none of ours.
    at.ok().and_then(Result::ok).unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::job::{Failure, JobSpec, JobStatus};

    const AT: EpochMillis = 1_800_000_000_123;

    fn notice(state: JobState) -> Notice {
        Notice {
            id: JobId::from_text("a").unwrap(),
            queue: "q".into(),
            kind: "k".into(),
            state,
            ended_at: AT,
            url: "https://example.com".into(),
        }
    }

    fn job(change: impl FnOnce(&mut JobSpec, &mut JobStatus)) -> Job {
        let mut spec = JobSpec::new("q", Payload::NULL);
        let mut status = JobStatus::taken_in(AT - 1_000, None);
        (status.attempt, status.finished_at) = (2, Some(AT));
        change(&mut spec, &mut status);
        let id = JobId::from_text("a").unwrap();
        let spec = Arc::new(spec);
        Job { id, spec, status }
    }

    fn told(state: JobState, job: Option<&Job>) -> String {
        String::from_utf8(body(&notice(state), job).unwrap()).unwrap()
    }

    #[test]
    fn a_result_is_told_as_it_was_written() {
        let job = job(|spec, status| {
            (status.state, status.started_at) = (JobState::Completed, Some(AT - 500));
            status.result = Some(Payload::from_json(r#"{"n":  9007199254740993123}"#).unwrap());
            (spec.session, spec.tags) = (Some("s".into()), vec!["t".into()]);
        });
        assert_eq!(
            told(JobState::Completed, Some(&job)),
            r#"{"type":"job.completed","timestamp":"2027-01-15T08:00:00.123Z","data":{"id":"a","queue":"q","kind":"k","state":"completed","finished_at":1800000000123,"attempts":2,"stalls":0,"created_at":1799999999123,"started_at":1799999999623,"session":"s","tags":["t"],"result":{"n":  9007199254740993123}}}"#
        );
    }

    #[test]
    fn a_failure_is_told_without_its_trace() {
        let job = job(|_, status| {
            status.state = JobState::Failed;
            status.error = Some(Failure::new("timeout", "late").with_trace("in file x"));
        });
        let told = told(JobState::Failed, Some(&job));
        assert!(
            told.contains(r#""error":{"kind":"timeout","message":"late"}"#),
            "{told}"
        );
        assert!(told.contains(r#""type":"job.failed""#) && !told.contains("file x"));
    }

    #[test]
    fn a_result_that_is_too_large_is_told_by_its_size() {
        let result = Payload::of(&"x".repeat(RESULT_LIMIT)).unwrap();
        let job = job(|_, status| {
            (status.state, status.result) = (JobState::Completed, Some(result));
        });
        let told = told(JobState::Completed, Some(&job));
        assert!(
            told.contains(r#""result_bytes":262146"#) && told.len() < 1_000,
            "{told}"
        );
    }

    #[test]
    fn of_a_job_that_is_gone_or_went_on_only_its_end_is_told() {
        let short = r#"{"type":"job.cancelled","timestamp":"2027-01-15T08:00:00.123Z","data":{"id":"a","queue":"q","kind":"k","state":"cancelled","finished_at":1800000000123}}"#;
        assert_eq!(told(JobState::Cancelled, None), short);
        let others = [
            job(|_, status| (status.state, status.finished_at) = (JobState::Waiting, None)),
            job(|_, status| {
                (status.state, status.finished_at) = (JobState::Cancelled, Some(AT + 1));
            }),
            job(|spec, status| {
                (spec.queue, status.state) = ("other".into(), JobState::Cancelled);
            }),
        ];
        for job in others {
            assert_eq!(told(JobState::Cancelled, Some(&job)), short);
        }
    }

    #[test]
    fn the_message_has_the_jobs_id_in_letters_that_a_header_holds() {
        let rows = [
            ("webhook:a", "a"),
            ("webhook:a:2", "a:2"),
            ("something else", "a"),
            ("webhook:\u{e9} b", "%C3%A9+b"),
            ("webhook:a.1700000000", "a%2E1700000000"),
            ("webhook:a.b:2", "a%2Eb%3A2"),
            ("webhook:a%2E1", "a%252E1"),
            ("webhook:a+b", "a%2Bb"),
        ];
        for (delivery, message) in rows {
            let delivery = JobId::from_text(delivery).unwrap();
            assert_eq!(message_id(&delivery, &notice(JobState::Failed)), message);
        }
    }
}
