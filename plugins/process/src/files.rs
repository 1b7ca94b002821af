//! Files of the state folder: written whole or not at all, private to their owner, and with the path in every error.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use longshore_plugin_api::Error;

/// An error of a file: the backend of this provider cannot be asked.
pub(crate) fn trouble(doing: &str, path: &Path, error: &io::Error) -> Error {
    Error::unreachable(format_args!("cannot {doing} {}: {error}", path.display()))
}

/// Makes a folder that only its owner may enter, with all above it.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Removes a file; one that is gone already is as good.
pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Writes a whole file so that it is there entirely or not at all, also after a loss of power.
pub(crate) fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    write_by_way_of(&draft_of(path), path, content)
}

/// As [`write_durably`], for a file that others may be writing at this moment, in this process or another: the last one stays.
pub(crate) fn write_durably_among_others(path: &Path, content: &[u8]) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let draft = path.with_file_name(format!(".{name}.{}-{number}.draft", std::process::id()));
    write_by_way_of(&draft, path, content)
}

fn write_by_way_of(draft: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(draft, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Where a file is written before it is complete: a name that no cluster and no token can have.
pub(crate) fn draft_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.draft"))
}

/// Reads a JSON document, if there is one.
pub(crate) fn read_document<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(trouble("read", path, &error)),
    };
    let unreadable = |error| {
        Error::unreachable(format_args!(
            "{} is damaged: {error}; move its folder away once its workers are known to have stopped",
            path.display()
        ))
    };
    serde_json::from_slice(&text).map(Some).map_err(unreadable)
}
