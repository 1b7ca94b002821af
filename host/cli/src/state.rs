//! The state folder: which one it is, and what it takes to use it.

use std::{
    env,
    path::{self, Path, PathBuf},
    sync::Arc,
};

use etcetera::BaseStrategy as _;
use longshore_store::{Journal, SqliteJournal};

use crate::{args::Keeping, exit::Failure};

/// The variable that names it.
const VARIABLE: &str = "LONGSHORE_STATE";

/// What a host keeps its clusters in.
pub(crate) struct State {
    /// None where it is in memory alone.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) journal: Arc<dyn Journal>,
}

impl State {
    /// Opens it, which keeps every other host off it.
    pub(crate) async fn open(keeping: &Keeping) -> Result<Self, Failure> {
        if keeping.no_state {
            return Ok(Self { folder: None, journal: Arc::new(SqliteJournal::in_memory()) });
        }
        let folder = folder(keeping.state.as_deref())?;
        let opening = folder.clone();
        let journal = blocking(move || SqliteJournal::open(&opening)).await?;
        let journal = journal.map_err(|error| Failure::state(&error))?;
        Ok(Self { folder: Some(folder), journal: Arc::new(journal) })
    }
}

/// Does what blocks on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::internal(format_args!("the work on the state was cut off: {error}")))
}

/// The folder: the one that is named, the variable's, or one of the user's; by its whole path.
pub(crate) fn folder(named: Option<&Path>) -> Result<PathBuf, Failure> {
    // One that is set to nothing is not set.
    let variable = || env::var_os(VARIABLE).map(PathBuf::from).filter(|it| !it.as_os_str().is_empty());
    let folder = named.map(Path::to_owned).or_else(variable).or_else(users);
    let folder = folder.ok_or_else(|| {
        Failure::usage("the user has no home folder to keep the state in: name a folder with --state")
    })?;
    Ok(path::absolute(&folder).unwrap_or(folder))
}

/// `$XDG_STATE_HOME/longshore/host`, or `~/.local/state/longshore/host`. Providers keep what is theirs beside it, so that a
/// state that is thrown away takes nothing of theirs along.
fn users() -> Option<PathBuf> {
    let base = etcetera::choose_base_strategy().ok()?;
    Some(base.state_dir().unwrap_or_else(|| base.data_dir()).join("longshore").join("host"))
}
