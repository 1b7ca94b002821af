//! Who can change a plugin's file. It is loaded only where nobody but root and the host's own user can write it, or put another
//! one in its place: whoever can, has the host's rights. The rule is that of OpenSSH's `StrictModes`, for all of the path:
//!
//! - Looked at are the file, each folder above it up to the root, and where a symbolic link is on the way, the link and the
//!   folders above it, as well as those above what it leads to.
//! - Each belongs to root or to the host's user.
//! - None may be written by a group or by everybody. Two exceptions change nothing for others: a *sticky* folder, such as
//!   `/tmp`, where all may make files and only their owners may replace them; and a group that has nobody in it but root or the
//!   host's user, neither by its list nor by its being their primary group: such as the user's own where the usual umask is 002.
//!   Where that cannot be told for certain (`accounts.rs`), it is not so.
//! - An access list (ACL) shows in the bits of the group, and its file counts as written by a group where they allow it.
//!
//! An operator who knows better, as with a checkout that is mounted into a container under another user's number, sets
//! [`WRITABLE_VARIABLE`]. On systems without such bits nothing is checked.

/// The variable that, set to `1`, lets plugins be loaded that other users can write.
pub const WRITABLE_VARIABLE: &str = "LONGSHORE_ALLOW_WRITABLE_PLUGINS";

use std::{fs::Metadata, io, path::Path};

/// Why a file is not taken.
#[derive(Debug)]
pub(super) enum Fault {
    /// Others can write something on the way.
    Writable(String),
    /// It is not the file that was opened.
    Changed,
    /// Something on the way cannot be looked at.
    Unreadable(io::Error),
}

/// Whether nobody else can write the file that was opened under a path, or put another one in its place.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "as on Unix")]
pub(super) fn check(_: &Path, _: &Metadata) -> Result<(), Fault> {
    Ok(())
}

#[cfg(unix)]
pub(super) use unix::check;

#[cfg(unix)]
mod unix {
    use std::{
        collections::VecDeque,
        env,
        ffi::OsString,
        fs,
        os::unix::fs::MetadataExt as _,
        path::{self, Component, PathBuf},
    };

    use nix::unistd::Uid;

    use super::{
        super::accounts::{Known, System},
        Fault, Metadata, Path, WRITABLE_VARIABLE, io,
    };

    /// The most symbolic links on the way to a file, as the system has it.
    const MAX_LINKS: usize = 40;
    /// Bits of a mode.
    const BY_GROUP: u32 = 0o020;
    const BY_ALL: u32 = 0o002;
    const STICKY: u32 = 0o1000;

    pub(in super::super) fn check(path: &Path, opened: &Metadata) -> Result<(), Fault> {
        match walk(path, opened) {
            Err(Fault::Writable(why)) if env::var_os(WRITABLE_VARIABLE).is_some_and(|it| it == "1") => {
                tracing::warn!(
                    plugin = %path.display(),
                    "the plugin is loaded nevertheless, as {WRITABLE_VARIABLE} is set: {why}"
                );
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// Goes down from the root to the file, link by link, and looks at all that is on the way.
    fn walk(path: &Path, opened: &Metadata) -> Result<(), Fault> {
        let whole = path::absolute(path).map_err(Fault::Unreadable)?;
        let mut ahead: VecDeque<OsString> = parts(&whole).collect();
        let mut at = PathBuf::from("/");
        let mut groups = Known::default();
        let mut last = look(&at, &mut groups)?;
        let mut links = 0;
        while let Some(part) = ahead.pop_front() {
            if part == ".." {
                // No link is on the way to here, and what is above was looked at.
                at.pop();
                continue;
            }
            let next = at.join(&part);
            last = look(&next, &mut groups)?;
            if !last.is_symlink() {
                at = next;
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                let error = format!("more than {MAX_LINKS} symbolic links are on the way to it");
                return Err(Fault::Unreadable(io::Error::other(error)));
            }
            let target = fs::read_link(&next).map_err(Fault::Unreadable)?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            let steps: Vec<_> = parts(&target).collect();
            steps.into_iter().rev().for_each(|step| ahead.push_front(step));
        }
        let is_same = (last.dev(), last.ino()) == (opened.dev(), opened.ino());
        if is_same { Ok(()) } else { Err(Fault::Changed) }
    }

    /// The steps of a path, without those that lead nowhere.
    fn parts(path: &Path) -> impl Iterator<Item = OsString> {
        path.components().filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
    }

    /// One thing on the way, if nobody else can change it.
    fn look(path: &Path, groups: &mut Known) -> Result<Metadata, Fault> {
        let metadata = fs::symlink_metadata(path).map_err(Fault::Unreadable)?;
        let owned = Owned {
            what: if metadata.is_dir() {
                What::Folder
            } else if metadata.is_symlink() {
                What::Link
            } else {
                What::File
            },
            user: metadata.uid(),
            mode: metadata.mode(),
        };
        let us = Uid::effective().as_raw();
        let others = || {
            let listed = has_access_list(path).then(|| "an access list (ACL) says who they are".to_owned());
            listed.or_else(|| groups.others_in(&System, metadata.gid(), us))
        };
        match owned.fault(us, others) {
            None => Ok(metadata),
            Some(why) => Err(Fault::Writable(format!("{} {why}", path.display()))),
        }
    }

    /// What something on the way is.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) enum What {
        File,
        Folder,
        Link,
    }

    /// Something on the way: whose it is, and who can write it.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Owned {
        pub(super) what: What,
        pub(super) user: u32,
        pub(super) mode: u32,
    }

    impl Owned {
        /// Why others than root and a user can change it, if they can. `others` says why there are some in its group, if there are.
        pub(super) fn fault(self, us: u32, others: impl FnOnce() -> Option<String>) -> Option<String> {
            let Self { what, user, mode } = self;
            if user != 0 && user != us {
                return Some(format!(
                    "belongs to user {user}, who is neither root nor the host's user ({us})"
                ));
            }
            // A link has no mode of its own, and files in a sticky folder are their owners' to replace.
            if what == What::Link || (what == What::Folder && mode & STICKY != 0) {
                return None;
            }
            if mode & BY_ALL != 0 {
                return Some(format!("can be written by everybody (mode {:o})", mode & 0o7777));
            }
            if mode & BY_GROUP == 0 {
                return None;
            }
            others()
                .map(|why| format!("can be written by a group of users (mode {:o}): {why}", mode & 0o7777))
        }
    }

    /// Whether an access list says who may write, or may do so: the bits of the group are then those of all that it names.
    #[cfg(target_os = "linux")]
    fn has_access_list(path: &Path) -> bool {
        use rustix::io::Errno;

        let list = rustix::fs::lgetxattr_query(path, "system.posix_acl_access");
        !matches!(list, Err(Errno::NODATA | Errno::OPNOTSUPP))
    }

    #[cfg(not(target_os = "linux"))]
    fn has_access_list(_: &Path) -> bool {
        false
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::unix::{Owned, What};

    const US: u32 = 1000;

    fn fault(what: What, user: u32, mode: u32, group_is_private: bool) -> Option<String> {
        let others = || (!group_is_private).then(|| "bob is in it".to_owned());
        Owned { what, user, mode }.fault(US, others)
    }

    #[test]
    fn what_root_and_the_hosts_user_alone_can_write_is_fine() {
        for user in [0, US] {
            for (what, mode) in [
                (What::File, 0o644),
                (What::File, 0o555),
                (What::Folder, 0o755),
                (What::Folder, 0o700),
                // Others may make files there, and not replace ours.
                (What::Folder, 0o1777),
                (What::Folder, 0o1775),
                (What::Link, 0o777),
            ] {
                assert_eq!(fault(what, user, mode, false), None, "{what:?} {user} {mode:o}");
            }
            // The user's own group, under a umask of 002.
            assert_eq!(fault(What::File, user, 0o664, true), None);
            assert_eq!(fault(What::Folder, user, 0o2775, true), None);
        }
    }

    #[test]
    fn what_others_can_write_is_refused_and_they_are_named() {
        for (what, user, mode, private, words) in [
            (What::File, US, 0o666, true, "by everybody (mode 666)"),
            (What::Folder, 0, 0o777, true, "by everybody (mode 777)"),
            (What::File, US, 0o664, false, "by a group of users (mode 664): bob is in it"),
            (What::Folder, US, 0o775, false, "by a group of users (mode 775)"),
            // The bit means something else on a file.
            (What::File, US, 0o1666, true, "by everybody"),
            (What::File, 1001, 0o600, true, "belongs to user 1001"),
            (What::Folder, 1001, 0o1777, true, "belongs to user 1001"),
            // In a sticky folder its owner points it elsewhere.
            (What::Link, 1001, 0o777, true, "belongs to user 1001"),
        ] {
            let why = fault(what, user, mode, private).unwrap_or_default();
            assert!(why.contains(words), "{what:?} {user} {mode:o}: {why:?}");
        }
    }
}
