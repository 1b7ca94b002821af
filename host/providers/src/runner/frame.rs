//! Frames: a stream of bytes in pieces, each with its length before it, and in each piece one message in a compact form. A
//! length is believed only up to a limit, and nothing is taken for a message but what is one to its last byte.

use std::{
    fmt,
    io::{self, Read},
};

use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use crate::error::Function;

/// The longest frame, in bytes, its length not counted: a call about a hundred thousand handles of the greatest length
/// needs a third of it.
pub(crate) const FRAME_LIMIT: usize = 64 << 20;

/// The bytes of a frame's length.
const PREFIX: usize = size_of::<u32>();

/// The room that is kept for the next frames when a large one has been read.
const KEPT_ROOM: usize = 1 << 20;

/// The room that there is for what comes in, at least, where nobody knows yet how much that is.
const PIECE: usize = 64 * 1024;

/// Why a stream makes no sense, or has ended.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// A frame is announced that is longer than any may be.
    TooLong { bytes: usize },
    /// A frame's bytes are no message.
    Senseless(postcard::Error),
    /// A call is answered that was not asked for, or was answered before.
    Unasked { call: u64 },
    /// A call is answered with what another function answers.
    OtherKind(Function),
    /// Something is said where it cannot be said.
    Misplaced(&'static str),
    /// The stream ended within a frame.
    CutOff,
    /// It could not be read.
    Unreadable(io::Error),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => {
                write!(f, "a frame of {bytes} bytes is announced, of at most {FRAME_LIMIT}")
            }
            Self::Senseless(error) => write!(f, "a frame is no message: {error}"),
            Self::Unasked { call } => {
                write!(f, "it answers call {call}, of which it was not told, or not since")
            }
            Self::OtherKind(function) => write!(f, "it answers {function} as another function is answered"),
            Self::Misplaced(what) => write!(f, "it says {what}, which cannot be said then"),
            Self::CutOff => f.write_str("the stream ends within a frame"),
            Self::Unreadable(error) => write!(f, "the stream cannot be read: {error}"),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// A message that no frame can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// A message, or two that belong together, as one frame.
pub(crate) fn encode(message: &impl Serialize) -> Result<Vec<u8>, TooLarge> {
    encode_in(message, 0)
}

/// The same, for a message that needs about so many bytes: memory that grows with what is written is copied on the way.
pub(crate) fn encode_in(message: &impl Serialize, room: usize) -> Result<Vec<u8>, TooLarge> {
    let mut frame = Vec::with_capacity(PREFIX + room.min(FRAME_LIMIT));
    frame.extend([0; PREFIX]);
    // What is written is text and numbers, which nothing but a want of room can hinder.
    postcard::serialize_with_flavor(message, Writer(frame)).map_err(|_| TooLarge)
}

/// Writes a frame into one piece of memory, and not beyond the limit.
struct Writer(Vec<u8>);

impl Writer {
    fn room(&self, more: usize) -> postcard::Result<()> {
        let fits = self.0.len() - PREFIX + more <= FRAME_LIMIT;
        fits.then_some(()).ok_or(postcard::Error::SerializeBufferFull)
    }
}

impl Flavor for Writer {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.room(1)?;
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.room(bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(mut self) -> postcard::Result<Self::Output> {
        let length = (self.0.len() - PREFIX) as u32;
        self.0[..PREFIX].copy_from_slice(&length.to_le_bytes());
        Ok(self.0)
    }
}

/// The message that a frame is, to its last byte.
pub(crate) fn decode<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> Result<T, FrameError> {
    let (message, rest) = decode_first(frame)?;
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(FrameError::Senseless(postcard::Error::DeserializeBadEncoding))
    }
}

/// The message that a frame begins with, and what follows it.
pub(crate) fn decode_first<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> Result<(T, &'a [u8]), FrameError> {
    postcard::take_from_bytes(frame).map_err(FrameError::Senseless)
}

fn length(prefix: [u8; PREFIX]) -> Result<usize, FrameError> {
    let bytes = u32::from_le_bytes(prefix) as usize;
    if bytes > FRAME_LIMIT { Err(FrameError::TooLong { bytes }) } else { Ok(bytes) }
}

/// Reads one frame, waiting for it; nothing where the stream ends before it.
pub(crate) fn read(stream: &mut impl Read) -> Result<Option<Vec<u8>>, FrameError> {
    let mut prefix = [0; PREFIX];
    let first = loop {
        match stream.read(&mut prefix) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read?,
        }
    };
    if first == 0 {
        return Ok(None);
    }
    let cut_off = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => FrameError::CutOff,
        _ => FrameError::Unreadable(error),
    };
    stream.read_exact(&mut prefix[first..]).map_err(cut_off)?;
    let mut frame = vec![0; length(prefix)?];
    stream.read_exact(&mut frame).map_err(cut_off)?;
    Ok(Some(frame))
}

/// What has come in of a stream that is read as its bytes come. Whatever comes, and however it is cut: where frames are taken before
/// more is read, it takes no more memory than the longest frame and one [`PIECE`].
#[derive(Default)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    /// How much of it has been taken.
    taken: usize,
}

impl Incoming {
    /// Where more bytes go: behind those that are there. There is room for some; whoever reads no more than that is held to it.
    pub(crate) fn room(&mut self) -> &mut Vec<u8> {
        // What was taken makes room first, be it for the first byte of another frame.
        self.bytes.drain(..self.taken);
        self.taken = 0;
        if self.bytes.is_empty() {
            self.bytes.shrink_to(KEPT_ROOM);
        }
        let missing = match self.end_of_next() {
            Ok(Some(end)) if end > self.bytes.len() => end - self.bytes.len(),
            _ => PIECE,
        };
        if self.bytes.capacity() - self.bytes.len() < missing {
            self.bytes.reserve_exact(missing.max(PIECE));
        }
        &mut self.bytes
    }

    /// How long the next frame is, when it is there as a whole.
    pub(crate) fn next_length(&self) -> Result<Option<usize>, FrameError> {
        let end = self.end_of_next()?.filter(|end| *end <= self.bytes.len());
        Ok(end.map(|end| end - self.taken - PREFIX))
    }

    /// The next frame that is there as a whole.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let Some(length) = self.next_length()? else { return Ok(None) };
        let begin = self.taken + PREFIX;
        self.taken = begin + length;
        Ok(Some(&self.bytes[begin..self.taken]))
    }

    /// Where the next frame ends, as soon as its length is there.
    fn end_of_next(&self) -> Result<Option<usize>, FrameError> {
        let Some(prefix) = self.bytes[self.taken..].first_chunk::<PREFIX>() else { return Ok(None) };
        Ok(Some(self.taken + PREFIX + length(*prefix)?))
    }
}

#[cfg(test)]
mod tests;
