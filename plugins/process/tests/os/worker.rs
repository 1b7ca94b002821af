//! What a worker sees: its arguments, environment and folder, and nothing of the host.

use std::{fs, os::fd::AsRawFd as _};

use longshore_plugin_api::Provider as _;
use serde_json::json;

use crate::support::{House, call, provider, request, stat, wait_until};

/// What a worker printed, once it has printed `end`.
fn output(house: &House, token: &str) -> String {
    let path = house.launch_folder(token).join("0.out");
    wait_until("the worker has printed", || {
        fs::read_to_string(&path).is_ok_and(|text| text.contains("end\n"))
    });
    fs::read_to_string(path).expect("there")
}

#[test]
fn its_arguments_environment_and_folder() {
    let house = House::new();
    let folder = house.file("work");
    fs::create_dir(&folder).expect("made");
    let mut request = house.request("t", 2, r#"echo "$0|$1"; pwd -P; env; echo end; exec sleep 600"#);
    request.container.max_workers = Some(2);
    request.container.args.extend(["zero".to_owned(), "one  $HOME".to_owned()]);
    request.container.working_dir = Some(folder.display().to_string());
    request.container.env.insert("OF_THE_CONTAINER".to_owned(), "a b=c".to_owned());
    request.container.env.insert("LONGSHORE_WORKERS".to_owned(), "99".to_owned());
    house.try_run(&request).expect("launched");
    let text = output(&house, "t");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "zero|one  $HOME", "arguments are not expanded");
    assert_eq!(lines[1], folder.canonicalize().expect("there").display().to_string());
    for line in [
        "OF_THE_CONTAINER=a b=c",
        "LONGSHORE_CLUSTER=c1",
        "LONGSHORE_TOKEN=t",
        "LONGSHORE_HANDLE=t-0",
        "LONGSHORE_WORKERS=2",
    ] {
        assert!(lines.contains(&line), "{line} is missing in\n{text}");
    }
    assert!(lines.iter().any(|line| line.starts_with("PATH=")), "the host's environment is inherited");
}

#[test]
fn what_it_inherits_is_configured() {
    let path = std::env::var("PATH").expect("tests have a PATH");
    let house = House::with(json!({"inherit_env": ["PATH", "NOT_SET_ANYWHERE"]}));
    house.run("t", 1, "env; echo end; exec sleep 600");
    let text = output(&house, "t");
    assert!(text.lines().any(|line| line == format!("PATH={path}")), "{text}");
    assert!(!text.contains("CARGO"), "{text}");

    let house = House::with(json!({"inherit_env": false}));
    let mut request = house.request("t", 1, "/usr/bin/env; echo end; exec /bin/sleep 600");
    request.container.command = Some("/bin/sh".to_owned());
    house.try_run(&request).expect("launched");
    assert!(!output(&house, "t").contains("CARGO"));
}

#[test]
fn it_leads_a_session_and_has_nothing_of_the_host() {
    let house = House::new();
    let file = fs::File::open("/dev/null").expect("there");
    // A descriptor that a careless library of the host left open for its children.
    let careless = rustix::io::dup(&file).expect("copied");
    rustix::io::fcntl_setfd(&careless, rustix::io::FdFlags::empty()).expect("set");
    let script = "readlink /proc/$$/fd/0; ls /proc/$$/fd; echo end; exec sleep 600";
    house.run("t", 1, script);
    let text = output(&house, "t");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "/dev/null", "its input is empty");
    let descriptors: Vec<i32> = lines.iter().filter_map(|line| line.parse().ok()).collect();
    assert!(!descriptors.contains(&careless.as_raw_fd()), "{text}");
    // 10 and above are what some shells keep for themselves.
    assert!(descriptors.iter().all(|descriptor| *descriptor <= 2 || *descriptor >= 10), "{text}");

    let pid = house.alive()[0];
    let stat = stat(pid).expect("it is alive");
    assert_eq!((&stat[2], &stat[3]), (&pid.to_string(), &pid.to_string()), "its own group and session");
}

#[test]
fn signals_that_the_host_ignores_are_not_ignored_by_the_worker() {
    let house = House::new();
    // A shell in between ignores two signals, and starts this very test program, whose host starts the worker.
    let program = std::env::current_exe().expect("it is known");
    let status = std::process::Command::new("sh")
        .args(["-c", "trap '' USR1 HUP; exec \"$0\" --exact worker::host_that_ignores --ignored"])
        .arg(program)
        .env("LONGSHORE_TEST_ROOT", house.root())
        .env("LONGSHORE_TEST_WORKERS_MARK", house.mark())
        .output()
        .expect("it is started");
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    let text = output(&house, "t");
    for line in ["SigBlk", "SigIgn", "SigCgt"].map(|name| format!("{name}:\t0000000000000000")) {
        assert!(text.lines().any(|there| there == line), "{line} is missing in\n{text}");
    }
}

#[test]
#[ignore = "the host of the test above, in a process of its own"]
fn host_that_ignores() {
    let root = std::env::var_os("LONGSHORE_TEST_ROOT").expect("the test above sets it");
    let mark = std::env::var("LONGSHORE_TEST_WORKERS_MARK").expect("the test above sets it");
    let status = fs::read_to_string("/proc/self/status").expect("readable");
    assert!(!status.contains("SigIgn:\t0000000000000000"), "the shell above made us ignore signals");
    let provider = provider(root.as_ref(), &json!({})).expect("valid");
    // No shell in between: it changes its signals at its own will.
    let mut request = request(&mark, "t", 1, "");
    request.container.command = Some("sed".to_owned());
    request.container.args = ["-n", "/^Sig/p;$a end", "/proc/self/status"].map(str::to_owned).into();
    call(|ctx| provider.run(ctx, &request)).expect("launched");
}
