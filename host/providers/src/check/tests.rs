//! One test a rule: the sound answer passes, the unsound one is refused with its clause.

use longshore_plugin_abi::{
    Listed, Reason, Shortfall as RawShortfall,
    abi_stable::std_types::{ROption, RString, RVec},
};

use super::*;

fn reply(handles: &[&str], short: Option<&str>) -> RunReply {
    RunReply {
        handles: handles.iter().map(|handle| RString::from(*handle)).collect(),
        shortfall: short
            .map(|reason| RawShortfall { reason: reason.into(), retryable: true })
            .map_or(ROption::RNone, ROption::RSome),
    }
}

fn refused(asked: u32, max_workers: u32, reply: RunReply) -> (Clause, Vec<(Arc<str>, u32)>) {
    let violation = run(asked, max_workers, reply).expect_err("the answer breaks a clause");
    assert_eq!(violation.function, Function::Run);
    (violation.clause, violation.claimed)
}

fn pairs(handles: &[(&str, u32)]) -> Vec<(Arc<str>, u32)> {
    handles.iter().map(|(handle, workers)| ((*handle).into(), *workers)).collect()
}

#[test]
fn shared_handles_are_counted_in_the_order_of_their_first_appearance() {
    let launched = run(5, 3, reply(&["b", "a", "b", "c", "b"], None)).expect("it is sound");
    assert_eq!(launched.handles, pairs(&[("b", 3), ("a", 1), ("c", 1)]));
    assert_eq!((launched.workers(), launched.shortfall), (5, None));
}

#[test]
fn fewer_needs_a_shortfall() {
    let launched = run(3, 1, reply(&["a"], Some("no room"))).expect("it is sound");
    assert_eq!(launched.shortfall, Some(Shortfall { reason: "no room".into(), retryable: true }));
    assert_eq!(refused(3, 1, reply(&["a", "b"], None)), (Clause::RunCount, pairs(&[("a", 1), ("b", 1)])));
    assert_eq!(refused(3, 1, reply(&[], None)).0, Clause::RunCount);
    assert_eq!(refused(1, 1, reply(&["a"], Some("all there"))).0, Clause::RunCount);
}

#[test]
fn a_shortfall_without_a_reason_is_refused() {
    assert_eq!(refused(2, 1, reply(&["a"], Some(" "))), (Clause::RunCount, pairs(&[("a", 1)])));
}

#[test]
fn more_than_asked_is_refused_and_every_handle_is_told() {
    let (clause, claimed) = refused(1, 4, reply(&["a", "b", "b"], None));
    assert_eq!((clause, claimed), (Clause::RunNeverMore, pairs(&[("a", 1), ("b", 2)])));
    assert_eq!(refused(0, 1, reply(&["a"], None)), (Clause::RunZero, pairs(&[("a", 1)])));
    assert_eq!(run(0, 1, reply(&[], None)), Ok(Launched::default()));
}

#[test]
fn unfit_handles_are_refused_and_the_fit_ones_are_told() {
    let longest = "x".repeat(MAX_HANDLE_BYTES);
    run(1, 1, reply(&[&longest], None)).expect("256 bytes are allowed");
    for unfit in ["", "a\nb", "\u{7f}", "\u{85}", &format!("{longest}x")] {
        let (clause, claimed) = refused(2, 1, reply(&[unfit, "good"], None));
        assert_eq!((clause, claimed), (Clause::RunHandle, pairs(&[("good", 1)])), "{unfit:?}");
    }
}

#[test]
fn a_container_holds_no_more_than_max_workers() {
    run(2, 2, reply(&["a", "a"], None)).expect("two of two");
    assert_eq!(refused(3, 2, reply(&["a", "a", "a"], None)).0, Clause::RunShares);
}

#[test]
fn a_status_has_one_known_value_a_handle() {
    use WorkerStatus::{Initializing, Running, Stopped};
    assert_eq!(status(3, &[1, 2, 3]), Ok(vec![Initializing, Running, Stopped]));
    assert_eq!(status(0, &[]), Ok(vec![]));
    for (asked, values, clause) in [
        (1, &[][..], Clause::StatusCount),
        (1, &[2, 2], Clause::StatusCount),
        (1, &[0], Clause::StatusValue),
        (2, &[2, 4], Clause::StatusValue),
    ] {
        assert_eq!(status(asked, values).expect_err("it is unsound").clause, clause, "{values:?}");
    }
}

#[test]
fn a_predicate_answers_yes_or_no_for_each() {
    assert_eq!(predicate(Function::IsRunning, 2, &[0, 1]), Ok(vec![false, true]));
    for values in [&[1][..], &[1, 1, 1], &[1, 2]] {
        let violation = predicate(Function::IsStopped, 2, values).expect_err("it is unsound");
        assert_eq!((violation.clause, violation.function), (Clause::PredicateCount, Function::IsStopped));
    }
}

fn kill_reply(answers: &[u8], reasons: &[(u64, &str)]) -> KillReply {
    KillReply {
        answers: answers.iter().copied().collect(),
        reasons: reasons.iter().map(|(index, text)| Reason { index: *index, text: (*text).into() }).collect(),
    }
}

#[test]
fn a_kill_tells_why_for_the_handle_that_it_is_about() {
    let killed = kill(3, kill_reply(&[1, 0, 0], &[(2, "busy"), (0, "beside the point"), (9, "nobody")]));
    let none_given = Killed::No("the provider gave no reason".into());
    assert_eq!(killed, Ok(vec![Killed::Yes, none_given, Killed::No("busy".into())]));
    for answers in [&[1][..], &[1, 1, 1], &[1, 7]] {
        let violation = kill(2, kill_reply(answers, &[])).expect_err("it is unsound");
        assert_eq!(violation.clause, Clause::KillCount);
    }
}

fn listing(entries: &[(&str, u32)]) -> ListReply {
    let listed = |(handle, workers): &(&str, u32)| Listed {
        handle: (*handle).into(),
        token: "t-1".into(),
        workers: *workers,
    };
    ListReply { entries: entries.iter().map(listed).collect::<RVec<_>>() }
}

#[test]
fn a_list_names_each_handle_once_with_its_workers() {
    let listed = list(listing(&[("a", 1), ("b", 4)])).expect("it is sound");
    assert_eq!((listed[1].handle.as_str(), listed[1].token.as_str(), listed[1].workers), ("b", "t-1", 4));
    for (entries, clause) in [
        (&[("a", 1), ("a", 1)][..], Clause::ListComplete),
        (&[("a", 0)], Clause::ListComplete),
        (&[("", 1)], Clause::RunHandle),
        (&[("a\t", 1)], Clause::RunHandle),
    ] {
        assert_eq!(list(listing(entries)).expect_err("it is unsound").clause, clause);
    }
}

#[test]
fn a_list_names_tokens_that_a_launch_can_have() {
    let with_token = |bytes: usize| {
        let mut reply = listing(&[("a", 1)]);
        reply.entries[0].token = "t".repeat(bytes).into();
        list(reply)
    };
    assert!(with_token(MAX_TOKEN_BYTES).is_ok());
    let violation = with_token(MAX_TOKEN_BYTES + 1).expect_err("no launch has one");
    assert_eq!(violation.clause, Clause::ListComplete);
    assert!(violation.detail.contains("a token of 65 bytes"), "{}", violation.detail);
}

#[test]
fn no_answer_has_more_entries_than_any_may_have_wherever_it_comes_from() {
    let entries = vec![("a", 1); MAX_ENTRIES + 1];
    let violation = list(listing(&entries)).expect_err("they are too many");
    assert_eq!(violation.detail, "it answered with 1048577 handles, of at most 1048576 in one answer");
    let reasons = vec![(0, "busy"); MAX_ENTRIES + 1];
    let violation = kill(1, kill_reply(&[0], &reasons)).expect_err("they are too many");
    assert_eq!(violation.detail, "it answered with 1048577 reasons, of at most 1048576 in one answer");
}

#[test]
fn why_something_failed_is_taken_over_as_far_as_it_is_for_a_person() {
    let long = "x".repeat(1 << 20);
    let killed = kill(1, kill_reply(&[0], &[(0, &long)])).expect("it is sound");
    assert!(matches!(&killed[..], [Killed::No(why)] if why.ends_with("bytes cut off)")));
    let launched = run(2, 1, reply(&["a"], Some(&long))).expect("it is sound");
    assert!(launched.shortfall.expect("it says why").reason.ends_with("bytes cut off)"));
}

#[test]
fn a_server_has_a_status_and_an_address_that_mean_something() {
    assert_eq!(server_status(2), Ok(WorkerStatus::Running));
    assert_eq!(server_status(0).expect_err("0 is none").clause, Clause::ServerStatus);
    let address = server_address(r#"{"host":"db","port":1}"#).expect("it is sound");
    assert_eq!((address.host.as_str(), address.port), ("db", Some(1)));
    for document in ["", "{}", r#"{"host":" ","port":null}"#] {
        assert_eq!(
            server_address(document).expect_err("it is unsound").clause,
            Clause::ServerAddress,
            "{document}"
        );
    }
    let host = |bytes: usize| format!(r#"{{"host":"{}"}}"#, "h".repeat(bytes));
    assert!(server_address(&host(MAX_HOST_BYTES)).is_ok());
    let violation = server_address(&host(MAX_HOST_BYTES + 1)).expect_err("no name is as long");
    assert_eq!(violation.detail, "the server's address has a host of 254 bytes, of at most 253");
}
