//! Programs of the machine: where they are.

use std::{env, ffi::OsString, path::PathBuf};

use crate::Missing;

/// Where system programs are, which a user's path may leave out.
const SYSTEM: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The path of this process, and the folders of system programs.
pub(crate) fn path() -> OsString {
    let own = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&own).chain(SYSTEM.iter().map(PathBuf::from));
    // A folder with a colon in its name cannot have been on the path.
    env::join_paths(folders).unwrap_or(own)
}

/// Where a program is.
pub fn find(name: &str) -> Result<PathBuf, Missing> {
    env::split_paths(&path())
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| Missing::new(format!("{name} is not installed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_installed_is_named() {
        assert!(find("sh").expect("there is a shell").is_absolute());
        let why = find("longshore-of-nobody").expect_err("there is no such program").to_string();
        assert_eq!(why, "longshore-of-nobody is not installed");
    }
}
