//! A cluster as its records make it: launched in batches, and then at work.

use std::{sync::Arc, time::Duration};

use longshore_scaling::{
    Aim, Change, Command, Desired, HandleId, LaunchId, NewHandle, Policy, ProviderTraits, Record, State,
    Time, admit,
};

/// The name of a handle as long as that: a launch's token and a number, as the providers here make them.
pub fn name_of(token: &str, number: usize, bytes: usize) -> Arc<str> {
    let number = number.to_string();
    let fill = bytes.saturating_sub(token.len() + 1 + number.len());
    format!("{token}/{}{number}", "0".repeat(fill)).into()
}

/// A cluster in the making.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// What is known of it.
    pub state: State,
    /// The time that it has.
    pub now: Time,
    /// How long its handles' names are.
    pub name_bytes: usize,
    next_handle: u64,
}

impl Cluster {
    /// One that shall have so many workers, and the record that made it.
    ///
    /// # Panics
    ///
    /// There are too many.
    pub fn of(workers: u32, name_bytes: usize) -> (Self, Record) {
        let now = Time::from_millis(1_700_000_000_000);
        let create = Command::Create {
            uid: 0x0123_4567_89ab_cdef,
            policy: Policy::default(),
            traits: ProviderTraits::default(),
            expected: workers,
            desired: Desired::Running,
            server: None,
            per_container: 1,
        };
        let mut records = admit(&State::default(), now, &create).expect("a legal cluster");
        let record = records.pop().expect("a cluster begins with a record");
        let mut cluster = Self { state: State::default(), now, name_bytes, next_handle: 0 };
        cluster.state.apply(&record);
        (cluster, record)
    }

    /// The next two records: a launch of handles with so many workers each has begun, and has brought them all.
    pub fn launch(&mut self, workers: &[u32]) -> [Record; 2] {
        let launch = LaunchId(self.state.handle_count() as u64);
        let had = self.state.tally().live();
        let sum = workers.iter().sum();
        let aim = Aim { target: self.state.target(), had };
        let started = self.take(Change::LaunchStarted { launch, workers: sum, aim });
        let handles = self.new_handles(launch, workers);
        let settled = self.take(Change::LaunchSettled { launch, handles, trouble: None, retryable: true });
        [started, settled]
    }

    /// The handles of a launch with so many workers each, numbered as the next ones.
    pub fn new_handles(&mut self, launch: LaunchId, workers: &[u32]) -> Vec<NewHandle> {
        let token = self.state.token(launch);
        let new = workers.iter().enumerate().map(|(n, &workers)| NewHandle {
            id: HandleId(self.next_handle + n as u64),
            name: name_of(&token, n, self.name_bytes),
            workers,
            side: self.state.side(),
            launch: Some(launch),
        });
        let new: Vec<_> = new.collect();
        self.next_handle += new.len() as u64;
        new
    }

    /// The next record: all are seen at work.
    pub fn run(&mut self) -> Record {
        let running = self.ids();
        self.take(Change::PhaseSeen { initializing: Vec::new(), running })
    }

    /// The handle that was numbered last.
    pub fn newest(&self) -> HandleId {
        HandleId(self.next_handle.saturating_sub(1))
    }

    /// All handles.
    pub fn ids(&self) -> Vec<HandleId> {
        self.state.handles().map(|(id, _)| id).collect()
    }

    /// A millisecond later that happened.
    pub fn take(&mut self, change: Change) -> Record {
        self.now = self.now + Duration::from_millis(1);
        let record = change.at(self.now);
        self.state.apply(&record);
        record
    }
}
