//! Commands that look after the state folder. None needs a host; `check` and `export` work beside one.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Read, Write as _},
    path::{Path, PathBuf},
};

use anstyle::Style;
use longshore_store::{CheckReport, Damage, ExportError, Holder, ImportError};
use serde::Serialize;

use crate::{
    args::{self, StateCommand},
    exit::{Exit, Failure},
    output::Output,
    place::Place,
    render::clean,
    state::{blocking, folder},
    table::table,
};

/// What was found, for `--json`.
#[derive(Serialize)]
struct Checked {
    folder: String,
    /// Whether nothing is damaged.
    sound: bool,
    /// The file's format; null where it cannot be told.
    format: Option<u32>,
    /// Transactions since the file was made; null where it cannot be told.
    commits: Option<u64>,
    /// Bytes of the file.
    file_bytes: u64,
    /// Bytes of its log.
    log_bytes: u64,
    /// Whether a host uses it.
    in_use: bool,
    /// Which host; null where none does, or its lock does not tell.
    holder: Option<HolderOfState>,
    /// Whether the loss of what was written last would be noticed.
    has_witness: bool,
    clusters: Vec<ClusterOfState>,
    /// The names of the providers.
    providers: Vec<String>,
    /// The hashes of the libraries that something is known of.
    libraries: Vec<String>,
    damages: Vec<DamageOfState>,
    /// Damages that are not told of.
    more_damages: usize,
}

/// A host that uses a folder.
#[derive(Serialize)]
struct HolderOfState {
    pid: u32,
    since: String,
}

#[derive(Serialize)]
struct ClusterOfState {
    name: String,
    /// Entries that are kept, and the numbers of the first and the last.
    entries: u64,
    first: u64,
    last: u64,
    bytes: u64,
    /// The last entry that its snapshot stands for; 0 where it has none.
    snapshot_upto: u64,
    snapshot_handles: u64,
    snapshot_bytes: u64,
}

#[derive(Serialize)]
struct DamageOfState {
    place: String,
    what: String,
}

/// What was done, for `--json`.
#[derive(Serialize)]
struct Moved {
    folder: String,
    /// The file with the text; null for standard output or input.
    file: Option<String>,
}

pub(super) async fn run(state: &args::State, output: &Output) -> Result<(), Failure> {
    let folder = folder(state.state.as_deref())?;
    match &state.command {
        StateCommand::Check => check(folder, output).await,
        StateCommand::Export { output: to } => export(folder, to.clone(), output).await,
        StateCommand::Import { file } => import(folder, file.clone(), output).await,
    }
}

async fn check(folder: PathBuf, output: &Output) -> Result<(), Failure> {
    let looked_at = folder.clone();
    let report = blocking(move || longshore_store::check(&looked_at)).await?;
    let report = report.map_err(|error| Failure::state(&error))?;
    let document = Checked::of(&folder, report);
    output.either(&document, || told(&document, output.width()))?;
    if document.sound {
        return Ok(());
    }
    let count = document.damages.len() + document.more_damages;
    let places = if count == 1 { "one place".to_owned() } else { format!("{count} places") };
    let text = format!(
        "the state in {} is damaged in {places}: restore an export with `longshore state import` into another folder, or begin \
         with an empty one and take the running clusters over with `longshore reconnect`",
        document.folder
    );
    Err(Failure::new(Exit::State, "state", text))
}

impl Checked {
    fn of(folder: &Path, report: CheckReport) -> Self {
        let clusters = report.clusters.into_iter().map(|it| ClusterOfState {
            name: it.name,
            entries: it.entries,
            first: it.first,
            last: it.last,
            bytes: it.bytes,
            snapshot_upto: it.snapshot_upto,
            snapshot_handles: it.snapshot_handles,
            snapshot_bytes: it.snapshot_bytes,
        });
        let damages =
            report.damages.first.into_iter().map(|Damage { place, what }| DamageOfState { place, what });
        let damages: Vec<_> = damages.collect();
        Self {
            folder: folder.display().to_string(),
            sound: damages.is_empty(),
            format: report.format,
            commits: report.commits,
            file_bytes: report.file_bytes,
            log_bytes: report.log_bytes,
            in_use: report.is_in_use,
            holder: report.holder.map(|Holder { pid, since }| HolderOfState { pid, since }),
            has_witness: report.has_witness,
            clusters: clusters.collect(),
            providers: report.providers,
            libraries: report.libraries,
            damages,
            more_damages: report.damages.more,
        }
    }
}

fn told(found: &Checked, width: Option<u16>) -> String {
    let known =
        |number: Option<u64>| number.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
    let mut lines = vec![
        format!("folder      {}", found.folder),
        format!("format      {}", known(found.format.map(u64::from))),
        format!("commits     {}", known(found.commits)),
        format!("size        {} bytes, and {} of its log", found.file_bytes, found.log_bytes),
        format!("used by     {}", user(found)),
        format!(
            "providers   {}",
            if found.providers.is_empty() { "none".to_owned() } else { found.providers.join(", ") }
        ),
    ];
    if !found.has_witness {
        lines.push("no witness: whether what was written last was lost cannot be told".to_owned());
    }
    if found.clusters.is_empty() {
        lines.push("clusters    none".to_owned());
    } else {
        let rows = found.clusters.iter().map(|cluster| {
            let snapshot = match cluster.snapshot_upto {
                0 => "-".to_owned(),
                upto => format!(
                    "upto {upto}, {} handles, {} bytes",
                    cluster.snapshot_handles, cluster.snapshot_bytes
                ),
            };
            let entries = format!("{} to {}", cluster.first, cluster.last);
            (vec![clean(&cluster.name), entries, cluster.bytes.to_string(), snapshot], Style::new())
        });
        lines.push(String::new());
        lines.push(table(&["CLUSTER", "ENTRIES", "BYTES", "SNAPSHOT"], rows, width));
        lines.push(String::new());
    }
    if found.sound {
        lines.push("nothing is damaged".to_owned());
    } else {
        lines.push("damaged:".to_owned());
        lines.extend(found.damages.iter().map(|it| clean(&format!("  {}: {}", it.place, it.what))));
        if found.more_damages > 0 {
            lines.push(format!("  ... and {} more", found.more_damages));
        }
    }
    lines.join("\n")
}

fn user(found: &Checked) -> String {
    match &found.holder {
        Some(HolderOfState { pid, since }) => format!("process {pid}, since {}", clean(since)),
        None if found.in_use => "a host whose lock does not name it".to_owned(),
        None => "no host".to_owned(),
    }
}

async fn export(folder: PathBuf, to: Option<PathBuf>, output: &Output) -> Result<(), Failure> {
    let (from, file) = (folder.clone(), to.clone());
    blocking(move || match file {
        Some(file) => export_to_file(&from, &file),
        None => export_to_standard_output(&from),
    })
    .await??;
    match to {
        // The text itself is what standard output has.
        None => Ok(()),
        Some(file) => {
            let moved =
                Moved { folder: folder.display().to_string(), file: Some(file.display().to_string()) };
            output.either(&moved, || format!("exported {} to {}", moved.folder, file.display()))
        }
    }
}

/// The permissions of an export, before the umask: what a cluster's containers are told is for its owner alone.
const EXPORT_MODE: u32 = 0o600;

fn export_to_standard_output(folder: &Path) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    longshore_store::export(folder, &mut out).map_err(|error| match error {
        ExportError::Write(error) => Failure::from(error),
        error => Failure::state(&error),
    })?;
    Ok(out.flush()?)
}

/// The file has its name when it is complete and on the disk; what had the name before is there until then.
fn export_to_file(folder: &Path, file: &Path) -> Result<(), Failure> {
    let place = Place::of(file, EXPORT_MODE).map_err(ExportError::Write);
    let written =
        place.and_then(|place| place.write(ExportError::Write, |out| longshore_store::export(folder, out)));
    written.map_err(|error| match error {
        ExportError::Write(error) => {
            let what = format_args!("cannot write the export {}: {error}", file.display());
            Failure::new(Exit::State, "state", what)
        }
        error => Failure::state(&error),
    })
}

async fn import(folder: PathBuf, file: PathBuf, output: &Output) -> Result<(), Failure> {
    let is_input = file.as_os_str() == "-";
    let (to, from) = (folder.clone(), file.clone());
    blocking(move || {
        let unreadable = |error: io::Error| {
            Failure::new(
                Exit::State,
                "state",
                format_args!("cannot read the export {}: {error}", from.display()),
            )
        };
        let mut text: Box<dyn Read> = if is_input {
            Box::new(io::stdin().lock())
        } else {
            if fs::metadata(&from).map_err(unreadable)?.is_dir() {
                return Err(unreadable(io::ErrorKind::IsADirectory.into()));
            }
            Box::new(File::open(&from).map_err(unreadable)?)
        };
        longshore_store::import(&to, &mut text).map_err(|error| refused(&error, &from, is_input))
    })
    .await??;
    let moved =
        Moved { folder: folder.display().to_string(), file: (!is_input).then(|| file.display().to_string()) };
    output.either(&moved, || {
        format!("imported into {}; the next host on it takes up the clusters", moved.folder)
    })
}

/// What is wrong with a line is told with its file.
fn refused(error: &ImportError, file: &Path, is_input: bool) -> Failure {
    match error {
        ImportError::Read { .. } | ImportError::Line { .. } if !is_input => {
            let text = format!("{}: {}", file.display(), longshore_http::full(error));
            Failure::new(Exit::State, "state", text)
        }
        error => Failure::state(error),
    }
}
