//! A set of numbers of workers, as bits. It has no opinion on what they are the sums of.

/// A set of numbers from 0 to a limit. Its operations touch only the words between its least and its greatest member.
#[derive(Debug)]
pub(super) struct Sums {
    words: Vec<u64>,
    /// Sets the bits up to the limit in the last word.
    last: u64,
    /// Every number in the words below this one is a member, so nothing is left to add there.
    full: usize,
    /// No word below this one has a member.
    low: usize,
    /// No word above this one has a member.
    high: usize,
}

impl Sums {
    /// Only `sum`, with room for the numbers up to `limit`.
    pub(super) fn only(sum: usize, limit: usize) -> Self {
        let words = vec![0; limit / 64 + 1];
        let mut this = Self { words, last: u64::MAX >> (63 - limit % 64), full: 0, low: 0, high: 0 };
        this.reset(sum);
        this
    }

    /// Forgets all members but `sum`.
    pub(super) fn reset(&mut self, sum: usize) {
        self.words[self.low..=self.high].fill(0);
        (self.full, self.low, self.high) = (0, sum / 64, sum / 64);
        self.words[sum / 64] = 1 << (sum % 64);
    }

    /// Adds `sum + by` for every member `sum`, as far as the limit allows; `found` is told of each new member.
    pub(super) fn raise(&mut self, by: usize, mut found: impl FnMut(usize)) {
        let (shift, bits) = (by / 64, by % 64);
        let top = self.words.len() - 1;
        let high = self.high.saturating_add(shift + 1).min(top);
        // From the top, so that what is read has not been written yet.
        for to in (self.low.saturating_add(shift).max(self.full)..=high).rev() {
            let from = to - shift;
            let carried = if bits > 0 && from > 0 { self.words[from - 1] >> (64 - bits) } else { 0 };
            let raised = self.words[from] << bits | carried;
            self.insert(to, if to == top { raised & self.last } else { raised }, &mut found);
        }
        self.high = self.high.max(high);
        self.tighten();
    }

    /// Adds `sum - by` for every member `sum` that is at least `by`; `found` is told of each new member.
    pub(super) fn lower(&mut self, by: usize, mut found: impl FnMut(usize)) {
        let (shift, bits) = (by / 64, by % 64);
        let low = self.low.saturating_sub(shift + 1);
        // From the bottom, so that what is read has not been written yet.
        for to in low.max(self.full)..(self.high + 1).saturating_sub(shift) {
            let from = to + shift;
            let carried = if bits > 0 && from < self.high { self.words[from + 1] << (64 - bits) } else { 0 };
            self.insert(to, self.words[from] >> bits | carried, &mut found);
        }
        self.low = low;
        self.tighten();
    }

    /// Takes words that turned out to have no member, or all, out of those to be looked at.
    fn tighten(&mut self) {
        while self.high > self.low && self.words[self.high] == 0 {
            self.high -= 1;
        }
        while self.low < self.high && self.words[self.low] == 0 {
            self.low += 1;
        }
        while self.full < self.high && self.words[self.full] == u64::MAX {
            self.full += 1;
        }
    }

    fn insert(&mut self, word: usize, members: u64, found: &mut impl FnMut(usize)) {
        let mut new = members & !self.words[word];
        self.words[word] |= new;
        while new != 0 {
            found(word * 64 + new.trailing_zeros() as usize);
            new &= new - 1;
        }
    }

    /// Whether `sum`, which is within the limit, is a member.
    pub(super) fn contains(&self, sum: usize) -> bool {
        self.words[sum / 64] >> (sum % 64) & 1 == 1
    }

    /// The members, from the least on.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        (self.low..=self.high).flat_map(|word| {
            let mut left = self.words[word];
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
                left &= left - 1;
                Some(word * 64 + bit)
            })
        })
    }
}
