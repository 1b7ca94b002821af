//! `cargo xtask test`: builds the libraries and programs that tests load and run, then runs all tests. Tests build what they
//! need by themselves as well; done before, no test waits for a compiler while its time is counted. What tests need of the
//! machine is installed before, where it may be, and container engines run meanwhile.

use std::{env, process::Command};

use cargo_metadata::{CrateType, Metadata, TargetKind, camino::Utf8PathBuf};

use crate::{
    Failure,
    cargo::{self, metadata},
    engines::Engines,
    packages,
    steps::Steps,
};

/// Runs the tests whose names contain one of the filters; all where there is none.
pub(crate) fn run(filters: &[String]) -> Result<(), Failure> {
    let mut steps = Steps::default();
    self::steps(&mut steps, filters)?;
    steps.sum_up();
    Ok(())
}

/// The steps of a test run.
pub(crate) fn steps(steps: &mut Steps, filters: &[String]) -> Result<(), Failure> {
    steps.take("what tests need of this machine", packages::install)?;
    for arguments in builds(&metadata()?) {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        steps.cargo(&arguments)?;
    }
    let with_filters = |fixed: &[&'static str]| -> Vec<String> {
        fixed.iter().map(|argument| (*argument).to_owned()).chain(filters.iter().cloned()).collect()
    };
    let runs = if cargo::has("nextest") {
        let profile = if env::var_os("CI").is_some() { "ci" } else { "default" };
        let mut run = vec!["nextest", "run", "--workspace", "--locked", "--profile", profile];
        if !filters.is_empty() {
            run.push("--no-tests=warn");
        }
        let doc = ["test", "--workspace", "--doc", "--locked", "--quiet", "--"];
        vec![with_filters(&doc), with_filters(&run)]
    } else {
        // One after the other to the end, as nextest does it: a second failure often explains the first.
        vec![with_filters(&["test", "--workspace", "--no-fail-fast", "--locked", "--"])]
    };
    let mut engines = None;
    steps.take("container engines", || Engines::start().map(|started| engines = Some(started)))?;
    let outcome = runs.iter().try_for_each(|arguments| {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        steps.take(&format!("cargo {}", arguments.join(" ")), || {
            let mut command = cargo::command(&arguments);
            if let Some(engines) = &engines {
                engines.name_to(&mut command);
            }
            cargo::run(command, &arguments)
        })
    });
    let ended = engines.map_or(Ok(()), Engines::end);
    // What failed in the tests is more to the point.
    outcome.and(ended)
}

/// Runs a command while container engines run as they do for tests.
pub(crate) fn with_engines(command: &[String]) -> Result<(), Failure> {
    let mut steps = Steps::default();
    steps.take("what tests need of this machine", packages::install)?;
    let engines = Engines::start()?;
    let (program, arguments) = command.split_first().ok_or_else(|| Failure::new("name a command to run"))?;
    let shown = command.join(" ");
    let mut command = Command::new(program);
    command.args(arguments);
    engines.name_to(&mut command);
    let outcome = match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("{shown}: {status}"))),
        Err(error) => Err(Failure::new(format!("{shown}: {error}"))),
    };
    outcome.and(engines.end())
}

/// How to build every shared library and program that a test may load or run: each package by itself, since cargo chooses
/// features for what it builds together, and tests ask for them one by one.
fn builds(metadata: &Metadata) -> Vec<Vec<String>> {
    let mut builds = vec![];
    for package in metadata.workspace_packages() {
        let mut targets: Vec<String> = vec![];
        for target in &package.targets {
            let is_library = target.crate_types.contains(&CrateType::CDyLib);
            if is_library && target.is_kind(TargetKind::CDyLib) {
                targets.push("--lib".to_owned());
            } else if is_library && target.is_kind(TargetKind::Example) {
                targets.push(format!("--example={}", target.name));
            } else if target.is_kind(TargetKind::Bin) && target.name == "longshore" {
                targets.push(format!("--bin={}", target.name));
            }
        }
        if !targets.is_empty() {
            let mut build: Vec<_> = ["build", "--locked", "--package"].map(str::to_owned).into();
            build.push(package.name.to_string());
            build.append(&mut targets);
            builds.push(build);
        }
    }
    builds.extend(released(metadata));
    builds
}

/// How to build the plugins and hosts of other releases, which are workspaces of their own: as `longshore-compat` does it.
fn released(metadata: &Metadata) -> Vec<Vec<String>> {
    let releases = metadata.workspace_root.join("tests/compat/released");
    let Ok(entries) = releases.read_dir_utf8() else { return vec![] };
    let mut manifests: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path().join("Cargo.toml"))
        .filter(|path| path.is_file())
        .collect();
    manifests.sort();
    let build = |manifest: Utf8PathBuf| {
        let target = metadata.target_directory.join("compat");
        let arguments =
            ["build", "--locked", "--target-dir", target.as_str(), "--manifest-path", manifest.as_str()];
        arguments.map(str::to_owned).into()
    };
    manifests.into_iter().map(build).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_and_mutants_are_built_before_the_tests() {
        let builds = builds(&metadata().expect("cargo describes the workspace"));
        let lines: Vec<_> = builds.iter().map(|build| build.join(" ")).collect();
        for package in ["longshore-memory", "longshore-process"] {
            let line = format!("build --locked --package {package} --lib");
            assert!(lines.contains(&line), "{line} is not in {lines:?}");
        }
        let mutants =
            lines.iter().find(|line| line.contains("--package longshore-mutants ")).expect("they are there");
        assert!(
            mutants.contains(" --example=mutant") && mutants.contains(" --example=no_symbol"),
            "{mutants}"
        );
        assert!(lines.iter().all(|line| !line.contains("longshore-scaling")), "it is no library to load");
        let is_release = |line: &&String| line.ends_with("tests/compat/released/1.0.0/Cargo.toml");
        assert_eq!(lines.iter().filter(is_release).count(), 1, "{lines:?}");
    }
}
