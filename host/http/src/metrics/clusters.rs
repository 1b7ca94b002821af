//! What is told of clusters.

use std::fmt;

use longshore_runtime::ClusterStatus;

use super::families::{Families, Labels};

/// Reads a number of a cluster.
type Count = fn(&ClusterStatus) -> u64;

/// How many workers of a cluster are how, as lines of one family.
const STATES: [(&str, Count); 6] = [
    ("launching", |it| it.launching),
    ("initializing", |it| it.initializing),
    ("running", |it| it.running),
    ("terminating", |it| it.terminating),
    ("unknown", |it| it.unknown),
    ("stray", |it| it.strays),
];

pub(super) fn tell(families: &mut Families<'_>, clusters: &[ClusterStatus]) -> fmt::Result {
    let info =
        clusters.iter().map(|it| vec![("cluster", (&it.name).into()), ("provider", (&it.provider).into())]);
    families.info("cluster", "Which provider a cluster's workers are launched with.", info)?;
    let workers = clusters.iter().flat_map(|it| {
        STATES.iter().map(move |(state, count)| {
            let labels: Labels<'_> = vec![("cluster", (&it.name).into()), ("state", (*state).into())];
            (labels, count(it))
        })
    });
    families.gauge(
        "cluster_workers",
        "Workers by their state; unknown are those that launches of unknown fate may have created, stray those of nobody's \
         launch.",
        None,
        workers,
    )?;
    let mut each = |name, help, value: Count| {
        families.gauge(name, help, None, clusters.iter().map(|it| (of(it), value(it))))
    };
    each("cluster_workers_expected", "Workers that its user asked for.", |it| u64::from(it.expected))?;
    each(
        "cluster_workers_desired",
        "Workers that there shall be now: none while it is stopped, or its host leaves.",
        |it| u64::from(it.target()),
    )?;
    each("cluster_workers_missing", "Workers that there shall be and that are not at work.", |it| {
        u64::from(it.target()).saturating_sub(it.running)
    })?;
    each("cluster_handles", "Containers that are not known to have stopped.", |it| it.handles as u64)?;
    each(
        "cluster_converged",
        "1 where there are just the workers, and the server, that there shall be; 0 otherwise.",
        |it| u64::from(it.converged),
    )?;
    let servers = clusters.iter().filter_map(|it| {
        let server = it.server.as_ref()?;
        Some((of(it), u64::from(server.is_up())))
    });
    families.gauge(
        "cluster_server_up",
        "1 where workers can report to its server, 0 where not.",
        None,
        servers,
    )
}

fn of(cluster: &ClusterStatus) -> Labels<'_> {
    vec![("cluster", (&cluster.name).into())]
}
