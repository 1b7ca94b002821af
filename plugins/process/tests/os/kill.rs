//! Killing: everybody of the container, nobody else, within one grace for all.

use std::{
    fs,
    os::unix::fs::FileExt as _,
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use longshore_plugin_api::{Killed, Provider as _, WorkerStatus, testing};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{CLUSTER, House, call, is_alive, number_in, signal, stat, texts, wait_until};

/// A program that ignores SIGTERM, once it has said its number.
fn stubborn(path: &Path) -> String {
    format!(
        "sh -c 'trap \"\" TERM; echo $$ > {0}.draft; mv {0}.draft {0}; while :; do sleep 1; done'",
        path.display()
    )
}

#[test]
fn a_worker_may_end_in_peace() {
    let house = House::new();
    let sign = house.file("ended");
    let ready = house.file("ready");
    let script = format!(
        "trap 'echo 1 > {}; exit' TERM; echo 1 > {}; while :; do sleep 0.01; done",
        sign.display(),
        ready.display()
    );
    let handles = house.run("t", 1, &script);
    number_in(&ready);
    house.kill(&handles);
    assert!(sign.exists(), "it had the time to clean up");
}

#[test]
fn grandchildren_that_ignore_sigterm_are_killed() {
    let house = House::with(json!({"grace": 0.2}));
    let pid = house.file("pid");
    let handles = house.run("t", 1, &format!("{} & wait", stubborn(&pid)));
    let grandchild = number_in(&pid);
    house.kill(&handles);
    assert!(!is_alive(grandchild));
    assert_eq!(house.alive(), [0_i32; 0]);
}

#[test]
fn a_daemon_in_the_same_session_is_killed() {
    let house = House::with(json!({"grace": 0.2}));
    let pid = house.file("pid");
    // `timeout` moves into a group of its own, as a shell with job control does with its jobs.
    let handles = house.run("t", 1, &format!("timeout 600 {} & exec sleep 600", stubborn(&pid)));
    let daemon = number_in(&pid);
    let leader =
        house.alive().into_iter().find(|pid| stat(*pid).is_some_and(|stat| stat[3] == pid.to_string()));
    let leader = leader.expect("the first process leads the session");
    let own = stat(daemon).expect("it is alive");
    assert_ne!(own[2], leader.to_string(), "its own group");
    assert_eq!(own[3], leader.to_string(), "the same session");
    house.kill(&handles);
    assert!(!is_alive(daemon));
    assert_eq!(house.alive(), [0_i32; 0]);
}

#[test]
fn a_daemon_that_left_the_session_is_killed_by_its_tag() {
    let house = House::with(json!({"grace": 0.2}));
    let pid = house.file("pid");
    let handles = house.run("t", 1, &format!("setsid {} & exec sleep 600", stubborn(&pid)));
    let daemon = number_in(&pid);
    assert_eq!(stat(daemon).expect("it is alive")[3], daemon.to_string(), "a session of its own");
    house.kill(&handles);
    assert!(!is_alive(daemon));
}

#[test]
fn what_a_dead_worker_left_behind_is_killed() {
    let house = House::with(json!({"grace": 0.1}));
    let pid = house.file("pid");
    let handles =
        house.run("t", 1, &format!("{} & while [ ! -e {} ]; do :; done", stubborn(&pid), pid.display()));
    let left = number_in(&pid);
    wait_until("the first process has ended", || house.status(&handles) == [WorkerStatus::Stopped]);
    house.kill(&handles);
    assert!(!is_alive(left));
}

#[test]
fn a_halted_worker_may_still_end_in_peace() {
    let house = House::new();
    let (sign, ready) = (house.file("ended"), house.file("ready"));
    let script = format!(
        "trap 'echo 1 > {}; exit' TERM; echo $$ > {}; while :; do sleep 0.01; done",
        sign.display(),
        ready.display()
    );
    let handles = house.run("t", 1, &script);
    let pid = number_in(&ready);
    signal(pid, Signal::STOP);
    wait_until("it is halted", || stat(pid).is_some_and(|stat| stat[0] == "T"));
    assert_eq!(house.status(&handles), [WorkerStatus::Running]);
    house.kill(&handles);
    assert!(sign.exists(), "it went on, and had the time to clean up");
}

#[test]
fn many_stubborn_workers_need_one_grace() {
    let house = House::with(json!({"grace": 1}));
    let handles = house.run("t", 60, "trap '' TERM; while :; do sleep 1; done");
    // One after the other, they would need twice the time that the call has.
    let answers =
        testing::call(CLUSTER, Duration::from_secs(30), |ctx| house.provider().kill(ctx, &texts(&handles)));
    assert_eq!(answers, Ok(vec![Killed::Yes; 60]));
    assert_eq!(house.alive(), [0_i32; 0]);
}

#[test]
fn a_kill_that_ran_out_of_time_is_not_forgotten() {
    let house = House::with(json!({"grace": "2s"}));
    let (signs, ready) = (house.file("signs"), house.file("ready"));
    let script = format!(
        "trap 'echo x >> {}' TERM; echo 1 > {}; while :; do sleep 0.01; done",
        signs.display(),
        ready.display()
    );
    let handles = house.run("t", 1, &script);
    number_in(&ready);
    let short = Duration::from_millis(100);
    let answers = testing::call(CLUSTER, short, |ctx| house.provider().kill(ctx, &texts(&handles)));
    let Ok([Killed::No(why)]) = answers.as_deref() else { panic!("it cannot be dead yet: {answers:?}") };
    assert!(why.contains("grace"), "{why}");
    assert_eq!(house.status(&handles), [WorkerStatus::Running]);
    house.kill(&handles);
    let signs = fs::read_to_string(signs).expect("it heard of SIGTERM");
    assert_eq!(signs, "x\n", "once, though it was killed twice");
}

#[test]
fn a_kill_that_ran_out_of_time_is_carried_through() {
    let house = House::with(json!({"grace": 0.5}));
    let ready = house.file("ready");
    let script = format!("trap '' TERM; echo $$ > {}; while :; do sleep 1; done", ready.display());
    let handles = house.run("t", 1, &script);
    number_in(&ready);
    let short = Duration::from_millis(20);
    let answers = testing::call(CLUSTER, short, |ctx| house.provider().kill(ctx, &texts(&handles)));
    assert!(matches!(answers.as_deref(), Ok([Killed::No(_)])), "{answers:?}");
    wait_until("nobody is left, though nobody asked again", || house.alive().is_empty());
    assert_eq!(house.status(&handles), [WorkerStatus::Stopped]);
}

#[test]
fn a_cancelled_kill_returns() {
    let house = House::with(json!({"grace": "1h"}));
    let ready = house.file("ready");
    let handles = house.run("t", 1, &stubborn(&ready));
    number_in(&ready);
    let cancel = testing::Cancel::new();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let call = testing::Call::new(CLUSTER).budget(Duration::from_hours(2)).cancelled_by(&cancel);
            call.run(|ctx| house.provider().kill(ctx, &texts(&handles)))
        });
        cancel.cancel();
        let answers = call.join().expect("no panic").expect("an answer for each");
        assert!(matches!(answers[..], [Killed::No(_)]), "{answers:?}");
    });
    house.slay();
}

/// A process that is none of ours, in a session of its own.
struct Innocent(Child);

impl Innocent {
    fn new() -> Self {
        let innocent = Self(Command::new("setsid").args(["sleep", "600"]).spawn().expect("it is started"));
        wait_until("it sleeps", || {
            fs::read_to_string(format!("/proc/{}/comm", innocent.pid())).is_ok_and(|name| name == "sleep\n")
        });
        innocent
    }

    fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }
}

impl Drop for Innocent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes another process into a container's record: its line of stat, with its start moved by some ticks.
fn record(house: &House, pid: i32, moved: i64) {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it is alive");
    let (name, rest) = line.rsplit_once(") ").expect("a line of stat");
    let mut fields: Vec<String> = rest.split(' ').map(str::to_owned).collect();
    let start: i64 = fields[19].parse().expect("its start");
    fields[19] = (start + moved).to_string();
    let mut slot = format!("{name}) {}", fields.join(" ")).into_bytes();
    slot.resize(512, 0);
    let file = fs::File::options().write(true).open(house.launch_folder("t").join("identities"));
    file.and_then(|file| file.write_all_at(&slot, 512)).expect("the record is changed");
}

/// A launch whose worker was ended behind the provider's back, and whose provider is gone.
fn forsaken() -> (House, Vec<String>) {
    let mut house = House::with(json!({"grace": 0.1}));
    let handles = house.run("t", 1, "exec sleep 600");
    house.close();
    house.slay();
    (house, handles)
}

#[test]
fn a_number_that_was_given_to_another_process_is_not_ours() {
    let innocent = Innocent::new();
    for moved in [-1, 1, 1_000_000] {
        let (mut house, handles) = forsaken();
        record(&house, innocent.pid(), moved);
        house.create_anew();
        assert_eq!(house.status(&handles), [WorkerStatus::Stopped]);
        assert_eq!(house.list(), []);
        house.kill(&handles);
        assert!(is_alive(innocent.pid()), "nobody signalled it");
    }
    // The same record with the right start would have meant it: the test above can fail.
    let (mut house, handles) = forsaken();
    record(&house, innocent.pid(), 0);
    house.create_anew();
    assert_eq!(house.status(&handles), [WorkerStatus::Running]);
    house.kill(&handles);
    assert!(!is_alive(innocent.pid()));
}

#[test]
fn a_session_of_which_nothing_is_certain_is_left_alone() {
    let (mut house, handles) = forsaken();
    // A stranger's session whose leader is gone, as after a log-out, with the number of our dead worker.
    let pid = house.file("pid");
    let script = format!("sleep 600 & echo $! > {}", pid.display());
    let mut leader = Command::new("setsid").args(["sh", "-c", &script]).spawn().expect("started");
    let stranger = number_in(&pid);
    let session: i32 = stat(stranger).expect("it is alive")[3].parse().expect("a number");
    assert_eq!(session, leader.id().cast_signed());
    record(&house, session, -1);
    leader.wait().expect("it ends");

    house.create_anew();
    assert_eq!(house.status(&handles), [WorkerStatus::Stopped]);
    let answers = call(|ctx| house.provider().kill(ctx, &texts(&handles))).expect("an answer for each");
    assert!(matches!(&answers[..], [Killed::No(why)] if why.contains("none was signalled")), "{answers:?}");
    assert!(is_alive(stranger), "nobody signalled it");
    signal(stranger, Signal::KILL);
    wait_until("it is dead", || !is_alive(stranger));
    house.kill(&handles);
}
