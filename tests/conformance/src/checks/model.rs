//! The checks of the family `model`.

use crate::{
    bench::Bench,
    verdict::{Verdict, fault},
};

pub(crate) fn model(_bench: &Bench) -> Verdict {
    fault("it is not written")
}
