//! How much one process may have. A limit that is lower already stays: what is set here is never more than there was.

use longshore_config::{Confinement, Guard};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{ConfineError, failed};

/// How long after `SIGXCPU`, which it could ignore, `SIGKILL` follows, in seconds of processor time.
const CPU_GRACE: u64 = 1;

/// Sets what is configured, for this process and for each that it starts.
///
/// Memory is what a process may *address* (`RLIMIT_AS`): its program, its libraries, the stack of each thread and what it
/// has reserved, used or not. An allocation beyond it fails, which ends most programs.
pub(super) fn set(confinement: &Confinement) -> Result<(), ConfineError> {
    if let Some(bytes) = confinement.memory {
        lower("memory", Resource::As, bytes, bytes)?;
    }
    if let Some(descriptors) = confinement.descriptors {
        lower("descriptors", Resource::Nofile, descriptors.into(), descriptors.into())?;
    }
    if let Some(time) = confinement.cpu_time {
        let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        lower("cpu_time", Resource::Cpu, seconds, seconds + CPU_GRACE)?;
    }
    Ok(())
}

fn lower(key: &str, resource: Resource, soft: u64, hard: u64) -> Result<(), ConfineError> {
    let least = |wanted: u64, there: Option<u64>| Some(there.map_or(wanted, |there| there.min(wanted)));
    let there = getrlimit(resource);
    let maximum = least(hard, there.maximum);
    let lowered = Rlimit { current: least(soft, maximum), maximum };
    setrlimit(resource, lowered)
        .map_err(|error| failed(Guard::Limits, format!("`{key}` cannot be limited to {soft}: {error}")))
}
