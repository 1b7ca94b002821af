//! Clusters and tokens of every shape that a host may give them.

use longshore_plugin_api::{Clause, LaunchToken, RunRequest, WorkerStatus};

use super::{
    evidence::listed,
    handles::{LONGEST_CLUSTER, LONGEST_TOKEN, stretched},
};
use crate::{
    bench::Bench,
    quirks::Costly,
    subject::{Handle, Subject},
    verdict::{Breach, Must as _, Stop, Verdict, breach, demand},
};

/// One launch of one worker.
struct Named {
    cluster: String,
    token: String,
}

/// Four launches that are up at the same time, so that no two may be taken for one another.
type Group = [Named; 4];

fn named(cluster: &str, token: &str) -> Named {
    Named { cluster: cluster.to_owned(), token: token.to_owned() }
}

/// The groups. Every name has the check's own in it, so that none is anybody else's.
fn groups(bench: &Bench) -> Verdict<Vec<Group>> {
    let fresh = || (bench.cluster(), bench.token().as_str().to_owned());
    let mut groups = Vec::new();
    // One name is the beginning of the next, or another cut of the same text.
    let (c, t) = fresh();
    groups.push([
        named(&c, &t),
        named(&format!("{c}-0"), &format!("{t}-0")),
        named(&format!("{c}-0-0"), &format!("{t}-0-0")),
        named(&c, &format!("{t}-1")),
    ]);
    // The longest, capitals, and the same in small letters.
    let (c, t) = fresh();
    groups.push([
        named(&stretched(&c, LONGEST_CLUSTER)?, &stretched(&t, LONGEST_TOKEN)?),
        named(&format!("{}-X", c.to_uppercase()), &format!("{}-A", t.to_uppercase())),
        named(&format!("{c}-x"), &format!("{t}-a")),
        named(&format!("{c}-X"), &format!("{t}-A")),
    ]);
    // Marks: in the midst, doubled, at the end, and of a token also at the beginning.
    let (c, t) = fresh();
    groups.push([
        named(&format!("{c}.a_b-c"), &format!("-{t}")),
        named(&format!("{c}..a"), &format!("--{t}--")),
        named(&format!("{c}."), &format!("{t}-")),
        named(&format!("{c}_"), &format!("{t}--")),
    ]);
    // What a careless provider replaces by one and the same mark.
    let (c, t) = fresh();
    groups.push([
        named(&format!("{c}.x"), &format!("{t}-2")),
        named(&format!("{c}_x"), &format!("{t}-3")),
        named(&format!("{c}-x"), &format!("{t}-4")),
        named(&format!("{c}--x"), &format!("{t}-5")),
    ]);
    Ok(groups)
}

pub(crate) fn run_odd_names(bench: &Bench) -> Verdict {
    let subject = bench.provider()?;
    let mut groups = groups(bench)?;
    if bench.cheap(Costly::Launches).is_err() {
        groups.truncate(2);
    }
    groups.iter().try_for_each(|group| try_group(bench, &subject, group))
}

fn try_group(bench: &Bench, subject: &Subject<'_>, group: &Group) -> Verdict {
    let mut up: Vec<(&Named, Handle)> = Vec::new();
    for named in group {
        let Named { cluster, token } = named;
        let request = RunRequest { token: LaunchToken::new(token), ..bench.request(1) };
        let launched = subject.whole(cluster, &request).map_err(|stop| under(stop, named))?;
        let Some((handle, _)) = launched.into_iter().next() else { continue };
        if let Some((other, _)) = up.iter().find(|(_, known)| *known == handle) {
            let seen = format!(
                "{handle} is the one of the token {} in the cluster {}, and of the token {token} in the cluster {cluster}",
                other.token, other.cluster
            );
            return breach(Clause::RunFresh, Clause::RunFresh.text(), seen);
        }
        up.push((named, handle));
    }
    for (named, handle) in &up {
        subject.wait_running(&named.cluster, &[Handle::clone(handle)], Clause::RunCount)?;
        hold_to_list(subject, named, &up)?;
    }
    // One after the other is killed: the ones that are left live.
    while let Some((named, handle)) = up.pop() {
        subject.down(&named.cluster, &[handle])?;
        for (other, alive) in &up {
            let expected = format!(
                "the worker of the token {} in the cluster {} is not touched by what happens under other names",
                other.token, other.cluster
            );
            let statuses =
                subject.status(&other.cluster, &[Handle::clone(alive)]).must(Clause::RunCount, &expected)?;
            demand(statuses.first() != Some(&WorkerStatus::Stopped), Clause::RunCount, &expected, || {
                format!(
                    "{alive} stopped with the worker of the token {} in the cluster {}",
                    named.token, named.cluster
                )
            })?;
        }
    }
    Ok(())
}

/// Says under which names it was.
fn under(stop: Stop, Named { cluster, token }: &Named) -> Stop {
    match stop {
        Stop::Breach(found) => {
            let seen = format!("in the cluster {cluster}, under the token {token}: {}", found.seen);
            Stop::Breach(Breach { seen, ..found })
        }
        other => other,
    }
}

/// The list, where there is one, has the handles of its cluster, under their tokens.
fn hold_to_list(subject: &Subject<'_>, Named { cluster, .. }: &Named, up: &[(&Named, Handle)]) -> Verdict {
    let Some(listed) = listed(subject, cluster)? else { return Ok(()) };
    let mut found: Vec<(&str, &str)> =
        listed.iter().map(|entry| (entry.handle.as_str(), entry.token.as_str())).collect();
    let here = up.iter().filter(|(named, _)| named.cluster == *cluster);
    let mut wanted: Vec<(&str, &str)> =
        here.map(|(named, handle)| (&**handle, named.token.as_str())).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    let expected =
        format!("the list of the cluster {cluster} has its handles, under the tokens of their launches");
    demand(found == wanted, Clause::RunCount, expected, || {
        format!("it has {found:?}, and was to have {wanted:?}")
    })
}
