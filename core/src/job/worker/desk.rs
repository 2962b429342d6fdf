//! Takes the news of running attempts and passes them on, not too often.
//!
//! Handlers only leave their news; one task per worker sends them. An attempt that has
//! ended is settled once its last news are recorded.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::attempt::Attempt;
use super::backoff::Backoff;
use crate::job::attempt::LINE_LIMIT;
use crate::job::{JobManager, Progress, Report};

/// The least time between two reports, unless an attempt has ended.
const PAUSE: Duration = Duration::from_millis(100);
/// How often news are sent in vain before an attempt is settled without them.
const TRIES: u32 = 5;
/// The most bytes of log lines that wait to be sent, of one attempt.
const LOG_ROOM: usize = 256 * 1024;
/// The most reports of one call.
const BATCH: usize = 500;

/// What is to be told of one attempt.
#[derive(Debug, Default)]
pub(super) struct News {
    progress: Option<Progress>,
    log: Vec<String>,
    bytes: usize,
    /// Whether the desk has it, or is just sending it.
    listed: bool,
    told: Option<oneshot::Sender<()>>,
}

#[derive(Debug, Default)]
pub(super) struct Desk {
    list: Mutex<Vec<Arc<Attempt>>>,
    bell: Notify,
    hurry: Notify,
}

impl Attempt {
    pub(super) fn tell_progress(self: &Arc<Self>, percent: f32, message: String) {
        let percent = if percent.is_finite() { percent } else { 0.0 };
        let progress = Progress {
            percent: percent.clamp(0.0, 100.0),
            message: cut(message),
        };
        self.tell(|news| news.progress = Some(progress));
    }

    pub(super) fn tell_log(self: &Arc<Self>, text: String) {
        let text = cut(text);
        self.tell(|news| {
            news.bytes += text.len();
            news.log.push(text);
            news.trim();
        });
    }

    /// Waits for the last news to be recorded; with none there is nothing to wait for.
    pub(super) fn last_news(&self) -> Option<oneshot::Receiver<()>> {
        let mut news = self.news.lock();
        if !news.listed {
            return None;
        }
        let (told, wait) = oneshot::channel();
        news.told = Some(told);
        drop(news);
        self.desk.hurry.notify_one();
        Some(wait)
    }

    fn tell(self: &Arc<Self>, change: impl FnOnce(&mut News)) {
        // Told by a handler that was given up, or by a clone that outlived it.
        if self.has_ended() {
            return;
        }
        let mut news = self.news.lock();
        change(&mut news);
        if !std::mem::replace(&mut news.listed, true) {
            drop(news);
            self.desk.put(Arc::clone(self));
        }
    }

    fn take_report(&self) -> Option<Report> {
        let mut news = self.news.lock();
        if news.progress.is_none() && news.log.is_empty() {
            return None;
        }
        news.bytes = 0;
        Some(Report {
            lease: self.lease().clone(),
            progress: news.progress.take(),
            log: std::mem::take(&mut news.log),
        })
    }

    /// Tells whether there is more already.
    fn reported(&self) -> bool {
        let mut news = self.news.lock();
        if news.progress.is_some() || !news.log.is_empty() {
            return true;
        }
        news.listed = false;
        news.told.take().map(|told| told.send(()));
        false
    }

    /// Takes back what could not be sent.
    fn unreported(&self, report: Report, give_up: bool) {
        let mut news = self.news.lock();
        if news.progress.is_none() {
            news.progress = report.progress;
        }
        let later = std::mem::replace(&mut news.log, report.log);
        news.log.extend(later);
        news.bytes = news.log.iter().map(String::len).sum();
        news.trim();
        if give_up {
            news.told.take().map(|told| told.send(()));
        }
    }
}

impl News {
    fn trim(&mut self) {
        let mut over = 0;
        while self.bytes > LOG_ROOM && over < self.log.len() {
            self.bytes -= self.log[over].len();
            over += 1;
        }
        self.log.drain(..over);
    }
}

impl Desk {
    /// Passes news on for as long as it is polled.
    pub(super) async fn serve(&self, jobs: &dyn JobManager) {
        let mut backoff = Backoff::default();
        loop {
            self.bell.notified().await;
            if !self.send(jobs, &mut backoff).await {
                tokio::time::sleep(backoff.next()).await;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = self.hurry.notified() => {}
            }
        }
    }

    /// Sends what there is. Tells whether that went well.
    pub(super) async fn send(&self, jobs: &dyn JobManager, backoff: &mut Backoff) -> bool {
        let mut list = std::mem::take(&mut *self.list.lock());
        while !list.is_empty() {
            let rest = list.split_off(list.len().min(BATCH));
            let sent: Vec<(Arc<Attempt>, Report)> = list
                .drain(..)
                .filter_map(|attempt| match attempt.take_report() {
                    Some(report) => Some((attempt, report)),
                    None => {
                        attempt.reported();
                        None
                    }
                })
                .collect();
            let reports = sent.iter().map(|(_, report)| report.clone()).collect();
            if let Err(error) = jobs.report(reports).await {
                tracing::warn!(%error, "news of jobs are not recorded yet");
                let give_up = backoff.failures() + 1 >= TRIES;
                for (attempt, report) in sent {
                    attempt.unreported(report, give_up);
                    if !(give_up && attempt.has_ended()) {
                        self.put(attempt);
                    }
                }
                rest.into_iter().for_each(|attempt| self.put(attempt));
                return false;
            }
            backoff.reset();
            for (attempt, _) in sent {
                if attempt.reported() {
                    self.put(attempt);
                }
            }
            list = rest;
        }
        true
    }

    fn put(&self, attempt: Arc<Attempt>) {
        self.list.lock().push(attempt);
        self.bell.notify_one();
    }
}

fn cut(mut text: String) -> String {
    if text.len() > LINE_LIMIT {
        let end = text.floor_char_boundary(LINE_LIMIT);
        text.truncate(end);
    }
    text
}
