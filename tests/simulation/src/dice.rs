//! All chance of a run, from its seed alone. The generator's output is fixed by its specification, and every draw is
//! reduced to a range here, so that no release of a crate changes what a seed means; a test pins both.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// Who draws. Each has a stream of its own, so that what one draws does not change what another gets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    /// What kind of run it is.
    Shape = 1,
    /// When faults strike.
    Chaos = 2,
    /// How long things take, and how containers are cut.
    Provider = 3,
    /// What operators want.
    Operator = 4,
    /// How the host goes about its messages.
    Host = 5,
    /// Which of two events of the same moment comes first.
    Queue = 6,
}

/// One stream of chance.
#[derive(Debug)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64, stream: Stream) -> Self {
        let mut key = *b"........longshore simulation 001";
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(stream as u64);
        Self(generator)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `n`, which is not 0. The bias of one in 2^64 / n is of no matter here.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(n)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.max(low) - low + 1)
    }

    /// The same for small numbers.
    pub(crate) fn count(&mut self, low: u32, high: u32) -> u32 {
        self.between(low.into(), high.into()) as u32
    }

    /// A number from `low` to `high` whose order of magnitude is even, as durations are: a second is as likely as a minute.
    pub(crate) fn magnitude(&mut self, low: u64, high: u64) -> u64 {
        let mut high = high.max(low);
        // Halve the range from above until it is short, or a coin stops it.
        while high > low.max(1).saturating_mul(2) && self.below(2) == 0 {
            high /= 2;
        }
        self.between(low.max(high / 2), high)
    }

    /// True so many times in ten thousand.
    pub(crate) fn chance(&mut self, in_ten_thousand: u32) -> bool {
        self.below(10_000) < u64::from(in_ten_thousand)
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.chance(5_000)
    }

    /// One of several, none where there are none.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let n = of.len() as u64;
        if n == 0 { None } else { of.get(self.below(n) as usize) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_seed_means_is_pinned() {
        let mut dice = Dice::new(42, Stream::Shape);
        let drawn = [dice.bits(), dice.below(1_000), dice.between(5, 9), dice.magnitude(10, 100_000)];
        assert_eq!(drawn, [5_335_173_185_124_105_730, 321, 7, 40_413]);
    }

    #[test]
    fn draws_stay_in_their_ranges_and_reach_both_ends() {
        let mut dice = Dice::new(7, Stream::Host);
        let draws: Vec<u64> = (0..1_000).map(|_| dice.between(3, 6)).collect();
        assert_eq!((draws.iter().min(), draws.iter().max()), (Some(&3), Some(&6)));
        let draws: Vec<u64> = (0..5_000).map(|_| dice.magnitude(10, 100_000)).collect();
        assert!(draws.iter().all(|n| (10..=100_000).contains(n)));
        assert!(draws.iter().any(|n| *n < 100) && draws.iter().any(|n| *n > 50_000));
        assert_eq!((dice.below(1), dice.between(4, 4), dice.pick::<u8>(&[])), (0, 4, None));
        assert!(dice.chance(10_000) && !dice.chance(0));
    }

    #[test]
    fn streams_of_one_seed_differ() {
        assert_ne!(Dice::new(1, Stream::Shape).bits(), Dice::new(1, Stream::Chaos).bits());
        assert_ne!(Dice::new(1, Stream::Shape).bits(), Dice::new(2, Stream::Shape).bits());
    }
}
