//! The checks of the family `load`.

use crate::{
    bench::Bench,
    verdict::{Verdict, fault},
};

pub(crate) fn load_symbols(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn load_layout(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn load_unwinds(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn load_metadata(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn load_interfaces(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn load_schema(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn load_schema_describes(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn load_config_is_taken(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn load_config_names_the_field(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn load_config_unknown_field(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn load_starts_no_thread(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn load_changes_no_signal(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn load_changes_no_environment(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn load_prints_nothing(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn load_is_quick(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn instances_stand_apart(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn instances_share_a_backend(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn instances_in_number(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn drop_ends_threads(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn drop_closes_descriptors(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn drop_leaves_workers(_bench: &Bench) -> Verdict {
    fault("it is not written")
}

pub(crate) fn drop_is_quick(_bench: &Bench) -> Verdict {
    fault("it is not written")
}
