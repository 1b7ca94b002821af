//! The conformance tests of a provider's own crate: what [`main!`](crate::main) makes of `tests/conformance.rs`. Each check is a
//! test of its own, so that `cargo test`, nextest and IDEs list, filter and run them like any other.

use std::{
    env, fs,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
    process::{self, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use libtest_mimic::{Arguments, Completion, Failed};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    check::{Check, Need},
    child::intercept,
    format::{Again, block, is_bad},
    quirks::Quirks,
    runner::{Refusal, Trial},
    verdict::{Finding, Outcome},
};

/// Says that checks may take their time and the provider's: everything that is ignored otherwise is run.
const LONG: &str = "LONGSHORE_CONFORMANCE_LONG";

/// What random checks begin with.
const SEED: &str = "LONGSHORE_CONFORMANCE_SEED";

/// The exit code of libtest where a test has failed.
const FAILED: u8 = 101;

/// Makes a test target of this crate's provider: with `harness = false` for it in `Cargo.toml`, and `crate-type = ["cdylib",
/// "rlib"]` for the library, `tests/conformance.rs` needs no more than
///
/// ```ignore
/// //! Holds the provider to the contract.
///
/// longshore_conformance::main!();
/// ```
///
/// Each check is a test of its name: `cargo test --test conformance kill-stops`. A `quirks.toml` beside `Cargo.toml` says how
/// the provider is to be tried. Checks that take much of the provider's time or money are ignored tests: `-- --ignored` runs
/// them, and so does the variable `LONGSHORE_CONFORMANCE_LONG=1`. Random checks begin with `LONGSHORE_CONFORMANCE_SEED`, where
/// it is set; a failure names the seed that it had.
///
/// A check that cannot be tried counts as ignored, with the reason; nextest, which knows of none that turn out so, counts it as
/// passed. A warning passes, too, and is printed. nextest runs each test in a process of its own, so that `most_jobs` of the
/// quirks is not heeded there: give such tests a test group.
///
/// A library that is not called like its package is named: `main!(library = "other_name")`.
#[macro_export]
macro_rules! main {
    () => {
        $crate::main!(library = env!("CARGO_PKG_NAME"));
    };
    (library = $library:expr) => {
        fn main() -> ::std::process::ExitCode {
            $crate::harness::main(&$crate::harness::Crate {
                folder: env!("CARGO_MANIFEST_DIR"),
                package: env!("CARGO_PKG_NAME"),
                target: env!("CARGO_CRATE_NAME"),
                library: $library,
            })
        }
    };
}

/// The crate whose provider is tried, as cargo tells of it.
#[derive(Clone, Copy, Debug)]
pub struct Crate {
    /// The folder of its manifest.
    pub folder: &'static str,
    /// Its package.
    pub package: &'static str,
    /// The test target.
    pub target: &'static str,
    /// Its library: the target's name, with `-` or `_`.
    pub library: &'static str,
}

/// What every test of a process shares.
struct Setup {
    package: Crate,
    library: PathBuf,
    quirks: Quirks,
    program: PathBuf,
    long: bool,
    seed: u64,
    coloured: bool,
    stop: Arc<AtomicBool>,
}

/// The whole program: the process of a check where it was started as one, and otherwise the tests.
pub fn main(package: &Crate) -> ExitCode {
    if let Some(code) = intercept() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    if arguments.list {
        // Nothing is loaded, and nothing need be built, for a list.
        return libtest_mimic::run(&arguments, tests(long(), |_| Ok(Completion::Completed))).exit_code();
    }
    let setup = match Setup::new(*package) {
        Ok(setup) => setup,
        Err(what) => {
            eprintln!("error: {what}");
            return ExitCode::from(FAILED);
        }
    };
    if let (None, Some(most)) = (arguments.test_threads, setup.quirks.most_jobs) {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        arguments.test_threads = Some(processors.min(most));
    }
    let long = setup.long;
    let setup = Arc::new(setup);
    libtest_mimic::run(&arguments, tests(long, move |check| setup.test(check))).exit_code()
}

/// A test a check.
fn tests(
    long: bool,
    test: impl Fn(Check) -> Result<Completion, Failed> + Clone + Send + 'static,
) -> Vec<libtest_mimic::Trial> {
    let one = |check: Check| {
        let test = test.clone();
        let is_long = check.needs().contains(&Need::Long);
        libtest_mimic::Trial::ignorable_test(check.name(), move || test(check))
            .with_ignored_flag(is_long && !long)
    };
    Check::ALL.iter().copied().map(one).collect()
}

fn long() -> bool {
    env::var_os(LONG).is_some_and(|value| !value.is_empty() && value != "0")
}

impl Setup {
    fn new(package: Crate) -> Result<Self, String> {
        let program = env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))?;
        let seed = match env::var(SEED) {
            Ok(seed) => {
                seed.parse().map_err(|_| format!("{SEED} is `{seed}`, and must be a whole number"))?
            }
            Err(_) => u64::from(fastrand::u32(..)),
        };
        let quirks = Path::new(package.folder).join("quirks.toml");
        let quirks = if quirks.exists() { Quirks::read(&quirks)? } else { Quirks::default() };
        let stop = Arc::default();
        end_early(&stop).map_err(|error| format!("cannot listen for signals: {error}"))?;
        let coloured = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
        let library = find(&package, &program)?;
        Ok(Self { package, library, quirks, program, long: long(), seed, coloured, stop })
    }

    /// Runs one check.
    fn test(&self, check: Check) -> Result<Completion, Failed> {
        // Who asks for an ignored test by name has the time.
        let long = self.long || check.needs().contains(&Need::Long);
        let trial = Trial {
            checks: vec![check],
            jobs: 1,
            long,
            seed: self.seed,
            stop: Arc::clone(&self.stop),
            ..Trial::new(self.library.clone(), self.quirks.clone(), self.program.clone())
        };
        let report = trial.run(&|_| {}).map_err(|refusal| match refusal {
            Refusal::NotAPlugin(what) | Refusal::Config(what) => what,
            Refusal::Fault(what) => format!("the harness failed: {what}"),
        })?;
        let Some(finding) = report.findings.first() else {
            return Err("the harness lost its finding".into());
        };
        self.told(check, finding)
    }

    fn told(&self, check: Check, finding: &Finding) -> Result<Completion, Failed> {
        let block = || block(finding, &self.again(check), self.coloured);
        if is_bad(finding) {
            return Err(format!("\n{}", block()).into());
        }
        match &finding.outcome {
            Outcome::Skipped { because } if self.stop.load(Ordering::Relaxed) => Err(because.into()),
            Outcome::Skipped { because } => {
                println!("skipped, because {because}");
                Ok(Completion::ignored_with(because))
            }
            Outcome::Warning(_) => {
                println!("{}", block());
                Ok(Completion::Completed)
            }
            _ => Ok(Completion::Completed),
        }
    }

    fn again(&self, check: Check) -> Again {
        let Crate { package, target, .. } = self.package;
        let long = self.long.then(|| format!("{LONG}=1"));
        let seed = format!("{SEED}={}", self.seed);
        let cargo = ["cargo", "test", "-p", package, "--test", target, "--", "--exact"].map(str::to_owned);
        let ignored = !self.long && check.needs().contains(&Need::Long);
        Again {
            before: long.into_iter().chain([seed]).chain(cargo).collect(),
            after: ignored.then(|| "--ignored".to_owned()).into_iter().collect(),
        }
    }
}

/// The crate's shared library: beside the test program, where cargo puts what it built for it, or in the folder above.
fn find(package: &Crate, program: &Path) -> Result<PathBuf, String> {
    let manifest = Path::new(package.folder).join("Cargo.toml");
    // Where there is no manifest any more, as in an archive of tests, nothing can be said of it.
    if let Some(types) = fs::read_to_string(&manifest).ok().and_then(|text| crate_types(&text)) {
        let has = |one: &str| types.iter().any(|it| it == one);
        if !has("cdylib") || !(has("rlib") || has("lib")) {
            return Err(format!(
                "the library of {} is built as {types:?}, and its tests cannot have it: write `crate-type = [\"cdylib\", \
                 \"rlib\"]` under `[lib]` in {}",
                package.package,
                manifest.display()
            ));
        }
    }
    let (prefix, suffix) = (env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    let file = format!("{prefix}{}{suffix}", package.library.replace('-', "_"));
    let folders: Vec<&Path> = program.ancestors().skip(1).take(2).collect();
    folders.iter().map(|folder| folder.join(&file)).find(|path| path.is_file()).ok_or_else(|| {
        let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        format!(
            "there is no {file} in {}: build it with `cargo build -p {}`, and name it where it is called otherwise, with \
             `main!(library = \"…\")`",
            folders.join(" or in "),
            package.package
        )
    })
}

/// What a manifest's library is built as.
fn crate_types(manifest: &str) -> Option<Vec<String>> {
    let manifest: toml::Table = manifest.parse().ok()?;
    let lib = manifest.get("lib").and_then(toml::Value::as_table);
    let types = lib.and_then(|lib| lib.get("crate-type").or_else(|| lib.get("crate_type")));
    let types = types
        .and_then(toml::Value::as_array)
        .map(|types| types.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect());
    Some(types.unwrap_or_else(|| vec!["lib".to_owned()]))
}

/// The first signal that asks to end has what runs ended and swept; the second ends at once.
#[expect(clippy::disallowed_methods, reason = "who asks twice to end wants nothing cleaned up any more")]
fn end_early(stop: &Arc<AtomicBool>) -> io::Result<()> {
    let stop = Arc::clone(stop);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    let wait = move || {
        runtime.block_on(async {
            let mut next = async || tokio::select! { _ = interrupt.recv() => {} _ = terminate.recv() => {} };
            next().await;
            stop.store(true, Ordering::Relaxed);
            next().await;
            process::exit(i32::from(FAILED));
        });
    };
    thread::Builder::new().name("signals".to_owned()).spawn(wait)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_builds_no_library_for_its_tests_is_told() {
        let types = |text: &str| crate_types(text).expect("a manifest");
        assert_eq!(types("[lib]\ncrate-type = [\"cdylib\", \"rlib\"]"), ["cdylib", "rlib"]);
        assert_eq!(types("[package]\nname = \"x\""), ["lib"]);
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("Cargo.toml"), "[lib]\ncrate-type = [\"cdylib\"]").expect("it is ours");
        let path = folder.path().to_str().expect("a path of text").to_owned().leak();
        let package = Crate { folder: path, package: "own", target: "conformance", library: "own" };
        let what = find(&package, &folder.path().join("deps/program")).expect_err("it is not there");
        assert!(what.contains("crate-type = [\"cdylib\", \"rlib\"]"), "{what}");
        fs::remove_file(folder.path().join("Cargo.toml")).expect("it is ours");
        let what = find(&package, &folder.path().join("deps/program")).expect_err("it is not there");
        assert!(what.contains("cargo build -p own") && what.contains("deps"), "{what}");
        let file = format!("{}own{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
        fs::write(folder.path().join(&file), "").expect("it is ours");
        assert_eq!(find(&package, &folder.path().join("deps/program")), Ok(folder.path().join(&file)));
    }

    #[test]
    fn a_finding_is_told_as_a_test() {
        use longshore_plugin_api::Clause;

        use crate::verdict::Breach;

        let package = Crate { folder: "own", package: "own", target: "conformance", library: "own" };
        let stop: Arc<AtomicBool> = Arc::default();
        let setup = Setup {
            package,
            library: PathBuf::new(),
            quirks: Quirks::default(),
            program: PathBuf::new(),
            long: false,
            seed: 7,
            coloured: false,
            stop: Arc::clone(&stop),
        };
        let told = |check: Check, outcome: Outcome| setup.told(check, &Finding::new(check, outcome));
        let breach =
            || Breach { clause: Clause::RunCount, expected: "two".to_owned(), seen: "one".to_owned() };
        assert!(matches!(told(Check::RunFew, Outcome::Passed), Ok(Completion::Completed)));
        assert!(matches!(told(Check::RunFew, Outcome::Warning(breach())), Ok(Completion::Completed)));
        let skipped = || Outcome::Skipped { because: "there is none".to_owned() };
        let Ok(Completion::Ignored { reason }) = told(Check::RunFew, skipped()) else {
            panic!("it is ignored")
        };
        assert_eq!(reason.as_deref(), Some("there is none"));
        let failed = |check, outcome| {
            let failed = told(check, outcome).err().expect("it fails");
            failed.message().expect("it says why").to_owned()
        };
        let text = failed(Check::RunFew, Outcome::Failed(breach()));
        let again = "LONGSHORE_CONFORMANCE_SEED=7 cargo test -p own --test conformance -- --exact run-few\n";
        assert!(text.contains("RUN-1: ") && text.contains("seen one") && text.contains(again), "{text}");
        let text = failed(Check::RunHundredThousand, Outcome::HarnessFault { what: "no port".to_owned() });
        assert!(text.contains("no port") && text.contains("run-hundred-thousand --ignored\n"), "{text}");
        // What was not tried since somebody ended the run has not passed.
        stop.store(true, Ordering::Relaxed);
        assert_eq!(failed(Check::RunFew, skipped()), "there is none");
    }
}
