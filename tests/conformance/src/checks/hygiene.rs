//! The checks of the family `hygiene`.

use crate::{
    bench::Bench,
    verdict::{Verdict, fault},
};

pub(crate) fn odd_text_does_no_harm(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn instance_survives_failures(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn cycles_leave_no_descriptors(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn cycles_leave_no_threads(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn cycles_leave_no_memory(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn cycles_leave_no_files(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn instances_leave_nothing(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn output_stays_empty(_bench: &Bench) -> Verdict {
    fault("it is not written")
}
