//! The mutations of the specimen: each breaks one clause of the contract, and what is not named is honest.

#![expect(clippy::doc_markdown, reason = "the texts are for tables as well")]

use longshore_plugin_api::Clause;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! mutations {
    ($($clause:ident { $($variant:ident $name:literal $text:literal;)* })*) => {
        /// One thing that the specimen does wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Mutation {
            $($(#[doc = $text] #[serde(rename = $name)] $variant,)*)*
        }

        impl Mutation {
            /// Every mutation, in the order of the clauses.
            pub const ALL: &'static [Self] = &[$($(Self::$variant,)*)*];

            /// Its name, as a configuration has it.
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$variant => $name,)*)* }
            }

            /// What it does, in one line.
            pub const fn text(self) -> &'static str {
                match self { $($(Self::$variant => $text,)*)* }
            }

            /// The clause that it breaks.
            pub const fn clause(self) -> Clause {
                match self { $($(Self::$variant => Clause::$clause,)*)* }
            }
        }
    };
}

mutations! {
LoadConfigError {
    GoodConfigIsRefused "good-config-is-refused" "Create refuses every configuration, and names no field.";
    BadLimitIsTaken "bad-limit-is-taken" "A wrong number is taken by create, and every function fails because of it later.";
    BadLimitHasNoField "bad-limit-has-no-field" "A wrong number is refused by create, with an error that names no field.";
}
LoadIndependent {
    OneRootForAll "one-root-for-all" "All instances of a process use the folder of the first.";
    OneInstanceAtATime "one-instance-at-a-time" "A second instance cannot be made while there is one.";
    DropEndsTheOthers "drop-ends-the-others" "When an instance is dropped, every function of the others fails.";
}
LoadShutdown {
    DropLeavesAThread "drop-leaves-a-thread" "A thread of the instance goes on when that is dropped.";
    DropLeavesADescriptor "drop-leaves-a-descriptor" "A file of the instance stays open when that is dropped.";
    DropStopsWorkers "drop-stops-workers" "Dropping an instance stops the workers that it launched.";
    DropNeverEnds "drop-never-ends" "Dropping an instance never returns.";
}
RunCount {
    FewerWithoutAShortfall "fewer-without-a-shortfall" "One worker fewer is launched and answered, and there is no shortfall.";
    ShortfallWithAll "shortfall-with-all" "All workers are launched and answered, and there is a shortfall as well.";
    FullIsNotTold "full-is-not-told" "Where there is no room for all, there is no shortfall in the answer.";
    DottedClustersAreRefused "dotted-clusters-are-refused" "A run for a cluster with a dot in its name fails.";
    LargeRunsLaunchNothing "large-runs-launch-nothing" "A run of more than 65,535 workers launches and answers none, and there is no shortfall.";
}
RunNeverMore {
    OneMoreInTheAnswer "one-more-in-the-answer" "One worker more is launched and answered.";
    OneMoreBehind "one-more-behind" "One worker more is launched, and the answer does not tell of it.";
}
RunZero {
    NoneAnswersOne "none-answers-one" "Asked for no workers, run launches one and answers with it.";
    NoneLeavesOne "none-leaves-one" "Asked for no workers, run launches one and does not tell.";
}
RunHandle {
    HandleIsEmpty "handle-is-empty" "The first handle of an answer is an empty text.";
    HandleHasALineBreak "handle-has-a-line-break" "The first handle of an answer has a line break in it.";
    LongNamesMakeLongHandles "long-names-make-long-handles" "Where the names of the cluster and the token are long, handles have more than 256 bytes.";
}
RunFresh {
    HandleAgainAfterKill "handle-again-after-kill" "The handle of a worker that has stopped is given to the next one.";
    HandleAgainAfterDrop "handle-again-after-drop" "An instance that is made anew begins again with the first handle that is not in use.";
    HandleOfTwoClusters "handle-of-two-clusters" "Each cluster has the same handles, which mean something else in each.";
}
RunOnce {
    TokenLaunchesAgain "token-launches-again" "A token that is sent again launches again.";
    TokenLaunchesAgainAfterDrop "token-launches-again-after-drop" "A token that another instance had launches again.";
    TokenLaunchesAgainAfterKill "token-launches-again-after-kill" "A token whose workers have all stopped launches again.";
    TokenLaunchesTwiceAtOnce "token-launches-twice-at-once" "A token that is sent twice at the same time launches twice.";
    TokenAnswersTheLiving "token-answers-the-living" "A token that is sent again is answered with the handles of those alone that are alive.";
    TokenIsRefused "token-is-refused" "A token that is sent again is refused, though the metadata say that it may be sent.";
    TokenLaunchesAgainAfterACrash "token-launches-again-after-a-crash" "A launch whose process died in the midst of it is begun anew beside what it had made.";
}
RunKnown {
    NewHandleIsUnknown "new-handle-is-unknown" "For half a second status says stopped of a new handle.";
    NewHandleIsUnknownElsewhere "new-handle-is-unknown-elsewhere" "For a second status of another instance says stopped of a new handle.";
}
RunEnvironment {
    ArgumentsThroughAShell "arguments-through-a-shell" "A shell reads the command with its arguments.";
    EmptyArgumentsAreLost "empty-arguments-are-lost" "Arguments that are empty do not reach the worker.";
    EnvironmentIsLost "environment-is-lost" "The container's variables do not reach the worker.";
    LongshoreVariablesAreLost "longshore-variables-are-lost" "The variables of Longshore do not reach the worker.";
    ContainerOverridesLongshore "container-overrides-longshore" "The container's variables win over those of Longshore.";
    WorkersAreMiscounted "workers-are-miscounted" "A worker sees one worker too many in LONGSHORE_WORKERS.";
    FolderIsIgnored "folder-is-ignored" "The worker starts in the host's folder.";
}
RunFailureClean {
    FailedRunLeavesOne "failed-run-leaves-one" "A run whose program cannot be started fails, and leaves a worker.";
    CancelledRunLeavesSome "cancelled-run-leaves-some" "A run that is cancelled or late fails as cancelled, and leaves what it made until then.";
    LateRunLeavesAll "late-run-leaves-all" "A run that is cancelled or late launches everything, and then fails as cancelled.";
}
RunShares {
    ContainersAreOverfull "containers-are-overfull" "Each container holds one worker more than it may.";
    LaunchesShareAContainer "launches-share-a-container" "The last worker of a launch is put into a container of an earlier one.";
}
StatusCount {
    StatusIsReversed "status-is-reversed" "The statuses of an answer stand in the reverse order.";
    StatusLeavesOneOut "status-leaves-one-out" "The last status of an answer is missing.";
    StatusForNone "status-for-none" "Asked for no handles, status answers with one value.";
    StatusIsCutShort "status-is-cut-short" "Of more than 1,000 handles, only the first 1,000 are answered.";
}
StatusValue {
    StatusIsZero "status-is-zero" "Instead of stopped, status answers 0.";
    StatusIsFour "status-is-four" "Instead of running, status answers 4.";
    StatusGoesBack "status-goes-back" "A worker that runs is said to be initializing again for a while.";
    StatusNeverRuns "status-never-runs" "A worker is said to be initializing for ever.";
}
StatusUnknown {
    UnknownIsRunning "unknown-is-running" "A handle that is not known is said to be running.";
    UnknownIsAnError "unknown-is-an-error" "A handle that is not known makes status fail.";
    NearMissIsKnown "near-miss-is-known" "A text that differs from a handle by one character is taken for it.";
}
StatusReadOnly {
    AskingStops "asking-stops" "A worker whose status was asked for ten times is stopped.";
    AskingLaunches "asking-launches" "Every tenth status launches a worker.";
}
StatusFinal {
    StoppedRunsAgain "stopped-runs-again" "Half a second after it was killed, a worker is there again.";
    EndedRunsAgain "ended-runs-again" "A worker that has ended by itself is said to be running again.";
}
StatusUnreachable {
    OutageIsStopped "outage-is-stopped" "While the backend is out of reach, status says stopped of everybody.";
}
KillCount {
    KillLeavesOneOut "kill-leaves-one-out" "The last answer of a kill is missing.";
    KillForNone "kill-for-none" "Asked to kill no handles, kill answers with a yes.";
    KillIsSeven "kill-is-seven" "Instead of yes, kill answers 7.";
}
KillUnknown {
    UnknownKillIsNo "unknown-kill-is-no" "Killing a handle that is not known is answered with no.";
    UnknownKillIsAnError "unknown-kill-is-an-error" "Killing a handle that is not known makes kill fail.";
    StoppedKillIsNo "stopped-kill-is-no" "Killing a worker that has stopped is answered with no.";
}
KillIdempotent {
    SecondKillPutsItOff "second-kill-puts-it-off" "A killed worker ends soon; a second kill puts that off for a minute.";
    KillsAtOnceAreTurnedAway "kills-at-once-are-turned-away" "A kill of a handle that is just being killed is answered with no.";
}
KillTrue {
    KillDoesNothing "kill-does-nothing" "Kill says yes and does nothing.";
    KillOnlyAsks "kill-only-asks" "Kill asks the processes to end, and says yes whether they do or not.";
    OutageKillSaysYes "outage-kill-says-yes" "While the backend is out of reach, kill says yes for everybody.";
    KillSparesOthersLaunches "kill-spares-others-launches" "Kill says yes and does nothing for workers that another instance launched.";
}
KillWhole {
    KillSparesChildren "kill-spares-children" "Kill ends the first process of a container, and none that it started.";
    KillTakesOneOfSeveral "kill-takes-one-of-several" "A container must be killed as many times as it has workers.";
}
KillNobodyElse {
    KillHitsANeighbour "kill-hits-a-neighbour" "Kill stops the next container of the launch, too.";
    KillHitsAnotherCluster "kill-hits-another-cluster" "Kill stops a worker of another cluster, too.";
    NearMissIsKilled "near-miss-is-killed" "Killing a text that differs from a handle by one character stops that handle's workers.";
}
KillInitializing {
    InitializingSurvivesKill "initializing-survives-kill" "Killing a worker that is initializing is answered with yes, and does nothing.";
}
KillPartial {
    FailedKillSaysYes "failed-kill-says-yes" "A handle that cannot be killed is answered with yes.";
    FailedKillFailsAll "failed-kill-fails-all" "A handle that cannot be killed makes kill fail as a whole, once the others are killed.";
    FailedKillIsToldOfAnother "failed-kill-is-told-of-another" "The no for a handle that cannot be killed stands in the place of the one after it.";
    FailedKillSparesTheOthers "failed-kill-spares-the-others" "Where a handle cannot be killed, those after it are not killed, and are answered with no.";
    OddHandleSparesTheOthers "odd-handle-spares-the-others" "Where a handle is not known, those after it are not killed, and are answered with no.";
}
ListComplete {
    ListLeavesOneOut "list-leaves-one-out" "The last live handle is not listed.";
    ListHasOneTwice "list-has-one-twice" "The first live handle is listed twice.";
    ListHasAWrongToken "list-has-a-wrong-token" "Handles are listed with a token of nobody's.";
    ListMiscounts "list-miscounts" "Handles are listed with one worker each, however many they have.";
    ListHidesInitializing "list-hides-initializing" "Workers that are initializing are not listed.";
    ListIsCutShort "list-is-cut-short" "Only the first 50 handles are listed.";
    ListFailsBesideRun "list-fails-beside-run" "List fails while a run is under way.";
    ListHidesLaunchesUnderWay "list-hides-launches-under-way" "What a run has made is not listed before it has answered.";
}
ListOnlyOurs {
    ListHasOtherClusters "list-has-other-clusters" "The workers of all clusters are listed.";
    ListHasSimilarClusters "list-has-similar-clusters" "The workers of clusters whose names begin with the cluster's are listed, too.";
    ListHasTheStopped "list-has-the-stopped" "Workers that have stopped are listed, too.";
}
ListSurvives {
    ListForgetsAfterDrop "list-forgets-after-drop" "Only what the instance launched itself is listed.";
}
ListFailure {
    OutageListsNothing "outage-lists-nothing" "While the backend is out of reach, list answers that there is nothing.";
}
InitializeAgain {
    InitializeFailsAgain "initialize-fails-again" "A second initialize fails.";
    InitializeStopsWorkers "initialize-stops-workers" "A second initialize stops the cluster's workers.";
    InitializeFailsForEver "initialize-fails-for-ever" "Once initialize has failed for a cluster, it never succeeds there.";
}
ServerOnce {
    ServerStartsAgain "server-starts-again" "A server that runs is replaced by another when it is started again.";
    ServerStartsAgainAfterDrop "server-starts-again-after-drop" "A server that another instance started is replaced when it is started again.";
    ServersStartAtOnce "servers-start-at-once" "A server that is asked for several times at once is started each time.";
}
ServerStop {
    StopOfNoServerFails "stop-of-no-server-fails" "Stopping a server that is not there fails.";
    StopServerDoesNothing "stop-server-does-nothing" "Stopping the server succeeds and does nothing.";
    StopServerStopsAll "stop-server-stops-all" "Stopping a cluster's server stops those of other clusters, too.";
    StopServerSparesChildren "stop-server-spares-children" "Stopping the server ends its first process, and none that it started.";
    StopServerOnlyAsks "stop-server-only-asks" "Stopping the server asks its processes to end, and succeeds whether they do or not.";
    OutageStopServerSaysYes "outage-stop-server-says-yes" "While the backend is out of reach, stopping the server succeeds and does nothing.";
}
ServerAddress {
    ServerHasNoAddress "server-has-no-address" "A server that runs has no address.";
    ServerAddressIsEmpty "server-address-is-empty" "The host of a server's address is an empty text.";
    ServerAddressIsUnreadable "server-address-is-unreadable" "A server's address is a document that cannot be read.";
    ServerAddressMoves "server-address-moves" "A server has another port whenever it is asked.";
    ServerAddressIsAnothers "server-address-is-anothers" "A server's address names a port that it does not listen on.";
    ServerPortIsLost "server-port-is-lost" "A server's address has no port, though its request had one.";
}
ServerStatus {
    ServerStatusIsZero "server-status-is-zero" "Instead of stopped, server_status answers 0.";
    NoServerRuns "no-server-runs" "The server of a cluster that has none is said to be running.";
    NoServerIsAnError "no-server-is-an-error" "The status of a server that is not there is an error.";
    ServerNeverRuns "server-never-runs" "A server is said to be initializing for ever.";
    OutageServerIsStopped "outage-server-is-stopped" "While the backend is out of reach, a server is said to be stopped.";
    EndedServerRuns "ended-server-runs" "A server that has ended by itself is said to be running.";
    EndedServerIsNotStarted "ended-server-is-not-started" "Once a server has ended by itself, run_server succeeds and starts none.";
}
ServerEnvironment {
    ServerSeesNoCluster "server-sees-no-cluster" "LONGSHORE_CLUSTER does not reach the server.";
    ServerEnvironmentIsLost "server-environment-is-lost" "The variables of the server's container do not reach it.";
    ServerArgumentsAreLost "server-arguments-are-lost" "Arguments of the server that are empty do not reach it.";
    ServerContainerOverridesLongshore "server-container-overrides-longshore" "The server's container wins over LONGSHORE_CLUSTER.";
}
CleanupSpares {
    CleanupStopsWorkers "cleanup-stops-workers" "A cleanup stops a worker that is alive.";
    DeepCleanupStopsWorkers "deep-cleanup-stops-workers" "A deep cleanup stops the cluster's workers.";
    DeepCleanupStopsOthers "deep-cleanup-stops-others" "A deep cleanup stops the workers of other clusters.";
    CleanupStopsTheServer "cleanup-stops-the-server" "A cleanup stops the cluster's server.";
}
CleanupAgain {
    CleanupOfNothingFails "cleanup-of-nothing-fails" "A cleanup fails where there is nothing to remove.";
    CleanupFailsBesideWorkers "cleanup-fails-beside-workers" "A cleanup fails while the cluster has live workers.";
}
PredicateCount {
    PredicateLeavesOneOut "predicate-leaves-one-out" "The last answer of is_stopped is missing.";
    PredicateIsReversed "predicate-is-reversed" "The answers of is_running stand in the reverse order.";
    PredicateForNone "predicate-for-none" "Asked for no handles, is_initializing answers with a no.";
    PredicateIsSeven "predicate-is-seven" "Instead of yes, is_running answers 7.";
}
PredicateAgrees {
    PredicatesSkipInitializing "predicates-skip-initializing" "For the predicates a worker that is initializing is running.";
    PredicatesKnowNoUnknown "predicates-know-no-unknown" "Of a handle that is not known, no predicate says yes.";
    OutagePredicatesSayStopped "outage-predicates-say-stopped" "While the backend is out of reach, the predicates say stopped of everybody.";
    PredicatesRemember "predicates-remember" "The predicates answer for ever what they answered first for a handle.";
}
ConcurrentCalls {
    OneLockForAll "one-lock-for-all" "All calls of an instance wait for each other, however long one takes.";
    BusyWhenCalledAtOnce "busy-when-called-at-once" "A call fails while another one is under way.";
    LaunchesAtOnceAreLost "launches-at-once-are-lost" "Of two runs at the same time, one is answered and its workers are gone.";
}
ConcurrentDeadline {
    CancellationIsIgnored "cancellation-is-ignored" "A run takes its time whether it is cancelled, late or not.";
}
HygienePanic {
    OddTextPanics "odd-text-panics" "A handle that is not of plain letters makes status panic.";
    OddTextEndsTheProcess "odd-text-ends-the-process" "A handle that is not of plain letters makes status panic where nobody contains it.";
    FailureEndsTheInstance "failure-ends-the-instance" "After a run that failed, every function of the instance fails.";
}
HygieneLeaks {
    CyclesLeakThreads "cycles-leak-threads" "Every run starts a thread that lives as long as the instance.";
    CyclesLeakDescriptors "cycles-leak-descriptors" "Every run leaves a file open.";
    CyclesLeakMemory "cycles-leak-memory" "Every run loses a mebibyte.";
    CyclesLeakFiles "cycles-leak-files" "Every run leaves a file that no cleanup removes.";
    CyclesLeakChildren "cycles-leak-children" "Every run leaves a child process of which nobody takes notice when it has ended.";
    InstancesLeakMemory "instances-leak-memory" "Every instance loses a mebibyte.";
}
HygieneQuiet {
    PrintsToOutput "prints-to-output" "Every run writes a line to the standard output.";
    PrintsToErrors "prints-to-errors" "Every run writes a line to the standard error.";
}
}

impl Mutation {
    /// Whether it is done at the boundary, below the trait of an author.
    pub(crate) const fn is_raw(self) -> bool {
        matches!(
            self,
            Self::StatusIsZero
                | Self::StatusIsFour
                | Self::KillIsSeven
                | Self::ServerAddressIsUnreadable
                | Self::ServerStatusIsZero
                | Self::PredicateIsSeven
                | Self::OddTextEndsTheProcess
        )
    }
}
