//! The checks of the family `status`.

use crate::{
    bench::Bench,
    verdict::{Verdict, fault},
};

pub(crate) fn status_order(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn status_of_none(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn status_of_many(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn status_comes_to_run(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn status_of_unknown(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn status_of_odd_text(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn status_of_near_misses(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn status_changes_nothing(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn status_stopped_is_final(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn status_own_end_is_final(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn status_in_an_outage(_bench: &Bench) -> Verdict {
    fault("it is not written")
}
