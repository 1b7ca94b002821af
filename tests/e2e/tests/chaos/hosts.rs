//! Two hosts that want the same state folder, and hosts that are asked to end rather than killed: there is one host at a time,
//! whoever comes second learns who has the folder, and a launch that the end cut off is neither lost nor doubled.

use std::time::Duration;

use fastrand::Rng;
use longshore_e2e::Said;
use nix::sys::signal::Signal;

use crate::{
    arena::Arena,
    driver::{Round, SUBJECTS},
    model::Request,
    seed,
};

/// How often the host is asked to end.
const ROUNDS: u64 = 20;
/// How long it may go on after a request was sent, at most.
const AT_MOST: u64 = 200;

/// Tries to start a second host on the same folder, with a socket of its own.
fn second(arena: &Arena) -> Said {
    let socket = arena.house.path("second.sock").display().to_string();
    arena.house.run(&["serve", "--socket", &socket])
}

/// One round. Gives whether a second host was turned away.
fn play(arena: &mut Arena, rng: &mut Rng) -> Result<(), String> {
    // While the host is at work, a second one comes.
    let cluster = rng.usize(..SUBJECTS.len());
    let cap = SUBJECTS[cluster].cap;
    arena.ask((cluster, Request::Scale(rng.u32(0..=cap))))?;
    let host = arena.house.host();
    let said = second(arena);
    let told = format!("process {host}");
    let folder = arena.house.state().display().to_string();
    if said.code != Some(10) || !said.err.contains(&told) || !said.err.contains(&folder) {
        return Err(format!("the second host should be told of {told} and of {folder}: {said:?}"));
    }

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
    arena.begin()?;
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
