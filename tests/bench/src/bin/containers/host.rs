//! Longshore: the real host, with a cluster for each network.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use longshore_support::until;
use tempfile::TempDir;

use crate::contender::{Contender, GRACE_SECONDS, LABEL, PROGRAM, Scene, run};

/// A host that serves. Dropping it kills it; its containers are the engine's.
pub(crate) struct Host {
    program: PathBuf,
    folder: TempDir,
    child: Child,
}

impl Host {
    /// One with a cluster for each network, all without workers.
    pub(crate) fn begin(program: &Path, plugin: &Path, scene: &Scene<'_>, networks: &[&str]) -> Self {
        // Not beside this program, as others have it: a socket's path must be short.
        let folder = tempfile::Builder::new().prefix("bench-containers-").tempdir().expect("a folder");
        let log = File::create(folder.path().join("log")).expect("a file");
        // It ends with this process, however that ends.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .arg("serve")
            .arg("--state")
            .arg(folder.path().join("state"))
            .arg("--socket")
            .arg(folder.path().join("host.sock"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the host starts");
        let mut host = Self { program: program.to_owned(), folder, child };
        until("the host answers", || {
            let ended = host.child.try_wait().expect("it is ours");
            assert_eq!(ended, None, "the host ended: {}", host.log());
            host.command("status").stdin(Stdio::null()).output().is_ok_and(|output| output.status.success())
        });
        let file = host.folder.path().join("bench.toml");
        fs::write(&file, config(plugin, scene, networks)).expect("a file");
        run(host.command("apply").arg(file));
        host
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(name).arg("--socket").arg(self.folder.path().join("host.sock"));
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It has ended already, or ends now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(plugin: &Path, scene: &Scene<'_>, networks: &[&str]) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let (plugin, engine) = (quoted(&plugin.display().to_string()), quoted(scene.docker.url()));
    let (image, [command, argument]) = (quoted(&scene.image), PROGRAM.map(quoted));
    let one = |network: &&str| {
        let label = quoted(&format!("longshore-{network}"));
        let network = quoted(network);
        format!(
            "[[provider]]\nname = {network}\nplugin = {plugin}\n\
             [provider.config]\nhost = {engine}\nnamespace = {label}\nnetwork = {network}\npull = \"never\"\ninit = true\n\
             stop_grace = \"{GRACE_SECONDS}s\"\nlabels = {{ \"{LABEL}\" = {label} }}\n\
             [[cluster]]\nname = {network}\nprovider = {network}\nworkers = 0\n\
             [cluster.container]\nimage = {image}\ncommand = {command}\nargs = [{argument}]\n"
        )
    };
    networks.iter().map(one).collect()
}

/// A cluster of the host.
pub(crate) struct Longshore<'a> {
    host: &'a Host,
    network: &'static str,
}

impl<'a> Longshore<'a> {
    pub(crate) fn new(host: &'a Host, network: &'static str) -> Self {
        Self { host, network }
    }

    fn scale(&self, workers: usize) {
        run(self.host.command("scale").arg(self.network).arg(workers.to_string()));
    }
}

impl Contender for Longshore<'_> {
    fn name(&self) -> &'static str {
        "Longshore, longshore scale"
    }

    fn label(&self) -> String {
        format!("{LABEL}=longshore-{}", self.network)
    }

    fn waits(&self) -> bool {
        true
    }

    fn up(&mut self, containers: usize) {
        self.scale(containers);
    }

    fn down(&mut self) {
        self.scale(0);
    }
}
