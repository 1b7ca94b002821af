//! The container engine for tests, tried itself.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use longshore_support::{Dockerd, Engine, Missing, Podman, or_skip, socket, until};

const LABEL: &str = "longshore.test.support";

/// A label that nobody else uses at this moment.
fn label(test: &str) -> String {
    format!("{test}-{}", std::process::id())
}

fn runs_a_container(engine: &Engine, test: &str) -> Result<(), Missing> {
    let image = engine.shell_image()?;
    let (label, value) = (format!("{LABEL}={}", label(test)), label(test));
    let labels = [(LABEL, value.as_str())];
    let sweep = engine.sweep(&label);

    let ended = engine.run(&image, &["sh", "-c", "echo said; echo complained >&2; exit 3"], &labels);
    assert_eq!(ended.code, 3);
    let mut lines: Vec<_> = ended.output.lines().collect();
    // Two streams are in no order.
    lines.sort_unstable();
    assert_eq!(lines, ["complained", "said"]);
    assert_eq!(engine.containers(&label), [], "it was removed");

    let id = engine.start(&image, &["sleep", "1000"], &labels);
    let found = engine.containers(&label);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].id.as_str(), found[0].state.as_str()), (id.as_str(), "running"));
    assert_eq!(found[0].labels.get(LABEL), Some(&value));
    drop(sweep);
    assert_eq!(engine.containers(&label), [], "the sweep has removed it");
    Ok(())
}

#[test]
fn a_container_runs_and_is_removed() {
    let Some(engine) = Engine::or_skip("a_container_runs_and_is_removed") else { return };
    or_skip("a_container_runs_and_is_removed", runs_a_container(&engine, "docker"));
}

#[test]
fn podman_runs_a_container() {
    let Some(engine) = Engine::podman_or_skip("podman_runs_a_container") else { return };
    or_skip("podman_runs_a_container", runs_a_container(&engine, "podman"));
}

/// Starts an engine of the test's own, where one can be.
fn own(test: &str) -> Option<Dockerd> {
    or_skip(test, Dockerd::start())
}

/// The machine's interfaces that are not an engine's for a test.
fn interfaces() -> Vec<String> {
    let all = fs::read_dir("/sys/class/net").expect("there are interfaces").flatten();
    let names = all.map(|entry| entry.file_name().display().to_string());
    let mut names: Vec<_> =
        names.filter(|name| name.starts_with("docker") || name.starts_with("cni")).collect();
    names.sort();
    names
}

#[test]
fn an_engine_of_a_tests_own_ends_and_starts_again() {
    let Some(mut dockerd) = own("an_engine_of_a_tests_own_ends_and_starts_again") else { return };
    let before = interfaces();
    let engine = dockerd.engine();
    let image = engine.shell_image().expect("it was made before");
    // One that ends when it is told to, so that nobody waits for its grace.
    let patient = ["sh", "-c", "trap exit TERM; sleep 1000 & wait"];
    let id = engine.start(&image, &patient, &[(LABEL, "own")]);
    let state = |wanted: &str| {
        let found = engine.containers(LABEL);
        assert_eq!(found.iter().map(|it| &it.id).collect::<Vec<_>>(), [&id]);
        found[0].state == wanted
    };
    assert!(state("running"));

    dockerd.stop();
    assert!(!dockerd.is_running() && socket::answers(dockerd.socket()).is_err());
    dockerd.start_again();
    until("the container ended with the engine", || state("exited"));

    engine.wait(engine.docker().start_container(&id, None)).expect("it can be started again");
    assert!(state("running"));
    dockerd.kill();
    assert!(!dockerd.is_running() && socket::answers(dockerd.socket()).is_err());
    dockerd.start_again();
    assert_eq!(engine.containers(LABEL).len(), 1, "{}", dockerd.log());
    engine.remove(&id);
    assert_eq!(engine.containers(LABEL), []);
    dockerd.end().expect("nothing is left");
    let after = interfaces();
    assert!(before.iter().all(|name| after.contains(name)), "of {before:?} there are {after:?}");
}

#[test]
fn an_engine_that_is_held_up_goes_on() {
    let Some(mut dockerd) = own("an_engine_that_is_held_up_goes_on") else { return };
    dockerd.pause();
    assert!(dockerd.is_running());
    let waiting = std::thread::spawn({
        let socket = dockerd.socket().to_owned();
        move || socket::answers(&socket)
    });
    dockerd.resume();
    // Whoever asked meanwhile has an answer in the end.
    waiting.join().expect("no panic").expect("it goes on");
    dockerd.stop();
    dockerd.end().expect("nothing is left");
}

#[test]
fn nothing_is_left_of_an_engine() {
    let Some(dockerd) = own("nothing_is_left_of_an_engine") else { return };
    let engine = dockerd.engine();
    let image = engine.shell_image().expect("it was made before");
    engine.start(&image, &["sleep", "1000"], &[(LABEL, "left")]);
    let folder = dockerd.socket().parent().expect("it lies in a folder").to_owned();
    let name = folder.file_name().expect("it has a name").to_str().expect("it is plain").to_owned();
    let in_use = |folder: &Path| {
        let processes = fs::read_dir("/proc").expect("there are processes").flatten();
        processes
            .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
            .filter(|line| String::from_utf8_lossy(line).contains(&folder.display().to_string()))
            .count()
    };
    assert!(folder.is_dir() && in_use(&folder) > 0);
    let groups = || {
        let mut found = vec![Path::new("/sys/fs/cgroup").join(&name)];
        let versions_1 = fs::read_dir("/sys/fs/cgroup").expect("there are control groups").flatten();
        found.extend(versions_1.map(|entry| entry.path().join(&name)));
        found.into_iter().filter(|group| group.exists()).count()
    };
    assert!(groups() > 0);
    // A panic would do the same.
    drop(dockerd);
    assert!(!folder.exists() && in_use(&folder) == 0 && groups() == 0);
    let mounts = fs::read_to_string("/proc/self/mounts").expect("there are mounts");
    assert!(!mounts.contains(&name), "{mounts}");
}

/// Not a test by itself: the process that the next one kills.
#[test]
#[ignore = "another test runs it"]
fn an_engine_that_is_kept() {
    let Some(dockerd) = own("an_engine_that_is_kept") else { return };
    println!("kept: {}", dockerd.socket().display());
    // Until it is killed, or the other test has gone.
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn nothing_is_left_of_an_engine_whose_maker_is_killed() {
    let own = std::env::current_exe().expect("this program");
    let mut maker = Command::new(own)
        .args(["--ignored", "--exact", "an_engine_that_is_kept", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it can be run");
    let mut said = BufReader::new(maker.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let line = said.find(|line| line.contains("kept: ") || line.contains("skipped, because "));
    let line = line.unwrap_or_default();
    let socket = line.split_once("kept: ").map(|(_, socket)| PathBuf::from(socket));
    let answered = socket.as_deref().map(socket::answers);
    maker.kill().expect("it is ours");
    maker.wait().expect("it is ours");
    let Some(socket) = socket else {
        assert!(!line.is_empty(), "it says neither where its engine is nor why there is none");
        return println!("{line}");
    };
    answered.expect("it was asked").expect("it was there");
    let folder = socket.parent().expect("it lies in a folder");
    until("the folder is gone", || !folder.exists());
    assert!(socket::answers(&socket).is_err());
}

#[test]
fn podmans_service_starts_by_itself() {
    let Some(podman) = or_skip("podmans_service_starts_by_itself", Podman::start()) else { return };
    let engine = podman.engine();
    runs_a_container(&engine, "own-podman").expect("there is a shell");
    podman.end().expect("nothing is left");
}

#[test]
fn redis_runs_in_an_image_of_this_machines_files() {
    let test = "redis_runs_in_an_image_of_this_machines_files";
    let Some(engine) = Engine::or_skip(test) else { return };
    let Some(image) = or_skip(test, engine.redis_image()) else { return };
    let value = label("redis");
    let labels = [(LABEL, value.as_str())];
    let _sweep = engine.sweep(&format!("{LABEL}={value}"));
    let port = if engine.network() == "host" { "7379" } else { "6379" };
    let serve = ["redis-server", "--port", port, "--protected-mode", "no", "--save", ""];
    let server = engine.start(&image, &serve, &labels);
    let host = engine.address(&server).unwrap_or_else(|| "127.0.0.1".to_owned());
    let ask = |words: &[&str]| {
        let command: Vec<_> =
            ["redis-cli", "-h", &host, "-p", port].into_iter().chain(words.iter().copied()).collect();
        engine.run(&image, &command, &labels).output.trim().to_owned()
    };
    until("the server answers", || ask(&["PING"]) == "PONG");
    assert_eq!(ask(&["RPUSH", "jobs", "one", "two"]), "2");
    assert_eq!(ask(&["LPOP", "jobs"]), "one");
}
