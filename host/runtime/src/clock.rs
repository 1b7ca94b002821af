//! The host's clock: milliseconds since the epoch that never go back, while the host lives and from one host to the next,
//! whatever is done to the system's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use longshore_scaling::Time;
use tokio::time::Instant;

/// Wall time at the start, plus what has passed since on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Time,
    started: Instant,
}

impl Clock {
    /// A clock that begins no earlier than a time: that of the last record in the journal.
    pub(crate) fn start(no_earlier: Time) -> Self {
        // A system clock before 1970 is as good as 1970: only differences matter.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { epoch: (Time::default() + wall).max(no_earlier), started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Time {
        self.epoch + self.started.elapsed()
    }

    /// The moment of the monotonic clock at which a time comes.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.started + time.since(self.epoch)
    }
}
