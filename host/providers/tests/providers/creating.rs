//! Configurations that are refused before or by the plugin, and instances side by side.

use std::{sync::Arc, time::Duration};

use longshore_providers::{CallLimits, CreateError, Library, Provider};
use serde_json::{Value, json};

use super::{LONG, block_on, create, handles, memory, mutants, request, scope};

/// The most that a `create` may take where it is to be cut short.
const SHORT: Duration = Duration::from_millis(200);

async fn refused(library: &Arc<Library>, config: Value, create: Duration) -> CreateError {
    let limits = CallLimits { create, ..CallLimits::default() };
    Provider::create(library, "test", config, limits).await.expect_err("it is refused")
}

#[test]
fn a_configuration_that_breaks_the_schema_names_the_field() {
    block_on(async {
        for (config, field, words) in [
            (json!({ "capacity": "many" }), "capacity", "whole number"),
            (json!({ "capasity": 1 }), "capasity", "did you mean `capacity`?"),
            (json!({ "latency_ms": { "status": -1 } }), "latency_ms.status", "at least 0"),
        ] {
            let error = refused(&memory(), config, LONG).await;
            let CreateError::Config(error) = error else { panic!("not the configuration: {error}") };
            assert_eq!(error.field, field);
            assert!(error.message.contains(words), "{error}");
        }
    });
}

#[test]
fn what_only_the_plugin_can_see_is_told_in_the_same_way() {
    block_on(async {
        // The schema allows every fault for every function; the plugin does not.
        let error = refused(&mutants(), json!({ "faults": { "kill": "empty_handle" } }), LONG).await;
        let CreateError::Config(error) = error else { panic!("not the configuration: {error}") };
        assert_eq!(error.field, "faults");
    });
}

#[test]
fn a_create_that_fails_panics_or_hangs_is_told() {
    block_on(async {
        for (fault, limit, words) in [
            ("permanent", LONG, "fails in Create"),
            ("panic", LONG, "panicked at"),
            ("hang", SHORT, "within 0.2 s"),
        ] {
            let config = json!({ "faults": { "create": fault }, "hang_ms": 1000 });
            let error = refused(&mutants(), config, limit).await;
            assert!(error.to_string().contains(words), "{fault}: {error}");
        }
    });
}

#[test]
fn instances_of_one_plugin_do_not_share_their_workers() {
    block_on(async {
        let library = memory();
        let one = create(&library, json!({}), CallLimits::default()).await;
        let other = create(&library, json!({}), CallLimits::default()).await;
        let launched = one.run(&scope(LONG), request("t", 2, 1)).reply().await.expect("it launches");
        assert_eq!(launched.workers(), 2);
        assert_eq!(one.list(&scope(LONG)).reply().await.expect("it lists").len(), 2);
        assert_eq!(other.list(&scope(LONG)).reply().await.expect("it lists").len(), 0);
    });
}

#[test]
fn three_providers_of_two_plugins_work_side_by_side() {
    block_on(async {
        let providers = [
            create(&memory(), json!({}), CallLimits::default()).await,
            create(&memory(), json!({ "capacity": 1 }), CallLimits::default()).await,
            create(&mutants(), json!({}), CallLimits::default()).await,
        ];
        let mut workers = Vec::new();
        for provider in &providers {
            let launched = provider.run(&scope(LONG), request("t", 3, 1)).reply().await.expect("it launches");
            workers.push((launched.workers(), launched.shortfall.is_some()));
        }
        assert_eq!(workers, [(3, false), (1, true), (3, false)]);
    });
}

#[test]
fn a_provider_that_is_shut_down_turns_calls_down() {
    block_on(async {
        let provider = create(&memory(), json!({}), CallLimits::default()).await;
        assert!(provider.shut_down(LONG).await, "nothing keeps it");
        let error = provider.status(&scope(LONG), handles(&["x"])).reply().await.expect_err("it is gone");
        assert_eq!(error.to_string(), "not sent: the provider is shut down");
        assert!(provider.shut_down(LONG).await, "a second time changes nothing");
    });
}
