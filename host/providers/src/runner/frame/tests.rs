//! Frames in pieces, frames that are too long, and frames that are none.

use proptest::prelude::*;

use super::*;

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
