//! Carries out a launch: several containers at once, within the limit of the configuration, and then the answer, so that the
//! same token asked for again gets the same answer and never a second container.

use std::{
    collections::HashMap,
    iter::repeat_n,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use longshore_plugin_api::{Context, Error, ErrorKind, Launch, RunRequest};
use tokio::{
    sync::OwnedMutexGuard,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    image::Image,
    labels::{self, Place, Role},
    maker::{self, Order, Outcome},
    network, pull,
    receipt::{self, Receipt},
    request::{self, Wish},
    shared::{Shared, over, unless_over},
    state::{Found, Phase},
};

/// The most containers of one launch.
const CONTAINERS_LIMIT: usize = 100_000;
/// How long before the end of a call nothing more is begun, so that its answer comes in time: this, or as long as the slowest
/// container took and half as long again. Calls that have less than a few times this are not worth it.
const RESERVE: Duration = Duration::from_secs(2);
/// How long a call that is over waits for what is under way; what takes longer goes on, and the answer is "unknown".
const SETTLE: Duration = Duration::from_millis(800);

/// Launches what is asked for, or answers again what the token was answered before.
pub(crate) fn run(shared: &Arc<Shared>, ctx: &Context<'_>, request: &RunRequest) -> Result<Launch, Error> {
    if let Some(why) = labels::fault(ctx.cluster(), Some(request.token.as_str())) {
        return Err(Error::permanent(why));
    }
    let containers: Vec<u32> = request.containers().take(CONTAINERS_LIMIT + 1).collect();
    if containers.len() > CONTAINERS_LIMIT {
        return Err(Error::permanent(format_args!(
            "{} workers take more than the {CONTAINERS_LIMIT} containers that one launch may have; launch fewer at once, or \
             raise container.max_workers",
            request.workers
        )));
    }
    if containers.is_empty() {
        return Ok(Launch::complete(Vec::new()));
    }
    let image = request::check(&request.container, &request.hardware)?;
    ctx.check()?;
    let place = shared.place(ctx.cluster());
    let work = Work { place, request: request.clone(), containers, image, stop: AtomicBool::new(false) };
    shared.block_on(Arc::new(work).carry_out(shared, ctx))
}

/// A launch with what is needed to carry it out.
struct Work {
    place: Place,
    request: RunRequest,
    /// The workers of each container.
    containers: Vec<u32>,
    image: Image,
    /// Nothing more is to be begun.
    stop: AtomicBool,
}

/// What has come of a launch so far.
#[derive(Default)]
struct Tally {
    made: Vec<u32>,
    /// Why the first one is not there, or may not be.
    absent: Option<Error>,
    doubtful: Option<Error>,
}

impl Tally {
    fn count(&mut self, index: u32, outcome: Outcome) {
        match outcome {
            Outcome::Made => self.made.push(index),
            Outcome::Absent(error) => drop(self.absent.get_or_insert(error)),
            Outcome::Doubtful(error) => drop(self.doubtful.get_or_insert(error)),
        }
    }

    /// Whether to go on.
    fn is_fine(&self) -> bool {
        self.absent.is_none() && self.doubtful.is_none()
    }
}

impl Work {
    async fn carry_out(self: Arc<Self>, shared: &Arc<Shared>, ctx: &Context<'_>) -> Result<Launch, Error> {
        let token = self.request.token.as_str();
        let turn = shared.turn(ctx, format!("{}/{token}", self.place.cluster)).await.map_err(|error| {
            // Somebody else launches under this token.
            Error::unknown(format_args!("the launch {token} is under way: {}", error.message()))
        })?;
        let found = match unless_over(ctx, self.earlier(shared)).await? {
            Earlier::Answered(receipt) => return Ok(self.answer(receipt)),
            Earlier::Begun(found) => found,
        };
        let mut tally = Tally::default();
        let mut waiting = Vec::new();
        let mut begun = HashMap::new();
        for container in found {
            if let Some(index) = container.index() {
                begun.insert(index, container);
            }
        }
        for index in 0..self.containers.len() as u32 {
            match begun.remove(&index) {
                Some(container) if container.phase() != Phase::Made => tally.made.push(index),
                container => waiting.push((index, container)),
            }
        }
        if !waiting.is_empty() {
            match self.prepare(shared, ctx).await {
                Ok(()) => self.make_all(shared, ctx, (turn, waiting), &mut tally).await,
                Err(error) => tally.absent = Some(error),
            }
        }
        self.conclude(shared, ctx, tally).await
    }

    /// What is there of this token.
    async fn earlier(&self, shared: &Shared) -> Result<Earlier, Error> {
        if let Some(receipt) = Receipt::find(shared, &self.place, &self.request).await? {
            return Ok(Earlier::Answered(receipt));
        }
        let token = &self.request.token;
        let mut filter = self.place.filter(Some(Role::Worker));
        filter.push(format!("{}={token}", labels::TOKEN));
        let found = shared.engine.containers_labelled(filter).await;
        let found =
            found.map_err(|fault| fault.during(format_args!("look for containers of the launch {token}")))?;
        for container in &found {
            receipt::same_size(&self.request, container.label(labels::LAUNCH))?;
        }
        Ok(Earlier::Begun(found))
    }

    /// Sees to what the containers need.
    async fn prepare(&self, shared: &Arc<Shared>, ctx: &Context<'_>) -> Result<(), Error> {
        pull::ready(shared, ctx, &self.image).await?;
        unless_over(ctx, network::ready(shared, &self.place)).await
    }

    /// Makes the containers that wait, until one cannot be made or the call is over.
    async fn make_all(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        ctx: &Context<'_>,
        (turn, waiting): (OwnedMutexGuard<()>, Vec<(u32, Option<Found>)>),
        tally: &mut Tally,
    ) {
        let turn = Arc::new(turn);
        let is_long = ctx.remaining() >= RESERVE * 4;
        let mut reserve = if is_long { RESERVE } else { Duration::ZERO };
        let mut waiting = waiting.into_iter();
        let mut tasks = JoinSet::new();
        // Until when to wait for what is under way, once the call is over.
        let mut end: Option<Instant> = None;
        loop {
            while tally.is_fine() && tasks.len() < shared.settings.parallel {
                let Some((index, begun)) = waiting.next() else { break };
                let (work, shared, turn) = (Arc::clone(self), Arc::clone(shared), Arc::clone(&turn));
                tasks.spawn(async move {
                    let began = Instant::now();
                    let outcome = work.make(&shared, index, begun).await;
                    drop(turn);
                    (index, outcome, began.elapsed())
                });
            }
            let last = Instant::from_std(ctx.deadline()).checked_sub(reserve).unwrap_or_else(Instant::now);
            tokio::select! {
                done = tasks.join_next() => match done {
                    None => return,
                    Some(Ok((index, outcome, took))) => {
                        reserve = if is_long { reserve.max(took * 3 / 2) } else { reserve };
                        tally.count(index, outcome);
                    }
                    Some(Err(error)) => drop(tally.doubtful.get_or_insert(Error::unknown(error))),
                },
                () = sleep_until(last), if tally.is_fine() => {
                    self.stop.store(true, Ordering::Relaxed);
                    tally.absent = Some(Error::cancelled("the call has no time for more"));
                }
                error = over(ctx), if end.is_none() => {
                    self.stop.store(true, Ordering::Relaxed);
                    tally.absent.get_or_insert(error);
                    end = Some(Instant::now() + SETTLE);
                }
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => {
                    let text = format!("{} containers were being made when the call was over, which goes on", tasks.len());
                    tally.doubtful.get_or_insert(Error::unknown(text));
                    tasks.detach_all();
                    return;
                }
            }
        }
    }

    async fn make(&self, shared: &Shared, index: u32, begun: Option<Found>) -> Outcome {
        let name = self.place.handle(self.request.token.as_str(), index);
        if let Some(found) = begun {
            return maker::go_on(shared, &name, &found).await;
        }
        let order = Order { body: request::body(&shared.settings, self.wish(index, &name)), name };
        maker::make(shared, order, &self.stop).await
    }

    fn wish(&self, index: u32, handle: &str) -> Wish<'_> {
        let workers = self.containers[index as usize];
        let mut labels = self.place.labels(Role::Worker);
        for (name, value) in [
            (labels::TOKEN, self.request.token.to_string()),
            (labels::INDEX, index.to_string()),
            (labels::WORKERS, workers.to_string()),
            (labels::LAUNCH, receipt::size(&self.request)),
            (labels::HANDLE, handle.to_owned()),
        ] {
            labels.insert(name.to_owned(), value);
        }
        Wish {
            place: &self.place,
            image: &self.image,
            container: &self.request.container,
            hardware: &self.request.hardware,
            workers,
            labels,
            variables: vec![
                ("LONGSHORE_CLUSTER", self.place.cluster.clone()),
                ("LONGSHORE_TOKEN", self.request.token.to_string()),
                ("LONGSHORE_WORKERS", workers.to_string()),
                ("LONGSHORE_HANDLE", handle.to_owned()),
            ],
            port: None,
        }
    }

    /// Leaves the receipt, and answers.
    async fn conclude(&self, shared: &Shared, ctx: &Context<'_>, tally: Tally) -> Result<Launch, Error> {
        let Tally { mut made, absent, doubtful } = tally;
        if let Some(error) = doubtful {
            return Err(if error.kind() == ErrorKind::Unknown { error } else { Error::unknown(error) });
        }
        if let (true, Some(error)) = (made.is_empty(), &absent) {
            return Err(error.clone());
        }
        made.sort_unstable();
        let total = self.containers.len();
        let shortfall = absent.map(|error| {
            (
                format!("{} of {total} containers were started: {error}", made.len()),
                receipt::is_retryable(&error),
            )
        });
        let receipt = Receipt { made, shortfall };
        let left = tokio::time::timeout(
            ctx.remaining().max(SETTLE),
            receipt.leave(shared, &self.place, &self.request),
        );
        let why = match left.await {
            Ok(Ok(())) => None,
            Ok(Err(fault)) => Some(fault.to_string()),
            Err(_) => Some("the engine did not answer in time".to_owned()),
        };
        if let Some(why) = why {
            // The containers are there all the same. The token, asked for again, would find those that nobody has removed.
            tracing::warn!("cannot leave a receipt of the launch {}: {why}", self.request.token);
        }
        Ok(self.answer(receipt))
    }

    fn answer(&self, receipt: Receipt) -> Launch {
        let token = self.request.token.as_str();
        let of = |index: &u32| {
            repeat_n(self.place.handle(token, *index), self.containers[*index as usize] as usize)
        };
        let handles = receipt.made.iter().flat_map(of).collect();
        match receipt.shortfall {
            None => Launch::complete(handles),
            Some((why, retryable)) => Launch::partial(handles, why, retryable),
        }
    }
}

/// What is there of a token.
enum Earlier {
    /// The launch was answered.
    Answered(Receipt),
    /// These containers, of a launch that was cut off; none of a new one.
    Begun(Vec<Found>),
}
