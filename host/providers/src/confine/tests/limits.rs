//! Memory, descriptors and time of a processor.

use std::{fs::File, io, process::Command, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::*;

#[test]
#[ignore = "the process of the test below"]
fn asks_for_too_much_memory() {
    let mut bytes = Vec::<u8>::new();
    bytes.try_reserve_exact(2 << 30).expect("it is there to begin with");
    drop(bytes);
    confine(&Confinement { memory: Some(1 << 30), ..Confinement::default() });
    let mut bytes = Vec::<u8>::new();
    bytes.try_reserve_exact(2 << 30).expect_err("it is more than there may be");
    bytes.try_reserve_exact(64 << 20).expect("there is so much");
    assert_eq!(shell("ulimit -v"), "1048576", "in KiB, for what it starts as well");
}

#[test]
fn memory_beyond_the_limit_is_not_given() {
    succeeds("limits::asks_for_too_much_memory");
}

#[test]
#[ignore = "the process of the test below"]
fn opens_too_many_files() {
    confine(&Confinement { descriptors: Some(64), ..Confinement::default() });
    let open = || File::open("/dev/null");
    let files: Vec<io::Result<File>> = (0..65).map(|_| open()).collect();
    let denied: Vec<_> = files.iter().filter_map(|file| file.as_ref().err()).collect();
    // Some are open already: the standard ones, at the least.
    assert!(denied.len() >= 4 && denied.len() < 32, "{}", denied.len());
    assert!(denied.iter().all(|error| error.raw_os_error() == Some(libc::EMFILE)), "{denied:?}");
    drop(files);
    open().expect("there is room again");
    assert_eq!(shell("ulimit -n"), "64");
}

#[test]
fn descriptors_beyond_the_limit_are_not_given() {
    succeeds("limits::opens_too_many_files");
}

#[test]
#[ignore = "the process of the test below"]
fn works_without_end() {
    confine(&Confinement { cpu_time: Some(Duration::from_millis(300)), ..Confinement::default() });
    loop {
        std::hint::spin_loop();
    }
}

#[test]
#[ignore = "the process of the test below"]
fn starts_one_that_ignores_the_warning() {
    confine(&Confinement { cpu_time: Some(Duration::from_secs(1)), ..Confinement::default() });
    let worker = Command::new("/bin/sh").args(["-c", "trap '' XCPU; while :; do :; done"]).status();
    assert_eq!(worker.expect("it is started").signal(), Some(Signal::KILL.as_raw()));
}

#[test]
fn who_uses_up_the_time_is_ended() {
    ends_by("limits::works_without_end", Signal::XCPU);
    succeeds("limits::starts_one_that_ignores_the_warning");
}

#[test]
#[ignore = "the process of the test below"]
fn has_limits_already() {
    let there = getrlimit(Resource::As);
    setrlimit(Resource::Nofile, Rlimit { current: Some(40), maximum: Some(50) }).expect("it is lowered");
    confine(&Confinement {
        descriptors: Some(64),
        cpu_time: Some(Duration::from_millis(1500)),
        ..Confinement::default()
    });
    let now = |resource| {
        let limit = getrlimit(resource);
        (limit.current, limit.maximum)
    };
    assert_eq!(now(Resource::Nofile), (Some(50), Some(50)), "never more than there was");
    assert_eq!(now(Resource::Cpu), (Some(2), Some(3)), "a part of a second counts as a whole one");
    assert_eq!(now(Resource::As), (there.current, there.maximum), "what is not configured stays");
}

#[test]
fn limits_are_only_lowered() {
    succeeds("limits::has_limits_already");
}
