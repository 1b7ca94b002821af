//! The checks of the family `list`.

use crate::{
    bench::Bench,
    verdict::{Verdict, fault},
};

pub(crate) fn list_names_all(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn list_tokens_and_counts(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn list_of_many(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn list_while_launching(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn list_other_clusters(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn list_none_that_stopped(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn list_anew(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn list_elsewhere(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn list_in_an_outage(_bench: &Bench) -> Verdict {
    fault("it is not written")
}
