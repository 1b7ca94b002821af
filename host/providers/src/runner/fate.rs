//! A runner lives no longer than its host, and neither does anything that it started in its group.
#![expect(unsafe_code, reason = "a signal's handler is part of the process")]

use std::io;

/// Sees to it that this process and its group end with the host's thread that started it.
pub(super) fn end_with(host: Option<u32>) -> io::Result<()> {
    // SAFETY: the handler does nothing but one system call that a handler may make.
    let before = unsafe { libc::signal(libc::SIGTERM, end_on_signal as *const () as libc::sighandler_t) };
    if before == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    // A signal that is caught, so that the whole group hears of it.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?;
    // It may have been gone before that.
    if host == Some(std::os::unix::process::parent_id()) {
        Ok(())
    } else {
        Err(io::Error::other("it is not started by a host, or its host is gone"))
    }
}

extern "C" fn end_on_signal(_: libc::c_int) {
    // SAFETY: `kill` may be called in a handler, and 0 is this process's own group.
    unsafe { libc::kill(0, libc::SIGKILL) };
}

/// Ends this process and all that is in its group, at once.
pub(super) fn end_group() {
    // There is always a group to signal: this process is in it.
    let _ = rustix::process::kill_current_process_group(rustix::process::Signal::KILL);
}
