//! What is done to the host and its workers: chosen by a seed, and by nothing else.

use std::time::Duration;

use fastrand::Rng;

use crate::model::{Request, Wanted};

/// A cluster that the chaos is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// The most workers that its maximum is ever set to.
    pub(crate) cap: u32,
    /// Workers in a container, at most.
    pub(crate) max_workers: u32,
    /// A shell's program.
    program: &'static str,
}

/// The clusters: of plain workers; of containers that several share; and of workers that have a child and take their time to
/// end, so that the host's end hits a kill as well.
pub(crate) const SUBJECTS: [Subject; 3] = [
    Subject { name: "plain", cap: 40, max_workers: 1, program: "exec sleep 100000" },
    Subject { name: "shared", cap: 36, max_workers: 3, program: "exec sleep 100000" },
    Subject {
        name: "slow",
        cap: 8,
        max_workers: 1,
        program: "trap 'sleep 0.2; exit 0' TERM; sleep 100000 & wait",
    },
];

impl Subject {
    /// What it is asked to be at first.
    pub(crate) fn beginning(self) -> Wanted {
        Wanted { expected: self.cap / 2, max: self.cap, stopped: false }
    }

    /// Its part of a configuration.
    ///
    /// A worker of no launch that the journal knows would be a stray, which nobody takes for the cluster's own; and the list
    /// that finds it is asked for often. Workers are killed all the time, which is no crash loop.
    pub(crate) fn config(self, workers: u32, max: u32, batch: u32) -> String {
        let Self { name, max_workers, program, .. } = self;
        let variable = crate::census::CLUSTER;
        format!(
            r#"
[[cluster]]
name = "{name}"
provider = "local"
workers = {workers}
max = {max}
[cluster.container]
command = "/bin/sh"
args = ["-c", "{program}"]
max_workers = {max_workers}
[cluster.container.env]
{variable} = "{name}"
[cluster.timeouts]
kill_retry = "2s"
[cluster.scaling]
poll_interval = "100ms"
busy_poll_interval = "40ms"
list_interval = "500ms"
strays = "kill"
stray_grace = "1d"
launch_batch = {batch}
backoff = "20ms"
backoff_max = "200ms"
stable_after = "0s"
"#
        )
    }
}

/// A cluster's number, and what is asked of it.
pub(crate) type Ask = (usize, Request);

/// Which workers of a cluster are killed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Toll {
    All,
    /// Of those that live, the ones at these places; 1 is the end.
    Some(Vec<f64>),
}

/// One thing that happens while the host lives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    Ask(Ask),
    Kill(usize, Toll),
}

/// From when on the moment of the host's death is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// A request was sent.
    Asked,
    /// It was answered, so that it is being carried out.
    Answered,
}

/// How a host ends and begins again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Death {
    /// What was asked of it last.
    pub(crate) last: Ask,
    pub(crate) since: Since,
    pub(crate) after: Duration,
    /// Who dies while there is no host.
    pub(crate) meanwhile: Option<(usize, Toll)>,
    /// So long after its beginning, each next host dies as well.
    pub(crate) again: Vec<Duration>,
}

/// One round.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Round {
    pub(crate) acts: Vec<Act>,
    pub(crate) death: Option<Death>,
}

impl Round {
    /// Chooses one.
    pub(crate) fn choose(rng: &mut Rng) -> Self {
        let acts = (0..rng.usize(0..=3)).map(|_| act(rng)).collect();
        // Some rounds leave the host alone.
        let death = (rng.u8(0..10) > 0).then(|| death(rng));
        Self { acts, death }
    }
}

fn act(rng: &mut Rng) -> Act {
    if rng.u8(0..4) > 0 { Act::Ask(ask(rng)) } else { Act::Kill(rng.usize(..SUBJECTS.len()), toll(rng)) }
}

fn toll(rng: &mut Rng) -> Toll {
    if rng.u8(0..4) == 0 {
        return Toll::All;
    }
    Toll::Some((0..rng.usize(1..=5)).map(|_| rng.f64()).collect())
}

fn ask(rng: &mut Rng) -> Ask {
    let cluster = rng.usize(..SUBJECTS.len());
    let cap = SUBJECTS[cluster].cap;
    let request = match rng.u8(0..16) {
        0..=6 => Request::Scale(rng.u32(0..=cap)),
        7 => Request::Scale(0),
        // Some of it is more than the cluster may have at that time, or ever.
        8..=9 => Request::Scale(cap),
        10 => Request::Scale(cap + 1),
        11 => Request::Stop,
        12..=13 => Request::Start,
        14 => Request::Update,
        _ => {
            let max = rng.u32(1..=cap);
            Request::Apply { workers: rng.u32(0..=max), max, batch: [2, 5, 100][rng.usize(..3)] }
        }
    };
    (cluster, request)
}

/// Something that makes the cluster grow, more often than not: a launch takes longer than most of what a host does, and is
/// what nothing may be lost of.
fn last(rng: &mut Rng) -> Ask {
    if rng.u8(0..3) == 0 {
        return ask(rng);
    }
    let cluster = rng.usize(..SUBJECTS.len());
    let cap = SUBJECTS[cluster].cap;
    (cluster, Request::Scale(rng.u32(cap / 2..=cap)))
}

fn death(rng: &mut Rng) -> Death {
    let (since, at_most) = if rng.bool() { (Since::Asked, 300) } else { (Since::Answered, 40) };
    // What a host does, it does soon: early moments are more likely than late ones.
    let after = Duration::from_millis(at_most).mul_f64(rng.f64() * rng.f64());
    let recoveries = [0, 0, 0, 1, 1, 2][rng.usize(..6)];
    // Where many died meanwhile, the next host launches as it begins.
    let dead = if recoveries > 0 { 2 } else { 5 };
    Death {
        last: last(rng),
        since,
        after,
        meanwhile: (rng.u8(0..dead) == 0).then(|| (rng.usize(..SUBJECTS.len()), toll(rng))),
        again: (0..recoveries).map(|_| Duration::from_millis(rng.u64(0..=500))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_replays_its_choices() {
        let rounds = |seed| {
            let mut rng = Rng::with_seed(seed);
            (0..50).map(|_| Round::choose(&mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(rounds(7), rounds(7));
        assert_ne!(rounds(7), rounds(8));
    }
}
