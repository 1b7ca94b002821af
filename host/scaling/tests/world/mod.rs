//! A cluster's state with a fake backend around it, and time that moves when a test says so.

#![expect(dead_code, reason = "each test file uses a part of it")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use longshore_scaling::{
    Action, Change, Command, Denied, Desired, HandleId, LaunchId, LaunchOutcome, Listing, Observation, Phase,
    PlanReport, Policy, ProviderTraits, Record, Seen, State, Time, Trouble, admit, observe, plan,
};

pub const UID: u64 = 0xfeed;

/// A container in the fake backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    pub workers: u32,
    pub token: String,
    pub status: Seen,
}

pub struct World {
    pub state: State,
    pub now: Time,
    pub records: Vec<Record>,
    pub backend: BTreeMap<Arc<str>, Container>,
    /// Workers in a container that the backend makes.
    pub share: u32,
    created: u64,
}

impl World {
    pub fn new(policy: Policy, traits: ProviderTraits, expected: u32) -> Self {
        let mut world = Self {
            state: State::default(),
            now: Time::from_millis(1_000_000),
            records: Vec::new(),
            backend: BTreeMap::new(),
            share: 1,
            created: 0,
        };
        let create = Command::Create { uid: UID, policy, traits, expected, desired: Desired::Running };
        world.command(create).expect("the cluster is legal");
        world
    }

    /// A cluster of the default policy whose provider can only run, tell statuses and kill.
    pub fn plain(expected: u32) -> Self {
        Self::new(Policy::default(), ProviderTraits::default(), expected)
    }

    /// The same, whose provider lists its workers.
    pub fn listing(expected: u32) -> Self {
        Self::new(Policy::default(), ProviderTraits { list: true, ..ProviderTraits::default() }, expected)
    }

    pub fn take(&mut self, records: Vec<Record>) {
        for record in records {
            self.state.apply(&record);
            self.records.push(record);
        }
    }

    pub fn command(&mut self, command: Command) -> Result<(), Denied> {
        let records = admit(&self.state, self.now, &command)?;
        self.take(records);
        Ok(())
    }

    pub fn see(&mut self, observation: Observation) {
        let records = observe(&self.state, self.now, &observation);
        self.take(records);
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Plans, records the intent, and hands out what is to be done. Planning once more must give nothing.
    pub fn turn(&mut self) -> Vec<Action> {
        let (plan_now, _) = plan(&self.state, self.now);
        let records = plan_now.records(self.now);
        self.take(records);
        let (again, report) = plan(&self.state, self.now);
        assert!(
            again.is_empty(),
            "planning twice: {:?}, then {:?} ({report})",
            plan_now.actions,
            again.actions
        );
        plan_now.actions
    }

    pub fn report(&self) -> PlanReport {
        plan(&self.state, self.now).1
    }

    pub fn why(&self) -> String {
        self.report().to_string()
    }

    /// Plans and lets the backend do all of it faithfully, once.
    pub fn step(&mut self) -> Vec<Action> {
        let actions = self.turn();
        for action in &actions {
            self.carry_out(action);
        }
        actions
    }

    /// Steps until nothing more is to be done now.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            if self.step().is_empty() {
                return;
            }
        }
        panic!("it does not come to rest: {}", self.why());
    }

    /// Lets time pass in small steps, settling at each.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.pass(Duration::from_millis(250));
            self.settle();
        }
    }

    pub fn carry_out(&mut self, action: &Action) {
        match action {
            Action::Initialize => self.see(Observation::Initialized(Ok(()))),
            Action::List => self.list(),
            Action::Launch { launch, workers, .. } => {
                let handles = self.create(*launch, *workers);
                self.answer_launch(*launch, handles);
            }
            Action::Kill { handles, .. } => {
                for id in handles {
                    self.stop(*id);
                }
                let answers = handles.iter().map(|id| (*id, Ok(()))).collect();
                self.see(Observation::Killed { answers });
            }
            Action::Status { live, terminating } => self.tell([live.clone(), terminating.clone()].concat()),
        }
    }

    /// Makes containers in the backend and tells nobody.
    pub fn create(&mut self, launch: LaunchId, workers: u32) -> Vec<(Arc<str>, u32)> {
        let token = self.state.token(launch);
        if self.backend.values().any(|container| container.token == token) {
            let same = self.backend.iter().filter(|(_, container)| container.token == token);
            return same.map(|(name, container)| (Arc::clone(name), container.workers)).collect();
        }
        let mut left = workers;
        let mut handles = Vec::new();
        while left > 0 {
            let workers = left.min(self.share);
            left -= workers;
            let name: Arc<str> = format!("c{}", self.created).into();
            self.created += 1;
            let container = Container { workers, token: token.clone(), status: Seen::Running };
            self.backend.insert(Arc::clone(&name), container);
            handles.push((name, workers));
        }
        handles
    }

    pub fn answer_launch(&mut self, launch: LaunchId, handles: Vec<(Arc<str>, u32)>) {
        let outcome = LaunchOutcome::Succeeded { handles, shortfall: None, retryable: true };
        self.see(Observation::Launch { launch, outcome });
    }

    pub fn fail_launch(&mut self, launch: LaunchId, text: &str, retryable: bool) {
        let outcome = LaunchOutcome::Failed { trouble: Trouble::new(text), retryable };
        self.see(Observation::Launch { launch, outcome });
    }

    pub fn lose_launch(&mut self, launch: LaunchId, returned: bool) {
        let trouble = Trouble::new("the reply was lost");
        let outcome = LaunchOutcome::Unknown { trouble, claimed: Vec::new(), returned };
        self.see(Observation::Launch { launch, outcome });
    }

    pub fn list(&mut self) {
        let live = self.backend.iter().filter(|(_, container)| container.status != Seen::Stopped);
        let entries = live.map(|(name, container)| Listing {
            name: Arc::clone(name),
            workers: container.workers,
            token: container.token.clone(),
        });
        self.see(Observation::Listed(Ok(entries.collect())));
    }

    pub fn status(&self, id: HandleId) -> Seen {
        let name = &self.state.handle(id).expect("the state asked for it").name;
        self.backend.get(name).map_or(Seen::Stopped, |container| container.status)
    }

    pub fn tell(&mut self, ids: Vec<HandleId>) {
        let seen = ids.into_iter().map(|id| (id, self.status(id))).collect();
        self.see(Observation::Statuses { asked_at: self.now, seen });
        self.see(Observation::StatusEnded { trouble: None });
    }

    pub fn stop(&mut self, id: HandleId) {
        let name = Arc::clone(&self.state.handle(id).expect("the state asked for it").name);
        self.set(&name, Seen::Stopped);
    }

    pub fn set(&mut self, name: &str, status: Seen) {
        self.backend.get_mut(name).expect("the container is there").status = status;
    }

    pub fn names(&self) -> Vec<String> {
        self.state.handles().map(|(_, handle)| handle.name.to_string()).collect()
    }

    /// Workers that really run in the backend.
    pub fn alive(&self) -> u32 {
        self.backend.values().filter(|c| c.status != Seen::Stopped).map(|c| c.workers).sum()
    }

    pub fn terminating(&self) -> usize {
        self.state.handles().filter(|(_, handle)| matches!(handle.phase, Phase::Terminating { .. })).count()
    }

    pub fn count(&self, of: impl Fn(&Change) -> bool) -> usize {
        self.records.iter().filter(|record| of(&record.change)).count()
    }
}

/// The one launch among actions.
pub fn launch(actions: &[Action]) -> (LaunchId, u32) {
    let mut launches = actions.iter().filter_map(|action| match action {
        Action::Launch { launch, workers, .. } => Some((*launch, *workers)),
        _ => None,
    });
    let first = launches.next().unwrap_or_else(|| panic!("no launch in {actions:?}"));
    assert_eq!(launches.next(), None, "more than one launch in {actions:?}");
    first
}

pub fn launches(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Launch { .. }))
}
