//! Steps that are told of, timed, and summed up; and those of `cargo xtask ci`.

use std::time::{Duration, Instant};

use crate::{
    Failure,
    cargo::{self, cargo},
    test,
};

/// The steps that were taken, and how long each took.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    taken: Vec<(String, Duration)>,
}

impl Steps {
    /// Takes a step.
    pub(crate) fn take(
        &mut self,
        name: &str,
        step: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        println!("\n── {name}");
        let start = Instant::now();
        let outcome = step();
        let time = start.elapsed();
        match &outcome {
            Ok(()) => println!("── {name}: {}", seconds(time)),
            Err(_) => println!("── {name}: failed after {}", seconds(time)),
        }
        self.taken.push((name.to_owned(), time));
        outcome
    }

    /// Runs cargo as a step.
    pub(crate) fn cargo(&mut self, arguments: &[&str]) -> Result<(), Failure> {
        self.take(&format!("cargo {}", arguments.join(" ")), || cargo(arguments))
    }

    /// Says how long everything took.
    pub(crate) fn sum_up(&self) {
        println!();
        let mut all = Duration::ZERO;
        for (name, time) in &self.taken {
            println!("{:>9}  {name}", seconds(*time));
            all += *time;
        }
        println!("{:>9}  in all", seconds(all));
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// All that must pass before a change is taken: what `.ci/run` does, and the check of dependencies where there is the tool.
pub(crate) fn ci() -> Result<(), Failure> {
    let mut steps = Steps::default();
    steps.cargo(&["fmt", "--all", "--check"])?;
    steps.cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])?;
    let doc = ["doc", "--workspace", "--no-deps", "--locked"];
    steps.take("RUSTDOCFLAGS=\"-D warnings\" cargo doc --workspace --no-deps --locked", || {
        let mut command = cargo::command(&doc);
        command.env("RUSTDOCFLAGS", "-D warnings");
        cargo::run(command, &doc)
    })?;
    if cargo::has("deny") {
        // Advisories come from the network and change by themselves: not a reason to turn a change down.
        steps.cargo(&["deny", "check", "bans", "licenses", "sources"])?;
    } else {
        println!("\n── cargo deny is not installed: dependencies were not checked");
    }
    test::steps(&mut steps, &[])?;
    steps.sum_up();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_is_counted_and_its_failure_returned() {
        let mut steps = Steps::default();
        steps.take("one", || Ok(())).expect("it succeeds");
        let failure = steps.take("two", || Err(Failure::new("no"))).expect_err("it fails");
        assert_eq!(failure.to_string(), "no");
        let names: Vec<_> = steps.taken.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["one", "two"]);
    }
}
