//! What a runner writes to its output and to its errors: lines for the host's log, of a bounded length.

use std::{io, os::fd::OwnedFd};

use longshore_config::cut_off;
use tokio::net::unix::pipe::Receiver;

use crate::log::MAX_LINE_BYTES;

/// One of the two streams.
pub(super) struct Output {
    /// `None` once it has ended.
    pipe: Option<Receiver>,
    line: Vec<u8>,
    /// How many bytes more the line has than are kept.
    more: usize,
}

/// The room for one piece of it.
const PIECE: usize = 4 * 1024;
/// What is kept of a line; there is room left to say that it was cut. The rest is not a line of its own: what must not be in a log
/// would be in none of the two as a whole.
const KEPT: usize = MAX_LINE_BYTES - 64;

impl Output {
    /// Needs a tokio runtime.
    pub(super) fn new(pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self { pipe: Some(Receiver::from_owned_fd(pipe)?), line: Vec::new(), more: 0 })
    }

    /// Waits for more of it, and hands out each line that is complete. When it has ended it waits for ever. May be dropped
    /// and called again.
    pub(super) async fn hear(&mut self, line: impl FnMut(&str)) {
        let Some(pipe) = &self.pipe else { return std::future::pending().await };
        let readable = pipe.readable().await;
        if readable.is_err() || !self.take(line) {
            self.pipe = None;
        }
    }

    /// Hands out what is there already; false at its end.
    fn take(&mut self, mut line: impl FnMut(&str)) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        let mut piece = [0; PIECE];
        match pipe.try_read(&mut piece) {
            Ok(0) => {
                self.tell(&mut line);
                false
            }
            Ok(read) => {
                for byte in &piece[..read] {
                    match byte {
                        b'\n' => self.tell(&mut line),
                        byte if self.line.len() < KEPT => self.line.push(*byte),
                        _ => self.more += 1,
                    }
                }
                true
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Hands out the rest, when nobody writes any more.
    pub(super) fn finish(&mut self, mut line: impl FnMut(&str)) {
        /// Who still has the other end is not listened to for ever.
        const PIECES: usize = 64;
        for _ in 0..PIECES {
            if !self.take(&mut line) {
                break;
            }
        }
        self.tell(&mut line);
        self.pipe = None;
    }

    fn tell(&mut self, line: &mut impl FnMut(&str)) {
        let text = String::from_utf8_lossy(&self.line);
        let text = text.trim_end();
        if self.more > 0 {
            // Half of a character is not shown: what is taken away before the cut is counted in bytes of the text.
            line(&cut_off(text.trim_end_matches(char::REPLACEMENT_CHARACTER), self.more));
        } else if !text.is_empty() {
            line(text);
        }
        self.line.clear();
        self.more = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[tokio::test]
    async fn a_long_line_is_cut_and_not_told_in_pieces() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let mut output = Output::new(reader.into()).expect("it can be listened to");
        let long = format!("{}é{}\nshort\n\nthe end", "x".repeat(KEPT - 1), "y".repeat(2 * MAX_LINE_BYTES));
        writer.write_all(long.as_bytes()).expect("it has the room");
        drop(writer);
        let mut lines = vec![];
        output.hear(|line| lines.push(line.to_owned())).await;
        output.finish(|line| lines.push(line.to_owned()));
        let [cut, short, end] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((&short[..], &end[..]), ("short", "the end"));
        assert_eq!(*cut, format!("{}… ({} bytes cut off)", "x".repeat(KEPT - 1), 2 * MAX_LINE_BYTES + 1));
        assert!(cut.len() <= MAX_LINE_BYTES);
    }
}
