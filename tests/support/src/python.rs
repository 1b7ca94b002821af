//! Programs in Python for tests: an environment with exact versions of all packages, each checked against its hash. It is made
//! once and kept with what cargo builds.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::{Read as _, Seek as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use cargo_metadata::MetadataCommand;

use crate::{Missing, programs};

/// What is installed for Dask.
const DASK: &str = include_str!("../python/dask.txt");
/// What is installed for figures to be read.
const PROMETHEUS: &str = include_str!("../python/prometheus.txt");
/// How long making an environment, or installing its packages, may take.
const LIMIT: Duration = Duration::from_mins(5);
/// The last lines of what a failed installation has said.
const LINES: usize = 8;

/// An environment of Python's.
#[derive(Clone, Debug)]
pub struct Venv {
    folder: PathBuf,
}

impl Venv {
    /// An environment with Dask: `dask scheduler`, `dask worker`, and the packages `dask` and `distributed`.
    pub fn dask() -> Result<Self, Missing> {
        Self::with("dask", DASK)
    }

    /// An environment with the package `prometheus_client`, whose parsers read what a host tells Prometheus.
    pub fn prometheus() -> Result<Self, Missing> {
        Self::with("prometheus", PROMETHEUS)
    }

    /// A program that one of its packages has brought.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// The environment's Python.
    pub fn python(&self) -> PathBuf {
        self.program("python3")
    }

    /// An environment with these packages, as a file of requirements for `pip` has them.
    fn with(name: &str, requirements: &str) -> Result<Self, Missing> {
        let python = programs::find("python3")?;
        // Another Python needs other files.
        let version =
            run(Command::new(&python)
                .args(["-c", "import sys; print(sys.implementation.cache_tag, sys.prefix)"]))
            .map_err(|why| Missing::new(format!("{} does not run: {why}", python.display())))?;
        let built = MetadataCommand::new().current_dir(env!("CARGO_MANIFEST_DIR")).no_deps().exec();
        let built =
            built.map_err(|error| Missing::new(format!("cargo does not say where it builds: {error}")))?;
        Self::within(
            &built.target_directory.into_std_path_buf().join("python"),
            name,
            &python,
            &version,
            requirements,
        )
    }

    fn within(
        folder: &Path,
        name: &str,
        python: &Path,
        version: &str,
        requirements: &str,
    ) -> Result<Self, Missing> {
        let failed = |what: &Path, error| Missing::new(format!("{}: {error}", what.display()));
        let venv = Self { folder: folder.join(name) };
        fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        // One at a time: other tests may want it as well.
        let lock = folder.join(format!("{name}.lock"));
        let lock = File::create(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| failed(&lock, error))?;
        // What it is made of, written when it is complete.
        let complete = venv.folder.join("complete");
        let made_of = format!("{version}{requirements}");
        if fs::read_to_string(&complete).is_ok_and(|found| found == made_of) {
            return Ok(venv);
        }
        if venv.folder.exists() {
            fs::remove_dir_all(&venv.folder).map_err(|error| failed(&venv.folder, error))?;
        }
        run(Command::new(python).args(["-m", "venv"]).arg(&venv.folder)).map_err(|why| {
            Missing::new(format!("{} makes no environment (Debian: python3-venv): {why}", python.display()))
        })?;
        let list = venv.folder.join("requirements.txt");
        fs::write(&list, requirements).map_err(|error| failed(&list, error))?;
        let pip = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--require-hashes",
        ];
        let files = ["--only-binary=:all:", "--retries=3", "--timeout=30", "--requirement"];
        run(Command::new(venv.python()).args(pip).args(files).arg(&list).envs(certificates()))
            .map_err(|why| Missing::new(format!("{name} cannot be installed from PyPI: {why}")))?;
        fs::write(&complete, made_of).map_err(|error| failed(&complete, error))?;
        drop(lock);
        Ok(venv)
    }
}

/// Where a machine has certificates of its own, and says so to others than `pip`: cargo may have brought us here with them.
fn certificates() -> Option<(&'static str, OsString)> {
    let of_others = ["CARGO_HTTP_CAINFO", "SSL_CERT_FILE"].into_iter().find_map(env::var_os);
    of_others.filter(|_| env::var_os("PIP_CERT").is_none()).map(|file| ("PIP_CERT", file))
}

/// Runs a command to its end, but not for longer than it may take, and returns what it has written.
fn run(command: &mut Command) -> Result<String, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut said = tempfile::tempfile().map_err(failed)?;
    let output = said.try_clone().map_err(failed)?;
    // Of another environment that this process may be in, nothing should be found.
    command.env_remove("PYTHONHOME").env_remove("PYTHONPATH").env_remove("PIP_REQUIRE_VIRTUALENV");
    command.stdin(Stdio::null()).stdout(output.try_clone().map_err(failed)?).stderr(output);
    let mut child = command.spawn().map_err(failed)?;
    let end = Instant::now() + LIMIT;
    let status = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break Some(status),
            None if Instant::now() > end => {
                child.kill().and_then(|()| child.wait()).map_err(failed)?;
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    let mut text = String::new();
    said.rewind().and_then(|()| said.read_to_string(&mut text)).map_err(failed)?;
    let lines: Vec<_> = text.trim().lines().collect();
    let last = lines[lines.len().saturating_sub(LINES)..].join("\n");
    match status {
        Some(status) if status.success() => Ok(text),
        Some(status) => Err(format!("{status}; it said:\n{last}")),
        None => Err(format!("it was not done within {} s; it said:\n{last}", LIMIT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::or_skip;

    const TEST: &str = "an_environment_is_made_once_and_anew_for_other_packages";

    #[test]
    fn an_environment_is_made_once_and_anew_for_other_packages() {
        let Some(python) = or_skip(TEST, programs::find("python3")) else { return };
        let folder = tempfile::tempdir().expect("a folder");
        let make = |requirements: &str| Venv::within(folder.path(), "none", &python, "3", requirements);
        let Some(venv) = or_skip(TEST, make("# nothing\n")) else { return };
        assert!(venv.python().exists());
        let own = venv.folder.join("own");
        fs::write(&own, "").expect("a file");
        make("# nothing\n").expect("it is there");
        assert!(own.exists(), "the same one is used again");
        fs::remove_file(venv.folder.join("complete")).expect("it is there");
        make("# nothing\n").expect("it can be made anew");
        assert!(!own.exists(), "one that was not completed is made anew");
        let missing = make("of-nobody==1 --hash=sha256:00\n").expect_err("there is no such hash").to_string();
        assert!(missing.starts_with("none cannot be installed from PyPI: exit status: "), "{missing}");
        assert!(!venv.folder.join("complete").exists());
    }

    #[test]
    fn what_fails_says_why() {
        let why = run(Command::new("sh").args(["-c", "echo no; exit 4"])).expect_err("it fails");
        assert_eq!(why, "exit status: 4; it said:\nno");
        assert_eq!(run(Command::new("echo").arg("yes")), Ok("yes\n".to_owned()));
    }

    #[test]
    fn each_version_is_exact_and_has_hashes() {
        for (list, wanted) in [(DASK, "distributed=="), (PROMETHEUS, "prometheus-client==")] {
            let packages = list.lines().filter(|line| !line.starts_with([' ', '#']));
            assert!(packages.clone().any(|line| line.starts_with(wanted)));
            for package in packages {
                assert!(package.contains("==") && package.ends_with('\\'), "{package}");
            }
        }
    }
}
