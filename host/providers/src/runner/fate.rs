//! A runner lives no longer than its host, and neither does anything that it started in its group. Of what its host has open it has
//! what it is handed, and nothing else.
#![expect(unsafe_code, reason = "a signal's handler and the descriptors are the whole process's")]

use std::{fs, io};

use rustix::process::{Resource, getrlimit};

/// Where a process finds what it has open.
#[cfg(target_os = "linux")]
const DESCRIPTORS: &str = "/proc/self/fd";
#[cfg(not(target_os = "linux"))]
const DESCRIPTORS: &str = "/dev/fd";

/// The most numbers that are tried where it cannot be seen which of them are open.
const NUMBERS: u64 = 1 << 16;

/// Closes what was open in the host and was not closed in this process when it began: somebody else's, such as what whoever started
/// the host had left open in it, or a plugin in there. To be called before anything is opened here.
pub(super) fn let_go_of_what_is_not_ours() {
    let number = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let numbers: Vec<libc::c_int> = fs::read_dir(DESCRIPTORS).map_or_else(
        |_| {
            let limit = getrlimit(Resource::Nofile).current.unwrap_or(NUMBERS).min(NUMBERS);
            (0..limit as libc::c_int).collect()
        },
        |entries| entries.filter_map(number).collect(),
    );
    for number in numbers.into_iter().filter(|number| *number > libc::STDERR_FILENO) {
        // One of them was that folder, and is closed already.
        // SAFETY: this process has just begun, and has opened nothing that it would still use.
        unsafe { libc::close(number) };
    }
}

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
