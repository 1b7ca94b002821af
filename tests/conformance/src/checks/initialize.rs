//! The checks of the family `initialize`.

use crate::{
    bench::Bench,
    verdict::{Verdict, fault},
};

pub(crate) fn initialize_again(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn initialize_spares_workers(_bench: &Bench) -> Verdict {
    fault("it is not written")
}
