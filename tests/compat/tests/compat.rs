//! Each plugin in each host: of the first release, of today, and of a release that is yet to come.

use std::{
    path::Path,
    process::{Command, Output},
    sync::Arc,
    time::Duration,
};

use longshore_compat::{RELEASED, after_today, folder, hash, later, released, root, sources, today};
use longshore_plugin_api::{Container, Hardware, Killed, LaunchToken, RunRequest, WorkerStatus};
use longshore_providers::{CallLimits, CallScope, CreateError, Library, Provider};
use longshore_support::library;
use serde_json::json;

/// Lets a host of another release do everything with a plugin, and returns what it says.
fn drive(host: &Path, plugin: &Path) -> String {
    let Output { status, stdout, stderr } =
        Command::new(host).arg(plugin).output().expect("a host can be run");
    assert!(
        status.success(),
        "{} {}: {}",
        host.display(),
        plugin.display(),
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8(stdout).expect("a host writes text").trim_end().to_owned()
}

/// Does with a plugin in today's host what a host does.
fn drive_today(path: &Path) -> Arc<Library> {
    let library =
        Library::open(path).unwrap_or_else(|why| panic!("{why}\n{}", why.detail().unwrap_or_default()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime can be made").block_on(work(&library));
    library
}

async fn work(library: &Arc<Library>) {
    let refused = Provider::create(library, "old", json!({ "prefix": "" }), CallLimits::default()).await;
    let Err(CreateError::Config(why)) = refused else { panic!("an empty prefix is refused") };
    assert_eq!(why.field, "prefix");
    let unknown = library.validate_config(&json!({ "prefx": "a" })).expect_err("it is not in the schema");
    assert!(unknown.to_string().contains("prefx"), "{unknown}");
    let provider = Provider::create(library, "old", json!({ "prefix": "box" }), CallLimits::default());
    let provider = provider.await.expect("it makes a provider");
    assert!(provider.has_list() && provider.idempotent_run());
    assert!(!provider.has_initialize() && !provider.has_server() && !provider.has_cleanup());

    let scope = CallScope { cluster: "web".into(), budget: Duration::from_mins(1), verbose: 1 };
    let request = RunRequest {
        container: Container {
            image: Some("alpine".to_owned()),
            command: Some("sleep".to_owned()),
            args: vec!["3600".to_owned()],
            env: [("A".to_owned(), "b".to_owned())].into(),
            working_dir: Some("/".to_owned()),
            max_workers: Some(2),
        },
        hardware: Hardware { cpu: Some(0.5), memory: Some(1 << 30), id: Some("small".to_owned()) },
        workers: 3,
        token: LaunchToken::new("launch-1"),
    };
    let launched = provider.run(&scope, request.clone()).reply().await.expect("it runs");
    let again = provider.run(&scope, request).reply().await.expect("it runs again");
    assert_eq!((&launched, launched.workers()), (&again, 3));
    let handles: Vec<_> = launched.handles.iter().map(|(handle, _)| Arc::clone(handle)).collect();
    assert!(handles.len() == 2 && handles.iter().all(|handle| handle.starts_with("box-")), "{handles:?}");
    let statuses = provider.status(&scope, handles.clone()).reply().await.expect("it tells");
    assert_eq!(statuses, [WorkerStatus::Running; 2]);
    let listed = provider.list(&scope).reply().await.expect("it lists");
    let told: Vec<_> = listed.iter().map(|entry| (entry.token.as_str(), entry.workers)).collect();
    assert_eq!(told, [("launch-1", 2), ("launch-1", 1)]);
    let killed = provider.kill(&scope, handles.clone()).reply().await.expect("it kills");
    assert_eq!(killed, [Killed::Yes, Killed::Yes]);
    assert_eq!(provider.is_stopped(&scope, handles).reply().await, Ok(vec![true; 2]));
    assert!(provider.list(&scope).reply().await.expect("it lists").is_empty());
    assert!(provider.shut_down(Duration::from_mins(1)).await, "it ends");
}

#[test]
fn released_plugins_work_in_today_s_host() {
    for (version, _) in RELEASED {
        let library = drive_today(&released(version).plugin);
        assert_eq!(library.metadata().version, *version);
    }
}

#[test]
fn a_plugin_with_an_interface_more_works_in_today_s_host() {
    let library = drive_today(&later().plugin);
    assert!(library.metadata().has("longshore.metrics/1"), "and today's host does not know it");
}

#[test]
fn a_host_with_an_interface_more_gets_nothing_from_a_plugin_that_has_it_not() {
    let (host, nothing) = (later().host, format!("longshore.metrics/1 of {}: nothing", after_today()));
    for (version, _) in RELEASED {
        let said = drive(&host, &released(version).plugin);
        assert_eq!(said, format!("\"first\" has longshore.workers/1 longshore.list/1; {nothing}"));
    }
    let said = drive(&host, &library("longshore-memory"));
    assert!(said.starts_with("\"memory\" has longshore.workers/1 ") && said.ends_with(&nothing), "{said}");
}

#[test]
fn a_host_with_an_interface_more_gets_it_from_a_plugin_that_has_it() {
    let later = later();
    let said = drive(&later.host, &later.plugin);
    assert!(said.ends_with(&format!("longshore.metrics/1 of {}: 2 alive", after_today())), "{said}");
}

#[test]
fn released_hosts_take_today_s_plugins_and_later_ones() {
    for (version, _) in RELEASED {
        let host = released(version).host;
        assert!(
            drive(&host, &library("longshore-memory")).starts_with("\"memory\" has longshore.workers/1 ")
        );
        assert_eq!(drive(&host, &later().plugin), "\"later\" has longshore.workers/1 longshore.list/1");
    }
}

#[test]
fn what_was_released_is_as_it_was() {
    for (version, released) in RELEASED {
        assert_eq!(
            hash(&folder(version)),
            *released,
            "released/{version} has changed. Put it back: plugins were built from it, and it stands for them"
        );
    }
}

#[test]
fn today_s_abi_is_a_released_one_or_has_a_version_of_its_own() {
    let today = today();
    assert!(
        RELEASED.iter().any(|(version, _)| *version == today),
        "plugin-api/abi is of version {today}, which is not kept under tests/compat/released: see tests/compat/src/lib.rs"
    );
    let code = |folder: &Path| -> Vec<(String, String)> {
        let code = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes);
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            lines.collect::<Vec<_>>().join("\n")
        };
        sources(folder).into_iter().map(|(path, bytes)| (path, code(&bytes))).collect()
    };
    let (ours, theirs) = (code(&root().join("plugin-api/abi/src")), code(&folder(&today).join("abi/src")));
    let names = |files: &[(String, String)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&theirs), "a file of plugin-api/abi/src has come or gone since {today}");
    for ((path, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        assert_eq!(
            ours, theirs,
            "plugin-api/abi/src/{path} is not that of {today} any more: an interface that was released never changes; \
             give what is new a new id, and the crate its next minor version"
        );
    }
}
