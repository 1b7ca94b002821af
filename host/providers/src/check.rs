//! Holds a plugin's answers against the contract. Pure functions: an answer is either sound as a whole or refused as a
//! whole, with the clause that it breaks, and a refused `run` still tells the handles that it named.

use std::{collections::HashMap, fmt::Display, sync::Arc};

use longshore_plugin_abi::{KillReply, ListReply, RunReply, status};
use longshore_plugin_api::{
    Clause, Killed, LaunchToken, ListedHandle, MAX_WORKERS_ON_A_HANDLE, ServerAddress, Shortfall,
    WorkerStatus,
};

use crate::error::{Function, Violation, cut};

/// The longest handle, in bytes.
pub const MAX_HANDLE_BYTES: usize = 256;
/// The most entries of one answer: handles of a `run` or a `list`, reasons of a `kill`. A cluster has at most a million workers,
/// and a call is about no more handles than that.
pub const MAX_ENTRIES: usize = 1 << 20;
/// The longest name or address of a server, in bytes: a name in the DNS is no longer.
pub const MAX_HOST_BYTES: usize = 253;
/// The longest launch token, in bytes.
const MAX_TOKEN_BYTES: usize = 64;

/// What a `run` launched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launched {
    /// Each handle once, in the order of its first appearance, with the workers on it.
    pub handles: Vec<(Arc<str>, u32)>,
    /// Why there are fewer workers than asked for; present exactly when there are.
    pub shortfall: Option<Shortfall>,
}

impl Launched {
    /// How many workers were launched.
    pub fn workers(&self) -> u64 {
        self.handles.iter().map(|(_, workers)| u64::from(*workers)).sum()
    }
}

fn breach(clause: Clause, function: Function, detail: impl Display) -> Violation {
    Violation { clause, function, detail: detail.to_string(), claimed: Vec::new() }
}

/// What is wrong with a handle, or nothing.
fn handle_fault(handle: &str) -> Option<String> {
    if handle.is_empty() {
        return Some("a handle is empty".to_owned());
    }
    if handle.len() > MAX_HANDLE_BYTES {
        return Some(format!("a handle is {} bytes long, of at most {MAX_HANDLE_BYTES}", handle.len()));
    }
    handle.chars().any(char::is_control).then(|| format!("a handle contains a control character: {handle:?}"))
}

/// Checks the answer of a `run` that asked for so many workers, at most so many of them in one container.
pub(crate) fn run(asked: u32, max_workers: u32, reply: RunReply) -> Result<Launched, Violation> {
    let given = reply.handles.len();
    let (handles, fault) = gather(reply.handles.iter().map(AsRef::as_ref));
    let shortfall = reply
        .shortfall
        .into_option()
        .map(|short| Shortfall { reason: cut(&short.reason).into_owned(), retryable: short.retryable });

    let refuse =
        |clause, detail| Err(Violation { claimed: handles.clone(), ..breach(clause, Function::Run, detail) });
    let asked_count = asked as usize;
    if asked == 0 && given > 0 {
        return refuse(Clause::RunZero, format!("asked for no workers, it answered with {given}"));
    }
    if given > asked_count {
        return refuse(Clause::RunNeverMore, format!("asked for {asked} workers, it answered with {given}"));
    }
    if let Some(fault) = fault {
        return refuse(Clause::RunHandle, fault);
    }
    match &shortfall {
        None if given < asked_count => {
            let detail = format!("asked for {asked} workers, it answered with {given} and no shortfall");
            return refuse(Clause::RunCount, detail);
        }
        Some(_) if given == asked_count => {
            let detail = format!("it answered with all {asked} workers, and with a shortfall");
            return refuse(Clause::RunCount, detail);
        }
        Some(short) if short.reason.trim().is_empty() => {
            let detail = format!("asked for {asked} workers, it answered with {given} and did not say why");
            return refuse(Clause::RunCount, detail);
        }
        _ => {}
    }
    if let Some((handle, workers)) = handles.iter().find(|(_, workers)| *workers > max_workers) {
        let detail =
            format!("{workers} workers share the handle {handle}, of at most {max_workers} in a container");
        return refuse(Clause::RunShares, detail);
    }
    Ok(Launched { handles, shortfall })
}

/// The breach of an answer that has more entries than any may have, and those handles of it that are known. Where a plugin runs
/// apart, not all of them ever are: the answer would take too much room.
pub(crate) fn too_many<'a>(
    function: Function,
    entries: usize,
    named: impl Iterator<Item = &'a str>,
) -> Violation {
    let (clause, what) = match function {
        Function::Run => (Clause::RunNeverMore, "handles"),
        Function::Kill => (Clause::KillCount, "reasons"),
        _ => (Clause::ListComplete, "handles"),
    };
    let detail = format_args!("it answered with {entries} {what}, of at most {MAX_ENTRIES} in one answer");
    let (claimed, _) = gather(named);
    Violation { claimed, ..breach(clause, function, detail) }
}

/// The valid handles, each once with its number of appearances, and the first fault.
fn gather<'a>(entries: impl Iterator<Item = &'a str>) -> (Vec<(Arc<str>, u32)>, Option<String>) {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut handles: Vec<(Arc<str>, u32)> = Vec::new();
    let mut first_fault = None;
    for handle in entries {
        if let Some(fault) = handle_fault(handle) {
            first_fault.get_or_insert(fault);
            continue;
        }
        if let Some(place) = places.get(handle) {
            handles[*place].1 += 1;
        } else {
            places.insert(handle, handles.len());
            handles.push((handle.into(), 1));
        }
    }
    (handles, first_fault)
}

fn reason(text: &str) -> String {
    if text.trim().is_empty() { "the provider gave no reason".to_owned() } else { cut(text).into_owned() }
}

fn same_count(clause: Clause, function: Function, asked: usize, given: usize) -> Result<(), Violation> {
    if asked == given {
        Ok(())
    } else {
        Err(breach(clause, function, format_args!("asked for {asked} handles, it answered for {given}")))
    }
}

fn worker_status(value: u8) -> Option<WorkerStatus> {
    match value {
        status::INITIALIZING => Some(WorkerStatus::Initializing),
        status::RUNNING => Some(WorkerStatus::Running),
        status::STOPPED => Some(WorkerStatus::Stopped),
        _ => None,
    }
}

/// Checks the answer of a `status` of so many handles.
pub(crate) fn status(asked: usize, values: &[u8]) -> Result<Vec<WorkerStatus>, Violation> {
    same_count(Clause::StatusCount, Function::Status, asked, values.len())?;
    // Room for all at once, which a `Result` that is collected into does not make.
    let mut statuses = Vec::with_capacity(asked);
    for (index, value) in values.iter().enumerate() {
        let Some(status) = worker_status(*value) else {
            let detail = format_args!("the status of the handle at {index} is {value}, which means nothing");
            return Err(breach(Clause::StatusValue, Function::Status, detail));
        };
        statuses.push(status);
    }
    Ok(statuses)
}

/// Checks an answer of yes or no.
fn yes_or_no(clause: Clause, function: Function, index: usize, value: u8) -> Result<bool, Violation> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        _ => {
            let detail =
                format_args!("the answer for the handle at {index} is {value}, neither yes (1) nor no (0)");
            Err(breach(clause, function, detail))
        }
    }
}

/// Checks the answer of a predicate on so many handles.
pub(crate) fn predicate(function: Function, asked: usize, values: &[u8]) -> Result<Vec<bool>, Violation> {
    same_count(Clause::PredicateCount, function, asked, values.len())?;
    let answer = |(index, value): (usize, &u8)| yes_or_no(Clause::PredicateCount, function, index, *value);
    values.iter().enumerate().map(answer).collect()
}

/// Checks the answer of a `kill` of so many handles. Reasons that belong to no refusal are passed over.
pub(crate) fn kill(asked: usize, reply: KillReply) -> Result<Vec<Killed>, Violation> {
    same_count(Clause::KillCount, Function::Kill, asked, reply.answers.len())?;
    if reply.reasons.len() > MAX_ENTRIES {
        return Err(too_many(Function::Kill, reply.reasons.len(), std::iter::empty()));
    }
    let mut killed = Vec::with_capacity(asked);
    for (index, value) in reply.answers.iter().enumerate() {
        let stopped = yes_or_no(Clause::KillCount, Function::Kill, index, *value)?;
        killed.push(if stopped { Killed::Yes } else { Killed::No(reason("")) });
    }
    for entry in reply.reasons {
        let place = usize::try_from(entry.index).ok().and_then(|index| killed.get_mut(index));
        if let Some(Killed::No(text)) = place {
            *text = reason(&entry.text);
        }
    }
    Ok(killed)
}

/// Checks the answer of a `list`.
pub(crate) fn list(reply: ListReply) -> Result<Vec<ListedHandle>, Violation> {
    if reply.entries.len() > MAX_ENTRIES {
        return Err(too_many(Function::List, reply.entries.len(), std::iter::empty()));
    }
    let mut seen = std::collections::HashSet::with_capacity(reply.entries.len());
    for entry in &reply.entries {
        let handle = entry.handle.as_str();
        if let Some(fault) = handle_fault(handle) {
            return Err(breach(Clause::RunHandle, Function::List, fault));
        }
        if entry.workers == 0 {
            let detail = format_args!("the handle {handle} is listed with no workers");
            return Err(breach(Clause::ListComplete, Function::List, detail));
        }
        if entry.workers > MAX_WORKERS_ON_A_HANDLE {
            let detail = format_args!(
                "the handle {handle} is listed with {} workers; the most are {MAX_WORKERS_ON_A_HANDLE}",
                entry.workers
            );
            return Err(breach(Clause::ListComplete, Function::List, detail));
        }
        if entry.token.len() > MAX_TOKEN_BYTES {
            let detail = format_args!(
                "the handle {handle} is listed with a token of {} bytes; a launch has one of at most {MAX_TOKEN_BYTES}",
                entry.token.len()
            );
            return Err(breach(Clause::ListComplete, Function::List, detail));
        }
        if !seen.insert(handle) {
            let detail = format_args!("the handle {handle} is listed twice");
            return Err(breach(Clause::ListComplete, Function::List, detail));
        }
    }
    drop(seen);
    let listed = reply.entries.into_iter().map(|entry| ListedHandle {
        handle: entry.handle.into(),
        token: LaunchToken::new(entry.token),
        workers: entry.workers,
    });
    Ok(listed.collect())
}

/// Checks the answer of `server_status`.
pub(crate) fn server_status(value: u8) -> Result<WorkerStatus, Violation> {
    worker_status(value).ok_or_else(|| {
        let detail = format_args!("the server's status is {value}, which means nothing");
        breach(Clause::ServerStatus, Function::ServerStatus, detail)
    })
}

/// Checks the answer of `server_address`, a JSON document.
pub(crate) fn server_address(document: &str) -> Result<ServerAddress, Violation> {
    let address: ServerAddress = serde_json::from_str(document).map_err(|error| {
        let detail = format_args!("the server's address cannot be read: {error}");
        breach(Clause::ServerAddress, Function::ServerAddress, detail)
    })?;
    if address.host.trim().is_empty() {
        let detail = "the server's address has no host";
        return Err(breach(Clause::ServerAddress, Function::ServerAddress, detail));
    }
    if address.host.len() > MAX_HOST_BYTES {
        let detail = format_args!(
            "the server's address has a host of {} bytes, of at most {MAX_HOST_BYTES}",
            address.host.len()
        );
        return Err(breach(Clause::ServerAddress, Function::ServerAddress, detail));
    }
    Ok(address)
}

#[cfg(test)]
mod tests;
