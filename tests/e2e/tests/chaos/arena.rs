//! Where the chaos takes place: a house with its clusters, what they were asked to be, and the eyes that watch.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use longshore_e2e::{House, Said};
use longshore_support::{PATIENCE, until};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    census::Census,
    compare::{self, differences},
    driver::{Act, Ask, Death, Round, SUBJECTS, Since, Subject, Toll},
    history::CutOff,
    model::{Answer, Model, Request, Wanted},
    watch::{Life, Watch},
};

/// Between two looks at whether all is at rest.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// So many lines are remembered of what was done.
const REMEMBERED: usize = 40;
/// So many lines of the host's log and of a history are shown.
const SHOWN: usize = 60;
/// More entries than a cluster's history grows by in one round.
const HISTORY: &str = "1000";

/// A house in which chaos reigns.
pub(crate) struct Arena {
    pub(crate) house: House,
    watch: Watch,
    models: Vec<Model>,
    cut_off: Vec<CutOff>,
    deaths: u64,
    /// What was done, latest last.
    done: VecDeque<String>,
    began: Instant,
    /// The longest time until all was at rest.
    longest: Duration,
}

impl Arena {
    /// Starts a host with the clusters.
    pub(crate) fn open() -> Self {
        let mut house = House::with(&["longshore-process"]);
        house.serve();
        let watch = Watch::start(house.mark());
        let arena = Self {
            house,
            watch,
            models: SUBJECTS.map(|subject| Model::new(subject.beginning())).to_vec(),
            cut_off: vec![CutOff::default(); SUBJECTS.len()],
            deaths: 0,
            done: VecDeque::new(),
            began: Instant::now(),
            longest: Duration::ZERO,
        };
        for subject in SUBJECTS {
            let Wanted { expected, max, .. } = subject.beginning();
            arena.watch.allow(subject.name, max);
            let file = arena.config(subject, expected, max, 100);
            let _ = arena.house.run(&["apply", &file]).ok();
        }
        arena
    }

    fn config(&self, subject: Subject, workers: u32, max: u32, batch: u32) -> String {
        let root = self.house.path("state");
        let provider = format!(
            "[[provider]]\nname = \"local\"\nplugin = \"process\"\n[provider.config]\nroot = \"{}\"\ngrace = \"1s\"\n",
            root.display()
        );
        let text = provider + &subject.config(workers, max, batch);
        self.house.write(&format!("{}.toml", subject.name), &text).display().to_string()
    }

    fn note(&mut self, what: &str) {
        if self.done.len() == REMEMBERED {
            self.done.pop_front();
        }
        self.done.push_back(format!("{:8.3} s  {what}", self.began.elapsed().as_secs_f64()));
    }

    pub(crate) fn census(&self) -> Census {
        Census::take(&self.house.mark())
    }

    /// Plays one round to its end, and looks at what came of it.
    pub(crate) fn play(&mut self, number: u64, round: &Round) -> Result<(), String> {
        self.note(&format!("round {number}"));
        for act in &round.acts {
            match act {
                Act::Ask(ask) => self.ask(*ask)?,
                Act::Kill(cluster, toll) => self.kill(*cluster, toll),
            }
        }
        if let Some(death) = &round.death {
            self.die(death)?;
        }
        self.settle()?;
        self.learn()?;
        let breaches = self.watch.breaches();
        if breaches.is_empty() { Ok(()) } else { Err(breaches.join("\n")) }
    }

    /// The arguments of a request.
    fn arguments(&self, (cluster, request): Ask) -> Vec<String> {
        let subject = SUBJECTS[cluster];
        let name = subject.name.to_owned();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        match request {
            Request::Scale(workers) => words(&["scale", &name, &workers.to_string(), "--no-wait"]),
            Request::Start => words(&["start", &name, "--no-wait"]),
            Request::Stop => words(&["stop", &name, "--no-wait"]),
            Request::Update => words(&["update", &name]),
            Request::Apply { workers, max, batch } => {
                // What is allowed grows before it is asked for, and shrinks when all is at rest.
                self.watch.also_allow(&name, max);
                words(&["apply", &self.config(subject, workers, max, batch), "--no-wait"])
            }
        }
    }

    /// Asks a host that lives.
    pub(crate) fn ask(&mut self, ask: Ask) -> Result<(), String> {
        let arguments = self.arguments(ask);
        let said = self.house.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let answer = match said.code {
            Some(0) => Answer::Admitted,
            Some(6) => Answer::Denied,
            _ => return Err(format!("a host that lives answered {arguments:?} with {said:?}")),
        };
        self.note(&format!("{}: {:?} was {answer:?}", SUBJECTS[ask.0].name, ask.1));
        self.answered(ask, answer)
    }

    fn answered(&mut self, (cluster, request): Ask, answer: Answer) -> Result<(), String> {
        let done = self.models[cluster].answered(request, answer);
        done.map_err(|what| format!("{}: {what}", SUBJECTS[cluster].name))
    }

    /// Kills workers as the system would.
    fn kill(&mut self, cluster: usize, toll: &Toll) {
        let census = self.census();
        let live: Vec<_> = census.of(SUBJECTS[cluster].name).collect();
        let chosen: Vec<_> = match toll {
            Toll::All => live,
            Toll::Some(places) => {
                let at = |place: &f64| live.get((place * live.len() as f64) as usize).copied();
                places.iter().filter_map(at).collect()
            }
        };
        for worker in &chosen {
            worker.kill();
        }
        let pids: Vec<_> = chosen.iter().map(|worker| worker.identity.pid).collect();
        self.note(&format!("{}: killed {pids:?}", SUBJECTS[cluster].name));
    }

    /// Sends a request without waiting for its answer.
    pub(crate) fn send(&mut self, ask: Ask) -> Child {
        let arguments = self.arguments(ask);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let mut command = self.house.command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts")
    }

    /// Takes in the answer of a request that the host's end may have cut off.
    pub(crate) fn receive(&mut self, ask: Ask, child: Child) -> Result<(), String> {
        let said: Said = child.wait_with_output().expect("its output can be read").into();
        let answer = match said.code {
            Some(0) => Answer::Admitted,
            Some(6) => Answer::Denied,
            // The host had ended, ended meanwhile, or had just left its socket behind.
            Some(4 | 9) => Answer::Lost,
            _ => return Err(format!("{ask:?}, as the host died, was answered with {said:?}")),
        };
        self.note(&format!("{}: {:?} was {answer:?}", SUBJECTS[ask.0].name, ask.1));
        self.answered(ask, answer)
    }

    /// Kills the host at the moment that was chosen, and starts the next.
    fn die(&mut self, death: &Death) -> Result<(), String> {
        let mut child = self.send(death.last);
        if death.since == Since::Answered {
            until("the command ends", || child.try_wait().expect("it is our child").is_some());
        }
        // The moment is what was chosen; nothing is waited for.
        sleep(death.after);
        let killed = self.kill_host();
        self.receive(death.last, child)?;
        killed?;
        if let Some((cluster, toll)) = &death.meanwhile {
            self.kill(*cluster, toll);
        }
        for after in &death.again {
            self.house.start(&["serve"]);
            sleep(*after);
            self.kill_host()?;
        }
        self.begin()
    }

    fn kill_host(&mut self) -> Result<(), String> {
        self.note(&format!("the host is killed, process {}", self.house.host()));
        self.house.signal_host(Signal::SIGKILL);
        self.deaths += 1;
        match self.house.host_ends() {
            None => Ok(()),
            Some(code) => Err(format!("the host had ended by itself, with {code}")),
        }
    }

    /// Starts a host on what the one before left.
    pub(crate) fn begin(&mut self) -> Result<(), String> {
        self.house.start(&["serve"]);
        self.house.begins().map_err(|code| format!("the host ended with {code:?} as it began"))?;
        self.note(&format!("the host listens, process {}", self.house.host()));
        Ok(())
    }

    fn json(&self, arguments: &[&str]) -> Result<Value, String> {
        let said = self.house.run(arguments);
        match said.code {
            Some(0) => Ok(said.json()),
            _ => Err(format!("a host that lives answered {arguments:?} with {said:?}")),
        }
    }

    /// Waits until all is as it was asked to be, by the host's words and by the processes.
    pub(crate) fn settle(&mut self) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let trouble = self.look()?;
            if trouble.is_empty() {
                break;
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("not within {} s:\n{}", PATIENCE.as_secs(), trouble.join("\n")));
            }
            sleep(LOOK_PAUSE);
        }
        self.longest = self.longest.max(began.elapsed());
        let census = self.census();
        for (subject, model) in SUBJECTS.iter().zip(&self.models) {
            // A surplus that cannot be killed may be above a new maximum; it never grows.
            let ceiling = model.known().max.max(census.live(subject.name));
            self.watch.allow(subject.name, ceiling);
        }
        Ok(())
    }

    /// What is not at rest, or differs. What was lost is an error at once.
    fn look(&mut self) -> Result<Vec<String>, String> {
        let mut said = Vec::new();
        let mut unrest = Vec::new();
        for (place, subject) in SUBJECTS.iter().enumerate() {
            // The cluster itself is asked: what it answers is never older than what it was told.
            let status = self.json(&["status", subject.name, "--json"])?;
            let wanted = self.models[place].told(&status);
            let wanted = wanted.map_err(|what| format!("{}: {what}", subject.name))?;
            unrest.extend(compare::unrest(&status, wanted));
            said.push(compare::Said { name: subject.name.to_owned(), wanted, status, workers: Vec::new() });
        }
        if !unrest.is_empty() {
            return Ok(unrest);
        }
        for said in &mut said {
            let page = self.json(&["workers", &said.name, "--json"])?;
            said.workers = page["workers"].as_array().cloned().unwrap_or_default();
        }
        Ok(differences(&self.census(), &said, self.house.host().as_raw()))
    }

    /// Learns from the histories what the deaths cut off, and holds all that ever lived against them: nothing is launched that
    /// was not written down before.
    fn learn(&mut self) -> Result<(), String> {
        for (place, subject) in SUBJECTS.iter().enumerate() {
            let page = self.json(&["history", subject.name, "--limit", HISTORY, "--json"])?;
            self.cut_off[place].learn(page["entries"].as_array().map(Vec::as_slice).unwrap_or_default());
            let missed = self.cut_off[place].missed;
            if missed > 0 {
                return Err(format!("{missed} entries of {}'s history were never seen", subject.name));
            }
        }
        let place = |name: &str| SUBJECTS.iter().position(|subject| subject.name == name);
        let is_known =
            |life: &Life| place(&life.cluster).is_some_and(|place| self.cut_off[place].has(&life.token));
        match self.watch.lives().into_iter().find(|life| !is_known(life)) {
            Some(life) => {
                Err(format!("{} was launched, and its history does not have that: {life:?}", life.cluster))
            }
            None => Ok(()),
        }
    }

    /// How many launches the hosts' deaths have cut off.
    pub(crate) fn launches_cut_off(&self) -> usize {
        self.cut_off.iter().map(|cut_off| cut_off.launches).sum()
    }

    /// What happened, in one line.
    pub(crate) fn told(&self) -> String {
        let sum = |of: fn(&CutOff) -> usize| self.cut_off.iter().map(of).sum::<usize>();
        let sighted = self.watch.sighted();
        format!(
            "{} hosts killed, which cut off {} launches and the killing of {} containers; {} times a cluster was taken up, {} \
             times a launch was asked for again; {} containers lived, {} looks at the processes, most live workers at once: \
             {:?}; {:.0} s in all, at rest after {:.1} s at the latest",
            self.deaths,
            sum(|it| it.launches),
            sum(|it| it.kills),
            sum(|it| it.recoveries),
            sum(|it| it.repeated),
            sighted.lives,
            sighted.looks,
            sighted.peaks,
            self.began.elapsed().as_secs_f64(),
            self.longest.as_secs_f64(),
        )
    }

    /// Deletes the clusters and ends the host: nothing is left, and what was kept is sound.
    pub(crate) fn close(mut self) -> Result<(), String> {
        let check = |house: &House| {
            let said = house.run(&["state", "check", "--json"]);
            let is_sound = said.code == Some(0) && said.json()["sound"] == true;
            if is_sound { Ok(()) } else { Err(format!("the state is not sound: {said:?}")) }
        };
        check(&self.house)?;
        for subject in SUBJECTS {
            let said = self.house.run(&["delete", subject.name]);
            if said.code != Some(0) {
                return Err(format!("{} is not deleted: {said:?}", subject.name));
            }
        }
        let clusters = self.json(&["status", "--json"])?;
        if clusters["clusters"] != serde_json::json!([]) {
            return Err(format!("clusters are left: {clusters}"));
        }
        self.house.signal_host(Signal::SIGTERM);
        let code = self.house.host_ends();
        if code != Some(0) {
            return Err(format!("the host ended with {code:?}"));
        }
        let left = self.census();
        if left != Census::default() {
            return Err(format!("processes are left: {left:?}"));
        }
        check(&self.house)
    }

    /// All that is known of a round that went wrong. The house's folder stays.
    pub(crate) fn report(&mut self, seed: u64, number: u64, round: &Round, what: &str) -> String {
        let mut text = format!(
            "\n{what}\n\nLONGSHORE_CHAOS_SEED={seed}, round {number}: {round:?}\n{}\n\nwhat was done:\n",
            self.told()
        );
        for line in &self.done {
            let _ = writeln!(text, "{line}");
        }
        let _ = writeln!(text, "\nthe processes: {:#?}", self.census());
        for subject in SUBJECTS {
            let name = subject.name;
            let _ = writeln!(text, "\nexplain {name}:\n{}", self.shown(&["explain", name]));
            let _ = writeln!(text, "history {name}:\n{}", self.shown(&["history", name, "--limit", "60"]));
        }
        let log = self.house.log();
        let lines: Vec<_> = log.lines().collect();
        let latest = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
        let _ = writeln!(text, "the host's log, its end:\n{latest}\n");
        let _ = writeln!(text, "all of it is kept in {}", self.house.keep().display());
        text
    }

    fn shown(&self, arguments: &[&str]) -> String {
        let said = self.house.run(arguments);
        if said.code == Some(0) { said.out } else { format!("{said:?}") }
    }
}
