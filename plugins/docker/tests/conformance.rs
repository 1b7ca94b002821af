//! Holds the provider to the contract, a test a check; `quirks.toml` beside `Cargo.toml` says how. The checks need an engine, and
//! an image that is made here: this program looks for both, and then starts itself again with `DOCKER_HOST` set.

use std::{
    collections::HashMap,
    env,
    process::{Command, ExitCode},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bollard::query_parameters::{ListVolumesOptions, RemoveVolumeOptions, TagImageOptions};
use longshore_conformance::harness::{self, Crate};
use longshore_support::{Engine, IMAGES, Missing, Recipe, skip};

/// Says that the engine and the image are there.
const PREPARED: &str = "LONGSHORE_DOCKER_PREPARED";

/// The image of `quirks.toml`, without its beginning.
const IMAGE: &str = "conformance";

/// Longer than a check may take.
const LONGEST_CHECK: Duration = Duration::from_hours(2);

fn main() -> ExitCode {
    let package = Crate {
        folder: env!("CARGO_MANIFEST_DIR"),
        package: env!("CARGO_PKG_NAME"),
        target: env!("CARGO_CRATE_NAME"),
        library: env!("CARGO_PKG_NAME"),
    };
    // The process of a check, a witness and a list need nothing more.
    let is_list = env::args().any(|argument| argument == "--list");
    let is_of_the_harness = env::args().nth(1).is_some_and(|first| first.starts_with("--longshore-"));
    if is_list || is_of_the_harness || env::var_os(PREPARED).is_some() {
        return harness::main(&package);
    }
    match prepare() {
        Ok(engine) => {
            let code = again(&engine.url());
            forget(&engine);
            code
        }
        Err(missing) => {
            skip("the conformance of the Docker provider", &missing);
            ExitCode::SUCCESS
        }
    }
}

/// Finds an engine, and makes the image: a shell, and all that this program needs but itself, which changes too often.
fn prepare() -> Result<Engine, Missing> {
    let engine = Engine::get()?;
    let program = env::current_exe().map_err(|error| Missing::new(error.to_string()))?;
    let name = program.to_str().ok_or_else(|| Missing::new("this program has a path that is no text"))?;
    let recipe = Recipe::new(IMAGE).shell()?.program(name)?.file(&program, "", 0o755);
    let made = engine.image(&recipe);
    let name = format!("{IMAGES}/{IMAGE}");
    let options = TagImageOptions { repo: Some(name), tag: Some("latest".to_owned()) };
    let tagged = engine.wait(engine.docker().tag_image(&made, Some(options)));
    tagged.map_err(|error| Missing::new(format!("the image cannot be named: {error}")))?;
    Ok(engine)
}

/// Removes what remembers the launches of earlier checks: each had a namespace of its own, which nobody uses again. Those that
/// are younger than any check may be in use.
fn forget(engine: &Engine) {
    let filters = HashMap::from([("label".to_owned(), vec!["io.longshore.role=receipt".to_owned()])]);
    let found =
        engine.wait(engine.docker().list_volumes(Some(ListVolumesOptions { filters: Some(filters) })));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    for volume in found.ok().and_then(|found| found.volumes).unwrap_or_default() {
        let label = |name: &str| volume.labels.get(name);
        let is_of_a_check = label("io.longshore.owner").is_some_and(|owner| owner.starts_with("ls-"));
        let at = label("io.longshore.at").and_then(|at| at.parse().ok()).map(Duration::from_secs);
        if is_of_a_check && at.is_some_and(|at| now.saturating_sub(at) > LONGEST_CHECK) {
            // Another program may be at it as well.
            drop(engine.wait(engine.docker().remove_volume(&volume.name, None::<RemoveVolumeOptions>)));
        }
    }
}

/// Starts this program again, with the engine as the usual one.
fn again(host: &str) -> ExitCode {
    let program = env::current_exe().expect("it was found before");
    let mut command = Command::new(program);
    command.args(env::args_os().skip(1)).env("DOCKER_HOST", host).env(PREPARED, "1");
    let status = command.status().expect("this program can be started");
    u8::try_from(status.code().unwrap_or(1)).map_or(ExitCode::FAILURE, ExitCode::from)
}
