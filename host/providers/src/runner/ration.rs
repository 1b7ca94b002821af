//! How much a plugin may say: so many lines and bytes a second. What is beyond is left out, and counted.

use std::time::{Duration, Instant};

/// The most lines of a runner that are taken over in a [`SPELL`].
pub(crate) const LINES: u32 = 1_000;
/// The most bytes of its lines.
pub(crate) const BYTES: usize = 1 << 20;
/// What they are counted over.
const SPELL: Duration = Duration::from_secs(1);

/// What is left of a spell.
pub(crate) struct Ration {
    begun: Instant,
    lines: u32,
    bytes: usize,
    missed: u64,
}

impl Ration {
    pub(crate) fn new(now: Instant) -> Self {
        Self { begun: now, lines: LINES, bytes: BYTES, missed: 0 }
    }

    /// Whether a line of so many bytes may be told, and then how many before it were not.
    pub(crate) fn admit(&mut self, now: Instant, bytes: usize) -> Option<u64> {
        if now.saturating_duration_since(self.begun) >= SPELL {
            *self = Self { missed: self.missed, ..Self::new(now) };
        }
        if self.lines == 0 || self.bytes < bytes {
            self.missed += 1;
            return None;
        }
        self.lines -= 1;
        self.bytes -= bytes;
        Some(std::mem::take(&mut self.missed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_for_a_second_is_left_out_and_counted() {
        let now = Instant::now();
        let mut ration = Ration::new(now);
        assert!((0..LINES).all(|_| ration.admit(now, 1) == Some(0)));
        assert_eq!((ration.admit(now, 1), ration.admit(now, 1)), (None, None));
        let later = now + SPELL;
        assert_eq!(ration.admit(later, 1), Some(2), "two were left out");
        assert_eq!(ration.admit(later, 1), Some(0), "which is told once");
    }

    #[test]
    fn few_long_lines_are_too_much_as_well() {
        let now = Instant::now();
        let mut ration = Ration::new(now);
        assert_eq!(ration.admit(now, BYTES - 1), Some(0));
        assert_eq!((ration.admit(now, 2), ration.admit(now, 1)), (None, Some(1)), "a short one still fits");
    }
}
