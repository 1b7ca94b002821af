//! How much memory answers may take while they are read. A small one is read where it is heard, and takes no room: it may take as
//! much as [`weight`] says of [`LARGE`], some 70 MiB where it is nothing but empty handles, and a thread of the runtime reads one
//! after the other. A large one waits until there is room for it, and while it waits its runner is not listened to, so that what
//! comes then stays where it is: with the runner.

use std::{
    pin::Pin,
    sync::{Arc, LazyLock},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::frame::FRAME_LIMIT;
use crate::check::MAX_ENTRIES;

/// A frame that is longer is read only when there is room for it, on a thread that may take its time.
pub(super) const LARGE: usize = 256 * 1024;

/// The most memory that large answers may take together while they are read, whichever runners they come from, in bytes.
pub(super) const READING_LIMIT: usize = 512 << 20;

/// What an entry of an answer takes at most beside its bytes: as it is read, as it is handed on, in the look for those that stand
/// there twice, and as it is told, with what the allocator adds.
const ENTRY: usize = 272;

/// Room is measured in pieces of so many bytes.
const UNIT: usize = 1 << 10;

/// The memory that a frame of so many bytes takes at most while it is read: three times its bytes, as it is kept, and as texts of
/// their own twice; and its entries, which are no more than its bytes and no more than any answer may have.
pub(super) const fn weight(bytes: usize) -> usize {
    let entries = if bytes < MAX_ENTRIES { bytes } else { MAX_ENTRIES };
    3 * bytes + ENTRY * entries
}

const _: () = assert!(weight(FRAME_LIMIT) <= READING_LIMIT, "there is room for the longest answer");
const _: () = assert!(weight(LARGE) <= 70 << 20, "what the small ones may take is as it is told above");

/// Where all large answers are read.
static ROOM: LazyLock<Room> = LazyLock::new(|| Room::of(READING_LIMIT));

/// Room for answers.
#[derive(Clone)]
pub(super) struct Room(Arc<Semaphore>);

/// Room that was had for one answer, until this is dropped.
pub(super) type Place = OwnedSemaphorePermit;

/// Room that is waited for.
pub(super) type Waiting = Pin<Box<dyn Future<Output = Place> + Send>>;

impl Room {
    pub(super) fn of_all() -> &'static Self {
        &ROOM
    }

    pub(super) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / UNIT)))
    }

    /// Room for a frame of so many bytes; where there is none at the moment, something to wait for, in turn.
    pub(super) fn place(&self, bytes: usize) -> Result<Place, Waiting> {
        // The longest one fits, and this does.
        let units = u32::try_from(weight(bytes).div_ceil(UNIT)).unwrap_or(u32::MAX);
        Arc::clone(&self.0).try_acquire_many_owned(units).map_err(|_| -> Waiting {
            let room = Arc::clone(&self.0);
            Box::pin(async move {
                match room.acquire_many_owned(units).await {
                    Ok(place) => place,
                    // Nobody closes it.
                    Err(_) => std::future::pending().await,
                }
            })
        })
    }
}

/// There is no room at the moment.
#[derive(Debug)]
pub(super) struct NotYet;

/// What has come of the wait of one runner.
#[derive(Default)]
pub(super) enum Reading {
    /// Nothing is waited for.
    #[default]
    Free,
    /// A large frame is there, and no room for it.
    Waiting(Waiting),
    /// There is room for it.
    Had(Place),
}

impl Reading {
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }

    /// Takes what the next frame needs to be read, which has so many bytes: room, if it is a large one. Not where that has to be
    /// [waited for](Self::had) first.
    pub(super) fn place(&mut self, room: &Room, bytes: usize) -> Result<Option<Place>, NotYet> {
        if bytes <= LARGE {
            return Ok(None);
        }
        match std::mem::take(self) {
            Self::Had(place) => return Ok(Some(place)),
            Self::Waiting(waiting) => *self = Self::Waiting(waiting),
            Self::Free => match room.place(bytes) {
                Ok(place) => return Ok(Some(place)),
                Err(waiting) => *self = Self::Waiting(waiting),
            },
        }
        Err(NotYet)
    }

    /// Waits until there is the room that is waited for, and for ever where none is. May be dropped and called again, which keeps the
    /// turn.
    pub(super) async fn had(&mut self) {
        match self {
            Self::Waiting(waiting) => *self = Self::Had(waiting.await),
            Self::Free | Self::Had(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
        time::Duration,
    };

    use longshore_plugin_abi::abi_stable::std_types::RStr;
    use serde::Serialize;

    use super::*;
    use crate::{
        ask::{Raw, Texts},
        call::Answer,
        check,
        error::CallError,
        heap,
        runner::{
            frame::{decode, encode},
            wire::Outcome,
        },
    };

    /// Whether the room is there now.
    fn is_had(reading: &mut Reading) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        pin!(reading.had()).poll(&mut context).is_ready()
    }

    #[test]
    fn what_there_is_no_room_for_waits_in_turn_and_keeps_its_turn() {
        let room = Room::of(weight(2 * LARGE));
        let [mut first, mut second, mut third] = [Reading::Free, Reading::Free, Reading::Free];
        let place = first.place(&room, 2 * LARGE).expect("all the room is there").expect("and is needed");
        assert!(second.place(&room, LARGE + 1).is_err() && second.is_waiting());
        assert!(third.place(&room, LARGE + 1).is_err());
        // Who asks again does not lose its turn, nor does a wait that is given up for a moment.
        assert!(!is_had(&mut second) && !is_had(&mut third) && second.place(&room, LARGE + 1).is_err());
        let small = third.place(&room, LARGE).expect("a small one is read at once");
        assert!(small.is_none(), "and needs no room");
        drop(place);
        assert!(is_had(&mut second) && !is_had(&mut third), "the second fills the room");
        let place = second.place(&room, LARGE + 1).expect("it is had").expect("and is needed");
        assert!(!is_had(&mut second) && !second.is_waiting(), "nothing more is waited for");
        drop(place);
        assert!(is_had(&mut third));
    }

    /// What becomes of an answer of these bytes, and whether it took no more memory than it should.
    fn read<T>(
        said: &impl Serialize,
        check: impl FnOnce(Answer<Raw>) -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let frame = encode(said).expect("it fits").split_off(size_of::<u32>());
        let (answer, peak) = heap::peak(|| {
            // As a desk does it, which copies it first.
            let outcome = frame.clone();
            let answer = decode::<Outcome<'_>>(&outcome).expect("it makes sense");
            let answer = check(answer.into_answer(Duration::ZERO));
            drop(outcome);
            answer
        });
        assert!(peak <= weight(frame.len()), "{peak} bytes for {}", frame.len());
        answer
    }

    #[test]
    fn the_smallest_handles_of_a_run_take_no_more_than_they_are_counted_for() {
        for handle in ["", "x"] {
            for more in [0, 1, MAX_ENTRIES] {
                let handles = vec![RStr::from_str(handle); MAX_ENTRIES + more];
                let said = Outcome::Run { handles: Texts(handles).into(), shortfall: None };
                let violation = match read(&said, |answer| Ok(check::run(5, 1, answer?.run()?))) {
                    Ok(checked) => checked.expect_err("5 were asked for"),
                    Err(CallError::Violation(violation)) => violation,
                    Err(other) => panic!("{other}"),
                };
                assert_eq!(violation.clause.id(), "RUN-2");
                let given = (MAX_ENTRIES + more).to_string();
                assert!(violation.detail.contains(&given), "{}", violation.detail);
                let claimed: Vec<_> =
                    violation.claimed.iter().map(|(handle, workers)| (&**handle, *workers)).collect();
                let all = (!handle.is_empty()).then_some((handle, MAX_ENTRIES as u32));
                assert_eq!(claimed, Vec::from_iter(all), "what it did name may be alive");
            }
        }
    }

    #[test]
    fn the_smallest_reasons_of_a_kill_take_no_more_than_they_are_counted_for() {
        for more in [0, 1, MAX_ENTRIES] {
            let reasons = std::iter::repeat_n((0, "x"), MAX_ENTRIES + more).collect();
            let said = Outcome::Kill { answers: &[0], reasons };
            let checked = read(&said, |answer| check::kill(1, answer?.kill()?).map_err(CallError::Violation));
            match checked {
                Ok(killed) if more == 0 => assert_eq!(killed.len(), 1),
                Err(CallError::Violation(violation)) if more > 0 => {
                    assert_eq!(violation.clause.id(), "KILL-1");
                    assert!(violation.detail.ends_with("reasons, of at most 1048576 in one answer"));
                }
                other => panic!("{more}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_smallest_entries_of_a_list_take_no_more_than_they_are_counted_for() {
        let names: Vec<_> = (0..=MAX_ENTRIES).map(|number| format!("{number:x}")).collect();
        for (count, is_sound) in [(MAX_ENTRIES, true), (MAX_ENTRIES + 1, false)] {
            let entries = names[..count].iter().map(|name| (name.as_str(), "t", 1)).collect();
            let checked = read(&Outcome::List(entries), |answer| {
                check::list(answer?.list()?).map_err(CallError::Violation)
            });
            match checked {
                Ok(listed) if is_sound => assert_eq!(listed.len(), MAX_ENTRIES),
                Err(CallError::Violation(violation)) if !is_sound => {
                    assert_eq!(violation.clause.id(), "LIST-1");
                    assert!(violation.detail.starts_with("it answered with 1048577 handles"));
                }
                other => panic!("{count}: {:?}", other.map(|listed| listed.len())),
            }
        }
    }
}
