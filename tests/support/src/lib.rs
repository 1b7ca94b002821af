//! What several tests need: the libraries of the workspace's plugins, small plugins made of one source file, waiting for a
//! condition, a container engine (feature `engine`: [`Engine`], and [`Dockerd`] for one of a test's own), keys that files are signed
//! with (feature `signing`: `Key`), and programs in Python ([`Venv`]). Everything here panics when it cannot be done, as a test
//! wants it; what a machine may lack is [`Missing`], and the test is skipped.

mod cgroups;
mod dockerd;
#[cfg(feature = "engine")]
mod engine;
mod fixture;
#[cfg(feature = "signing")]
mod key;
mod library;
mod missing;
mod network;
mod podman;
mod programs;
mod python;
mod room;
mod service;
pub mod socket;

use std::time::{Duration, Instant};

pub use dockerd::Dockerd;
#[cfg(feature = "engine")]
pub use engine::{Container, Ended, Engine, IMAGES, Recipe, Sweep};
pub use fixture::{fixture, fixture_of_version};
#[cfg(feature = "signing")]
pub use key::Key;
pub use library::{Profile, example, library, library_of, program};
pub use missing::{Missing, everything_must_be_here, or_skip, skip};
pub use podman::Podman;
pub use programs::find as find_program;
pub use python::Venv;

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
