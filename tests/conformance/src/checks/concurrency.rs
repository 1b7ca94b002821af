//! The checks of the family `concurrency`: what works alone works side by side, and a call that is no longer wanted ends.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use longshore_plugin_api::{Clause, WorkerStatus};
use longshore_providers::{CallError, Launched};

use crate::{
    bench::Bench,
    checks::list::expected::{Live, shared},
    quirks::SlowRun,
    subject::{Handle, Running, Subject},
    verdict::{Breach, Must as _, Stop, Verdict, breach, demand, fault, skip},
};

/// How many threads work side by side.
const THREADS: u32 = 8;

/// How long a call may go on when it is no longer wanted: "within a second or so" (CONC-2). A slow run of the quirks file
/// takes two seconds at least, so that one that does not listen is told from one that does.
const SOON: Duration = Duration::from_millis(1_500);

/// When a run is cancelled, or out of time: when it has begun and is far from its end.
const EARLY: Duration = Duration::from_millis(150);

/// What fails side by side, and went well alone, is a matter of concurrency, whatever clause it shows in.
fn side_by_side<T>(verdict: Verdict<T>) -> Verdict<T> {
    verdict.map_err(|stop| match stop {
        Stop::Breach(Breach { clause, expected, seen }) => Stop::Breach(Breach {
            clause: Clause::ConcurrentCalls,
            expected: format!("side by side with calls from other threads, as alone: {expected}"),
            seen: format!("{seen} (alone it went well; by itself this would break {clause})"),
        }),
        other => other,
    })
}

/// Runs `work` on so many threads at once; the first failure, in the order of the threads.
fn at_once<T: Send>(threads: u32, work: impl Fn(u32) -> Verdict<T> + Sync) -> Verdict<Vec<T>> {
    let work = &work;
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|number| scope.spawn(move || work(number))).collect();
        let ended: Vec<_> = all.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        let verdicts =
            ended.into_iter().map(|end| end.unwrap_or_else(|_| fault("a thread of the check panicked")));
        verdicts.collect()
    })
}

/// Each thread has a cluster of its own and sees what it would see alone.
pub(crate) fn calls_from_many_threads(bench: &Bench) -> Verdict {
    /// What a life has at a time.
    const EACH: u32 = 3;
    let subject = bench.provider()?;
    // Once alone, so that what goes wrong then is not taken for a matter of threads.
    let mut seen: BTreeSet<Handle> =
        life(bench, &subject, EACH.min(bench.modest(EACH)))?.into_iter().collect();
    let most = bench.modest(THREADS * EACH);
    let (threads, each) =
        if most >= THREADS * 2 { (THREADS, most / THREADS) } else { (most.min(THREADS), 1) };
    let rounds = if most < THREADS * EACH { 1 } else { 3 };
    let lives = at_once(threads, |_| {
        let mut handles = Vec::new();
        for _ in 0..rounds {
            handles.extend(life(bench, &subject, each)?);
        }
        Ok(handles)
    });
    for handle in side_by_side(lives)?.into_iter().flatten() {
        let text = handle.to_string();
        demand(seen.insert(handle), Clause::ConcurrentCalls, Clause::RunFresh.text(), || {
            format!("{text} was given out to two threads")
        })?;
    }
    Ok(())
}

/// One life of a cluster: launched, asked for, listed, killed one by one.
fn life(bench: &Bench, subject: &Subject<'_>, workers: u32) -> Verdict<Vec<Handle>> {
    let cluster = bench.cluster();
    let has_list = subject.provider().has_list();
    let mut live = Live::default();
    let mut handles = live.launch(subject, &cluster, &bench.request(workers.div_ceil(2)))?;
    if workers > 1 {
        handles.extend(live.launch(subject, &cluster, &shared(bench, workers / 2, 2))?);
    }
    let (first, rest) = handles.split_at(1);
    if has_list {
        live.demand(subject, &cluster, Clause::ListComplete)?;
    }
    subject.wait_running(&cluster, &handles, Clause::StatusValue)?;
    subject.down(&cluster, first)?;
    live.forget(first);
    let statuses = subject.status(&cluster, &handles).must(Clause::StatusCount, "status answers")?;
    let as_expected = statuses[0] == WorkerStatus::Stopped
        && statuses[1..].iter().all(|status| *status == WorkerStatus::Running);
    demand(as_expected, Clause::StatusCount, "each status stands in its handle's place", || {
        format!("the first of {} workers was killed, and status says {statuses:?}", handles.len())
    })?;
    let stopped =
        subject.is_stopped(&cluster, &handles).must(Clause::PredicateCount, "is_stopped answers")?;
    demand(
        stopped[0] && !stopped[1..].contains(&true),
        Clause::PredicateAgrees,
        Clause::PredicateAgrees.text(),
        || format!("the first of {} workers has stopped, and is_stopped says {stopped:?}", handles.len()),
    )?;
    if has_list {
        live.demand(subject, &cluster, Clause::ListComplete)?;
    }
    subject.down(&cluster, rest)?;
    Ok(handles)
}

/// In one cluster, some threads launch while others kill half of what was launched.
pub(crate) fn run_beside_kill(bench: &Bench) -> Verdict {
    /// Threads that kill.
    const KILLERS: u32 = 2;
    let (subject, alone, cluster) = (bench.provider()?, bench.cluster(), bench.cluster());
    let stays = pairs(bench, &subject, &alone, 1, &|goes| subject.down(&alone, &[goes]))?;
    if subject.provider().has_list() {
        stays.demand(&subject, &alone, Clause::ListComplete)?;
    }
    subject.down(&alone, &stays.handles())?;

    let (launchers, each) = if bench.modest(32) >= 32 { (4, 4) } else { (2, 1) };
    // Room for all that will ever be sent, so that nobody waits for it.
    let (sender, receiver) = mpsc::sync_channel::<Handle>((launchers * each) as usize);
    let receiver = Mutex::new(receiver);
    let killed: Mutex<Vec<Handle>> = Mutex::default();
    let launch = |sender: mpsc::SyncSender<Handle>| {
        // Nobody listens any more where the killers have failed, who say why.
        pairs(bench, &subject, &cluster, each, &|goes| {
            drop(sender.send(goes));
            Ok(())
        })
    };
    let kill = || -> Verdict {
        loop {
            let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(goes) = next else { return Ok(()) };
            subject.kill_all(&cluster, std::slice::from_ref(&goes), Clause::KillTrue)?;
            killed.lock().unwrap_or_else(PoisonError::into_inner).push(goes);
        }
    };
    subject.prepare(&cluster).must(Clause::InitializeAgain, "a cluster can be initialized")?;
    let stays = std::thread::scope(|scope| {
        let killers: Vec<_> = (0..KILLERS).map(|_| scope.spawn(kill)).collect();
        let launchers: Vec<_> = (0..launchers)
            .map(|_| {
                let sender = sender.clone();
                scope.spawn(|| launch(sender))
            })
            .collect();
        drop(sender);
        let mut stays = Live::default();
        let launched: Vec<_> = launchers.into_iter().map(joined).collect();
        for verdict in killers.into_iter().map(joined) {
            verdict?;
        }
        for verdict in launched {
            stays.absorb(verdict?);
        }
        Ok(stays)
    });
    let stays = side_by_side(stays)?;
    let killed = killed.into_inner().unwrap_or_else(PoisonError::into_inner);
    side_by_side(subject.wait_running(&cluster, &stays.handles(), Clause::KillNobodyElse))?;
    side_by_side(subject.wait_stopped(&cluster, &killed, Clause::KillTrue))?;
    if subject.provider().has_list() {
        side_by_side(stays.demand(&subject, &cluster, Clause::ListComplete))?;
    }
    Ok(())
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, Verdict<T>>) -> Verdict<T> {
    thread.join().unwrap_or_else(|_| fault("a thread of the check panicked"))
}

/// Launches so many times two workers, of which one stays and the other one is handed to `goes`.
fn pairs(
    bench: &Bench,
    subject: &Subject<'_>,
    cluster: &str,
    times: u32,
    goes: &dyn Fn(Handle) -> Verdict,
) -> Verdict<Live> {
    let mut stays = Live::default();
    for time in 0..times {
        let mut handles = stays.launch(subject, cluster, &shared(bench, 2, 1))?;
        let doomed = handles.swap_remove((time % 2) as usize);
        stays.forget(std::slice::from_ref(&doomed));
        goes(doomed)?;
    }
    Ok(stays)
}

fn slow_run(bench: &Bench) -> Verdict<&SlowRun> {
    bench.quirks().slow_run.as_ref().map_or_else(
        || skip("the quirks file has no `[slow_run]`: nothing there takes long enough to look beside it"),
        Ok,
    )
}

/// Begins a run that takes long, and waits until it is well inside the plugin; how long ago it began.
pub(crate) fn begin<'b>(
    bench: &'b Bench,
    subject: &Subject<'b>,
    slow: &SlowRun,
    cluster: &str,
    budget: Duration,
) -> Verdict<(Running<'b>, Instant)> {
    let request = bench.request(slow.workers);
    subject.prepare(cluster).must(Clause::InitializeAgain, "a cluster can be initialized")?;
    let began = Instant::now();
    let running =
        subject.begin_run(cluster, &request, budget)?.must(Clause::RunCount, "a run can be begun")?;
    std::thread::sleep(EARLY);
    if subject.provider().load().busy == 0 {
        drop(running.answer()?);
        return too_short(began);
    }
    Ok((running, began))
}

fn too_short<T>(began: Instant) -> Verdict<T> {
    let took = began.elapsed();
    skip(format_args!(
        "the run of `[slow_run]` was over within {took:?}, and is to take two seconds or longer"
    ))
}

/// A question of another thread's, beside a run that takes long, and what it is called.
type Question<'q> = (&'q str, &'q dyn Fn() -> Result<(), CallError>);

pub(crate) fn status_beside_a_long_run(bench: &Bench) -> Verdict {
    let slow = slow_run(bench)?;
    let (subject, cluster, other) = (bench.provider_with(&slow.config)?, bench.cluster(), bench.cluster());
    let launch = || {
        let handles = subject.up_of(&cluster, &shared(bench, 1, 1))?;
        subject.wait_running(&cluster, &handles, Clause::StatusValue).map(|()| handles)
    };
    // A kill may answer when it has gone all of its way (KILL-4): how long that is alone, a worker of its own tells.
    let first = launch()?;
    let asked = Instant::now();
    subject.kill_all(&cluster, &first, Clause::KillTrue)?;
    let kill_alone = asked.elapsed();
    subject.wait_stopped(&cluster, &first, Clause::KillTrue)?;
    let handles = launch()?;
    subject.prepare(&other).must(Clause::InitializeAgain, "a cluster can be initialized")?;
    let status = || subject.status(&cluster, &handles).map(drop);
    let predicate = || subject.is_running(&cluster, &handles).map(drop);
    let list = || if subject.provider().has_list() { subject.list(&cluster).map(drop) } else { Ok(()) };
    let elsewhere = || subject.status(&other, &handles).map(drop);
    let kill = || subject.kill(&cluster, &handles).map(drop);
    // The kill comes last, and once: it is for good.
    let questions: [Question<'_>; 5] = [
        ("status", &status),
        ("is_running", &predicate),
        ("list", &list),
        ("status of another cluster", &elsewhere),
        ("kill", &kill),
    ];
    let ask = |(name, question): &Question<'_>| -> Verdict<Duration> {
        let asked = Instant::now();
        question()
            .must(Clause::ConcurrentCalls, format_args!("{name} is answered beside a run that takes long"))?;
        Ok(asked.elapsed())
    };
    let mut others_alone = Duration::ZERO;
    for question in &questions[..questions.len() - 1] {
        others_alone = others_alone.max(ask(question)?);
    }
    let (running, began) = begin(bench, &subject, slow, &cluster, bench.quirks().call)?;
    let mut beside = Vec::new();
    let mut asked = Ok(());
    for (place, question) in questions.iter().enumerate() {
        let alone = if place == questions.len() - 1 { kill_alone } else { others_alone };
        match ask(question) {
            Ok(took) => beside.push((took.saturating_sub(alone * 4), took, alone, question.0)),
            Err(stop) => {
                asked = Err(stop);
                break;
            }
        }
    }
    let is_over = subject.provider().load().busy == 0;
    let took = began.elapsed();
    running.cancel();
    drop(running.answer()?);
    asked?;
    let (longer, took_beside, alone, name) = beside.into_iter().max().unwrap_or_default();
    // Where the run goes on, everything was answered beside it; where it is over, something may have waited for that.
    if longer > Duration::from_secs(1) {
        let seen = format!(
            "{name} took {took_beside:?} beside a run that had begun before, and {alone:?} without; the run {}",
            if is_over { "was over by then" } else { "was still going on" }
        );
        let expected =
            "a run that takes long does not keep status, list and kill waiting for all of its time";
        return breach(Clause::ConcurrentCalls, expected, seen);
    }
    if is_over && took < Duration::from_secs(1) {
        return too_short(began);
    }
    subject.wait_stopped(&cluster, &handles, Clause::KillTrue)
}

/// How a run ended that was no longer wanted, in a few words.
fn words(answer: &Result<Launched, CallError>) -> String {
    match answer {
        Ok(launched) => format!("it launched {} workers", launched.workers()),
        Err(error) => format!("it failed: {error}"),
    }
}

pub(crate) fn cancelled_call_returns(bench: &Bench) -> Verdict {
    let slow = slow_run(bench)?;
    let (subject, cluster) = (bench.provider_with(&slow.config)?, bench.cluster());
    let (running, began) = begin(bench, &subject, slow, &cluster, bench.quirks().call)?;
    let cancelled = Instant::now();
    running.cancel();
    let answer = running.answer()?;
    let took = cancelled.elapsed();
    let expected = format!("a run that is cancelled returns within {SOON:?}");
    demand(took <= SOON, Clause::ConcurrentDeadline, expected, || {
        let before = cancelled.duration_since(began);
        format!("cancelled {before:?} after it began, it returned {took:?} later; {}", words(&answer))
    })
}

pub(crate) fn late_call_returns(bench: &Bench) -> Verdict {
    /// The budget of the run.
    const BUDGET: Duration = Duration::from_millis(300);
    let slow = slow_run(bench)?;
    let (subject, cluster) = (bench.provider_with(&slow.config)?, bench.cluster());
    let (running, began) = begin(bench, &subject, slow, &cluster, BUDGET)?;
    let answer = running.answer()?;
    let late = began.elapsed().saturating_sub(BUDGET);
    if answer.is_ok() && late.is_zero() {
        return too_short(began);
    }
    let expected = format!("a run whose deadline has passed returns within {SOON:?}");
    demand(late <= SOON, Clause::ConcurrentDeadline, expected, || {
        format!("with a budget of {BUDGET:?} it returned {late:?} after its deadline; {}", words(&answer))
    })
}
