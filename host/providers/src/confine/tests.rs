//! Each guard in a process of its own: this test program again, which confines itself and then tries what it may not do.

mod calls;
mod kernel;
mod limits;
mod paths;
mod user;
mod whole;

use std::{
    collections::BTreeMap,
    env, fs,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use longshore_config::{Confinement, Guard};
use nix::errno::Errno;
use rustix::process::Signal;
use seccompiler::{SeccompAction, SeccompFilter, SeccompRule};

use self::kernel::has_filters;
use super::{ConfineError, Lacking, apply};

/// The variable that tells such a process its folder.
const FOLDER: &str = "LONGSHORE_TEST_CONFINE_FOLDER";

/// Runs an ignored test of this module in a process of its own, in a folder, and holds that it succeeds.
#[track_caller]
fn succeeds_in(test: &str, folder: &Path) {
    let (program, output) = run(test, folder);
    assert!(program.success() && output.contains("1 passed"), "{test}: {program}\n{output}");
}

#[track_caller]
fn succeeds(test: &str) {
    succeeds_in(test, Path::new("/"));
}

/// As [`succeeds`], of a process that is to be ended by a signal.
#[track_caller]
fn ends_by(test: &str, signal: Signal) {
    let (program, output) = run(test, Path::new("/"));
    assert_eq!(program.signal(), Some(signal.as_raw()), "{test}: {program}\n{output}");
}

fn run(test: &str, folder: &Path) -> (std::process::ExitStatus, String) {
    let (_, here) = module_path!().split_once("::").expect("it is in the crate");
    let output = Command::new(env::current_exe().expect("the test's own path"))
        .args(["--ignored", "--exact", &format!("{here}::{test}"), "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .output()
        .expect("it can be run");
    let text = [output.stdout, output.stderr].concat();
    (output.status, String::from_utf8_lossy(&text).into_owned())
}

/// In such a process: its folder.
fn folder() -> PathBuf {
    env::var_os(FOLDER).expect("`run` sets it").into()
}

/// In such a process: confines it, with nothing lacking.
#[track_caller]
fn confine(confinement: &Confinement) {
    assert_eq!(apply(confinement, &[]), Ok(vec![]));
}

/// What a shell prints; it is started here, and inherits all.
#[track_caller]
fn shell(script: &str) -> String {
    let output = Command::new("/bin/sh").args(["-c", script]).output().expect("the shell can be started");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {}: {error}", output.status);
    String::from_utf8(output.stdout).expect("it is text").trim().to_owned()
}

/// From here on, this process's kernel does not have the call, under the conditions.
fn without(call: libc::c_long, conditions: Vec<SeccompRule>, errno: Errno) {
    let calls = BTreeMap::from([(call, conditions)]);
    let refusal = SeccompAction::Errno((errno as i32).unsigned_abs());
    let processor = env::consts::ARCH.try_into().expect("a processor that has filters");
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, refusal, processor).expect("a filter");
    let program: seccompiler::BpfProgram = filter.try_into().expect("a program");
    seccompiler::apply_filter_all_threads(&program).expect("the kernel takes it");
}

/// Holds that one guard is told to be lacking, and that it is an error where it, and not another, is required.
#[track_caller]
fn lacks(confinement: &Confinement, guard: Guard, why: &str) {
    let lacking = Lacking { guard, why: why.to_owned() };
    assert_eq!(apply(confinement, &[]), Ok(vec![lacking.clone()]));
    let required = Confinement { required: [guard].into(), ..confinement.clone() };
    assert_eq!(apply(&required, &[]), Err(ConfineError::Required(lacking.clone())));
    let others = Guard::ALL.into_iter().filter(|other| *other != guard).collect();
    let others = Confinement { required: others, ..confinement.clone() };
    assert_eq!(apply(&others, &[]), Ok(vec![lacking]), "another that is required is there");
}

#[test]
#[ignore = "the process of the test below"]
fn confines_itself_in_name_alone() {
    assert!(!rustix::thread::no_new_privs().expect("it is known") || in_a_container());
    confine(&Confinement::default());
    assert!(rustix::thread::no_new_privs().expect("it is known"));
    assert_eq!(
        shell("grep NoNewPrivs /proc/self/status"),
        "NoNewPrivs:\t1",
        "what it starts has none either"
    );
    assert!(fs::metadata("/").is_ok());
}

/// Whether whoever started the tests has done the same already.
fn in_a_container() -> bool {
    fs::read_to_string("/proc/1/status").is_ok_and(|status| status.contains("NoNewPrivs:\t1"))
}

#[test]
fn an_empty_confinement_is_no_new_privileges() {
    succeeds("confines_itself_in_name_alone");
}

#[test]
#[ignore = "the process of the test below"]
fn has_a_kernel_without_that_setting() {
    let of_it = seccompiler::SeccompCondition::new(
        0,
        seccompiler::SeccompCmpArgLen::Dword,
        seccompiler::SeccompCmpOp::Eq,
        libc::PR_SET_NO_NEW_PRIVS as u64,
    );
    let of_it = SeccompRule::new(vec![of_it.expect("a condition")]).expect("a rule");
    without(libc::SYS_prctl, vec![of_it], Errno::EINVAL);
    let why = "the kernel refuses PR_SET_NO_NEW_PRIVS: Invalid argument (os error 22)";
    lacks(&Confinement::default(), Guard::NoNewPrivileges, why);
}

#[test]
fn a_kernel_without_no_new_privileges_is_told() {
    if has_filters() {
        succeeds("has_a_kernel_without_that_setting");
    }
}

#[test]
fn what_is_wrong_is_told_to_the_host() {
    let lacking = Lacking { guard: Guard::Paths, why: "the kernel has no Landlock".to_owned() };
    assert_eq!(lacking.to_string(), "\"paths\" is not in force: the kernel has no Landlock");
    let required = ConfineError::Required(lacking.clone());
    assert_eq!(
        required.to_string(),
        "\"paths\" is not in force: the kernel has no Landlock; it is `required` in [provider.confine]"
    );
    let failed = ConfineError::Failed { guard: Guard::User, why: "it is nobody".to_owned() };
    assert_eq!(failed.to_string(), "\"user\" cannot be put in force: it is nobody");
    let sent = serde_json::to_string(&(&lacking, &required, &failed)).expect("it is plain data");
    let arrived: (Lacking, ConfineError, ConfineError) = serde_json::from_str(&sent).expect("the same");
    assert_eq!(arrived, (lacking, required, failed));
}
