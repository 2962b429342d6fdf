//! How jobs come to stand in a queue.

use super::*;

impl Line {
    pub(in crate::job::memory) fn enqueue(
        &mut self,
        mut spec: JobSpec,
        news: &mut News,
    ) -> Enqueued {
        let now = news.now;
        let size = spec.payload.len() as u64;
        if let Some(refusal) = self.refusal(&spec, size) {
            return Enqueued::Refused(refusal);
        }
        let due = spec.due(now);
        (spec.delay_ms, spec.run_at) = (None, None);
        let id = spec.id.take().unwrap_or_default();
        if self.ids.contains_key(&id) {
            return Enqueued::Duplicate(id);
        }
        if let Some(key) = &spec.unique_key {
            if let Some(held) = self.unique.get(key)
                && (held.live || held.until > now)
            {
                return Enqueued::Duplicate(held.id.clone());
            }
            let unique = Unique {
                id: id.clone(),
                until: now.saturating_add(spec.unique_for_ms.unwrap_or(0)),
                live: true,
            };
            self.unique.insert(key.clone(), unique);
        }
        spec.queue = Arc::clone(&self.name);
        self.take_in(id.clone(), spec, due, news);
        Enqueued::Added(id)
    }

    pub(super) fn take_in(
        &mut self,
        id: JobId,
        spec: JobSpec,
        due: Option<EpochMillis>,
        news: &mut News,
    ) {
        self.bytes += spec.payload.len() as u64;
        self.sequence += 1;
        let status = JobStatus::taken_in(news.now, due);
        self.counts[status.state as usize] += 1;
        let entry = Entry {
            place: Place::default(),
            sequence: self.sequence,
            until: 0,
            log: Vec::new(),
            job: Job {
                id: id.clone(),
                spec: Arc::new(spec),
                status,
            },
        };
        let deadline = entry.job.spec.deadline;
        let slot = self.slots.insert(entry);
        self.deadlines
            .extend(deadline.map(|deadline| (deadline, slot)));
        self.ids.insert(id.clone(), slot);
        match due {
            Some(due) => {
                self.delayed.insert((due, self.sequence), slot);
                news.tell(&self.name, Some(&id), What::Delayed);
                news.ring();
            }
            None => self.line_up(slot, news),
        }
    }

    fn refusal(&self, spec: &JobSpec, size: u64) -> Option<JobError> {
        if size > self.limits.max_payload {
            return Some(JobError::TooLarge {
                what: "payload",
                bytes: spec.payload.len(),
                limit: usize::try_from(self.limits.max_payload).unwrap_or(usize::MAX),
            });
        }
        (self.bytes + size > self.limits.max_bytes).then(|| JobError::QueueFull {
            queue: self.name.to_string(),
            limit: self.limits.max_bytes,
        })
    }

    pub(super) fn line_up(&mut self, slot: usize, news: &mut News) {
        let entry = &mut self.slots[slot];
        let spec = &entry.job.spec;
        entry.place = self
            .turns
            .place(spec.priority, spec.group.as_deref(), entry.sequence);
        self.ready.insert(entry.place, slot);
        news.tell(&self.name, Some(&entry.job.id), What::Waiting);
        news.ring();
    }
}
