//! What a plugin's process costs beside its calls: its start, its memory while it is idle, and its start again after a crash.

use std::{path::Path, sync::Arc, time::Instant};

use longshore_bench::{Runs, resident};
use longshore_providers::{Housing, Library, Provider, RunnerState};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

use crate::{
    ROUNDS,
    go_plugin::{GoPlugin, Wire},
    guarded::{provider, scope},
};

/// What was measured of one way.
pub(crate) struct Life {
    pub(crate) name: &'static str,
    /// From before it is started until the first call has been answered.
    pub(crate) begin: Runs,
    /// The bytes of each idle process in the machine's memory, after that call.
    pub(crate) resident: Vec<usize>,
    /// From its sudden end until the next call has been answered. No peer starts a plugin again by itself.
    pub(crate) again: Option<Runs>,
}

impl Life {
    fn of(name: &'static str) -> Self {
        Self { name, begin: Runs::default(), resident: Vec::new(), again: None }
    }
}

/// Everybody in each round, one after the other.
pub(crate) fn measure(
    runtime: &Runtime,
    library: &Arc<Library>,
    runner: &Housing,
    peer: Option<&Path>,
) -> Vec<Life> {
    let (mut here, mut apart) = (Life::of("in-process"), Life::of(crate::SUBPROCESS));
    let mut peers = Wire::ALL.map(|wire| (wire, Life::of(wire.name())));
    let mut again = Runs::default();
    for _ in 0..ROUNDS {
        runtime.block_on(async {
            begin(&mut here, library, &Housing::InProcess).await;
            let provider = begin(&mut apart, library, runner).await;
            crash(&provider, &mut again).await;
        });
        for (wire, life) in &mut peers {
            if let Some(program) = peer {
                let started = GoPlugin::start(program, *wire);
                life.begin.add(started.begin);
                life.resident.extend(resident(started.process));
            }
        }
    }
    apart.again = Some(again);
    let peers = peers.into_iter().map(|(_, life)| life).filter(|life| !life.begin.is_empty());
    [here, apart].into_iter().chain(peers).collect()
}

async fn begin(life: &mut Life, library: &Arc<Library>, housing: &Housing) -> Arc<Provider> {
    let begun = Instant::now();
    let provider = provider(library, housing).await;
    ask(&provider).await;
    life.begin.add(begun.elapsed());
    life.resident.extend(process(&provider).and_then(resident));
    provider
}

async fn ask(provider: &Provider) {
    let asked = provider.status(&scope(), ["nobody".into()]).reply().await;
    assert_eq!(asked.expect("it answers").len(), 1);
}

/// The number of its runner's process, where it has one.
fn process(provider: &Provider) -> Option<u32> {
    match &*provider.runner()?.borrow() {
        RunnerState::Running { pid, .. } => Some(*pid),
        _ => None,
    }
}

/// Ends a runner's process, and calls the provider as soon as there is another.
async fn crash(provider: &Provider, again: &mut Runs) {
    let mut runner = provider.runner().expect("it has one");
    let first = process(provider).expect("it runs");
    let pid = Pid::from_raw(first.cast_signed()).expect("a process has a number");
    let begun = Instant::now();
    kill_process(pid, Signal::KILL).expect("it is ours");
    let another = |state: &RunnerState| matches!(state, RunnerState::Running { pid, .. } if *pid != first);
    runner.wait_for(another).await.expect("the provider is there");
    ask(provider).await;
    again.add(begun.elapsed());
}
