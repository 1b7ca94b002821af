//! The checks of the family `kill`.

use crate::{
    bench::Bench,
    verdict::{Verdict, fault},
};

pub(crate) fn kill_order(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_of_none(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_of_many(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_unknown(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_stopped(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_odd_text(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_twice(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_twice_at_once(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_stops(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_stops_the_stubborn(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_from_a_new_instance(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_whole_container(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_children(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_nobody_else(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_near_misses(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_initializing(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn kill_mixed(_bench: &Bench) -> Verdict {
    fault("it is not written")
}
