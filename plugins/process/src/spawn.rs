//! Starts one process: a session of its own, a clean set of signals and descriptors, its log files, its environment, and
//! its identity on disk before it becomes its program.
#![expect(unsafe_code, reason = "what a child does between fork and exec is beyond the standard library")]

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd as _, AsRawFd as _, BorrowedFd, RawFd},
        unix::process::CommandExt as _,
    },
    process::{Command, Stdio},
};

use longshore_plugin_api::{Container, Error};
use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

use crate::{
    config::InheritEnv,
    folder::SLOT,
    identity,
    logs::{self, Stream},
};

/// The last signal of Linux.
const LAST_SIGNAL: i32 = 64;
/// The highest descriptor that is looked at one by one where the kernel cannot close a range of them (before 5.11).
const DESCRIPTOR_LIMIT: RawFd = 65_536;

/// One process to be started.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    pub(crate) program: &'a str,
    pub(crate) container: &'a Container,
    pub(crate) inherit: &'a InheritEnv,
    /// Variables of the host that are not inherited in any case.
    pub(crate) withheld: &'a [&'a str],
    /// The variables of Longshore; they win over all others.
    pub(crate) variables: &'a [(&'static str, String)],
    pub(crate) folder: &'a std::path::Path,
    pub(crate) index: u32,
    /// Whether output is kept.
    pub(crate) logs: bool,
    /// Where the child writes who it is: a file and the place in it.
    pub(crate) identity: (&'a File, u64),
}

impl Order<'_> {
    /// Starts the process, and returns once it has become its program. On an error there is no process.
    pub(crate) fn carry_out(&self) -> Result<(), Error> {
        let mut command = self.command()?;
        let (file, offset) = self.identity;
        let descriptor = file.as_raw_fd();
        let enter = move || {
            // SAFETY: the file outlives `spawn`, which returns only after this function has run in the child.
            let file = unsafe { BorrowedFd::borrow_raw(descriptor) };
            rustix::process::setsid()?;
            default_signals();
            close_descriptors_on_exec();
            write_identity(file, offset)
        };
        // SAFETY: `enter` makes system calls only: it neither allocates, nor locks, nor unwinds.
        unsafe { command.pre_exec(enter) };
        let _starting = identity::starting();
        match command.spawn() {
            // Workers outlive this call: `Process::reap` takes notice of their end.
            Ok(_child) => Ok(()),
            Err(error) => {
                logs::remove(self.folder, self.index);
                Err(self.explain(&error))
            }
        }
    }

    fn command(&self) -> Result<Command, Error> {
        let mut command = Command::new(self.program);
        command.args(&self.container.args).stdin(Stdio::null());
        if let Some(folder) = &self.container.working_dir {
            command.current_dir(folder);
        }
        match self.inherit {
            InheritEnv::All(true) => {}
            InheritEnv::All(false) => {
                command.env_clear();
            }
            InheritEnv::Names(names) => {
                command.env_clear();
                command.envs(names.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
            }
        }
        for name in self.withheld {
            command.env_remove(name);
        }
        command.envs(&self.container.env).envs(self.variables.iter().map(|(name, value)| (name, value)));
        if self.logs {
            command.stdout(logs::open(self.folder, self.index, Stream::Out)?);
            command.stderr(logs::open(self.folder, self.index, Stream::Err)?);
        } else {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        Ok(command)
    }

    /// An error of starting the program, in words.
    fn explain(&self, error: &io::Error) -> Error {
        let folder = self.container.working_dir.as_deref();
        if let Some(folder) = folder
            && !std::path::Path::new(folder).is_dir()
        {
            return Error::permanent(format_args!("container.working_dir: there is no folder {folder}"));
        }
        let message = format!(
            "cannot start the program {} in the folder {}: {error}",
            self.program,
            folder.unwrap_or("of the host")
        );
        match error.kind() {
            io::ErrorKind::NotFound => Error::permanent(format_args!(
                "{message}; write a path with a /, or put the program into a folder of the worker's PATH"
            )),
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::ArgumentListTooLong => Error::permanent(message),
            _ if matches!(error.raw_os_error(), Some(libc::ENOEXEC | libc::ELOOP)) => {
                Error::permanent(message)
            }
            _ => Error::retryable(message),
        }
    }
}

/// Signals that the host ignores would stay ignored in the worker. (The standard library clears the mask.) The C library
/// keeps two signals to itself, so the kernel is asked directly.
fn default_signals() {
    // The kernel's `struct sigaction` is at most this long; all zeroes are the default action, with no flag and no mask.
    let default = [0_u64; 4];
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: the kernel reads from `default`, and writes nothing. Only dispositions of this single-threaded child
        // change; a signal that cannot be changed is an error without effect.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null_mut::<u64>(),
                size_of::<u64>(),
            )
        };
    }
}

/// Lets no descriptor of the host reach the worker, but for 0, 1 and 2. They are closed by exec, not here: the standard
/// library still needs one to tell the host of an error.
fn close_descriptors_on_exec() {
    // SAFETY: the call takes three numbers and touches no memory.
    let outcome = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if outcome != 0 {
        for descriptor in 3..DESCRIPTOR_LIMIT {
            // SAFETY: only a flag of the child's own table of descriptors changes; one that is not open is an error
            // without effect.
            unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// Copies this process's line of `/proc/self/stat` to its place in the launch's file.
fn write_identity(file: BorrowedFd<'_>, offset: u64) -> io::Result<()> {
    let mut line = [0_u8; SLOT];
    let stat = rustix::fs::open(c"/proc/self/stat", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let length = rustix::io::read(stat.as_fd(), &mut line)?;
    // A line that fills the slot might be cut off, and a record that cannot be read is worse than no worker.
    if length == 0 || length == SLOT {
        return Err(Errno::OVERFLOW.into());
    }
    let written = rustix::io::pwrite(file, &line[..length], offset)?;
    if written == length { Ok(()) } else { Err(Errno::IO.into()) }
}
