//! Where a document goes that a file was named for: in its place when it is whole, and never in the place of a device.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufWriter, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::NamedTempFile;

/// Where a document goes.
pub(crate) enum Place {
    /// To be put there whole; what had the name before is there until then.
    Renamed(NamedTempFile, PathBuf),
    /// A device or a pipe, which must stay what it is.
    Written(PathBuf),
}

impl Place {
    /// The place of a path. A new file has the permissions of `mode` that the umask leaves it; one that is there keeps its own.
    pub(crate) fn of(path: &Path, mode: u32) -> io::Result<Self> {
        let there = match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            there => Some(there?),
        };
        if there.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder: name a file in it"));
        }
        if there.as_ref().is_some_and(|it| !it.is_file()) {
            return Ok(Self::Written(path.to_owned()));
        }
        // What a link leads to is replaced, and not the link.
        let file = if there.is_some() { fs::canonicalize(path)? } else { path.to_owned() };
        let permissions = there.map_or_else(|| Permissions::from_mode(mode), |there| there.permissions());
        let unfinished = tempfile::Builder::new()
            .prefix(".longshore-")
            .permissions(permissions)
            .tempfile_in(folder_of(&file))?;
        Ok(Self::Renamed(unfinished, file))
    }

    /// Has the document written, and puts it in its place, on the disk with its folder. Where writing fails, what had the name
    /// before is as it was.
    pub(crate) fn write<E>(
        self,
        failed: impl Fn(io::Error) -> E,
        write: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Renamed(mut unfinished, path) => {
                buffered(unfinished.as_file_mut(), &failed, write)?;
                unfinished.as_file().sync_all().map_err(&failed)?;
                unfinished.persist(&path).map_err(|error| failed(error.error))?;
                File::open(folder_of(&path)).and_then(|folder| folder.sync_all()).map_err(failed)
            }
            Self::Written(path) => {
                let mut file = OpenOptions::new().write(true).open(path).map_err(&failed)?;
                buffered(&mut file, failed, write)
            }
        }
    }
}

fn buffered<E>(
    file: &mut File,
    failed: impl Fn(io::Error) -> E,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = BufWriter::new(file);
    write(&mut buffer)?;
    buffer.flush().map_err(failed)
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileTypeExt as _;

    use super::*;

    fn put(path: &Path, text: &str) -> io::Result<()> {
        Place::of(path, 0o600)?.write(|error| error, |out| out.write_all(text.as_bytes()))
    }

    #[test]
    fn a_document_is_put_in_its_place_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("document");
        put(&path, "one").expect("it is written");
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        put(&link, "two").expect("it is written");
        assert!(fs::symlink_metadata(&link).expect("it is there").is_symlink(), "the link is still one");
        assert_eq!(fs::read_to_string(&path).expect("it is read"), "two");
        let failed = Place::of(&path, 0o600).expect("a place").write(
            |error| error,
            |out| {
                out.write_all(b"thr")?;
                Err(io::Error::other("no more"))
            },
        );
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).expect("it is read"), "two", "half a document replaces nothing");
        assert_eq!(fs::read_dir(folder.path()).expect("it is read").count(), 2, "no draft is left");
    }

    #[test]
    fn a_device_stays_one_and_a_folder_is_turned_down() {
        let path = Path::new("/dev/null");
        put(path, "nothing").expect("it takes everything");
        assert!(fs::metadata(path).expect("it is there").file_type().is_char_device());
        let folder = tempfile::tempdir().expect("a folder");
        let error = put(folder.path(), "x").expect_err("it is a folder");
        assert!(error.to_string().contains("name a file in it"), "{error}");
    }
}
