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
    /// What the line has not taken yet. It is as much as the calls that are let in have to say: what answers a call that is
    /// still here is not believed, see [`Line::has_told`].
    outbox: Mutex<Outbox>,
    more: Notify,
}

#[derive(Default)]
struct Outbox {
    /// Each with the call that it tells of, where it does.
    frames: VecDeque<(Option<u64>, Vec<u8>)>,
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

    /// Sends a frame, which tells of a call or does not. A line that is broken takes it like any other: its end is noticed by who
    /// reads.
    pub(super) fn send(&self, call: Option<u64>, frame: Vec<u8>) {
        let mut outbox = self.outbox();
        outbox.frames.push_back((call, frame));
        if outbox.frames.len() == 1 && !self.push(&mut outbox) {
            drop(outbox);
            self.more.notify_one();
        }
    }

    /// Writes what the line takes; whether that is all.
    fn push(&self, outbox: &mut Outbox) -> bool {
        while let Some((_, first)) = outbox.frames.front() {
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

    /// Whether nothing of a call is still to be told. Who answers it before that cannot know of it.
    pub(super) fn has_told(&self, call: u64) -> bool {
        self.outbox().frames.iter().all(|(of, _)| *of != Some(call))
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        // Nothing that panics is done under this lock.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that is read from.
pub(super) struct Ear(OwnedReadHalf);

impl Ear {
    /// Waits for more of what comes in; how many bytes, and none at the end. May be dropped and called again.
    pub(super) async fn read(&mut self, incoming: &mut Incoming) -> io::Result<usize> {
        self.0.read_buf(incoming.room()).await
    }

    /// Takes what has come in already.
    pub(super) fn take(&self, incoming: &mut Incoming) -> io::Result<usize> {
        self.0.try_read_buf(incoming.room())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Read as _;

    use super::*;

    /// Writes until all of a call is told. Nothing is, before the runtime has seen that the line takes anything.
    pub(in super::super) async fn until_told(line: &Line, call: u64) {
        while !line.has_told(call) {
            tokio::select! {
                biased;
                never = line.write() => match never {},
                () = tokio::task::yield_now() => {}
            }
        }
    }

    #[tokio::test]
    async fn what_is_not_heard_is_not_told() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("a line");
        let (line, _ear) = Line::new(ours).expect("there is a runtime");
        // More than any line takes by itself.
        let frame = vec![7; 64 << 20];
        line.send(Some(1), b"short".to_vec());
        until_told(&line, 1).await;
        assert!(line.has_told(2), "nothing waits");
        line.send(Some(2), frame.clone());
        line.send(None, b"more".to_vec());
        assert!(line.has_told(1) && !line.has_told(2));
        let heard = std::thread::spawn(move || {
            let mut all = vec![0; 5 + (64 << 20) + 4];
            (&theirs).read_exact(&mut all).map(|()| all)
        });
        tokio::select! {
            never = line.write() => match never {},
            heard = tokio::task::spawn_blocking(|| heard.join()) => {
                let all = heard.expect("it is waited for").expect("it does not panic").expect("all comes");
                assert!(all.starts_with(b"short\x07") && all.ends_with(b"\x07more"));
            }
        }
        assert!(line.has_told(2));
    }
}
