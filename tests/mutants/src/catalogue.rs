//! All mutants: what each does, which clause it breaks, and how it is made. Whoever claims to catch breaches proves it on these.

use longshore_plugin_api::Clause;
use serde_json::{Value, json};

use crate::{
    crash::How,
    load::{LoadMutation, Place, VARIABLE},
    mutation::Mutation,
    settings::Function,
};

/// A provider that breaks one clause.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutant {
    /// Its name: lower-case words with dashes between them.
    pub name: &'static str,
    /// What it does, in one line.
    pub what: &'static str,
    /// The clause that it breaks.
    pub clause: Clause,
    /// Its library.
    pub library: Made,
    /// What is laid over the configuration of `specimen.quirks.toml`, an object.
    pub config: Value,
    /// The variables that the process needs that loads it.
    pub env: Vec<(&'static str, String)>,
    /// Whether it shows in what takes long alone, which is run with `--long`.
    pub long: bool,
}

/// Where a library comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Made {
    /// An example of this crate.
    Example(&'static str),
    /// A source file, from this crate's folder on, that the compiler makes with flags of its own.
    Fixture {
        /// The file.
        source: &'static str,
        /// The flags.
        flags: &'static [&'static str],
    },
}

/// A provider that ends its process, or never ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Crasher {
    /// Its name, such as `status-segfault`.
    pub name: String,
    /// The function in which it crashes, by the name that the contract has for it; `constructor` for the library's own.
    pub function: &'static str,
    /// What it does there.
    pub how: How,
    /// How a process ends that comes there.
    pub end: End,
    /// A check that calls the function.
    pub check: &'static str,
    /// Its library.
    pub library: Made,
    /// As a mutant's.
    pub config: Value,
    /// As a mutant's.
    pub env: Vec<(&'static str, String)>,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// By a signal of this number.
    Signal(i32),
    /// By itself, with this code.
    Exit(i32),
    /// Not by itself; nor does the call return.
    Never,
    /// Not at all: the call returns.
    Not,
}

impl How {
    /// How it ends a process.
    pub const fn end(self) -> End {
        match self {
            Self::Segfault => End::Signal(nix::libc::SIGSEGV),
            // Where nobody contains it, a panic at the boundary becomes an abort.
            Self::Abort | Self::Panic | Self::Memory | Self::Children => End::Signal(nix::libc::SIGABRT),
            Self::Exit => End::Exit(0),
            Self::Hang | Self::Descriptors | Self::Flood => End::Never,
            Self::Garbage | Self::Contained | Self::Senseless | Self::Print => End::Not,
        }
    }
}

/// The libraries that have a file of their own, and break their clause whatever their configuration is.
const LIBRARIES: &[(&str, Clause, Made, &str)] = &[
    ("no-symbol", Clause::LoadSymbol, Made::Example("no_symbol"), "The library exports no root module."),
    (
        "undefined-symbol",
        Clause::LoadSymbol,
        Made::Example("undefined_symbol"),
        "The library needs a function that nothing has.",
    ),
    (
        "other-layout",
        Clause::LoadLayout,
        Made::Example("other_layout"),
        "The root module has other fields than the contract says.",
    ),
    (
        "other-version",
        Clause::LoadLayout,
        Made::Example("other_version"),
        "The root module says that it is of version 99 of the contract.",
    ),
    (
        "other-interface",
        Clause::LoadLayout,
        Made::Example("other_interface"),
        "The table of the worker functions has other fields than the contract says.",
    ),
    (
        "built-to-abort",
        Clause::LoadUnwind,
        Made::Fixture { source: "examples/bare.rs", flags: &["-Cpanic=abort"] },
        "The library is built to abort when it panics.",
    ),
    (
        "metadata-missing",
        Clause::LoadMetadata,
        Made::Example("metadata_missing"),
        "A field of the metadata is missing.",
    ),
    (
        "metadata-future",
        Clause::LoadMetadata,
        Made::Example("metadata_future"),
        "The metadata names contract 999.",
    ),
    (
        "no-workers",
        Clause::LoadMetadata,
        Made::Example("no_workers"),
        "The metadata lists the interface of every plugin, and the library does not answer for it.",
    ),
    (
        "metadata-schema",
        Clause::LoadSchema,
        Made::Example("metadata_schema"),
        "The schema of the configuration is none.",
    ),
];

/// How long workers are initializing where a mutation is about that, in milliseconds.
const LONG_START: u64 = 1_500;

/// Every mutant, in the order of the clauses.
pub fn all() -> Vec<Mutant> {
    let of_files = LIBRARIES.iter().map(|(name, clause, library, what)| Mutant {
        name,
        what,
        clause: *clause,
        library: *library,
        config: json!({}),
        env: Vec::new(),
        long: false,
    });
    let of_load = LoadMutation::ALL.iter().map(|mutation| Mutant {
        name: mutation.name(),
        what: mutation.text(),
        clause: mutation.clause(),
        library: Made::Example("spoilt_load"),
        config: json!({}),
        env: vec![(VARIABLE, mutation.name().to_owned())],
        long: false,
    });
    let of_specimen = Mutation::ALL.iter().map(|mutation| Mutant {
        name: mutation.name(),
        what: mutation.text(),
        clause: mutation.clause(),
        library: Made::Example("specimen"),
        config: config(*mutation),
        env: Vec::new(),
        long: *mutation == Mutation::LargeRunsLaunchNothing,
    });
    let mut all: Vec<_> = of_files.chain(of_load).chain(of_specimen).collect();
    all.sort_by_key(|mutant| mutant.clause);
    all
}

fn config(mutation: Mutation) -> Value {
    let needs_time = matches!(
        mutation,
        Mutation::InitializingSurvivesKill
            | Mutation::ListHidesInitializing
            | Mutation::PredicatesSkipInitializing
    );
    if needs_time {
        json!({ "mutation": mutation, "start_ms": LONG_START })
    } else {
        json!({ "mutation": mutation })
    }
}

/// Every plain way to crash in every function of the boundary.
pub fn crashes() -> Vec<Crasher> {
    let mut all = Vec::new();
    for how in How::PLAIN {
        for place in Place::ALL {
            let order = format!("{}:{}", place.name(), how.name());
            all.push(Crasher {
                name: format!("{}-{}", place.name(), how.name()),
                function: place.name(),
                how,
                end: how.end(),
                check: "load-metadata",
                library: Made::Example("spoilt_load"),
                config: json!({}),
                env: vec![(VARIABLE, order)],
            });
        }
        for function in Function::ALL {
            all.push(Crasher {
                name: format!("{}-{}", function.name().replace('_', "-"), how.name()),
                function: function.name(),
                how,
                end: how.end(),
                check: check_of(function),
                library: Made::Example("specimen"),
                config: json!({ "crash": { "function": function, "how": how } }),
                env: Vec::new(),
            });
        }
    }
    all
}

/// A check that calls a function.
const fn check_of(function: Function) -> &'static str {
    match function {
        Function::Create => "load-config-is-taken",
        Function::Run => "run-few",
        Function::Status => "status-of-unknown",
        Function::Kill => "kill-unknown",
        Function::IsInitializing | Function::IsRunning | Function::IsStopped => "predicates-of-unknown",
        Function::Initialize => "initialize-again",
        Function::List => "list-names-all",
        Function::RunServer => "server-once",
        Function::StopServer => "server-stop-of-none",
        Function::ServerStatus => "server-status-of-none",
        Function::ServerAddress => "server-address",
        Function::Cleanup => "cleanup-again",
        Function::Drop => "drop-is-quick",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use longshore_plugin_api::Level;

    use super::*;

    #[test]
    fn every_clause_has_a_mutant() {
        let all = all();
        let without = |clause: &&Clause| all.iter().all(|mutant| mutant.clause != **clause);
        let missing: Vec<_> = Clause::ALL.iter().filter(without).collect();
        assert!(missing.is_empty(), "no mutant breaks {missing:?}");
        let should = Clause::ALL.iter().filter(|clause| clause.level() == Level::Should).count();
        assert!(should >= 2, "those that should be kept are among them");
    }

    #[test]
    fn names_are_names_and_no_two_are_the_same() {
        let all: Vec<String> = all()
            .into_iter()
            .map(|mutant| mutant.name.to_owned())
            .chain(crashes().into_iter().map(|crasher| crasher.name))
            .collect();
        let different: HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        for name in all {
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
        }
    }

    #[test]
    fn every_mutation_is_a_mutant_and_its_configuration_means_it() {
        let all = all();
        for mutation in Mutation::ALL {
            let mutant =
                all.iter().find(|mutant| mutant.name == mutation.name()).expect("it is in the catalogue");
            assert_eq!(mutant.config["mutation"], mutation.name());
            let mut config = mutant.config.clone();
            config["root"] = "/r".into();
            let config: crate::Config = serde_json::from_value(config).expect("it is a configuration");
            assert_eq!(config.mutation, Some(*mutation));
        }
        for mutation in LoadMutation::ALL {
            assert!(all.iter().any(|mutant| mutant.name == mutation.name()), "{}", mutation.name());
        }
        for crasher in crashes() {
            let mut config = crasher.config.clone();
            config["root"] = "/r".into();
            let config: crate::Config = serde_json::from_value(config).expect("it is a configuration");
            assert_eq!(
                config.crash.is_some(),
                crasher.library == Made::Example("specimen"),
                "{}",
                crasher.name
            );
        }
    }
}
