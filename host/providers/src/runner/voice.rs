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

use longshore_config::cut;
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
        // What was cut says so: the host takes away what may be a part of a password there.
        let line = cut(message, MAX_LINE_BYTES);
        let target = &target[..target.floor_char_boundary(MAX_TARGET_BYTES)];
        let admitted = {
            let mut ration = self.ration.lock().unwrap_or_else(PoisonError::into_inner);
            ration.admit(Instant::now(), line.len() + target.len())
        };
        let Some(missed) = admitted else { return };
        // While a thread ends there is no telling which call it was in.
        let call = CALL.try_with(Cell::get).unwrap_or(None);
        // A line that is cut fits a frame.
        let _ = self.say(&FromRunner::Log { call, missed, level, target, line: &line });
    }
}

unsafe extern "C" fn take_line(data: *const (), level: u8, target: RStr<'_>, message: RStr<'_>) {
    // SAFETY: only `Voice::logger` hands this function out, together with a `Voice` that is never freed.
    let voice = unsafe { &*data.cast::<Voice>() };
    // A panic must not cross the boundary.
    let _ = catch_unwind(AssertUnwindSafe(|| voice.log(level, target.as_str(), message.as_str())));
}

#[cfg(test)]
mod tests {
    use longshore_config::Secret;
    use longshore_plugin_abi::level;

    use super::{super::frame, *};

    #[test]
    fn no_part_of_a_password_is_left_of_a_long_line() {
        // Its longest form has eight bytes for each of these, and hiding the first makes the line so much shorter.
        let password = "\"".repeat(512);
        let secret = Secret::new(&*password);
        let quoted = (0..3).fold(password, |text, _| text.replace('\\', r"\\").replace('"', r#"\""#));
        let rest = "y".repeat(MAX_LINE_BYTES);
        for at in [MAX_LINE_BYTES - 3 * quoted.len() / 2, MAX_LINE_BYTES - quoted.len() - 100] {
            let (ours, mut hosts) = UnixStream::pair().expect("a pair");
            let voice = Voice::new(ours);
            voice.log(level::INFO, "", &format!("{quoted}{}{quoted}{rest}", "x".repeat(at)));
            let said = frame::read(&mut hosts).expect("it is there").expect("it is whole");
            let Ok(FromRunner::Log { line, .. }) = frame::decode(&said) else { panic!("{said:?}") };
            assert!(line.len() <= MAX_LINE_BYTES, "the host does not cut it again");
            let shown = secret.hidden_in(line);
            assert!(!shown.contains(['"', '\\']) && shown.starts_with("***x"), "{at}");
        }
    }
}
