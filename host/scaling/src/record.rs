//! What can happen to a cluster, as data. The journal holds these, a state is what they add up to, and the history of a
//! cluster is what they say.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{HandleId, LaunchId, Side},
    policy::{Desired, Policy, ProviderTraits},
    server::{Address, ServerPolicy},
    serving::{Build, Serving, Turn},
    time::Time,
    trouble::Trouble,
};

/// One thing that happened, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub at: Time,
    /// What.
    pub change: Change,
}

/// A handle that was not known before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewHandle {
    /// Its number from now on.
    pub id: HandleId,
    /// The provider's name for it.
    pub name: Arc<str>,
    /// How many workers it holds.
    pub workers: u32,
    /// The side whose provider has it.
    #[serde(default, skip_serializing_if = "Side::is_first")]
    pub side: Side,
    /// The launch that it came from, where it is one of this cluster's.
    pub launch: Option<LaunchId>,
}

/// Why handles are killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KillReason {
    /// There are more workers than expected.
    Surplus,
    /// They stayed initializing for too long.
    LaunchTimeout,
    /// They were killed before and are still there.
    StillThere,
    /// It was decided before, and not carried out to its end.
    Outstanding,
    /// They know a server that was started again since.
    OtherServer,
    /// The cluster moves to another provider, and others run there in their place, or may be missing.
    Moved,
}

/// Why a server is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The cluster shall have no workers, and has none any more.
    Unwanted,
    /// It was not up in time, and is started anew.
    StartTimeout,
}

/// What was wanted and what was there when something was decided: why a cluster grew or shrank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aim {
    /// How many workers the cluster shall have.
    pub target: u32,
    /// How many there were, with those that launches may still bring.
    pub had: u64,
}

/// A change to a cluster's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The cluster was made.
    Created {
        /// A number that no other cluster has, nor had: it makes the launch tokens unique.
        uid: u64,
        /// How it is scaled.
        policy: Policy,
        /// What its provider can do.
        traits: ProviderTraits,
        /// How many workers are expected.
        expected: u32,
        /// Whether it starts out running or stopped.
        desired: Desired,
        /// How its server is looked after, where it has one.
        #[serde(default)]
        server: Option<ServerPolicy>,
        /// The most workers in one container.
        #[serde(default = "one")]
        per_container: u32,
    },
    /// Another host, or the same one anew, has taken the cluster up from its journal. What was under way is cut off.
    Recovered {
        /// Grows with every host that takes it up.
        term: u64,
    },
    /// Another number of workers is expected.
    Scaled {
        /// How many.
        expected: u32,
    },
    /// It is scaled in another way.
    Updated {
        /// The new policy.
        policy: Policy,
        /// What its provider can do.
        traits: ProviderTraits,
        /// How many workers are expected.
        expected: u32,
        /// How its server is looked after, where it has one.
        #[serde(default)]
        server: Option<ServerPolicy>,
        /// The most workers in one container.
        #[serde(default = "one")]
        per_container: u32,
    },
    /// A provider of it can do something else than before.
    Attached {
        /// Whose.
        #[serde(default, skip_serializing_if = "Side::is_first")]
        side: Side,
        /// What it can do.
        traits: ProviderTraits,
    },
    /// A provider of it is made of another library than before, or that is trusted more or less than before.
    Served {
        /// Whose.
        #[serde(default, skip_serializing_if = "Side::is_first")]
        side: Side,
        /// Its name.
        provider: Arc<str>,
        /// What was recorded before; none where nothing was.
        before: Option<Serving>,
        /// What serves from now on.
        serving: Serving,
        /// How that came about.
        turn: Turn,
    },
    /// The library of a provider of it is quarantined, and the provider is not there.
    Unserved {
        /// Whose.
        #[serde(default, skip_serializing_if = "Side::is_first")]
        side: Side,
        /// Its name.
        provider: Arc<str>,
        /// The library.
        build: Build,
        /// Why.
        trouble: Trouble,
    },
    /// It goes to another provider: workers are launched there from now on, and those of before are replaced.
    MoveStarted {
        /// The provider that it leaves.
        from: Arc<str>,
        /// The provider that it goes to.
        to: Arc<str>,
        /// The side of the latter: a new one, or the one that was being left where the cluster turns back.
        side: Side,
    },
    /// Nothing is left on the side that it leaves: that provider is let go.
    MoveEnded {
        /// The provider.
        from: Arc<str>,
    },
    /// It shall run, be stopped, or go.
    DesiredSet {
        /// Which.
        desired: Desired,
    },
    /// The host leaves and shall leave no workers behind. The next host brings them back.
    Rested,
    /// Its workers run already: they are looked for, and as many are expected as are found.
    ReconnectStarted,
    /// A list of a cluster that is taken over was taken in.
    ReconnectLooked {
        /// So many lists in a row had nothing new.
        quiet: u32,
    },
    /// All workers of a cluster that is taken over are found.
    Reconnected {
        /// As many are expected from now on: those that were found, within what the policy allows.
        expected: u32,
        /// So many were found.
        found: u32,
    },
    /// An operator gave up what is left of it.
    Forgotten,
    /// An operator wants fresh statuses now, and what failed tried again.
    Refreshed,
    /// Workers are about to be asked for.
    LaunchStarted {
        /// The launch's number.
        launch: LaunchId,
        /// How many workers.
        workers: u32,
        /// What it is for.
        aim: Aim,
    },
    /// The same launch is about to be asked for again, because its fate is unknown.
    LaunchRepeated {
        /// The launch's number.
        launch: LaunchId,
    },
    /// What a launch created is known.
    LaunchSettled {
        /// The launch's number.
        launch: LaunchId,
        /// The handles that were not known yet.
        handles: Vec<NewHandle>,
        /// Why it fell short, where it did.
        trouble: Option<Trouble>,
        /// Whether asking again soon may help.
        retryable: bool,
    },
    /// What a launch created is not known.
    LaunchUnknown {
        /// The launch's number.
        launch: LaunchId,
        /// Why.
        trouble: Trouble,
        /// The handles that a refused reply did name.
        claimed: Vec<NewHandle>,
        /// Whether the provider's call has ended, so that nothing more can come of it.
        returned: bool,
    },
    /// A complete list did not have what a launch of unknown fate still owes.
    LaunchNotListed {
        /// The launch's number.
        launch: LaunchId,
    },
    /// An operator says what a launch of unknown fate created.
    LaunchResolved {
        /// The launch's number.
        launch: LaunchId,
        /// The handles that were not known yet.
        handles: Vec<NewHandle>,
    },
    /// Workers of somebody else's launch were found, and the policy is to kill such.
    StraysSeen {
        /// The side whose provider listed them.
        #[serde(default, skip_serializing_if = "Side::is_first")]
        side: Side,
        /// Their handles, with the workers on each.
        strays: Vec<(Arc<str>, u32)>,
    },
    /// They are not there any more.
    StraysGone {
        /// The side that they were on.
        #[serde(default, skip_serializing_if = "Side::is_first")]
        side: Side,
        /// Their handles.
        strays: Vec<Arc<str>>,
    },
    /// They are there after all patience, and shall be killed.
    StraysCondemned {
        /// Which.
        handles: Vec<NewHandle>,
    },
    /// Workers that were not known were found alive.
    Adopted {
        /// Which.
        handles: Vec<NewHandle>,
    },
    /// Handles are about to be killed.
    KillStarted {
        /// Which.
        handles: Vec<HandleId>,
        /// Why.
        why: KillReason,
        /// What was wanted when it was decided.
        aim: Aim,
    },
    /// The provider says that it killed them.
    KillAnswered {
        /// Which.
        handles: Vec<HandleId>,
    },
    /// The provider did not kill them, or did not say.
    KillFailed {
        /// Which.
        handles: Vec<HandleId>,
        /// Why.
        trouble: Trouble,
    },
    /// Live handles were seen in another phase.
    PhaseSeen {
        /// These are initializing now.
        initializing: Vec<HandleId>,
        /// These are running now.
        running: Vec<HandleId>,
    },
    /// Handles were seen initializing after the time at which they should have run.
    LateSeen {
        /// Which.
        handles: Vec<HandleId>,
    },
    /// Handles were seen stopped, and are forgotten.
    Gone {
        /// Those that had been killed.
        killed: Vec<HandleId>,
        /// Those that had not.
        died: Vec<HandleId>,
    },
    /// So many died at once that it is looked at a second time before it is believed.
    Suspected {
        /// Which.
        handles: Vec<HandleId>,
    },
    /// A second look found them alive, or gone: nothing is suspected any more.
    SuspicionEnded {
        /// The side of that look.
        #[serde(default, skip_serializing_if = "Side::is_first")]
        side: Side,
    },
    /// Workers launched after the last crash have lived long enough.
    Stable,
    /// Statuses are being asked for.
    StatusStarted {
        /// On which side.
        side: Side,
    },
    /// That has ended.
    StatusEnded {
        /// On which side.
        side: Side,
        /// Why it failed, where it did.
        trouble: Option<Trouble>,
    },
    /// All workers are being asked for.
    ListStarted {
        /// On which side.
        side: Side,
    },
    /// That has ended.
    ListEnded {
        /// On which side.
        side: Side,
        /// Why it failed, where it did.
        trouble: Option<Trouble>,
    },
    /// The provider is being told of the cluster.
    InitializeStarted {
        /// On which side.
        side: Side,
    },
    /// That has ended.
    InitializeEnded {
        /// On which side.
        side: Side,
        /// Why it failed, where it did.
        trouble: Option<Trouble>,
    },
    /// The server is about to be asked for.
    ServerStarted,
    /// It is up.
    ServerUp {
        /// Where.
        address: Address,
        /// Whether the workers of before are to be replaced.
        replaces: bool,
    },
    /// It cannot be reached any more.
    ServerLost {
        /// Why.
        trouble: Trouble,
    },
    /// The server is about to be told to stop.
    ServerStopStarted {
        /// Why.
        why: StopReason,
    },
    /// It was seen stopped.
    ServerGone {
        /// Whether nobody had told it to.
        died: bool,
    },
    /// The provider answered that it was asked for the server, or is not waited for any more.
    ServerRunEnded {
        /// Why it failed, where it did.
        trouble: Option<Trouble>,
        /// Whether asking again soon may help.
        retryable: bool,
        /// Whether the provider's call has ended.
        returned: bool,
        /// Whether it may have started the server in spite of the failure, or may start it yet.
        doubtful: bool,
    },
    /// The provider answered that it was told to stop the server.
    ServerStopEnded {
        /// Why it failed, where it did.
        trouble: Option<Trouble>,
    },
    /// The server is being looked at.
    ServerLookStarted,
    /// That has ended.
    ServerLookEnded {
        /// Why it failed, where it did.
        trouble: Option<Trouble>,
        /// Why the server, which is there, is not up yet, where that was seen.
        not_up: Option<Trouble>,
    },
}

fn one() -> u32 {
    1
}

impl Change {
    /// Whether a journal must hold it. What was asked and answered is asked anew after a restart, so that it need not.
    pub fn is_durable(&self) -> bool {
        if let Self::ServerRunEnded { returned, doubtful, .. } = self {
            // Another host must know that something may yet come of the call, whatever was done about the server since.
            return *returned && *doubtful;
        }
        !matches!(
            self,
            Self::LateSeen { .. }
                | Self::StatusStarted { .. }
                | Self::StatusEnded { .. }
                | Self::ListStarted { .. }
                | Self::ListEnded { .. }
                | Self::InitializeStarted { .. }
                | Self::InitializeEnded { .. }
                | Self::ServerStopEnded { .. }
                | Self::ServerLookStarted
                | Self::ServerLookEnded { .. }
        )
    }

    /// What went wrong, where something did.
    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::LaunchUnknown { trouble, .. }
            | Self::KillFailed { trouble, .. }
            | Self::Unserved { trouble, .. }
            | Self::ServerLost { trouble } => Some(trouble),
            Self::LaunchSettled { trouble, .. }
            | Self::StatusEnded { trouble, .. }
            | Self::ListEnded { trouble, .. }
            | Self::InitializeEnded { trouble, .. }
            | Self::ServerRunEnded { trouble, .. }
            | Self::ServerStopEnded { trouble }
            | Self::ServerLookEnded { trouble, .. } => trouble.as_ref(),
            _ => None,
        }
    }

    /// The handles that come into the state with it.
    pub fn new_handles(&self) -> &[NewHandle] {
        match self {
            Self::LaunchSettled { handles, .. }
            | Self::LaunchUnknown { claimed: handles, .. }
            | Self::LaunchResolved { handles, .. }
            | Self::StraysCondemned { handles }
            | Self::Adopted { handles } => handles,
            _ => &[],
        }
    }

    /// The handles that it names and that were in the state before.
    pub fn known_handles(&self) -> impl Iterator<Item = HandleId> {
        let (some, others): (&[HandleId], &[HandleId]) = match self {
            Self::KillStarted { handles, .. }
            | Self::KillAnswered { handles }
            | Self::KillFailed { handles, .. }
            | Self::LateSeen { handles }
            | Self::Suspected { handles } => (handles, &[]),
            Self::PhaseSeen { initializing, running } => (initializing, running),
            Self::Gone { killed, died } => (killed, died),
            _ => (&[], &[]),
        };
        some.iter().chain(others).copied()
    }

    /// How many handles it names: what its size grows with.
    pub fn handles(&self) -> usize {
        let strays = match self {
            Self::StraysSeen { strays, .. } => strays.len(),
            Self::StraysGone { strays, .. } => strays.len(),
            _ => 0,
        };
        strays + self.new_handles().len() + self.known_handles().count()
    }

    /// The change, happening at a time.
    pub fn at(self, at: Time) -> Record {
        Record { at, change: self }
    }
}
