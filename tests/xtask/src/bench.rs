//! `cargo xtask bench`: runs the programs of `tests/bench`, which measure and print.

use crate::{Failure, cargo::metadata, steps::Steps};

const PACKAGE: &str = "longshore-bench";

/// Runs the benchmarks of these names; all where there is none.
pub(crate) fn run(names: &[String]) -> Result<(), Failure> {
    let known = known()?;
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        return Err(Failure::new(format!(
            "there is no benchmark {unknown:?}; there are: {}",
            known.join(", ")
        )));
    }
    let mut steps = Steps::default();
    for name in known.iter().filter(|name| names.is_empty() || names.contains(name)) {
        steps.cargo(&["run", "--quiet", "--release", "--package", PACKAGE, "--bin", name])?;
    }
    Ok(())
}

fn known() -> Result<Vec<String>, Failure> {
    let metadata = metadata()?;
    let package = metadata.packages.iter().find(|package| package.name == PACKAGE);
    let targets = package.into_iter().flat_map(|package| &package.targets);
    Ok(targets.filter(|target| target.is_bin()).map(|target| target.name.clone()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_benchmarks_are_found_and_others_are_not() {
        assert!(known().expect("cargo describes the workspace").contains(&"plan_halving".to_owned()));
        let failure = run(&["of_nobody".to_owned()]).expect_err("there is none").to_string();
        assert!(failure.starts_with("there is no benchmark \"of_nobody\"; there are: "), "{failure}");
    }
}
