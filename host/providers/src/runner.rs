//! An instance in a process of its own: the host starts itself again as a *runner* for one library of one provider, and speaks
//! to it over a pair of sockets. A plugin that crashes, exits, hangs or says too much costs its provider, and nobody else.
//!
//! `frame` and `wire` are the language. `serve` is the runner's side, with its `fate`: its threads are a `crew` that makes
//! `calls`, and what it has to say goes through `voice`. On the host's side `process` starts and ends the process, `line` writes
//! and reads, `desk` has the calls, `spell` is one runner from its start to its end, and `supervisor` keeps one there; `resources`
//! asks the system what one takes of the machine. `examine` looks at a library in a process that is thrown away. What a runner says
//! is bounded: each frame, each part of it that can stand there many times (`few`), and what many take together (`reading`).

mod calls;
mod clock;
mod crew;
mod desk;
mod examine;
mod fate;
mod few;
mod frame;
mod line;
mod output;
mod patience;
mod process;
mod program;
mod ration;
mod reading;
mod resources;
mod serve;
mod spell;
mod supervisor;
mod voice;
mod wire;

use std::sync::Arc;

use longshore_config::Confinement;

use crate::{error::CreateError, library::Library, log::Source, pool::CallLimits};

pub use desk::RunnerLoad;
pub(crate) use examine::examine;
pub use patience::{DEATHS_LIMIT, DEATHS_WINDOW, RESTART_WAIT, STABLE};
pub use program::RunnerProgram;
pub use resources::Resources;
pub use serve::intercept;
pub(crate) use supervisor::Runner;
pub use supervisor::{RunnerState, SHUTDOWN_LIMIT};

/// How a provider's runner is started.
#[derive(Clone, Debug)]
pub struct RunnerSetup {
    /// The program.
    pub program: RunnerProgram,
    /// What it may not do.
    pub confine: Option<Confinement>,
}

impl RunnerSetup {
    /// Has an instance made in a runner.
    pub(crate) async fn create(
        &self,
        library: &Arc<Library>,
        log: &'static Source,
        config: String,
        limits: CallLimits,
    ) -> Result<Runner, CreateError> {
        let confine = self.confine.as_ref().map(serde_json::to_string).transpose();
        let confine = confine.map_err(|error| CreateError::NoRunner { reason: error.to_string() })?;
        let (program, library) = (self.program.clone(), Arc::clone(library));
        let limits = CallLimits { threads: limits.threads.max(1), ..limits };
        let recipe = spell::Recipe { program, library, log, config, confine, limits };
        Runner::create(recipe).await
    }
}
