//! All workers of one or several instances, by launch. A handle is `TOKEN.INDEX`: the launch's token and the number of the
//! container in it, so that it is unique for as long as tokens are, and found without a table of handles.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use longshore_plugin_api::{Error, Killed, Launch, LaunchToken, ListedHandle, RunRequest, WorkerStatus};

use crate::worker::{Rules, Worker};

/// The most stores with a name in one process.
const MAX_STORES: usize = 4096;
/// The most finished launches whose tokens a store remembers; the oldest are forgotten first.
pub(crate) const MAX_FINISHED: usize = 65_536;
/// The longest token, in bytes: a handle has 256 at most.
const MAX_TOKEN: usize = 200;

/// A handle's parts. `1` names a container; `01` and `+1` do not.
fn parse(handle: &str) -> Option<(&str, usize)> {
    let (token, index) = handle.rsplit_once('.')?;
    let plain = index == "0" || index.starts_with(|first| matches!(first, '1'..='9'));
    Some((token, index.parse::<u32>().ok().filter(|_| plain)? as usize))
}

/// A store that instances may share.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedStore(Arc<Mutex<Store>>);

impl SharedStore {
    /// The store of this name in this process.
    pub(crate) fn named(name: &str) -> Result<Self, Error> {
        static STORES: LazyLock<Mutex<HashMap<String, SharedStore>>> = LazyLock::new(Mutex::default);
        let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
        if stores.len() >= MAX_STORES && !stores.contains_key(name) {
            return Err(Error::config("store", format_args!("a process has {MAX_STORES} stores at most")));
        }
        Ok(stores.entry(name.to_owned()).or_default().clone())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one `run` made.
#[derive(Debug)]
struct Made {
    token: Arc<str>,
    cluster: String,
    rules: Rules,
    /// How many workers were asked for, how many there are, and how many in each container but the last.
    asked: u32,
    workers: u32,
    each: u32,
    /// The place among the launches of the cluster.
    order: u64,
    /// By the index in the handle. Empty once all are stopped.
    containers: Vec<Worker>,
    alive: usize,
}

impl Made {
    /// How many workers a container has; 0 where there is no such container.
    fn workers_in(&self, index: usize) -> u32 {
        let before = index as u64 * u64::from(self.each);
        u64::from(self.each).min(u64::from(self.workers).saturating_sub(before)) as u32
    }

    /// The answer to the `run` that made it, now or when it is asked again.
    fn reply(&self) -> Launch {
        let mut handles = Vec::with_capacity(self.workers as usize);
        for index in 0..self.workers.div_ceil(self.each) as usize {
            let handle = format!("{}.{index}", self.token);
            handles.resize(handles.len() + self.workers_in(index) as usize, handle);
        }
        match self.asked - self.workers {
            0 => Launch::complete(handles),
            short => Launch::partial(handles, format!("the store has no room for {short} more"), true),
        }
    }
}

/// A cluster's server.
#[derive(Debug)]
struct Server {
    worker: Worker,
    rules: Rules,
    /// As the request that started it had it.
    port: Option<u16>,
}

#[derive(Debug, Default)]
struct Cluster {
    /// The launches with live workers, oldest first.
    launches: BTreeMap<u64, Arc<str>>,
    server: Option<Server>,
}

#[derive(Debug, Default)]
pub(crate) struct Store {
    launches: HashMap<Arc<str>, Made>,
    clusters: HashMap<String, Cluster>,
    /// The tokens of launches without live workers, oldest first.
    finished: VecDeque<Arc<str>>,
    /// Workers, not containers.
    alive: u64,
    next_order: u64,
}

impl Store {
    /// Makes the workers of a launch, or tells again what it made.
    pub(crate) fn launch(
        &mut self,
        cluster: &str,
        request: &RunRequest,
        (rules, capacity): (Rules, u64),
        now: Instant,
    ) -> Result<Launch, Error> {
        let token = request.token.as_str();
        if token.is_empty() || token.len() > MAX_TOKEN || token.contains(char::is_control) {
            let text = format!("a token is 1 to {MAX_TOKEN} bytes without control characters");
            return Err(Error::permanent(text));
        }
        if let Some(made) = self.launches.get(token) {
            if (made.cluster.as_str(), made.asked) == (cluster, request.workers) {
                return Ok(made.reply());
            }
            let (asked, whose) = (made.asked, &made.cluster);
            let text = format!("the token {token} has launched {asked} workers for {whose} already");
            return Err(Error::permanent(text));
        }
        if self.alive + u64::from(request.workers) > capacity {
            self.settle(now);
        }
        let room = u32::try_from(capacity.saturating_sub(self.alive)).unwrap_or(u32::MAX);
        let (each, workers) = (request.container.max_workers(), request.workers.min(room));
        let containers = vec![Worker::new(now); workers.div_ceil(each) as usize];
        let made = Made {
            token: token.into(),
            cluster: cluster.to_owned(),
            rules,
            asked: request.workers,
            workers,
            each,
            order: self.next_order,
            alive: containers.len(),
            containers,
        };
        let reply = made.reply();
        if workers > 0 {
            let launches = &mut self.clusters.entry(cluster.to_owned()).or_default().launches;
            launches.insert(made.order, Arc::clone(&made.token));
            self.launches.insert(Arc::clone(&made.token), made);
            self.next_order += 1;
            self.alive += u64::from(workers);
        }
        Ok(reply)
    }

    /// The status of each handle, looked at with `look`.
    pub(crate) fn status(
        &mut self,
        handles: &[&str],
        look: impl FnMut(&mut Worker, &Rules) -> WorkerStatus,
    ) -> Vec<WorkerStatus> {
        self.each(handles, || WorkerStatus::Stopped, look)
    }

    pub(crate) fn kill(&mut self, handles: &[&str], now: Instant) -> Vec<Killed> {
        let kill = |worker: &mut Worker, rules: &Rules| {
            let killed = worker.kill(rules, now);
            worker.peek(rules, now);
            killed
        };
        self.each(handles, || Killed::Yes, kill)
    }

    /// The live handles of a cluster, oldest first.
    pub(crate) fn list(&mut self, cluster: &str, now: Instant) -> Vec<ListedHandle> {
        let mut listed = Vec::new();
        for token in self.live_launches(cluster) {
            self.sweep(&token, now, |index, workers| {
                let (handle, token) = (format!("{token}.{index}"), LaunchToken::new(&*token));
                listed.push(ListedHandle { handle, token, workers });
            });
        }
        listed
    }

    /// Forgets what a cluster's stopped workers left; `deep` also forgets the cluster itself where nothing of it lives.
    /// Tokens are not forgotten, since one never launches twice.
    pub(crate) fn cleanup(&mut self, cluster: &str, deep: bool, now: Instant) {
        for token in self.live_launches(cluster) {
            self.sweep(&token, now, |_, _| ());
        }
        let server = self.server_status(cluster, |worker, rules| worker.peek(rules, now));
        let is_empty = self.clusters.get(cluster).is_some_and(|found| found.launches.is_empty());
        if deep && is_empty && server == WorkerStatus::Stopped {
            self.clusters.remove(cluster);
        }
    }

    /// Makes room for a cluster, unless it has some.
    pub(crate) fn initialize(&mut self, cluster: &str) {
        self.clusters.entry(cluster.to_owned()).or_default();
    }

    /// Starts the cluster's server, unless it is there.
    pub(crate) fn run_server(
        &mut self,
        cluster: &str,
        port: Option<u16>,
        rules: Rules,
        now: Instant,
    ) -> Result<(), Error> {
        self.server_status(cluster, |worker, rules| worker.peek(rules, now));
        let server = &mut self.clusters.entry(cluster.to_owned()).or_default().server;
        match server {
            Some(server) if server.worker.is_dying() => Err(Error::retryable("the server is still stopping")),
            Some(_) => Ok(()),
            None => {
                *server = Some(Server { worker: Worker::new(now), rules: rules.for_a_server(), port });
                Ok(())
            }
        }
    }

    /// Stops the cluster's server, where there is one.
    pub(crate) fn stop_server(&mut self, cluster: &str, now: Instant) {
        if let Some(server) = self.clusters.get_mut(cluster).and_then(|found| found.server.as_mut()) {
            server.worker.kill(&server.rules, now);
        }
    }

    /// The port of the cluster's server, where there is one and its request had one.
    pub(crate) fn server_port(&self, cluster: &str) -> Option<u16> {
        self.clusters.get(cluster)?.server.as_ref()?.port
    }

    /// How the cluster's server is, looked at with `look`. One that has stopped is forgotten.
    pub(crate) fn server_status(
        &mut self,
        cluster: &str,
        look: impl FnOnce(&mut Worker, &Rules) -> WorkerStatus,
    ) -> WorkerStatus {
        let Some(found) = self.clusters.get_mut(cluster) else { return WorkerStatus::Stopped };
        let status = found
            .server
            .as_mut()
            .map_or(WorkerStatus::Stopped, |server| look(&mut server.worker, &server.rules));
        if status == WorkerStatus::Stopped {
            found.server = None;
        }
        status
    }

    /// Works on the container behind each handle; `missing` answers where there is none, or none any more. Neighbours of
    /// one launch, which is what a host asks for, cost one look-up together.
    fn each<T>(
        &mut self,
        handles: &[&str],
        missing: impl Fn() -> T,
        mut work: impl FnMut(&mut Worker, &Rules) -> T,
    ) -> Vec<T> {
        let mut answers = Vec::with_capacity(handles.len());
        while let Some(handle) = handles.get(answers.len()) {
            let Some((token, _)) = parse(handle) else {
                answers.push(missing());
                continue;
            };
            let mut made = self.launches.get_mut(token);
            let (mut containers, mut workers) = (0, 0);
            while let Some((same, index)) = handles.get(answers.len()).and_then(|handle| parse(handle))
                && same == token
            {
                let live = made.as_mut().and_then(|made| {
                    let of_this = made.workers_in(index);
                    let worker = made.containers.get_mut(index).filter(|worker| !worker.is_stopped())?;
                    Some((worker, &made.rules, of_this))
                });
                let Some((worker, rules, of_this)) = live else {
                    answers.push(missing());
                    continue;
                };
                answers.push(work(worker, rules));
                if worker.is_stopped() {
                    containers += 1;
                    workers += u64::from(of_this);
                }
            }
            self.count_stopped(token, containers, workers);
        }
        answers
    }

    /// Lets every container of a launch move on, and tells of those that live.
    fn sweep(&mut self, token: &str, now: Instant, mut live: impl FnMut(usize, u32)) {
        let Some(made) = self.launches.get_mut(token) else { return };
        let (mut containers, mut workers) = (0, 0);
        for index in 0..made.containers.len() {
            let of_this = made.workers_in(index);
            let worker = &mut made.containers[index];
            if worker.is_stopped() {
                continue;
            }
            if worker.peek(&made.rules, now) == WorkerStatus::Stopped {
                containers += 1;
                workers += u64::from(of_this);
            } else {
                live(index, of_this);
            }
        }
        self.count_stopped(token, containers, workers);
    }

    /// Takes containers that have stopped off the books. Of a launch that has no other, its token is kept for a while.
    fn count_stopped(&mut self, token: &str, containers: usize, workers: u64) {
        let Some(made) = self.launches.get_mut(token).filter(|_| containers > 0) else { return };
        self.alive -= workers;
        made.alive -= containers;
        if made.alive > 0 {
            return;
        }
        made.containers = Vec::new();
        if let Some(cluster) = self.clusters.get_mut(&made.cluster) {
            cluster.launches.remove(&made.order);
        }
        self.finished.push_back(Arc::clone(&made.token));
        if self.finished.len() > MAX_FINISHED
            && let Some(oldest) = self.finished.pop_front()
        {
            self.launches.remove(&oldest);
        }
    }

    /// How many launches it remembers.
    #[cfg(test)]
    pub(crate) fn launches(&self) -> usize {
        self.launches.len()
    }

    fn live_launches(&self, cluster: &str) -> Vec<Arc<str>> {
        self.clusters.get(cluster).map(|found| found.launches.values().cloned().collect()).unwrap_or_default()
    }

    /// Lets every worker move on.
    fn settle(&mut self, now: Instant) {
        let live: Vec<Arc<str>> =
            self.clusters.values().flat_map(|cluster| cluster.launches.values().cloned()).collect();
        for token in live {
            self.sweep(&token, now, |_, _| ());
        }
    }
}
