//! The checks of the family `predicates`.

use crate::{
    bench::Bench,
    verdict::{Verdict, fault},
};

pub(crate) fn predicates_count(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn predicates_agree(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn predicates_of_unknown(_bench: &Bench) -> Verdict {
    fault("it is not written")
}
