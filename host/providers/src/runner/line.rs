//! The host's end of the line to a runner: written to from any thread at once, as far as the line takes it, and by its own
//! task where it does not.

use std::{
    collections::VecDeque,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{
    io::AsyncReadExt as _,
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
};

use super::frame::Incoming;

/// The end that is written to.
pub(super) struct Line {
    stream: OwnedWriteHalf,
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
    /// Both ends. Needs a tokio runtime.
    pub(super) fn new(stream: std::os::unix::net::UnixStream) -> io::Result<(Self, Ear)> {
        stream.set_nonblocking(true)?;
        let (hear, stream) = UnixStream::from_std(stream)?.into_split();
        Ok((Self { stream, outbox: Mutex::default(), more: Notify::new() }, Ear(hear)))
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

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        // Nothing that panics is done under this lock.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that is read from.
pub(super) struct Ear(OwnedReadHalf);

/// The least room that there is for what comes in.
const PIECE: usize = 64 * 1024;

impl Ear {
    /// Waits for more of what comes in; how many bytes, and none at the end. May be dropped and called again.
    pub(super) async fn read(&mut self, incoming: &mut Incoming) -> io::Result<usize> {
        let room = incoming.room();
        room.reserve(PIECE);
        self.0.read_buf(room).await
    }

    /// Takes what has come in already.
    pub(super) fn take(&self, incoming: &mut Incoming) -> io::Result<usize> {
        let room = incoming.room();
        room.reserve(PIECE);
        self.0.try_read_buf(room)
    }
}
