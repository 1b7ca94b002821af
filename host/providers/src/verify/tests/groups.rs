//! Groups that a file may be written by, among users whom the system really knows: this test program again, which root lets live with
//! databases of users and groups of its own.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    process::Command,
};

use longshore_config::Trust;
use longshore_support::{Missing, skip};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::{Uid, seteuid},
};

use super::{file, folder, refused, verify};
use crate::error::LoadErrorKind;

/// The variable that tells such a process its folder.
const FOLDER: &str = "LONGSHORE_TEST_GROUPS_FOLDER";
const ANN: u32 = 1000;

/// What the process looks up from now on, instead of what the machine has.
fn lookups(folder: &Path) -> nix::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    for (name, content) in [("passwd", ""), ("group", ""), ("nsswitch.conf", "passwd: files\ngroup: files\n")]
    {
        let (ours, theirs) = (folder.join(name), Path::new("/etc").join(name));
        fs::write(&ours, content).expect("the folder can be written");
        if theirs.exists() {
            mount(Some(&ours), &theirs, none, MsFlags::MS_BIND, none)?;
        }
    }
    Ok(())
}

#[test]
#[ignore = "the process of the test below"]
fn lives_among_other_users() {
    let folder = env::var_os(FOLDER).expect("the test below sets it");
    let folder = Path::new(&folder);
    if let Err(error) = lookups(folder) {
        let why = format!("root may not have lookups of its own here: {error}");
        return skip("a_group_is_looked_at_with_all_its_members", &Missing::new(why));
    }
    let house = folder.join("house");
    fs::create_dir(&house).expect("the folder can be written");
    let path = file(&house, "abc");
    let writable_by = |owner: u32, group: u32| {
        chown(&house, Some(owner), Some(group)).expect("root may");
        fs::set_permissions(&house, fs::Permissions::from_mode(0o775)).expect("root may");
        chown(&path, Some(owner), Some(group)).expect("root may");
    };
    let among = |bobs_group: u32, in_root: &str, in_ann: &str| {
        let users = format!(
            "root:x:0:0::/:/bin/sh\nann:x:1000:1000::/:/bin/sh\nbob:x:1001:{bobs_group}::/:/bin/sh\n"
        );
        let groups = format!("root:x:0:{in_root}\nann:x:1000:{in_ann}\nbob:x:1001:\n");
        for (name, content) in [("passwd", users), ("group", groups)] {
            fs::write(folder.join(name), content).expect("the folder can be written");
        }
    };
    let taken = || verify(&path, &Trust::default()).map(drop).expect("nobody else may write it");
    let refused = |words| refused(&path, &Trust::default(), LoadErrorKind::Writable, words);

    writable_by(0, 0);
    among(1001, "", "");
    taken();
    among(0, "", "");
    refused("(mode 775): root is the primary group of user 1001 as well");
    among(1001, "bob", "");
    refused("(mode 775): bob is in the group root");

    writable_by(ANN, ANN);
    seteuid(Uid::from_raw(ANN)).expect("root may");
    let ours = || verify(&path, &Trust::default()).map(drop);
    assert_eq!(ours().map_err(|error| error.to_string()), Ok(()), "ann is in her group alone");
    seteuid(Uid::from_raw(0)).expect("it comes back");
    among(ANN, "", "");
    seteuid(Uid::from_raw(ANN)).expect("root may");
    refused("(mode 775): ann is the primary group of user 1001 as well");
    seteuid(Uid::from_raw(0)).expect("it comes back");
    among(1001, "", "ann,bob");
    seteuid(Uid::from_raw(ANN)).expect("root may");
    refused("(mode 775): bob is in the group ann");
}

#[test]
fn a_group_is_looked_at_with_all_its_members() {
    let test = "a_group_is_looked_at_with_all_its_members";
    if !Uid::effective().is_root() {
        return skip(test, &Missing::new("only root can have users of its own for a while"));
    }
    let folder = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    let (_, here) = module_path!().split_once("::").expect("it is in the crate");
    let output = Command::new(env::current_exe().expect("the test's own path"))
        .args(["--ignored", "--exact", &format!("{here}::lives_among_other_users"), "--nocapture"])
        .env(FOLDER, folder.path())
        .output()
        .expect("it can be run");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
}
