//! A queue of jobs in Redis, as a consumer of any language would have it: a job is taken into a list of the worker's own, and
//! leaves it together with the arrival of its result. What a dead worker held is put back. A job is a range of numbers; its
//! result can be checked.

use std::{collections::BTreeSet, ops::RangeInclusive, time::Duration};

use longshore_support::until;
use redis::{Client, Connection, FromRedisValue};

/// How long Redis may take for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// The numbers of a job, for which a machine that does nothing else needs some hundredths of a second.
const NUMBERS: u64 = 50_000;
/// Those of a long one, which takes it seconds.
const MANY_NUMBERS: u64 = 5_000_000;

/// A worker: it does jobs until it is told to end, and finishes the one at hand. One that loses its server goes on when it is there
/// again. `$${` is the shell's; the rest is filled in by the host.
pub(crate) const WORKER: &str = r#"
redis() { redis-cli -e -h ${server.host} -p ${server.port} --raw "$@"; }
work() {
    over=
    trap 'over=1' TERM
    held=held:$LONGSHORE_HANDLE:$1
    while [ -z "$over" ]; do
        job=$(redis LINDEX "$held" 0) || { sleep 0.2; continue; }
        [ -n "$job" ] || job=$(redis BLMOVE jobs "$held" RIGHT LEFT 1) || { sleep 0.2; continue; }
        [ -n "$job" ] || continue
        sum=$(echo "$job" | awk '{ for (i = $1; i <= $2; i++) sum += (i * i) % 9973; printf "%.0f", sum }')
        printf 'MULTI\nHSET results "%s" %s\nLREM %s 1 "%s"\nEXEC\n' "$job" "$sum" "$held" "$job" | redis >/dev/null
    done
}
workers=
for worker in $(seq ${worker.count}); do
    work "$worker" &
    workers="$workers $!"
done
trap 'kill -TERM $workers' TERM
# The first wait is cut short by the signal.
wait
wait
"#;

/// The queue, as those see it who give the jobs.
pub(crate) struct Queue {
    connection: Connection,
    given: u64,
}

impl Queue {
    /// The queue at an address, `host:port`. Nobody gets in without the password.
    pub(crate) fn at(address: &str, password: &str) -> Self {
        Self { connection: connect(address, password), given: 0 }
    }

    /// The same queue, at another address.
    pub(crate) fn moved(&mut self, address: &str, password: &str) {
        self.connection = connect(address, password);
    }

    fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> T {
        let command = words.split_first().map(|(name, rest)| redis::cmd(name).arg(rest).to_owned());
        let answer = command.expect("a command has a name").query(&mut self.connection);
        answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Gives so many jobs.
    pub(crate) fn give(&mut self, jobs: u64) {
        for _ in 0..jobs {
            self.push("LPUSH", NUMBERS);
        }
    }

    /// Gives a job that takes as long as many others, and that is taken next.
    pub(crate) fn give_a_long_one(&mut self) -> String {
        self.push("RPUSH", MANY_NUMBERS)
    }

    fn push(&mut self, end: &str, numbers: u64) -> String {
        let first = self.given + 1;
        self.given += numbers;
        let job = format!("{first} {}", self.given);
        let _: u64 = self.ask(&[end, "jobs", &job]);
        job
    }

    /// How many jobs have a result.
    pub(crate) fn done(&mut self) -> usize {
        self.ask(&["HLEN", "results"])
    }

    /// How many jobs nobody has taken.
    pub(crate) fn waiting(&mut self) -> usize {
        self.ask(&["LLEN", "jobs"])
    }

    /// Waits until so many more jobs are done. They are given now: what was there before may all be done by now, where a machine is
    /// slow with its containers and not with its jobs.
    #[track_caller]
    pub(crate) fn until_more_are_done(&mut self, more: usize) {
        let wanted = self.done() + more;
        self.give(more as u64);
        until(&format!("{wanted} jobs are done"), || self.done() >= wanted);
    }

    /// What is held, as pairs of the container that holds it and the list.
    fn held(&mut self) -> Vec<(String, String)> {
        let lists: Vec<String> = self.ask(&["KEYS", "held:*"]);
        let of = |list: String| Some((list.strip_prefix("held:")?.rsplit_once(':')?.0.to_owned(), list));
        lists.into_iter().filter_map(of).collect()
    }

    /// Whether no job is in anybody's hands.
    pub(crate) fn nothing_is_held(&mut self) -> bool {
        self.held().is_empty()
    }

    /// The container that holds a job.
    pub(crate) fn holder(&mut self, job: &str) -> Option<String> {
        let mut held = self.held().into_iter();
        held.find(|(_, list)| {
            let jobs: Vec<String> = self.ask(&["LRANGE", list, "0", "-1"]);
            jobs.iter().any(|it| it == job)
        })
        .map(|(container, _)| container)
    }

    /// Puts back what is held by containers that are not among the live ones; says how many jobs.
    pub(crate) fn put_back(&mut self, live: &BTreeSet<String>) -> usize {
        let mut jobs = 0;
        for (container, list) in self.held() {
            if live.contains(&container) {
                continue;
            }
            while self.ask::<Option<String>>(&["LMOVE", &list, "jobs", "RIGHT", "LEFT"]).is_some() {
                jobs += 1;
            }
        }
        jobs
    }

    /// Fails unless each job that was ever given has its result, the right one, and nothing is held or waits any more.
    #[track_caller]
    pub(crate) fn is_right(&mut self, jobs: &[String]) {
        let results: std::collections::BTreeMap<String, u64> = self.ask(&["HGETALL", "results"]);
        assert_eq!((self.waiting(), self.held()), (0, vec![]));
        let all: BTreeSet<_> =
            results.keys().map(|job| range(job)).map(|job| (*job.start(), *job.end())).collect();
        // No number is left out.
        let mut next = 1;
        for (first, last) in &all {
            assert_eq!(*first, next, "in {all:?}");
            next = last + 1;
        }
        assert_eq!(next, self.given + 1);
        assert!(jobs.iter().all(|job| results.contains_key(job)));
        for (job, sum) in results {
            assert_eq!(range(&job).map(|i| (i * i) % 9973).sum::<u64>(), sum, "{job}");
        }
    }
}

fn range(job: &str) -> RangeInclusive<u64> {
    let (first, last) = job.split_once(' ').expect("a job has two numbers");
    first.parse().expect("a number")..=last.parse().expect("a number")
}

fn connect(address: &str, password: &str) -> Connection {
    let open = |url: String| {
        let client = Client::open(url).expect("an address");
        let connection = client.get_connection_with_timeout(ANSWER_LIMIT)?;
        connection.set_read_timeout(Some(ANSWER_LIMIT))?;
        connection.set_write_timeout(Some(ANSWER_LIMIT))?;
        Ok::<_, redis::RedisError>(connection)
    };
    let mut stranger = open(format!("redis://{address}/")).expect("it listens");
    let answer: redis::RedisResult<String> = redis::cmd("PING").query(&mut stranger);
    assert!(answer.is_err_and(|error| error.code() == Some("NOAUTH")), "strangers are not let in");
    open(format!("redis://:{password}@{address}/")).expect("the password is right")
}
