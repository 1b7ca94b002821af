//! What has to be done while nobody calls: take notice of workers that ended, end what they left behind, keep logs within
//! their limit, clear away launches and servers that have long stopped. One thread an instance, which ends with it; of several hosts on
//! one state folder, one at a time does more than look after its own children.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use longshore_plugin_api::{Error, Log};

use crate::{
    cleanup::{Shared, Survey, clear_if_over},
    folder::{Folder, Intent, Target},
    group::{KnownTags, Snapshot},
    kill::Progress,
    logs,
    names::{Kind, Spot, Unit},
};

/// The least time between the beginnings of two rounds.
const PERIOD: Duration = Duration::from_secs(1);
/// A round is followed by a pause of at least so many times its length, so that many workers cost little.
const REST: u32 = 20;
/// How many looks one round takes at what is about to be gone. As in a kill, two in a row that find nobody settle it; what
/// was made while the others were killed is found by the next.
const LOOKS: u32 = 10;
/// How long to wait between two of them.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
/// How many stopped servers of a cluster keep their logs, at the most: enough to see why one died.
const STOPPED_SERVERS: usize = 3;
/// How long the token of a launch stays known after the launch was cleared away: far longer than a host can be in doubt
/// of a launch.
pub(crate) const REMEMBER: Duration = Duration::from_hours(30 * 24);
/// How often tokens are looked through for those that may be forgotten.
const FORGET_PERIOD: Duration = Duration::from_hours(1);

#[derive(Debug, Default)]
struct Stop {
    wanted: Mutex<bool>,
    changed: Condvar,
}

impl Stop {
    fn is_wanted(&self) -> bool {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a time. Gives whether to stop.
    fn wait(&self, time: Duration) -> bool {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(wanted, time, |wanted| !*wanted);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// The thread of an instance. Dropping this ends it; the workers live on.
#[derive(Debug)]
pub(crate) struct Upkeep {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    pub(crate) fn start(shared: Arc<Shared>, log: Log) -> Result<Self, Error> {
        let stop = Arc::new(Stop::default());
        let seen = Arc::clone(&stop);
        let work = move || log.scope(|| Rounds::new(&shared, &seen).go_on());
        let thread = thread::Builder::new()
            .name("process-upkeep".to_owned())
            .spawn(work)
            .map_err(|error| Error::retryable(format_args!("cannot start the upkeep's thread: {error}")))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        *self.stop.wanted.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the upkeep of the process provider panicked");
        }
    }
}

/// A unit's name that outlives the look at it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    cluster: String,
    kind: Kind,
    token: String,
}

impl Key {
    fn unit(&self) -> Unit<'_> {
        Unit { cluster: &self.cluster, kind: self.kind, token: &self.token }
    }
}

/// A container that needs attention.
struct Case {
    key: Key,
    index: u32,
    target: Target,
}

impl Case {
    fn spot(&self) -> Spot<'_> {
        self.key.unit().container(self.index)
    }
}

/// The rounds of one thread, and what it remembers from one to the next.
struct Rounds<'a> {
    shared: &'a Shared,
    stop: &'a Stop,
    /// Units that are over, and when the last container of each ended: at most `keep_stopped` a cluster and kind, as the
    /// others are cleared away.
    over: HashMap<Key, SystemTime>,
    /// What was warned of already, so that it is said once.
    warned: HashSet<String>,
    /// Since when the ends of servers are told.
    since: SystemTime,
    /// What was doubtful in the last round.
    doubts: HashSet<String>,
    forgot: Instant,
}

impl<'a> Rounds<'a> {
    fn new(shared: &'a Shared, stop: &'a Stop) -> Self {
        Self {
            shared,
            stop,
            over: HashMap::new(),
            warned: HashSet::new(),
            since: SystemTime::now(),
            doubts: HashSet::new(),
            forgot: Instant::now(),
        }
    }

    fn go_on(mut self) {
        loop {
            let began = Instant::now();
            if let Err(error) = self.round() {
                self.warn(error.to_string());
            }
            let took = began.elapsed();
            if self.stop.wait(PERIOD.saturating_sub(took).max(took * REST)) {
                return;
            }
        }
    }

    fn warn(&mut self, what: String) {
        if !self.warned.contains(&what) {
            tracing::warn!("{what}");
            // A bound, should something be different every time.
            if self.warned.len() >= 1_000 {
                self.warned.clear();
            }
            self.warned.insert(what);
        }
    }

    fn round(&mut self) -> Result<(), Error> {
        let store = &self.shared.store;
        let lock = store.upkeep_lock().map_err(|error| {
            Error::retryable(format_args!("cannot lock the upkeep of the state folder: {error}"))
        })?;
        let mut cases = Vec::new();
        let mut present = HashSet::new();
        for cluster in store.clusters()? {
            for kind in Kind::ALL {
                for token in store.tokens(&cluster, kind)? {
                    if self.stop.is_wanted() {
                        return Ok(());
                    }
                    let key = Key { cluster: cluster.clone(), kind, token };
                    if !self.over.contains_key(&key)
                        && let Err(error) = self.look_at(&key, lock.is_some(), &mut cases)
                    {
                        self.warn(error.to_string());
                    }
                    present.insert(key);
                }
            }
        }
        self.over.retain(|key, _| present.contains(key));
        // Without the lock, looking was all: it took notice of children that ended.
        if lock.is_some() {
            self.end(cases)?;
            self.clear_away();
        }
        if self.forgot.elapsed() >= FORGET_PERIOD {
            self.forget();
        }
        Ok(())
    }

    fn look_at(&mut self, key: &Key, may_change: bool, cases: &mut Vec<Case>) -> Result<(), Error> {
        let Shared { store, settings, asked } = self.shared;
        let folder = store.find(key.unit())?;
        let intent = folder.as_ref().map_or(Ok(None), Folder::intent)?;
        let (Some(folder), Some(intent)) = (folder, intent) else {
            return if may_change { self.remove_unintended(key.unit()) } else { Ok(()) };
        };
        let survey = Survey::of(&folder, &intent, asked)?;
        if !may_change {
            return Ok(());
        }
        if settings.log_limit > 0 {
            trim(folder.path(), &intent, settings.log_limit)?;
        }
        if survey.is_over() {
            let ended =
                std::fs::metadata(Folder::slots(folder.path())).and_then(|metadata| metadata.modified());
            let ended = ended.unwrap_or_else(|_| SystemTime::now());
            if !survey.is_waiting {
                if key.kind == Kind::Server && ended >= self.since && !folder.is_stopping()? {
                    self.tell_end(key, folder.path());
                }
                self.over.insert(key.clone(), ended);
            } else if key.kind == Kind::Server || ended.elapsed().is_ok_and(|age| age >= REMEMBER) {
                // It was cut off, and nobody asked for the rest. Until then, somebody may; of a server, nobody can.
                clear_if_over(self.shared, key.unit())?;
            }
        }
        cases.extend(survey.cases.into_iter().map(|(index, target)| Case {
            key: key.clone(),
            index,
            target,
        }));
        Ok(())
    }

    /// A server that nobody stopped has ended: what it said is what whoever looks after it wants to know first.
    fn tell_end(&self, key: &Key, folder: &Path) {
        let unit = key.unit();
        if self.shared.settings.log_limit > 0 {
            let folder = folder.display();
            tracing::warn!(
                "{unit} has ended by itself; what it said is in {folder}/0.out and {folder}/0.err"
            );
        } else {
            tracing::warn!("{unit} has ended by itself; nothing of what it said was kept (log_limit is 0)");
        }
    }

    /// A host was killed before it had written down what to launch: nothing was.
    fn remove_unintended(&self, unit: Unit<'_>) -> Result<(), Error> {
        let store = &self.shared.store;
        match store.try_lock(unit)? {
            Some(locked) if locked.folder.intent()?.is_none() => store.remove(unit.cluster, &locked),
            _ => Ok(()),
        }
    }

    /// A container ends with its first process: what that left behind is asked to end, and killed after the grace.
    fn end(&mut self, cases: Vec<Case>) -> Result<(), Error> {
        let mut known = KnownTags::new();
        let mut open: Vec<(Case, bool)> = cases.into_iter().map(|case| (case, false)).collect();
        let mut doubts = HashSet::new();
        for look in 0..LOOKS {
            if open.is_empty() || look > 0 && self.stop.wait(LOOK_PAUSE) {
                break;
            }
            let targets: Vec<&Target> = open.iter().map(|(case, _)| &case.target).collect();
            let snapshot = Snapshot::take(&targets, &mut known)
                .map_err(|error| Error::unreachable(format_args!("cannot read /proc: {error}")))?;
            let killer = self.shared.killer();
            let mut again = Vec::new();
            for (case, found_nobody) in open {
                match killer.advance(&snapshot, &case.target) {
                    Progress::Nobody if found_nobody => {
                        killer.settle(case.spot(), &case.target);
                    }
                    Progress::Nobody => again.push((case, true)),
                    Progress::Somebody { since, .. } if since.elapsed() >= killer.grace => {
                        again.push((case, false));
                    }
                    // It has its grace, and another round comes.
                    Progress::Somebody { .. } => {}
                    Progress::Doubtful(why) => {
                        // A doubt may pass; one that lasts to the next round is worth a word.
                        let why = format!("{}: {why}", case.spot());
                        if self.doubts.contains(&why) {
                            self.warn(why.clone());
                        }
                        doubts.insert(why);
                    }
                }
            }
            open = again;
        }
        self.doubts = doubts;
        Ok(())
    }

    /// Clears away the units that ended first, as far as there are more than are to be kept.
    fn clear_away(&mut self) {
        let mut clusters: HashMap<(&str, Kind), Vec<(SystemTime, &Key)>> = HashMap::new();
        for (key, ended) in &self.over {
            clusters.entry((&key.cluster, key.kind)).or_default().push((*ended, key));
        }
        let mut surplus = Vec::new();
        for ((_, kind), mut units) in clusters {
            units.sort_unstable();
            let keep = match kind {
                Kind::Launch => self.shared.settings.keep_stopped,
                Kind::Server => self.shared.settings.keep_stopped.min(STOPPED_SERVERS),
            };
            let excess = units.len().saturating_sub(keep);
            surplus.extend(units.into_iter().take(excess).map(|(_, key)| key.clone()));
        }
        for key in surplus {
            self.over.remove(&key);
            if let Err(error) = clear_if_over(self.shared, key.unit()) {
                self.warn(error.to_string());
            }
        }
    }

    /// Forgets what is too old to be asked for again.
    fn forget(&mut self) {
        self.forgot = Instant::now();
        self.shared.asked.forget_older(self.shared.settings.grace + FORGET_PERIOD);
        let store = &self.shared.store;
        let forgotten = store
            .clusters()
            .and_then(|clusters| clusters.iter().try_for_each(|cluster| store.forget(cluster, REMEMBER)));
        if let Err(error) = forgotten {
            self.warn(error.to_string());
        }
    }
}

fn trim(folder: &Path, intent: &Intent, limit: u64) -> Result<(), Error> {
    for index in 0..intent.containers() {
        logs::trim(folder, index, limit).map_err(|error| {
            Error::other(format_args!(
                "cannot trim the logs of container {index} in {}: {error}",
                folder.display()
            ))
        })?;
    }
    Ok(())
}
