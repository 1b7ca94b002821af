//! Loads what is sealed as a library, and keeps it loaded for good. The file itself may then be replaced, overwritten or
//! deleted; loading it in place would crash when somebody writes into it.
//!
//! On Linux it is loaded from the sealed file in memory. Elsewhere, and where the system does not load such a file, from
//! one in a new folder of our own that only we may enter, once it was seen that the copy is still what was read. Either way the library does not see the folder that it came
//! from: what it needs beside it is not found through `$ORIGIN`.
#![expect(unsafe_code, reason = "loading a library runs its code")]

use std::{fs, io, path::Path};

use crate::{error::LoadErrorKind, sealed::Sealed};

#[cfg(unix)]
pub(crate) use libloading::os::unix::Library;
#[cfg(windows)]
pub(crate) use libloading::os::windows::Library;

/// Why the system did not load it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: LoadErrorKind,
    pub(crate) message: String,
}

impl Failure {
    fn open(error: &libloading::Error, copy: &Path) -> Self {
        let text = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
        // The copy's name tells a person nothing.
        let message = text.replace(&format!("{}: ", copy.display()), "");
        Self { kind: LoadErrorKind::Open, message: format!("the system's loader refuses it: {message}") }
    }

    fn changed(error: &io::Error) -> Self {
        Self { kind: LoadErrorKind::Changed, message: format!("its private copy cannot be used: {error}") }
    }

    fn copy(error: &io::Error) -> Self {
        Self {
            kind: LoadErrorKind::Open,
            message: format!(
                "no private copy of it could be made in the folder for temporary files: {error}"
            ),
        }
    }
}

/// Loads the library, and takes one thing out of it.
pub(crate) fn load<T>(
    sealed: &Sealed,
    take: impl FnOnce(&Library) -> Result<T, libloading::Error>,
) -> Result<T, Failure> {
    let folder = || {
        let bytes = sealed.same_bytes().map_err(|error| Failure::changed(&error))?;
        in_folder(&bytes, sealed.hash())
    };
    #[cfg(target_os = "linux")]
    let library = sealed.in_memory().and_then(in_memory).map_or_else(folder, Ok)?;
    #[cfg(not(target_os = "linux"))]
    let library = folder()?;
    // Never unloaded: its code may be on any thread's stack, and pointers to it are everywhere.
    let library = Box::leak(Box::new(library));
    take(library).map_err(|error| Failure {
        kind: LoadErrorKind::NoSymbol,
        message: format!("it does not export Longshore's root module: {error}"),
    })
}

/// Loads from a sealed file in memory; nothing where that does not work, for whatever reason: then the other way finds
/// the reason, too.
#[cfg(target_os = "linux")]
fn in_memory(copy: &fs::File) -> Option<Library> {
    use std::os::fd::{AsRawFd as _, IntoRawFd as _};

    let file = copy.try_clone().ok()?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let library = open(Path::new(&path)).ok()?;
    // The loader knows a library by the path that it was opened under: the number must not come to mean another file.
    let _kept_open = file.into_raw_fd();
    Some(library)
}

/// Loads from a file in a folder of our own.
fn in_folder(bytes: &[u8], hash: &str) -> Result<Library, Failure> {
    let folder =
        tempfile::Builder::new().prefix("longshore-").tempdir().map_err(|error| Failure::copy(&error))?;
    let path = folder.path().join(format!("{hash}{}", std::env::consts::DLL_SUFFIX));
    fs::write(&path, bytes).map_err(|error| Failure::copy(&error))?;
    let library = open(&path).map_err(|error| Failure::open(&error, &path))?;
    if cfg!(windows) {
        // A library in use cannot be deleted there.
        let _ = folder.keep();
    }
    Ok(library)
}

#[cfg(unix)]
fn open(path: &Path) -> Result<Library, libloading::Error> {
    use libloading::os::unix::{RTLD_LOCAL, RTLD_NOW};
    // SAFETY: this runs what the library does when it is loaded. The operator has named it as a plugin, which means to
    // trust it with this process; clause LOAD-7 asks it to do nothing here.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE) }
}

#[cfg(windows)]
fn open(path: &Path) -> Result<Library, libloading::Error> {
    // SAFETY: as on Unix.
    unsafe { Library::new(path) }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    type Seven = extern "C" fn() -> u32;

    fn library() -> Sealed {
        Sealed::read(&longshore_support::example("longshore-mutants", "no_symbol")).expect("it can be read")
    }

    fn seven(library: &Library) -> u32 {
        // SAFETY: the library exports a function of that name and type, and is open.
        let function = unsafe { library.get::<Seven>(b"longshore_no_plugin\0") };
        function.expect("it is exported")()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_library_is_loaded_from_memory() {
        let library = in_memory(library().in_memory().expect("this system has them"))
            .expect("this system has files in memory");
        assert_eq!(seven(&library), 7);
    }

    #[test]
    fn where_there_is_no_such_memory_it_is_loaded_from_a_folder_that_is_gone_afterwards() {
        let hash = format!("folder-{}", std::process::id());
        let bytes = library().bytes().expect("the copy is there");
        let library = in_folder(&bytes, &hash).expect("the folder for temporary files can be written");
        assert_eq!(seven(&library), 7);
        let left = fs::read_dir(std::env::temp_dir())
            .expect("it can be read")
            .flatten()
            .any(|entry| entry.path().join(format!("{hash}{}", std::env::consts::DLL_SUFFIX)).exists());
        assert!(!left, "the copy is gone");
    }

    #[test]
    fn what_the_loader_refuses_is_told_without_the_name_of_the_copy() {
        let failure = in_folder(b"no library", "refused").expect_err("it is no library");
        assert_eq!(failure.kind, LoadErrorKind::Open);
        assert!(failure.message.contains("loader refuses it") && !failure.message.contains("refused."));
    }
}
