//! What a program of this machine needs to be run in an empty root.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use crate::Missing;

/// All that a program needs to be run in an empty root: the file itself, its interpreter and its libraries, as the system's own
/// `ldd` finds them, under the names by which they are looked for.
pub(super) fn closure(program: &Path) -> Result<BTreeSet<PathBuf>, Missing> {
    let output = Command::new("ldd").arg(program).env("LC_ALL", "C").output();
    let output = output.map_err(|error| Missing::new(format!("ldd cannot be run: {error}")))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut closure = BTreeSet::from([program.to_owned()]);
    // A program without libraries is a failure to `ldd`, and no failure to us.
    let is_alone = [&said, &complained]
        .iter()
        .any(|said| said.contains("not a dynamic executable") || said.contains("statically linked"));
    if is_alone {
        return Ok(closure);
    }
    if !output.status.success() {
        return Err(Missing::new(format!("ldd {}: {}", program.display(), complained.trim())));
    }
    for line in said.lines() {
        closure.extend(library(line).map_err(|what| {
            Missing::new(format!("{} needs {what}, which is not installed", program.display()))
        })?);
    }
    Ok(closure)
}

/// The file that a line of `ldd` names, if it names one; or a library that there is not.
fn library(line: &str) -> Result<Option<PathBuf>, &str> {
    // `libc.so.6 => /lib/libc.so.6 (0x…)`, `/lib64/ld-linux.so.2 (0x…)`, `linux-vdso.so.1 (0x…)`, `libx.so => not found`
    let line = line.trim();
    let (name, file) = line.split_once(" => ").unwrap_or((line, line));
    if file == "not found" {
        return Err(name);
    }
    let file = file.rsplit_once(" (").map_or(file, |(file, _)| file);
    Ok(file.starts_with('/').then(|| PathBuf::from(file)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::programs;

    #[test]
    fn the_lines_of_ldd_are_understood() {
        let file = |path: &str| Ok(Some(PathBuf::from(path)));
        assert_eq!(library("\tlibc.so.6 => /lib/libc.so.6 (0x00007f2c)"), file("/lib/libc.so.6"));
        assert_eq!(
            library("\t/lib64/ld-linux-x86-64.so.2 (0x00007f2c)"),
            file("/lib64/ld-linux-x86-64.so.2")
        );
        assert_eq!(library("\tlinux-vdso.so.1 (0x00007ffd)"), Ok(None));
        assert_eq!(library("\tlibx.so.3 => not found"), Err("libx.so.3"));
    }

    #[test]
    fn a_shell_needs_its_libraries() {
        let shell = programs::find("sh").expect("there is a shell");
        let closure = closure(&shell).expect("it can be run");
        assert!(closure.contains(&shell), "{closure:?}");
        assert!(closure.iter().all(|file| file.is_file()), "{closure:?}");
    }
}
