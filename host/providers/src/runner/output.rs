//! What a runner writes to its output and to its errors: lines for the host's log, of a bounded length.

use std::{io, os::fd::OwnedFd};

use tokio::net::unix::pipe::Receiver;

use crate::log::MAX_LINE_BYTES;

/// One of the two streams.
pub(super) struct Output {
    /// `None` once it has ended.
    pipe: Option<Receiver>,
    line: Vec<u8>,
}

/// The room for one piece of it.
const PIECE: usize = 4 * 1024;

impl Output {
    /// Needs a tokio runtime.
    pub(super) fn new(pipe: OwnedFd) -> io::Result<Self> {
        Ok(Self { pipe: Some(Receiver::from_owned_fd(pipe)?), line: Vec::new() })
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
                        byte => self.line.push(*byte),
                    }
                    if self.line.len() >= MAX_LINE_BYTES {
                        self.tell(&mut line);
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
        if !text.is_empty() {
            line(text);
        }
        self.line.clear();
    }
}
