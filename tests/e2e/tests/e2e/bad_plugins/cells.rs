//! The table of what plugins do wrong: each way, at each place, in each mode. A cell says how the host tells of it, or why nobody
//! tries it: because a mode does not promise to hold there, or because there is nothing to try.

use longshore_mutants::{How, Place as Loading, settings::Function};

/// Where a provider's code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// In a runner of its own, which is held to limits.
    Subprocess,
    /// In the host's own process.
    InProcess,
}

impl Mode {
    pub(super) const ALL: [Self; 2] = [Self::Subprocess, Self::InProcess];

    /// As a configuration has it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Subprocess => "subprocess",
            Self::InProcess => "in-process",
        }
    }
}

/// Where a plugin does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Before there is a provider.
    Load(Loading),
    /// In a function of the boundary.
    In(Function),
}

impl Place {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Loading::ALL.into_iter().map(Self::Load).chain(Function::ALL.into_iter().map(Self::In))
    }
}

/// How the host tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The process is lost, in these words.
    Died(&'static str),
    /// The call is late, and the process is ended for it.
    Ended,
    /// The call is late, and its thread is kept.
    Late,
    /// The call fails, with an error of this kind.
    Failed(&'static str),
    /// The answer is refused, with this clause.
    Refused(&'static str),
    /// Not at all: nothing is lost by it.
    Nothing,
}

/// A cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// A test tries it.
    Tried(Told),
    /// No test does, for this reason.
    Untried(&'static str),
}

const SEGFAULT: &str = "was ended by signal 11 (SIGSEGV)";
const ABORT: &str = "was ended by signal 6 (SIGABRT)";

const NOT_ITS_OWN: &str =
    "it ends the process that it is in, and that is the host: only a runner can be lost";
const THE_HOSTS: &str = "what it takes is the host's own: only a runner has limits of its own, and a line and an output that \
                         are nobody else's";

/// What the table says.
pub(super) fn cell(mode: Mode, how: How, place: Place) -> Cell {
    match (mode, place) {
        (Mode::InProcess, Place::Load(_)) => {
            return Cell::Untried(
                "wherever it is to run, a library is looked at in a process that is thrown away: that is \
                 the cell of the other mode",
            );
        }
        (_, Place::In(Function::IsInitializing | Function::IsRunning)) => {
            return Cell::Untried(
                "no host calls it; the tests of `host/providers` do, in both modes: `everywhere.rs`, `runner/`",
            );
        }
        _ => {}
    }
    let told = match (mode, how) {
        (Mode::InProcess, How::Segfault | How::Abort | How::Exit | How::Panic | How::Children) => {
            return Cell::Untried(NOT_ITS_OWN);
        }
        (Mode::InProcess, How::Memory | How::Descriptors | How::Garbage | How::Flood) => {
            return Cell::Untried(THE_HOSTS);
        }
        (_, How::Segfault) => Told::Died(SEGFAULT),
        (_, How::Abort | How::Panic | How::Memory | How::Children) => Told::Died(ABORT),
        (_, How::Exit) => Told::Died("exited with code 0"),
        (_, How::Garbage) => Told::Died("a frame of 4294967295 bytes"),
        (Mode::Subprocess, How::Hang | How::Descriptors | How::Flood) => Told::Ended,
        (Mode::InProcess, How::Hang) => Told::Late,
        (_, How::Contained) => match place {
            Place::Load(_) => {
                return Cell::Untried(
                    "nothing contains a panic there: that is the cell of the panic that nobody contains",
                );
            }
            Place::In(_) => Told::Failed("panic"),
        },
        (_, How::Senseless) => match senseless(place) {
            Some(told) => told,
            None => return Cell::Untried("nothing is answered there"),
        },
        (_, How::Print) => Told::Nothing,
    };
    Cell::Tried(told)
}

/// How an answer that no contract knows is told.
const fn senseless(place: Place) -> Option<Told> {
    Some(match place {
        Place::Load(Loading::Constructor) | Place::In(Function::Drop) => return None,
        Place::Load(Loading::Metadata | Loading::Query) => Told::Refused("LOAD-4"),
        Place::In(function) => match function {
            Function::Run | Function::List => Told::Refused("RUN-4"),
            Function::Status => Told::Refused("STATUS-1"),
            Function::Kill => Told::Refused("KILL-1"),
            Function::IsInitializing | Function::IsRunning | Function::IsStopped => Told::Refused("PRED-1"),
            Function::ServerStatus => Told::Refused("SERVER-4"),
            Function::ServerAddress => Told::Refused("SERVER-3"),
            // There is nothing in a good answer that could be spoilt; what fails with a kind that is none fails.
            Function::Create
            | Function::Initialize
            | Function::RunServer
            | Function::StopServer
            | Function::Cleanup
            | Function::Drop => Told::Failed("other"),
        },
    })
}

/// What is tried in a mode at some places: by way, place, and how it is told.
pub(super) fn tried(mode: Mode, places: &[Place]) -> Vec<(How, Place, Told)> {
    let cells = How::ALL.into_iter().flat_map(|how| places.iter().map(move |place| (how, *place)));
    cells
        .filter_map(|(how, place)| match cell(mode, how, place) {
            Cell::Tried(told) => Some((how, place, told)),
            Cell::Untried(_) => None,
        })
        .collect()
}

#[test]
fn each_cell_is_tried_by_one_test_or_says_why_by_none() {
    let tests = [super::beginnings::places(), super::lives::places()].concat();
    for place in Place::all() {
        let trying = tests.iter().filter(|it| **it == place).count();
        let cells: Vec<_> = Mode::ALL
            .into_iter()
            .flat_map(|mode| How::ALL.map(|how| (mode, how, cell(mode, how, place))))
            .collect();
        let is_tried = cells.iter().any(|(.., cell)| matches!(cell, Cell::Tried(_)));
        assert_eq!(trying, usize::from(is_tried), "{place:?} is tried by as many tests");
        for (mode, how, cell) in cells {
            if let Cell::Untried(why) = cell {
                assert!(!why.is_empty(), "{mode:?} {how:?} {place:?}");
            }
        }
    }
    // In a runner a way is left out nowhere but where there is nothing to try; in the host's process four hold.
    let count = |mode| tried(mode, &Place::all().collect::<Vec<_>>()).len();
    assert_eq!((count(Mode::Subprocess), count(Mode::InProcess)), (203, 51));
}
