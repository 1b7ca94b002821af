//! Keeps a provider's runner there: starts it, sees to its calls, ends it where it hangs or makes no sense, starts it again,
//! and gives it up when it dies again and again.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::watch,
    time::{interval, sleep_until},
};

use super::{
    desk::{Desk, RunnerLoad},
    patience::{DEATHS_LIMIT, DEATHS_WINDOW, Patience, Verdict},
    process::Handle,
    resources::Resources,
    spell::{Recipe, Spell, Step},
};
use crate::{
    error::{CreateError, NotSent, seconds},
    pool::ProviderLoad,
    seat::Errand,
};

/// How long a runner may take to let its instance end, before it is ended.
pub const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

/// How often it is looked whether a call hangs, at least and at most; in between it is a part of what a call is granted.
const HANG_LOOKS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How the runner of a provider is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunnerState {
    /// It is being started, and makes the instance.
    Starting,
    /// It is there.
    Running {
        /// Since when.
        since: Instant,
        /// The number of its process.
        pid: u32,
        /// What is lacking of its confinement, for a person.
        lacking: Arc<[String]>,
    },
    /// It is gone, and is started again.
    Waiting {
        /// When.
        until: Instant,
        /// What became of the last one.
        why: Arc<str>,
    },
    /// It is not started again: who wants the provider back makes another one.
    Quarantined {
        /// Why.
        why: Arc<str>,
    },
    /// The provider is shut down.
    ShutDown,
}

/// What the provider wants of its runner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wishes {
    shut_down: bool,
    end: bool,
}

/// The process that was there last, if there was any.
type Present = Arc<Mutex<Option<Arc<Handle>>>>;

/// An instance in a runner, and the task that looks after that.
pub(crate) struct Runner {
    desk: Arc<Desk>,
    state: watch::Receiver<RunnerState>,
    wishes: watch::Sender<Wishes>,
    restarts: Arc<AtomicU64>,
    deaths: Arc<AtomicU64>,
    process: Present,
    /// Its sender never sends: its end is the news that no runner is there any more.
    gone: watch::Receiver<()>,
}

impl Runner {
    /// Starts a runner and has it make the instance.
    ///
    /// Needs a tokio runtime with its timer and its network.
    pub(super) async fn create(recipe: Recipe) -> Result<Self, CreateError> {
        let desk = Arc::new(Desk::new(recipe.limits, starting()));
        let first = recipe.begin(&desk).await?;
        let state = watch::Sender::new(RunnerState::Starting);
        let wishes = watch::Sender::new(Wishes::default());
        let (alive, gone) = watch::channel(());
        let (restarts, deaths) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let process = Present::default();
        let runner = Self {
            desk: Arc::clone(&desk),
            state: state.subscribe(),
            wishes: wishes.clone(),
            restarts: Arc::clone(&restarts),
            deaths: Arc::clone(&deaths),
            process: Arc::clone(&process),
            gone,
        };
        let supervisor = Supervisor {
            recipe,
            desk,
            state,
            asked: wishes.subscribe(),
            restarts,
            deaths,
            process,
            patience: Patience::default(),
        };
        supervisor.is_there(&first);
        tokio::spawn(async move {
            supervisor.run(first).await;
            drop(alive);
        });
        Ok(runner)
    }

    /// Takes a call.
    pub(crate) fn submit(&self, errand: Errand) {
        self.desk.submit(errand);
    }

    pub(crate) fn load(&self) -> ProviderLoad {
        self.desk.load()
    }

    /// Turns down what waits and what comes from now on, and lets the runner end; for at most [`SHUTDOWN_LIMIT`].
    pub(crate) fn close(&self) {
        self.desk.shut(&NotSent::ShutDown);
        self.wishes.send_modify(|wishes| wishes.shut_down = true);
    }

    /// Ends the runner at once, where it has been told to shut down.
    pub(crate) fn end(&self) {
        self.wishes.send_modify(|wishes| wishes.end = true);
    }

    pub(crate) fn shut(&self) -> Option<NotSent> {
        self.desk.why_shut()
    }

    /// Waits until no runner is there any more.
    pub(crate) async fn gone(&self) {
        // The sender never sends: `changed` ends when it is dropped.
        let _ = self.gone.clone().changed().await;
    }

    pub(crate) fn state(&self) -> watch::Receiver<RunnerState> {
        self.state.clone()
    }

    /// How often it was started again.
    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// How often it ended though nobody had asked for it.
    pub(crate) fn deaths(&self) -> u64 {
        self.deaths.load(Ordering::Relaxed)
    }

    /// Asks the runner where its calls are.
    pub(crate) async fn count(&self) -> Option<RunnerLoad> {
        self.desk.count().await
    }

    /// What its process takes of this machine, where it is there. Blocks for as long as the system takes to say so.
    pub(crate) fn resources(&self) -> Option<Resources> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Resources::of(&*process?)
    }
}

fn starting() -> NotSent {
    NotSent::RunnerDown { why: "it is being started".to_owned() }
}

struct Supervisor {
    recipe: Recipe,
    desk: Arc<Desk>,
    state: watch::Sender<RunnerState>,
    asked: watch::Receiver<Wishes>,
    restarts: Arc<AtomicU64>,
    deaths: Arc<AtomicU64>,
    process: Present,
    patience: Patience,
}

/// What a wait has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    /// It is time.
    Enough,
    /// The provider is shut down.
    ShutDown,
}

impl Supervisor {
    async fn run(mut self, first: Spell) {
        let mut spell = Some(first);
        loop {
            if let Some(present) = spell.take() {
                let age = present.age();
                let how = self.serve(present).await;
                if self.is_shut_down() {
                    break;
                }
                self.died(&how, age);
            }
            if self.wait().await == Waited::ShutDown {
                break;
            }
            self.desk.shut(&starting());
            self.state.send_replace(RunnerState::Starting);
            self.restarts.fetch_add(1, Ordering::Relaxed);
            let begun = tokio::select! {
                begun = self.recipe.begin(&self.desk) => begun,
                () = told_to_shut_down(&mut self.asked) => break,
            };
            match begun {
                Ok(next) => {
                    self.is_there(&next);
                    spell = Some(next);
                }
                Err(error) => self.not_begun(&error),
            }
        }
        self.desk.shut(&NotSent::ShutDown);
        self.state.send_replace(RunnerState::ShutDown);
    }

    /// Sees to the calls of a runner until it is gone, and tells how it went.
    async fn serve(&mut self, mut spell: Spell) -> String {
        let grace = self.recipe.limits.hang_grace;
        let mut looks = interval((grace / 4).clamp(HANG_LOOKS.0, HANG_LOOKS.1));
        let mut shut_down_by: Option<Instant> = None;
        let how = loop {
            let wishes = *self.asked.borrow_and_update();
            if wishes.shut_down && shut_down_by.is_none() {
                spell.ask_to_shut_down();
                shut_down_by = Some(Instant::now() + SHUTDOWN_LIMIT);
            }
            if wishes.shut_down && wishes.end {
                spell.end_for("it was not to be waited for any longer");
            }
            tokio::select! {
                step = spell.next(&self.desk) => match step {
                    Step::Over(how) => break how,
                    // It has said so before.
                    Step::Created | Step::NotCreated(_) => spell.end_for("it makes its instance twice"),
                },
                () = news(&mut self.asked) => {}
                _ = looks.tick() => {
                    if let Some(function) = self.desk.hangs(grace, Instant::now(), spell.unheard_until()) {
                        let grace = seconds(grace);
                        spell.end_for(&format!("{function} had not come back {grace} after its deadline"));
                    }
                    if shut_down_by.is_some_and(|by| by < Instant::now()) {
                        let limit = seconds(SHUTDOWN_LIMIT);
                        spell.end_for(&format!("its instance had not ended {limit} after it was told to"));
                    }
                }
            }
        };
        let why = NotSent::RunnerDown { why: format!("the last one {how}") };
        self.desk.lose(&how, &why);
        how
    }

    fn is_there(&self, spell: &Spell) {
        self.desk.open(Arc::clone(spell.line()));
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(spell.process()));
        let (pid, lacking) = (spell.process().pid(), Arc::clone(spell.lacking()));
        self.state.send_replace(RunnerState::Running { since: Instant::now(), pid, lacking });
    }

    /// A runner that had been there for so long is gone.
    fn died(&mut self, how: &str, age: Duration) {
        let provider = self.recipe.log.provider();
        self.deaths.fetch_add(1, Ordering::Relaxed);
        match self.patience.died(Instant::now(), age) {
            Verdict::Wait(wait) => {
                tracing::error!(
                    provider,
                    "the provider's process {how}; it is started again in {}",
                    seconds(wait)
                );
                self.start_again_in(wait, &format!("the last one {how}"));
            }
            Verdict::Quarantine => {
                let why = format!(
                    "{DEATHS_LIMIT} of its processes died within {}; the last one {how}",
                    seconds(DEATHS_WINDOW)
                );
                tracing::error!(provider, "the provider is quarantined: {why}");
                self.quarantine(why.into());
            }
        }
    }

    fn not_begun(&mut self, error: &CreateError) {
        let provider = self.recipe.log.provider();
        match error {
            CreateError::Died { how } => {
                self.died(&format!("{how} while it made the instance"), Duration::ZERO);
            }
            CreateError::Deadline { after } => {
                let after = seconds(*after);
                self.died(&format!("had not made the instance within {after}"), Duration::ZERO);
            }
            other => {
                let wait = self.patience.next_wait();
                tracing::error!(provider, "{other}; it is tried again in {}", seconds(wait));
                self.start_again_in(wait, &other.to_string());
            }
        }
    }

    fn start_again_in(&self, wait: Duration, why: &str) {
        self.desk.shut(&NotSent::RunnerDown { why: why.to_owned() });
        self.state.send_replace(RunnerState::Waiting { until: Instant::now() + wait, why: why.into() });
    }

    fn quarantine(&self, why: Arc<str>) {
        self.desk.shut(&NotSent::Quarantined { why: why.to_string() });
        self.state.send_replace(RunnerState::Quarantined { why });
    }

    /// Waits until it is time to start a runner, as its state says; of one that is quarantined that never comes.
    async fn wait(&mut self) -> Waited {
        let until = match &*self.state.borrow() {
            RunnerState::Waiting { until, .. } => Some(*until),
            _ => None,
        };
        let enough = async {
            match until {
                Some(until) => sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(enough);
        loop {
            let wishes = *self.asked.borrow_and_update();
            if wishes.shut_down {
                return Waited::ShutDown;
            }
            tokio::select! {
                () = &mut enough => return Waited::Enough,
                () = news(&mut self.asked) => {}
            }
        }
    }

    fn is_shut_down(&self) -> bool {
        self.asked.borrow().shut_down
    }
}

/// Waits until something else is wished for. Where nobody is there to wish, that is the end of it: it waits for ever.
async fn news(asked: &mut watch::Receiver<Wishes>) {
    if asked.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn told_to_shut_down(asked: &mut watch::Receiver<Wishes>) {
    if asked.wait_for(|wishes| wishes.shut_down).await.is_err() {
        std::future::pending::<()>().await;
    }
}
