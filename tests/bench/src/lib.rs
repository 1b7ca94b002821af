//! Benchmarks, each against a peer or a stated aim: what several of them need.

mod cluster;
mod heap;
mod runs;

use std::path::PathBuf;

pub use cluster::{Cluster, name_of};
pub use heap::Heap;
pub use runs::{Millis, Runs};

/// Where a benchmark writes: in the folder that its first argument names, or else beside the program, which lies on a disk,
/// where a folder for temporary files may be memory.
///
/// # Panics
///
/// The system does not know the program.
pub fn place() -> PathBuf {
    let beside = || {
        let program = std::env::current_exe().expect("the system knows this program");
        program.parent().expect("it lies in a folder").to_owned()
    };
    std::env::args_os().nth(1).map_or_else(beside, PathBuf::from)
}

/// The bytes of a process in the machine's memory, where the system tells.
pub fn resident(process: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? * 1024)
}
