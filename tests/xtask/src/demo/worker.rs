//! The demonstration's worker: an ordinary program that knows nothing of Longshore but the name of its handle. It claims
//! jobs from a spool folder, and takes over the claims of workers that died.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io,
    path::Path,
    time::Duration,
};

use sha2::{Digest, Sha256};

use crate::Failure;

/// Works until it is killed: claims a job, writes its result, rests.
pub(crate) fn work(spool: &Path, root: &Path, pace: Duration) -> Result<(), Failure> {
    let handle = std::env::var("LONGSHORE_HANDLE")
        .map_err(|_| Failure::new("LONGSHORE_HANDLE is not set: this is for a host to run"))?;
    fs::write(spool.join("workers").join(&handle), std::process::id().to_string())?;
    loop {
        if !work_once(spool, root, pace)? {
            take_over(spool)?;
            std::thread::sleep(pace);
        }
    }
}

/// Does one job; false where none waits.
fn work_once(spool: &Path, root: &Path, pace: Duration) -> Result<bool, Failure> {
    for entry in fs::read_dir(spool.join("jobs"))? {
        let job = entry?;
        let claimed = spool.join("claimed").join(job.file_name());
        // The lock says that the claim's owner lives: the system drops it when the owner dies, however it dies.
        let Some(lock) = lock(&job.path())? else { continue };
        if fs::rename(job.path(), &claimed).is_err() {
            continue;
        }
        let file = fs::read_to_string(&claimed)?;
        let result = result(root, Path::new(&file))?;
        std::thread::sleep(pace);
        // A result appears whole or not at all.
        let unfinished = spool.join(format!("unfinished-{}", std::process::id()));
        fs::write(&unfinished, result)?;
        fs::rename(&unfinished, spool.join("done").join(job.file_name()))?;
        fs::remove_file(&claimed)?;
        drop(lock);
        return Ok(true);
    }
    Ok(false)
}

/// Puts the claims of dead workers back.
fn take_over(spool: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(spool.join("claimed"))? {
        let claim = entry?;
        if lock(&claim.path())?.is_none() {
            continue;
        }
        let name = claim.file_name();
        if spool.join("done").join(&name).exists() {
            // It died between the result and the claim's removal.
            let _ = fs::remove_file(claim.path());
        } else {
            // Where somebody was faster, there is nothing to put back.
            let _ = fs::rename(claim.path(), spool.join("jobs").join(&name));
        }
    }
    Ok(())
}

/// The file at a path, locked; nothing where another holds it, or it is gone.
fn lock(path: &Path) -> Result<Option<File>, Failure> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(file.try_lock().is_ok().then_some(file))
}

/// The checksum of a file, as `sha256sum` prints it.
pub(super) fn result(root: &Path, file: &Path) -> Result<String, Failure> {
    let digest = Sha256::digest(fs::read(root.join(file))?);
    let mut line = String::new();
    for byte in digest {
        // Writing to a text cannot fail.
        let _ = write!(line, "{byte:02x}");
    }
    Ok(format!("{line}  {}\n", file.display()))
}
