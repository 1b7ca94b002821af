//! What a runner says to its host: answers of calls, and the plugin's log lines, from any thread and each in one piece.
#![expect(unsafe_code, reason = "a plugin holds a pointer to its log for as long as the process lives")]

use std::{
    cell::Cell,
    io::Write as _,
    os::unix::net::UnixStream,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use longshore_config::PASSWORD_LIMIT;
use longshore_plugin_abi::{Logger, abi_stable::std_types::RStr};
use serde::Serialize;

use super::{
    fate::end_group,
    frame::{TooLarge, encode},
    ration::Ration,
    wire::FromRunner,
};
use crate::log::{MAX_LINE_BYTES, MAX_TARGET_BYTES};

thread_local! {
    /// The call that this thread is in.
    static CALL: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Does the work of a call: what the plugin logs meanwhile on this thread is the call's.
pub(super) fn during<T>(call: u64, work: impl FnOnce() -> T) -> T {
    CALL.set(Some(call));
    let done = work();
    CALL.set(None);
    done
}

/// The runner's end of the line to its host, for writing.
pub(super) struct Voice {
    stream: Mutex<UnixStream>,
    ration: Mutex<Ration>,
}

impl Voice {
    /// A plugin may keep a logger until the process ends, so it is never freed.
    pub(super) fn new(stream: UnixStream) -> &'static Self {
        let ration = Mutex::new(Ration::new(Instant::now()));
        Box::leak(Box::new(Self { stream: Mutex::new(stream), ration }))
    }

    /// Says something, and waits until the host takes it. Where it cannot be told, this process is of no use to anybody.
    pub(super) fn say(&self, message: &impl Serialize) -> Result<(), TooLarge> {
        let frame = encode(message)?;
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        if stream.write_all(&frame).is_err() {
            end_group();
        }
        Ok(())
    }

    /// A logger for lines up to a level.
    pub(super) fn logger(&'static self, level: u8) -> Logger {
        // SAFETY: `take_line` reads a `Voice`, which is `Sync`, and this one lives as long as the process.
        unsafe { Logger::new(std::ptr::from_ref(self).cast(), take_line, level) }
    }

    fn log(&self, level: u8, target: &str, message: &str) {
        // What the host takes out of a line it must find whole, be it where the line is cut.
        let line = &message[..message.floor_char_boundary(MAX_LINE_BYTES + PASSWORD_LIMIT)];
        let target = &target[..target.floor_char_boundary(MAX_TARGET_BYTES)];
        let admitted = {
            let mut ration = self.ration.lock().unwrap_or_else(PoisonError::into_inner);
            ration.admit(Instant::now(), line.len() + target.len())
        };
        let Some(missed) = admitted else { return };
        // While a thread ends there is no telling which call it was in.
        let call = CALL.try_with(Cell::get).unwrap_or(None);
        // A line that is cut fits a frame.
        let _ = self.say(&FromRunner::Log { call, missed, level, target, line });
    }
}

unsafe extern "C" fn take_line(data: *const (), level: u8, target: RStr<'_>, message: RStr<'_>) {
    // SAFETY: only `Voice::logger` hands this function out, together with a `Voice` that is never freed.
    let voice = unsafe { &*data.cast::<Voice>() };
    // A panic must not cross the boundary.
    let _ = catch_unwind(AssertUnwindSafe(|| voice.log(level, target.as_str(), message.as_str())));
}
