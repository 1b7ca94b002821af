//! What is said is heard as it was said.

use longshore_plugin_abi::abi_stable::std_types::{RString, RVec};
use proptest::prelude::*;

use super::*;
use crate::{
    error::Function,
    runner::frame::{decode, decode_first, encode},
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
        let _ = decode::<FromRunner<'_>>(&garbage).is_ok();
        let _ = decode::<Outcome<'_>>(&garbage).map(|outcome| outcome.into_answer(Duration::ZERO).is_ok());
        let _ = decode::<Body<'_>>(&garbage).is_ok();
        let _ = decode::<(Opening, Hello<'_>)>(&garbage).is_ok();
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
    for (outcome, error) in [
        (Outcome::NotMade(NotMade::OutOfTime), CallError::NotSent { reason: out_of_time }),
        (Outcome::NotMade(NotMade::ShutDown), CallError::NotSent { reason: NotSent::ShutDown }),
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
