//! The checks of the family `concurrency`.

use crate::{
    bench::Bench,
    verdict::{Verdict, fault},
};

pub(crate) fn calls_from_many_threads(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_beside_kill(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn status_beside_a_long_run(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn cancelled_call_returns(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn late_call_returns(_bench: &Bench) -> Verdict {
    fault("it is not written")
}
