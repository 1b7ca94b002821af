//! The core, deliberately broken: each mutation bends one rule in the seam between the core and the simulated world, and the
//! tests hold that the checker of that rule sees it. The core itself is not touched.

use crate::{checkers::Checker, names::kinds};

kinds! {
    /// A rule that is bent.
    Mutation {
        LooserMaximum = "looser-maximum", "one worker more than the maximum is allowed, and wanted";
        WantsOneMore = "wants-one-more", "one worker more than was asked for is wanted";
        UnknownIsFailed = "unknown-is-failed", "a launch of unknown fate is taken for one that failed";
        BelievesOneList = "believes-one-list", "a launch that one list does not have is taken for one that failed";
        ForgetsStarted = "forgets-started", "after a restart, launches that had begun are forgotten";
        BelievesMassDeath = "believes-mass-death", "of a mass death each one is believed by itself";
        AdoptsNothing = "adopts-nothing", "what a list has and nobody knew is left out";
        RunsTwice = "runs-twice", "each launch is asked for twice";
        ActsBeforeWrite = "acts-before-write", "what is decided is done before it is durable";
        LosesIntents = "loses-intents", "what is about to be killed or launched never reaches the journal";
        RelaunchesAnew = "relaunches-anew", "a launch that is repeated gets a token of its own";
        Unprepared = "unprepared", "a provider is taken for prepared that was not asked to be";
        SnapshotsForget = "snapshots-forget", "a snapshot leaves out why launching failed";
        DropsARecord = "drops-a-record", "what statuses say does not reach the journal";
        WritesBackwards = "writes-backwards", "the records of a batch reach the journal in the wrong order";
        ForgetsTheTerm = "forgets-the-term", "every host has the same term";
        NumbersAnew = "numbers-anew", "after a restart, launches are numbered from the first";
        LosesAGeneration = "loses-a-generation", "a restart forgets the last command";
        AcknowledgesEarly = "acknowledges-early", "an operator is told that it is done before it is durable";
        NeverRecovers = "never-recovers", "a restart goes on as if nothing had been cut off";
        Oversleeps = "oversleeps", "nobody wakes up when time is up";
        DeafToKills = "deaf-to-kills", "answers of kills are lost on the host";
        Fidgets = "fidgets", "a host at rest wants fresh statuses again and again";
        KillsOneMore = "kills-one-more", "one worker more than the surplus is killed";
        KillsAtOnce = "kills-at-once", "a worker that is initializing is killed for being late at once";
        LateUnseen = "late-unseen", "who was left out of a look counts as still initializing";
        TakesNeighbours = "takes-neighbours", "a list has other clusters' containers too";
        TroublesPileUp = "troubles-pile-up", "each trouble tells of all troubles before it";
        SaysNothing = "says-nothing", "the report is empty";
        ForgetsWhatItSaw = "forgets-what-it-saw", "what was seen and written counts as not written";
        TakesItForUp = "takes-it-for-up", "a server that cannot be reached is taken for one that is up";
        TrustsTheHostBefore = "trusts-the-host-before", "a server that was up for the host before is not looked at";
        StopsTheServerFirst = "stops-the-server-first", "the server is stopped while its workers are being killed";
        BelievesTheStop = "believes-the-stop", "a server that is said to be stopped is taken for gone";
        SparesTheStale = "spares-the-stale", "workers that know a server which has moved are not killed, and said to be";
        CutsAnyhow = "cuts-anyhow", "launches are cut without regard to what a container holds";
        LooserSurge = "looser-surge", "one worker more than the surge may be there while the cluster moves";
        MissesOneMore = "misses-one-more", "one worker more than may be is missing while the cluster moves";
        LetsGoEarly = "lets-go-early", "who is left on the provider of before is taken for gone";
        MixesSides = "mixes-sides", "what one provider lists is taken for the other's";
        AdmitsWhileWriting = "admits-while-writing", "a command is admitted while something is being written";
    }
}

impl Mutation {
    /// Who must see it.
    pub const fn caught_by(self) -> Checker {
        match self {
            Self::LooserMaximum => Checker::NeverAboveMax,
            Self::WantsOneMore
            | Self::UnknownIsFailed
            | Self::BelievesOneList
            | Self::BelievesMassDeath
            | Self::ForgetsStarted => Checker::NeverAboveExpected,
            Self::AdoptsNothing => Checker::NothingLeaked,
            Self::RunsTwice => Checker::NoTokenTwice,
            Self::ActsBeforeWrite | Self::LosesIntents | Self::RelaunchesAnew => Checker::IntentBeforeEffect,
            Self::Unprepared => Checker::PreparedFirst,
            Self::DropsARecord | Self::WritesBackwards | Self::SnapshotsForget => Checker::ReplayEqualsLive,
            Self::ForgetsTheTerm | Self::NumbersAnew => Checker::NumbersOnlyGrow,
            Self::LosesAGeneration | Self::AcknowledgesEarly => Checker::AcknowledgedIsKept,
            Self::NeverRecovers | Self::Oversleeps | Self::DeafToKills => Checker::Converges,
            Self::Fidgets => Checker::QuietAtRest,
            Self::KillsOneMore | Self::KillsAtOnce | Self::LateUnseen => Checker::KillsHaveReason,
            Self::TakesNeighbours => Checker::ForeignersUntouched,
            Self::TroublesPileUp => Checker::BoundedMemory,
            Self::SaysNothing => Checker::ExplainsItself,
            Self::TakesItForUp | Self::TrustsTheHostBefore => Checker::ServerFirst,
            Self::StopsTheServerFirst => Checker::ServerLast,
            Self::BelievesTheStop => Checker::NoServerLeft,
            Self::SparesTheStale => Checker::StaleReplaced,
            Self::CutsAnyhow => Checker::WholeContainers,
            Self::LooserSurge => Checker::NeverAboveCeiling,
            Self::MissesOneMore => Checker::NeverBelowFloor,
            Self::LetsGoEarly => Checker::NobodyLeftBehind,
            Self::MixesSides => Checker::SidesApart,
            Self::ForgetsWhatItSaw => Checker::ComesToRest,
            Self::AdmitsWhileWriting => Checker::NeverPanics,
        }
    }
}
