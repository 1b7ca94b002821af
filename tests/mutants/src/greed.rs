//! What takes from everybody what all need: memory, descriptors, the socket of a runner, the log, processes.
#![expect(unsafe_code, reason = "what belongs to others is out of the reach of safe code")]

use std::{
    fs::{self, File},
    io::Write as _,
    os::fd::{IntoRawFd as _, RawFd},
    process::abort,
    sync::{Mutex, PoisonError},
    thread::sleep,
    time::Duration,
};

use longshore_plugin_abi::Logger;
use nix::{
    libc,
    sys::stat::{SFlag, fstat},
};

/// So much memory at first, and twice as much each time. None of it is touched: it counts against a limit, and takes nothing from a
/// machine without.
const BLOCK: usize = 16 << 20;
/// How long to wait for a descriptor where there is none.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);
/// As many children are left behind.
const CHILDREN: usize = 3;
/// What means nothing to anybody: as a length it is far too large, as a text it is none.
const GARBAGE: [u8; 512] = [0xff; 512];

/// The log of the instance that was made last.
static LOG: Mutex<Option<Logger>> = Mutex::new(None);

/// Keeps what [`flood`] will need.
pub(crate) fn remember(log: Logger) {
    *LOG.lock().unwrap_or_else(PoisonError::into_inner) = Some(log);
}

pub(crate) fn memory() -> ! {
    let mut taken = vec![];
    for size in std::iter::successors(Some(BLOCK), |size| size.checked_mul(2)) {
        let mut block = Vec::<u8>::new();
        if block.try_reserve_exact(size).is_err() {
            break;
        }
        taken.push(block);
    }
    std::hint::black_box(&taken);
    // As whoever relies on memory does.
    abort()
}

pub(crate) fn descriptors() -> ! {
    loop {
        match File::open("/dev/null") {
            Ok(file) => _ = file.into_raw_fd(),
            Err(_) => sleep(NO_DESCRIPTOR),
        }
    }
}

/// Every descriptor of the process that is a socket.
fn sockets() -> Vec<RawFd> {
    let open = fs::read_dir("/proc/self/fd").into_iter().flatten();
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    let is_socket = |fd: &RawFd| {
        // SAFETY: it is borrowed for this look alone; if it is closed meanwhile, the system says so.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(*fd) };
        fstat(fd).is_ok_and(|stat| SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFSOCK)
    };
    numbers.filter(is_socket).collect()
}

pub(crate) fn garbage() {
    for socket in sockets() {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // Some take none, and that is no matter.
        // SAFETY: the bytes are there, and so many.
        let _ = unsafe { libc::send(socket, GARBAGE.as_ptr().cast(), GARBAGE.len(), flags) };
    }
}

pub(crate) fn print() {
    // No line ends in it, and it is no text. Where nobody takes it, that is no matter.
    let _ = std::io::stdout().write_all(&GARBAGE);
    let _ = std::io::stdout().flush();
    let _ = std::io::stderr().write_all(&GARBAGE);
}

pub(crate) fn flood() -> ! {
    let log = *LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let line = "the mutant floods ".repeat(200);
    loop {
        // Whether anybody reads it is what this is to find out.
        let _ = writeln!(std::io::stdout(), "{line}");
        let _ = writeln!(std::io::stderr(), "{line}");
        if let Some(log) = &log {
            log.log(longshore_plugin_abi::level::ERROR, "mutant", &line);
        }
    }
}

pub(crate) fn children() -> ! {
    for _ in 0..CHILDREN {
        // SAFETY: the child does nothing but wait, which is allowed after a fork among threads.
        if unsafe { libc::fork() } == 0 {
            loop {
                // SAFETY: it has no conditions.
                unsafe { libc::pause() };
            }
        }
    }
    abort()
}
