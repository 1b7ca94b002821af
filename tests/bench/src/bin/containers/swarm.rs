//! Docker Swarm: the engine is a swarm of one node, and a service has as many replicas as there shall be containers.

use std::net::{Ipv4Addr, TcpListener};

use crate::contender::{Contender, Docker, GRACE_SECONDS, LABEL, PROGRAM, Scene};

/// Has the engine begin a swarm, of which nobody else hears.
pub(crate) fn begin(docker: &Docker) {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let address = free.expect("there is a free port").to_string();
    docker.run(["swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", &address]);
}

/// A service.
pub(crate) struct Swarm<'a> {
    docker: &'a Docker,
    name: String,
}

impl<'a> Swarm<'a> {
    /// One that has no containers yet.
    pub(crate) fn new(scene: &'a Scene<'a>, network: &'static str, containers: usize) -> Self {
        let service = Self { docker: scene.docker, name: format!("swarm-{network}-{containers}") };
        let (label, grace) = (service.label(), format!("{GRACE_SECONDS}s"));
        let kind = ["service", "create", "--detach", "--replicas", "0", "--init", "--no-resolve-image"];
        let more = ["--name", &service.name, "--network", network, "--container-label", &label];
        let rest = ["--stop-grace-period", &grace, &scene.image];
        scene.docker.run(kind.into_iter().chain(more).chain(rest).chain(PROGRAM));
        service
    }

    /// Asks for so many replicas, and waits for none: waiting, the command would watch them for five seconds more.
    fn scale(&self, replicas: usize) {
        self.docker.run(["service", "scale", "--detach", &format!("{}={replicas}", self.name)]);
    }
}

impl Contender for Swarm<'_> {
    fn name(&self) -> &'static str {
        "Docker Swarm, docker service scale"
    }

    fn label(&self) -> String {
        format!("{LABEL}={}", self.name)
    }

    fn waits(&self) -> bool {
        false
    }

    fn up(&mut self, containers: usize) {
        self.scale(containers);
    }

    fn down(&mut self) {
        self.scale(0);
    }
}
