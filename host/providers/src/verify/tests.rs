//! What is taken and what is refused before anything runs. Signatures of the real program are in the fixtures; how keys are made
//! and used for whole plugins is tried from outside.

#[cfg(target_os = "linux")]
mod groups;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use super::*;

/// What was signed, with minisign 0.11, and the key; then the key that was not used.
const CONTENT: &str = "the content of a plugin\n";
const KEY: &str = "RWSkd0r9+kM9fPIwXIIM599gOgi67ZjThopTfyXfNQYTuNqTQIazQXiN";
const OTHER: &str = "RWTP1wu1HymYNzm0sGlM3FaCTOAkNnjPM5poHHMRNjfu9P1cNZA/4ntZ";
const HASHED: &str = "untrusted comment: signature from minisign secret key
RUSkd0r9+kM9fE5Lh3uG7yMwpjzXo/JZy7mXTv3sJtzCEYFK98ykMYPyyvsy1gArIO5l6UCtCIv2E3epNfBzVcjFQ2QvaQGeKQQ=
trusted comment: longshore's fixture
Qpnbv4Nm9ahaOUYeRy0XRhFyFF4qDUU0/4k6tPVe5OOZqjrrl6s03ys3W8LxYPcDYcIkh6UhETR1RDxpiNjwBQ==
";
/// Of the older form, `minisign -S -l`.
const LEGACY: &str = "untrusted comment: signature from minisign secret key
RWSkd0r9+kM9fO8ASI+x3t2SkUMySdAMywcUDNmPOsJBCusbzC7D88T6+qphHNPG3W2Oi0bd20c7bF4kFR2WECZn5uEwfS9HOws=
trusted comment: longshore's fixture
tqD+nOx66IGIE7eLBI3zYjQfUR92Q1tXDyE4srFgYb/i1AT1nDzaxEA3ZkwYBgtr/iqXCbX3nYL5FP1pdlEjCA==
";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn file(folder: &Path, content: &str) -> PathBuf {
    let path = folder.join("plugin");
    fs::write(&path, content).expect("the folder can be written");
    path
}

fn signed_by(keys: &[&str]) -> Trust {
    Trust { sha256: None, signed_by: keys.iter().map(|key| (*key).to_owned()).collect() }
}

fn pinned(hash: &str) -> Trust {
    Trust { sha256: Some(hash.to_owned()), signed_by: Vec::new() }
}

#[track_caller]
fn refused(path: &Path, trust: &Trust, kind: LoadErrorKind, words: &str) {
    let error = verify(path, trust).expect_err("it is refused");
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    assert!(text.contains(words) && text.contains("to do: ") && text.lines().count() <= 5, "{text}");
}

#[test]
fn the_content_is_read_and_hashed() {
    let folder = folder();
    let verified = verify(&file(folder.path(), "abc"), &Trust::default()).expect("nothing is demanded");
    assert_eq!(verified.bytes, b"abc");
    assert_eq!(verified.hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(verified.signer, None, "no signature is asked for");
}

#[test]
fn another_content_than_the_pinned_one_is_refused() {
    let folder = folder();
    let path = file(folder.path(), "abc");
    let hash = hash(b"abc");
    verify(&path, &pinned(&hash)).expect("it is the one that is pinned");
    let other = hash.replace('b', "c");
    refused(&path, &pinned(&other), LoadErrorKind::Pin, &format!("is {hash}, and {other} is asked for"));
    fs::write(&path, "abd").expect("it can be written");
    refused(&path, &pinned(&hash), LoadErrorKind::Pin, "is asked for");
    refused(&path, &pinned(""), LoadErrorKind::Pin, "is asked for");
}

#[test]
fn both_forms_of_signatures_are_taken() {
    let folder = folder();
    let path = file(folder.path(), CONTENT);
    for signature in [HASHED, LEGACY] {
        fs::write(signature_of(&path), signature).expect("it can be written");
        // The key in one line or as its file has it, and whichever of them it is.
        let whole = format!("untrusted comment: minisign public key 7C3D43FAFD4A77A4\n{KEY}\n");
        for keys in [&[KEY][..], &[OTHER, KEY], &[&whole]] {
            let verified = verify(&path, &signed_by(keys)).expect("it is signed");
            let signer = verified.signer.expect("somebody has signed it");
            assert_eq!(signer.comment, "longshore's fixture");
            assert!(signer.key.contains(KEY));
        }
    }
}

#[test]
fn what_nobody_trusted_has_signed_is_refused() {
    let folder = folder();
    let path = file(folder.path(), CONTENT);
    let kind = LoadErrorKind::Signature;
    refused(&path, &signed_by(&[KEY]), kind, "plugin.minisig cannot be read");
    for signature in [HASHED, LEGACY] {
        fs::write(signature_of(&path), signature).expect("it can be written");
        refused(&path, &signed_by(&[OTHER]), kind, "signed with another key");
        for (trust, words) in
            [(&[""][..], "\"\" in `signed_by`"), (&["RWabc", KEY], "\"RWabc\" in `signed_by`")]
        {
            refused(&path, &signed_by(trust), kind, words);
        }
        // The comment is signed, too.
        let forged = signature.replace("longshore's fixture", "somebody's fixture");
        fs::write(signature_of(&path), forged).expect("it can be written");
        refused(&path, &signed_by(&[KEY]), kind, "that of another content");
    }
    fs::write(signature_of(&path), "it is fine, believe me").expect("it can be written");
    refused(&path, &signed_by(&[KEY]), kind, "no signature of minisign");
}

#[test]
fn a_file_that_was_tampered_with_is_not_the_one_that_was_signed() {
    let folder = folder();
    let path = file(folder.path(), &CONTENT.replace("plugin", "Plugin"));
    for signature in [HASHED, LEGACY] {
        fs::write(signature_of(&path), signature).expect("it can be written");
        refused(&path, &signed_by(&[OTHER, KEY]), LoadErrorKind::Signature, "that of another content");
    }
}

#[test]
fn what_is_written_while_it_is_read_is_refused() {
    let folder = folder();
    let path = file(folder.path(), "half of it");
    let (opened, before) = open(&path).expect("it is there");
    let mut writer = File::options().append(true).open(&path).expect("it can be written");
    writer.write_all(b", and the rest").expect("it can be written");
    let error = read_opened(&path, &opened, &before).expect_err("it has grown");
    assert_eq!(error.kind(), LoadErrorKind::Changed, "{error}");
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    fn inner(folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        fs::create_dir(&path).expect("the folder can be written");
        path
    }

    #[test]
    fn a_file_that_all_may_write_is_refused() {
        let folder = folder();
        let path = file(folder.path(), "abc");
        set_mode(&path, 0o646);
        refused(&path, &Trust::default(), LoadErrorKind::Writable, "plugin can be written by everybody");
        // A pin changes nothing: what is right now may be wrong at the next start.
        refused(&path, &pinned(&hash(b"abc")), LoadErrorKind::Writable, "(mode 646)");
        set_mode(&path, 0o444);
        verify(&path, &Trust::default()).expect("nobody may write it");
    }

    #[test]
    fn a_file_below_a_folder_that_all_may_write_is_refused_however_deep() {
        let folder = folder();
        let open = inner(folder.path(), "open");
        let path = file(&inner(&open, "closed"), "abc");
        verify(&path, &Trust::default()).expect("nobody else may write it");
        set_mode(&open, 0o757);
        refused(&path, &Trust::default(), LoadErrorKind::Writable, "open can be written by everybody");
        // As in the folder for temporary files: others cannot replace what is ours.
        set_mode(&open, 0o1777);
        verify(&path, &Trust::default()).expect("only we can replace it");
    }

    #[test]
    fn a_link_is_looked_at_on_both_ends() {
        let folder = folder();
        let (open, closed) = (inner(folder.path(), "open"), inner(folder.path(), "closed"));
        let path = file(&closed, "abc");
        let (far, near, relative) = (open.join("far"), closed.join("near"), closed.join("relative"));
        symlink(&path, &far).expect("it can be made");
        symlink(&path, &near).expect("it can be made");
        symlink("../closed/./plugin", &relative).expect("it can be made");
        for link in [&far, &near, &relative] {
            verify(link, &Trust::default()).expect("nobody else may write anything of it");
        }
        // Whoever may write the link's folder can lead it elsewhere.
        set_mode(&open, 0o777);
        refused(&far, &Trust::default(), LoadErrorKind::Writable, "open can be written by everybody");
        verify(&near, &Trust::default()).expect("it does not go through there");
        // And a link in a good folder may lead into a bad one, by a folder as well.
        file(&open, "abc");
        let (door, file_there) = (closed.join("door"), closed.join("there"));
        symlink("../open", &door).expect("it can be made");
        symlink(open.join("plugin"), &file_there).expect("it can be made");
        for link in [door.join("plugin"), file_there] {
            refused(&link, &Trust::default(), LoadErrorKind::Writable, "open can be written by everybody");
        }
    }

    #[test]
    fn links_that_lead_nowhere_end() {
        let folder = folder();
        let path = folder.path().join("round");
        symlink("round", &path).expect("it can be made");
        refused(&path, &Trust::default(), LoadErrorKind::Unreadable, "round");
    }

    #[test]
    fn a_file_that_was_replaced_after_it_was_opened_is_refused() {
        let folder = folder();
        let path = file(folder.path(), "the old one");
        let (_opened, before) = open(&path).expect("it is there");
        let new = folder.path().join("new");
        fs::write(&new, "the new one").expect("the folder can be written");
        fs::rename(new, &path).expect("it can be replaced");
        let error = check_reach(&path, &before).expect_err("the path leads to another file");
        assert_eq!(error.kind(), LoadErrorKind::Changed, "{error}");
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let folder = folder();
        let path = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("every system has it");
        assert!(made.success());
        refused(&path, &Trust::default(), LoadErrorKind::NotALibrary, "not a regular file");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_access_list_counts_as_a_group_that_may_write() {
        /// Us, user 12345 and nobody else may read and write: as the kernel keeps it.
        const LIST: [(u16, u16, u32); 5] =
            [(1, 6, u32::MAX), (2, 6, 12_345), (4, 4, u32::MAX), (16, 6, u32::MAX), (32, 4, u32::MAX)];
        let folder = folder();
        let path = file(folder.path(), "abc");
        let mut list = 2_u32.to_le_bytes().to_vec();
        for (tag, rights, id) in LIST {
            list.extend(tag.to_le_bytes());
            list.extend(rights.to_le_bytes());
            list.extend(id.to_le_bytes());
        }
        let set =
            rustix::fs::setxattr(&path, "system.posix_acl_access", &list, rustix::fs::XattrFlags::empty());
        if set == Err(rustix::io::Errno::OPNOTSUPP) {
            // Nothing has such lists on this file system.
            return;
        }
        set.expect("the file is ours");
        refused(&path, &Trust::default(), LoadErrorKind::Writable, "a group of users");
    }
}
