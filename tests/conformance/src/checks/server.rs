//! The checks of the family `server`.

use crate::{
    bench::Bench,
    verdict::{Verdict, fault},
};

pub(crate) fn server_once(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn server_once_anew(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn server_stops(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn server_stop_of_none(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn server_of_its_cluster(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn server_address(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn server_status_of_none(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn server_status_comes_to_run(_bench: &Bench) -> Verdict {
    fault("it is not written")
}
