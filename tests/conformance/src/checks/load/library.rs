//! LOAD-1 to LOAD-4: the library's file, its root module, and what it says of itself. The host finds most of it when it loads
//! the library; what it is lenient about is looked at here.

use std::sync::Arc;

use longshore_plugin_api::{Clause, Metadata, PanicStrategy};
use longshore_providers::{Library, LoadError, LoadErrorKind};
use semver::Version;

use crate::{
    bench::Bench,
    verdict::{Verdict, breach, demand, fault, skip},
};

/// Names of interfaces that a library without them must not answer to. Each is near one that it has.
const NEAR: [&str; 12] = [
    "",
    " ",
    "longshore",
    "longshore.workers",
    "longshore.workers/",
    "longshore.workers/0",
    "longshore.workers/10",
    "longshore.workers/1 ",
    "longshore.workers/1/1",
    "Longshore.Workers/1",
    "workers/1",
    "longshore.conformance-no-such-interface/1",
];

/// The interfaces of the contract.
const KNOWN: [&str; 5] = [
    "longshore.workers/1",
    "longshore.initialize/1",
    "longshore.list/1",
    "longshore.server/1",
    "longshore.cleanup/1",
];

/// The longest text of a comparison of layouts that is shown, in lines.
const DETAIL_LINES: usize = 10;

/// Loads the library, not by way of the bench, which takes every refusal for a breach.
pub(super) fn open(bench: &Bench) -> Result<Arc<Library>, LoadError> {
    bench.progress("load");
    let opened = Library::open(bench.path());
    bench.progress("-");
    opened
}

/// The library for a check of a clause: where it is refused for a breach of another, that clause's check tells it.
pub(super) fn library_for(bench: &Bench, clause: Clause) -> Verdict<Arc<Library>> {
    match open(bench) {
        Ok(library) => Ok(library),
        Err(error) => refused(&error, clause),
    }
}

fn refused<T>(error: &LoadError, clause: Clause) -> Verdict<T> {
    match error.clause() {
        Some(broken) if broken == clause => breach(clause, clause.text(), seen(error)),
        Some(broken) => skip(format_args!("the library is refused before that, for a breach of {broken}")),
        None => fault(error),
    }
}

/// What was wrong, without the path, which whoever reads it has just typed; of a comparison of layouts also its findings.
fn seen(error: &LoadError) -> String {
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default();
    let first = first.split_once(" cannot be loaded: ").map_or(first, |(_, what)| what);
    let mut seen = format!("the host refuses the library: {first}");
    if let Some(detail) = error.detail().filter(|_| error.kind() == LoadErrorKind::Layout) {
        // Both layouts come first, in full; what is different between them stands at the end.
        let lines = detail.lines().map(str::trim).filter(|line| !line.is_empty());
        let findings: Vec<_> =
            lines.skip_while(|line| !line.contains("error(s)")).skip(1).take(DETAIL_LINES).collect();
        if !findings.is_empty() {
            seen.push_str("; ");
            seen.push_str(&findings.join(" "));
        }
    }
    seen
}

/// Whether a refusal says that the library was opened, and its root module found, before it was refused.
fn is_open(kind: LoadErrorKind) -> bool {
    matches!(
        kind,
        LoadErrorKind::Layout
            | LoadErrorKind::Aborts
            | LoadErrorKind::Metadata
            | LoadErrorKind::Contract
            | LoadErrorKind::Schema
    )
}

pub(crate) fn load_symbols(bench: &Bench) -> Verdict {
    match open(bench) {
        Ok(_) => Ok(()),
        Err(error) if is_open(error.kind()) => Ok(()),
        Err(error) => refused(&error, Clause::LoadSymbol),
    }
}

pub(crate) fn load_layout(bench: &Bench) -> Verdict {
    library_for(bench, Clause::LoadLayout).map(drop)
}

pub(crate) fn load_unwinds(bench: &Bench) -> Verdict {
    let library = library_for(bench, Clause::LoadUnwind)?;
    demand(
        library.metadata().panic == PanicStrategy::Unwind,
        Clause::LoadUnwind,
        Clause::LoadUnwind.text(),
        || "the metadata say that it aborts",
    )
}

pub(crate) fn load_metadata(bench: &Bench) -> Verdict {
    let library = library_for(bench, Clause::LoadMetadata)?;
    let Metadata { name, version, contract, api_version, .. } = library.metadata();
    let must =
        |holds: bool, expected: &str, seen: String| demand(holds, Clause::LoadMetadata, expected, || seen);
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    must(
        !name.is_empty() && name.chars().all(fit),
        "`name` is lower-case letters, digits and `-`",
        format!("it is {name:?}"),
    )?;
    must(
        Version::parse(version).is_ok(),
        "`version` follows semantic versioning, as `1.2.3` does",
        format!("it is {version:?}"),
    )?;
    must(*contract == 1, "`contract` is 1", format!("it is {contract}"))?;
    must(
        !api_version.trim().is_empty(),
        "no field of the metadata is missing or empty, but for the description",
        "`api_version` is empty".to_owned(),
    )
}

pub(crate) fn load_interfaces(bench: &Bench) -> Verdict {
    const CLAUSE: Clause = Clause::LoadMetadata;
    let library = library_for(bench, CLAUSE)?;
    let listed = &library.metadata().interfaces;
    let expected = "`interfaces` lists the ids that `query` answers, each once, `longshore.workers/1` among them, and no others";
    demand(listed.iter().any(|id| id == KNOWN[0]), CLAUSE, expected, || {
        format!("{} is not listed; the list is {listed:?}", KNOWN[0])
    })?;
    for (place, id) in listed.iter().enumerate() {
        if listed[..place].contains(id) {
            return breach(CLAUSE, expected, format_args!("{id:?} is listed twice"));
        }
        // Twice: whoever asks again gets the same.
        if !library.answers(id) || !library.answers(id) {
            return breach(
                CLAUSE,
                expected,
                format_args!("{id:?} is listed, and `query` does not answer it"),
            );
        }
    }
    let unlisted = KNOWN.iter().chain(&NEAR).filter(|id| !listed.iter().any(|known| known == **id));
    for id in unlisted {
        if library.answers(id) {
            return breach(CLAUSE, expected, format_args!("`query` answers {id:?}, which is not listed"));
        }
    }
    Ok(())
}
