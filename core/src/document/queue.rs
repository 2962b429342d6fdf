//! How many PDF files are read at once: each may take the memory that its limits allow, and
//! an upload more is no reason to take it once more.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::DocumentError;

/// How long a file waits for those before it.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it asks whether anyone still wants it.
const ASK: Duration = Duration::from_millis(100);

static READING: Queue = Queue::new();

/// Files that are read, and those that wait.
struct Queue {
    reading: Mutex<usize>,
    left: Condvar,
}

/// The right to read a file, as long as it is held.
pub(super) struct Place<'q>(&'q Queue);

/// Waits until fewer files are read than there are processors, or than two.
pub(super) fn enter(is_wanted: impl FnMut() -> bool) -> Result<Place<'static>, DocumentError> {
    let most = std::thread::available_parallelism().map_or(1, usize::from);
    READING.enter(most.max(2), PATIENCE, is_wanted)
}

impl Queue {
    const fn new() -> Self {
        Self {
            reading: Mutex::new(0),
            left: Condvar::new(),
        }
    }

    fn enter(
        &self,
        most: usize,
        patience: Duration,
        mut is_wanted: impl FnMut() -> bool,
    ) -> Result<Place<'_>, DocumentError> {
        let until = Instant::now() + patience;
        let mut reading = self.reading.lock();
        while *reading >= most {
            let now = Instant::now();
            if now >= until {
                return Err(DocumentError::Busy);
            }
            self.left.wait_until(&mut reading, until.min(now + ASK));
            if *reading >= most {
                let wanted = parking_lot::MutexGuard::unlocked(&mut reading, &mut is_wanted);
                if !wanted {
                    return Err(DocumentError::Cancelled);
                }
            }
        }
        *reading += 1;
        Ok(Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.reading.lock() -= 1;
        self.0.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_waits_for_its_place_until_it_is_not_wanted_or_nobody_leaves() {
        let queue = Queue::new();
        let first = queue.enter(1, Duration::ZERO, || true).unwrap();
        let late = queue.enter(1, Duration::ZERO, || true).err().unwrap();
        assert_eq!(late, DocumentError::Busy);
        let unwanted = queue.enter(1, PATIENCE, || false).err().unwrap();
        assert_eq!(unwanted, DocumentError::Cancelled);
        std::thread::scope(|scope| {
            let queue = &queue;
            let (told, tell) = std::sync::mpsc::channel();
            let next = scope.spawn(move || {
                let place = queue.enter(1, PATIENCE, || told.send(()).is_ok());
                place.map(drop)
            });
            tell.recv().unwrap();
            drop(first);
            assert_eq!(next.join().unwrap(), Ok(()));
        });
        assert_eq!(*queue.reading.lock(), 0);
    }
}
