//! What several tests need: the libraries of the workspace's plugins, small plugins made of one source file, and waiting
//! for a condition. Everything here panics when it cannot be done, as a test wants it.

mod fixture;
mod library;

use std::time::{Duration, Instant};

pub use fixture::fixture;
pub use library::{Profile, example, library, library_of, program};

/// How long [`until`] waits: long enough for a busy machine, so that only what never happens fails.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until a condition holds that something else brings about, and fails with `what` when it never does.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "not within {} s: {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(2));
    }
}
