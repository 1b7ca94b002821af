//! What a plugin logs arrives in the host's log, under the provider's name.

use std::{
    fmt,
    sync::{Mutex, Once, PoisonError},
};

use longshore_providers::{CallLimits, LOG_TARGET};
use longshore_support::fixture;
use serde_json::json;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context, prelude::*, registry::LookupSpan};

use super::{LONG, Way, block_on, handles, open, scope};

/// One line: its level and its fields.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) level: Level,
    fields: Vec<(String, String)>,
    spans: Vec<String>,
}

impl Line {
    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.push((field.name().to_owned(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.push((field.name().to_owned(), value.to_owned()));
    }
}

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

struct Keep;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        if event.metadata().target() != LOG_TARGET {
            return;
        }
        let spans = ctx.event_scope(event).into_iter().flatten().map(|span| span.name().to_owned()).collect();
        let mut line = Line { level: *event.metadata().level(), fields: Vec::new(), spans };
        event.record(&mut line);
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// The call's threads know the global subscriber alone, so this is it, for the whole process.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let level = tracing::level_filters::LevelFilter::DEBUG;
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Keep.with_filter(level)))
            .expect("no other test sets one");
    });
}

pub(super) fn lines_of(provider: &str) -> Vec<Line> {
    let lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().filter(|line| line.field("provider") == provider).cloned().collect()
}

#[test]
fn lines_arrive_with_the_providers_name_their_level_and_the_hosts_span() {
    listen();
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/talkative.rs");
    let library = open(&fixture(&source, &[]));
    block_on(async {
        for (name, way) in [("loud-one", Way::here()), ("loud-two", Way::runner())] {
            let provider = way.create_as(name, &library, json!({}), CallLimits::default()).await;
            let span = tracing::info_span!("reconcile");
            let mut call = span.in_scope(|| provider.status(&scope(LONG), handles(&["h-1", "h-2"])));
            call.reply().await.expect("it answers");
        }
    });
    for name in ["loud-one", "loud-two"] {
        let lines = lines_of(name);
        let told: Vec<_> = lines.iter().map(|line| (line.level, line.field("message"))).collect();
        assert!(told[0].1.contains("made"), "{told:?}");
        let expected = [
            (Level::ERROR, "an error"),
            (Level::WARN, "a warning"),
            (Level::INFO, "asked count=2"),
            (Level::DEBUG, "a detail"),
        ];
        for ((level, text), (told_level, told_text)) in expected.iter().zip(&told[1..]) {
            assert!(level == told_level && told_text.contains(text), "{text}: {told:?}");
        }
        // The trace line is beyond what the host listens to.
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(lines.iter().all(|line| line.field("plugin_target").contains("talkative")), "{lines:?}");
        assert!(lines[1..].iter().all(|line| line.spans == ["reconcile"]), "{lines:?}");
    }
}

#[test]
fn what_must_not_be_in_a_log_is_veiled_wherever_the_plugin_is() {
    listen();
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/talkative.rs");
    let library = open(&fixture(&source, &[]));
    block_on(async {
        for (name, way) in [("veiled-here", Way::here()), ("veiled-there", Way::runner())] {
            let provider = way.create_as(name, &library, json!({}), CallLimits::default()).await;
            let veil = |line: &str| line.contains("warning").then(|| line.replace("warning", "***"));
            let veiled = provider.veil_log(std::sync::Arc::new(veil));
            provider.status(&scope(LONG), handles(&["h"])).reply().await.expect("it answers");
            drop(veiled);
            let lines = lines_of(name);
            let warning = lines.iter().find(|line| line.level == Level::WARN).expect("it warned");
            assert!(warning.field("message").starts_with("a ***"), "{warning:?}");
        }
    });
}
