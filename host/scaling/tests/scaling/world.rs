//! A cluster's state with a fake backend around it, and time that moves when a test says so.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use longshore_scaling::{
    Action, Address, Change, Command, Denied, Desired, HandleId, LaunchId, LaunchOutcome, Listing,
    Observation, Phase, PlanReport, Policy, ProviderTraits, Record, Route, Seen, ServerPolicy, ServerSeen,
    Side, State, Time, Trouble, admit, observe, plan,
};

pub(crate) const UID: u64 = 0xfeed;

/// A container in the fake backend.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Container {
    pub(crate) workers: u32,
    pub(crate) token: String,
    pub(crate) status: Seen,
}

/// Containers by name.
pub(crate) type Backend = BTreeMap<Arc<str>, Container>;

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) now: Time,
    pub(crate) records: Vec<Record>,
    pub(crate) backend: Backend,
    /// Those of the providers that the cluster has moved to.
    pub(crate) elsewhere: BTreeMap<Side, Backend>,
    /// Workers in a container that the backend makes.
    pub(crate) share: u32,
    /// How a container is that the backend has just made.
    pub(crate) born: Seen,
    /// The server, where there is one, as a look would see it.
    pub(crate) server: ServerSeen,
    /// How a server is that was just started.
    pub(crate) born_server: ServerSeen,
    /// Containers that were ever made, on each side: their names are the same on both.
    created: BTreeMap<Side, u32>,
}

impl World {
    pub(crate) fn new(policy: Policy, traits: ProviderTraits, expected: u32) -> Self {
        Self::with_server(policy, traits, expected, None)
    }

    pub(crate) fn with_server(
        policy: Policy,
        traits: ProviderTraits,
        expected: u32,
        server: Option<ServerPolicy>,
    ) -> Self {
        let mut world = Self {
            state: State::default(),
            now: Time::from_millis(1_000_000),
            records: Vec::new(),
            backend: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
            share: 1,
            born: Seen::Running,
            server: ServerSeen::Stopped,
            born_server: up_at(1),
            created: BTreeMap::new(),
        };
        let desired = Desired::Running;
        let create =
            Command::Create { uid: UID, policy, traits, expected, desired, server, per_container: 1 };
        world.command(&create).expect("the cluster is legal");
        world
    }

    /// A cluster of the default policy whose provider can only run, tell statuses and kill.
    pub(crate) fn plain(expected: u32) -> Self {
        Self::new(Policy::default(), ProviderTraits::default(), expected)
    }

    /// The same, whose provider lists its workers.
    pub(crate) fn listing(expected: u32) -> Self {
        Self::new(Policy::default(), ProviderTraits { list: true, ..ProviderTraits::default() }, expected)
    }

    pub(crate) fn take(&mut self, records: Vec<Record>) {
        for record in records {
            self.state.apply(&record);
            self.records.push(record);
        }
    }

    pub(crate) fn command(&mut self, command: &Command) -> Result<(), Denied> {
        let records = admit(&self.state, self.now, command)?;
        self.take(records);
        Ok(())
    }

    pub(crate) fn see(&mut self, observation: &Observation) {
        self.see_on(self.state.side(), observation);
    }

    pub(crate) fn see_on(&mut self, side: Side, observation: &Observation) {
        let records = observe(&self.state, self.now, side, observation);
        self.take(records);
    }

    /// The backend of a side's provider.
    pub(crate) fn on(&mut self, side: Side) -> &mut Backend {
        if side == Side(0) { &mut self.backend } else { self.elsewhere.entry(side).or_default() }
    }

    /// A host is cut off, and the next one takes the cluster up from what was durable.
    pub(crate) fn restart(&mut self, term: u64) {
        let kept: Vec<_> = self.records.iter().filter(|record| record.change.is_durable()).cloned().collect();
        let replayed = State::replay(&kept);
        assert_eq!(replayed.durable(), self.state.durable(), "the journal has all that matters");
        self.state = replayed;
        self.records = kept;
        self.take(vec![Change::Recovered { term }.at(self.now)]);
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Plans, records the intent, and hands out what is to be done. Planning once more must give nothing.
    pub(crate) fn turn(&mut self) -> Vec<Action> {
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

    pub(crate) fn report(&self) -> PlanReport {
        plan(&self.state, self.now).1
    }

    pub(crate) fn why(&self) -> String {
        self.report().to_string()
    }

    /// Plans and lets the backend do all of it faithfully, once.
    pub(crate) fn step(&mut self) -> Vec<Action> {
        let actions = self.turn();
        for action in &actions {
            self.carry_out(action);
        }
        actions
    }

    /// Steps until nothing more is to be done now.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            if self.step().is_empty() {
                return;
            }
        }
        panic!("it does not come to rest: {}", self.why());
    }

    /// Lets time pass from one wake-up of the planner to the next, settling at each: what it does not ask to be woken for
    /// does not happen.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        self.settle();
        while self.now < end {
            let wake_at = plan(&self.state, self.now).0.wake_at.unwrap_or(end);
            assert!(wake_at > self.now, "woken at once, with nothing to do: {}", self.why());
            self.now = wake_at.min(end);
            self.settle();
        }
    }

    pub(crate) fn carry_out(&mut self, action: &Action) {
        match action {
            Action::Initialize { side } => self.see_on(*side, &Observation::Initialized(Ok(()))),
            Action::List { side } => self.list_on(*side),
            Action::Launch { side, launch, workers, .. } => {
                let handles = self.create_on(*side, *launch, *workers);
                self.answer_launch_on(*side, *launch, handles);
            }
            Action::Kill { side, handles, .. } => {
                for id in handles {
                    self.stop(*id);
                }
                let answers = handles.iter().map(|id| (*id, Ok(()))).collect();
                self.see_on(*side, &Observation::Killed { answers });
            }
            Action::Status { side, live, terminating } => {
                self.tell_on(*side, [live.clone(), terminating.clone()].concat());
            }
            Action::RunServer => {
                self.start_server();
                self.server_ran(None);
            }
            Action::StopServer { .. } => {
                self.server = ServerSeen::Stopped;
                self.see(&Observation::ServerStopAnswered(Ok(())));
            }
            Action::LookAtServer => self.look_at_server(),
            Action::LetGo { .. } => {}
        }
    }

    /// Starts the server in the backend, where there is none, and tells nobody.
    pub(crate) fn start_server(&mut self) {
        if self.server == ServerSeen::Stopped {
            self.server = self.born_server.clone();
        }
    }

    pub(crate) fn server_ran(&mut self, trouble: Option<Trouble>) {
        self.see(&Observation::ServerRan { trouble, retryable: true, returned: true, doubtful: false });
    }

    pub(crate) fn look_at_server(&mut self) {
        self.see(&Observation::ServerLooked(Ok(self.server.clone())));
    }

    /// Makes containers in the backend and tells nobody.
    pub(crate) fn create(&mut self, launch: LaunchId, workers: u32) -> Vec<(Arc<str>, u32)> {
        let open = self.state.launches().find(|(id, _)| *id == launch).map(|(_, open)| open.side);
        self.create_on(open.unwrap_or(self.state.side()), launch, workers)
    }

    pub(crate) fn create_on(&mut self, side: Side, launch: LaunchId, workers: u32) -> Vec<(Arc<str>, u32)> {
        let token = self.state.token(launch);
        let (share, born) = (self.share, self.born);
        let mut number = self.created.get(&side).copied().unwrap_or(0);
        let there = self.on(side).len() as u32;
        number = number.max(there);
        let backend = self.on(side);
        if backend.values().any(|container| container.token == token) {
            let same = backend.iter().filter(|(_, container)| container.token == token);
            return same.map(|(name, container)| (Arc::clone(name), container.workers)).collect();
        }
        let mut left = workers;
        let mut handles = Vec::new();
        while left > 0 {
            let workers = left.min(share);
            left -= workers;
            let name: Arc<str> = format!("c{number}").into();
            number += 1;
            let container = Container { workers, token: token.clone(), status: born };
            backend.insert(Arc::clone(&name), container);
            handles.push((name, workers));
        }
        self.created.insert(side, number);
        handles
    }

    pub(crate) fn answer_launch(&mut self, launch: LaunchId, handles: Vec<(Arc<str>, u32)>) {
        self.answer_launch_on(self.state.side(), launch, handles);
    }

    pub(crate) fn answer_launch_on(&mut self, side: Side, launch: LaunchId, handles: Vec<(Arc<str>, u32)>) {
        let outcome = LaunchOutcome::Succeeded { handles, shortfall: None, retryable: true };
        self.see_on(side, &Observation::Launch { launch, outcome });
    }

    pub(crate) fn fail_launch(&mut self, launch: LaunchId, text: &str, retryable: bool) {
        let outcome = LaunchOutcome::Failed { trouble: Trouble::new(text), retryable };
        self.see(&Observation::Launch { launch, outcome });
    }

    pub(crate) fn lose_launch(&mut self, launch: LaunchId, returned: bool) {
        let trouble = Trouble::new("the reply was lost");
        let outcome = LaunchOutcome::Unknown { trouble, claimed: Vec::new(), returned };
        self.see(&Observation::Launch { launch, outcome });
    }

    pub(crate) fn list(&mut self) {
        self.list_on(self.state.side());
    }

    pub(crate) fn list_on(&mut self, side: Side) {
        let live = self.on(side).iter().filter(|(_, container)| container.status != Seen::Stopped);
        let entries = live.map(|(name, container)| Listing {
            name: Arc::clone(name),
            workers: container.workers,
            token: container.token.clone(),
        });
        let entries = entries.collect();
        self.see_on(side, &Observation::Listed(Ok(entries)));
    }

    /// A container, as a list has it.
    pub(crate) fn entry(&self, name: &Arc<str>) -> Listing {
        let container = &self.backend[name];
        Listing { name: Arc::clone(name), workers: container.workers, token: container.token.clone() }
    }

    pub(crate) fn status(&mut self, id: HandleId) -> Seen {
        let handle = self.state.handle(id).expect("the state asked for it").clone();
        self.on(handle.side).get(&handle.name).map_or(Seen::Stopped, |container| container.status)
    }

    pub(crate) fn tell(&mut self, ids: Vec<HandleId>) {
        self.tell_on(self.state.side(), ids);
    }

    pub(crate) fn tell_on(&mut self, side: Side, ids: Vec<HandleId>) {
        let seen = ids.into_iter().map(|id| (id, self.status(id))).collect();
        self.see_on(side, &Observation::Statuses { asked_at: self.now, seen });
        self.see_on(side, &Observation::StatusEnded { trouble: None });
    }

    pub(crate) fn stop(&mut self, id: HandleId) {
        let handle = self.state.handle(id).expect("the state asked for it").clone();
        let container = self.on(handle.side).get_mut(&handle.name).expect("the container is there");
        container.status = Seen::Stopped;
    }

    pub(crate) fn set(&mut self, name: &str, status: Seen) {
        self.backend.get_mut(name).expect("the container is there").status = status;
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state.handles().map(|(_, handle)| handle.name.to_string()).collect()
    }

    /// Workers that really run in the backend.
    pub(crate) fn alive(&self) -> u32 {
        alive_in(&self.backend) + self.elsewhere.values().map(alive_in).sum::<u32>()
    }

    /// Workers that really run in the backend of a side.
    pub(crate) fn alive_on(&mut self, side: Side) -> u32 {
        alive_in(self.on(side))
    }

    pub(crate) fn terminating(&self) -> usize {
        self.state.handles().filter(|(_, handle)| matches!(handle.phase, Phase::Terminating { .. })).count()
    }

    pub(crate) fn count(&self, of: impl Fn(&Change) -> bool) -> usize {
        self.records.iter().filter(|record| of(&record.change)).count()
    }
}

fn alive_in(backend: &Backend) -> u32 {
    backend.values().filter(|c| c.status != Seen::Stopped).map(|c| c.workers).sum()
}

/// A server that is up, at an address of so many.
pub(crate) fn up_at(number: u8) -> ServerSeen {
    ServerSeen::Up { address: address(number) }
}

pub(crate) fn address(number: u8) -> Address {
    Address { host: format!("10.0.0.{number}"), port: Some(6_379) }
}

/// The one launch among actions.
pub(crate) fn launch(actions: &[Action]) -> (LaunchId, u32) {
    let mut launches = actions.iter().filter_map(|action| match action {
        Action::Launch { launch, workers, .. } => Some((*launch, *workers)),
        _ => None,
    });
    let first = launches.next().unwrap_or_else(|| panic!("no launch in {actions:?}"));
    assert_eq!(launches.next(), None, "more than one launch in {actions:?}");
    first
}

pub(crate) fn launches(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Launch { .. }))
}

/// An update of a cluster that has no server.
pub(crate) fn update(policy: Policy, traits: ProviderTraits, expected: u32) -> Command {
    Command::Update {
        policy,
        traits,
        expected,
        server: None,
        per_container: 1,
        other_server: false,
        route: None,
    }
}

/// The same, which goes to another provider as well.
pub(crate) fn move_to(
    policy: Policy,
    traits: ProviderTraits,
    expected: u32,
    from: &str,
    to: &str,
) -> Command {
    let route = Some(Route { from: from.into(), to: to.into() });
    let (server, per_container, other_server) = (None, 1, false);
    Command::Update { policy, traits, expected, server, per_container, other_server, route }
}
