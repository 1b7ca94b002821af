//! Several of something in a frame, as it was said by somebody who may say anything: all are counted, and no more are kept than
//! anybody has a use for. A frame of empty texts would otherwise come to fifty times its own size.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
};

/// The first `MOST` of what was said, and how many there were. Whoever says something has it all.
#[derive(Debug)]
pub(super) struct Few<T, const MOST: usize> {
    kept: Vec<T>,
    count: usize,
}

impl<T, const MOST: usize> Few<T, MOST> {
    /// How many were said.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether all that was said is here.
    pub(super) fn is_whole(&self) -> bool {
        self.count == self.kept.len()
    }

    pub(super) fn into_kept(self) -> Vec<T> {
        self.kept
    }
}

impl<T, const MOST: usize> FromIterator<T> for Few<T, MOST> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        let kept = Vec::from_iter(all);
        Self { count: kept.len(), kept }
    }
}

impl<T: Serialize, const MOST: usize> Serialize for Few<T, MOST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.kept.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Few<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(First(PhantomData))
    }
}

struct First<T, const MOST: usize>(PhantomData<fn() -> T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for First<T, MOST> {
    type Value = Few<T, MOST>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("several")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<Self::Value, A::Error> {
        // It is said beforehand, and true of no more than there are bytes.
        let mut kept = Vec::with_capacity(all.size_hint().unwrap_or(0).min(MOST));
        let mut count = 0;
        while let Some(one) = all.next_element()? {
            count += 1;
            if kept.len() < MOST {
                kept.push(one);
            }
        }
        Ok(Few { kept, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_first_are_kept() {
        for said in [&["a", "b"][..], &["a", "b", "c"], &["a", "b", "c", "", ""]] {
            let bytes = postcard::to_stdvec(&(said, 7_u8)).expect("there is room");
            let (few, seven): (Few<&str, 3>, u8) = postcard::from_bytes(&bytes).expect("it is what was said");
            assert_eq!((few.count(), few.is_whole(), seven), (said.len(), said.len() <= 3, 7));
            assert_eq!(few.into_kept(), said[..said.len().min(3)]);
        }
    }

    #[test]
    fn what_is_announced_and_does_not_come_takes_no_room() {
        // As many as a number can say, of which one is there.
        let announced = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1, b'a'];
        assert!(postcard::from_bytes::<Few<&str, 3>>(&announced).is_err());
        assert!(postcard::from_bytes::<Few<&str, { usize::MAX }>>(&announced).is_err());
    }
}
