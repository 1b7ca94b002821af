//! Measured times of one piece of work.

use std::{fmt, time::Duration};

/// The times of several runs.
#[derive(Clone, Debug, Default)]
pub struct Runs(Vec<Duration>);

impl Runs {
    /// Adds a run's time.
    pub fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The time that so many of a hundred runs stay below: 50 is the median.
    ///
    /// # Panics
    ///
    /// There was no run.
    pub fn percentile(&self, part: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() - 1) * part / 100]
    }

    /// The time in the middle.
    pub fn median(&self) -> Duration {
        self.percentile(50)
    }

    /// How many runs there were.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the times of other runs.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

/// A time in milliseconds, as it is printed.
#[derive(Clone, Copy, Debug)]
pub struct Millis(pub Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:.2}", self.0.as_secs_f64() * 1e3))
    }
}
