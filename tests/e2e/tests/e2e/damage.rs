//! Damage to what a killed host left, while its workers live: the next host either knows all that there was, or ends with one
//! error that names the file and the way out. It never starts with less, and it launches nothing that was not written down.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use longshore_e2e::House;
use longshore_support::until;
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, Uid},
};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

const FILE: &str = "journal.db";
const LOG: &str = "journal.db-wal";
const WITNESS: &str = "head";
/// What a page of the file has, in bytes.
const PAGE: usize = 4096;
/// So many places of each file are changed.
const PLACES: usize = 14;
/// Something that says what to do, in whatever error a state may lead to.
const WAYS_OUT: [&str; 5] =
    ["state import", "reconnect", "put back those", "use the version", "look at who may"];

/// What a host has of its clusters, and the processes that run.
#[derive(Debug, PartialEq)]
struct Known {
    /// What was asked of each cluster, and its containers.
    clusters: BTreeMap<String, (Value, Vec<String>)>,
    processes: BTreeSet<Pid>,
}

fn processes(house: &House) -> BTreeSet<Pid> {
    house.alive().into_iter().collect()
}

/// What the host says, once it is at rest.
fn known(house: &House) -> Known {
    let all =
        || house.run(&["status", "--json"]).ok().json()["clusters"].as_array().cloned().unwrap_or_default();
    until("all is at rest", || {
        all().iter().all(|status| status["converged"] == true && status["unknown"] == 0)
    });
    let told = |status: Value| {
        let name = status["name"].as_str().expect("a name").to_owned();
        let wanted = ["expected", "desired", "max", "running", "strays"].map(|field| status[field].clone());
        let handles = house.handles(&name);
        (name, (Value::from(wanted.to_vec()), handles))
    };
    Known { clusters: all().into_iter().map(told).collect(), processes: processes(house) }
}

/// The state of a host that was killed, some of it in the file and some in the log; or of one that ended by itself, all of it
/// in the file.
struct Image {
    files: BTreeMap<&'static str, Vec<u8>>,
    known: Known,
}

impl Image {
    /// What is in the house's state folder now, of which a host knew this.
    fn of(house: &House, known: Known) -> Self {
        let read = |name| Some((name, fs::read(house.state().join(name)).ok()?));
        Self { files: [FILE, LOG, WITNESS].into_iter().filter_map(read).collect(), known }
    }

    /// Puts it in the place of what is there.
    fn restore(&self, house: &House) {
        let folder = house.state();
        // The folder itself may be a disk.
        for entry in fs::read_dir(&folder).expect("it can be read") {
            fs::remove_file(entry.expect("it can be read").path()).expect("it can be removed");
        }
        for (name, bytes) in &self.files {
            fs::write(folder.join(name), bytes).expect("it can be written");
        }
    }

    /// The three files, as they are now.
    fn now(house: &House) -> BTreeMap<&'static str, Vec<u8>> {
        let read = |name| Some((name, fs::read(house.state().join(name)).ok()?));
        // A log may be made, as long as nothing is in it.
        [FILE, LOG, WITNESS].into_iter().filter_map(read).filter(|(_, bytes)| !bytes.is_empty()).collect()
    }
}

/// A house with workers, whose host has ended.
fn workers() -> (House, Image, Image) {
    let mut house = House::serving(&["longshore-process"]);
    house.apply(&house.sleepers("web", 2));
    let second = house.sleepers("batch", 2);
    house.apply(&second);
    let _ = house.run(&["stop", "batch"]).ok();
    let _ = house.run(&["scale", "web", "5"]).ok();
    let closed = known(&house);
    house.signal_host(Signal::SIGTERM);
    assert_eq!(house.host_ends(), Some(0), "{}", house.log());
    let closed = Image::of(&house, closed);
    assert!(!closed.files.contains_key(LOG), "all of it is in the file");

    house.serve();
    // As long as somebody reads, nothing leaves the log.
    let reader = Connection::open_with_flags(house.state().join(FILE), OpenFlags::SQLITE_OPEN_READ_ONLY);
    let reader = reader.expect("it can be read");
    reader.execute_batch("BEGIN; SELECT count(*) FROM meta;").expect("it can be read");
    let _ = house.run(&["scale", "web", "3"]).ok();
    let _ = house.run(&["scale", "web", "6"]).ok();
    let _ = house.run(&["scale", "batch", "4"]).ok();
    let killed = known(&house);
    house.kill_host();
    let killed = Image::of(&house, killed);
    drop(reader);
    assert!(killed.files[LOG].len() > 4 * PAGE, "much of it is in the log");
    assert_eq!(killed.known.processes.len(), 6);
    (house, closed, killed)
}

/// What became of a host that was started on something damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It knew all that there was.
    Same,
    Refused,
}

/// Starts a host on what is there now, and judges what becomes of it.
#[track_caller]
fn fate(house: &mut House, image: &Image, what: &str) -> Fate {
    let before = Image::now(house);
    let logged = house.log().len();
    house.start(&["serve"]);
    let fate = match house.begins() {
        Ok(()) => {
            assert_eq!(known(house), image.known, "{what}: it began, and knows something else");
            house.kill_host();
            Fate::Same
        }
        Err(code) => {
            let said = house.log().split_off(logged);
            refused(house, code, &said, what);
            assert!(Image::now(house) == before, "{what}: what was refused is not as it was found");
            Fate::Refused
        }
    };
    assert_eq!(processes(house), image.known.processes, "{what}: nothing is launched, and nothing is killed");
    fate
}

/// One error, in one paragraph.
#[track_caller]
fn refused(house: &House, code: Option<i32>, said: &str, what: &str) {
    assert_eq!(code, Some(10), "{what}: {said}");
    let errors: Vec<_> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{what}: {said}");
    assert!(said.trim_end().ends_with(errors[0]) && errors[0].len() < 900, "{what}: it is not brief: {said}");
    let folder = house.state().display().to_string();
    assert!(errors[0].contains(&folder), "{what}: it does not say where: {said}");
    assert!(WAYS_OUT.iter().any(|way| errors[0].contains(way)), "{what}: it does not say what to do: {said}");
}

/// A change to the bytes of a file, in words.
type Change = (String, Box<dyn Fn(&mut Vec<u8>)>);

/// Changes of many kinds to a file of that length.
fn changes(length: usize) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for place in 0..PLACES {
        // From the first byte to the last.
        let at = place * (length - 1) / (PLACES - 1);
        let flip = move |bytes: &mut Vec<u8>| bytes[at] ^= 1 << (place % 8);
        changes.push((format!("byte {at} changed"), Box::new(flip)));
    }
    for left in [0, 1, length / 3, length / 2 / PAGE * PAGE, length - 1] {
        changes.push((format!("cut to {left} bytes"), Box::new(move |bytes| bytes.truncate(left))));
    }
    let zeroed = move |bytes: &mut Vec<u8>| bytes[length / 4..length / 2].fill(0);
    changes.push(("a part zeroed".to_owned(), Box::new(zeroed)));
    changes
}

/// Damages each file of an image in every way; gives how often each fate befell the host, by file.
fn sweep(house: &mut House, image: &Image) -> BTreeMap<&'static str, (usize, usize)> {
    let mut fates: BTreeMap<_, (usize, usize)> = BTreeMap::new();
    for (name, bytes) in &image.files {
        let path = house.state().join(name);
        let mut count = |fate| match fate {
            Fate::Same => fates.entry(*name).or_default().0 += 1,
            Fate::Refused => fates.entry(*name).or_default().1 += 1,
        };
        for (what, change) in changes(bytes.len()) {
            image.restore(house);
            let mut bytes = bytes.clone();
            change(&mut bytes);
            fs::write(&path, bytes).expect("it can be written");
            count(fate(house, image, &format!("{name}, {what}")));
        }
        image.restore(house);
        fs::remove_file(&path).expect("it can be removed");
        count(fate(house, image, &format!("{name}, deleted")));
    }
    println!("the same, and refused: {fates:?}");
    fates
}

#[test]
fn a_damaged_state_is_whole_or_refused() {
    let (mut house, closed, killed) = workers();
    let fates = sweep(&mut house, &killed);
    assert_eq!(fates[LOG].0, 0, "all of the log counts");
    assert!(fates[FILE].1 > 0 && fates[WITNESS].0 > 0, "{fates:?}");

    // An older copy of the file put back, without the log and with it, which may have all that differs.
    killed.restore(&house);
    let put_back = |house: &House| fs::write(house.state().join(FILE), &closed.files[FILE]);
    put_back(&house).expect("it can be written");
    let _ = fate(&mut house, &killed, "an older file, and the log");
    killed.restore(&house);
    put_back(&house).expect("it can be written");
    fs::remove_file(house.state().join(LOG)).expect("it can be removed");
    assert_eq!(fate(&mut house, &killed, "an older file"), Fate::Refused);
    // What is not damaged is what it was, after all that.
    killed.restore(&house);
    assert_eq!(fate(&mut house, &killed, "nothing"), Fate::Same);

    // Where nothing is left that could tell, nothing is launched in the place of what runs.
    let nothing =
        Image { files: BTreeMap::new(), known: Known { clusters: BTreeMap::new(), ..killed.known } };
    nothing.restore(&house);
    assert_eq!(fate(&mut house, &nothing, "all of it deleted"), Fate::Same);
}

#[test]
fn a_damaged_file_without_a_log_is_whole_or_refused() {
    let (mut house, _, killed) = workers();
    killed.restore(&house);
    house.serve();
    house.signal_host(Signal::SIGTERM);
    assert_eq!(house.host_ends(), Some(0), "{}", house.log());
    let closed = Image::of(&house, killed.known);
    let fates = sweep(&mut house, &closed);
    assert!(
        fates[FILE].1 > PLACES / 3,
        "much of the file counts, but for what is free in its pages: {fates:?}"
    );
}

#[test]
fn a_later_format_is_left_to_a_later_version() {
    let (mut house, _, killed) = workers();
    killed.restore(&house);
    let path = house.state().join(FILE);
    let file = Connection::open(&path).expect("a database");
    let changed =
        file.execute_batch("PRAGMA user_version = 99; UPDATE meta SET format = 99, payload = x'00';");
    changed.expect("it can be written");
    file.close().expect("it can be closed");
    let logged = house.log().len();
    assert_eq!(fate(&mut house, &killed, "a later format"), Fate::Refused);
    let said = house.log().split_off(logged);
    assert!(said.contains("has the format 99") && said.contains(&path.display().to_string()), "{said}");
}

/// A small disk in the place of a folder, where the test may make one. Dropping it takes it away.
struct Disk(PathBuf);

impl Disk {
    /// Says why not, where there is none. Where everything must be, that is a failure.
    fn new(folder: PathBuf, test: &str) -> Option<Self> {
        fs::create_dir_all(&folder).expect("a folder");
        let made = if Uid::effective().is_root() {
            Self::mount(&folder, &["-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs"])
        } else {
            Err("only root can make a small disk".to_owned())
        };
        let Err(why) = made else { return Some(Self(folder)) };
        assert!(std::env::var_os("CI").is_none(), "{test} cannot be skipped here: {why}");
        println!("skipped, because {why}");
        None
    }

    /// Changes how it may be used.
    fn remount(&self, how: &str) {
        Self::mount(&self.0, &["-o", how]).expect("it is ours");
    }

    fn mount(folder: &Path, arguments: &[&str]) -> Result<(), String> {
        let output = Command::new("mount").args(arguments).arg(folder).output();
        let output = output.map_err(|error| error.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Leaves no room, not for a byte. The journal may find some again, in what it has already or gives up.
    fn fill(&self) {
        let filler = fs::File::options().create(true).append(true).open(self.filler());
        let mut filler = filler.expect("there is room for a name");
        for size in [PAGE, 1] {
            while filler.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).expect("it can be removed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A host may still use it: it goes when the host does.
        let ended = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(ended.is_ok_and(|status| status.success()), "the small disk is left mounted");
    }
}

#[test]
fn a_state_that_cannot_be_written_is_refused() {
    let (mut house, _, killed) = workers();
    let folder = house.state();
    killed.restore(&house);
    let set = |mode: u32, folder_mode: u32| {
        let permit = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        for name in killed.files.keys() {
            permit(&folder.join(name), mode).expect("it is ours");
        }
        permit(&folder, folder_mode).expect("it is ours");
    };
    set(0o400, 0o500);
    // Root may write whatever the mode says, most of the time.
    let is_kept_out = fs::File::options().write(true).open(folder.join(FILE)).is_err();
    if is_kept_out {
        assert_eq!(fate(&mut house, &killed, "permissions"), Fate::Refused);
    }
    set(0o600, 0o700);
    assert_eq!(fate(&mut house, &killed, "permissions to write"), Fate::Same);

    let Some(disk) = Disk::new(folder, "a_state_that_cannot_be_written_is_refused") else { return };
    killed.restore(&house);
    disk.remount("remount,ro");
    assert_eq!(fate(&mut house, &killed, "a read-only disk"), Fate::Refused);
    disk.remount("remount,rw");
    assert_eq!(fate(&mut house, &killed, "a disk that can be written again"), Fate::Same);
}

/// Asks for other numbers of workers until the disk is full. Gives the last number that was admitted.
fn scale_until_full(house: &House, disk: &Disk, mut expected: u64) -> u64 {
    // What room is left in the files is used first.
    for number in (0..1_000).map(|round| 4 + round % 2) {
        disk.fill();
        let said = house.run(&["scale", "web", &number.to_string(), "--no-wait"]);
        if said.code == Some(0) {
            expected = number;
            continue;
        }
        assert_eq!(said.code, Some(10), "{said:?}");
        assert!(said.err.contains("no room") && said.err.contains("free"), "{}", said.err);
        return expected;
    }
    panic!("the disk is full, and yet everything was written");
}

/// How long a command that asks for a look is waited for.
const A_LOOK: Duration = Duration::from_secs(3);

/// Lets workers die while there is no room, and looks whether any are launched in their place although nothing can be written
/// down. False where there was room after all, or nothing to be seen.
fn launches_nothing(house: &House, disk: &Disk) -> bool {
    let is_failing = |status: &Value| status["reasons"].to_string().contains("journal_failing");
    let latest = || {
        house.run(&["history", "web", "--limit", "1", "--json"]).ok().json()["entries"][0]["number"].clone()
    };
    disk.fill();
    let written = latest();
    let status = house.status("web");
    if !is_failing(&status) {
        // One at a time: the death before must have been noticed.
        let live = house.alive();
        if status["converged"] == true && status["running"] == live.len() {
            kill(live[0], Signal::SIGKILL).expect("a worker of ours");
        }
        return false;
    }
    if status["launching"] != 0 {
        // That was written down before, and its outcome cannot be.
        disk.free();
        until("the host is at work again", || house.status("web")["converged"] == true);
        return false;
    }
    let left = processes(house);
    let explained = house.run(&["explain", "web"]).ok();
    // The host looks anew. An answer that the journal keeps from coming is not waited for: the command would for half a minute.
    let quiet = || Stdio::null();
    let mut update = house.command(&["update", "web"]);
    let mut update = update.stdout(quiet()).stderr(quiet()).spawn().expect("the command starts");
    let enough = Instant::now() + A_LOOK;
    while Instant::now() < enough && update.try_wait().expect("it is our child").is_none() {
        sleep(Duration::from_millis(10));
    }
    let _ = update.kill();
    let _ = update.wait();
    let now = processes(house);
    if latest() != written {
        return false;
    }
    assert!(explained.out.contains("no room"), "{}", explained.out);
    assert!(now.is_subset(&left), "launched, and not written down: {now:?}, and {left:?} before");
    true
}

#[test]
fn with_a_full_disk_commands_are_refused_and_nothing_is_launched() {
    let mut house = House::with(&["longshore-process"]);
    let Some(disk) =
        Disk::new(house.state(), "with_a_full_disk_commands_are_refused_and_nothing_is_launched")
    else {
        return;
    };
    house.serve();
    // Workers are killed here as often as it takes: none of them counts as a crash, after which the host would wait ever longer.
    house.apply(&(house.sleepers("web", 4) + "stable_after = \"0s\"\n"));

    let expected = scale_until_full(&house, &disk, 4);
    until("nothing is launched while the journal fails", || launches_nothing(&house, &disk));

    disk.free();
    house.until_status("web", "running", expected);
    until("the host is at work again", || house.status("web")["converged"] == true);
    assert_eq!((house.alive().len() as u64, house.handles("web").len() as u64), (expected, expected));
    let _ = house.run(&["scale", "web", "3"]).ok();
    assert_eq!(house.alive().len(), 3);

    // The same, for a host that begins.
    let known = known(&house);
    disk.fill();
    house.kill_host();
    let logged = house.log().len();
    house.start(&["serve"]);
    if let Err(code) = house.begins() {
        let said = house.log().split_off(logged);
        assert_eq!(code, Some(10), "{said}");
        let path = house.state().join(FILE).display().to_string();
        assert!(
            said.contains("no room left") && said.contains(&path) && said.contains("free some"),
            "{said}"
        );
        assert_eq!(processes(&house), known.processes);
        disk.free();
        house.serve();
    } else {
        disk.free();
    }
    assert_eq!(self::known(&house), known);
}
