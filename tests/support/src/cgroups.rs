//! Control groups of version 2, where tests run inside a container: a group with processes of its own cannot have others
//! below it that are limited, so that an engine needs the container's processes moved aside first. This is what Docker's own
//! images for an engine within a container do.

use std::{fs, io, path::Path};

use crate::Missing;

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";
/// Where processes are moved to.
const ASIDE: &str = "longshore-aside";
/// How often processes are moved: new ones may have begun meanwhile.
const ROUNDS: usize = 10;

/// Makes room for an engine, where it is needed.
pub(crate) fn prepare() -> Result<(), Missing> {
    prepare_at(Path::new(ROOT)).map_err(|error| {
        Missing::new(format!("the control groups of this container cannot be used: {error}"))
    })
}

fn prepare_at(root: &Path) -> io::Result<()> {
    let controllers = root.join("cgroup.controllers");
    // Only a group below another has a type: the root of a whole machine has none, and needs no room made.
    if !controllers.exists() || !root.join("cgroup.type").exists() {
        return Ok(());
    }
    let wanted = fs::read_to_string(&controllers)?;
    let wanted: Vec<_> = wanted.split_whitespace().collect();
    let subtree = root.join("cgroup.subtree_control");
    let passed_on = fs::read_to_string(&subtree)?;
    if wanted.iter().all(|controller| passed_on.split_whitespace().any(|it| it == *controller)) {
        return Ok(());
    }
    fs::create_dir_all(root.join(ASIDE))?;
    for _ in 0..ROUNDS {
        let processes = fs::read_to_string(root.join("cgroup.procs"))?;
        if processes.trim().is_empty() {
            break;
        }
        for process in processes.lines() {
            // One that has ended meanwhile needs no moving; others show when controllers are passed on.
            let _ = fs::write(root.join(ASIDE).join("cgroup.procs"), process);
        }
    }
    for controller in wanted {
        fs::write(&subtree, format!("+{controller}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        folder
    }

    const INSIDE: [(&str, &str); 4] = [
        ("cgroup.controllers", "cpu memory\n"),
        ("cgroup.type", "domain\n"),
        ("cgroup.subtree_control", ""),
        ("cgroup.procs", "1\n7\n"),
    ];

    #[test]
    fn processes_of_a_container_are_moved_aside() {
        let root = group(&INSIDE);
        prepare_at(root.path()).expect("it can be prepared");
        let read = |name: &str| fs::read_to_string(root.path().join(name)).expect("a file");
        // Plain files keep what was written last.
        assert_eq!(read("longshore-aside/cgroup.procs"), "7");
        assert_eq!(read("cgroup.subtree_control"), "+memory");
    }

    #[test]
    fn a_whole_machine_and_a_prepared_container_are_left_alone() {
        let version_1 = group(&[]);
        let machine = group(&[INSIDE[0], INSIDE[2], INSIDE[3]]);
        let prepared =
            group(&[INSIDE[0], INSIDE[1], ("cgroup.subtree_control", "memory cpu pids\n"), INSIDE[3]]);
        for root in [version_1, machine, prepared] {
            prepare_at(root.path()).expect("there is nothing to do");
            assert!(!root.path().join(ASIDE).exists());
        }
    }
}
