//! What is not wanted any more goes, and stays away: generations that are retired, versions that were gone back from, trials that
//! cannot be gone on with, and libraries that are quarantined.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use longshore_config::{Config, Isolation, Trust};
use longshore_providers::{SearchPath, locate};
use longshore_runtime::{
    ApplyError, Canary, GenerationState, Host, Leaving, LibraryRecord, Quarantine, SwapRequest,
};
use longshore_scaling::{Command, Standing, Time};
use longshore_store::{Journal, SqliteJournal};
use tempfile::TempDir;
use tokio::time::{advance, pause, resume};

use crate::{
    depot::{Depot, bad, built, generations, known, provider, serving, to, told, version},
    eventually, host_with, host_with_runners, until,
};

use GenerationState::{Kept, Serving};

const LONG: Duration = Duration::from_hours(1);
const SHORT: Duration = Duration::from_millis(300);
/// More than the generation before is kept for.
const KEPT: Duration = Duration::from_mins(11);

fn memory() -> Arc<SqliteJournal> {
    Arc::new(SqliteJournal::in_memory())
}

async fn open(journal: &Arc<SqliteJournal>) -> Host {
    host_with_runners(Arc::clone(journal) as Arc<dyn Journal>).await
}

fn watched(library: &Path, watch: Duration) -> SwapRequest {
    SwapRequest { watch: Some(watch), ..to(library) }
}

fn entry(version: &str, state: GenerationState) -> (String, GenerationState) {
    (version.to_owned(), state)
}

fn versions(depot: &Depot) -> Vec<String> {
    depot.instances().into_iter().map(|(version, _)| version).collect()
}

/// Lets a canary be given up and another one be promoted, and time pass until the generation before is kept no longer. The
/// runtime's clock is ahead of the system's afterwards, so that no runner is asked anything any more.
async fn retired(isolation: Isolation) -> (Depot, Host) {
    let (depot, canary) = (Depot::new(), Some(Canary::Cluster("db".to_owned())));
    let host = open(&memory()).await;
    let mut config = depot.config(&version("1.0.0"), &[("web", 8), ("db", 3)]);
    config.providers[0].isolation = Some(isolation);
    host.apply(config.clone()).await.expect("legal");
    for cluster in ["web", "db"] {
        until(&host, cluster, "up", |status| status.converged).await;
    }
    let first = depot.instances();
    assert_eq!(first.len(), 1, "{first:?}");

    // A canary that is given up goes at once.
    let request = SwapRequest { canary: canary.clone(), ..watched(&bad(), LONG) };
    host.swap(request).await.expect("it passes for good");
    let both = depot.instances();
    assert_eq!(versions(&depot), ["1.0.0", "3.0.0"]);
    depot.fault("violates");
    eventually("given up, and gone", async || depot.instances() == first).await;
    has_ended(isolation, both[1].1).await;
    depot.fault("");

    // One that is well is what all have, and the one before goes once nobody would want it back at once.
    let request = SwapRequest { canary, ..watched(&version("2.0.0"), SHORT) };
    host.swap(request).await.expect("the two agree");
    eventually("taken for good", async || {
        serving(&host) == "2.0.0" && provider(&host).generations[0].watched_ms.is_none()
    })
    .await;
    assert_eq!(generations(&host), [entry("2.0.0", Serving), entry("1.0.0", Kept)]);
    assert_eq!(versions(&depot), ["1.0.0", "2.0.0"]);
    // Nothing is asked meanwhile, so that no call is late.
    for cluster in &mut config.clusters {
        let policy = &mut cluster.policy;
        (policy.poll_interval, policy.busy_poll_interval, policy.list_interval) = (LONG, LONG, LONG);
    }
    host.apply(config).await.expect("nothing else is other");
    for (cluster, running) in [("web", 8), ("db", 3)] {
        until(&host, cluster, "well", |status| status.converged && status.running == running).await;
    }
    assert_eq!((known(&host).await, depot.killed()), (depot.alive(), 0));
    eventually("at rest", async || provider(&host).generations.iter().all(|it| it.under_way == 0)).await;
    pause();
    advance(KEPT).await;
    resume();
    eventually("gone", async || versions(&depot) == ["2.0.0"]).await;
    assert_eq!(generations(&host), [entry("2.0.0", Serving)]);
    has_ended(isolation, first[0].1).await;
    (depot, host)
}

/// Waits until a process is gone that a provider had for itself.
async fn has_ended(isolation: Isolation, process: u32) {
    if isolation == Isolation::Subprocess {
        let entry = Path::new("/proc").join(process.to_string());
        eventually("its process has ended", async || !entry.exists()).await;
    }
}

#[tokio::test]
async fn generations_that_are_not_wanted_any_more_are_gone_and_can_be_made_again() {
    let (depot, host) = retired(Isolation::InProcess).await;
    // From its bytes, where it is wanted after all.
    host.rollback("depot").await.expect("its library is known");
    eventually("back", async || versions(&depot) == ["1.0.0"]).await;
    assert_eq!(generations(&host), [entry("1.0.0", Serving)]);
}

#[tokio::test]
async fn generations_that_are_not_wanted_any_more_take_their_processes_with_them() {
    drop(retired(Isolation::Subprocess).await);
}

/// A folder that the provider's configuration has watched.
struct Watched(TempDir);

impl Watched {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn config(&self, depot: &Depot) -> Config {
        let mut config = depot.config(&version("1.0.0"), &[("web", 5)]);
        config.providers[0].watch = Some(self.0.path().to_owned());
        config.providers[0].isolation = Some(Isolation::InProcess);
        config
    }

    /// Puts a file there, whole.
    fn put(&self, name: &str, library: &Path) -> PathBuf {
        let unfinished = self.0.path().join(".unfinished");
        fs::copy(library, &unfinished).expect("a folder of our own");
        let file = self.0.path().join(format!("{name}{}", std::env::consts::DLL_SUFFIX));
        fs::rename(unfinished, &file).expect("a folder of our own");
        file
    }
}

#[tokio::test]
async fn what_was_gone_back_from_is_not_brought_again_by_its_folder_under_any_later_host() {
    let (depot, folder, journal) = (Depot::new(), Watched::new(), memory());
    let host = open(&journal).await;
    host.apply(folder.config(&depot)).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    // An operator goes back from the one, and the host by itself from the other.
    folder.put("b", &version("2.0.0"));
    eventually("the newer one serves", async || serving(&host) == "2.0.0").await;
    host.rollback("depot").await.expect("it is kept");
    folder.put("c", &bad());
    eventually("the newest serves", async || serving(&host) == "3.0.0").await;
    depot.fault("violates");
    eventually("rolled back", async || serving(&host) == "1.0.0").await;
    depot.fault("");
    until(&host, "web", "well", |status| status.converged).await;
    drop(host);

    for (next, name) in [("4.0.0", "d"), ("5.0.0", "e")] {
        let host = open(&journal).await;
        let up = until(&host, "web", "up", |status| status.converged && status.running == 5).await;
        assert_eq!(up.serving.expect("it is there").version, "1.0.0");
        let said = told(&host, "web").await.len();
        // Files are looked at in the order of their names: once the last of them serves, all before it were passed over.
        folder.put(name, &version(next));
        eventually("what is new serves", async || serving(&host) == next).await;
        assert_eq!(generations(&host), [entry(next, Serving), entry("1.0.0", Kept)], "no other ever did");
        eventually("it is told", async || told(&host, "web").await.len() == said + 1).await;
        // Whoever goes back from the first finds all three where they lie.
        host.rollback("depot").await.expect("it is kept");
        assert_eq!(serving(&host), "1.0.0");
        drop(host);
    }
    assert_eq!((depot.launched().1, depot.killed()), (5, 0));
}

#[tokio::test]
async fn a_trial_that_was_put_off_and_cannot_be_made_is_given_up_and_that_is_said() {
    let (depot, folder, journal) = (Depot::new(), Watched::new(), memory());
    let host = open(&journal).await;
    host.apply(folder.config(&depot)).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    folder.put("c", &bad());
    eventually("it serves", async || serving(&host) == "3.0.0").await;
    assert!(host.shut_down(Leaving::Workers).await);
    depot.fault("unmade");

    let host = open(&journal).await;
    let up = until(&host, "web", "up", |status| status.converged && status.running == 5).await;
    assert_eq!(up.serving.expect("it is there").version, "1.0.0");
    let given_up = provider(&host).rolled_back.expect("it is said");
    assert_eq!(given_up.version, "3.0.0");
    for words in ["it could not be made", "the depot cannot be made, as it was told"] {
        assert!(given_up.reason.contains(words), "{given_up:?}");
    }
    let last = told(&host, "web").await.pop().expect("there is one");
    assert!(
        last.starts_with("was rolled back from 3.0.0 to 1.0.0 by the host itself: it could not"),
        "{last}"
    );
    // Nor is it brought again, now that it could be.
    depot.fault("");
    folder.put("d", &version("4.0.0"));
    eventually("what is new serves", async || serving(&host) == "4.0.0").await;
    assert_eq!(generations(&host), [entry("4.0.0", Serving), entry("1.0.0", Kept)]);
    assert_eq!((depot.launched().1, depot.killed()), (5, 0));
}

#[tokio::test]
async fn a_trial_that_was_put_off_goes_on_whoever_brings_its_provider_back() {
    let (depot, journal) = (Depot::new(), memory());
    let first = built("1.0.0", &["--cfg=bad"]);
    let host = open(&journal).await;
    host.apply(depot.config(&first, &[("web", 5)])).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    host.swap(watched(&bad(), Duration::from_secs(1))).await.expect("the two agree");
    assert!(host.shut_down(Leaving::Workers).await);
    // A cluster of a host that is lost, with all that it knew.
    let lost = open(&memory()).await;
    lost.apply(depot.config(&first, &[("new", 3)])).await.expect("legal");
    until(&lost, "new", "up", |status| status.converged).await;
    drop(lost);

    depot.fault("unmade");
    let host = open(&journal).await;
    assert!(provider(&host).trouble.is_some(), "neither of the two can be made");
    depot.fault("");
    let found = host.reconnect("new", Some(depot.config(&first, &[("new", 1)]))).await;
    assert_eq!(found.expect("it runs"), Some(3));
    assert_eq!(serving(&host), "3.0.0");
    // Its trial is over in the end, and it is not in the way of another one.
    eventually("taken for good", async || provider(&host).generations[0].watched_ms.is_none()).await;
    host.swap(to(&version("2.0.0"))).await.expect("the two agree");
    for (cluster, running) in [("web", 5), ("new", 3)] {
        until(&host, cluster, "well", |status| status.converged && status.running == running).await;
    }
    assert_eq!((depot.launched().1, depot.killed()), (8, 0));
}

#[tokio::test]
async fn who_tries_another_version_keeps_it_where_the_one_of_all_others_is_quarantined() {
    let (depot, journal) = (Depot::new(), memory());
    let host = open(&journal).await;
    let mut config = depot.config(&built("1.0.0", &["--cfg=bad"]), &[("web", 5), ("db", 3)]);
    for cluster in &mut config.clusters {
        // A process that dies of each call is asked again soon, so that it has soon died too often.
        let policy = &mut cluster.policy;
        (policy.backoff, policy.backoff_max) = (Duration::from_millis(10), Duration::from_millis(50));
    }
    host.apply(config).await.expect("legal");
    for cluster in ["web", "db"] {
        until(&host, cluster, "up", |status| status.converged).await;
    }
    let canary = Some(Canary::Cluster("db".to_owned()));
    let request = SwapRequest { canary: canary.clone(), ..watched(&version("2.0.0"), LONG) };
    host.swap(request).await.expect("the two agree");
    let is_lost = async || provider(&host).quarantined.is_some();
    let is_there = async || provider(&host).trouble.is_none();
    let tried = async || host.status("db").await.expect("it is there").serving;
    depot.fault("dies");
    eventually("quarantined", is_lost).await;
    let waits = |status: &longshore_runtime::ClusterStatus| {
        status.reasons.iter().any(|reason| reason.text.contains("longshore plugin release"))
    };
    until(&host, "web", "explained", waits).await;
    // It is well, and its provider is asked still.
    host.command("db", Command::Scale { expected: 4 }).await.expect("legal");
    until(&host, "db", "scaled", |status| status.converged && status.running == 4).await;
    let serves = tried().await.expect("it serves");
    assert_eq!((serves.version.as_str(), serves.standing), ("2.0.0", Standing::Tried));
    let begun = "serves with 1.0.0";
    let tries = "was swapped from 1.0.0 to 2.0.0; this cluster alone tries it, and it is watched";
    assert_eq!(told(&host, "db").await, [begun, tries]);

    // What all others have comes back beside it.
    depot.fault("");
    host.release("depot").await.expect("it is quarantined");
    eventually("there again", is_there).await;
    until(&host, "web", "well", |status| status.converged && status.running == 5).await;
    assert_eq!(generations(&host), [entry("2.0.0", GenerationState::Canary), entry("1.0.0", Serving)]);
    assert_eq!(tried().await.expect("it serves").standing, Standing::Tried);

    // And whoever goes back where there is nothing waits like all others.
    depot.fault("dies");
    eventually("quarantined again", is_lost).await;
    let back = host.rollback("depot").await.expect("one can go back from what is tried");
    assert_eq!(back.to.version, "1.0.0");
    until(&host, "db", "explained", waits).await;
    depot.fault("");
    host.release("depot").await.expect("it is quarantined");
    eventually("there again", is_there).await;
    for (cluster, running) in [("web", 5), ("db", 4)] {
        until(&host, cluster, "well", |status| status.converged && status.running == running).await;
    }
    assert_eq!(generations(&host), [entry("1.0.0", Serving)]);

    // Where it was well, it is what all have, and nothing stands in the way of the next one.
    let request = SwapRequest { canary, ..watched(&version("2.0.0"), Duration::from_secs(12)) };
    host.swap(request).await.expect("the two agree");
    depot.fault("dies");
    // On a machine that is slow, its time is over before.
    eventually("quarantined once more", async || is_lost().await || serving(&host) == "2.0.0").await;
    eventually("taken for good", async || {
        serving(&host) == "2.0.0" && provider(&host).generations[0].watched_ms.is_none()
    })
    .await;
    until(&host, "web", "well", |status| status.converged && status.running == 5).await;
    host.swap(to(&version("4.0.0"))).await.expect("the two agree");
    assert_eq!((depot.launched().1, depot.killed()), (9, 0));
}

/// Whether a library of that hash is in this process.
fn is_loaded(hash: &str) -> bool {
    fs::read_to_string("/proc/self/maps").expect("it can be read").contains(hash)
}

#[tokio::test]
async fn a_swap_to_a_quarantined_library_is_refused_before_its_code_runs_and_changes_nothing() {
    let two = version("2.0.0");
    let located = locate(&SearchPath::default(), None, &two.display().to_string()).expect("it was built");
    let hash = located.verify(&Trust::default()).expect("it is ours").hash;
    let record = LibraryRecord {
        plugin: "depot".to_owned(),
        version: "2.0.0".to_owned(),
        path: "/plugins/depot-2.0.0.so".to_owned(),
        quarantined: Some(Quarantine {
            why: "signal 11 (SIGSEGV)".to_owned(),
            since: Time::from_millis(7),
            deaths: 5,
            providers: ["another".to_owned()].into(),
        }),
    };
    let document = serde_json::to_value(&record).expect("it can be written");
    // What is loaded once stays: the host that loads it is the last.
    for isolation in [Isolation::Subprocess, Isolation::InProcess] {
        let (depot, journal) = (Depot::new(), memory());
        journal.define_library(&hash, Some(document.clone())).await.expect("memory");
        // Where there are runners, a first look is taken in a process that is thrown away.
        let host = match isolation {
            Isolation::InProcess => host_with(Arc::clone(&journal) as Arc<dyn Journal>).await,
            Isolation::Subprocess => open(&journal).await,
        };
        let mut config = depot.config(&version("1.0.0"), &[("web", 5)]);
        config.providers[0].isolation = Some(isolation);
        host.apply(config).await.expect("legal");
        until(&host, "web", "up", |status| status.converged).await;
        assert!(!is_loaded(&hash));
        let (written, said) = (journal.providers().await.expect("memory"), told(&host, "web").await);
        let lives = depot.instances();

        let refused = host.swap(to(&two)).await.expect_err("it is quarantined");
        let ApplyError::Quarantined { provider: named, why } = &refused else { panic!("{refused}") };
        assert_eq!((named.as_str(), &why.library.hash), ("depot", &hash));
        let text = refused.to_string();
        // What, where, why, and what to do.
        for part in [
            "provider `depot`",
            "plugin `depot` 2.0.0",
            &hash[..12],
            "/plugins/depot-2.0.0.so",
            "signal 11 (SIGSEGV)",
            "`longshore swap`",
            &format!("longshore plugin release {}", &hash[..12]),
        ] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        assert!(!is_loaded(&hash), "no code of it has run here");
        assert_eq!(generations(&host), [entry("1.0.0", Serving)]);
        assert_eq!((depot.instances(), told(&host, "web").await), (lives, said));
        assert_eq!(journal.providers().await.expect("memory"), written);
        let status = until(&host, "web", "as it was", |status| status.converged).await;
        assert_eq!(status.running, 5);
        host.release(&hash).await.expect("it is quarantined");
        assert_eq!(host.swap(to(&two)).await.expect("it is released").to.version, "2.0.0");
        assert_eq!(is_loaded(&hash), isolation == Isolation::InProcess);
        assert_eq!((depot.launched().1, depot.killed()), (5, 0));
    }
}
