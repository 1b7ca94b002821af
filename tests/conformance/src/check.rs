//! The table of checks: for each its name, whether the provider must or should pass, the clauses that it looks at, what it
//! needs, and in a sentence what it demands.

use globset::GlobBuilder;
use longshore_plugin_api::{Clause, Level, Metadata};

use crate::{
    bench::Bench,
    checks::{
        cleanup, concurrency, hygiene, initialize, kill, list, load, model, predicates, run, server, status,
    },
    verdict::Verdict,
};

/// What a check cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// The interface `longshore.initialize/1`.
    Initialize,
    /// The interface `longshore.list/1`.
    List,
    /// The interface `longshore.server/1`.
    Server,
    /// The interface `longshore.cleanup/1`.
    Cleanup,
    /// `--long`: it takes much of the provider's time or money.
    Long,
}

impl Need {
    /// Why the check is skipped for a provider with such metadata, or nothing where it has what is needed.
    pub fn missing(self, metadata: &Metadata, long: bool) -> Option<String> {
        let id = match self {
            Self::Initialize => "longshore.initialize/1",
            Self::List => "longshore.list/1",
            Self::Server => "longshore.server/1",
            Self::Cleanup => "longshore.cleanup/1",
            Self::Long => return (!long).then(|| "it is run with `--long` only".to_owned()),
        };
        (!metadata.has(id)).then(|| format!("the provider does not have {id}"))
    }
}

macro_rules! checks {
    ($($variant:ident $name:literal $level:ident [$($clause:ident),*] [$($need:ident),*] $family:ident::$function:ident
        $text:literal;)*) => {
        /// A check.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Check {
            $(#[doc = $text] $variant,)*
        }

        impl Check {
            /// Every check, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name, such as `run-few`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The name of its family, that of the module that it is in.
            pub const fn family(self) -> &'static str {
                match self { $(Self::$variant => stringify!($family)),* }
            }

            /// Whether a breach is a failure or a warning.
            pub const fn level(self) -> Level {
                match self { $(Self::$variant => Level::$level),* }
            }

            /// The clauses that it looks at, the one that it is for first.
            pub const fn clauses(self) -> &'static [Clause] {
                match self { $(Self::$variant => &[$(Clause::$clause),*]),* }
            }

            /// What it needs.
            pub const fn needs(self) -> &'static [Need] {
                match self { $(Self::$variant => &[$(Need::$need),*]),* }
            }

            /// What it demands.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            pub(crate) fn run(self, bench: &Bench) -> Verdict {
                match self { $(Self::$variant => $family::$function(bench)),* }
            }
        }
    };
}

impl Check {
    /// The check of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|check| check.name() == name)
    }

    /// Whether a provider with such metadata can be tried at all, or why not.
    pub fn missing(self, metadata: &Metadata, long: bool) -> Option<String> {
        self.needs().iter().find_map(|need| need.missing(metadata, long))
    }

    /// The checks that a filter means: a pattern of names (`run-*`, `{kill,list}-*`), or a clause such as `RUN-1`.
    ///
    /// # Errors
    ///
    /// The pattern is none, or no check fits it.
    pub fn matching(filter: &str) -> Result<Vec<Self>, String> {
        let glob = GlobBuilder::new(filter)
            .literal_separator(false)
            .build()
            .map_err(|error| format!("the filter is no pattern: {error}"))?
            .compile_matcher();
        let fits = |check: &Self| {
            glob.is_match(check.name())
                || check.clauses().iter().any(|clause| clause.id().eq_ignore_ascii_case(filter))
        };
        let found: Vec<_> = Self::ALL.iter().copied().filter(fits).collect();
        if found.is_empty() {
            return Err(format!(
                "no check fits the filter `{filter}`; write a pattern of names such as `run-*`, or a clause such as `RUN-1`"
            ));
        }
        Ok(found)
    }
}

checks! {
LoadSymbols "load-symbols" Must [LoadSymbol] [] load::load_symbols
    "The library opens with every symbol bound at once, and exports the root module.";
LoadLayout "load-layout" Must [LoadLayout] [] load::load_layout
    "The layouts of the root module and of each interface's table agree with the host's.";
LoadUnwinds "load-unwinds" Must [LoadUnwind] [] load::load_unwinds
    "The library says that it was built to unwind when it panics.";
LoadMetadata "load-metadata" Must [LoadMetadata] [] load::load_metadata
    "The metadata has every field, a name of lower-case letters, digits and `-`, a semantic version, and contract 1.";
LoadInterfaces "load-interfaces" Must [LoadMetadata] [] load::load_interfaces
    "The interfaces that the metadata lists are those that the library answers for, each once, `longshore.workers/1` among them; an id of nobody's is not answered.";
LoadSchema "load-schema" Must [LoadSchema] [] load::load_schema
    "The schema of the configuration is a JSON Schema of draft 2020-12 that refers to nothing outside itself.";
LoadSchemaDescribes "load-schema-describes" Should [LoadSchema] [] load::load_schema_describes
    "The schema describes every field for a person, and denies unknown ones.";
LoadConfigIsTaken "load-config-is-taken" Must [LoadConfigError] [] load::load_config_is_taken
    "A provider can be made of the configuration that the harness was given, and no later call finds fault with it.";
LoadConfigNamesTheField "load-config-names-the-field" Must [LoadConfigError] [] load::load_config_names_the_field
    "A field of a wrong type or beyond its format, and each `bad_config` of the quirks file, is an error of the kind `config` that names the field.";
LoadConfigUnknownField "load-config-unknown-field" Should [LoadConfigError] [] load::load_config_unknown_field
    "A field that the configuration does not have is an error that names it.";
LoadStartsNoThread "load-starts-no-thread" Must [LoadNoSideEffects] [] load::load_starts_no_thread
    "After loading, reading the metadata and asking for the interfaces the process has the threads, child processes and descriptors that it had before.";
LoadChangesNoSignal "load-changes-no-signal" Must [LoadNoSideEffects] [] load::load_changes_no_signal
    "Loading changes no signal's disposition and no mask.";
LoadChangesNoEnvironment "load-changes-no-environment" Must [LoadNoSideEffects] [] load::load_changes_no_environment
    "Loading changes no environment variable, nor the working folder, the umask or the limits of the process.";
LoadPrintsNothing "load-prints-nothing" Must [LoadNoSideEffects] [] load::load_prints_nothing
    "A process that loads the library and ends writes nothing to standard output or error.";
LoadIsQuick "load-is-quick" Must [LoadNoSideEffects] [] load::load_is_quick
    "Loading ends within five seconds.";
InstancesStandApart "instances-stand-apart" Must [LoadIndependent] [] load::instances_stand_apart
    "Two instances with folders or names of their own list none of each other's workers, and dropping one leaves the other working.";
InstancesShareABackend "instances-share-a-backend" Must [LoadIndependent] [] load::instances_share_a_backend
    "Two instances of one configuration see the same workers, from either side.";
InstancesInNumber "instances-in-number" Must [LoadIndependent] [] load::instances_in_number
    "Sixteen instances, made from sixteen threads at once, each launch, see and kill their own workers.";
DropEndsThreads "drop-ends-threads" Must [LoadShutdown] [] load::drop_ends_threads
    "When an instance that was used has been dropped, with live workers too, the process has the threads that it had before.";
DropClosesDescriptors "drop-closes-descriptors" Must [LoadShutdown] [] load::drop_closes_descriptors
    "When a second instance that was used has been dropped, the process has the descriptors and child processes that it had after the first.";
DropLeavesWorkers "drop-leaves-workers" Must [LoadShutdown] [] load::drop_leaves_workers
    "Workers live on when their instance has been dropped, and the next instance finds and kills them.";
DropIsQuick "drop-is-quick" Must [LoadShutdown] [] load::drop_is_quick
    "Dropping an instance that has workers returns within ten seconds.";
RunFew "run-few" Must [RunCount] [] run::run_few
    "Runs of 1, 2, 10 and 11 workers answer with one entry a worker, and each entry is a worker that comes to run.";
RunHundred "run-hundred" Must [RunCount] [] run::run_hundred
    "A run of 100 workers answers with one entry a worker; all come to run, and all can be killed.";
RunThousand "run-thousand" Must [RunCount] [] run::run_thousand
    "A run of 1,000 workers answers with one entry a worker; all come to run, and all can be killed.";
RunHundredThousand "run-hundred-thousand" Must [RunCount] [Long] run::run_hundred_thousand
    "A run of 100,000 workers answers with one entry a worker; all come to run, and all can be killed.";
RunFallsShort "run-falls-short" Must [RunCount] [] run::run_falls_short
    "A run of more than can be had answers with what it could launch, and a shortfall with its reason; or it fails, and has left nothing.";
RunNeverMore "run-never-more" Must [RunNeverMore] [] run::run_never_more
    "After runs of several sizes no more workers are listed, and no more report, than were asked for.";
RunNone "run-none" Must [RunZero] [] run::run_none
    "A run of no workers answers with nothing and leaves nothing in the backend, in a new cluster and in one that has workers.";
RunHandlesAreText "run-handles-are-text" Must [RunHandle] [] run::run_handles_are_text
    "Every handle is 1 to 256 bytes of UTF-8 without control characters, for the longest cluster name and token as well.";
RunHandlesAreFresh "run-handles-are-fresh" Must [RunFresh] [] run::run_handles_are_fresh
    "Over launches, kills and cleanups, and in two clusters, no handle comes twice.";
RunHandlesAreFreshAnew "run-handles-are-fresh-anew" Must [RunFresh] [] run::run_handles_are_fresh_anew
    "A provider that was created anew, in the same process or another, gives out no handle that was given out before.";
RunTokenTwice "run-token-twice" Must [RunOnce] [] run::run_token_twice
    "A token that is sent again launches nothing: it is answered with the first launch's handles where the metadata say `idempotent_run`, and with the kind `permanent` otherwise.";
RunTokenTwiceAnew "run-token-twice-anew" Must [RunOnce] [] run::run_token_twice_anew
    "A token that is sent again to a provider that was created anew launches nothing, and is answered as by the first.";
RunTokenTwiceElsewhere "run-token-twice-elsewhere" Must [RunOnce] [] run::run_token_twice_elsewhere
    "A token that is sent again from another process launches nothing, and is answered as in the first.";
RunTokenTwiceAfterKill "run-token-twice-after-kill" Must [RunOnce] [] run::run_token_twice_after_kill
    "A token that is sent again when some or all of its workers have been killed launches nothing, and wakes nobody.";
RunTokenAtOnce "run-token-at-once" Must [RunOnce] [] run::run_token_at_once
    "One token sent from eight threads at once launches once.";
RunTokenAfterACrash "run-token-after-a-crash" Must [RunOnce] [List] run::run_token_after_a_crash
    "A token whose launch was cut off by the death of its process is completed or refused when it is sent again: it has no more workers than were asked for, and all of them are listed.";
RunIsKnownAtOnce "run-is-known-at-once" Must [RunKnown] [] run::run_is_known_at_once
    "The status right after a run, from one thread and from four at once, knows every new handle.";
RunIsKnownToOthers "run-is-known-to-others" Must [RunKnown] [] run::run_is_known_to_others
    "The status right after a run, from an older and from a newer instance of the same configuration, knows every new handle.";
RunIsKnownElsewhere "run-is-known-elsewhere" Must [RunKnown] [] run::run_is_known_elsewhere
    "The status right after a run, from another process, knows every new handle.";
RunArguments "run-arguments" Must [RunEnvironment] [] run::run_arguments
    "The worker's arguments arrive byte for byte: blanks, quotes, dollar signs, line breaks, empty ones, other scripts.";
RunEnvironment "run-environment" Must [RunEnvironment] [] run::run_environment
    "The container's variables arrive byte for byte.";
RunVariablesOfLongshore "run-variables-of-longshore" Must [RunEnvironment] [] run::run_variables_of_longshore
    "The worker sees `LONGSHORE_CLUSTER`, `LONGSHORE_TOKEN` and `LONGSHORE_WORKERS`, which win over the container's own; `LONGSHORE_HANDLE`, where it is there, is its handle.";
RunFolder "run-folder" Must [RunEnvironment] [] run::run_folder
    "The worker starts in the folder that the container names.";
RunThatFailsLeavesNothing "run-that-fails-leaves-nothing" Must [RunFailureClean] [] run::run_that_fails_leaves_nothing
    "A run that cannot succeed, or whose backend is out of reach, fails and leaves nothing; what it reports instead can be killed, and nothing else is there.";
RunCancelledLeavesNothing "run-cancelled-leaves-nothing" Must [RunFailureClean] [List] run::run_cancelled_leaves_nothing
    "A run that is cancelled in the middle either reports what it made, or says `unknown`, or has left nothing.";
RunLateLeavesNothing "run-late-leaves-nothing" Must [RunFailureClean] [List] run::run_late_leaves_nothing
    "A run whose deadline passes in the middle either reports what it made, or says `unknown`, or has left nothing.";
RunFillsContainers "run-fills-containers" Must [RunShares] [] run::run_fills_containers
    "With `max_workers` 4, no container holds more than four workers, by the answer and by the list, and none holds workers of two launches.";
RunOneAContainer "run-one-a-container" Must [RunShares] [] run::run_one_a_container
    "Without `max_workers`, and with 1, every worker has a handle of its own.";
RunOddNames "run-odd-names" Must [RunCount] [] run::run_odd_names
    "Clusters and tokens of every allowed shape (the longest, dots, dashes, capitals, one the beginning of another) are taken for what they are.";
StatusOrder "status-order" Must [StatusCount] [] status::status_order
    "Among live and dead handles in a shuffled order, each answer stands in its handle's place.";
StatusOfNone "status-of-none" Must [StatusCount] [] status::status_of_none
    "Asked for no handles, it answers with none.";
StatusOfMany "status-of-many" Must [StatusCount] [] status::status_of_many
    "Asked for 10,000 handles, most of them unknown, it answers for each in its place.";
StatusComesToRun "status-comes-to-run" Must [StatusValue] [] status::status_comes_to_run
    "A worker is initializing or running, comes to run within its time, and never goes back.";
StatusOfUnknown "status-of-unknown" Must [StatusUnknown] [] status::status_of_unknown
    "A handle that nobody gave out is stopped.";
StatusOfOddText "status-of-odd-text" Must [StatusUnknown] [] status::status_of_odd_text
    "Handles of odd text (paths, patterns, quotes, other scripts, 256 bytes) are stopped, and harm no other answer.";
StatusOfNearMisses "status-of-near-misses" Must [StatusUnknown] [] status::status_of_near_misses
    "A text that differs from a live handle by one character is stopped.";
StatusChangesNothing "status-changes-nothing" Must [StatusReadOnly] [] status::status_changes_nothing
    "Asking a hundred times, from several threads, leaves every worker as it was.";
StatusStoppedIsFinal "status-stopped-is-final" Must [StatusFinal] [] status::status_stopped_is_final
    "A killed worker stays stopped, also for an instance that is made anew.";
StatusOwnEndIsFinal "status-own-end-is-final" Must [StatusFinal] [] status::status_own_end_is_final
    "A worker that ends by itself is stopped, and is not started again.";
StatusInAnOutage "status-in-an-outage" Must [StatusUnreachable] [] status::status_in_an_outage
    "While the backend is out of reach, status fails and says stopped of no worker; afterwards the worker is as it was.";
KillOrder "kill-order" Must [KillCount] [] kill::kill_order
    "Among live, dead and unknown handles in a shuffled order, it answers for each.";
KillOfNone "kill-of-none" Must [KillCount] [] kill::kill_of_none
    "Asked to kill no handles, it answers with none, and everybody lives.";
KillOfMany "kill-of-many" Must [KillCount] [] kill::kill_of_many
    "Asked to kill 10,000 handles that nobody knows, it answers for each.";
KillUnknown "kill-unknown" Must [KillUnknown] [] kill::kill_unknown
    "Killing a handle that nobody gave out succeeds.";
KillStopped "kill-stopped" Must [KillUnknown] [] kill::kill_stopped
    "Killing a worker that has stopped succeeds.";
KillOddText "kill-odd-text" Must [KillUnknown] [] kill::kill_odd_text
    "Killing handles of odd text succeeds, and harms nobody.";
KillTwice "kill-twice" Must [KillIdempotent] [] kill::kill_twice
    "A second kill right after the first succeeds, and the worker stops no later for it.";
KillTwiceAtOnce "kill-twice-at-once" Must [KillIdempotent] [] kill::kill_twice_at_once
    "Kills of one worker from eight threads at once all succeed.";
KillStops "kill-stops" Must [KillTrue] [] kill::kill_stops
    "A worker is stopped within the grace after a yes; a witness is really gone.";
KillStopsTheStubborn "kill-stops-the-stubborn" Must [KillTrue] [] kill::kill_stops_the_stubborn
    "A worker that does not hear of being asked to end is gone within the grace all the same.";
KillFromANewInstance "kill-from-a-new-instance" Must [KillTrue] [] kill::kill_from_a_new_instance
    "An instance that is made anew kills workers of the one before.";
KillInAnOutage "kill-in-an-outage" Must [KillTrue] [] kill::kill_in_an_outage
    "While the backend is out of reach, kill says yes of no worker that goes on.";
KillWholeContainer "kill-whole-container" Must [KillWhole] [] kill::kill_whole_container
    "Killing a handle that several workers share stops them all: none is listed, none is seen.";
KillChildren "kill-children" Must [KillWhole] [] kill::kill_children
    "The processes that a worker has started end with it.";
KillChildrenThatLeft "kill-children-that-left" Must [KillWhole] [] kill::kill_children_that_left
    "The processes that a worker has started and that have left its session and group, as daemons do, end with it, too.";
KillNobodyElse "kill-nobody-else" Must [KillNobodyElse] [] kill::kill_nobody_else
    "Other workers of the launch, of other launches and of other clusters live on.";
KillNearMisses "kill-near-misses" Must [KillNobodyElse] [] kill::kill_near_misses
    "Killing texts that differ from a live handle by one character harms nobody.";
KillInitializing "kill-initializing" Must [KillInitializing] [] kill::kill_initializing
    "A worker that is killed as soon as run has answered stops, and does not start afterwards.";
KillMixed "kill-mixed" Must [KillPartial] [] kill::kill_mixed
    "Killing live handles among odd, unknown and dead ones kills the live ones, and answers for each.";
KillFailsForOne "kill-fails-for-one" Must [KillPartial] [] kill::kill_fails_for_one
    "Where one handle of several cannot be killed, that one is answered with no and a reason, and the others are killed.";
ListNamesAll "list-names-all" Must [ListComplete] [List] list::list_names_all
    "Every live handle of the cluster is listed, each once, over several launches, and killed ones for as long as they are alive.";
ListTokensAndCounts "list-tokens-and-counts" Must [ListComplete] [List] list::list_tokens_and_counts
    "Each handle is listed with its launch's token and its worker count.";
ListOfMany "list-of-many" Must [ListComplete] [List] list::list_of_many
    "A hundred workers or more are listed completely.";
ListWhileLaunching "list-while-launching" Must [ListComplete] [List] list::list_while_launching
    "Lists that are asked for during runs are answered, if not at once, show what was reported before, under tokens that were sent, and are complete afterwards.";
ListOtherClusters "list-other-clusters" Must [ListOnlyOurs] [List] list::list_other_clusters
    "A cluster's list names no other cluster's handles, not even of clusters with similar names.";
ListNoneThatStopped "list-none-that-stopped" Must [ListOnlyOurs] [List] list::list_none_that_stopped
    "A worker that has stopped is not listed.";
ListAnew "list-anew" Must [ListSurvives] [List] list::list_anew
    "A provider that was created anew lists everything, with tokens and counts.";
ListElsewhere "list-elsewhere" Must [ListSurvives] [List] list::list_elsewhere
    "Another process lists everything.";
ListAfterACrash "list-after-a-crash" Must [ListComplete] [List] list::list_after_a_crash
    "What a launch has made that was cut off by the death of its process is listed: every worker of it that tells the check of itself.";
ListInAnOutage "list-in-an-outage" Must [ListFailure] [List] list::list_in_an_outage
    "While the backend is out of reach, list fails.";
InitializeAgain "initialize-again" Must [InitializeAgain] [Initialize] initialize::initialize_again
    "A second initialize succeeds, also from an instance that was made anew, and runs succeed after it.";
InitializeSparesWorkers "initialize-spares-workers" Must [InitializeAgain] [Initialize] initialize::initialize_spares_workers
    "Initializing a cluster that has workers leaves them as they are.";
ServerOnce "server-once" Must [ServerOnce] [Server] server::server_once
    "Starting a server that is there changes nothing: same address, still running.";
ServerOnceAnew "server-once-anew" Must [ServerOnce] [Server] server::server_once_anew
    "An instance that was made anew finds the server, and starts no second one.";
ServerAtOnce "server-at-once" Must [ServerOnce] [Server] server::server_at_once
    "A server that is asked for from eight threads at once is started once.";
ServerStops "server-stops" Must [ServerStop] [Server] server::server_stops
    "A server that is stopped has stopped within the grace, and can be started again.";
ServerStopsWhole "server-stops-whole" Must [ServerStop] [Server] server::server_stops_whole
    "The processes that a server has started end with it, also those that have left its session; so does one that does not hear of being asked to end.";
ServerStopOfNone "server-stop-of-none" Must [ServerStop] [Server] server::server_stop_of_none
    "Stopping the server of a cluster that has none succeeds, and again.";
ServerOfItsCluster "server-of-its-cluster" Must [ServerStop] [Server] server::server_of_its_cluster
    "Stopping a cluster's server leaves another cluster's running.";
ServerAddress "server-address" Must [ServerAddress] [Server] server::server_address
    "A running server has an address with a host and, as its request has one, a port, the same whenever it is asked; where the quirks say that it connects, it does.";
ServerStatusOfNone "server-status-of-none" Must [ServerStatus] [Server] server::server_status_of_none
    "The server of a cluster that has none is stopped, and has no address that fails to be read.";
ServerStatusComesToRun "server-status-comes-to-run" Must [ServerStatus] [Server] server::server_status_comes_to_run
    "A server is initializing or running, and comes to run within its time.";
ServerOwnEnd "server-own-end" Must [ServerStatus] [Server] server::server_own_end
    "A server that has ended by itself is stopped, stays so, and can be started again.";
ServerInAnOutage "server-in-an-outage" Must [ServerStatus, ServerStop] [Server] server::server_in_an_outage
    "While the backend is out of reach, `server_status` fails, and `stop_server` does not succeed while the server goes on; afterwards the server is as it was.";
ServerSees "server-sees" Must [ServerEnvironment] [Server] server::server_sees
    "The server sees its arguments and variables byte for byte, and `LONGSHORE_CLUSTER`, which wins over the container's own.";
CleanupSparesWorkers "cleanup-spares-workers" Must [CleanupSpares] [Cleanup] cleanup::cleanup_spares_workers
    "A cleanup leaves live workers alive, known and, where it can, listed.";
CleanupDeepSparesWorkers "cleanup-deep-spares-workers" Must [CleanupSpares] [Cleanup] cleanup::cleanup_deep_spares_workers
    "A deep cleanup leaves live workers alive, known and, where it can, listed: this cluster's and others'.";
CleanupSparesTheServer "cleanup-spares-the-server" Must [CleanupSpares] [Cleanup, Server] cleanup::cleanup_spares_the_server
    "A cleanup, also a deep one, leaves a running server alone.";
CleanupAgain "cleanup-again" Must [CleanupAgain] [Cleanup] cleanup::cleanup_again
    "A cleanup of a cluster that never was, of one whose workers are dead, and the same again, all succeed.";
CleanupBesideRun "cleanup-beside-run" Must [CleanupAgain] [Cleanup] cleanup::cleanup_beside_run
    "Cleanups beside runs and kills succeed, and cost no worker.";
PredicatesCount "predicates-count" Must [PredicateCount] [] predicates::predicates_count
    "Each predicate answers for each handle in its place, with none for none.";
PredicatesAgree "predicates-agree" Must [PredicateAgrees] [] predicates::predicates_agree
    "From launch to death, exactly one predicate says yes, and it is the one of the status.";
PredicatesOfUnknown "predicates-of-unknown" Must [PredicateAgrees] [] predicates::predicates_of_unknown
    "Of an unknown handle, and of odd text, `is_stopped` alone says yes.";
PredicatesInAnOutage "predicates-in-an-outage" Must [PredicateAgrees] [] predicates::predicates_in_an_outage
    "While the backend is out of reach, the predicates fail, as status does.";
CallsFromManyThreads "calls-from-many-threads" Must [ConcurrentCalls] [] concurrency::calls_from_many_threads
    "Eight threads that launch, ask, list and kill in clusters of their own each see what they would see alone.";
RunBesideKill "run-beside-kill" Must [ConcurrentCalls] [] concurrency::run_beside_kill
    "Runs and kills of one cluster side by side: no launch is lost, no kill goes astray.";
StatusBesideALongRun "status-beside-a-long-run" Must [ConcurrentCalls] [] concurrency::status_beside_a_long_run
    "While a run takes seconds, status and kill are answered.";
CancelledCallReturns "cancelled-call-returns" Should [ConcurrentDeadline] [] concurrency::cancelled_call_returns
    "A run that is cancelled returns within a second and a half.";
LateCallReturns "late-call-returns" Should [ConcurrentDeadline] [] concurrency::late_call_returns
    "A run whose deadline has passed returns within a second and a half.";
OddTextDoesNoHarm "odd-text-does-no-harm" Must [HygienePanic] [] hygiene::odd_text_does_no_harm
    "Odd text in every place that takes text ends in answers or errors, never in a panic or in the end of the process.";
InstanceSurvivesFailures "instance-survives-failures" Must [HygienePanic] [] hygiene::instance_survives_failures
    "After runs that failed, were cancelled or came too late the instance works as before, and its workers are as they were.";
CyclesLeaveNoDescriptors "cycles-leave-no-descriptors" Must [HygieneLeaks] [] hygiene::cycles_leave_no_descriptors
    "The process does not have more descriptors after every round of launches and kills.";
CyclesLeaveNoThreads "cycles-leave-no-threads" Must [HygieneLeaks] [] hygiene::cycles_leave_no_threads
    "The process does not have more threads or child processes after every round of launches and kills.";
CyclesLeaveNoMemory "cycles-leave-no-memory" Must [HygieneLeaks] [] hygiene::cycles_leave_no_memory
    "The process's memory does not grow by every round of launches and kills.";
CyclesLeaveNoFiles "cycles-leave-no-files" Must [HygieneLeaks] [] hygiene::cycles_leave_no_files
    "After many launches, kills and a cleanup, a deep one if need be, there are as many files as after the first, in the scratch folder and in the quirks' `files`.";
InstancesLeaveNothing "instances-leave-nothing" Must [HygieneLeaks] [] hygiene::instances_leave_nothing
    "Many instances that are made, used and dropped leave no descriptor, thread or memory behind.";
OutputStaysEmpty "output-stays-empty" Should [HygieneQuiet] [] hygiene::output_stays_empty
    "A whole life of workers, failures and the end of the process included, writes nothing to standard output or error.";
Model "model" Must [RunCount, StatusFinal, KillTrue, ListComplete] [] model::model
    "Random sequences of run, status, kill and list, over several clusters and instances, agree with a model; what does not is shrunk to the shortest sequence that shows it.";
}
