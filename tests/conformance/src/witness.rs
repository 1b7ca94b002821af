//! The witness: a program that runs as a worker and tells the check what it sees, over a connection that lasts for as long
//! as it lives. So a check knows that a worker is alive or dead from the worker itself, and not from the provider.
//!
//! It is the program that runs the check, started with [`FLAG`]. It ends when the check ends, whatever the provider does.

use std::{
    env,
    io::{BufRead as _, BufReader, ErrorKind, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use longshore_plugin_api::Container;
use nix::sys::signal::{SigSet, Signal};
use serde::{Deserialize, Serialize};

use crate::{
    quirks::WitnessQuirks,
    verdict::{OrFault as _, Verdict, fault},
};

/// The first argument of a witness; the address to tell, a nonce and a [`Temper`] follow, and then what a check likes.
pub(crate) const FLAG: &str = "--longshore-conformance-witness";

/// The variable that has a witness begin a session of its own.
const RUNAWAY: &str = "LONGSHORE_CONFORMANCE_RUNAWAY";

/// How long a witness that has connected may take to say its first line.
const FIRST_LINE: Duration = Duration::from_secs(10);

/// The longest pause between two looks at a connection.
const LOOK: Duration = Duration::from_millis(5);

/// How a witness takes being asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// It ends.
    Meek,
    /// It does not hear of SIGTERM, SIGINT, SIGHUP and SIGQUIT.
    Stubborn,
}

impl Temper {
    const fn word(self) -> &'static str {
        match self {
            Self::Meek => "meek",
            Self::Stubborn => "stubborn",
        }
    }
}

/// What a witness sees of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// What tells the witnesses of this check from all others.
    nonce: String,
    /// Its process id, where it runs.
    pub pid: u32,
    /// The arguments after those of the witness itself.
    pub args: Vec<String>,
    /// Its environment; what is not UTF-8 has replacement characters.
    pub env: Vec<(String, String)>,
    /// The folder that it runs in.
    pub folder: String,
}

impl Hello {
    /// A variable of its environment.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Where a check hears its witnesses.
#[derive(Debug)]
pub(crate) struct Witnesses {
    listener: TcpListener,
    nonce: String,
    quirks: WitnessQuirks,
    start: Duration,
}

impl Witnesses {
    pub(crate) fn listen(quirks: &WitnessQuirks, nonce: &str, start: Duration) -> Verdict<Self> {
        let listener = TcpListener::bind((quirks.address.as_str(), 0))
            .or_fault(format_args!("the harness could not listen on {}", quirks.address))?;
        listener.set_nonblocking(true).or_fault("the harness could not listen")?;
        Ok(Self { listener, nonce: nonce.to_owned(), quirks: quirks.clone(), start })
    }

    /// A container that runs a witness, with arguments and variables of the check's.
    pub(crate) fn container(
        &self,
        temper: Temper,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Verdict<Container> {
        let address = self.listener.local_addr().or_fault("the harness does not know where it listens")?;
        let own = [FLAG.to_owned(), address.to_string(), self.nonce.clone(), temper.word().to_owned()];
        let mut container = self.quirks.container.clone();
        container.command = Some(self.quirks.program.clone());
        container.args = own.into_iter().chain(args.iter().map(|arg| (*arg).to_owned())).collect();
        container.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Ok(container)
    }

    /// The next `count` witnesses that report, or as many of them as do in the time that a worker may take to start.
    pub(crate) fn expect(&self, count: usize) -> Verdict<Vec<Witness>> {
        self.hear(count, self.start)
    }

    /// The next `count` witnesses that report, or as many of them as do within the limit.
    pub(crate) fn hear(&self, count: usize, limit: Duration) -> Verdict<Vec<Witness>> {
        let end = Instant::now() + limit;
        let mut heard = Vec::new();
        while heard.len() < count {
            match self.listener.accept() {
                Ok((stream, _)) => heard.extend(self.greet(stream)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if Instant::now() >= end {
                        break;
                    }
                    std::thread::sleep(LOOK);
                }
                Err(error) => return fault(format_args!("no connection could be taken: {error}")),
            }
        }
        Ok(heard)
    }

    /// The witness behind a connection, where it is one of this check's.
    fn greet(&self, stream: TcpStream) -> Option<Witness> {
        stream.set_nonblocking(false).ok()?;
        stream.set_read_timeout(Some(FIRST_LINE)).ok()?;
        let mut line = String::new();
        // Byte by byte would do as well: nothing follows the first line.
        BufReader::new(&stream).read_line(&mut line).ok()?;
        let hello: Hello = serde_json::from_str(&line).ok()?;
        stream.set_nonblocking(true).ok()?;
        (hello.nonce == self.nonce).then_some(Witness { hello, stream })
    }
}

/// A worker that tells of itself.
#[derive(Debug)]
pub(crate) struct Witness {
    /// What it said.
    pub(crate) hello: Hello,
    stream: TcpStream,
}

impl Witness {
    /// Whether it is alive: its connection stands.
    pub(crate) fn is_alive(&self) -> bool {
        let mut byte = [0];
        match self.stream.peek(&mut byte) {
            Ok(0) => false,
            Ok(_) => true,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }

    /// Whether it has ended within the limit.
    pub(crate) fn ends_within(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.is_alive() {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(LOOK);
        }
        true
    }

    /// Has it start a child, a witness as well, that reports by itself.
    pub(crate) fn start_child(&self) -> Verdict {
        self.order("child")
    }

    /// The same, of a child that leaves its parent's session, as daemons do.
    pub(crate) fn start_runaway(&self) -> Verdict {
        self.order("runaway")
    }

    /// Has it end by itself.
    pub(crate) fn end(&self) -> Verdict {
        self.order("end")
    }

    fn order(&self, word: &str) -> Verdict {
        (&self.stream)
            .write_all(format!("{word}\n").as_bytes())
            .or_fault("a witness could not be told anything")
    }
}

/// The program itself. `arguments` are those after [`FLAG`].
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let [address, nonce, temper, args @ ..] = arguments else { return ExitCode::from(2) };
    if temper == Temper::Stubborn.word() {
        let mut deaf = SigSet::empty();
        deaf.add(Signal::SIGTERM);
        deaf.add(Signal::SIGINT);
        deaf.add(Signal::SIGHUP);
        deaf.add(Signal::SIGQUIT);
        if deaf.thread_block().is_err() {
            return ExitCode::FAILURE;
        }
    }
    if env::var_os(RUNAWAY).is_some() && nix::unistd::setsid().is_err() {
        return ExitCode::FAILURE;
    }
    // A worker that cannot reach the check has nobody to live for.
    let Ok(stream) = TcpStream::connect(address) else { return ExitCode::FAILURE };
    let hello = Hello {
        nonce: nonce.clone(),
        pid: std::process::id(),
        args: args.to_vec(),
        env: env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .collect(),
        folder: env::current_dir().map(|path| path.display().to_string()).unwrap_or_default(),
    };
    let Ok(mut line) = serde_json::to_string(&hello) else { return ExitCode::FAILURE };
    line.push('\n');
    if (&stream).write_all(line.as_bytes()).is_err() {
        return ExitCode::FAILURE;
    }
    for word in BufReader::new(&stream).lines() {
        match word.as_deref() {
            Ok("child") => start_child(arguments, false),
            Ok("runaway") => start_child(arguments, true),
            Ok("end") | Err(_) => break,
            Ok(_) => {}
        }
    }
    ExitCode::SUCCESS
}

/// Starts another witness. Nobody waits for it here: it ends when the check does.
fn start_child(arguments: &[String], is_runaway: bool) {
    let Ok(program) = env::current_exe() else { return };
    let mut command = Command::new(program);
    command.arg(FLAG).args(arguments).stdin(Stdio::null()).env_remove(RUNAWAY);
    if is_runaway {
        command.env(RUNAWAY, "1");
    }
    // Where it cannot be started it does not report, which the check sees.
    drop(command.spawn());
}
