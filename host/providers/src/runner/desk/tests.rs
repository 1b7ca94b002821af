//! A desk that hears a runner that is made up: what it says is believed as far as it can be true.

use std::{io::Read as _, os::unix::net::UnixStream, sync::mpsc};

use super::*;
use crate::{ask::Ask, provider::Handles, runner::line::tests::until_told};

/// A desk with a way to a runner, the way, and the runner's end of it.
fn desk() -> (Arc<Desk>, Arc<Line>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
    let desk = Desk::new(CallLimits::default(), NotSent::ShutDown);
    desk.state().way = Way::Shut(NotSent::RunnerDown { why: "it is being started".to_owned() });
    let (line, _) = Line::new(ours).expect("a line");
    let line = Arc::new(line);
    tokio::spawn(write(Arc::clone(&line)));
    desk.open(Arc::clone(&line));
    (Arc::new(desk), line, theirs)
}

/// Writes what the line does not take at once.
async fn write(line: Arc<Line>) {
    match line.write().await {}
}

type Ended = mpsc::Receiver<(Answer<Raw>, Option<Duration>)>;

/// Hands in a call, and hears of its end.
fn submit(desk: &Desk) -> Ended {
    let (told, ended) = mpsc::channel();
    desk.submit(Errand {
        control: Arc::new(Control::new(Instant::now() + Duration::from_mins(1))),
        budget: Duration::from_mins(1),
        cluster: "c".into(),
        verbose: 1,
        span: Span::none(),
        ask: Ask::Initialize,
        end: Box::new(move |answer, inside| drop(told.send((answer, inside)))),
    });
    ended
}

/// What a runner says of a call that comes to nothing special.
fn nothing() -> Vec<u8> {
    encode(&Outcome::Nothing).expect("it fits").split_off(size_of::<u32>())
}

/// The next word that the runner hears.
fn heard(runner: &mut UnixStream) -> ToRunner {
    let mut length = [0; 4];
    runner.read_exact(&mut length).expect("a frame");
    let mut frame = vec![0; u32::from_le_bytes(length) as usize];
    runner.read_exact(&mut frame).expect("a frame");
    super::super::frame::decode_first::<ToRunner>(&frame).expect("it makes sense").0
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_inside_comes_with_the_answer() {
    let (desk, line, mut runner) = desk();
    for inside in [None, Some(0), Some(1_500), Some(u64::MAX)] {
        let ended = submit(&desk);
        let ToRunner::Call { id, .. } = heard(&mut runner) else { panic!("a call was made") };
        desk.ended(&line, id, inside, &nothing(), None).expect("it makes sense");
        let (answer, told) = ended.try_recv().expect("it has ended");
        assert!(matches!(answer, Ok(Raw::Nothing)), "{answer:?}");
        // Whoever counts it knows how long the call took, and believes no more.
        assert_eq!(told, inside.map(Duration::from_nanos));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_is_asked_once_whoever_else_asks_until_it_has_answered() {
    let (desk, _, mut runner) = desk();
    let _calls = [submit(&desk), submit(&desk), submit(&desk)];
    for _ in 0..3 {
        assert!(matches!(heard(&mut runner), ToRunner::Call { .. }));
    }
    let both = async { tokio::join!(desk.count(), desk.count()) };
    let answering = async {
        assert_eq!(heard(&mut runner), ToRunner::Count);
        desk.counted(2).expect("it was asked");
    };
    let (both, ()) = tokio::join!(both, answering);
    let load = Some(RunnerLoad { inside: 2, on_the_way: 1 });
    assert_eq!(both, (load, load));
    runner.set_nonblocking(true).expect("a socket");
    let more = runner.read(&mut [0]).expect_err("the second one asked nothing of the runner");
    assert_eq!(more.kind(), std::io::ErrorKind::WouldBlock);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_does_not_answer_is_not_asked_again() {
    let (desk, _, mut runner) = desk();
    assert_eq!((desk.count().await, desk.count().await), (None, None));
    assert_eq!(heard(&mut runner), ToRunner::Count);
    runner.set_nonblocking(true).expect("a socket");
    assert!(runner.read(&mut [0]).is_err(), "what waits for it does not pile up");
    desk.counted(0).expect("late as it is, it was asked");
    let (load, ()) = tokio::join!(desk.count(), async { desk.counted(0).expect("it was asked again") });
    assert_eq!(load, Some(RunnerLoad::default()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_more_calls_inside_than_were_let_in_and_nobody_answers_unasked() {
    let (desk, _, mut runner) = desk();
    assert!(desk.counted(0).is_err(), "nobody has asked");
    let _call = submit(&desk);
    heard(&mut runner);
    let (load, ()) = tokio::join!(desk.count(), async { desk.counted(u64::MAX).expect("it was asked") });
    assert_eq!(load, Some(RunnerLoad { inside: 1, on_the_way: 0 }));
    assert!(desk.counted(0).is_err(), "it has answered already");
}

#[tokio::test]
async fn without_a_runner_nothing_is_asked() {
    let desk = Desk::new(CallLimits::default(), NotSent::ShutDown);
    assert_eq!(desk.count().await, None);
}

/// A desk with a way to nobody who listens, and where what came of its calls is told.
struct House {
    desk: Desk,
    line: Arc<Line>,
    _theirs: UnixStream,
    told: (mpsc::Sender<Answer<Raw>>, mpsc::Receiver<Answer<Raw>>),
}

impl House {
    fn new() -> Self {
        let (ours, theirs) = UnixStream::pair().expect("a line");
        let (line, _) = Line::new(ours).expect("there is a runtime");
        let (desk, line) = (Desk::new(CallLimits::default(), NotSent::ShutDown), Arc::new(line));
        desk.state().way = Way::Open(Arc::clone(&line));
        Self { desk, line, _theirs: theirs, told: mpsc::channel() }
    }

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
            end: Box::new(move |answer, _| told.send(answer).expect("the test listens")),
        });
    }

    fn ended(&self, call: u64, outcome: &Outcome<'_>) -> Result<(), FrameError> {
        let outcome = encode(outcome).expect("it is small").split_off(size_of::<u32>());
        self.desk.ended(&self.line, call, None, &outcome, None)
    }

    fn answer(&self) -> Option<Answer<Raw>> {
        self.told.1.try_recv().ok()
    }
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
        let why = house.ended(call, &Outcome::Nothing).expect_err("nobody was told").to_string();
        assert_eq!(why, format!("it answers call {call}, of which it was not told, or not since"));
    }
    house.ended(0, &Outcome::Nothing).expect("this one is on the line");
    assert!(matches!(house.answer(), Some(Ok(Raw::Nothing))));
    for call in [0, 99] {
        let again = house.ended(call, &Outcome::Nothing);
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
        let why = house.ended(call as u64, &outcome).expect_err("it is of another kind").to_string();
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
