//! Finding out what a plugin is, which runs its code: by whoever can do that without harm, in a process that is thrown away, or
//! else in this one.

use std::{fmt, path::Path};

use crate::{error::LoadError, library::Library, shelf::Named, verify::Verified};

/// Finds out what a plugin is.
pub trait Examine: fmt::Debug + Send + Sync {
    /// What the content says it is that was read from a path. Blocks, for a bounded time.
    ///
    /// # Errors
    ///
    /// [`LoadError`]: it is no plugin, or crashed.
    fn examine(&self, path: &Path, verified: &Verified) -> Result<Named, LoadError>;
}

/// In this process, where the library stays for good.
#[derive(Clone, Copy, Debug)]
pub struct InThisProcess;

impl Examine for InThisProcess {
    fn examine(&self, path: &Path, verified: &Verified) -> Result<Named, LoadError> {
        let library = Library::open_verified(path, verified.clone())?;
        let metadata = library.metadata();
        Ok(Named { name: metadata.name.clone(), version: metadata.version.clone() })
    }
}
