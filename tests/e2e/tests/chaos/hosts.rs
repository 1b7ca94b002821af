//! Two hosts that want the same state folder, and hosts that are asked to end rather than killed: there is one host at a time,
//! whoever comes second learns who has the folder, and a launch that the end cut off is neither lost nor doubled.

use std::{
    process::{Child, Stdio},
    time::Duration,
};

use fastrand::Rng;
use longshore_e2e::Said;
use longshore_support::until;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    arena::Arena,
    driver::{Round, SUBJECTS},
    model::Request,
    seed,
};

/// How often the host is asked to end.
const ROUNDS: u64 = 12;
/// How long it may go on after a request was sent, at most.
const AT_MOST: u64 = 200;

/// Starts a second host on the same folder, with a socket of its own.
fn second(arena: &Arena) -> Child {
    let socket = arena.house.path("second.sock").display().to_string();
    let mut command = arena.house.command(&["serve", "--socket", &socket]);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the command starts")
}

/// It is turned away, and told who has the folder.
fn turned_away(arena: &Arena, second: Child, holder: Pid) -> Result<(), String> {
    let said: Said = second.wait_with_output().expect("its output can be read").into();
    let told = format!("process {holder}");
    let folder = arena.house.state().display().to_string();
    if said.code == Some(10) && said.err.contains(&told) && said.err.contains(&folder) {
        return Ok(());
    }
    Err(format!("the second host should be told of {told} and of {folder}: {said:?}"))
}

/// Starts two hosts at once: one has the folder, the other is turned away. In the end it is the house's own that has it.
fn race(arena: &mut Arena) -> Result<(), String> {
    let mut other = second(arena);
    arena.house.start(&["serve"]);
    let own = arena.house.host();
    match arena.house.begins() {
        Ok(()) => return turned_away(arena, other, own),
        Err(Some(10)) => {}
        Err(code) => return Err(format!("a host that was too late ended with {code:?}")),
    }
    let pid = Pid::from_raw(other.id().cast_signed());
    kill(pid, Signal::SIGTERM).expect("it is our child");
    until("the other host ends", || other.try_wait().expect("it is our child").is_some());
    let said: Said = other.wait_with_output().expect("its output can be read").into();
    let told = format!("process {pid}");
    if said.code != Some(0) || !arena.house.log().contains(&told) {
        return Err(format!("the own host should be told of {told}, and the other one end well: {said:?}"));
    }
    arena.begin()
}

/// One round.
fn play(arena: &mut Arena, rng: &mut Rng) -> Result<(), String> {
    // While the host is at work, a second one comes.
    let cluster = rng.usize(..SUBJECTS.len());
    let cap = SUBJECTS[cluster].cap;
    arena.ask((cluster, Request::Scale(rng.u32(0..=cap))))?;
    let host = arena.house.host();
    turned_away(arena, second(arena), host)?;

    let last = (cluster, Request::Scale(rng.u32(0..=cap)));
    let child = arena.send(last);
    std::thread::sleep(Duration::from_millis(rng.u64(0..=AT_MOST)));
    let signal = if rng.bool() { Signal::SIGTERM } else { Signal::SIGINT };
    arena.house.signal_host(signal);
    let code = arena.house.host_ends();
    arena.receive(last, child)?;
    if code != Some(0) {
        return Err(format!("the host was sent {signal} and ended with {code:?}"));
    }
    race(arena)?;
    arena.settle()
}

#[test]
fn one_host_at_a_time_has_the_state() {
    let seed = seed("one_host_at_a_time_has_the_state");
    let mut rng = Rng::with_seed(seed);
    let mut arena = Arena::open();
    for number in 1..=ROUNDS {
        if let Err(what) = play(&mut arena, &mut rng) {
            let nothing = Round { acts: Vec::new(), death: None };
            panic!("{}", arena.report(seed, number, &nothing, &what));
        }
    }
    if let Err(what) = arena.close() {
        panic!("seed {seed}, at the end: {what}");
    }
}
