//! What the specimen does wrong at the boundary itself: its crashes, and the mutations that no trait could express.

use std::sync::OnceLock;

use longshore_plugin_abi::{
    Failure, RootModuleRef,
    abi_stable::{
        library::LibHeader,
        std_types::{ROption, RStr, RString, RVec},
    },
    kind, status,
};

use crate::{
    crash::{Crash, How},
    mutated::{Mutated, is_odd},
    mutation::Mutation,
    raw::{self, BAD_ANSWER, BAD_STATUS, Reply, Spoiler},
    settings::Function,
    specimen::Config,
};

/// The status that no contract knows.
const NO_STATUS: u8 = 4;

/// What the library of the specimen exports: `examples/specimen.rs`.
pub const fn specimen() -> LibHeader {
    raw::header::<Spoilt>()
}

/// What is wrong below the trait, for one instance.
pub(crate) struct Spoilt {
    crashes: Vec<Crash>,
    bend: Option<Mutation>,
}

/// The configuration, where it can be read; the provider says what is wrong with it otherwise.
fn read(config: &str) -> Option<Config> {
    serde_json::from_str(config).ok()
}

impl Spoiler for Spoilt {
    type Provider = Mutated;

    fn inner() -> &'static OnceLock<RootModuleRef> {
        static INNER: OnceLock<RootModuleRef> = OnceLock::new();
        &INNER
    }

    fn before_create(config: &str) -> Result<(), Failure> {
        let crashes = read(config).map(|config| config.all_crashes()).unwrap_or_default();
        strike(&crashes, Function::Create, false);
        senseless(&crashes, Function::Create)
    }

    fn new(config: &str) -> Result<Self, Failure> {
        let config = read(config).ok_or_else(|| Failure {
            kind: kind::CONFIG,
            message: "it was readable before".into(),
            field: RString::new(),
        })?;
        let crashes = config.all_crashes();
        strike(&crashes, Function::Create, true);
        Ok(Self { crashes, bend: config.mutation.filter(|mutation| mutation.is_raw()) })
    }

    fn before(&self, function: Function, handles: &[RStr<'_>]) -> Result<(), Failure> {
        strike(&self.crashes, function, false);
        if !function.answers() {
            senseless(&self.crashes, function)?;
        }
        if self.bend == Some(Mutation::OddTextEndsTheProcess)
            && function == Function::Status
            && let Some(odd) = handles.iter().find(|handle| is_odd(handle.as_str()))
        {
            panic!("a handle that no worker can have: {odd:?}");
        }
        Ok(())
    }

    fn after(&self, function: Function, reply: Reply<'_>) {
        strike(&self.crashes, function, true);
        if self.crashes.iter().any(|crash| crash.how == How::Senseless && crash.is_due(function)) {
            return reply.make_senseless();
        }
        match (self.bend, reply) {
            (Some(Mutation::StatusIsZero), Reply::Numbers(numbers)) if function == Function::Status => {
                replace(numbers, status::STOPPED, BAD_STATUS);
            }
            (Some(Mutation::StatusIsFour), Reply::Numbers(numbers)) if function == Function::Status => {
                replace(numbers, status::RUNNING, NO_STATUS);
            }
            (Some(Mutation::PredicateIsSeven), Reply::Numbers(numbers))
                if function == Function::IsRunning =>
            {
                replace(numbers, 1, BAD_ANSWER);
            }
            (Some(Mutation::KillIsSeven), Reply::Kill(reply)) => replace(&mut reply.answers, 1, BAD_ANSWER),
            (Some(Mutation::ServerStatusIsZero), Reply::ServerStatus(number))
                if *number == status::STOPPED =>
            {
                *number = BAD_STATUS;
            }
            (Some(Mutation::ServerAddressIsUnreadable), Reply::ServerAddress(address))
                if address.is_some() =>
            {
                *address = ROption::RSome("{\"host\":".into());
            }
            _ => {}
        }
    }
}

impl Drop for Spoilt {
    fn drop(&mut self) {
        strike(&self.crashes, Function::Drop, false);
    }
}

/// Crashes in a function whose turn it is, before or after its work.
fn strike(crashes: &[Crash], function: Function, late: bool) {
    for crash in crashes.iter().filter(|crash| crash.late == late) {
        crash.strike(function);
    }
}

/// The failure of a kind that is none, of a function that has nothing else to answer nonsense in.
fn senseless(crashes: &[Crash], function: Function) -> Result<(), Failure> {
    if crashes.iter().any(|crash| crash.how == How::Senseless && crash.is_due(function)) {
        return Err(raw::unheard_of());
    }
    Ok(())
}

fn replace(numbers: &mut RVec<u8>, good: u8, bad: u8) {
    numbers.iter_mut().filter(|number| **number == good).for_each(|number| *number = bad);
}
