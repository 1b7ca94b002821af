//! The environment with Dask, tried itself.

use std::process::Command;

use longshore_support::{Venv, or_skip};

#[test]
fn dask_is_there_in_the_version_that_was_asked_for() {
    let Some(venv) = or_skip("dask_is_there_in_the_version_that_was_asked_for", Venv::dask()) else { return };
    let dask = venv.program("dask");
    for command in ["scheduler", "worker"] {
        let output = Command::new(&dask).args([command, "--help"]).output().expect("it can be run");
        assert!(output.status.success(), "{output:?}");
    }
    let asked = include_str!("../python/dask.txt");
    let asked = asked.lines().find_map(|line| line.strip_prefix("distributed==")).expect("it is asked for");
    let output = Command::new(venv.python())
        .args(["-c", "import distributed; print(distributed.__version__)"])
        .output();
    let output = String::from_utf8(output.expect("it can be run").stdout).expect("text");
    assert_eq!(asked.trim_end_matches([' ', '\\']), output.trim());
}
