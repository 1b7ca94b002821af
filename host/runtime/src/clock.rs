//! The host's clock: milliseconds since the epoch that never go back while the host lives, whatever is done to the
//! system's clock.

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
    pub(crate) fn start() -> Self {
        // A system clock before 1970 is as good as 1970: only differences matter.
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { epoch: Time::default() + wall, started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Time {
        self.epoch + self.started.elapsed()
    }

    /// The moment of the monotonic clock at which a time comes.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.started + time.since(self.epoch)
    }
}
