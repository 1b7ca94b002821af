//! What is told of providers, of their calls, and of the processes that they run in.

use std::{borrow::Cow, fmt};

use longshore_config::Isolation;
use longshore_providers::{FunctionFigures, LATENCY_BOUNDS, Latency, Resources};
use longshore_runtime::{
    BreakerPhase, GenerationState, GenerationStatus, ProviderStatus, RunnerPhase, RunnerStatus,
};
use prometheus_client::registry::Unit;

use super::families::{Families, Labels, Times};

const GENERATIONS: [(GenerationState, &str); 4] = [
    (GenerationState::Serving, "serving"),
    (GenerationState::Canary, "canary"),
    (GenerationState::Kept, "kept"),
    (GenerationState::Retiring, "retiring"),
];

const BREAKER: [(BreakerPhase, &str); 3] =
    [(BreakerPhase::Closed, "closed"), (BreakerPhase::Open, "open"), (BreakerPhase::Trying, "trying")];

const RUNNER: [(RunnerPhase, &str); 5] = [
    (RunnerPhase::Starting, "starting"),
    (RunnerPhase::Running, "running"),
    (RunnerPhase::Waiting, "waiting"),
    (RunnerPhase::Quarantined, "quarantined"),
    (RunnerPhase::ShutDown, "shut_down"),
];

pub(super) fn tell(families: &mut Families<'_>, providers: &[ProviderStatus]) -> fmt::Result {
    tell_state(families, providers)?;
    tell_calls(families, providers)?;
    tell_functions(families, providers)?;
    let runners: Vec<_> = providers.iter().filter_map(|it| Some((it, it.runner.as_ref()?))).collect();
    tell_runners(families, &runners)
}

fn tell_state(families: &mut Families<'_>, providers: &[ProviderStatus]) -> fmt::Result {
    let info = providers.iter().filter(|it| it.trouble.is_none()).map(|it| {
        let isolation = match it.isolation {
            Some(Isolation::Subprocess) => "subprocess",
            Some(Isolation::InProcess) | None => "in-process",
        };
        let mut labels = of(it);
        labels.extend([
            ("plugin", (&it.plugin).into()),
            ("version", (&it.version).into()),
            ("isolation", isolation.into()),
        ]);
        labels
    });
    families.info("provider", "The plugin and the version that serve, and where they run.", info)?;
    let up = providers.iter().map(|it| (of(it), u64::from(it.trouble.is_none())));
    families.gauge(
        "provider_up",
        "1 where the provider is there, 0 where it could not be made.",
        None,
        up,
    )?;
    let quarantined = providers.iter().map(|it| {
        let runner = it.runner.as_ref().is_some_and(|runner| runner.phase == RunnerPhase::Quarantined);
        (of(it), u64::from(runner || it.quarantined.is_some()))
    });
    families.gauge(
        "provider_quarantined",
        "1 where it is not run any more, as its processes died too often, until somebody releases it; 0 otherwise.",
        None,
        quarantined,
    )?;
    let generations = providers.iter().flat_map(|it| {
        let count =
            |state| it.generations.iter().filter(|generation| generation.state == state).count() as u64;
        GENERATIONS.iter().map(move |(state, name)| (with(it, "state", *name), count(*state)))
    });
    families.gauge(
        "provider_generations",
        "Generations that are there, by what for: serving, tried by one cluster, kept to go back to, or ending their calls.",
        None,
        generations,
    )?;
    tell_generations(families, providers)?;
    let breakers = || providers.iter().filter_map(|it| Some((it, it.breaker.as_ref()?)));
    let states = breakers().flat_map(|(it, breaker)| {
        BREAKER
            .iter()
            .map(move |(phase, name)| (with(it, "state", *name), u64::from(breaker.phase == *phase)))
    });
    families.gauge(
        "provider_breaker_state",
        "1 for the state of its circuit breaker, 0 for the others.",
        None,
        states,
    )?;
    let openings = breakers().map(|(it, breaker)| (of(it), breaker.openings));
    families.counter("provider_breaker_openings", "How often its circuit breaker has opened.", None, openings)
}

/// What each generation's calls came to: of one that one cluster tries, or that may be gone back to, nothing more is told.
fn tell_generations(families: &mut Families<'_>, providers: &[ProviderStatus]) -> fmt::Result {
    let all = || {
        providers.iter().flat_map(|it| {
            it.generations
                .iter()
                .map(move |generation| (with(it, "generation", generation.number.to_string()), generation))
        })
    };
    let info = all().map(|(mut labels, generation)| {
        let name = GENERATIONS.iter().find(|(state, _)| *state == generation.state).map(|(_, name)| *name);
        labels
            .extend([("state", name.unwrap_or_default().into()), ("version", (&generation.version).into())]);
        labels
    });
    families.info(
        "provider_generation",
        "What a generation is there for, and its plugin's version.",
        info,
    )?;
    for (name, help, count) in [
        (
            "provider_generation_calls",
            "Calls of a generation that have ended.",
            (|it| it.calls) as fn(&GenerationStatus) -> u64,
        ),
        ("provider_generation_errors", "Calls of a generation that went wrong, in whatever way.", |it| {
            it.errors
        }),
        ("provider_generation_violations", "Calls of a generation whose answers broke the contract.", |it| {
            it.violations
        }),
    ] {
        families.counter(name, help, None, all().map(|(labels, generation)| (labels, count(generation))))?;
    }
    Ok(())
}

/// Where calls are right now.
fn tell_calls(families: &mut Families<'_>, providers: &[ProviderStatus]) -> fmt::Result {
    let there = || providers.iter().filter(|it| it.trouble.is_none());
    let queued = there().map(|it| (of(it), it.queued as u64));
    families.gauge(
        "plugin_calls_queued",
        "Calls of the generation that serves that wait in the host.",
        None,
        queued,
    )?;
    let inside = there().filter_map(|it| {
        // In the host's own process a call is inside as soon as it has its thread. A runner is asked.
        let inside = it.runner.as_ref().map_or(Some(it.busy), |runner| Some(runner.calls?.inside))?;
        Some((of(it), inside as u64))
    });
    families.gauge(
        "plugin_calls_inside",
        "Calls of the generation that serves that are inside the plugin.",
        None,
        inside,
    )?;
    let on_the_way = there().filter_map(|it| Some((of(it), it.runner.as_ref()?.calls?.on_the_way as u64)));
    families.gauge(
        "plugin_calls_on_the_way",
        "Calls of the generation that serves that are on their way to the plugin's process or back, or wait there.",
        None,
        on_the_way,
    )?;
    let stuck = there().map(|it| (of(it), it.stuck as u64));
    families.gauge(
        "plugin_calls_stuck",
        "Calls of the generation that serves that are past their deadline and have not come back.",
        None,
        stuck,
    )
}

/// What calls came to, function by function, of the generation that serves.
fn tell_functions(families: &mut Families<'_>, providers: &[ProviderStatus]) -> fmt::Result {
    let functions = || {
        providers.iter().flat_map(|it| {
            let generation =
                it.generations.iter().find(|generation| generation.state == GenerationState::Serving);
            let generation = generation.map_or(0, |generation| generation.number);
            it.functions.iter().map(move |figures| {
                let mut labels = with(it, "generation", generation.to_string());
                labels.push(("function", (&figures.function).into()));
                (labels, figures)
            })
        })
    };
    let ends = functions().flat_map(|(labels, figures)| {
        ends(figures).into_iter().map(move |(outcome, reason, count)| {
            let mut labels = labels.clone();
            labels.push(("outcome", outcome.into()));
            labels.extend(reason.map(|reason| ("reason", reason.into())));
            (labels, count)
        })
    });
    families.counter(
        "plugin_calls",
        "Calls of the generation that serves that have ended, by how: the reason is the kind of a failure, the clause that an \
         answer broke, or why a call was not sent. They begin anew with each generation; those of one that is tried are not \
         among them.",
        None,
        ends,
    )?;
    let under_way = functions().map(|(labels, figures)| (labels, figures.under_way));
    families.gauge(
        "plugin_calls_under_way",
        "Calls of the generation that serves that have not ended, wherever they are.",
        None,
        under_way,
    )?;
    let whole = functions().filter_map(|(labels, figures)| Some((labels, times(figures.latency.as_ref()?))));
    families.histogram(
        "plugin_call_duration",
        "How long calls of the generation that serves took that came back, as the host sees it: with the queue, and the way to \
         the plugin's process.",
        whole,
    )?;
    let inside = functions().filter_map(|(labels, figures)| Some((labels, times(figures.inside.as_ref()?))));
    families.histogram(
        "plugin_call_inside",
        "How long calls of the generation that serves were inside the plugin, of those that came back.",
        inside,
    )
}

/// How the calls of a function ended, and how many did. What may only happen in few ways is told also where it never did.
fn ends(figures: &FunctionFigures) -> Vec<(&'static str, Option<&str>, u64)> {
    let FunctionFigures { answered, failed, violations, late, died, lost, not_sent, .. } = figures;
    let mut ends = vec![
        ("answered", None, *answered),
        ("late", None, *late),
        ("died", None, *died),
        ("lost", None, *lost),
    ];
    for (outcome, counts) in [("failed", failed), ("violation", violations), ("not_sent", not_sent)] {
        ends.extend(counts.iter().map(|(reason, count)| (outcome, Some(reason.as_str()), *count)));
    }
    ends
}

/// The bounds that are told are fewer than the buckets that there are, and are exact all the same.
fn times(latency: &Latency) -> Times {
    let (counts, longer) = latency.by_bounds();
    let bounds = LATENCY_BOUNDS.iter().map(|bound| *bound as f64 / 1e9);
    let mut buckets: Vec<_> = bounds.zip(counts).collect();
    buckets.push((f64::INFINITY, longer));
    Times { seconds: latency.total_us as f64 / 1e6, count: latency.count, buckets }
}

fn tell_runners(families: &mut Families<'_>, runners: &[(&ProviderStatus, &RunnerStatus)]) -> fmt::Result {
    let states = runners.iter().flat_map(|(it, runner)| {
        RUNNER.iter().map(move |(phase, name)| (with(it, "state", *name), u64::from(runner.phase == *phase)))
    });
    families.gauge(
        "runner_state",
        "1 for the state of the provider's process, 0 for the others.",
        None,
        states,
    )?;
    let restarts = runners.iter().map(|(it, runner)| (of(it), runner.restarts));
    families.counter(
        "runner_restarts",
        "How often the provider's process was started again.",
        None,
        restarts,
    )?;
    let deaths = runners.iter().map(|(it, runner)| (of(it), runner.deaths));
    families.counter("runner_deaths", "How often it ended though nobody had asked for it.", None, deaths)?;
    let running = runners.iter().filter(|(_, runner)| runner.phase == RunnerPhase::Running);
    let responding = running.map(|(it, runner)| (of(it), u64::from(runner.calls.is_some())));
    families.gauge(
        "runner_responding",
        "1 where the process said within half a second where its calls are.",
        None,
        responding,
    )?;
    tell_resources(families, runners)
}

/// What the processes take. One that is started again begins at 0.
fn tell_resources(families: &mut Families<'_>, runners: &[(&ProviderStatus, &RunnerStatus)]) -> fmt::Result {
    let told = || runners.iter().filter_map(|(it, runner)| Some((of(it), runner.resources?)));
    let bytes = Some(&Unit::Bytes);
    let resident = told().map(|(labels, Resources { resident_bytes, .. })| (labels, resident_bytes));
    families.gauge("runner_resident_memory", "Memory that the process has.", bytes, resident)?;
    let peak = told().filter_map(|(labels, it)| Some((labels, it.peak_resident_bytes?)));
    families.gauge("runner_resident_memory_max", "The most memory that it ever had.", bytes, peak)?;
    let cpu = told().map(|(labels, it)| (labels, it.cpu_ms as f64 / 1e3));
    families.counter("runner_cpu", "Processor time that it has used.", Some(&Unit::Seconds), cpu)?;
    let descriptors = told().filter_map(|(labels, it)| Some((labels, it.descriptors?)));
    families.gauge("runner_open_fds", "Descriptors that it has open.", None, descriptors)?;
    let threads = told().map(|(labels, it)| (labels, it.threads));
    families.gauge("runner_threads", "Its threads.", None, threads)
}

fn of(provider: &ProviderStatus) -> Labels<'_> {
    vec![("provider", (&provider.name).into())]
}

fn with<'a>(provider: &'a ProviderStatus, name: &'static str, value: impl Into<Cow<'a, str>>) -> Labels<'a> {
    let mut labels = of(provider);
    labels.push((name, value.into()));
    labels
}
