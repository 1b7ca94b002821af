//! Real chaos: the real command with real processes, while its host and its workers are killed at random moments. After each
//! round the processes that really run are compared with what the host says: none leaked, none doubled, none claimed, and no
//! command lost that was answered. While a round lasts, no cluster ever has more live workers than it may have.
//!
//! `LONGSHORE_CHAOS_SEED` replays the choices of a seed; the moments themselves are the machine's. `LONGSHORE_CHAOS_ROUNDS` says
//! how many rounds there are: 100, unless it is set. The long mode, of about half an hour, is run by itself:
//!
//! ```text
//! LONGSHORE_CHAOS_ROUNDS=1000 cargo test -p longshore-e2e --test chaos -- --nocapture
//! ```

mod arena;
mod census;
mod compare;
mod driver;
mod history;
mod hosts;
mod model;
mod watch;

use std::{
    env,
    hash::{BuildHasher as _, RandomState},
};

use arena::Arena;
use driver::Round;
use fastrand::Rng;

/// How many rounds there are unless the environment says otherwise.
const ROUNDS: u64 = 100;
/// In so many rounds at least one launch is cut off by a host's death, on any machine: usually it is one in five.
const ROUNDS_A_HIT: u64 = 25;

/// A number of the environment's.
fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, and should be a whole number")))
}

/// A seed of the environment's, or a fresh one, told in either case.
fn seed(test: &str) -> u64 {
    let seed = number("LONGSHORE_CHAOS_SEED").unwrap_or_else(|| RandomState::new().hash_one(test) >> 16);
    println!("{test}: LONGSHORE_CHAOS_SEED={seed} makes the same choices");
    seed
}

#[test]
fn nothing_is_leaked_doubled_or_forgotten() {
    let rounds = number("LONGSHORE_CHAOS_ROUNDS").unwrap_or(ROUNDS);
    let seed = seed("nothing_is_leaked_doubled_or_forgotten");
    let mut rng = Rng::with_seed(seed);
    let mut arena = Arena::open();
    for number in 1..=rounds {
        let round = Round::choose(&mut rng);
        if let Err(what) = arena.play(number, &round) {
            panic!("{}", arena.report(seed, number, &round, &what));
        }
    }
    let told = arena.told();
    println!("{rounds} rounds: {told}");
    assert!(
        arena.launches_cut_off() as u64 >= rounds / ROUNDS_A_HIT,
        "the hosts' deaths hardly hit a launch, so that nothing was tested: {told}"
    );
    if let Err(what) = arena.close() {
        panic!("seed {seed}, at the end: {what}");
    }
}
