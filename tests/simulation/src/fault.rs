//! What can go wrong. Every fault strikes through [`Chaos`], which draws, counts, and lets a replay leave single strikes out.

use std::collections::BTreeSet;

use crate::{
    dice::{Dice, Stream},
    names::kinds,
};

kinds! {
    /// A class of faults.
    Fault {
        RunPermanent = "run-permanent", "a launch fails for good, and creates nothing";
        RunRetryable = "run-retryable", "a launch fails for now, and creates nothing";
        RunThrottled = "run-throttled", "the backend takes so many launches in a while, and refuses the rest";
        RunPartial = "run-partial", "a launch creates fewer workers than asked for, and says so";
        ReplyLost = "reply-lost", "a launch creates its workers, and the reply is lost";
        RequestLost = "request-lost", "a launch never arrives, and nobody can tell";
        ReplyRefused = "reply-refused", "a launch's reply breaks the contract, and names some of the handles";
        ReplyDuplicate = "reply-duplicate", "a launch's reply names a handle of another launch";
        ReplyLate = "reply-late", "a launch's reply comes after its deadline";
        RunHangs = "run-hangs", "a launch never returns while its host lives";
        SlowStart = "slow-start", "a container takes long to start";
        NeverStarts = "never-starts", "a container stays initializing for ever";
        DiesEarly = "dies-early", "a container dies soon after its launch";
        DiesAlone = "dies-alone", "a container dies";
        MassDeath = "mass-death", "many containers die at once";
        FallsBack = "falls-back", "a running container is initializing again for a while";
        StatusFails = "status-fails", "statuses cannot be had";
        StatusPartly = "status-partly", "some statuses cannot be had";
        StatusLags = "status-lags", "statuses are those of an earlier moment";
        FalseMassDeath = "false-mass-death", "one look says that all have stopped, who live on";
        ListFails = "list-fails", "the list cannot be had";
        ListLags = "list-lags", "a list is that of an earlier moment";
        Unlisted = "unlisted", "a new container is left out of lists for a while";
        KillFails = "kill-fails", "a kill fails, and kills nobody";
        KillPartly = "kill-partly", "a kill works for some and says so";
        KillClaims = "kill-claims", "a kill says that it has killed, and has not";
        KillReplyLost = "kill-reply-lost", "a kill works, and says that it failed";
        KillSlow = "kill-slow", "a kill's answer takes long";
        InitializeFails = "initialize-fails", "the provider cannot prepare itself";
        Blip = "blip", "the backend is out of reach for a while";
        Stray = "stray", "a container of the cluster's name appears that nobody launched";
        LateWorker = "late-worker", "a container of a launch appears after the launch was settled";
        NeighbourDies = "neighbour-dies", "a container of another cluster dies";
        AppendFails = "append-fails", "the journal takes nothing, and says so";
        AppendLimbo = "append-limbo", "the journal says that it failed; what it was given may be found after a crash";
        AppendSlow = "append-slow", "an append takes a while";
        CompactFails = "compact-fails", "a snapshot cannot be written";
        ReadFails = "read-fails", "the journal cannot be read when a host begins";
        CrashInWrite = "crash-in-write", "the host ends in the middle of an append: all of it is there, or nothing";
        CrashAfterWrite = "crash-after-write", "the host ends after an append, before it acts";
        CrashBetween = "crash-between", "the host ends between two calls of one plan";
        CrashAnytime = "crash-anytime", "the host ends";
        CrashOnStart = "crash-on-start", "the host ends while it recovers";
        CallsOutlive = "calls-outlive", "a call of a host that ended takes effect afterwards";
        Stall = "stall", "the host stands still while the world goes on";
        Takeover = "takeover", "a second host takes the cluster over while the first one still runs";
        ClockForward = "clock-forward", "the clock has gone forward while the host was down";
        ClockBack = "clock-back", "the clock has gone back while the host was down";
        ClockLeap = "clock-leap", "the clock goes forward under a running host";
        ServerRunFails = "server-run-fails", "a server cannot be started for now, and none is";
        ServerRunPermanent = "server-run-permanent", "a server cannot be started for good, and none is";
        ServerRunClaims = "server-run-claims", "a server is said to be started, and is not";
        ServerRunReplyLost = "server-run-reply-lost", "the answer of a server's start is lost; it starts now, or a while later";
        ServerRunLate = "server-run-late", "a server's start is answered after its deadline";
        ServerRunHangs = "server-run-hangs", "a server's start never returns while its host lives";
        ServerSlowStart = "server-slow-start", "a server takes long to be up";
        ServerNeverUp = "server-never-up", "a server stays initializing for ever";
        ServerDiesEarly = "server-dies-early", "a server dies soon after its start";
        ServerDies = "server-dies", "a server dies";
        ServerMoves = "server-moves", "a server that is started again is somewhere else";
        ServerUnreachable = "server-unreachable", "a server runs, and cannot be reached for a while";
        ServerStatusFails = "server-status-fails", "how the server is cannot be had";
        ServerStopFails = "server-stop-fails", "the server is not stopped, and said not to be";
        ServerStopClaims = "server-stop-claims", "the server is said to be stopped, and is not";
        ServerStopReplyLost = "server-stop-reply-lost", "the server is stopped, and said not to be";
        ServerStopSlow = "server-stop-slow", "the answer of a server's stop takes long";
        ServerUnsupported = "server-unsupported", "the plugin is exchanged for one that can run no server, or back";
    }
}

impl Fault {
    /// How often it strikes at most, in ten thousand occasions: rare where one strike changes much.
    fn cap(self) -> u32 {
        match self {
            Self::RunHangs
            | Self::NeverStarts
            | Self::CrashAfterWrite
            | Self::CrashBetween
            | Self::ServerRunHangs
            | Self::ServerDiesEarly => 800,
            Self::CrashInWrite
            | Self::MassDeath
            | Self::Blip
            | Self::CrashAnytime
            | Self::Takeover
            | Self::Stall
            | Self::ClockLeap
            | Self::Stray
            | Self::LateWorker
            | Self::ServerDies
            | Self::ServerUnreachable
            | Self::ServerUnsupported
            | Self::NeighbourDies => 300,
            Self::CallsOutlive
            | Self::CrashOnStart
            | Self::ReadFails
            | Self::ListLags
            | Self::Unlisted
            | Self::ClockBack
            | Self::ClockForward
            | Self::RunThrottled
            | Self::ServerMoves
            | Self::StatusLags => 6_000,
            _ => 2_500,
        }
    }
}

/// How often each fault strikes, in ten thousand occasions.
pub(crate) type Rates = Vec<u32>;

/// Draws which faults a run has, and how often: half of them not at all, so that runs differ in kind.
pub(crate) fn draw_rates(dice: &mut Dice) -> Rates {
    // Now and then a run has hardly any faults, or nearly all.
    let on = [1_500, 5_000, 5_000, 9_000][dice.below(4) as usize];
    let rate = |fault: &Fault| {
        let (is_on, rate) = (dice.chance(on), dice.magnitude(20, fault.cap().into()));
        if is_on { rate as u32 } else { 0 }
    };
    Fault::ALL.iter().map(rate).collect()
}

/// A fault that struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// Its number in the run, from 0.
    pub number: u32,
    /// Which fault.
    pub fault: Fault,
    /// When, in milliseconds of the run.
    pub at: u64,
}

/// Decides when faults strike.
#[derive(Debug)]
pub(crate) struct Chaos {
    dice: Dice,
    rates: Rates,
    without: BTreeSet<Fault>,
    skip: BTreeSet<u32>,
    /// Whether faults strike at all.
    pub(crate) on: bool,
    pub(crate) strikes: Vec<Strike>,
    next: u32,
}

impl Chaos {
    pub(crate) fn new(seed: u64, rates: Rates, without: BTreeSet<Fault>, skip: BTreeSet<u32>) -> Self {
        let dice = Dice::new(seed, Stream::Chaos);
        Self { dice, rates, without, skip, on: true, strikes: Vec::new(), next: 0 }
    }

    /// An occasion for a fault: whether it strikes.
    pub(crate) fn strikes(&mut self, fault: Fault, at: u64) -> bool {
        let drawn = self.dice.chance(self.rates[fault as usize]);
        if !drawn || !self.on || self.without.contains(&fault) {
            return false;
        }
        let number = self.next;
        self.next += 1;
        if self.skip.contains(&number) {
            return false;
        }
        self.strikes.push(Strike { number, fault, at });
        true
    }

    /// Chance within a fault: how long, how many, which.
    pub(crate) fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }
}
