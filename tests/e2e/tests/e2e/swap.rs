//! Plugins whose files change under a real host, and versions that are swapped while it is killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use longshore_e2e::{House, Said};
use longshore_support::{fixture_of_version, until};

/// A version of the provider whose backend all of its versions share.
fn version(version: &str, flags: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/runtime/tests/fixtures/depot.rs");
    fixture_of_version(&source, flags, version)
}

/// A house with a host, the plugin `depot` in version 1.0.0 as a file of the plugin folder, and five workers on it.
struct Depot {
    house: House,
    plugin: PathBuf,
}

impl Depot {
    fn new() -> Self {
        let mut house = House::with(&[]);
        let plugin = house.plugins().join(format!("depot{}", std::env::consts::DLL_SUFFIX));
        fs::copy(version("1.0.0", &[]), &plugin).expect("the plugin folder is ours");
        house.serve();
        house.apply(&format!(
            r#"
[[provider]]
name = "depot"
config = {{ folder = "{}" }}
[[cluster]]
name = "web"
provider = "depot"
workers = 5
[cluster.scaling]
poll_interval = "50ms"
busy_poll_interval = "50ms"
"#,
            house.path("backend").display()
        ));
        Self { house, plugin }
    }

    fn serving(&self) -> String {
        let listed = self.house.run(&["plugin", "list", "--json"]).ok().json();
        listed["providers"][0]["version"].as_str().expect("a version").to_owned()
    }

    #[track_caller]
    fn scales(&self, workers: u32) {
        let _ = self.house.run(&["scale", "web", &workers.to_string()]).ok();
        assert_eq!(self.house.status("web")["running"], workers);
        assert_eq!(self.alive(), workers as usize);
    }

    fn alive(&self) -> usize {
        let workers = fs::read(self.house.path("backend").join("workers")).expect("the provider has made it");
        workers.into_iter().filter(|worker| *worker == 1).count()
    }

    fn said(&self) -> Vec<String> {
        let said = fs::read_to_string(self.house.path("backend").join("said")).unwrap_or_default();
        said.lines().map(str::to_owned).collect()
    }

    fn swap(&self, more: &[&str]) -> Said {
        self.house.run(&[&["swap", "depot", "--watch", "0s"], more].concat())
    }
}

#[test]
fn a_plugins_file_may_be_overwritten_renamed_over_and_deleted_while_it_is_in_use() {
    let depot = Depot::new();
    let host = depot.house.host();
    // In place, which would crash who has mapped it: with another version, with rubbish, with nothing.
    let second = fs::read(version("2.0.0", &[])).expect("it was built");
    for (content, workers) in [(&second[..], 7), (b"rubbish", 3), (b"", 6)] {
        fs::write(&depot.plugin, content).expect("the plugin folder is ours");
        depot.scales(workers);
        assert_eq!(depot.serving(), "1.0.0", "what runs is what was loaded");
    }
    let said = depot.swap(&[]);
    assert!(said.code == Some(8) && said.err.contains("not a shared library"), "{said:?}");

    // Renamed over, as a package manager does it.
    let unfinished = depot.house.plugins().join(".unfinished");
    fs::write(&unfinished, &second).expect("the plugin folder is ours");
    fs::rename(&unfinished, &depot.plugin).expect("the plugin folder is ours");
    depot.scales(5);
    assert_eq!(depot.serving(), "1.0.0");
    let _ = depot.swap(&[]).ok();
    assert_eq!(depot.serving(), "2.0.0");
    depot.scales(8);

    fs::remove_file(&depot.plugin).expect("it is there");
    depot.scales(4);
    let _ = depot.house.run(&["rollback", "depot"]).ok();
    assert_eq!(depot.serving(), "1.0.0", "its bytes are kept");
    depot.scales(9);
    assert_eq!(depot.house.host(), host, "it is the same host all the while");
}

#[test]
fn a_version_that_turns_bad_is_rolled_back_and_the_command_says_so() {
    let depot = Depot::new();
    let third = version("3.0.0", &["--cfg=bad"]).display().to_string();
    let arguments = ["swap", "depot", "--to", &third, "--watch", "1h"];
    let mut command = depot.house.command(&arguments);
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts");
    until("it serves", || depot.serving() == "3.0.0");
    fs::write(depot.house.path("backend").join("fault"), "violates").expect("a folder of our own");
    let said = Said::from(command.wait_with_output().expect("the command ends"));
    assert_eq!(said.code, Some(8), "{said:?}");
    assert!(said.err.contains("is rolled back") && said.err.contains("broke the contract"), "{said:?}");
    assert_eq!(depot.serving(), "1.0.0");
    assert!(depot.house.log().contains("the new version is given up"), "the log says so");
    let listed = depot.house.run(&["plugin", "list"]).ok();
    assert!(listed.out.contains("3.0.0 was given up"), "{listed:?}");
    depot.scales(7);
    let said = depot.swap(&["--to", &third]);
    assert!(said.code == Some(8) && said.err.contains("does not agree"), "{said:?}");
}

#[test]
fn a_host_that_is_killed_in_the_middle_of_a_swap_comes_back_whole() {
    let mut depot = Depot::new();
    let second = version("2.0.0", &[]).display().to_string();
    let first = depot.plugin.display().to_string();
    // How long one takes here, which is cut off at another moment each time.
    let begun = std::time::Instant::now();
    let said = depot.swap(&["--to", &second]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let whole = begun.elapsed();
    for round in 1..=6 {
        let to = if depot.serving() == "1.0.0" { &second } else { &first };
        let arguments = ["swap", "depot", "--to", to, "--watch", "0s"];
        let mut swap = depot.house.command(&arguments);
        let mut swap = swap.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the command starts");
        std::thread::sleep(whole * round / 6);
        depot.house.kill_host();
        let _ = swap.wait().expect("the command ends");
        depot.house.serve();
        depot.house.until_status("web", "running", 5);
        let serving = depot.serving();
        assert!(["1.0.0", "2.0.0"].contains(&serving.as_str()), "{serving}");
        assert_eq!(depot.house.handles("web").len(), 5);
        let said = depot.said();
        assert_eq!((said.len(), depot.alive()), (1, 5), "one launch, and no kill: {said:?}");
    }
    depot.scales(6);
}
