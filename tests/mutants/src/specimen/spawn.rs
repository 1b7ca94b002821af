//! Starts a container's first process: nobody's child, so that it leaves no zombie with us and outlives the host; the leader of
//! a session of its own; and in its launch's file before it becomes its program, so that none is ever lost.
#![expect(unsafe_code, reason = "what a child does between fork and exec is beyond the standard library")]

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, RawFd},
        unix::process::CommandExt as _,
    },
    process::{Command, Stdio},
};

use longshore_plugin_api::{Container, Error};
use nix::libc;

use super::process;

/// The last of the ordinary signals.
const LAST_SIGNAL: i32 = 31;
/// The longest line of a start: its words and three numbers.
const LINE: usize = 128;

/// Starts the process of a container, and returns once it has become its program; on an error there is none. Of all that is
/// open here, it has what it is to keep.
pub(crate) fn spawn(
    container: &Container,
    variables: &[(&str, String)],
    file: &File,
    index: u32,
    keep: Option<RawFd>,
) -> Result<(), Error> {
    let program = container.command.as_deref().unwrap_or_default();
    let mut command = Command::new(program);
    command.args(&container.args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.envs(&container.env).envs(variables.iter().map(|(name, value)| (name, value)));
    if let Some(folder) = &container.working_dir {
        command.current_dir(folder);
    }
    let descriptor = file.as_raw_fd();
    let enter = move || {
        leave_the_host(keep)?;
        write_start(descriptor, index)
    };
    // SAFETY: `enter` makes system calls only: it neither allocates, nor locks, nor unwinds. The file outlives the call.
    unsafe { command.pre_exec(enter) };
    let mut child = command.spawn().map_err(|error| {
        Error::permanent(format_args!(
            "the program {program:?} cannot be started in the folder {:?}: {error}",
            container.working_dir.as_deref().unwrap_or(".")
        ))
    })?;
    // Our child has ended already: it left its program to a child of its own.
    child.wait().map(drop).map_err(Error::other)
}

/// Goes on as a grandchild in a session of its own, with the usual signals, and with no descriptor of the host's but one.
fn leave_the_host(keep: Option<RawFd>) -> io::Result<()> {
    // SAFETY: these take numbers and touch no memory of ours; the process has one thread. The one that forks leaves without
    // a destructor being run.
    unsafe {
        match libc::fork() {
            -1 => return Err(io::Error::last_os_error()),
            0 => {}
            _ => libc::_exit(0),
        }
        if libc::setsid() == -1 {
            return Err(io::Error::last_os_error());
        }
        for signal in 1..=LAST_SIGNAL {
            libc::signal(signal, libc::SIG_DFL);
        }
        // Where the kernel has no such call, what was opened without care stays open; std takes care.
        libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        if let Some(descriptor) = keep {
            libc::fcntl(descriptor, libc::F_SETFD, 0);
        }
    }
    Ok(())
}

/// Appends this process's number and start to the launch's file.
fn write_start(file: RawFd, index: u32) -> io::Result<()> {
    let mut stat = [0_u8; 1024];
    // SAFETY: the buffer is as long as it is said to be, and the descriptors are open.
    let (length, pid) = unsafe {
        let own = libc::open(c"/proc/self/stat".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        (libc::read(own, stat.as_mut_ptr().cast(), stat.len()), libc::getpid())
    };
    let unreadable = || io::Error::from_raw_os_error(libc::EIO);
    let length = usize::try_from(length).map_err(|_| unreadable())?;
    let (_, start, _) = process::parse(stat.get(..length).unwrap_or_default()).ok_or_else(unreadable)?;
    let mut line = Text { bytes: [0; LINE], length: 0 };
    line.push(b"\n{\"started\":{\"index\":").push_number(index.into());
    line.push(b",\"pid\":").push_number(u64::from(pid.unsigned_abs()));
    line.push(b",\"start\":").push_number(start).push(b"}}\n");
    // SAFETY: the buffer is longer than what is written of it, and the descriptor is open.
    let written = unsafe { libc::write(file, line.bytes.as_ptr().cast(), line.length) };
    if usize::try_from(written) == Ok(line.length) { Ok(()) } else { Err(unreadable()) }
}

/// A text in a place that is there already; what does not fit is left out.
struct Text {
    bytes: [u8; LINE],
    length: usize,
}

impl Text {
    fn push(&mut self, more: &[u8]) -> &mut Self {
        let end = self.length + more.len();
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(more);
            self.length = end;
        }
        self
    }

    fn push_number(&mut self, number: u64) -> &mut Self {
        if number >= 10 {
            self.push_number(number / 10);
        }
        self.push(&[b'0' + (number % 10) as u8])
    }
}
