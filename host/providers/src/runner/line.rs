//! The host's end of the line to a runner: written to from any thread at once, as far as the line takes it, and by its own
//! task where it does not.

use std::{
    collections::VecDeque,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{net::UnixStream, sync::Notify};

use super::frame::Incoming;

/// A line to a runner.
pub(super) struct Line {
    stream: UnixStream,
    /// What the line has not taken yet. It is as much as the calls that are let in have to say.
    outbox: Mutex<Outbox>,
    more: Notify,
}

#[derive(Default)]
struct Outbox {
    frames: VecDeque<Vec<u8>>,
    /// How much of the first one is gone.
    gone: usize,
}

impl Line {
    /// Needs a tokio runtime.
    pub(super) fn new(stream: std::os::unix::net::UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        Ok(Self { stream, outbox: Mutex::default(), more: Notify::new() })
    }

    /// Sends a frame. A line that is broken takes it like any other: its end is noticed by who reads.
    pub(super) fn send(&self, frame: Vec<u8>) {
        let mut outbox = self.outbox();
        outbox.frames.push_back(frame);
        if outbox.frames.len() == 1 && !self.push(&mut outbox) {
            drop(outbox);
            self.more.notify_one();
        }
    }

    /// Writes what the line takes; whether that is all.
    fn push(&self, outbox: &mut Outbox) -> bool {
        while let Some(first) = outbox.frames.front() {
            match self.stream.try_write(&first[outbox.gone..]) {
                Ok(written) => outbox.gone += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(_) => {
                    // Nobody is there to hear the rest.
                    *outbox = Outbox::default();
                    return true;
                }
            }
            if outbox.gone == first.len() {
                outbox.frames.pop_front();
                outbox.gone = 0;
            }
        }
        true
    }

    /// Writes what waits as the line takes it, for as long as it is awaited.
    pub(super) async fn write(&self) -> ! {
        loop {
            while !self.push(&mut self.outbox()) {
                if self.stream.writable().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
            self.more.notified().await;
        }
    }

    /// Waits for more of what comes in; how many bytes, and none at the end. May be dropped and called again.
    pub(super) async fn read(&self, incoming: &mut Incoming) -> io::Result<usize> {
        loop {
            self.stream.readable().await?;
            match self.take(incoming) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    /// Takes what has come in already.
    pub(super) fn take(&self, incoming: &mut Incoming) -> io::Result<usize> {
        let room = incoming.room();
        room.reserve(PIECE);
        self.stream.try_read_buf(room)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        // Nothing that panics is done under this lock.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The least room that there is for what comes in.
const PIECE: usize = 64 * 1024;
