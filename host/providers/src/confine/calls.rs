//! The system calls that no provider needs, refused by seccomp: `EPERM`, as if the kernel did not let this user.
//!
//! It is a list of what is refused, not of what is allowed: a provider may be any program, and so may its workers. A program
//! for another kind of processor, such as one of 32 bits on `x86_64`, is ended at its first call: its calls have other numbers.

use std::{collections::BTreeMap, env::consts::ARCH};

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

/// Calls with the conditions under which they are refused: one of them is enough, and none are needed where there are none.
type Calls = BTreeMap<i64, Vec<SeccompRule>>;

/// `open_tree_attr`, of Linux 6.15: it has this number on all processors, and no name in `libc` yet.
const OPEN_TREE_ATTR: c_long = 467;

/// What is refused in any case.
pub(super) const REFUSED: &[c_long] = &[
    // The kernel's modules, and another kernel in its place.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    // Mounts, swap, accounting and quotas.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // Other processes' memory and descriptors.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_userfaultfd,
    // The clock.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    // The kernel's keys, programs, counters and messages.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_syslog,
    // Files past their folders' rights, and other namespaces.
    libc::SYS_open_by_handle_at,
    libc::SYS_setns,
    // The processor's ports.
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
];

/// The flags of `unshare` and `clone` that make a namespace: one for users opens much of the kernel to whoever has no rights.
const NAMESPACES: &[i32] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];
/// The requests of `ioctl` that type into a terminal, as if it was the operator who does: a runner may well have the host's.
pub(super) const TYPING: &[u64] = &[libc::TIOCSTI, libc::TIOCLINUX];
/// One more, which `clone` takes for part of a signal's number.
const NEW_TIME: i32 = 0x80;

/// From here on, they are refused. Why they are not, if so.
pub(super) fn refuse() -> Option<String> {
    let Ok(processor) = TargetArch::try_from(ARCH) else {
        return Some(format!("the filter of system calls has no numbers for this processor, {ARCH}"));
    };
    let put_in_force = |calls: Result<Calls, BackendError>, errno| {
        let program = calls.and_then(|calls| compile(calls, errno, processor))?;
        apply_filter_all_threads(&program)
    };
    let done = put_in_force(refused(), libc::EPERM).and_then(|()| put_in_force(Ok(unknown()), libc::ENOSYS));
    let error: seccompiler::Error = done.err()?;
    Some(format!("the kernel takes no filter of system calls (CONFIG_SECCOMP_FILTER): {error}"))
}

fn compile(calls: Calls, errno: i32, processor: TargetArch) -> Result<BpfProgram, BackendError> {
    let refusal = SeccompAction::Errno(errno.unsigned_abs());
    SeccompFilter::new(calls, SeccompAction::Allow, refusal, processor)?.try_into()
}

fn refused() -> Result<Calls, BackendError> {
    let mut calls: Calls = REFUSED.iter().map(|call| (*call, vec![])).collect();
    let with = |flags: &[i32]| flags.iter().map(|flag| has_flag(*flag)).collect::<Result<_, _>>();
    calls.insert(libc::SYS_clone, with(NAMESPACES)?);
    calls.insert(libc::SYS_unshare, with(&[NAMESPACES, &[NEW_TIME]].concat())?);
    calls.insert(
        libc::SYS_ioctl,
        TYPING.iter().map(|request| is_request(*request)).collect::<Result<_, _>>()?,
    );
    Ok(with_x32(calls))
}

/// The flags of `clone3` are in memory, where no filter can look; who does not find it goes on with `clone`.
fn unknown() -> Calls {
    with_x32(Calls::from([(libc::SYS_clone3, vec![])]))
}

/// A condition: the flag is in the first argument.
fn has_flag(flag: i32) -> Result<SeccompRule, BackendError> {
    let flag = u64::from(flag.unsigned_abs());
    SeccompRule::new(vec![SeccompCondition::new(
        0,
        SeccompCmpArgLen::Qword,
        SeccompCmpOp::MaskedEq(flag),
        flag,
    )?])
}

/// A condition: the second argument is that request, in the 32 bits that the kernel looks at.
fn is_request(request: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, request)?])
}

/// The same calls under their other numbers: `x86_64` has them a second time, with pointers of 32 bits, and some anew.
fn with_x32(mut calls: Calls) -> Calls {
    const X32: i64 = 0x4000_0000;
    const ANEW: &[(c_long, i64)] = &[
        (libc::SYS_ioctl, 514),
        (libc::SYS_ptrace, 521),
        (libc::SYS_kexec_load, 528),
        (libc::SYS_process_vm_readv, 539),
        (libc::SYS_process_vm_writev, 540),
    ];
    if cfg!(target_arch = "x86_64") {
        let again = |(call, rules): (&i64, &Vec<SeccompRule>)| (call | X32, rules.clone());
        let anew = ANEW.iter().filter_map(|(call, number)| Some((number | X32, calls.get(call)?.clone())));
        let more: Vec<_> = calls.iter().map(again).chain(anew).collect();
        calls.extend(more);
    }
    calls
}
