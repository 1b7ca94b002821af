//! What a cluster's reconciler can be told and asked. It takes one message at a time, in order.

use std::sync::Arc;

use longshore_config::ClusterConfig;
use longshore_scaling::{Action, Command, HandleId, Observation, PlanReport, Side};
use tokio::sync::oneshot;

use crate::{
    error::CommandError,
    serving::AtHand,
    view::{ClusterStatus, WorkerPage},
};

/// How many messages may wait for one cluster; who sends more waits.
pub const INBOX: usize = 256;

/// What a reconciler can be told or asked.
pub(crate) enum Message {
    /// A command, and the new definition where it comes with one.
    Command {
        command: Command,
        config: Option<Box<ClusterConfig>>,
        reply: oneshot::Sender<Result<Obeyed, CommandError>>,
    },
    /// A reply of a side's provider.
    Seen(Side, Observation),
    /// What the cluster has of a provider is another one by now, is not there any more, or is another in what is told of it.
    Provider(Box<AtHand>),
    /// What would come of a command, and of the definition that comes with it?
    Preview {
        command: Command,
        config: Box<ClusterConfig>,
        reply: oneshot::Sender<Result<Previewed, CommandError>>,
    },
    /// How is it, right now?
    Status(oneshot::Sender<ClusterStatus>),
    /// How is it, once no look at its workers is wanted or under way?
    FreshStatus(oneshot::Sender<ClusterStatus>),
    /// Which containers are there?
    Workers { offset: usize, limit: usize, reply: oneshot::Sender<WorkerPage> },
    /// Which cluster is it, of all that had or will have its name?
    Uid(oneshot::Sender<u64>),
    /// What are these called, of those that are not known to have stopped?
    Names { handles: Vec<HandleId>, reply: oneshot::Sender<Vec<(HandleId, Arc<str>)>> },
    /// What do the generations of the provider of that name have to agree on? No answer where it does not use that one.
    Live { provider: Arc<str>, reply: oneshot::Sender<Live> },
    /// What is its definition?
    Definition(oneshot::Sender<Box<ClusterConfig>>),
    /// Remove what its stopped workers left in the backend; answered when the provider has.
    CleanUp { deep: bool, reply: oneshot::Sender<Result<(), CommandError>> },
    /// End, and leave the workers alone.
    Leave,
}

impl Message {
    /// Whether it may have changed the cluster; a question does not.
    pub(crate) fn moves(&self) -> bool {
        matches!(self, Self::Command { .. } | Self::Seen(..) | Self::Provider(_))
    }
}

/// What a cluster has in a provider's backend, as far as is known.
pub(crate) struct Live {
    pub(crate) config: Box<ClusterConfig>,
    /// Each container that is not known to have stopped, and whether it was told to.
    pub(crate) handles: Vec<(Arc<str>, bool)>,
    /// Whether launches of it may be asked for again under the same token.
    pub(crate) has_unknown: bool,
    /// Whether it has a server that the provider runs.
    pub(crate) has_server: bool,
}

/// What a command came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Obeyed {
    pub(crate) generation: u64,
    /// Whether anything is other than before.
    pub(crate) changed: bool,
}

/// What a command would come to.
#[derive(Debug)]
pub(crate) struct Previewed {
    pub(crate) changes: bool,
    pub(crate) before: u32,
    pub(crate) after: u32,
    pub(crate) live: u64,
    pub(crate) actions: Vec<Action>,
    pub(crate) report: PlanReport,
}
