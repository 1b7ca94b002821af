//! The checks of the family `run`.

use crate::{
    bench::Bench,
    verdict::{Verdict, fault},
};

pub(crate) fn run_few(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_hundred(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_thousand(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_hundred_thousand(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_falls_short(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_never_more(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_none(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_handles_are_text(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_handles_are_fresh(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_handles_are_fresh_anew(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_token_twice(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_token_twice_anew(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_token_twice_elsewhere(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_token_twice_after_kill(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_token_at_once(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_is_known_at_once(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_is_known_to_others(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_is_known_elsewhere(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_arguments(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_environment(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_variables_of_longshore(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_folder(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_that_fails_leaves_nothing(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_cancelled_leaves_nothing(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_late_leaves_nothing(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_fills_containers(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_one_a_container(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn run_odd_names(_bench: &Bench) -> Verdict {
    fault("it is not written")
}
