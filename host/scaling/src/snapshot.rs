//! A state at one moment, as data: what stands for the records that led to it once those are dropped.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    backoff::Backoff,
    handles::{Handle, Handles},
    ids::{HandleId, LaunchId, Side},
    moving::Leaving,
    policy::{Desired, Policy, ProviderTraits},
    server::Server,
    serving::Serving,
    state::{Calls, Launch, State, Stray, Suspicion},
    time::Time,
    trouble::Trouble,
};

/// All of a state that outlives its host. In two parts, so that a million handles can be kept in pieces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Everything but the handles.
    pub head: SnapshotHead,
    /// The handles, oldest first.
    pub handles: Vec<KeptHandle>,
}

/// A snapshot without its handles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotHead {
    uid: u64,
    term: u64,
    generation: u64,
    policy: Policy,
    traits: ProviderTraits,
    desired: Desired,
    forgotten: bool,
    resting: bool,
    reconnect: Option<u32>,
    expected: u32,
    handle_count: usize,
    next_handle: HandleId,
    launches: Vec<(LaunchId, Launch)>,
    next_launch: u64,
    launch_backoff: Backoff,
    launch_trouble: Option<Trouble>,
    crash_backoff: Backoff,
    kill_trouble: Option<(HandleId, Trouble)>,
    suspicion: Option<Suspicion>,
    last_gone: Time,
    strays: Vec<(Arc<str>, Stray)>,
    latest: Time,
    #[serde(default = "one")]
    per_container: u32,
    #[serde(default)]
    server: Option<Server>,
    #[serde(default)]
    has_stale: bool,
    #[serde(default)]
    side: Side,
    #[serde(default)]
    latest_side: Side,
    #[serde(default)]
    leaving: Option<Leaving>,
    #[serde(default)]
    serving: Option<Serving>,
}

fn one() -> u32 {
    1
}

/// A handle of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptHandle {
    /// Its number.
    pub id: HandleId,
    /// What is known of it.
    pub handle: Handle,
}

/// A snapshot that cannot be one of a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Handles are missing, or there are too many.
    #[error("it says that it has {expected} handles, and has {found}")]
    Count {
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// The handles are not in their order, or one is there twice.
    #[error("its handle `{name}` is out of order, or there twice")]
    Order {
        /// The handle.
        name: Arc<str>,
    },
}

impl State {
    /// All of it that outlives the host.
    pub fn snapshot(&self) -> Snapshot {
        let handles = self.handles().map(|(id, handle)| KeptHandle { id, handle: handle.clone() }).collect();
        let head = SnapshotHead {
            uid: self.uid,
            term: self.term,
            generation: self.generation,
            policy: self.policy.clone(),
            traits: self.traits,
            desired: self.desired,
            forgotten: self.forgotten,
            resting: self.resting,
            reconnect: self.reconnect,
            expected: self.expected,
            handle_count: self.handles.len(),
            next_handle: self.handles.next_id(),
            launches: self.launches.iter().map(|(id, launch)| (*id, launch.clone())).collect(),
            next_launch: self.next_launch,
            launch_backoff: self.launch_backoff,
            launch_trouble: self.launch_trouble.clone(),
            crash_backoff: self.crash_backoff,
            kill_trouble: self.kill_trouble.clone(),
            suspicion: self.suspicion.clone(),
            last_gone: self.last_gone,
            strays: self.strays.iter().map(|((_, name), it)| (Arc::clone(name), it.clone())).collect(),
            latest: self.latest,
            per_container: self.per_container,
            server: self.server.clone(),
            has_stale: self.has_stale,
            side: self.side,
            latest_side: self.latest_side,
            leaving: self.leaving.clone(),
            serving: self.serving.clone(),
        };
        Snapshot { head, handles }
    }

    /// The state that a snapshot was taken of.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] where it contradicts itself.
    pub fn restore(snapshot: Snapshot) -> Result<Self, SnapshotError> {
        let Snapshot { head, handles: kept } = snapshot;
        if kept.len() != head.handle_count {
            return Err(SnapshotError::Count { expected: head.handle_count, found: kept.len() });
        }
        let mut handles = Handles::default();
        handles.reserve(kept.len());
        for KeptHandle { id, handle } in kept {
            let name = Arc::clone(&handle.name);
            let in_order = id >= handles.next_id() && id < head.next_handle;
            if !in_order || !handles.insert(id, handle) {
                return Err(SnapshotError::Order { name });
            }
        }
        handles.go_on_at(head.next_handle);
        Ok(Self {
            uid: head.uid,
            term: head.term,
            generation: head.generation,
            policy: head.policy,
            traits: head.traits,
            desired: head.desired,
            forgotten: head.forgotten,
            resting: head.resting,
            reconnect: head.reconnect,
            expected: head.expected,
            handles,
            launches: head.launches.into_iter().collect(),
            next_launch: head.next_launch,
            launch_backoff: head.launch_backoff,
            launch_trouble: head.launch_trouble,
            crash_backoff: head.crash_backoff,
            kill_trouble: head.kill_trouble,
            suspicion: head.suspicion,
            last_gone: head.last_gone,
            strays: head.strays.into_iter().map(|(name, it)| ((it.side, name), it)).collect(),
            latest: head.latest,
            per_container: head.per_container,
            server: head.server,
            has_stale: head.has_stale,
            side: head.side,
            latest_side: head.latest_side,
            leaving: head.leaving,
            serving: head.serving,
            calls: Calls::default(),
        })
    }

    /// The state without what a restart of the host forgets, the calls under way: a journal's records add up to this.
    #[must_use]
    pub fn durable(&self) -> Self {
        Self { calls: Calls::default(), ..self.clone() }
    }
}
