//! What a configuration may ask of a provider's backend beside workers: a server, variables for the containers, a cleanup.

use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

use longshore_config::Config;
use longshore_runtime::{ApplyError, CommandError, Effect, Host, Leaving};
use longshore_scaling::{Command, Denied};
use longshore_store::{Journal, SqliteJournal};
use tempfile::tempdir;

use crate::{
    PATIENCE, host, host_with,
    stage::{BY_STATUS, Stage, TOLD},
    until,
};

fn denied(outcome: &Result<impl Sized, ApplyError>) -> Option<&Denied> {
    match outcome {
        Err(ApplyError::Command(CommandError::Denied { denied, .. })) => Some(denied),
        _ => None,
    }
}

async fn stopped(host: &Host) {
    host.command("web", Command::Stop).await.expect("legal");
    until(host, "web", "stopped", |status| status.converged && status.handles == 0).await;
}

#[tokio::test]
async fn a_server_is_changed_when_it_is_down() {
    let (stage, host) = (Stage::new(), host().await);
    host.apply(stage.web(1, Some(BY_STATUS), TOLD)).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    let before = host.status("web").await.expect("there").generation;

    let another = format!("{BY_STATUS}\n[cluster.server.container]\nargs = [\"another\"]");
    let larger = format!("{BY_STATUS}\n[cluster.server.hardware]\ncpu = 2");
    let others = [
        stage.web(1, Some(&another), TOLD),
        stage.web(1, Some(&larger), TOLD),
        stage.web(1, Some("probe = \"status\"\nport = 7001"), TOLD),
        stage.web(1, Some("external = \"127.0.0.1:1\""), "args = [\"${server.host}\"]"),
        stage.web(1, None, "args = []"),
    ];
    for other in &others {
        for outcome in [host.plan(other.clone()).await.map(drop), host.apply(other.clone()).await.map(drop)] {
            assert_eq!(denied(&outcome), Some(&Denied::ServerIsThere), "{outcome:?}");
        }
    }
    let status = host.status("web").await.expect("there");
    assert_eq!((status.generation, status.converged), (before, true), "nothing has changed");
    // How it is looked after may change at any time.
    let kept = format!("{BY_STATUS}\non_restart = \"keep\"");
    let applied = host.apply(stage.web(1, Some(&kept), TOLD)).await.expect("it runs on");
    assert_eq!(applied.clusters[0].1, Effect::Updated);

    stopped(&host).await;
    host.apply(others[0].clone()).await.expect("nothing is there");
    host.command("web", Command::Start).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 1).await;
    assert!(stage.said().contains(&"run_server: another".to_owned()), "{:?}", stage.said());

    stopped(&host).await;
    host.apply(others[4].clone()).await.expect("it has none any more");
    host.command("web", Command::Start).await.expect("legal");
    let status = until(&host, "web", "up", |status| status.converged && status.running == 1).await;
    assert_eq!((status.server, stage.count("run_server")), (None, 2));
    let none = host.server("web").await;
    assert!(matches!(none, Err(CommandError::NoServer { .. })), "{none:?}");
    // And may have one again: who runs already is left alone.
    host.apply(others[0].clone()).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.server.is_some()).await;
    assert_eq!((stage.count("run_server"), stage.count("run")), (3, 3));
}

#[tokio::test]
async fn a_provider_that_can_run_no_server_is_not_asked_for_one() {
    let (stage, host) = (Stage::serverless(), host().await);
    for outcome in [
        host.plan(stage.web(1, Some(BY_STATUS), TOLD)).await.map(drop),
        host.apply(stage.web(1, Some(BY_STATUS), TOLD)).await.map(drop),
    ] {
        assert_eq!(denied(&outcome), Some(&Denied::CannotServe), "{outcome:?}");
    }
    assert!(host.clusters().is_empty());
    // What others run, anybody can report to.
    let listening = crate::stage::Listening::at(0).await;
    let external = format!("external = \"127.0.0.1:{}\"", listening.port);
    host.apply(stage.web(1, Some(&external), "args = [\"${server.port}\"]")).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 1).await;
    assert_eq!(stage.said(), [format!("run 1: {}", listening.port)]);
    let none = host.clean_up("web", false).await;
    assert!(matches!(&none, Err(CommandError::NoCleanUp { cluster }) if cluster == "web"), "{none:?}");
}

#[tokio::test]
async fn what_was_left_behind_is_cleaned_up() {
    let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::in_memory());
    let (stage, host) = (Stage::new(), host_with(Arc::clone(&journal)).await);
    host.apply(stage.web(1, None, "args = []")).await.expect("legal");
    until(&host, "web", "up", |status| status.converged).await;
    host.clean_up("web", false).await.expect("it has a cleanup");
    host.clean_up("web", true).await.expect("it has a cleanup");
    assert_eq!(stage.said()[1..], ["cleanup", "cleanup --deep"]);

    stage.put("tattle", "");
    let failed = host.clean_up("web", false).await;
    assert!(
        matches!(&failed, Err(CommandError::CleanUp { trouble, .. }) if trouble.text.contains("cleanup was told"))
    );
    stage.remove("tattle");
    let none = host.clean_up("wbe", false).await;
    assert!(matches!(none, Err(CommandError::NoSuchCluster { .. })), "{none:?}");

    // One that another host has is that host's to clean up.
    journal.claim("web").await.expect("memory");
    let _ = host.command("web", Command::Scale { expected: 2 }).await.expect_err("it is another host's");
    let taken = host.clean_up("web", true).await;
    assert!(matches!(taken, Err(CommandError::TakenAway { .. })), "{taken:?}");
    assert_eq!(stage.count("cleanup"), 2);
}

#[tokio::test]
async fn each_container_is_told_how_many_workers_it_holds() {
    let (stage, host) = (Stage::new(), host().await);
    let container = "max_workers = 4\nargs = [\"${cluster.name}\", \"$${literal} $HOME\"]\n\
                     env = { COUNT = \"${worker.count}\" }";
    host.apply(stage.web(10, None, container)).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 10).await;
    let mut said = stage.said();
    said.sort();
    let told = |workers| format!("run {workers}: web ${{literal}} $HOME COUNT={workers}");
    assert_eq!(said, [told(2), told(4), told(4)]);
    host.command("web", Command::Scale { expected: 13 }).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 13).await;
    assert_eq!(stage.said().last(), Some(&told(3)));
}

#[tokio::test]
async fn variables_reach_real_workers() {
    let temp = tempdir().expect("a temporary folder");
    let (folder, plugin) = (temp.path(), longshore_support::library("longshore-process"));
    let text = format!(
        "[[provider]]\nname = \"process\"\nplugin = '{}'\nconfig = {{ root = '{}', grace = \"1s\" }}\n\
         [[cluster]]\nname = \"web\"\nprovider = \"process\"\nworkers = 10\n\
         [cluster.server]\nport = 7000\nprobe = \"status\"\n\
         [cluster.server.container]\ncommand = \"sleep\"\nargs = [\"1000\"]\n\
         [cluster.container]\nmax_workers = 4\ncommand = \"/bin/sh\"\n\
         args = [\"-c\", 'echo \"$@\" \"$COUNT\" \"$LONGSHORE_WORKERS\" \"$PASSWORD\" > {}/$$; exec sleep 1000', \"sh\", \
         \"${{server.host}}:${{server.port}}\", \"${{cluster.name}}\"]\n\
         env = {{ COUNT = \"${{worker.count}}\", PASSWORD = \"${{server.password}}\" }}\n",
        plugin.display(),
        folder.join("state").display(),
        folder.join("told").display(),
    );
    fs::create_dir(folder.join("told")).expect("a folder in a folder of our own");
    let config = Config::parse(&text, Path::new("web.toml")).expect("a good configuration");
    let host = host().await;
    host.apply(config).await.expect("legal");
    until(&host, "web", "up", |status| status.converged && status.running == 10).await;
    let (_, password) = host.server("web").await.expect("it has one");
    let password = password.expect("one was made");
    let told = || {
        let files = fs::read_dir(folder.join("told")).expect("it is there");
        let lines = files.map(|file| fs::read_to_string(file.expect("it can be read").path()).expect("text"));
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        // One that has begun to write has not ended its line.
        lines.filter(|line| line.ends_with('\n')).for_each(|line| *counts.entry(line).or_default() += 1);
        counts
    };
    let line = |count: u32| format!("127.0.0.1:7000 web {count} {count} {}\n", password.reveal());
    let wanted = BTreeMap::from([(line(2), 1), (line(4), 2)]);
    let is_told = timeout_until(|| told() == wanted).await;
    assert!(is_told, "{:?}", told());
    assert!(host.shut_down(Leaving::Nothing { patience: PATIENCE }).await, "no process is left");
}

async fn timeout_until(mut is: impl FnMut() -> bool) -> bool {
    let wait = async {
        while !is() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.is_ok()
}
