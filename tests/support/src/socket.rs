//! Where a container engine listens, and whether it answers. Only Unix sockets: tests make images of this machine's files and
//! look at its containers' processes and addresses, so that an engine elsewhere is of no use to them.

use std::{
    env,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::Missing;

/// How long an engine may take for an answer to a ping.
const PING_LIMIT: Duration = Duration::from_secs(5);
/// The most that is read of that answer: its first line is what matters.
const PING_BYTES: u64 = 4096;

/// Where engines listen by themselves.
const USUAL: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];

/// The variable that names the engine for tests.
pub const ENGINE: &str = "LONGSHORE_ENGINE";
/// The variable that names Podman's service for tests.
pub const PODMAN: &str = "LONGSHORE_PODMAN";

/// The socket of an engine of this machine that answers: the one that `LONGSHORE_ENGINE` or `DOCKER_HOST` names, or else the
/// first of the usual ones.
pub fn engine() -> Result<PathBuf, Missing> {
    find(|name| env::var(name).ok(), &answers)
}

/// The socket of Podman's service: the one that `LONGSHORE_PODMAN` names.
pub fn podman() -> Result<PathBuf, Missing> {
    match named(PODMAN, &|name| env::var(name).ok(), &answers) {
        Some(found) => found,
        None => Err(Missing::new(format!(
            "{PODMAN} names no service of Podman's; `cargo xtask test` starts one where it may"
        ))),
    }
}

/// What the variables and the usual places say.
fn find(
    variable: impl Fn(&str) -> Option<String>,
    answers: &dyn Fn(&Path) -> io::Result<()>,
) -> Result<PathBuf, Missing> {
    for name in [ENGINE, "DOCKER_HOST"] {
        // What was named and does not answer is not replaced by another: that would hide a mistake.
        if let Some(found) = named(name, &variable, answers) {
            return found;
        }
    }
    let own = variable("XDG_RUNTIME_DIR").map(|folder| Path::new(&folder).join("podman/podman.sock"));
    let usual = USUAL.iter().map(PathBuf::from).chain(own);
    usual.into_iter().find(|socket| answers(socket).is_ok()).ok_or_else(|| {
        Missing::new(format!(
            "no container engine answers: {ENGINE} and DOCKER_HOST name none, and there is none at {}; `cargo xtask test` \
             starts one where it may",
            USUAL.join(" or ")
        ))
    })
}

/// What one variable says, if it says anything.
fn named(
    name: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    answers: &dyn Fn(&Path) -> io::Result<()>,
) -> Option<Result<PathBuf, Missing>> {
    let url = variable(name).filter(|url| !url.is_empty())?;
    let Some(socket) = url.strip_prefix("unix://").map(PathBuf::from) else {
        return Some(Err(Missing::new(format!(
            "{name} names {url}, and tests need an engine of this machine, on a Unix socket"
        ))));
    };
    Some(match answers(&socket) {
        Ok(()) => Ok(socket),
        Err(error) => Err(Missing::new(format!("{name} names {url}, which does not answer: {error}"))),
    })
}

/// The address of a socket, as `DOCKER_HOST` has it.
pub fn url(socket: &Path) -> String {
    format!("unix://{}", socket.display())
}

/// Asks an engine whether it is there.
pub fn answers(socket: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PING_LIMIT))?;
    stream.set_write_timeout(Some(PING_LIMIT))?;
    stream.write_all(b"GET /_ping HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(PING_BYTES).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.lines().next().unwrap_or_default();
    match status.split_whitespace().nth(1) {
        Some("200") => Ok(()),
        _ => Err(io::Error::other(format!("it answers a ping with {status:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::net::UnixListener, thread};

    use super::*;

    fn finds(variables: &[(&str, &str)], there: &[&str]) -> Result<String, String> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let answers = |socket: &Path| {
            let is_there = there.iter().any(|it| Path::new(it) == socket);
            is_there.then_some(()).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        };
        find(|name| variables.get(name).map(|value| (*value).to_owned()), &answers)
            .map(|socket| socket.display().to_string())
            .map_err(|missing| missing.to_string())
    }

    #[test]
    fn the_engine_that_is_named_comes_first() {
        let all = ["/a", "/b", USUAL[0], USUAL[1], "/x/podman/podman.sock"];
        let (ours, theirs, folder) =
            ((ENGINE, "unix:///a"), ("DOCKER_HOST", "unix:///b"), ("XDG_RUNTIME_DIR", "/x"));
        assert_eq!(finds(&[theirs, ours], &all), Ok("/a".to_owned()));
        assert_eq!(finds(&[theirs, (ENGINE, "")], &all), Ok("/b".to_owned()));
        assert_eq!(finds(&[], &all), Ok(USUAL[0].to_owned()));
        assert_eq!(finds(&[folder], &all[3..]), Ok(USUAL[1].to_owned()));
        assert_eq!(finds(&[folder], &all[4..]), Ok("/x/podman/podman.sock".to_owned()));
    }

    #[test]
    fn an_engine_that_is_named_is_not_replaced_by_another() {
        let why = finds(&[(ENGINE, "unix:///a"), ("DOCKER_HOST", "unix:///b")], &["/b", USUAL[0]]);
        let why = why.expect_err("it does not answer");
        assert!(why.starts_with("LONGSHORE_ENGINE names unix:///a, which does not answer: "), "{why}");
        let why =
            finds(&[("DOCKER_HOST", "tcp://127.0.0.1:2375")], &[USUAL[0]]).expect_err("it is elsewhere");
        assert!(why.starts_with("DOCKER_HOST names tcp://127.0.0.1:2375, and tests need"), "{why}");
        let why = finds(&[], &[]).expect_err("there is none");
        assert!(why.starts_with("no container engine answers: ") && why.contains(USUAL[0]), "{why}");
    }

    #[test]
    fn only_what_answers_well_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).expect("a socket");
        let server = thread::spawn(move || {
            for answer in ["HTTP/1.0 200 OK\r\n\r\nOK", "HTTP/1.0 503 Busy\r\n\r\n", ""] {
                let (mut stream, _) = listener.accept().expect("a caller");
                let mut request = [0; 64];
                let read = stream.read(&mut request).expect("a request");
                assert!(request[..read].starts_with(b"GET /_ping HTTP/1.0\r\n"));
                stream.write_all(answer.as_bytes()).expect("it listens");
            }
        });
        answers(&socket).expect("it answers well");
        let why = answers(&socket).expect_err("it does not").to_string();
        assert_eq!(why, "it answers a ping with \"HTTP/1.0 503 Busy\"");
        let why = answers(&socket).expect_err("it says nothing").to_string();
        assert_eq!(why, "it answers a ping with \"\"");
        server.join().expect("it has served");
        assert!(answers(&socket).is_err(), "nobody listens there any more");
    }
}
