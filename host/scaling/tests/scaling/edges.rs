//! Sharp edges: what lies between two events, at the limits, or in an order that nobody planned.

use std::time::Duration;

use longshore_scaling::{
    Action, Command, HandleId, KillReason, LaunchId, LaunchOutcome, Listing, Observation, Policy,
    ProviderTraits, Reason, Seen, Side, Trouble, plan,
};

use crate::world::{Container, World, launch, launches};

const SECOND: Duration = Duration::from_secs(1);

fn listing() -> ProviderTraits {
    ProviderTraits { list: true, ..ProviderTraits::default() }
}

fn idempotent() -> ProviderTraits {
    ProviderTraits { idempotent_run: true, ..ProviderTraits::default() }
}

/// A cluster whose workers all run.
fn up(policy: Policy, workers: u32) -> World {
    let mut world = World::new(policy, ProviderTraits::default(), workers);
    world.settle();
    assert!(world.state.is_converged(), "{}", world.why());
    world
}

fn kills(actions: &[Action]) -> usize {
    actions
        .iter()
        .map(|action| if let Action::Kill { handles, .. } = action { handles.len() } else { 0 })
        .sum()
}

fn strays(world: &mut World, names: &[&str], token: &str) {
    for name in names {
        let container = Container { workers: 1, token: token.to_owned(), status: Seen::Running };
        world.backend.insert((*name).into(), container);
    }
}

#[test]
fn a_look_that_failed_in_parts_is_no_proof_of_life() {
    let mut world = up(Policy::default(), 100);
    world.pass(SECOND * 6);
    let Some(Action::Status { live, .. }) =
        world.turn().into_iter().find(|a| matches!(a, Action::Status { .. }))
    else {
        panic!("no look")
    };
    let seen = live.iter().take(20).map(|id| (*id, Seen::Stopped)).collect();
    world.see(&Observation::Statuses { asked_at: world.now, seen });
    world.see(&Observation::StatusEnded { trouble: Some(Trouble::new("the rest timed out")) });
    assert_eq!(world.state.handle_count(), 100, "all that were looked at are dead: looked at twice");
}

#[test]
fn a_second_look_that_was_asked_before_the_first_is_none() {
    let mut world = up(Policy::default(), 20);
    world.pass(SECOND * 6);
    let asked_at = world.now;
    let all: Vec<_> = world.state.handles().map(|(id, _)| (id, Seen::Stopped)).collect();
    world.turn();
    world.pass(SECOND);
    world.see(&Observation::Statuses { asked_at, seen: all.clone() });
    world.see(&Observation::Statuses { asked_at, seen: all });
    assert_eq!(world.state.handle_count(), 20);
}

#[test]
fn a_suspicion_ends_with_the_last_handle() {
    let mut world = up(Policy::default(), 20);
    world.pass(SECOND * 10);
    for name in world.names() {
        world.set(&name, Seen::Stopped);
    }
    for action in world.turn() {
        world.carry_out(&action);
    }
    // In the same millisecond as the first look.
    world.command(&Command::Stop).expect("a cluster may be stopped");
    world.run_for(SECOND * 60);
    assert!(world.state.is_converged(), "{}", world.why());
}

#[test]
fn patience_with_a_kill_begins_with_its_answer() {
    let mut world = up(Policy::default(), 4);
    world.command(&Command::Scale { expected: 0 }).expect("within limits");
    let kill = world.turn();
    world.pass(SECOND * 31);
    assert_eq!(kills(&world.turn()), 0, "the answer is still out");
    world.carry_out(&kill[0]);
    let next = world.turn();
    assert_eq!(kills(&next), 0, "{next:?}");
}

#[test]
fn patience_with_a_kill_doubles() {
    let mut world = up(Policy::default(), 1);
    world.command(&Command::Stop).expect("a cluster may be stopped");
    let mut times = Vec::new();
    while times.len() < 4 {
        for action in world.turn() {
            match action {
                Action::Kill { handles, why, .. } => {
                    assert_eq!(why == KillReason::StillThere, !times.is_empty());
                    times.push(world.now);
                    // It says yes, and does nothing.
                    let answers = handles.into_iter().map(|id| (id, Ok(()))).collect();
                    world.see(&Observation::Killed { answers });
                }
                other => world.carry_out(&other),
            }
        }
        world.pass(SECOND);
    }
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1].since(pair[0]).as_secs()).collect();
    assert!(waits[0] >= 30 && waits[1] >= 60 && waits[2] >= 120, "{waits:?}");
    assert!(world.why().contains("was killed 4 times and is still there"), "{}", world.why());
}

#[test]
fn a_refused_launch_whose_workers_are_all_known_holds_nothing() {
    let mut world = World::plain(5);
    let (id, _) = launch(&world.turn());
    let mut claimed = world.create(id, 5);
    let token = world.state.token(id);
    strays(&mut world, &["extra"], &token);
    claimed.push(("extra".into(), 1));
    let outcome = LaunchOutcome::Unknown { trouble: Trouble::new("6 for 5"), claimed, returned: true };
    world.see(&Observation::Launch { launch: id, outcome });
    world.settle();
    assert_eq!((world.state.unknown(), world.alive()), (0, 5), "what was too much is killed");
    world.command(&Command::Delete { force: false }).expect("a cluster may be deleted");
    world.run_for(SECOND * 60);
    assert!(world.state.is_finished(), "{}", world.why());
}

#[test]
fn a_list_that_was_asked_while_the_call_was_out_proves_nothing() {
    let mut world = World::new(Policy::default(), listing(), 3);
    world.step();
    let (id, _) = launch(&world.turn());
    world.lose_launch(id, false);
    world.pass(SECOND * 60);
    assert!(world.turn().contains(&Action::List { side: Side(0) }));
    world.pass(Duration::from_millis(10));
    world.lose_launch(id, true);
    world.list();
    world.pass(SECOND * 5);
    assert!(world.turn().contains(&Action::List { side: Side(0) }));
    world.list();
    assert_eq!(world.state.unknown(), 3, "one list only was asked after the call had returned");
}

#[test]
fn a_list_that_was_asked_before_the_loss_proves_nothing() {
    let mut world = World::new(Policy { poll_interval: SECOND, ..Policy::default() }, listing(), 3);
    world.step();
    let (id, _) = launch(&world.turn());
    world.command(&Command::Refresh).expect("at any time");
    assert!(world.turn().contains(&Action::List { side: Side(0) }));
    world.pass(SECOND);
    world.lose_launch(id, true);
    world.list();
    world.pass(SECOND);
    assert!(world.turn().contains(&Action::List { side: Side(0) }));
    world.list();
    assert_eq!(world.state.unknown(), 3, "the first list is older than the loss");
}

#[test]
fn absurd_numbers_in_a_list_do_no_harm() {
    let mut world = World::new(Policy::default(), listing(), 3);
    world.step();
    let (id, _) = launch(&world.turn());
    world.lose_launch(id, true);
    world.pass(SECOND * 60);
    assert!(world.turn().contains(&Action::List { side: Side(0) }));
    let token = world.state.token(id);
    let entry = |name: &str| Listing { name: name.into(), workers: u32::MAX, token: token.clone() };
    world.see(&Observation::Listed(Ok(vec![entry("a"), entry("b")])));
    assert_eq!(kills(&world.turn()), 1, "without both there would be fewer than three");
}

#[test]
fn a_stray_is_adopted_although_others_die() {
    let policy = Policy { mass_death_workers: 100, stable_after: Duration::ZERO, ..Policy::default() };
    let mut world = World::new(policy, listing(), 20);
    world.settle();
    strays(&mut world, &["stray"], "old-1");
    for _ in 0..30 {
        world.pass(SECOND * 5);
        let name = world.names()[0].clone();
        world.set(&name, Seen::Stopped);
        // Lists are answered after the statuses that were asked at the same moment.
        let (lists, others): (Vec<_>, Vec<_>) =
            world.turn().into_iter().partition(|action| *action == Action::List { side: Side(0) });
        for action in others.iter().chain(&lists) {
            world.carry_out(action);
        }
        world.settle();
    }
    let stopped = world.backend["stray"].status == Seen::Stopped;
    assert!(stopped || world.names().contains(&"stray".to_owned()), "it is neither known nor gone");
}

#[test]
fn what_was_buried_while_a_list_was_out_is_not_brought_back() {
    let mut world = World::new(Policy::default(), listing(), 2);
    world.settle();
    let handles: Vec<_> = world.state.handles().map(|(id, handle)| (id, handle.name.clone())).collect();
    let entry =
        |name: &std::sync::Arc<str>| Listing { name: name.clone(), workers: 1, token: "elsewhere-1".into() };
    let stale = handles.iter().map(|(_, name)| entry(name)).collect();
    world.command(&Command::Refresh).expect("at any time");
    assert!(world.turn().contains(&Action::List { side: Side(0) }));
    let asked_at = world.now;
    world.see(&Observation::Statuses { asked_at, seen: vec![(handles[0].0, Seen::Stopped)] });
    world.see(&Observation::Listed(Ok(stale)));
    assert_eq!(world.state.handle_count(), 1, "the list is older than the burial");
}

#[test]
fn tokens_of_others_are_not_ours() {
    let mut world = World::new(Policy::default(), listing(), 3);
    world.step();
    let (id, _) = launch(&world.turn());
    let ours = world.state.token(id);
    assert_eq!(world.state.launch_of(&ours), Some(id));
    let (uid, number) = ours.split_once('-').expect("uid and number");
    for token in
        [format!("{uid}-ff"), format!("0{}-{number}", &uid[..15]), "nonsense".to_owned(), String::new()]
    {
        let found = world.state.launch_of(&token);
        assert!(found.is_none() || token == ours, "{token} was taken for {found:?}");
    }
    assert_eq!(world.state.launch_of(&format!("000000000000beef-{number}")), None);
}

#[test]
fn a_late_answer_to_a_settled_launch_is_not_lost() {
    let mut world = World::plain(2);
    let (id, workers) = launch(&world.turn());
    world.fail_launch(id, "refused", true);
    let handles = world.create(id, workers);
    world.answer_launch(id, handles);
    world.run_for(SECOND * 30);
    assert_eq!((world.alive(), world.state.handle_count()), (2, 2));
}

#[test]
fn a_shortfall_that_brought_something_begins_its_wait_anew() {
    let mut world = World::plain(10);
    let mut longest = Duration::ZERO;
    for _ in 0..8 {
        let (id, _) = launch(&world.turn());
        let handles = world.create(id, 1);
        let shortfall = Some(Trouble::new("one at a time"));
        world.see(&Observation::Launch {
            launch: id,
            outcome: LaunchOutcome::Succeeded { handles, shortfall, retryable: true },
        });
        let before = world.now;
        while !launches(&{
            let (next, _) = plan(&world.state, world.now);
            next.actions
        }) {
            world.pass(Duration::from_millis(100));
        }
        longest = longest.max(world.now.since(before));
    }
    assert!(longest <= SECOND, "capacity comes, and yet it waited {longest:?}");
}

#[test]
fn a_start_that_times_out_counts_as_a_crash() {
    let mut world =
        World::new(Policy { launch_timeout: SECOND, ..Policy::default() }, ProviderTraits::default(), 1);
    world.born = Seen::Initializing;
    world.run_for(SECOND * 20);
    assert!(world.why().contains("died soon after their launch"), "{}", world.why());
}

#[test]
fn a_worker_of_before_the_crash_does_not_end_a_crash_loop() {
    let mut world = up(Policy::default(), 2);
    world.run_for(SECOND * 60);
    // One is old and well. The other, and each that replaces it, dies at once.
    let old = world.names()[0].clone();
    for _ in 0..40 {
        for name in world.names().into_iter().filter(|name| *name != old) {
            world.set(&name, Seen::Stopped);
        }
        world.run_for(SECOND);
    }
    assert!(world.why().contains("died soon after their launch"), "{}", world.why());
}

#[test]
fn a_refresh_asks_now_though_statuses_failed() {
    let mut world = up(Policy::default(), 4);
    for _ in 0..15 {
        world.now = plan(&world.state, world.now).0.wake_at.expect("it tries again");
        world.turn();
        world.see(&Observation::StatusEnded { trouble: Some(Trouble::new("unreachable")) });
    }
    world.command(&Command::Refresh).expect("at any time");
    assert!(world.turn().iter().any(|action| matches!(action, Action::Status { .. })));
}

#[test]
fn a_refresh_launches_now_though_launching_failed() {
    let mut world = World::plain(1);
    let (id, _) = launch(&world.turn());
    world.fail_launch(id, "no such image", false);
    assert!(!launches(&world.turn()));
    world.command(&Command::Refresh).expect("at any time");
    assert!(launches(&world.turn()));
}

#[test]
fn a_repeat_that_can_never_succeed_settles_the_launch() {
    let mut world = World::new(Policy::default(), idempotent(), 3);
    let (id, _) = launch(&world.turn());
    world.lose_launch(id, true);
    world.command(&Command::Delete { force: false }).expect("a cluster may be deleted");
    world.pass(SECOND * 5);
    assert_eq!(launch(&world.turn()), (id, 3));
    world.fail_launch(id, "no such image", false);
    assert!(world.state.is_finished(), "{}", world.why());
}

#[test]
fn the_smallest_container_is_one_that_is_left() {
    let mut world = World::plain(6);
    let (id, _) = launch(&world.turn());
    let token = world.state.token(id);
    for (name, workers) in [("one", 1), ("five", 5)] {
        let container = Container { workers, token: token.clone(), status: Seen::Running };
        world.backend.insert(name.into(), container);
    }
    world.answer_launch(id, vec![("one".into(), 1), ("five".into(), 5)]);
    world.settle();
    world.command(&Command::Scale { expected: 3 }).expect("within limits");
    assert!(
        world.report().reasons.contains(&Reason::SharedHandles { surplus: 2, smallest: 5 }),
        "{}",
        world.why()
    );
}

#[test]
fn numbers_are_never_used_again() {
    let mut world = up(Policy::default(), 3);
    let last = world.state.handles().map(|(id, _)| id).max().expect("three are there");
    world.command(&Command::Stop).expect("a cluster may be stopped");
    world.settle();
    world.command(&Command::Start).expect("a cluster may be started");
    world.settle();
    assert!(world.state.handles().all(|(id, _)| id > last));
    assert_eq!((last, world.state.launch_of(&world.state.token(LaunchId(9)))), (HandleId(2), None));
}
