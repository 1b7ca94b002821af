//! What those who are compared have in common: how they are told what to do, and how their containers are known.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The label that says whose a container is.
pub(crate) const LABEL: &str = "bench.contender";
/// How long a container may take to end when it is asked to, in seconds: for all the same, and none of them needs it.
pub(crate) const GRACE_SECONDS: u32 = 10;
/// What runs in each container: the engine's first process passes signals on to it.
pub(crate) const PROGRAM: [&str; 2] = ["sleep", "86400"];

/// Somebody who can make containers, and end them.
pub(crate) trait Contender: Send {
    /// What it is, as it is printed.
    fn name(&self) -> &'static str;

    /// The label that its containers have, and no others.
    fn label(&self) -> String;

    /// Whether its commands return when all is done, as it sees it, so that their own time says something.
    fn waits(&self) -> bool;

    /// Makes so many containers. There are none.
    fn up(&mut self, containers: usize);

    /// Ends and removes all of them.
    fn down(&mut self);
}

/// What all of them work with.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) docker: &'a Docker,
    pub(crate) image: String,
}

/// The command `docker`, and the engine that it speaks to.
#[derive(Debug)]
pub(crate) struct Docker {
    program: PathBuf,
    url: String,
}

impl Docker {
    pub(crate) fn new(program: PathBuf, url: String) -> Self {
        Self { program, url }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The versions of both.
    pub(crate) fn versions(&self) -> String {
        self.run(["version", "--format", "docker {{.Client.Version}}, engine {{.Server.Version}}"])
    }

    /// Carries a command out, and gives what it wrote.
    ///
    /// # Panics
    ///
    /// It fails.
    pub(crate) fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        run(Command::new(&self.program).args(arguments).env("DOCKER_HOST", &self.url))
    }
}

/// Carries a command out, and gives what it wrote.
///
/// # Panics
///
/// It fails.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", shown(command)));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {}, {said}", shown(command), output.status);
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy();
    let arguments = command.get_args().map(|argument| argument.to_string_lossy());
    std::iter::once(program).chain(arguments).collect::<Vec<_>>().join(" ")
}
