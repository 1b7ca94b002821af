//! What a runner's process takes of its machine.
//!
//! The host asks the system, and not the runner: the kernel's word cannot be bent by the plugin, and is there as well where the
//! plugin hangs, where its process is stopped, and where it is confined so that it finds no `/proc`. It costs the runner nothing.
//! What only a runner can know, it is asked for: see [`RunnerLoad`](super::RunnerLoad).

use serde::{Deserialize, Serialize};

use super::process::Handle;

/// What a process takes of its machine: itself, and not what it has started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Memory that it has now, in bytes; pages that it shares with others, such as the program's own, included.
    pub resident_bytes: u64,
    /// The most memory that it ever had, in bytes; nothing where the system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_resident_bytes: Option<u64>,
    /// Processor time that it has used, all its threads together, in milliseconds; as finely as the system counts it, which is
    /// 10 ms as a rule.
    pub cpu_ms: u64,
    /// Its threads.
    pub threads: u64,
    /// Descriptors that it has open; nothing where the host may not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<u64>,
}

impl Resources {
    /// Nothing where the process is over, or the system does not say.
    #[cfg(target_os = "linux")]
    pub(super) fn of(process: &Handle) -> Option<Self> {
        use procfs::process::Process;

        // Once its folder is open, what is read there is this process's or nobody's, whoever has its number later.
        let pid = |pid: u32| i32::try_from(pid).ok();
        let folder = process.while_there(|number| Process::new(pid(number)?).ok())??;
        let stat = folder.stat().ok()?;
        let resident_bytes = stat.rss.saturating_mul(procfs::page_size());
        // A plugin can give its process a name that is no text: then this file cannot be read, which harms nothing else.
        let peak = folder.status().ok().and_then(|status| status.vmhwm);
        Some(Self {
            resident_bytes,
            // The two are counted at two moments.
            peak_resident_bytes: peak.map(|kib| kib.saturating_mul(1024).max(resident_bytes)),
            cpu_ms: stat.utime.saturating_add(stat.stime).saturating_mul(1000) / procfs::ticks_per_second(),
            threads: u64::try_from(stat.num_threads).unwrap_or(0),
            descriptors: folder.fd_count().ok().map(|count| count as u64),
        })
    }

    /// The host knows none of it here.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(process: &Handle) -> Option<Self> {
        process.while_there(|_| None)?
    }
}
