//! Requests and tokens of the last minute, in one process. Pure.

use std::collections::VecDeque;

use crate::clock::EpochMillis;
use crate::credential::Limits;

/// The length of the window that RPM and TPM speak of, in milliseconds.
pub const MINUTE: u64 = 60_000;

/// What was admitted in the last minute. Exact: any 60 seconds hold at most the limit.
#[derive(Debug, Default)]
pub(crate) struct Window {
    admitted: VecDeque<Admission>,
    tokens: u64,
    next: u64,
}

#[derive(Debug)]
struct Admission {
    at: EpochMillis,
    tokens: u64,
    ticket: u64,
}

impl Window {
    /// When a call of so many tokens may start: `None` is now.
    pub(crate) fn free_at(
        &mut self,
        limits: Limits,
        tokens: u64,
        now: EpochMillis,
    ) -> Option<EpochMillis> {
        if limits.rpm.is_none() && limits.tpm.is_none() {
            return None;
        }
        self.forget(now);
        let by_requests = limits.rpm.and_then(|rpm| {
            let over = (self.admitted.len() + 1).checked_sub(rpm.max(1) as usize)?;
            let blocking = over.checked_sub(1)?;
            self.admitted.get(blocking).map(|a| a.at + MINUTE)
        });
        let by_tokens = limits.tpm.and_then(|tpm| self.tokens_free_at(tpm, tokens));
        by_requests.max(by_tokens)
    }

    /// Counts a call in and gives the ticket to settle it by.
    pub(crate) fn admit(&mut self, limits: Limits, tokens: u64, now: EpochMillis) -> u64 {
        if limits.rpm.is_none() && limits.tpm.is_none() {
            return 0;
        }
        self.next += 1;
        self.tokens += tokens;
        self.admitted.push_back(Admission {
            at: now,
            tokens,
            ticket: self.next,
        });
        self.next
    }

    /// Takes back a call that was not made after all.
    pub(crate) fn withdraw(&mut self, ticket: u64) {
        if let Ok(index) = self.admitted.binary_search_by_key(&ticket, |a| a.ticket)
            && let Some(admission) = self.admitted.remove(index)
        {
            self.tokens -= admission.tokens;
        }
    }

    /// Replaces a reservation by the usage that was reported.
    pub(crate) fn settle(&mut self, ticket: u64, tokens: u64) {
        let found = self.admitted.binary_search_by_key(&ticket, |a| a.ticket);
        if let Ok(index) = found
            && let Some(admission) = self.admitted.get_mut(index)
        {
            self.tokens = self.tokens - admission.tokens + tokens;
            admission.tokens = tokens;
        }
    }

    // A single call larger than the limit is let through alone, or it would wait for ever.
    fn tokens_free_at(&self, tpm: u64, wanted: u64) -> Option<EpochMillis> {
        let mut held = self.tokens;
        let mut free_at = None;
        for admission in &self.admitted {
            if held == 0 || held + wanted <= tpm {
                break;
            }
            held -= admission.tokens;
            free_at = Some(admission.at + MINUTE);
        }
        free_at
    }

    fn forget(&mut self, now: EpochMillis) {
        while let Some(oldest) = self.admitted.front()
            && oldest.at + MINUTE <= now
        {
            self.tokens -= oldest.tokens;
            self.admitted.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RPM_3: Limits = Limits {
        concurrency: None,
        rpm: Some(3),
        tpm: None,
    };
    const TPM_100: Limits = Limits {
        concurrency: None,
        rpm: None,
        tpm: Some(100),
    };

    #[test]
    fn rpm_n_admits_exactly_n_and_names_when_the_next_may_start() {
        let mut window = Window::default();
        for at in [0, 10, 20] {
            assert_eq!(window.free_at(RPM_3, 0, at), None);
            window.admit(RPM_3, 0, at);
        }
        assert_eq!(window.free_at(RPM_3, 0, 30), Some(MINUTE));
        assert_eq!(window.free_at(RPM_3, 0, MINUTE), None);
    }

    #[test]
    fn tokens_are_reserved_then_settled_to_the_usage() {
        let mut window = Window::default();
        let ticket = window.admit(TPM_100, 90, 0);
        assert_eq!(window.free_at(TPM_100, 50, 1), Some(MINUTE));
        window.settle(ticket, 40);
        assert_eq!(window.free_at(TPM_100, 50, 1), None);
    }

    #[test]
    fn a_call_that_was_not_made_leaves_its_room() {
        let mut window = Window::default();
        let tickets: Vec<_> = (0..3).map(|at| window.admit(RPM_3, 7, at)).collect();
        window.withdraw(tickets[1]);
        assert_eq!(window.free_at(RPM_3, 0, 3), None);
        assert_eq!(window.tokens, 14);
    }

    #[test]
    fn a_call_larger_than_the_whole_limit_passes_alone() {
        let mut window = Window::default();
        assert_eq!(window.free_at(TPM_100, 1_000, 0), None);
        window.admit(TPM_100, 1_000, 0);
        assert_eq!(window.free_at(TPM_100, 1, 5), Some(MINUTE));
    }

    proptest! {
        #[test]
        fn no_minute_ever_holds_more_than_the_limit(gaps in prop::collection::vec(0u64..30_000, 1..200)) {
            let mut window = Window::default();
            let mut admitted: Vec<u64> = Vec::new();
            let mut now = 0;
            for gap in gaps {
                now += gap;
                if window.free_at(RPM_3, 0, now).is_none() {
                    window.admit(RPM_3, 0, now);
                    admitted.push(now);
                }
                let recent = admitted.iter().filter(|at| **at + MINUTE > now).count();
                prop_assert!(recent <= 3);
            }
        }
    }
}
