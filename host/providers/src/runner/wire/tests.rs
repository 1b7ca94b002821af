//! What is said is heard as it was said.

use longshore_plugin_abi::abi_stable::std_types::{RString, RVec};
use proptest::prelude::*;

use super::*;
use crate::{
    error::Function,
    heap,
    runner::{
        frame::{FrameError, decode, decode_first, encode},
        reading::weight,
    },
};

fn texts() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(".{0,12}", 0..12)
}

/// The bytes of a message, without the length before them.
fn said(message: &impl Serialize) -> Vec<u8> {
    encode(message).expect("it fits").split_off(size_of::<u32>())
}

fn raw() -> impl Strategy<Value = Raw> {
    let short = prop::option::of((".{0,9}", any::<bool>()));
    let all = |texts: Vec<String>| texts.into_iter().map(RString::from).collect::<RVec<_>>();
    prop_oneof![
        Just(Raw::Nothing),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|values| Raw::Values(values.into())),
        (texts(), short).prop_map(move |(handles, short)| {
            let short = short.map(|(reason, retryable)| Shortfall { reason: reason.into(), retryable });
            Raw::Run(RunReply { handles: all(handles), shortfall: short.into() })
        }),
        (prop::collection::vec(any::<u8>(), 0..9), prop::collection::vec((any::<u64>(), ".{0,9}"), 0..9))
            .prop_map(|(answers, reasons)| {
                let reason = |(index, text): (u64, String)| Reason { index, text: text.into() };
                Raw::Kill(KillReply {
                    answers: answers.into(),
                    reasons: reasons.into_iter().map(reason).collect(),
                })
            }),
        prop::collection::vec((".{0,9}", ".{0,9}", any::<u32>()), 0..9).prop_map(|entries| {
            let listed = |(handle, token, workers): (String, String, u32)| Listed {
                handle: handle.into(),
                token: token.into(),
                workers,
            };
            Raw::List(ListReply { entries: entries.into_iter().map(listed).collect() })
        }),
        any::<u8>().prop_map(Raw::Status),
        prop::option::of(".{0,9}")
            .prop_map(|text: Option<String>| Raw::Document(text.map(RString::from).into())),
    ]
}

proptest! {
    #[test]
    fn an_answer_arrives_as_the_plugin_gave_it(raw in raw(), id in any::<u64>(), inside in any::<Option<u64>>()) {
        let frame = said(&(FromRunner::Ended { id, inside }, Outcome::from(&raw)));
        let (first, rest) = decode_first::<FromRunner<'_>>(&frame).expect("it makes sense");
        let is_it = matches!(first, FromRunner::Ended { id: told, inside: long } if (told, long) == (id, inside));
        prop_assert!(is_it, "{first:?}");
        let outcome = decode::<Outcome<'_>>(rest).expect("it makes sense");
        let arrived = outcome.into_answer(Duration::ZERO).expect("it is an answer");
        prop_assert_eq!(format!("{arrived:?}"), format!("{raw:?}"));
    }

    #[test]
    fn a_call_arrives_as_it_was_made(handles in texts(), document in ".{0,40}", id in any::<u64>(), verbose in any::<u8>()) {
        let head = ToRunner::Call { id, deadline: id / 2 };
        for number in 0..3 {
            let ask = match number {
                0 => Ask::Status(Texts::from(&handles[..])),
                1 => Ask::Run(document.as_str()),
                _ => Ask::Cleanup { deep: true },
            };
            let function = ask.function();
            let frame = said(&(head, Body { cluster: "c", verbose, level: 3, ask }));
            let (first, rest) = decode_first::<ToRunner>(&frame).expect("it makes sense");
            prop_assert_eq!(first, head);
            let body = decode::<Body<'_>>(rest).expect("it makes sense");
            prop_assert_eq!((body.cluster, body.verbose, body.ask.function()), ("c", verbose, function));
            match body.ask {
                Ask::Status(texts) => {
                    let arrived: Vec<_> = texts.0.iter().map(RStr::as_str).collect();
                    prop_assert_eq!(&arrived, &handles);
                }
                Ask::Run(arrived) => prop_assert_eq!(arrived, &document),
                _ => {}
            }
        }
    }

    #[test]
    fn no_garbage_is_worse_than_an_error(garbage in prop::collection::vec(any::<u8>(), 0..256)) {
        is_bounded(&garbage)?;
    }

    #[test]
    fn what_is_cut_short_or_goes_on_is_no_answer(raw in raw(), end in any::<prop::sample::Index>(), more in any::<u8>()) {
        let frame = said(&Outcome::from(&raw));
        let cut = &frame[..end.index(frame.len())];
        prop_assert!(matches!(decode::<Outcome<'_>>(cut), Err(FrameError::Senseless(_))), "{cut:?}");
        let longer = [&frame[..], &[more]].concat();
        prop_assert!(matches!(decode::<Outcome<'_>>(&longer), Err(FrameError::Senseless(_))), "{longer:?}");
        is_bounded(cut)?;
    }

    #[test]
    fn what_was_damaged_on_its_way_is_an_error_or_another_answer(
        raw in raw(),
        flips in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let mut frame = said(&(FromRunner::Ended { id: 7, inside: None }, Outcome::from(&raw)));
        for flip in flips {
            let bit = flip.index(frame.len() * 8);
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        is_bounded(&frame)?;
        if let Ok((_, rest)) = decode_first::<FromRunner<'_>>(&frame) {
            is_bounded(rest)?;
        }
    }
}

/// Reads bytes as each thing that is said, which makes an error with a name of what is none, and takes no more memory than a frame of
/// that length may.
fn is_bounded(bytes: &[u8]) -> Result<(), TestCaseError> {
    // An error is told in words, which take room as well.
    const WORDS: usize = 16 << 10;
    let (error, peak) = heap::peak(|| {
        let errors = [
            decode::<FromRunner<'_>>(bytes).err(),
            decode::<Outcome<'_>>(bytes).map(|outcome| drop(outcome.into_answer(Duration::ZERO))).err(),
            decode::<Body<'_>>(bytes).err(),
            decode::<ToRunner>(bytes).err(),
            decode::<(Opening, Hello<'_>)>(bytes).err(),
        ];
        errors.into_iter().flatten().find(|error| !matches!(error, FrameError::Senseless(_)))
    });
    prop_assert!(error.is_none(), "{error:?}");
    prop_assert!(peak <= weight(bytes.len()) + WORDS, "{peak} bytes for {}", bytes.len());
    Ok(())
}

#[test]
fn what_is_announced_takes_no_room_before_it_comes() {
    // A list, reasons of a kill, and handles of a run, each of as many as a number can say; then guards that are lacking.
    let many = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for head in [&[4][..], &[3, 0], &[2], &[1]] {
        for rest in [0, 1, 1000] {
            let bytes = [head, &many, &vec![0; rest]].concat();
            assert!(decode::<Outcome<'_>>(&bytes).is_err() && decode::<FromRunner<'_>>(&bytes).is_err());
            is_bounded(&bytes).expect("it is bounded");
        }
    }
}

#[test]
fn more_guards_than_there_are_are_counted_and_not_kept() {
    let lacking = FromRunner::Lacking(std::iter::repeat_n("", 1 << 20).collect());
    let frame = said(&lacking);
    let (heard, peak) = heap::peak(|| match decode::<FromRunner<'_>>(&frame) {
        Ok(FromRunner::Lacking(lacking)) => (lacking.is_whole(), lacking.count()),
        other => panic!("{other:?}"),
    });
    assert_eq!(heard, (false, 1 << 20));
    assert!(peak < 1 << 10, "{peak}");
}

#[test]
fn a_text_for_a_person_is_taken_over_as_far_as_it_is_for_one() {
    let text = "x".repeat(1 << 20);
    let failed = Failed { kind: 1, message: &text, field: &text };
    let short = Outcome::Run { handles: Texts(vec![]).into(), shortfall: Some((&text, true)) };
    let reasons = [(0, text.as_str())].into_iter().collect();
    for outcome in [short, Outcome::Kill { answers: &[0], reasons }, Outcome::Failed(failed)] {
        let frame = said(&outcome);
        let outcome = decode::<Outcome<'_>>(&frame).expect("it makes sense");
        let told = format!("{:?}", outcome.into_answer(Duration::ZERO));
        assert!(told.contains("bytes cut off") && told.len() < 64 << 10, "{}", told.len());
    }
}

#[test]
fn a_version_can_be_told_whatever_follows_it() {
    let frame = said(&(Opening { magic: MAGIC, version: 99 }, "a hello of another time"));
    let (opening, _) = decode_first::<Opening>(&frame).expect("that never changes");
    assert_ne!(opening, Opening::OURS);
    assert_eq!(said(&FromRunner::OtherVersion(1)), [0, 1], "that never changes either");
}

#[test]
fn a_hello_arrives_as_it_was_said() {
    let serve =
        Serve { provider: "docker", config: "{}", threads: 8, idle: Duration::from_secs(30), level: 3 };
    let hello = Hello { path: "/x.so", hash: "00", confine: Some("{}"), serve: Some(serve) };
    let frame = said(&(Opening::OURS, &hello));
    let (opening, heard) = decode::<(Opening, Hello<'_>)>(&frame).expect("it makes sense");
    assert_eq!((opening, heard), (Opening::OURS, hello));
}

#[test]
fn what_was_not_made_and_what_is_lost_is_told_apart() {
    let answer = |outcome: Outcome<'_>| {
        let frame = said(&outcome);
        decode::<Outcome<'_>>(&frame).expect("it makes sense").into_answer(Duration::from_secs(1))
    };
    let out_of_time = NotSent::OutOfTime { waited: Duration::from_secs(1) };
    let turned_down = NotSent::TurnedDown { why: "what?".to_owned() };
    for (outcome, error) in [
        (Outcome::NotMade(NotMade::OutOfTime), CallError::NotSent { reason: out_of_time }),
        (Outcome::NotMade(NotMade::ShutDown), CallError::NotSent { reason: NotSent::ShutDown }),
        (Outcome::NotMade(NotMade::TurnedDown("what?")), CallError::NotSent { reason: turned_down }),
        (Outcome::Lost, CallError::Gone),
    ] {
        assert_eq!(answer(outcome).expect_err("it is no answer"), error);
    }
    let failed = Failed { kind: 5, message: "who knows", field: "" };
    let error = answer(Outcome::Failed(failed)).expect_err("it failed");
    assert!(matches!(&error, CallError::Failed(error) if error.message() == "who knows"), "{error}");
}

#[test]
fn every_answer_fits_its_function_and_no_other_kind_does() {
    assert!(Raw::Values(RVec::new()).fits(Function::IsStopped) && Raw::Nothing.fits(Function::StopServer));
    assert!(!Raw::Nothing.fits(Function::Status) && !Raw::Status(1).fits(Function::Status));
}
