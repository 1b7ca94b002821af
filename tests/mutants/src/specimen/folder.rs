//! The folder that holds all that the specimen knows:
//!
//! ```text
//! launches/CLUSTER/NAME.jsonl   a launch, see `record`
//! servers/CLUSTER.jsonl         a cluster's server
//! prepared/CLUSTER              a cluster that was initialized
//! ended.jsonl                   launches of which nothing is left but that their tokens were used
//! turns                         see `lock`
//! ```
//!
//! `CLUSTER` is a number made of the cluster's name, which may be any text; the name itself is in the files.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use longshore_plugin_api::{Context, Error};

use super::{
    lock::Turn,
    record::{Intent, Record},
};

/// How large the file of ended launches may grow before the older half of it is forgotten, in bytes.
const ENDED_LIMIT: u64 = 256 * 1024;
/// How often a launch's folder is made again, which a cleanup may remove at the same time.
const FOLDER_TRIES: u32 = 100;

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
}

/// The error of a file that cannot be read or written: nothing can be said without it.
pub(crate) fn unreachable(path: &Path, error: &io::Error) -> Error {
    Error::unreachable(format_args!("{}: {error}", path.display()))
}

fn number(cluster: &str) -> String {
    let mut hasher = DefaultHasher::new();
    cluster.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The parts of a handle: the launch's name and the container's number, if it can be one at all.
pub(crate) fn parse_handle(handle: &str) -> Option<(&str, u32)> {
    let (name, index) = handle.rsplit_once('.')?;
    let plain = index == "0" || index.starts_with(|first| matches!(first, '1'..='9'));
    let index = index.parse().ok().filter(|_| plain)?;
    is_name(name).then_some((name, index))
}

/// Whether a text can be the name of a launch, and so of a file.
fn is_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    name.len() <= 120
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-')
        && name.chars().all(fine)
}

impl Folder {
    /// Makes the folder, unless it is there.
    pub(crate) fn open(root: PathBuf) -> Result<Self, Error> {
        for part in ["launches", "servers", "prepared"] {
            let path = root.join(part);
            fs::create_dir_all(&path).map_err(|error| {
                Error::config("root", format_args!("the folder {} cannot be made: {error}", path.display()))
            })?;
        }
        Ok(Self { root })
    }

    fn turns(&self) -> PathBuf {
        self.root.join("turns")
    }

    fn launches(&self, cluster: &str) -> PathBuf {
        self.root.join("launches").join(number(cluster))
    }

    pub(crate) fn server_path(&self, cluster: &str) -> PathBuf {
        self.root.join("servers").join(format!("{}.jsonl", number(cluster)))
    }

    fn prepared(&self, cluster: &str) -> PathBuf {
        self.root.join("prepared").join(number(cluster))
    }

    /// A file that is of no use, for mutants that leave some.
    pub(crate) fn litter(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.litter"))
    }

    /// Waits for a turn.
    pub(crate) fn turn(&self, ctx: &Context<'_>, name: &[&str]) -> Result<Turn, Error> {
        Turn::take(ctx, &self.turns(), name)
    }

    /// Takes a turn if nobody has it.
    pub(crate) fn try_turn(&self, name: &[&str]) -> Result<Option<Turn>, Error> {
        Turn::try_take(&self.turns(), name).map_err(|error| unreachable(&self.turns(), &error))
    }

    /// Fails where the whole folder is gone, which does not mean that there was never anything.
    fn check(&self) -> Result<(), Error> {
        let launches = self.root.join("launches");
        fs::metadata(&launches).map(drop).map_err(|error| unreachable(&launches, &error))
    }

    fn read(&self, path: &Path, cluster: &str) -> Result<Option<Record>, Error> {
        let record = Record::read(path.to_owned()).map_err(|error| unreachable(path, &error))?;
        if record.is_none() {
            self.check()?;
        }
        Ok(record.filter(|record| record.intent.cluster == cluster))
    }

    /// The launch of a name, which may be any text.
    pub(crate) fn launch(&self, cluster: &str, name: &str) -> Result<Option<Record>, Error> {
        if !is_name(name) {
            return Ok(None);
        }
        self.read(&self.launches(cluster).join(format!("{name}.jsonl")), cluster)
    }

    /// The names of a cluster's launches.
    fn names(&self, folder: &Path) -> Result<Vec<String>, Error> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.check().map(|()| Vec::new());
            }
            Err(error) => return Err(unreachable(folder, &error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry.map_err(|error| unreachable(folder, &error))?.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(".jsonl")).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// A cluster's launches.
    pub(crate) fn of_cluster(&self, cluster: &str) -> Result<Vec<Record>, Error> {
        let names = self.names(&self.launches(cluster))?;
        let records = names.iter().filter_map(|name| self.launch(cluster, name).transpose());
        records.collect()
    }

    /// The launches of a token; an honest specimen has one at most.
    pub(crate) fn of_token(&self, cluster: &str, token: &str) -> Result<Vec<Record>, Error> {
        let of_token = |name: &String| name.strip_prefix(token).is_some_and(|rest| rest.starts_with('.'));
        let names = self.names(&self.launches(cluster))?.into_iter().filter(of_token);
        names.filter_map(|name| self.launch(cluster, &name).transpose()).collect()
    }

    /// The launches of all clusters.
    pub(crate) fn all(&self) -> Result<Vec<Record>, Error> {
        let launches = self.root.join("launches");
        let mut records = Vec::new();
        for entry in fs::read_dir(&launches).map_err(|error| unreachable(&launches, &error))? {
            let folder = entry.map_err(|error| unreachable(&launches, &error))?.path();
            for name in self.names(&folder)? {
                let path = folder.join(format!("{name}.jsonl"));
                records.extend(Record::read(path.clone()).map_err(|error| unreachable(&path, &error))?);
            }
        }
        Ok(records)
    }

    /// Makes the file of a launch.
    pub(crate) fn begin(&self, intent: &Intent) -> Result<Record, Error> {
        let folder = self.launches(&intent.cluster);
        let path = folder.join(format!("{}.jsonl", intent.name));
        for _ in 0..FOLDER_TRIES {
            fs::create_dir_all(&folder).map_err(|error| unreachable(&folder, &error))?;
            match Record::create(&path, intent) {
                Ok(_) => return self.launch(&intent.cluster, &intent.name)?.ok_or_else(|| lost(&path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    // What was made of it is of no use, and none of its lines was acknowledged.
                    let _ = fs::remove_file(&path);
                    return Err(unreachable(&path, &error));
                }
            }
        }
        Err(Error::retryable(format_args!("{} is removed again and again", folder.display())))
    }

    /// A cluster's server.
    pub(crate) fn server(&self, cluster: &str) -> Result<Option<Record>, Error> {
        self.read(&self.server_path(cluster), cluster)
    }

    /// Makes the file of a server.
    pub(crate) fn begin_server(&self, intent: &Intent) -> Result<Record, Error> {
        let path = self.server_path(&intent.cluster);
        Record::create(&path, intent).map_err(|error| unreachable(&path, &error))?;
        self.server(&intent.cluster)?.ok_or_else(|| lost(&path))
    }

    /// Removes a file; one that is gone is as good.
    pub(crate) fn remove(path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unreachable(path, &error)),
            _ => Ok(()),
        }
    }

    /// Removes what is empty of a cluster.
    pub(crate) fn tidy(&self, cluster: &str) {
        // One that has a launch in it stays, and that is no failure.
        let _ = fs::remove_dir(self.launches(cluster));
    }

    pub(crate) fn is_prepared(&self, cluster: &str) -> bool {
        self.prepared(cluster).exists()
    }

    pub(crate) fn prepare(&self, cluster: &str) -> Result<(), Error> {
        let path = self.prepared(cluster);
        if path.exists() {
            return Ok(());
        }
        fs::write(&path, cluster).map_err(|error| unreachable(&path, &error))
    }

    pub(crate) fn unprepare(&self, cluster: &str) -> Result<(), Error> {
        Self::remove(&self.prepared(cluster))
    }

    fn ended(&self) -> PathBuf {
        self.root.join("ended.jsonl")
    }

    /// Notes that a launch is over, so that its token is known when its file is gone.
    pub(crate) fn note_ended(&self, ctx: &Context<'_>, intent: &Intent) -> Result<(), Error> {
        let _turn = self.turn(ctx, &["ended"])?;
        let (path, failed) = (self.ended(), |error: &io::Error| unreachable(&self.ended(), error));
        let line = serde_json::to_string(intent).map_err(Error::other)?;
        let size = fs::metadata(&path).map(|metadata| metadata.len()).unwrap_or_default();
        if size > ENDED_LIMIT {
            let text = fs::read_to_string(&path).map_err(|error| failed(&error))?;
            let lines: Vec<_> = text.lines().collect();
            let kept: String = lines[lines.len() / 2..].iter().flat_map(|line| [*line, "\n"]).collect();
            self.write_ended(&kept)?;
        }
        let mut file =
            fs::OpenOptions::new().append(true).create(true).open(&path).map_err(|error| failed(&error))?;
        file.write_all(format!("{line}\n").as_bytes()).map_err(|error| failed(&error))
    }

    /// The launch of a token that is over.
    pub(crate) fn find_ended(&self, cluster: &str, token: &str) -> Result<Option<Intent>, Error> {
        let text = self.read_ended()?;
        let fits = |intent: &Intent| intent.cluster == cluster && intent.token == token;
        let lines = text.lines().filter(|line| line.contains(token));
        Ok(lines.filter_map(|line| serde_json::from_str(line).ok()).find(fits))
    }

    /// Forgets the launches of a cluster that are over.
    pub(crate) fn forget_ended(&self, ctx: &Context<'_>, cluster: &str) -> Result<(), Error> {
        let _turn = self.turn(ctx, &["ended"])?;
        let text = self.read_ended()?;
        let others =
            |line: &&str| serde_json::from_str(line).is_ok_and(|intent: Intent| intent.cluster != cluster);
        let kept: String = text.lines().filter(others).flat_map(|line| [line, "\n"]).collect();
        if kept.len() < text.len() { self.write_ended(&kept) } else { Ok(()) }
    }

    fn read_ended(&self) -> Result<String, Error> {
        let path = self.ended();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(unreachable(&path, &error)),
        }
    }

    /// Replaces the file as a whole: whoever reads it sees the old one or the new one.
    fn write_ended(&self, text: &str) -> Result<(), Error> {
        let (path, unfinished) = (self.ended(), self.root.join("ended.unfinished"));
        fs::write(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, &path))
            .map_err(|error| unreachable(&path, &error))
    }
}

fn lost(path: &Path) -> Error {
    Error::unknown(format_args!("{} was written and cannot be found", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_taken_apart() {
        assert_eq!(parse_handle("t-1.0a.20"), Some(("t-1.0a", 20)));
        for text in
            ["", ".", "t", "t.", ".1", "t.01", "t.+1", "../t.1", "t.4294967296", "a/b.1", "t\0.1", "t .1"]
        {
            assert_eq!(parse_handle(text), None, "{text:?}");
        }
    }
}
