//! What goes wrong with an engine: it is stopped and started under the host, it dies while its containers live on, it does not
//! answer for a while, and its disk is full. Each test has an engine of its own. What cannot be seen is not believed dead, nothing
//! is launched twice, and the host says what it waits for.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use longshore_support::{Dockerd, or_skip, until};
use serde_json::{Map, Value, json};

use crate::yard::Yard;

/// An engine of the test's own with more settings, and a yard beside it.
fn own(test: &str, settings: &Map<String, Value>) -> Option<(Dockerd, Yard, String)> {
    let dockerd = or_skip(test, Dockerd::start_with(settings))?;
    let engine = dockerd.engine();
    let image = or_skip(test, engine.shell_image())?;
    Some((dockerd, Yard::on(engine), image))
}

#[test]
fn an_engine_is_stopped_and_started_under_the_host() {
    let test = "an_engine_is_stopped_and_started_under_the_host";
    let Some((mut dockerd, yard, image)) = own(test, &Map::new()) else { return };
    yard.house.apply(&(yard.provider("") + &Yard::sleepers("web", 3, &image)));
    let before = yard.handles("web");

    dockerd.stop();
    yard.until_explained("web", &["the provider failed to tell statuses", "the engine is not reached"]);
    yard.until_said("web", "that is seen again and again", |_| {
        yard.has_reason("web", "status_failing", "failures", 3)
    });
    assert_eq!((yard.count("web"), yard.handles("web")), (3, before.clone()), "nothing is believed dead");
    // What is asked for meanwhile is tried, and waits.
    let _ = yard.house.run(&["scale", "web", "5", "--no-wait"]).ok();
    yard.until_explained("web", &["launching failed", "next try in", "the engine is not reached"]);
    assert_eq!(yard.decided("web", "died: "), 0);

    dockerd.start_again();
    yard.until_all_run("web", 5);
    assert!(yard.handles("web").is_disjoint(&before), "those have ended with the engine");
    let ended = yard.workers().into_iter().filter(|one| one.state == "exited").map(|one| one.name);
    assert_eq!(ended.collect::<std::collections::BTreeSet<_>>(), before, "and all others run");
    yard.history_says("web", &["scaled: 5", "died: "]);
    yard.ends("web");
    drop(yard);
    dockerd.end().expect("nothing is left");
}

#[test]
fn containers_that_outlive_their_engine_are_left_alone() {
    let test = "containers_that_outlive_their_engine_are_left_alone";
    let mut settings = Map::new();
    settings.insert("live-restore".to_owned(), json!(true));
    let Some((mut dockerd, yard, image)) = own(test, &settings) else { return };
    yard.house.apply(&(yard.provider("") + &Yard::sleepers("web", 3, &image)));
    let before = yard.handles("web");
    dockerd.kill();
    yard.until_said("web", "the engine is missed", |_| {
        yard.has_reason("web", "status_failing", "failures", 3)
    });
    assert_eq!((yard.count("web"), yard.handles("web")), (3, before.clone()));
    dockerd.start_again();
    yard.until_all_run("web", 3);
    let all: std::collections::BTreeSet<_> = yard.workers().into_iter().map(|one| one.name).collect();
    assert_eq!((yard.handles("web"), &all), (before.clone(), &before), "no other was ever made");
    assert_eq!(yard.decided("web", "died: "), 0);
    yard.ends("web");
    drop(yard);
    dockerd.end().expect("nothing is left");
}

#[test]
fn an_engine_that_does_not_answer_gets_no_launch_twice() {
    let test = "an_engine_that_does_not_answer_gets_no_launch_twice";
    let Some((mut dockerd, yard, image)) = own(test, &Map::new()) else { return };
    // One container after the other, so that there is a middle; and little patience.
    let patience = "[cluster.timeouts]\nrun = \"8s\"\nstatus = \"1s\"\nlist = \"1s\"\n";
    yard.house.apply(&(yard.provider("parallel = 1") + &Yard::sleepers("web", 1, &image) + patience));
    let before = yard.handles("web");

    for (workers, seen) in [(6_u32, 2), (12, 8)] {
        let _ = yard.house.run(&["scale", "web", &workers.to_string(), "--no-wait"]).ok();
        until("some are made", || yard.workers().len() >= seen);
        dockerd.pause();
        yard.until_explained("web", &["may or may not exist, so that none is launched in their place"]);
        yard.until_said("web", "statuses are missed", |_| {
            yard.has_reason("web", "status_failing", "failures", 2)
        });
        assert!(before.is_subset(&yard.handles("web")), "nothing is believed dead");
        dockerd.resume();
        yard.until_all_run("web", u64::from(workers));
        let all: std::collections::BTreeSet<_> = yard.workers().into_iter().map(|one| one.name).collect();
        assert_eq!(all, yard.handles("web"), "there never were more");
    }
    yard.history_says("web", &["launching", "is not known", "scaled: 12", "is not known"]);
    yard.ends("web");
    drop(yard);
    dockerd.end().expect("nothing is left");
}

/// A small disk, for an engine's files. Dropping it takes it away.
struct Disk(PathBuf);

impl Disk {
    /// A disk of so many MiB.
    fn new(folder: &Path, size: u32) -> Result<Self, longshore_support::Missing> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}m"), "tmpfs"]).arg(folder);
        let missing = |why: String| longshore_support::Missing::new(format!("no disk can be mounted: {why}"));
        let output = mount.output().map_err(|error| missing(error.to_string()))?;
        if output.status.success() {
            return Ok(Self(folder.to_owned()));
        }
        Err(missing(String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// Fills it to the last byte with a file, which it names.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).expect("there is room for a name");
        let mut size = 1 << 20;
        while size > 0 {
            match file.write_all(&vec![0; size]) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
                    size /= 2;
                }
            }
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Busy, it goes when nobody uses it any more.
        let done = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.0.display());
        }
    }
}

#[test]
fn a_full_disk_is_waited_for() {
    let test = "a_full_disk_is_waited_for";
    let folder = tempfile::TempDir::with_prefix("longshore-disk-").expect("a folder");
    let Some(disk) = or_skip(test, Disk::new(folder.path(), 64)) else { return };
    let mut settings = Map::new();
    settings.insert("data-root".to_owned(), json!(folder.path().join("data")));
    let Some((dockerd, yard, image)) = own(test, &settings) else { return };
    yard.house.apply(&(yard.provider("") + &Yard::sleepers("web", 2, &image)));
    let before = yard.handles("web");

    let filler = disk.fill();
    let _ = yard.house.run(&["scale", "web", "5", "--no-wait"]).ok();
    yard.until_explained("web", &["launching failed", "next try in", "no space left on device"]);
    yard.until_said("web", "it is tried again", |_| yard.has_reason("web", "backing_off", "failures", 2));
    assert_eq!(
        (yard.handles("web"), yard.running()),
        (before.clone(), before.clone()),
        "those there live on"
    );
    std::fs::remove_file(filler).expect("it was written");
    yard.until_all_run("web", 5);
    let all: std::collections::BTreeSet<_> = yard.workers().into_iter().map(|one| one.name).collect();
    assert_eq!(all, yard.handles("web"), "of what failed nothing is left");
    yard.ends("web");
    drop(yard);
    dockerd.end().expect("nothing is left");
    drop(disk);
}
