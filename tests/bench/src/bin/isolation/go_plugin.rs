//! The peer: hashicorp/go-plugin as Debian has it. Its program, in `tests/bench/go-plugin`, is both the client, which measures, and
//! the plugin that the client starts.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use longshore_bench::{Runs, place};
use longshore_providers::Handles;
use longshore_support::{Missing, find_program};
use serde::Deserialize;
use serde_json::json;

use crate::Way;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/go-plugin");
/// Where Debian keeps the sources of Go's packages.
const PACKAGES: &str = "/usr/share/gocode";
/// What installs all that the peer is built of.
const INSTALL: &str = "apt-get install --no-install-recommends golang-go golang-github-hashicorp-go-plugin-dev \
                       golang-google-grpc-dev golang-goprotobuf-dev";

/// Builds the peer, without the network.
pub(crate) fn build() -> Result<PathBuf, Missing> {
    let missing = |why: String| Missing::new(format!("{why}; on Debian: {INSTALL}"));
    let go = find_program("go").map_err(|why| missing(why.to_string()))?;
    let folder = place().join("go-plugin");
    let program = folder.join("peer");
    let built = Command::new(go)
        .args(["build", "-o"])
        .arg(&program)
        .arg(".")
        .current_dir(SOURCE)
        .env("GO111MODULE", "off")
        .env("GOPATH", PACKAGES)
        .env("GOCACHE", folder.join("cache"))
        .env("CGO_ENABLED", "0")
        .env_remove("GOFLAGS")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| missing(format!("go cannot be run: {error}")))?;
    if built.status.success() {
        return Ok(program);
    }
    let said = String::from_utf8_lossy(&built.stderr);
    Err(missing(format!("it cannot be built: {}", said.lines().next().unwrap_or("go says nothing"))))
}

/// How go-plugin carries calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    NetRpc,
    Grpc,
}

impl Wire {
    pub(crate) const ALL: [Self; 2] = [Self::NetRpc, Self::Grpc];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NetRpc => "go-plugin, net/rpc",
            Self::Grpc => "go-plugin, gRPC",
        }
    }

    fn argument(self) -> &'static str {
        match self {
            Self::NetRpc => "net/rpc",
            Self::Grpc => "grpc",
        }
    }
}

/// A client with its plugin.
pub(crate) struct GoPlugin {
    wire: Wire,
    client: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// The plugin's process.
    pub(crate) process: u32,
    /// From before the plugin was started until its first call had been answered.
    pub(crate) begin: Duration,
}

#[derive(Deserialize)]
struct Started {
    process: u32,
    nanos: u64,
}

#[derive(Deserialize)]
struct Measured {
    nanos: Vec<u64>,
}

impl GoPlugin {
    pub(crate) fn start(program: &Path, wire: Wire) -> Self {
        let mut client = Command::new(program)
            .args(["measure", wire.argument()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was built here");
        let orders = client.stdin.take();
        let mut answers = BufReader::new(client.stdout.take().expect("it is piped"));
        let Started { process, nanos } = answer(&mut answers);
        Self { wire, client, orders, answers, process, begin: Duration::from_nanos(nanos) }
    }
}

fn answer<T: for<'a> Deserialize<'a>>(answers: &mut BufReader<ChildStdout>) -> T {
    let mut line = String::new();
    answers.read_line(&mut line).expect("the peer answers");
    serde_json::from_str(&line).expect("the peer speaks as we do; what went wrong, it has said itself")
}

impl Way for GoPlugin {
    fn name(&self) -> &'static str {
        self.wire.name()
    }

    fn measure(&mut self, handles: &Handles, calls: usize) -> Runs {
        let mut order = String::new();
        let document = json!({ "handles": &handles[..], "calls": calls });
        writeln!(order, "{document}").expect("there is room");
        let orders = self.orders.as_mut().expect("it is piped");
        orders.write_all(order.as_bytes()).expect("the peer listens");
        let measured: Measured = answer(&mut self.answers);
        assert_eq!(measured.nanos.len(), calls);
        let mut runs = Runs::default();
        for nanos in measured.nanos {
            runs.add(Duration::from_nanos(nanos));
        }
        runs
    }
}

impl Drop for GoPlugin {
    fn drop(&mut self) {
        // Where there are no more orders it ends its plugin, and itself.
        drop(self.orders.take());
        drop(self.client.wait());
    }
}
