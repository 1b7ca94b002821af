//! That a second kill is as good as the first, later or at the same time.

use std::{
    sync::Barrier,
    time::{Duration, Instant},
};

use longshore_plugin_api::{Clause, Killed, WorkerStatus};

use crate::{
    bench::Bench,
    quirks::Costly,
    subject::{Handle, Subject},
    verdict::{Must as _, Verdict, breach, fault},
    watch::{self, Eyes},
    witness::Temper,
};

const CLAUSE: Clause = Clause::KillIdempotent;

/// The pause between two kills of the same worker: shorter than any grace.
const PAUSE: Duration = Duration::from_millis(10);

/// How many threads kill at once.
const KILLERS: usize = 8;

fn yes_for_each(subject: &Subject<'_>, cluster: &str, handles: &[Handle], expected: &str) -> Verdict {
    let killed = subject.kill(cluster, handles).must(CLAUSE, expected)?;
    for (handle, killed) in handles.iter().zip(killed) {
        if let Killed::No(why) = killed {
            return breach(CLAUSE, expected, format_args!("for {handle:?} it answered no: {why}"));
        }
    }
    Ok(())
}

pub(crate) fn kill_twice(bench: &Bench) -> Verdict {
    let expected = "a kill of a worker that is being killed succeeds";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let eyes = Eyes::open(bench)?;
    // One that does not hear of being asked has all of its grace to go through, which must not begin anew.
    for temper in [Temper::Meek, Temper::Stubborn] {
        let crew = eyes.launch(&subject, &cluster, 1, temper)?;
        subject.kill_all(&cluster, &crew.handles, CLAUSE)?;
        let grace = bench.quirks().grace;
        let end = Instant::now() + grace;
        let is_costly = bench.quirks().is_costly(Costly::Calls);
        let pause = if is_costly { bench.quirks().poll.max(grace / 10) } else { PAUSE };
        let mut kills = 1_u32;
        loop {
            let is_last = Instant::now() >= end;
            yes_for_each(&subject, &cluster, &crew.handles, expected)?;
            kills += 1;
            let statuses = subject.status(&cluster, &crew.handles).must(CLAUSE, expected)?;
            if statuses.iter().all(|status| *status == WorkerStatus::Stopped) {
                break;
            }
            if is_last {
                // Where one that is killed once does not stop either, no kill is what it should be.
                let once = eyes.launch(&subject, &cluster, 1, temper)?;
                subject.down(&cluster, &once.handles)?;
                let expected = format!(
                    "a worker that is killed again and again has stopped {grace:?} after the first kill"
                );
                let seen = format!(
                    "{:?} was still {} after {kills} kills, while one that is killed once stops in time: each puts it off",
                    crew.handles[0], statuses[0]
                );
                return breach(CLAUSE, expected, seen);
            }
            std::thread::sleep(pause);
        }
        watch::all_end(&crew.witnesses, &crew.handles, CLAUSE, end)?;
        yes_for_each(&subject, &cluster, &crew.handles, expected)?;
    }
    Ok(())
}

pub(crate) fn kill_twice_at_once(bench: &Bench) -> Verdict {
    let expected = "kills of the same workers at the same time all succeed";
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let eyes = Eyes::open(bench)?;
    let bystander = eyes.launch(&subject, &cluster, 1, Temper::Meek)?;
    let crew = eyes.launch(&subject, &cluster, bench.modest(4).min(3), Temper::Meek)?;
    let together = Barrier::new(KILLERS);
    std::thread::scope(|scope| -> Verdict {
        let killer = |number: usize| {
            let (subject, cluster, crew, together) = (&subject, &cluster, &crew, &together);
            // Each in an order of its own, for locks that are taken in the order of the handles.
            let mut order = crew.handles.clone();
            let len = order.len();
            order.rotate_left(number % len);
            if number.is_multiple_of(2) {
                order.reverse();
            }
            move || {
                together.wait();
                yes_for_each(subject, cluster, &order, expected)
            }
        };
        let killers: Vec<_> = (0..KILLERS).map(|number| scope.spawn(killer(number))).collect();
        let verdicts: Vec<Verdict> = killers
            .into_iter()
            .map(|killer| killer.join().unwrap_or_else(|_| fault("a thread of the check panicked")))
            .collect();
        verdicts.into_iter().collect()
    })?;
    crew.is_gone(&subject, CLAUSE, Instant::now() + bench.quirks().grace)?;
    bystander.is_well(&subject, CLAUSE, "killing a worker several times harms nobody else")
}
