//! What handles look like, and that none comes twice.

use std::collections::HashMap;

use longshore_plugin_api::{Clause, Container, LaunchToken, RunRequest};

use super::evidence::{Containers, handles_of, make_room};
use crate::{
    bench::Bench,
    order::{Brought, Errand},
    quirks::Costly,
    subject::{Handle, Subject},
    verdict::{Verdict, breach, demand, fault},
};

/// The longest names that a host gives.
pub(super) const LONGEST_CLUSTER: usize = 63;
pub(super) const LONGEST_TOKEN: usize = 64;

/// A name made as long as it may be.
pub(super) fn stretched(name: &str, length: usize) -> Verdict<String> {
    if name.len() > length {
        return fault(format_args!("the name {name} of the harness is longer than {length} characters"));
    }
    Ok(format!("{name}{}", "z".repeat(length - name.len())))
}

pub(crate) fn run_handles_are_text(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    for is_long in [false, true] {
        let cluster = if is_long { stretched(&bench.cluster(), LONGEST_CLUSTER)? } else { bench.cluster() };
        let mut up = Containers::new();
        // Two digits, should a handle have the number of its container.
        for (workers, max_workers) in [(bench.modest(11), None), (bench.modest(6), Some(4))] {
            make_room(bench, &subject, &cluster, &mut up, workers)?;
            let container = Container { max_workers, ..bench.quirks().container.clone() };
            let mut request = bench.request_of(container, workers);
            if is_long {
                request.token = LaunchToken::new(stretched(request.token.as_str(), LONGEST_TOKEN)?);
            }
            // The host holds every handle to the clause; a provider may also fail for want of room in it.
            let launched = subject.whole(&cluster, &request)?;
            let answers = subject.status(&cluster, &handles_of(&launched));
            demand(answers.is_ok(), Clause::RunHandle, "status takes the handles that run gave out", || {
                let length = launched.first().map_or(0, |(handle, _)| handle.len());
                format!("of handles of {length} bytes, status failed: {:?}", answers.err())
            })?;
            up.extend(launched);
        }
        subject.down(&cluster, &handles_of(&up))?;
    }
    Ok(())
}

/// Every handle that was seen, with the launch that brought it.
#[derive(Debug, Default)]
struct Seen(HashMap<String, String>);

impl Seen {
    fn add(&mut self, launch: &str, handles: &[Handle]) -> Verdict {
        for handle in handles {
            if let Some(earlier) = self.0.insert(handle.to_string(), launch.to_owned()) {
                return breach(
                    Clause::RunFresh,
                    Clause::RunFresh.text(),
                    format_args!("{handle} is a container of {earlier}, and then one of {launch}"),
                );
            }
        }
        Ok(())
    }
}

/// Says which launch it is.
fn launch_of(cluster: &str, request: &RunRequest, how: &str) -> String {
    format!("the launch {} in the cluster {cluster}{how}", request.token)
}

pub(crate) fn run_handles_are_fresh(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let is_costly = bench.cheap(Costly::Launches).is_err();
    let rounds = if is_costly { 2 } else { 5 };
    let each = if bench.quirks().most_workers >= 8 { bench.modest(2) } else { 1 };
    let mut clusters = [(bench.cluster(), Vec::new()), (bench.cluster(), Vec::new())];
    let mut seen = Seen::default();
    for round in 0..rounds {
        for (cluster, alive) in &mut clusters {
            let request = bench.request(each);
            let launched = subject.up_of(cluster, &request)?;
            let when = if round == 0 { "" } else { ", after others were killed" };
            seen.add(&launch_of(cluster, &request, when), &launched)?;
            alive.extend(launched);
        }
        // A place in the midst becomes free, and then all do: neither may be given out again.
        for (cluster, alive) in &mut clusters {
            let killed: Vec<Handle> =
                if round % 2 == 0 { alive.drain(..1) } else { alive.drain(..) }.collect();
            subject.down(cluster, &killed)?;
            if round % 2 == 1 && subject.provider().has_cleanup() {
                // Its faults are the business of its own checks.
                drop(subject.cleanup(cluster, false));
            }
        }
    }
    Ok(())
}

pub(crate) fn run_handles_are_fresh_anew(bench: &Bench) -> Verdict {
    let (cluster, other) = (bench.cluster(), bench.cluster());
    let mut seen = Seen::default();
    for instance in ["", ", by an instance that was made anew", ", by the third instance"] {
        let subject = bench.provider()?;
        let mut up = Vec::new();
        for cluster in [&cluster, &other] {
            let request = bench.request(bench.modest(2));
            let launched = subject.up_of(cluster, &request)?;
            seen.add(&launch_of(cluster, &request, instance), &launched)?;
            up.push((cluster, launched));
        }
        // The first of each are dead when the next instance is made, and so is room for what it launches.
        for (cluster, launched) in up {
            subject.down(cluster, &launched)?;
        }
        demand_gone(subject)?;
    }
    let (token, workers) = (bench.token(), bench.modest(2));
    let errand = Errand::Run { cluster: cluster.clone(), token: token.clone(), workers };
    match bench.elsewhere(errand)? {
        Brought::Run(handles) => {
            let handles: Vec<Handle> = handles.into_iter().map(|(handle, _)| handle.into()).collect();
            let launch = format!("the launch {token} in the cluster {cluster}, from another process");
            seen.add(&launch, &handles)
        }
        Brought::Failed(text) | Brought::Permanent(text) => {
            breach(Clause::RunCount, "a run from another process launches its workers", text)
        }
        _ => fault("an errand came back with something else"),
    }
}

/// Shuts an instance down.
pub(super) fn demand_gone(subject: Subject<'_>) -> Verdict {
    let gone = subject.shut_down();
    demand(gone, Clause::LoadShutdown, "dropping an instance returns within seconds", || "it did not")
}
