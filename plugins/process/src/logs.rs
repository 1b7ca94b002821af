//! What workers print: two files a container, `<index>.out` and `<index>.err` in the launch's folder, and in front of each
//! an older part, `<index>.out.1`, so that a limit can be kept while the worker goes on writing.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use longshore_plugin_api::Error;

use crate::files::{draft_of, remove_file, trouble};

/// One of the two.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Out,
    Err,
}

const STREAMS: [Stream; 2] = [Stream::Out, Stream::Err];

fn path(folder: &Path, index: u32, stream: Stream) -> PathBuf {
    folder.join(match stream {
        Stream::Out => format!("{index}.out"),
        Stream::Err => format!("{index}.err"),
    })
}

fn older(path: &Path) -> PathBuf {
    path.with_added_extension("1")
}

/// The file that a worker's stream is appended to.
pub(crate) fn open(folder: &Path, index: u32, stream: Stream) -> Result<File, Error> {
    let path = path(folder, index, stream);
    // Appending is what makes truncation below possible: the worker's next write goes to the new end.
    let mut options = File::options();
    options.create(true).append(true).mode(0o600).open(&path).map_err(|error| trouble("open", &path, &error))
}

/// Keeps both logs of a container within `limit` bytes each. The older half of a log that is too long goes to a second file,
/// in place of what was there. What the worker writes between the copy and the truncation is lost.
pub(crate) fn trim(folder: &Path, index: u32, limit: u64) -> io::Result<()> {
    for stream in STREAMS {
        let path = path(folder, index, stream);
        let trimmed = fs::metadata(&path).and_then(|metadata| {
            if metadata.len() > limit / 2 { set_aside(&path, limit / 2) } else { Ok(()) }
        });
        match trimmed {
            // Never made, or cleared away by another host.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

/// Moves the last `keep` bytes of a file to its older part.
fn set_aside(path: &Path, keep: u64) -> io::Result<()> {
    let mut source = File::options().read(true).write(true).open(path)?;
    let skip = source.metadata()?.len().saturating_sub(keep);
    source.seek(SeekFrom::Start(skip))?;
    let draft = draft_of(path);
    // The worker may write on: no more than was there is copied.
    io::copy(&mut (&mut source).take(keep), &mut File::create(&draft)?)?;
    fs::rename(&draft, older(path))?;
    source.set_len(0)
}

/// Removes the logs of a container. They are of no worth any more: what cannot be removed stays.
pub(crate) fn remove(folder: &Path, index: u32) {
    for stream in STREAMS {
        let path = path(folder, index, stream);
        for path in [older(&path), path] {
            if let Err(error) = remove_file(&path) {
                tracing::warn!("cannot remove {}: {error}", path.display());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn the_tail_of_a_long_log_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = path(folder.path(), 3, Stream::Err);
        let mut worker = open(folder.path(), 3, Stream::Err).expect("it is made");
        let text: Vec<u8> = (0..10_000_u32).flat_map(|number| format!("{number}\n").into_bytes()).collect();
        worker.write_all(&text).expect("written");
        trim(folder.path(), 3, 8_192).expect("trimmed");
        assert_eq!(fs::read(older(&path)).expect("it is there"), text[text.len() - 4_096..]);
        assert_eq!(fs::metadata(&path).expect("it is there").len(), 0);

        worker.write_all(b"more").expect("written");
        trim(folder.path(), 3, 8_192).expect("nothing to do");
        assert_eq!(fs::read(&path).expect("it is there"), b"more", "appended at the new end, without a hole");
        remove(folder.path(), 3);
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 0);
    }

    #[test]
    fn a_log_that_is_not_there_needs_no_trimming() {
        let folder = tempfile::tempdir().expect("a folder");
        trim(folder.path(), 0, 8_192).expect("nothing to do");
        remove(folder.path(), 0);
    }
}
