//! The clauses of `CONTRACT.md` as values, so that the host's errors, the conformance checks and the mutants name the same
//! ones. The text here is a clause's short form; the document says the rest. A test of this crate holds that both agree.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Whether a clause must or should be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// A host may count on it.
    Must,
    /// Better kept; a breach is a warning.
    Should,
}

macro_rules! clauses {
    ($($variant:ident $id:literal $level:ident $text:literal;)*) => {
        /// A numbered clause of the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Clause {
            $(#[doc = concat!($id, ": ", $text)] $variant,)*
        }

        impl Clause {
            /// Every clause, in the document's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The clause's number, such as `RUN-1`.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => $id),* }
            }

            /// Whether it must or should be kept.
            pub const fn level(self) -> Level {
                match self { $(Self::$variant => Level::$level),* }
            }

            /// What it demands, in one line.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

clauses! {
    LoadSymbol "LOAD-1" Must "the library opens with every symbol resolved, and exports the root module";
    LoadLayout "LOAD-2" Must "the root module and every interface are laid out as the contract's version says";
    LoadUnwind "LOAD-3" Must "the library is built to unwind when it panics";
    LoadMetadata "LOAD-4" Must "the metadata is complete, and names a contract version that the host knows";
    LoadSchema "LOAD-5" Must "the metadata carries a valid JSON Schema of the configuration";
    LoadConfigError "LOAD-6" Must "a configuration that cannot be used is an error that names the field";
    LoadNoSideEffects "LOAD-7" Must "loading alone starts no thread, changes no signal, environment or folder, and prints nothing";
    LoadIndependent "LOAD-8" Must "instances of one library do not disturb each other";
    LoadShutdown "LOAD-9" Must "dropping an instance ends its threads; its workers live on";
    RunCount "RUN-1" Must "run answers with one entry a worker, or with fewer and a shortfall with its reason";
    RunNeverMore "RUN-2" Must "run never launches more workers than asked for";
    RunZero "RUN-3" Must "run of no workers launches nothing";
    RunHandle "RUN-4" Must "a handle is 1 to 256 bytes of text without control characters";
    RunFresh "RUN-5" Must "a handle is never used again for another container";
    RunOnce "RUN-6" Must "one token never launches twice";
    RunKnown "RUN-7" Must "a new handle is known to status as soon as run has answered";
    RunEnvironment "RUN-8" Must "the worker sees its command, arguments and environment, and the variables of Longshore";
    RunFailureClean "RUN-9" Must "a run that fails leaves nothing behind that it does not report";
    RunShares "RUN-10" Must "no container holds more workers than max_workers";
    StatusCount "STATUS-1" Must "status answers with one value a handle, in the order asked, and with none for none";
    StatusValue "STATUS-2" Must "a status is initializing, running or stopped";
    StatusUnknown "STATUS-3" Must "a handle that is not known is stopped";
    StatusReadOnly "STATUS-4" Must "asking changes nothing";
    StatusFinal "STATUS-5" Must "a worker that has stopped stays stopped";
    StatusUnreachable "STATUS-6" Must "a backend that cannot be asked is an error, never stopped";
    KillCount "KILL-1" Must "kill answers with yes or no for each handle, in the order asked, and with none for none";
    KillUnknown "KILL-2" Must "killing a handle that is stopped or not known succeeds";
    KillIdempotent "KILL-3" Must "killing twice is as good as once";
    KillTrue "KILL-4" Must "after a yes the handle is stopped within the grace";
    KillWhole "KILL-5" Must "kill stops every worker on the handle";
    KillNobodyElse "KILL-6" Must "kill stops no other handle's workers";
    KillInitializing "KILL-7" Must "kill works on a worker that is still initializing";
    KillPartial "KILL-8" Must "a failure on one handle is told for that handle, and the others are killed";
    ListComplete "LIST-1" Must "list names every live handle of the cluster once, with its token and worker count";
    ListOnlyOurs "LIST-2" Must "list names no other cluster's handles, and none that is stopped";
    ListSurvives "LIST-3" Must "list is complete after the provider was created anew";
    ListFailure "LIST-4" Must "a list that may be incomplete is an error";
    InitializeAgain "INIT-1" Must "initialize may be called again, and changes nothing then";
    ServerOnce "SERVER-1" Must "run_server of a server that runs changes nothing";
    ServerStop "SERVER-2" Must "stop_server of no server succeeds";
    ServerAddress "SERVER-3" Must "a running server has an address that workers can reach";
    ServerStatus "SERVER-4" Must "server_status is a valid status, and stopped where there is no server";
    ServerEnvironment "SERVER-5" Must "the server sees its command, arguments and environment, and its cluster's name";
    CleanupSpares "CLEANUP-1" Must "cleanup removes nothing that a live worker uses";
    CleanupAgain "CLEANUP-2" Must "cleanup may be called at any time, and again, and succeeds where nothing is left";
    PredicateCount "PRED-1" Must "a predicate answers with yes or no for each handle, in the order asked, and with none for none";
    PredicateAgrees "PRED-2" Must "the predicates agree with status";
    ConcurrentCalls "CONC-1" Must "every function may be called from many threads at once, run beside kill too";
    ConcurrentDeadline "CONC-2" Should "a call returns soon after its deadline or its cancellation";
    HygienePanic "HYG-1" Must "a panic becomes an error of the call";
    HygieneLeaks "HYG-2" Must "many cycles leak no descriptors, threads, memory or files";
    HygieneQuiet "HYG-3" Should "the library writes to the host's log only, never to its output";
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A clause is written as its number.
impl Serialize for Clause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

impl<'de> Deserialize<'de> for Clause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        let known = Self::ALL.iter().copied().find(|clause| clause.id() == id);
        known.ok_or_else(|| D::Error::custom(format_args!("the contract has no clause {id:?}")))
    }
}
