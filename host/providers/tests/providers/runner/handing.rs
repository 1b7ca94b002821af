//! How a plugin comes to its runner where the system has no files in memory.

use std::{collections::BTreeMap, env::consts::ARCH, path::Path};

use longshore_providers::{CallLimits, Library, Sealed};
use longshore_support::{Missing, skip};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};
use serde_json::json;

use super::{alone, pid, until_back};
use crate::{LONG, Way, block_on, handles, program, scope};

/// From here on, this process and all that it starts have no files in memory.
fn without_files_in_memory() {
    let calls = BTreeMap::from([(libc::SYS_memfd_create, vec![])]);
    let refusal = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let processor = ARCH.try_into().expect("a processor that has filters");
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, refusal, processor).expect("a filter");
    let filter: BpfProgram = filter.try_into().expect("a program");
    apply_filter_all_threads(&filter).expect("the kernel takes it");
    rustix::fs::memfd_create("any", rustix::fs::MemfdFlags::CLOEXEC).expect_err("there are none");
}

fn each_runner_has_a_copy_of_its_own() {
    without_files_in_memory();
    let sealed = Sealed::read(&longshore_support::library("longshore-memory")).expect("it can be read");
    let before = sealed.bytes().expect("the copy is there");
    let library = Library::examine(sealed, &program()).expect("it is sound");
    block_on(async {
        let provider = Way::runner().create(&library, json!({}), CallLimits::default()).await;
        for restart in 0..2 {
            until_back(&provider, restart).await;
            let statuses = provider.status(&scope(LONG), handles(&["x"])).reply().await;
            assert_eq!(statuses.map(|all| all.len()), Ok(1), "it is served from a copy of its own");
            let process = rustix::process::Pid::from_raw(pid(&provider).cast_signed()).expect("it is there");
            rustix::process::kill_process(process, rustix::process::Signal::KILL).expect("it is ours");
        }
        until_back(&provider, 2).await;
        assert!(provider.shut_down(LONG).await);
    });
    assert_eq!(library.sealed().bytes().expect("the copy is there"), before);
}

#[test]
fn without_files_in_memory_each_runner_has_a_copy_of_its_own() {
    const TEST: &str = "runner::handing::without_files_in_memory_each_runner_has_a_copy_of_its_own";
    if !Path::new("/proc/sys/kernel/seccomp/actions_avail").exists() {
        return skip(TEST, &Missing::new("this kernel has no filters of system calls"));
    }
    alone(TEST, each_runner_has_a_copy_of_its_own);
}
