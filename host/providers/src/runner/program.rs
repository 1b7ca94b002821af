//! The program that runners are: any whose `main` begins with [`intercept`](super::intercept).

use std::{io, path::PathBuf};

/// The first argument of a runner; the process that started it and a title for lists of processes follow.
pub(crate) const FLAG: &str = "--longshore-runner";

/// A program that begins with [`intercept`](super::intercept), and can therefore be started as a runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunnerProgram {
    path: PathBuf,
}

impl RunnerProgram {
    /// This program itself. Its `main` must begin with [`intercept`](super::intercept), lest it do again what it is doing.
    ///
    /// # Errors
    ///
    /// The system does not say where it is.
    pub fn own() -> io::Result<Self> {
        // By this name it is the very file that runs, though another has taken its place since.
        #[cfg(target_os = "linux")]
        let path = PathBuf::from("/proc/self/exe");
        #[cfg(not(target_os = "linux"))]
        let path = std::env::current_exe()?;
        path.metadata()?;
        Ok(Self { path })
    }

    /// Another program.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }
}
