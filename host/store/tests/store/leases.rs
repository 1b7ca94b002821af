//! One writer a cluster: whoever claims it ends the lease of everyone before.

use longshore_store::{Journal, JournalErrorKind, Lease, SqliteJournal};

use crate::support::{append, claim, fast_folder, open, scaled, snapshot, wait};

#[track_caller]
fn fenced(journal: &SqliteJournal, lease: &Lease, why: &str) {
    let errors = [
        wait(journal.append(lease, vec![scaled(1)])).map(drop),
        wait(journal.append(lease, vec![])).map(drop),
        wait(journal.compact(lease, snapshot(1))),
        wait(journal.remove(lease)),
    ];
    for error in errors {
        let error = error.expect_err("the lease is over");
        assert_eq!(error.kind, JournalErrorKind::Fenced);
        assert!(error.to_string().contains(why), "{error}");
    }
}

const LATER: &str = "claimed by a later host";
const OVER: &str = "claim it anew";

#[test]
fn a_later_claim_ends_the_one_before() {
    let journal = SqliteJournal::in_memory();
    let first = claim(&journal, "web").lease;
    let second = claim(&journal, "web").lease;
    fenced(&journal, &first, LATER);
    append(&journal, &second, vec![scaled(1)]);
    fenced(&journal, &first, LATER);
    let third = claim(&journal, "web").lease;
    fenced(&journal, &second, LATER);
    assert!(first.term < second.term && second.term < third.term);
    // Another cluster's claims are of no concern.
    let other = claim(&journal, "other").lease;
    append(&journal, &third, vec![scaled(2)]);
    append(&journal, &other, vec![scaled(2)]);
}

#[test]
fn terms_are_never_used_twice() {
    let folder = fast_folder();
    let mut latest = 0;
    for round in 0..3 {
        let journal = open(folder.path());
        for cluster in ["a", "b", "a"] {
            let lease = claim(&journal, cluster).lease;
            assert!(lease.term > latest, "round {round}");
            latest = lease.term;
            append(&journal, &lease, vec![scaled(round)]);
        }
        // Neither does forgetting all of them take terms back.
        for cluster in ["a", "b"] {
            let lease = claim(&journal, cluster).lease;
            latest = lease.term;
            wait(journal.remove(&lease)).expect("removed");
        }
    }
}

#[test]
fn a_lease_ends_with_its_cluster() {
    let journal = SqliteJournal::in_memory();
    let lease = claim(&journal, "web").lease;
    append(&journal, &lease, vec![scaled(1)]);
    wait(journal.remove(&lease)).expect("removed");
    fenced(&journal, &lease, OVER);
    let never = claim(&journal, "never").lease;
    wait(journal.remove(&never)).expect("there is nothing to remove");
    fenced(&journal, &never, OVER);
    let anew = claim(&journal, "web").lease;
    fenced(&journal, &lease, LATER);
    append(&journal, &anew, vec![scaled(2)]);
    assert_eq!(wait(journal.history("web", None, 9)).expect("read").len(), 1);
}

#[test]
fn leases_outlive_a_restart_until_somebody_else_claims() {
    let folder = fast_folder();
    let journal = open(folder.path());
    let lease = claim(&journal, "web").lease;
    append(&journal, &lease, vec![scaled(1)]);
    drop(journal);
    let journal = open(folder.path());
    append(&journal, &lease, vec![scaled(2)]);
    let later = claim(&journal, "web");
    assert_eq!(later.kept.tail.len(), 2);
    fenced(&journal, &lease, LATER);
}

#[test]
fn nothing_to_stand_for_is_no_snapshot() {
    let journal = SqliteJournal::in_memory();
    let lease = claim(&journal, "web").lease;
    let error = wait(journal.compact(&lease, snapshot(1))).expect_err("there is no entry");
    assert!(error.to_string().contains("append one first"), "{error}");
    append(&journal, &lease, vec![scaled(1)]);
}
