//! Another user. The tests are most telling as root; for anybody else, it is told that the host would have to be.

use std::os::unix::{fs::PermissionsExt as _, process::CommandExt as _};

use longshore_support::{Missing, skip};
use nix::unistd::{Gid, Uid, getgroups, getresgid, getresuid, setuid};
use rustix::process::{parent_process_death_signal, set_parent_process_death_signal};

use super::*;

fn another(user: &str) -> Confinement {
    Confinement { user: Some(user.to_owned()), ..Confinement::default() }
}

fn is_root() -> bool {
    Uid::effective().is_root()
}

fn ids() -> [u32; 6] {
    let (users, groups) = (getresuid().expect("known"), getresgid().expect("known"));
    [users.real, users.effective, users.saved]
        .map(Uid::as_raw)
        .into_iter()
        .chain([groups.real, groups.effective, groups.saved].map(Gid::as_raw))
        .collect::<Vec<_>>()
        .try_into()
        .expect("they are six")
}

#[test]
#[ignore = "the process of the test below"]
fn becomes_nobody() {
    let nobody = nix::unistd::User::from_name("nobody").expect("it can be looked up").expect("it is there");
    set_parent_process_death_signal(Some(Signal::TERM)).expect("it is set");
    fs::read("/etc/shadow").expect("root may read it");
    confine(&another("nobody"));
    let (uid, gid) = (nobody.uid.as_raw(), nobody.gid.as_raw());
    assert_eq!(ids(), [uid, uid, uid, gid, gid, gid]);
    assert_eq!(getgroups().expect("known"), [nobody.gid], "the groups of root are gone");
    let denied = fs::read("/etc/shadow").expect_err("root alone may read it");
    assert_eq!(denied.raw_os_error(), Some(libc::EACCES));
    assert_eq!(setuid(Uid::from_raw(0)), Err(Errno::EPERM), "there is no way back");
    assert_eq!(shell("id -u"), uid.to_string());
    assert_eq!(shell("grep CapEff /proc/self/status"), "CapEff:\t0000000000000000");
    assert_eq!(parent_process_death_signal().expect("known"), Some(Signal::TERM), "it is not forgotten");
    confine(&another("nobody"));
    lacks(
        &another("root"),
        Guard::User,
        &format!("to change the user, the host must be root, and is user {uid}"),
    );
}

#[test]
#[ignore = "the process of the test below"]
fn becomes_a_number() {
    confine(&another("54321"));
    assert_eq!(ids(), [54321; 6]);
    assert_eq!(getgroups().expect("known"), []);
}

#[test]
#[ignore = "the process of the test below"]
fn is_not_root() {
    let uid = Uid::effective();
    confine(&another(&uid.to_string()));
    lacks(
        &another("54321"),
        Guard::User,
        &format!("to change the user, the host must be root, and is user {uid}"),
    );
}

#[test]
fn another_user_is_taken_on_for_good() {
    if is_root() {
        succeeds("user::becomes_nobody");
        succeeds("user::becomes_a_number");
    } else {
        succeeds("user::is_not_root");
    }
}

#[test]
fn a_user_that_is_not_there_is_an_error() {
    for user in ["longshore-of-nowhere", "4294967295", "-1"] {
        let why = format!("there is no user \"{user}\" on this machine; make it, or name another in `user`");
        // It is found before anything is changed.
        let found = apply(&another(user), &[]);
        assert_eq!(found, Err(ConfineError::Failed { guard: Guard::User, why }));
    }
}

#[test]
#[ignore = "the process of the test below"]
fn runs_a_program_of_roots() {
    confine(&another("nobody"));
    let program = folder().join("id");
    let user = Command::new(program).arg("-u").output().expect("it is run");
    assert_eq!(String::from_utf8_lossy(&user.stdout).trim(), Uid::current().to_string());
}

#[test]
fn a_program_of_another_user_gives_no_rights() {
    let test = "a_program_of_another_user_gives_no_rights";
    if !is_root() {
        return skip(test, &Missing::new("only root can make a program that gives its rights to others"));
    }
    let Some(id) = longshore_support::or_skip(test, longshore_support::find_program("id")) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("id");
    fs::copy(id, &program).expect("it is copied");
    for (path, mode) in [(folder.path(), 0o755), (&program, 0o4755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("root may");
    }
    let usual = Command::new(&program).arg("-u").uid(65534).output().expect("it is run");
    if usual.stdout != b"0\n" {
        return skip(test, &Missing::new("programs there give nobody rights anyway: it is mounted `nosuid`"));
    }
    succeeds_in("user::runs_a_program_of_roots", folder.path());
}
