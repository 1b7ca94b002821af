//! How long it takes until so many containers run, and until they are gone again: with Longshore and its Docker provider, with
//! Docker Swarm, and by hand with `docker`; on one engine, which is this run's own, with one image, network, grace and first
//! process for all. The aim: up at least as fast as the better of the others, down four times faster than Swarm. It measures and
//! prints; it judges nothing.
//!
//! Whoever does it, the end is seen by asking the engine, every `LOOK`: *up* is until all containers run, *stopped* until none
//! runs, *gone* until none is there, each from the moment that the command is begun. Longshore is the real `longshore serve` and
//! `longshore scale`; Swarm is a service of one node and `docker service scale --detach`. By hand, `docker run --detach` is called
//! eight at once; then either `docker stop` and `docker rm`, eight at once, or one `docker rm --force` of all, which kills at
//! once what all others ask to end. All share a network namespace with nobody else, so that no other engine is in the way.
//!
//! `cargo run --release --package longshore-bench --bin containers [ROUNDS]`: root, `dockerd` and `docker` are needed.

mod contender;
mod hand;
mod host;
mod swarm;
mod table;

use std::{
    env,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use longshore_support::{Dockerd, Engine, Missing, Profile, find_program, library_of, program};
use nix::sched::{CloneFlags, unshare};

use crate::{
    contender::{Contender, Docker, Scene},
    hand::{End, Hand},
    host::Longshore,
    swarm::Swarm,
    table::Times,
};

/// Odd, so that the median is one of the rounds.
const ROUNDS: usize = 5;
/// No round is begun that would probably end later than this after the first.
const BUDGET: Duration = Duration::from_mins(9);
/// The networks, and how many containers.
const CASES: [(&str, usize); 3] = [("host", 30), ("host", 100), ("bridge", 30)];
/// How many containers each contender makes before anything is measured.
const WARM_UP: usize = 2;
/// How long after a look at the engine the next one follows.
const LOOK: Duration = Duration::from_millis(50);
/// What an engine is given to come to rest before the next command.
const REST: Duration = Duration::from_secs(1);
/// The longest that any phase may take.
const LIMIT: Duration = Duration::from_mins(5);

fn main() {
    let rounds = env::args().nth(1).map_or(ROUNDS, |text| text.parse().expect("a number of rounds"));
    if let Err(missing) = measure(rounds) {
        println!("not measured, because {missing}");
    }
}

fn measure(rounds: usize) -> Result<(), Missing> {
    let docker = find_program("docker")?;
    find_program("setpriv")?;
    let longshore = program("longshore-cli", "longshore");
    let plugin = library_of("longshore-docker", Profile::own());
    own_network()?;
    let dockerd = Dockerd::start()?;
    let engine = dockerd.engine();
    let docker = Docker::new(docker, dockerd.url());
    println!("{}", docker.versions());
    dockerd.notes().iter().for_each(|note| println!("note: {note}"));
    let scene = Scene { docker: &docker, image: engine.shell_image()? };
    swarm::begin(&docker);
    let host = host::Host::begin(&longshore, &plugin, &scene, &networks(&engine));

    let mut cases: Vec<Case<'_>> = CASES
        .into_iter()
        .filter(|(network, _)| networks(&engine).contains(network))
        .map(|(network, containers)| Case::new(network, containers, &scene, &host))
        .collect();
    for case in &mut cases {
        case.warm_up(&engine);
    }
    let (begun, mut done) = (Instant::now(), 0);
    while done < rounds && (done == 0 || begun.elapsed() / done as u32 * (done as u32 + 1) < BUDGET) {
        for case in &mut cases {
            case.round(done, &engine);
        }
        done += 1;
    }
    for case in &cases {
        table::print(case.network, case.containers, &case.contenders);
    }
    drop(cases);
    drop(host);
    if let Err(left) = dockerd.end() {
        println!("the engine has not ended well: {left}");
    }
    Ok(())
}

/// Moves this process, and all that it begins from now on, into a network of its own: one with a loopback device alone.
fn own_network() -> Result<(), Missing> {
    let missing = |why: &str| Missing::new(format!("no network namespace can be made: {why}"));
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| missing(error.desc()))?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    match up {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(missing(&format!("ip link set lo up: {status}"))),
        Err(error) => Err(missing(&format!("ip: {error}"))),
    }
}

/// Those of the networks that this engine has.
fn networks(engine: &Engine) -> Vec<&'static str> {
    let mut networks = vec!["host"];
    if engine.network() != "host" {
        networks.push(engine.network());
    }
    networks
}

/// So many containers on one network, with all who can make them.
struct Case<'a> {
    network: &'static str,
    containers: usize,
    contenders: Vec<(Box<dyn Contender + 'a>, Times)>,
}

impl<'a> Case<'a> {
    fn new(network: &'static str, containers: usize, scene: &'a Scene<'a>, host: &'a host::Host) -> Self {
        let all: [Box<dyn Contender + 'a>; 4] = [
            Box::new(Longshore::new(host, network)),
            Box::new(Swarm::new(scene, network, containers)),
            Box::new(Hand::new(scene, network, End::Asked)),
            Box::new(Hand::new(scene, network, End::Forced)),
        ];
        let contenders = all.into_iter().map(|contender| (contender, Times::default())).collect();
        Self { network, containers, contenders }
    }

    fn warm_up(&mut self, engine: &Engine) {
        for (contender, _) in &mut self.contenders {
            let mut unused = Times::default();
            run(contender.as_mut(), WARM_UP, engine, &mut unused);
        }
    }

    /// Each contender once; another one begins each round.
    fn round(&mut self, number: usize, engine: &Engine) {
        let count = self.contenders.len();
        for place in 0..count {
            let (contender, times) = &mut self.contenders[(number + place) % count];
            run(contender.as_mut(), self.containers, engine, times);
        }
    }
}

/// From none to so many, and back to none.
fn run(contender: &mut dyn Contender, containers: usize, engine: &Engine, times: &mut Times) {
    let label = contender.label();
    let count = |running: bool| {
        let found = engine.containers(&label);
        found.iter().filter(|container| !running || container.state == "running").count()
    };
    thread::sleep(REST);
    let [up] = phase(|| contender.up(containers), [&|| count(true) == containers]);
    thread::sleep(REST);
    let gone = phase(|| contender.down(), [&|| count(true) == 0, &|| count(false) == 0]);
    times.up.add(up.0);
    times.stopped.add(gone[0].0);
    times.gone.add(gone[1].0);
    times.said_up.add(up.1);
    times.said_gone.add(gone[1].1);
    let seconds = [up.0, gone[0].0, gone[1].0].map(|time| format!("{:.2}", time.as_secs_f64())).join(" ");
    eprintln!("{containers} {label}: {seconds}");
}

/// Carries a command out, and tells how long it is until each of these holds, one after the other; and when it returned.
fn phase<const N: usize>(
    command: impl FnOnce() + Send,
    ends: [&dyn Fn() -> bool; N],
) -> [(Duration, Duration); N] {
    let begun = Instant::now();
    thread::scope(|scope| {
        let command = scope.spawn(move || {
            command();
            begun.elapsed()
        });
        let seen = ends.map(|end| {
            while !end() {
                assert!(begun.elapsed() < LIMIT, "not within {} s", LIMIT.as_secs());
                thread::sleep(LOOK);
            }
            begun.elapsed()
        });
        let said = command.join().expect("the command succeeds");
        seen.map(|seen| (seen, said))
    })
}
