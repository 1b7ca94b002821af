//! Where the repository is, and cargo at work in it.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cargo_metadata::{Metadata, MetadataCommand};

use crate::Failure;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_owned()
}

/// Where cargo puts what it builds like this program itself.
pub(crate) fn target() -> Result<PathBuf, Failure> {
    let own = env::current_exe()?;
    let folder = own.parent().ok_or_else(|| Failure::new("this program lies in no folder"))?;
    Ok(folder.to_owned())
}

/// A command of cargo in the repository: the cargo that runs this program, where one does.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

/// Runs cargo, its output seen.
pub(crate) fn cargo(arguments: &[&str]) -> Result<(), Failure> {
    run(command(arguments), arguments)
}

/// Runs a command of cargo that was prepared.
pub(crate) fn run(mut command: Command, arguments: &[&str]) -> Result<(), Failure> {
    let shown = format!("cargo {}", arguments.join(" "));
    let status = command.status().map_err(|error| Failure::new(format!("{shown}: {error}")))?;
    if status.success() { Ok(()) } else { Err(Failure::new(format!("{shown}: {status}"))) }
}

/// Whether cargo has a command that is installed apart from it.
pub(crate) fn has(subcommand: &str) -> bool {
    let mut command = command(&[subcommand, "--version"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// What cargo says of the crates of the repository.
pub(crate) fn metadata() -> Result<Metadata, Failure> {
    Ok(MetadataCommand::new().current_dir(root()).no_deps().exec()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_has_the_workspace() {
        assert!(root().join("tests/xtask/Cargo.toml").is_file());
        assert_eq!(metadata().expect("cargo describes it").workspace_root, root());
    }

    #[test]
    fn a_command_that_fails_is_named() {
        let arguments = ["build", "--quiet", "--package", "longshore-of-nobody"];
        let mut failing = command(&arguments);
        failing.stderr(Stdio::null());
        let failure = run(failing, &arguments).expect_err("there is no such crate").to_string();
        assert!(
            failure.starts_with("cargo build --quiet --package longshore-of-nobody: exit status:"),
            "{failure}"
        );
        assert!(has("fmt") && !has("of-nobody"));
    }
}
