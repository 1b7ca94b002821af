//! Containers by hand: `docker`, called for one container at a time, eight at once.

use std::{
    sync::{Mutex, PoisonError},
    thread,
};

use crate::contender::{Contender, GRACE_SECONDS, LABEL, PROGRAM, Scene};

/// How many commands are under way at once.
const AT_ONCE: usize = 8;

/// How the containers are ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// Each is asked to end, waited for, and removed.
    Asked,
    /// All are killed and removed with one command.
    Forced,
}

/// Somebody with a shell.
pub(crate) struct Hand<'a> {
    scene: &'a Scene<'a>,
    network: &'static str,
    end: End,
    containers: Vec<String>,
}

impl<'a> Hand<'a> {
    pub(crate) fn new(scene: &'a Scene<'a>, network: &'static str, end: End) -> Self {
        Self { scene, network, end, containers: Vec::new() }
    }

    fn value(&self) -> &'static str {
        match self.end {
            End::Asked => "hand-asked",
            End::Forced => "hand-forced",
        }
    }
}

impl Contender for Hand<'_> {
    fn name(&self) -> &'static str {
        match self.end {
            End::Asked => "docker run, stop and rm, eight at once",
            End::Forced => "docker run, eight at once; one rm --force",
        }
    }

    fn label(&self) -> String {
        format!("{LABEL}={}", self.value())
    }

    fn waits(&self) -> bool {
        true
    }

    fn up(&mut self, containers: usize) {
        let (label, grace) = (self.label(), GRACE_SECONDS.to_string());
        let scene = self.scene;
        let options = ["run", "--detach", "--init", "--pull", "never", "--network", self.network];
        let more = ["--label", &label, "--stop-timeout", &grace, &scene.image];
        let command: Vec<&str> = options.into_iter().chain(more).chain(PROGRAM).collect();
        self.containers = at_once(vec![(); containers], |()| scene.docker.run(command.iter().copied()));
    }

    fn down(&mut self) {
        let (docker, containers) = (self.scene.docker, std::mem::take(&mut self.containers));
        match self.end {
            End::Asked => drop(at_once(containers, |id| {
                docker.run(["stop", &id]);
                docker.run(["rm", &id])
            })),
            End::Forced => {
                drop(docker.run(["rm", "--force"].into_iter().chain(containers.iter().map(String::as_str))));
            }
        }
    }
}

/// Does something with each, [`AT_ONCE`] at once.
fn at_once<T: Send, R: Send>(all: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let next = Mutex::new(all.into_iter());
    let take = || next.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut done = Vec::new();
        while let Some(one) = take() {
            done.push(work(one));
        }
        done
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("the command succeeds")).collect()
    })
}
