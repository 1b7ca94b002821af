//! What the kernel says by itself: no library asks it the way that is tried here.
#![expect(unsafe_code, reason = "system calls that no library makes are made by their numbers")]

use std::path::Path;

use nix::errno::Errno;

/// The version of its Landlock; none is 0.
pub(super) fn landlock() -> i64 {
    const VERSION: libc::c_uint = 1;
    // SAFETY: with this flag, the call tells its version and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, VERSION) }.max(0)
}

/// Whether it has filters of system calls. Where it has none, what it would have to lack cannot be taken from it.
pub(super) fn has_filters() -> bool {
    let there = Path::new("/proc/sys/kernel/seccomp/actions_avail").exists();
    if !there {
        println!("this kernel has no filters of system calls");
    }
    there
}

/// What it says to a call that it should refuse.
pub(super) fn errno_of(call: libc::c_long) -> Errno {
    // SAFETY: without pointers and flags, each of the calls that are tried does nothing to memory of ours, even if it is let in.
    let result = unsafe { libc::syscall(call, 0, 0, 0, 0, 0, 0) };
    if result == -1 { Errno::last() } else { Errno::UnknownErrno }
}

/// What it says to a request about a descriptor that there is none of, in all 64 bits.
pub(super) fn errno_of_request(call: libc::c_long, request: u64) -> Errno {
    const NONE: libc::c_int = -1;
    // SAFETY: there is no such descriptor, so that nothing is looked at that a request may point to.
    let result = unsafe { libc::syscall(call, NONE, request, 0, 0, 0, 0) };
    if result == -1 { Errno::last() } else { Errno::UnknownErrno }
}
