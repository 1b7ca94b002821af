//! The faults of [`settings`](crate::settings) that only the boundary's own types can express.

use std::sync::OnceLock;

use longshore_plugin_abi::{
    Failure, Reason, RootModuleRef,
    abi_stable::{
        library::LibHeader,
        std_types::{ROption, RStr, RString, RVec},
    },
};

use crate::{
    mutant::Mutant,
    raw::{self, BAD_ANSWER, BAD_STATUS, Reply, Spoiler},
    settings::{Fault, Function, Plan},
};

/// What the library exports that breaks what its configuration says: `examples/mutant.rs`.
pub const fn mutant() -> LibHeader {
    raw::header::<Faulty>()
}

/// The raw faults of one instance.
pub(crate) struct Faulty {
    plan: Plan,
}

impl Spoiler for Faulty {
    type Provider = Mutant;

    fn inner() -> &'static OnceLock<RootModuleRef> {
        static INNER: OnceLock<RootModuleRef> = OnceLock::new();
        &INNER
    }

    fn new(config: &str) -> Result<Self, Failure> {
        // The provider has read and checked the same text.
        let plan = serde_json::from_str(config).ok().and_then(|settings| Plan::new(settings).ok());
        let plan = plan.unwrap_or_else(|| std::process::abort());
        match plan.due(Function::Create, true) {
            Some(_) => Err(raw::unheard_of()),
            None => Ok(Self { plan }),
        }
    }

    fn before(&self, function: Function, _handles: &[RStr<'_>]) -> Result<(), Failure> {
        if self.plan.has(function, Fault::UnheardOf) && self.plan.due(function, true).is_some() {
            return Err(raw::unheard_of());
        }
        Ok(())
    }

    fn after(&self, function: Function, reply: Reply<'_>) {
        if self.plan.has(function, Fault::UnheardOf) || self.plan.due(function, true).is_none() {
            return;
        }
        match reply {
            Reply::Numbers(statuses) if function == Function::Status => bad_first(statuses, BAD_STATUS),
            Reply::Numbers(answers) => bad_first(answers, BAD_ANSWER),
            Reply::Kill(reply) if self.plan.has(function, Fault::BadReason) => {
                let index = reply.answers.len() as u64;
                reply.reasons.push(Reason { index, text: "of a handle that nobody asked for".into() });
            }
            Reply::Kill(reply) => bad_first(&mut reply.answers, BAD_ANSWER),
            Reply::ServerStatus(status) => *status = BAD_STATUS,
            Reply::ServerAddress(address) => *address = ROption::RSome(RString::from("{\"host\":")),
            Reply::Run(_) | Reply::List(_) | Reply::Nothing => {}
        }
    }
}

fn bad_first(answers: &mut RVec<u8>, bad: u8) {
    if let Some(first) = answers.first_mut() {
        *first = bad;
    }
}
