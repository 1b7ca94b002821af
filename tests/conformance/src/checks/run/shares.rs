//! How the workers of a launch are spread over containers.

use std::collections::HashMap;

use longshore_plugin_api::{Clause, Container};

use super::evidence::{Containers, handles_of, listed, make_room};
use crate::{
    bench::Bench,
    subject::Subject,
    verdict::{Verdict, breach, demand},
};

pub(crate) fn run_fills_containers(bench: &Bench) -> Verdict {
    // Sizes that leave room in a container, fill it, and need a further one.
    spread(bench, Some(4), &[1, 3, 4, 2, 6, 11])
}

pub(crate) fn run_one_a_container(bench: &Bench) -> Verdict {
    spread(bench, None, &[1, 2, 5])?;
    spread(bench, Some(1), &[3])
}

/// Launches one after the other into one cluster, and holds each to what one container may have.
fn spread(bench: &Bench, max_workers: Option<u32>, sizes: &[u32]) -> Verdict {
    let subject = bench.provider()?;
    let cluster = bench.cluster();
    let most = max_workers.unwrap_or(1);
    let expected = match max_workers {
        Some(most) => format!("with `max_workers` {most}, a container holds {most} workers at most"),
        None => "without `max_workers`, every worker has a container, and a handle, of its own".to_owned(),
    };
    let mut earlier: HashMap<_, _> = HashMap::new();
    let mut up = Containers::new();
    for size in sizes {
        let size = bench.modest(*size);
        make_room(bench, &subject, &cluster, &mut up, size)?;
        let container = Container { max_workers, ..bench.quirks().container.clone() };
        let request = bench.request_of(container, size);
        // The host refuses an answer with too many workers on a handle, under this clause.
        let launched = subject.whole(&cluster, &request)?;
        for (handle, workers) in &launched {
            demand(*workers <= most, Clause::RunShares, &expected, || {
                format!("of {size} workers, {workers} share {handle}")
            })?;
            if let Some(other) = earlier.insert(handle.clone(), request.token.clone()) {
                return breach(
                    Clause::RunShares,
                    "a container never holds workers of two launches",
                    format_args!("{handle} has workers of {other} and of {}", request.token),
                );
            }
        }
        up.extend(launched.iter().cloned());
        hold_to_list(&subject, &cluster, &launched, &expected, most)?;
    }
    subject.wait_running(&cluster, &handles_of(&up), Clause::RunShares)?;
    subject.down(&cluster, &handles_of(&up))
}

/// The list tells the number of workers in a container, too.
fn hold_to_list(
    subject: &Subject<'_>,
    cluster: &str,
    launched: &Containers,
    expected: &str,
    most: u32,
) -> Verdict {
    for entry in listed(subject, cluster)?.unwrap_or_default() {
        demand(entry.workers <= most, Clause::RunShares, expected, || {
            format!("the list shows {} workers on {}", entry.workers, entry.handle)
        })?;
        let here = launched.iter().find(|(handle, _)| **handle == *entry.handle);
        if let Some((handle, workers)) = here.filter(|(_, workers)| *workers != entry.workers) {
            let expected =
                "a container's workers are as many in the list as its handle had entries in the answer";
            let seen =
                format!("{handle} stood {workers} times in the answer, and is listed with {}", entry.workers);
            return breach(Clause::RunShares, expected, seen);
        }
    }
    Ok(())
}
