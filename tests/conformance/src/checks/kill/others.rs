//! That `kill` stops nobody but those it was asked to stop.

use std::time::Instant;

use longshore_plugin_api::Clause;

use crate::{
    bench::Bench,
    texts,
    verdict::{Must as _, Verdict, demand},
    watch::{self, Crew, Eyes},
    witness::Temper,
};

const CLAUSE: Clause = Clause::KillNobodyElse;

/// The longest name of a cluster, in characters.
const LONGEST_NAME: usize = 63;

pub(crate) fn kill_nobody_else(bench: &Bench) -> Verdict {
    let expected = "kill stops no other handle's workers: none of its launch, its cluster or another cluster";
    let subject = bench.provider()?;
    let eyes = Eyes::open(bench)?;
    let cluster = bench.cluster();
    // Names of which one is the beginning, or the end, of another.
    let mut longer = format!("{cluster}0");
    let mut before = format!("a{cluster}");
    longer.truncate(LONGEST_NAME);
    before.truncate(LONGEST_NAME);
    // Where few workers may be had, the most telling ones: another launch of the cluster, and the cluster with the longer name.
    let names = [&cluster, &longer, &before, &bench.cluster()];
    let (size, count) = if bench.modest(8) < 8 { (2, 2) } else { (4, names.len()) };
    let mut one = eyes.launch(&subject, &cluster, size, Temper::Meek)?;
    let mut others = Vec::new();
    for name in &names[..count] {
        others.push(eyes.launch(&subject, name, 1, Temper::Meek)?);
    }
    for crew in others.iter().chain([&one]) {
        subject.wait_running(&crew.cluster, &crew.handles, CLAUSE)?;
    }

    // From the middle, so that the first and the last of the launch are others.
    let victim = Crew {
        cluster: cluster.clone(),
        handles: vec![one.handles.remove(one.handles.len() / 2)],
        witnesses: Vec::new(),
    };
    subject.kill_all(&cluster, &victim.handles, CLAUSE)?;
    let end = Instant::now() + bench.quirks().grace;
    victim.is_gone(&subject, CLAUSE, end)?;
    // Which of the launch's witnesses was the victim's cannot be told for sure; that one of them goes, and no more, can.
    if !one.witnesses.is_empty() {
        bench.poll(bench.quirks().grace, || Ok((one.alive() < one.witnesses.len()).then_some(())))?;
        one.witnesses.retain(crate::witness::Witness::is_alive);
    }
    demand(one.witnesses.is_empty() || one.witnesses.len() == one.handles.len(), CLAUSE, expected, || {
        format!(
            "of the {} workers of a launch one was killed, and the programs of {} are alive",
            one.handles.len() + 1,
            one.witnesses.len()
        )
    })?;
    watch::watch(bench, || {
        for crew in others.iter().chain([&one]) {
            crew.is_well(&subject, CLAUSE, expected)?;
        }
        Ok(())
    })
}

pub(crate) fn kill_near_misses(bench: &Bench) -> Verdict {
    let expected = "killing a text that is almost a live handle stops nobody";
    let subject = bench.provider()?;
    let eyes = Eyes::open(bench)?;
    let cluster = bench.cluster();
    let crews = [
        eyes.launch(&subject, &cluster, bench.modest(2).min(2), Temper::Meek)?,
        eyes.launch(&subject, &cluster, 1, Temper::Meek)?,
    ];
    let live = [&*crews[0].handles, &*crews[1].handles].concat();
    let misses = texts::all_misses(&live);
    let clause = Clause::KillUnknown;
    // Their answers are the business of KILL-2; all that counts here is who is alive afterwards.
    texts::answered(&misses, clause, "killing a handle that is not known succeeds", |handles| {
        subject.kill(&cluster, handles)
    })?;
    watch::watch(bench, || {
        for crew in &crews {
            crew.is_well(&subject, CLAUSE, expected)?;
        }
        Ok(())
    })?;
    subject.status(&cluster, &live).must(CLAUSE, expected)?;
    Ok(())
}
