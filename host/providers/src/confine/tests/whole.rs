//! All guards at once, and a provider behind them that does its work: the process provider, which needs more of the system than
//! others do.

use std::{
    os::unix::fs::{PermissionsExt as _, chown},
    time::Duration,
};

use longshore_plugin_api::{Container, Hardware, Killed, LaunchToken, RunRequest, WorkerStatus};
use nix::unistd::{Uid, User};
use serde_json::json;

use super::*;
use crate::{CallLimits, CallScope, Library, Provider};

/// Longer than anything takes that is meant to succeed.
const LONG: Duration = Duration::from_mins(1);

/// Whom a provider runs as where that can be chosen.
fn nobody() -> Option<User> {
    let user = || User::from_name("nobody").expect("it can be looked up").expect("it is there");
    Uid::effective().is_root().then(user)
}

fn everything() -> Confinement {
    Confinement {
        user: nobody().map(|user| user.name),
        memory: Some(16 << 30),
        descriptors: Some(256),
        cpu_time: Some(Duration::from_hours(1)),
        read: Some(vec![]),
        write: Some(vec![folder().join("root")]),
        seccomp: true,
        ..Confinement::default()
    }
}

#[test]
#[ignore = "the process of the test below"]
fn runs_a_provider() {
    let library = folder().join("library");
    for lacking in apply(&everything(), &[&library]).expect("nothing is required") {
        println!("{lacking}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime can be made").block_on(async {
        let library = Library::open_here(&library).expect("it is loaded");
        let config = json!({"root": folder().join("root"), "grace": "0s"});
        let provider =
            Provider::create(&library, "confined", config, CallLimits::default()).await.expect("it is made");
        let scope = CallScope { cluster: "c".into(), budget: LONG, verbose: 1 };
        // What the worker does shows that it has come so far, and no farther.
        let script = format!("LC_ALL=C cat {}/secret; echo ready > here; exec sleep 600", folder().display());
        let container = Container {
            command: Some("/bin/sh".to_owned()),
            args: vec!["-c".to_owned(), script],
            working_dir: Some(folder().join("root").display().to_string()),
            ..Container::default()
        };
        let token = LaunchToken::new("t-1");
        let request = RunRequest { container, hardware: Hardware::default(), workers: 1, token };
        let launched = provider.run(&scope, request).reply().await.expect("it launches");
        let handles: Vec<_> = launched.handles.into_iter().map(|(handle, _)| handle).collect();
        longshore_support::until("the worker works", || folder().join("root/here").exists());
        let status = provider.status(&scope, handles.clone()).reply().await.expect("it answers");
        assert_eq!(status, [WorkerStatus::Running]);
        assert_eq!(provider.list(&scope).reply().await.expect("it lists").len(), 1);
        let killed = provider.kill(&scope, handles.clone()).reply().await.expect("it kills");
        assert_eq!(killed, [Killed::Yes]);
        let status = provider.status(&scope, handles).reply().await.expect("it answers");
        assert_eq!(status, [WorkerStatus::Stopped]);
        assert!(provider.shut_down(LONG).await);
    });
}

/// All that the worker has said.
fn said(folder: &Path) -> String {
    let entries =
        fs::read_dir(folder).expect("it can be listed").map(|entry| entry.expect("an entry").path());
    let texts = entries
        .map(|path| if path.is_dir() { said(&path) } else { fs::read_to_string(&path).unwrap_or_default() });
    texts.collect()
}

#[test]
fn a_provider_does_its_work_behind_all_guards() {
    let house = tempfile::tempdir().expect("a folder");
    let (library, root) = (house.path().join("library"), house.path().join("root"));
    fs::copy(longshore_support::library("longshore-process"), library).expect("it is copied");
    fs::write(house.path().join("secret"), "the secret of others").expect("it is written");
    fs::create_dir(&root).expect("it is made");
    fs::set_permissions(house.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
    if let Some(nobody) = nobody() {
        chown(&root, Some(nobody.uid.as_raw()), Some(nobody.gid.as_raw())).expect("root may");
    }
    succeeds_in("whole::runs_a_provider", house.path());
    let said = said(&root);
    let denied = said.contains("secret: Permission denied");
    assert!(denied || kernel::landlock() == 0, "its worker is as confined as it is itself: {said}");
    assert_eq!(said.contains("the secret of others"), !denied, "{said}");
}
