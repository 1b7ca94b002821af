//! The process of a check, from outside: started in a group of its own, watched, and ended with its whole group, whatever
//! it does.

use std::{
    fs::{self, File},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::Path,
    process::{Child, ExitStatus},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

use crate::{
    child,
    order::{self, Order},
    verdict::{OrFault as _, Verdict},
};

/// The longest pause between two looks at a process.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// The most that a process may write to its output, its log and its list of calls, in bytes: more of it helps nobody, and
/// the disk is everybody's.
const MOST_WRITTEN: u64 = 64 << 20;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself.
    Own(ExitStatus),
    /// At its limit.
    Limit,
    /// Since the run was interrupted.
    Interrupted,
    /// Since it wrote more than [`MOST_WRITTEN`].
    Flooded,
}

/// How the end of a process that wrote too much reads.
pub(crate) fn flooded() -> String {
    format!("SIGKILL, as it had written more than {} MiB of output and log", MOST_WRITTEN >> 20)
}

impl End {
    /// Whether it ended by itself, and well.
    pub(crate) fn is_good(self) -> bool {
        matches!(self, Self::Own(status) if status.success())
    }
}

/// How a status reads: the signal's name, or the exit code.
pub(crate) fn how(status: ExitStatus) -> String {
    let signal = status.signal().map(|number| match Signal::try_from(number) {
        Ok(signal) => signal.as_str().to_owned(),
        Err(_) => format!("signal {number}"),
    });
    signal.unwrap_or_else(|| format!("exit code {}", status.code().unwrap_or_default()))
}

/// What is started for a check, with what in its environment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program<'a> {
    pub(crate) path: &'a Path,
    pub(crate) env: &'a [(String, String)],
}

/// Runs a process to its end: by itself, at the limit, or when `stop` is set. None of its group is alive afterwards.
pub(crate) fn run(program: Program<'_>, order: &Order, limit: Duration, stop: &AtomicBool) -> Verdict<End> {
    let file = order.folder.join("order.json");
    order::write(&file, order)?;
    let output = File::options().create(true).append(true).open(order.output());
    let output = output.or_fault("the file for a check's output could not be opened")?;
    let error = output.try_clone().or_fault("the file for a check's output could not be shared")?;
    let mut command = child::command(program.path, &file);
    command.envs(program.env.iter().cloned()).stdout(output).stderr(error).process_group(0);
    let mut child =
        command.spawn().or_fault(format_args!("{} could not be started", program.path.display()))?;
    let watched = watch(&child, order, limit, stop);
    let group = Pid::from_raw(child.id().cast_signed());
    // It has not been waited for, so that the number is still its own. Where nobody is left, there is nothing to end.
    let _ = killpg(group, Signal::SIGKILL);
    let status = child.wait().or_fault("a check's process could not be waited for")?;
    Ok(watched?.unwrap_or(End::Own(status)))
}

/// Waits until a process has ended, leaving it to be waited for; or tells why it has to be ended.
fn watch(child: &Child, order: &Order, limit: Duration, stop: &AtomicBool) -> Verdict<Option<End>> {
    let written = [order.output(), order.log(), order.progress()];
    let end = Instant::now() + limit;
    let pid = Pid::from_raw(child.id().cast_signed());
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    let mut pause = Duration::from_millis(1);
    loop {
        let seen = waitid(Id::Pid(pid), flags).or_fault("a check's process could not be watched")?;
        if seen != WaitStatus::StillAlive {
            return Ok(None);
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(Some(End::Interrupted));
        }
        if Instant::now() >= end {
            return Ok(Some(End::Limit));
        }
        if written.iter().filter_map(|path| fs::metadata(path).ok()).map(|it| it.len()).sum::<u64>()
            > MOST_WRITTEN
        {
            return Ok(Some(End::Flooded));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
