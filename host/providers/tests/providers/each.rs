//! Every function of a provider, called by its name.

use std::{fmt::Debug, thread, time::Duration};

use longshore_plugin_api::ServerRequest;
use longshore_providers::{Call, CallError, Provider};

use super::{handles, request, scope};

/// Every function that a host calls.
pub(crate) const FUNCTIONS: [&str; 13] = [
    "run",
    "status",
    "kill",
    "is_initializing",
    "is_running",
    "is_stopped",
    "initialize",
    "list",
    "run_server",
    "stop_server",
    "server_status",
    "server_address",
    "cleanup",
];

/// So many functions are tried side by side: each has processes of its own, and most of them wait.
const AT_ONCE: usize = 4;

/// Does something with each function.
pub(crate) fn in_each_function(work: impl Fn(&'static str) + Sync) {
    for some in FUNCTIONS.chunks(AT_ONCE) {
        thread::scope(|scope| {
            for function in some {
                scope.spawn(|| work(function));
            }
        });
    }
}

/// What became of a call.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    /// What was told in time.
    pub(crate) first: Result<(), CallError>,
    /// What was told in the end: the same, unless it was late.
    pub(crate) last: Result<(), CallError>,
}

async fn outcome<T: Debug>(mut call: Call<T>, while_late: impl FnOnce()) -> Outcome {
    let first = call.reply().await.map(drop);
    let last = match &first {
        Err(CallError::Deadline { .. }) => {
            while_late();
            call.late().await.map(drop)
        }
        answer => answer.clone(),
    };
    Outcome { first, last }
}

/// Calls a function, and does something while its answer is late, where it is.
pub(crate) async fn call(
    provider: &Provider,
    function: &str,
    budget: Duration,
    while_late: impl FnOnce(),
) -> Outcome {
    let (scope, x) = (scope(budget), || handles(&["x"]));
    match function {
        "run" => outcome(provider.run(&scope, request("t", 1, 1)), while_late).await,
        "status" => outcome(provider.status(&scope, x()), while_late).await,
        "kill" => outcome(provider.kill(&scope, x()), while_late).await,
        "is_initializing" => outcome(provider.is_initializing(&scope, x()), while_late).await,
        "is_running" => outcome(provider.is_running(&scope, x()), while_late).await,
        "is_stopped" => outcome(provider.is_stopped(&scope, x()), while_late).await,
        "initialize" => outcome(provider.initialize(&scope), while_late).await,
        "list" => outcome(provider.list(&scope), while_late).await,
        "run_server" => outcome(provider.run_server(&scope, ServerRequest::default()), while_late).await,
        "stop_server" => outcome(provider.stop_server(&scope), while_late).await,
        "server_status" => outcome(provider.server_status(&scope), while_late).await,
        "server_address" => outcome(provider.server_address(&scope), while_late).await,
        "cleanup" => outcome(provider.cleanup(&scope, false), while_late).await,
        other => panic!("there is no function {other}"),
    }
}

/// Calls another function than this one, which has no fault.
pub(crate) async fn another(provider: &Provider, function: &str) -> Result<(), CallError> {
    let another = if function == "list" { "status" } else { "list" };
    call(provider, another, super::LONG, || ()).await.first
}
