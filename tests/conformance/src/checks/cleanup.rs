//! The checks of the family `cleanup`.

use crate::{
    bench::Bench,
    verdict::{Verdict, fault},
};

pub(crate) fn cleanup_spares_workers(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn cleanup_deep_spares_workers(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn cleanup_spares_the_server(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn cleanup_again(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn cleanup_beside_run(_bench: &Bench) -> Verdict {
    fault("it is not written")
}
