//! A desk that hears a runner that is made up: what it says is believed as far as it can be true.

use std::{io::Read as _, os::unix::net::UnixStream, sync::mpsc};

use super::*;
use crate::{
    ask::Ask,
    provider::Handles,
    runner::{
        frame::decode_first,
        line::tests::until_told,
        reading::{LARGE, Room, weight},
    },
};

/// What came of a call, and how long it was inside.
type Told = (Answer<Raw>, Option<Duration>);

/// A desk with a way to a runner that is made up, the runner's end of the line, and what is told of the calls.
struct House {
    desk: Desk,
    line: Arc<Line>,
    runner: UnixStream,
    told: (mpsc::Sender<Told>, mpsc::Receiver<Told>),
}

impl House {
    fn new() -> Self {
        let (ours, runner) = UnixStream::pair().expect("a pair of sockets");
        let (line, _) = Line::new(ours).expect("there is a runtime");
        let line = Arc::new(line);
        // What the line does not take at once.
        let writes = Arc::clone(&line);
        tokio::spawn(async move { match writes.write().await {} });
        let down = NotSent::RunnerDown { why: "it is being started".to_owned() };
        let desk = Desk::new(CallLimits::default(), down);
        desk.open(Arc::clone(&line));
        Self { desk, line, runner, told: mpsc::channel() }
    }

    /// Hands in a call. They are numbered in this order, from 0.
    fn submit(&self, ask: Ask<Handles, String>) {
        let told = self.told.0.clone();
        let budget = Duration::from_mins(1);
        self.desk.submit(Errand {
            control: Arc::new(Control::new(Instant::now() + budget)),
            budget,
            cluster: "c".into(),
            verbose: 1,
            span: Span::none(),
            ask,
            end: Box::new(move |answer, inside| told.send((answer, inside)).expect("the test listens")),
        });
    }

    /// The next word that the runner hears.
    fn heard(&self) -> ToRunner {
        let mut length = [0; 4];
        (&self.runner).read_exact(&mut length).expect("a frame");
        let mut frame = vec![0; u32::from_le_bytes(length) as usize];
        (&self.runner).read_exact(&mut frame).expect("a frame");
        decode_first::<ToRunner>(&frame).expect("it makes sense").0
    }

    /// There is nothing more for the runner to hear.
    #[track_caller]
    fn is_silent(&self) {
        self.runner.set_nonblocking(true).expect("a socket");
        let more = (&self.runner).read(&mut [0]).expect_err("nothing was said");
        assert_eq!(more.kind(), std::io::ErrorKind::WouldBlock);
    }

    /// The runner says what came of a call, and how long it was inside.
    fn ended(&self, call: u64, inside: Option<u64>, outcome: &Outcome<'_>) -> Result<(), FrameError> {
        let outcome = encode(outcome).expect("it is small").split_off(size_of::<u32>());
        self.desk.ended(&self.line, call, inside, &outcome, None)
    }

    fn answer(&self) -> Option<Answer<Raw>> {
        self.told.1.try_recv().ok().map(|(answer, _)| answer)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_inside_comes_with_the_answer() {
    let house = House::new();
    for inside in [None, Some(0), Some(1_500), Some(u64::MAX)] {
        house.submit(Ask::Initialize);
        let ToRunner::Call { id, .. } = house.heard() else { panic!("a call was made") };
        house.ended(id, inside, &Outcome::Nothing).expect("it makes sense");
        let (answer, told) = house.told.1.try_recv().expect("it has ended");
        assert!(matches!(answer, Ok(Raw::Nothing)), "{answer:?}");
        // Whoever counts it knows how long the call took, and believes no more.
        assert_eq!(told, inside.map(Duration::from_nanos));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_is_asked_once_whoever_else_asks_until_it_has_answered() {
    let house = House::new();
    for _ in 0..3 {
        house.submit(Ask::Initialize);
        assert!(matches!(house.heard(), ToRunner::Call { .. }));
    }
    let both = async { tokio::join!(house.desk.count(), house.desk.count()) };
    let answering = async {
        assert_eq!(house.heard(), ToRunner::Count);
        house.desk.counted(2).expect("it was asked");
    };
    let (both, ()) = tokio::join!(both, answering);
    let load = Some(RunnerLoad { inside: 2, on_the_way: 1 });
    assert_eq!(both, (load, load));
    // The second one asked nothing of the runner.
    house.is_silent();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_does_not_answer_is_not_asked_again() {
    let house = House::new();
    let desk = &house.desk;
    assert_eq!((desk.count().await, desk.count().await), (None, None));
    assert_eq!(house.heard(), ToRunner::Count);
    // What waits for it does not pile up.
    house.is_silent();
    desk.counted(0).expect("late as it is, it was asked");
    let (load, ()) = tokio::join!(desk.count(), async { desk.counted(0).expect("it was asked again") });
    assert_eq!(load, Some(RunnerLoad::default()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_more_calls_inside_than_were_let_in_and_nobody_answers_unasked() {
    let house = House::new();
    let desk = &house.desk;
    assert!(desk.counted(0).is_err(), "nobody has asked");
    house.submit(Ask::Initialize);
    house.heard();
    let (load, ()) = tokio::join!(desk.count(), async { desk.counted(u64::MAX).expect("it was asked") });
    assert_eq!(load, Some(RunnerLoad { inside: 1, on_the_way: 0 }));
    assert!(desk.counted(0).is_err(), "it has answered already");
}

#[tokio::test]
async fn without_a_runner_nothing_is_asked() {
    let desk = Desk::new(CallLimits::default(), NotSent::ShutDown);
    assert_eq!(desk.count().await, None);
}

#[tokio::test]
async fn a_call_is_answered_once_and_only_by_who_was_told_of_it() {
    let house = House::new();
    house.submit(Ask::StopServer);
    until_told(&house.line, 0).await;
    // More than a line takes that nobody reads.
    house.submit(Ask::RunServer("x".repeat(32 << 20)));
    house.submit(Ask::StopServer);
    for call in [1, 2] {
        let why = house.ended(call, None, &Outcome::Nothing).expect_err("nobody was told").to_string();
        assert_eq!(why, format!("it answers call {call}, of which it was not told, or not since"));
    }
    house.ended(0, None, &Outcome::Nothing).expect("this one is on the line");
    assert!(matches!(house.answer(), Some(Ok(Raw::Nothing))));
    for call in [0, 99] {
        let again = house.ended(call, None, &Outcome::Nothing);
        assert!(matches!(again, Err(FrameError::Unasked { call: told }) if told == call));
    }
    assert!(house.answer().is_none(), "the others are still waited for");
}

#[tokio::test]
async fn an_answer_of_another_kind_loses_the_call() {
    let house = House::new();
    let too_many = || Outcome::List(std::iter::repeat_n(("", "", 0), MAX_ENTRIES + 1).collect());
    for (call, outcome) in [Outcome::Status(1), Outcome::Values(&[1]), too_many()].into_iter().enumerate() {
        house.submit(Ask::StopServer);
        until_told(&house.line, call as u64).await;
        let why = house.ended(call as u64, None, &outcome).expect_err("it is of another kind").to_string();
        assert_eq!(why, "it answers stop_server as another function is answered");
        assert!(matches!(house.answer(), Some(Err(CallError::Gone))));
    }
}

#[tokio::test]
async fn a_call_about_more_handles_than_an_answer_may_have_is_not_sent() {
    let house = House::new();
    let handle: Arc<str> = "x".into();
    house.submit(Ask::Status(vec![Arc::clone(&handle); MAX_ENTRIES].into()));
    assert!(house.answer().is_none(), "so many may be asked about");
    house.submit(Ask::Status(vec![handle; MAX_ENTRIES + 1].into()));
    let answer = house.answer().expect("it is told at once");
    assert!(matches!(answer, Err(CallError::NotSent { reason: NotSent::TooLarge })));
}

#[tokio::test]
async fn a_large_answer_that_makes_no_sense_is_told_of_as_a_small_one_is() {
    let house = House::new();
    let (nonsense, mut found) = tokio::sync::mpsc::channel(1);
    let room = Room::of(2 * weight(LARGE));
    let large = || {
        let place = room.place(LARGE).ok().expect("there is room for both");
        Some(Large { place, nonsense: nonsense.clone() })
    };
    let (senseless, of_another_kind) = (vec![u8::MAX; LARGE], encode(&Outcome::Status(1)).expect("it fits"));
    let of_another_kind = &of_another_kind[size_of::<u32>()..];
    for (call, outcome, words) in
        [(0, &*senseless, "a frame is no message"), (1, of_another_kind, "it answers stop_server as another")]
    {
        house.submit(Ask::StopServer);
        until_told(&house.line, call).await;
        house.desk.ended(&house.line, call, None, outcome, large()).expect("it is read elsewhere");
        let why = found.recv().await.expect("the sender is here").to_string();
        assert!(why.starts_with(words), "{why}");
        assert!(matches!(house.answer(), Some(Err(CallError::Gone))));
    }
}

#[tokio::test]
async fn what_comes_back_while_nobody_listens_does_not_hang_but_not_for_ever() {
    const GRACE: Duration = Duration::from_millis(10);
    const MORE: Duration = Duration::from_secs(1);
    let house = House::new();
    house.submit(Ask::StopServer);
    let deadline = house.desk.state().lanes.running()[0].deadline();
    let hangs = |now: Duration, unheard_until: Option<Duration>| {
        let unheard_until = unheard_until.map(|until| deadline + until);
        house.desk.hangs(GRACE, deadline + now, unheard_until).is_some()
    };
    for (now, unheard_until, does) in [
        (GRACE, None, false),
        (MORE, None, true),
        // It is not listened to still.
        (MORE, Some(MORE), false),
        // It is again, and has the grace to be heard.
        (MORE + GRACE, Some(MORE), false),
        (MORE + MORE, Some(MORE), true),
        (UNHEARD_LIMIT + GRACE, Some(UNHEARD_LIMIT + GRACE), false),
        (UNHEARD_LIMIT + MORE, Some(UNHEARD_LIMIT + MORE), true),
    ] {
        assert_eq!(hangs(now, unheard_until), does, "{now:?}, unheard until {unheard_until:?}");
    }
    // Before its deadline nothing is granted.
    assert_eq!(house.desk.hangs(GRACE, deadline + MORE, Some(Instant::now())), Some(Function::StopServer));
}
