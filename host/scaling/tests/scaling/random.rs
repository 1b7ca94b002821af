//! Random operators, replies and faults. What must hold at every step is checked at every step; once the faults stop, the
//! cluster must come to rest with exactly the workers that it shall have.

use std::{sync::Arc, time::Duration};

use longshore_scaling::{
    Action, Command, LaunchId, LaunchOutcome, Observation, OnRestart, Policy, ProviderTraits, Seen,
    ServerPolicy, ServerSeen, Side, State, Time, Trouble,
};
use proptest::prelude::*;

use crate::{
    server::managed,
    world::{World, address, move_to, up_at, update},
};

const MAX: u32 = 12;

/// One thing that happens. Numbers are taken modulo whatever there is to choose from.
#[derive(Clone, Debug)]
enum Op {
    Scale(u32),
    Stop,
    Start,
    Refresh,
    Pass(u64),
    Answer {
        which: usize,
        how: How,
    },
    Die(usize),
    ReturnAtLast(usize),
    Server(ServerSeen),
    /// Where the next server will be.
    Moves(u8),
    /// The hanging start of a server comes back.
    ServerReturns(bool),
    /// The cluster goes to another provider, or turns back to the one that it is leaving.
    Move,
}

/// How a pending action is answered.
#[derive(Clone, Copy, Debug)]
enum How {
    Well,
    /// Only a part is done, and said so.
    Partly,
    /// Nothing is done, and said so.
    Refused,
    /// It is done, and the answer is lost.
    DoneAndLost,
    /// Nothing is done, and the answer is lost.
    Lost,
    /// It is done, the answer is refused, and names what was done.
    Claimed,
    /// The deadline passes while the call goes on.
    Hangs,
}

fn how() -> impl Strategy<Value = How> {
    use How::{Claimed, DoneAndLost, Hangs, Lost, Partly, Refused, Well};
    prop_oneof![4 => Just(Well), 1 => Just(Partly), 1 => Just(Refused), 1 => Just(DoneAndLost), 1 => Just(Lost), 1 => Just(Claimed), 1 => Just(Hangs)]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..=MAX).prop_map(Op::Scale),
        1 => Just(Op::Stop),
        2 => Just(Op::Start),
        1 => Just(Op::Refresh),
        4 => (1..20_000_u64).prop_map(Op::Pass),
        12 => (any::<usize>(), how()).prop_map(|(which, how)| Op::Answer { which, how }),
        2 => any::<usize>().prop_map(Op::Die),
        2 => any::<usize>().prop_map(Op::ReturnAtLast),
    ]
}

fn server_op() -> impl Strategy<Value = Op> {
    let (address, trouble) = (address(1), Trouble::new("connection refused"));
    prop_oneof![
        8 => op(),
        1 => Just(Op::Server(ServerSeen::Stopped)),
        1 => Just(Op::Server(ServerSeen::Initializing)),
        1 => Just(Op::Server(ServerSeen::Unreachable { address, trouble })),
        1 => Just(Op::Server(up_at(1))),
        1 => (1..3_u8).prop_map(Op::Moves),
        1 => any::<bool>().prop_map(Op::ServerReturns),
    ]
}

fn moving_op() -> impl Strategy<Value = Op> {
    prop_oneof![12 => op(), 1 => Just(Op::Move)]
}

struct Run {
    world: World,
    /// Asked for and not answered; with the time at which it was asked.
    pending: Vec<(Action, Time)>,
    /// Launches whose call goes on past its deadline, and whether it will have worked.
    hanging: Vec<(Side, LaunchId, u32)>,
    /// A start of the server that goes on past its deadline.
    server_hangs: bool,
}

impl Run {
    fn new(traits: ProviderTraits, share: u32) -> Self {
        let policy = Policy { max: MAX, launch_batch: 5, mass_death_workers: 4, ..Policy::default() };
        let mut world = World::new(policy, traits, 3);
        world.share = share;
        Self { world, pending: Vec::new(), hanging: Vec::new(), server_hangs: false }
    }

    fn with_server(policy: ServerPolicy) -> Self {
        let traits = ProviderTraits { list: true, server: true, ..ProviderTraits::default() };
        let mut run = Self::new(traits, 1);
        run.world = World::with_server(run.world.state.policy().clone(), traits, 3, Some(policy));
        run
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Scale(expected) => self.command(&Command::Scale { expected: *expected }),
            Op::Stop => self.command(&Command::Stop),
            Op::Start => self.command(&Command::Start),
            Op::Refresh => self.command(&Command::Refresh),
            Op::Pass(millis) => self.world.pass(Duration::from_millis(*millis)),
            Op::Answer { which, how } if !self.pending.is_empty() => {
                let (action, asked_at) = self.pending.remove(which % self.pending.len());
                self.answer(&action, asked_at, *how);
            }
            Op::Die(which) if !self.world.backend.is_empty() => {
                let which = which % self.world.backend.len();
                let container = self.world.backend.values_mut().nth(which).expect("there are so many");
                container.status = Seen::Stopped;
            }
            Op::ReturnAtLast(which) if !self.hanging.is_empty() => {
                let (side, launch, workers) = self.hanging.remove(which % self.hanging.len());
                let handles = self.world.create_on(side, launch, workers);
                self.world.answer_launch_on(side, launch, handles);
            }
            // One that is not there does not come by itself.
            Op::Server(seen) if self.world.server != ServerSeen::Stopped => self.world.server = seen.clone(),
            Op::Moves(to) => self.world.born_server = up_at(*to),
            Op::Move => self.move_on(),
            Op::ServerReturns(worked) if self.server_hangs => self.server_returns(*worked),
            _ => {}
        }
        let before = self.committed();
        let now = self.world.now;
        let actions = self.world.turn();
        self.check(&actions, before);
        self.pending.extend(actions.into_iter().map(|action| (action, now)));
    }

    fn command(&mut self, command: &Command) {
        self.world.command(command).expect("every command here is legal");
    }

    fn move_on(&mut self) {
        let state = &self.world.state;
        let to = match state.leaving() {
            Some(left) => left.provider().to_string(),
            None => format!("after {}", state.side().0),
        };
        let (policy, expected) = (state.policy().clone(), state.expected());
        let traits = state.traits_of(state.side());
        self.command(&move_to(policy, traits, expected, "where it is", &to));
    }

    /// Workers that count towards the target.
    fn committed(&self) -> u64 {
        let state = &self.world.state;
        state.tally().live() + state.in_flight() + state.unknown()
    }

    fn check(&self, actions: &[Action], before: u64) {
        let state = &self.world.state;
        if actions.iter().any(|action| matches!(action, Action::Launch { again: false, .. })) {
            // While it moves, those of the provider that is left are there beside the others, up to the ceiling.
            let target = match state.leaving() {
                Some(_) => state.policy().ceiling(state.target(), 1),
                None => state.target(),
            };
            let (target, committed) = (u64::from(target), self.committed());
            assert!(committed <= target.max(before), "launched up to {committed} for a target of {target}");
            let all = committed + state.tally().terminating;
            assert!(all <= u64::from(MAX).max(before), "{all} with a maximum of {MAX}");
            assert!(state.server().is_none_or(longshore_scaling::Server::is_up), "launched without a server");
        }
        assert!(self.world.alive() <= MAX, "{} really alive with a maximum of {MAX}", self.world.alive());
        let tally = state.handles().fold([0_u64; 3], |mut sums, (_, handle)| {
            let index = match handle.phase {
                longshore_scaling::Phase::Initializing { .. } => 0,
                longshore_scaling::Phase::Running => 1,
                longshore_scaling::Phase::Terminating { .. } => 2,
            };
            sums[index] += u64::from(handle.workers);
            sums
        });
        let kept = state.tally();
        assert_eq!(tally, [kept.initializing, kept.running, kept.terminating], "the sums have drifted");
    }

    fn answer(&mut self, action: &Action, asked_at: Time, how: How) {
        let side = action.side().unwrap_or(self.world.state.side());
        let lost = || Trouble::new("the reply was lost");
        match action {
            Action::Launch { side, launch, workers, .. } => self.answer_launch(*side, *launch, *workers, how),
            Action::Kill { handles, .. } => {
                let all = handles.len();
                let (really, said) = match how {
                    How::Well => (all, all),
                    How::Partly => (all / 2, all / 2),
                    How::Refused | How::Lost | How::Hangs => (0, 0),
                    How::DoneAndLost => (all, 0),
                    How::Claimed => (0, all),
                };
                for id in handles
                    .iter()
                    .take(really)
                    .filter(|id| self.world.state.handle(**id).is_some())
                    .copied()
                    .collect::<Vec<_>>()
                {
                    self.world.stop(id);
                }
                let answer = |i: usize| if i < said { Ok(()) } else { Err(lost()) };
                let answers = handles.iter().enumerate().map(|(i, id)| (*id, answer(i))).collect();
                self.world.see_on(side, &Observation::Killed { answers });
            }
            Action::Status { live, terminating, .. } => {
                let ids = [live.clone(), terminating.clone()].concat();
                let known: Vec<_> =
                    ids.into_iter().filter(|id| self.world.state.handle(*id).is_some()).collect();
                match how {
                    How::Well | How::DoneAndLost | How::Claimed => {
                        let seen = known.into_iter().map(|id| (id, self.world.status(id))).collect();
                        self.world.see_on(side, &Observation::Statuses { asked_at, seen });
                        self.world.see_on(side, &Observation::StatusEnded { trouble: None });
                    }
                    How::Partly => {
                        let seen =
                            known.into_iter().step_by(2).map(|id| (id, self.world.status(id))).collect();
                        self.world.see_on(side, &Observation::Statuses { asked_at, seen });
                        self.world.see_on(side, &Observation::StatusEnded { trouble: Some(lost()) });
                    }
                    How::Refused | How::Lost | How::Hangs => {
                        self.world.see_on(side, &Observation::StatusEnded { trouble: Some(lost()) });
                    }
                }
            }
            Action::List { .. } => match how {
                How::Well | How::DoneAndLost | How::Claimed => self.world.list_on(side),
                _ => self.world.see_on(side, &Observation::Listed(Err(lost()))),
            },
            Action::Initialize { .. } => {
                let outcome = if matches!(how, How::Well) { Ok(()) } else { Err(lost()) };
                self.world.see_on(side, &Observation::Initialized(outcome));
            }
            Action::RunServer | Action::StopServer { .. } | Action::LookAtServer => {
                self.answer_server(action, how);
            }
            Action::LetGo { .. } => {}
        }
    }

    fn answer_server(&mut self, action: &Action, how: How) {
        let trouble = Trouble::new("as the dice fell");
        let is_done = matches!(how, How::Well | How::DoneAndLost | How::Claimed);
        let is_told = matches!(how, How::Well | How::Partly);
        match action {
            Action::RunServer if matches!(how, How::Hangs) => {
                self.server_hangs = true;
                let trouble = Some(trouble);
                self.world.see(&Observation::ServerRan {
                    trouble,
                    retryable: true,
                    returned: false,
                    doubtful: true,
                });
            }
            Action::RunServer => {
                if is_done {
                    self.world.start_server();
                }
                self.world.server_ran((!is_told).then_some(trouble));
            }
            Action::StopServer { .. } => {
                if is_done {
                    self.world.server = ServerSeen::Stopped;
                }
                let answer = if is_told { Ok(()) } else { Err(trouble) };
                self.world.see(&Observation::ServerStopAnswered(answer));
            }
            _ if is_done || is_told => self.world.look_at_server(),
            _ => self.world.see(&Observation::ServerLooked(Err(trouble))),
        }
    }

    fn server_returns(&mut self, worked: bool) {
        self.server_hangs = false;
        if worked {
            self.world.start_server();
        }
        self.world.server_ran((!worked).then(|| Trouble::new("at last")));
    }

    fn answer_launch(&mut self, side: Side, launch: LaunchId, workers: u32, how: How) {
        let trouble = Trouble::new("as the dice fell");
        let none: Vec<(Arc<str>, u32)> = Vec::new();
        let outcome = match how {
            How::Well => {
                let handles = self.world.create_on(side, launch, workers);
                LaunchOutcome::Succeeded { handles, shortfall: None, retryable: true }
            }
            How::Partly => {
                let handles = self.world.create_on(side, launch, workers / 2);
                LaunchOutcome::Succeeded { handles, shortfall: Some(trouble), retryable: true }
            }
            How::Refused => LaunchOutcome::Failed { trouble, retryable: true },
            How::DoneAndLost => {
                self.world.create_on(side, launch, workers);
                LaunchOutcome::Unknown { trouble, claimed: none, returned: true }
            }
            How::Lost => LaunchOutcome::Unknown { trouble, claimed: none, returned: true },
            How::Claimed => {
                let claimed = self.world.create_on(side, launch, workers);
                LaunchOutcome::Unknown { trouble, claimed, returned: true }
            }
            How::Hangs => {
                self.hanging.push((side, launch, workers));
                LaunchOutcome::Unknown { trouble, claimed: none, returned: false }
            }
        };
        self.world.see_on(side, &Observation::Launch { launch, outcome });
    }

    /// No more faults: every pending call is answered well, and time passes.
    fn calm_down(&mut self) {
        for (side, launch, workers) in std::mem::take(&mut self.hanging) {
            let handles = self.world.create_on(side, launch, workers);
            self.world.answer_launch_on(side, launch, handles);
        }
        for (action, asked_at) in std::mem::take(&mut self.pending) {
            self.answer(&action, asked_at, How::Well);
        }
        if self.server_hangs {
            self.server_returns(true);
        }
        if self.world.server != ServerSeen::Stopped {
            self.world.server = up_at(1);
        }
        self.command(&Command::Start);
        let end = self.world.now + Duration::from_mins(40);
        while self.world.now < end && !self.is_at_rest() {
            self.world.run_for(Duration::from_secs(30));
        }
    }

    fn is_at_rest(&self) -> bool {
        self.world.state.is_converged() && self.world.alive() == self.world.state.target()
    }
}

fn replayed(world: &World) -> State {
    State::replay(&world.records)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn it_converges_and_leaks_nothing_where_the_provider_lists(ops in prop::collection::vec(op(), 1..120)) {
        let mut run = Run::new(ProviderTraits { list: true, initialize: true, ..ProviderTraits::default() }, 1);
        for op in &ops {
            run.step(op);
        }
        run.calm_down();
        prop_assert!(run.is_at_rest(), "{} alive, {} wanted: {}", run.world.alive(), run.world.state.target(), run.world.why());
        prop_assert_eq!(replayed(&run.world), run.world.state);
    }

    #[test]
    fn it_converges_and_leaks_nothing_where_a_launch_may_be_repeated(ops in prop::collection::vec(op(), 1..120)) {
        let mut run = Run::new(ProviderTraits { idempotent_run: true, ..ProviderTraits::default() }, 1);
        for op in &ops {
            run.step(op);
        }
        run.calm_down();
        prop_assert!(run.is_at_rest(), "{} alive, {} wanted: {}", run.world.alive(), run.world.state.target(), run.world.why());
    }

    #[test]
    fn with_a_server_it_converges_and_leaves_none_behind(
        ops in prop::collection::vec(server_op(), 1..160),
        policy in prop_oneof![Just(OnRestart::ReplaceIfMoved), Just(OnRestart::Replace), Just(OnRestart::Keep)],
    ) {
        let mut run = Run::with_server(managed(policy));
        for op in &ops {
            run.step(op);
        }
        run.calm_down();
        prop_assert!(run.is_at_rest(), "{} alive, {} wanted: {}", run.world.alive(), run.world.state.target(), run.world.why());
        prop_assert_eq!(replayed(&run.world), run.world.state.clone());
        run.command(&Command::Delete { force: false });
        run.world.run_for(Duration::from_mins(20));
        prop_assert!(run.world.state.is_finished(), "{}", run.world.why());
        prop_assert_eq!((run.world.alive(), &run.world.server), (0, &ServerSeen::Stopped));
    }

    #[test]
    fn wherever_it_moves_it_converges_and_leaves_nobody_behind(
        ops in prop::collection::vec(moving_op(), 1..160),
        lists in any::<bool>(),
    ) {
        let traits = ProviderTraits { list: lists, idempotent_run: !lists, ..ProviderTraits::default() };
        let mut run = Run::new(traits, 1);
        let at_maximum = Policy { missing: 1, ..run.world.state.policy().clone() };
        run.command(&update(at_maximum, traits, 3));
        for op in &ops {
            run.step(op);
        }
        run.calm_down();
        prop_assert!(run.is_at_rest(), "{} alive, {} wanted: {}", run.world.alive(), run.world.state.target(), run.world.why());
        let here = run.world.state.side();
        prop_assert_eq!(run.world.alive_on(here), run.world.alive(), "nobody is anywhere else");
        prop_assert_eq!(replayed(&run.world), run.world.state.clone());
    }

    #[test]
    fn with_shared_containers_it_is_never_below_what_is_wanted_for_good(ops in prop::collection::vec(op(), 1..120)) {
        let mut run = Run::new(ProviderTraits { list: true, ..ProviderTraits::default() }, 3);
        for op in &ops {
            run.step(op);
        }
        run.calm_down();
        run.world.run_for(Duration::from_mins(10));
        let (alive, target) = (run.world.alive(), run.world.state.target());
        prop_assert!(alive >= target && alive < target + 3, "{alive} alive, {target} wanted: {}", run.world.why());
    }

    #[test]
    fn whatever_the_provider_cannot_tell_is_held_and_never_doubled(ops in prop::collection::vec(op(), 1..120)) {
        let mut run = Run::new(ProviderTraits::default(), 1);
        for op in &ops {
            run.step(op);
        }
        run.calm_down();
        let state = &run.world.state;
        let (live, held) = (state.tally().live(), state.unknown());
        prop_assert!(live + held >= u64::from(state.target()), "{live} live, {held} held: {}", run.world.why());
        prop_assert!(u64::from(run.world.alive()) <= live + held, "more are alive than are known or held");
    }
}
