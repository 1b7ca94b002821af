//! The container engines that tests use: one of the machine that answers, or else one that is started for them and ended with
//! them, on a socket and a folder of its own.

use std::{env, process::Command};

use longshore_support::{Dockerd, Missing, Podman, everything_must_be_here, socket};

use crate::Failure;

/// Engines for tests, and the variables that name them. Those that were started here end with it.
#[derive(Debug)]
pub(crate) struct Engines {
    variables: Vec<(&'static str, String)>,
    dockerd: Option<Dockerd>,
    podman: Option<Podman>,
}

impl Engines {
    /// Finds engines, or starts them. Without one, tests that need it are skipped; where everything must be, that is a failure.
    pub(crate) fn start() -> Result<Self, Failure> {
        let mut engines = Self { variables: vec![], dockerd: None, podman: None };
        engines.docker().or_else(|why| told("a container engine", socket::ENGINE, &why))?;
        engines.podman().or_else(|why| told("Podman", socket::PODMAN, &why))?;
        Ok(engines)
    }

    fn docker(&mut self) -> Result<(), Missing> {
        let url = match socket::engine() {
            Ok(found) => {
                println!("   a container engine of this machine is used: {}", found.display());
                socket::url(&found)
            }
            // One that was asked for is not replaced by another.
            Err(why) if is_set(socket::ENGINE) || is_set("DOCKER_HOST") => return Err(why),
            Err(_) => {
                let dockerd = Dockerd::start()?;
                println!("   a Docker engine was started: {}", dockerd.url());
                note(&dockerd.notes());
                let url = dockerd.url();
                self.dockerd = Some(dockerd);
                url
            }
        };
        self.variables.push((socket::ENGINE, url));
        Ok(())
    }

    fn podman(&mut self) -> Result<(), Missing> {
        if is_set(socket::PODMAN) {
            return socket::podman()
                .map(|found| println!("   Podman's service is used: {}", found.display()));
        }
        let podman = Podman::start()?;
        println!("   Podman's service was started: {}", podman.url());
        note(&podman.notes());
        self.variables.push((socket::PODMAN, podman.url()));
        self.podman = Some(podman);
        Ok(())
    }

    /// Tells a command of the engines.
    pub(crate) fn name_to(&self, command: &mut Command) {
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    /// Ends those that were started.
    pub(crate) fn end(self) -> Result<(), Failure> {
        let ended = [self.dockerd.map(Dockerd::end), self.podman.map(Podman::end)];
        let left: Vec<_> = ended.into_iter().flatten().filter_map(Result::err).collect();
        if left.is_empty() {
            return Ok(());
        }
        Err(Failure::new(format!("a container engine has not ended well: {}", left.join("; "))))
    }
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

fn note(notes: &[String]) {
    for note in notes {
        println!("   note: {note}");
    }
}

/// Says that an engine is missing.
fn told(what: &str, variable: &str, why: &Missing) -> Result<(), Failure> {
    if everything_must_be_here() {
        return Err(Failure::new(format!(
            "tests need {what}, and there is none: {why}\nrun them as root on Debian or a kin of it, or name one that runs in \
             {variable} (unix://…), or unset CI for the tests to be skipped that need it"
        )));
    }
    println!("   tests with {what} are skipped, because {why}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_of_the_engines() {
        let variables = vec![(socket::ENGINE, "unix:///a".to_owned())];
        let engines = Engines { variables, dockerd: None, podman: None };
        let mut command = Command::new("env");
        engines.name_to(&mut command);
        let output = command.output().expect("it can be run");
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.lines().any(|line| line == "LONGSHORE_ENGINE=unix:///a"), "{output}");
        engines.end().expect("there is nothing to end");
    }
}
