//! System calls. Where the kernel has no filters, it must say so.

use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
    sys::ptrace,
};

use super::{
    kernel::{errno_of, errno_of_request},
    *,
};
use crate::confine::calls::{REFUSED, TYPING};

fn refusing() -> Confinement {
    Confinement { seccomp: true, ..Confinement::default() }
}

#[test]
#[ignore = "the process of the test below"]
fn tries_every_call() {
    confine(&refusing());
    assert_eq!(ptrace::traceme(), Err(Errno::EPERM));
    assert_eq!(mount(None::<&str>, "/", None::<&str>, MsFlags::empty(), None::<&str>), Err(Errno::EPERM));
    assert_eq!(umount2("/nowhere", MntFlags::empty()), Err(Errno::EPERM), "it is not looked for");
    for flag in [CloneFlags::CLONE_NEWUSER, CloneFlags::CLONE_NEWNS, CloneFlags::CLONE_NEWNET] {
        assert_eq!(unshare(flag), Err(Errno::EPERM), "{flag:?}");
        assert_eq!(unshare(flag | CloneFlags::CLONE_FILES), Err(Errno::EPERM), "{flag:?}, beside another");
    }
    unshare(CloneFlags::CLONE_FILES).expect("what makes no namespace is allowed");
    // Nothing has come through so far: now each of them can be tried.
    for call in REFUSED {
        assert_eq!(errno_of(*call), Errno::EPERM, "{call}");
    }
    assert_eq!(errno_of(libc::SYS_clone3), Errno::ENOSYS);
}

#[test]
#[ignore = "the process of the test below"]
fn types_into_no_terminal() {
    confine(&refusing());
    for request in TYPING {
        assert_eq!(errno_of_request(libc::SYS_ioctl, *request), Errno::EPERM, "{request:x}");
        // The kernel looks at 32 bits of it.
        assert_eq!(errno_of_request(libc::SYS_ioctl, request | 1 << 32), Errno::EPERM, "{request:x}");
    }
    assert_eq!(errno_of_request(libc::SYS_ioctl, libc::TIOCGWINSZ), Errno::EBADF, "others are let in");
}

#[test]
#[ignore = "the process of the test below"]
fn lives_with_the_calls_that_are_left() {
    confine(&refusing());
    assert_eq!(std::thread::spawn(|| 7).join().expect("threads can be started"), 7);
    assert_eq!(shell("(echo a; echo b) | wc -l; grep Seccomp: /proc/self/status"), "2\nSeccomp:\t2");
    assert_eq!(
        shell("unshare -U true 2>/dev/null || echo refused"),
        "refused",
        "what it starts is refused as well"
    );
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("sockets can be opened");
    std::net::TcpStream::connect(listener.local_addr().expect("it has one")).expect("it is reached");
    // A call by its other number, where the processor has two.
    if cfg!(target_arch = "x86_64") {
        const X32: libc::c_long = 0x4000_0000;
        assert_eq!(errno_of(X32 + libc::SYS_mount), Errno::EPERM);
        assert_eq!(errno_of(X32 + 521), Errno::EPERM, "ptrace has a number of its own there");
    }
}

#[test]
#[ignore = "the process of the test below"]
fn has_no_filters() {
    let lacking = apply(&refusing(), &[]).expect("nothing is required");
    let guards: Vec<_> = lacking.iter().map(|lacking| lacking.guard).collect();
    assert_eq!(guards, [Guard::SystemCalls]);
}

#[test]
fn calls_that_no_provider_needs_are_refused() {
    if has_filters() {
        succeeds("calls::tries_every_call");
        succeeds("calls::types_into_no_terminal");
        succeeds("calls::lives_with_the_calls_that_are_left");
    } else {
        succeeds("calls::has_no_filters");
    }
}

#[test]
#[ignore = "the process of the test below"]
fn has_a_kernel_that_takes_none() {
    without(libc::SYS_seccomp, vec![], Errno::ENOSYS);
    let why = "the kernel takes no filter of system calls (CONFIG_SECCOMP_FILTER): Error calling `seccomp`: Function not \
               implemented (os error 38)";
    lacks(&refusing(), Guard::SystemCalls, why);
}

#[test]
fn a_kernel_without_filters_is_told() {
    if has_filters() {
        succeeds("calls::has_a_kernel_that_takes_none");
    }
}
