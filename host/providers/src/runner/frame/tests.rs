//! Frames in pieces, frames that are too long, and frames that are none.

use proptest::prelude::*;

use super::*;
use crate::heap;

/// Feeds a stream in pieces of some length, and gathers its frames.
fn gather(stream: &[u8], piece: usize) -> Result<Vec<Vec<u8>>, FrameError> {
    let (mut incoming, mut frames) = (Incoming::default(), Vec::new());
    for piece in stream.chunks(piece) {
        incoming.room().extend_from_slice(piece);
        while let Some(frame) = incoming.next()? {
            frames.push(frame.to_vec());
        }
    }
    if incoming.taken == incoming.bytes.len() { Ok(frames) } else { Err(FrameError::CutOff) }
}

/// Reads what there is room for, as a line does, and takes each frame; the most room that there ever was.
fn feed(incoming: &mut Incoming, mut stream: &[u8]) -> usize {
    let mut most = 0;
    while !stream.is_empty() {
        let room = incoming.room();
        let fits = stream.len().min(room.capacity() - room.len());
        assert!(fits > 0, "there is room for some");
        room.extend_from_slice(&stream[..fits]);
        most = most.max(room.capacity());
        stream = &stream[fits..];
        while incoming.next().expect("it makes sense").is_some() {}
    }
    most
}

proptest! {
    #[test]
    fn what_is_written_is_read_in_whatever_pieces_it_comes(
        messages in prop::collection::vec((any::<u64>(), ".{0,40}", prop::collection::vec(".{0,9}", 0..9)), 0..9),
        piece in 1..64_usize,
    ) {
        let frames: Vec<_> = messages.iter().map(|message| encode(message).expect("it is small")).collect();
        let stream = frames.concat();
        let read = gather(&stream, piece).expect("it makes sense");
        let read: Vec<(u64, String, Vec<String>)> =
            read.iter().map(|frame| decode(frame).expect("it is a message")).collect();
        prop_assert_eq!(&read, &messages);
        let mut waiting = &stream[..];
        for message in &messages {
            let frame = super::read(&mut waiting).expect("it makes sense").expect("it is there");
            prop_assert_eq!(&decode::<(u64, String, Vec<String>)>(&frame).expect("it is a message"), message);
        }
        prop_assert!(super::read(&mut waiting).expect("it has ended").is_none());
    }

    #[test]
    fn no_garbage_is_worse_than_an_error(garbage in prop::collection::vec(any::<u8>(), 0..256), piece in 1..64_usize) {
        // What they are read as is nothing to a test; that they are read at all is all it asks.
        let _ = gather(&garbage, piece).map(|frames| frames.len());
        let _ = decode::<(u64, String, Vec<String>)>(&garbage).is_ok();
    }
}

#[test]
fn a_length_is_believed_up_to_the_limit() {
    let longest = u32::try_from(FRAME_LIMIT).expect("it fits").to_le_bytes();
    let mut incoming = Incoming::default();
    incoming.room().extend_from_slice(&longest);
    assert!(matches!(incoming.next(), Ok(None)), "it may yet come");
    let too_long = (u32::try_from(FRAME_LIMIT).expect("it fits") + 1).to_le_bytes();
    assert!(matches!(gather(&too_long, 1), Err(FrameError::TooLong { bytes }) if bytes == FRAME_LIMIT + 1));
    assert!(matches!(read(&mut &too_long[..]), Err(FrameError::TooLong { .. })));
}

#[test]
fn what_no_frame_can_hold_is_not_written() {
    let most = vec![7_u8; FRAME_LIMIT - 4];
    assert!(encode(&most).is_ok(), "with its own length it fits");
    assert_eq!(encode(&vec![7_u8; FRAME_LIMIT]), Err(TooLarge));
}

#[test]
fn a_stream_that_ends_within_a_frame_is_cut_off() {
    let whole = encode(&"hello").expect("it is small");
    for end in 1..whole.len() {
        assert!(matches!(gather(&whole[..end], 1), Err(FrameError::CutOff)), "{end}");
        assert!(matches!(read(&mut &whole[..end]), Err(FrameError::CutOff)), "{end}");
    }
}

#[test]
fn what_follows_a_message_is_no_part_of_it() {
    let frame = encode(&(7_u8, "rest")).expect("it is small");
    let frame = gather(&frame, 64).expect("it makes sense").remove(0);
    assert!(matches!(decode::<u8>(&frame), Err(FrameError::Senseless(_))));
    let (seven, rest) = decode_first::<u8>(&frame).expect("it begins so");
    assert_eq!((seven, decode::<&str>(rest).expect("and goes on so")), (7, "rest"));
}

#[test]
fn a_large_frame_leaves_no_large_room_behind() {
    let mut incoming = Incoming::default();
    incoming.room().extend(encode(&vec![1_u8; 8 * KEPT_ROOM]).expect("it fits"));
    assert!(incoming.next().expect("it makes sense").is_some());
    assert!(incoming.room().capacity() <= KEPT_ROOM);
}

proptest! {
    #[test]
    fn a_stream_that_was_damaged_is_an_error_or_other_frames_and_takes_no_more_room(
        messages in prop::collection::vec((any::<u64>(), ".{0,40}"), 1..9),
        flips in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        end in any::<prop::sample::Index>(),
        piece in 1..64_usize,
    ) {
        let mut stream: Vec<_> = messages.iter().flat_map(|message| encode(message).expect("it is small")).collect();
        for flip in flips {
            let bit = flip.index(stream.len() * 8);
            stream[bit / 8] ^= 1 << (bit % 8);
        }
        stream.truncate(end.index(stream.len()) + 1);
        let (read, most) = heap::peak(|| gather(&stream, piece));
        prop_assert!(most <= PREFIX + FRAME_LIMIT + PIECE + 64 * stream.len() + 4096, "{most}");
        match read {
            Ok(frames) => for frame in frames {
                if let Err(error) = decode::<(u64, String)>(&frame) {
                    prop_assert!(error.to_string().starts_with("a frame is no message: "), "{error}");
                }
            },
            Err(FrameError::CutOff) => {}
            Err(FrameError::TooLong { bytes }) => prop_assert!(bytes > FRAME_LIMIT),
            Err(other) => prop_assert!(false, "{other}"),
        }
        // Whoever waits for a frame sees the same.
        let (mut rest, mut count) = (&stream[..], 0);
        while let Ok(Some(_)) = super::read(&mut rest) {
            count += 1;
        }
        prop_assert!(count <= stream.len() / PREFIX);
    }
}

#[test]
fn the_longest_frame_takes_no_more_room_than_it_is_long() {
    let mut incoming = Incoming::default();
    let frame = encode(&postcard_bytes(FRAME_LIMIT)).expect("it fits");
    assert!(frame.len() > FRAME_LIMIT - 8, "{}", frame.len());
    let most = feed(&mut incoming, &frame);
    assert!(most <= PREFIX + FRAME_LIMIT + PIECE, "{most}");
}

/// Bytes that are a frame of that length, but for a few.
fn postcard_bytes(length: usize) -> Vec<u8> {
    vec![1; length - 4]
}

#[test]
fn frames_that_are_cut_wherever_that_hurts_take_no_more_room_than_others() {
    // Each time that anybody looks, a frame is there and the first bytes of the next one's length.
    let frame = encode(&"x".repeat(PIECE / 4)).expect("it fits");
    for cut in 1..=PREFIX + 1 {
        let mut incoming = Incoming::default();
        let mut most = feed(&mut incoming, &frame[..cut]);
        for _ in 0..100 {
            let next = [&frame[cut..], &frame[..cut]].concat();
            most = most.max(feed(&mut incoming, &next));
        }
        assert!(most <= 2 * PIECE, "cut at {cut}: {most}");
    }
}

#[test]
fn a_frame_that_is_there_can_be_left_there() {
    let mut incoming = Incoming::default();
    incoming.room().extend(encode(&"first").expect("it fits"));
    incoming.room().extend(&encode(&"second").expect("it fits")[..6]);
    assert_eq!(incoming.next_length().expect("it makes sense"), Some(6));
    assert_eq!(incoming.next_length().expect("it makes sense"), Some(6), "it was not taken");
    assert_eq!(
        decode::<&str>(incoming.next().expect("it makes sense").expect("it is there")).ok(),
        Some("first")
    );
    assert_eq!(incoming.next_length().expect("it makes sense"), None, "it is not there as a whole");
}
