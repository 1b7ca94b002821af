//! The plugin as a host calls it: through `Provider`, with its threads, its deadline and its check of the reply, wherever the
//! instance is.

use std::{sync::Arc, time::Instant};

use longshore_bench::Runs;
use longshore_providers::{CallLimits, CallScope, Handles, Housing, Library, Provider};
use tokio::runtime::Runtime;

use crate::{BUDGET, CONFIG, Way};

pub(crate) struct Guarded<'a> {
    name: &'static str,
    runtime: &'a Runtime,
    provider: Arc<Provider>,
}

/// Makes a provider.
pub(crate) async fn provider(library: &Arc<Library>, housing: &Housing) -> Arc<Provider> {
    let config = serde_json::from_str(CONFIG).expect("it is JSON");
    let made = Provider::create_in(housing, library, "bench", config, CallLimits::default(), ()).await;
    made.expect("it is made")
}

/// For whom calls are.
pub(crate) fn scope() -> CallScope {
    CallScope { cluster: "bench".into(), budget: BUDGET, verbose: 0 }
}

impl<'a> Guarded<'a> {
    pub(crate) fn new(
        name: &'static str,
        runtime: &'a Runtime,
        library: &Arc<Library>,
        housing: &Housing,
    ) -> Self {
        let provider = runtime.block_on(provider(library, housing));
        Self { name, runtime, provider }
    }
}

impl Way for Guarded<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn measure(&mut self, handles: &Handles, calls: usize) -> Runs {
        let (provider, handles) = (Arc::clone(&self.provider), Arc::clone(handles));
        // From a task, which a thread of the runtime's own goes on with.
        let task = self.runtime.spawn(async move {
            let (scope, mut runs) = (scope(), Runs::default());
            for _ in 0..calls {
                let begun = Instant::now();
                let statuses = provider.status(&scope, Arc::clone(&handles)).reply().await;
                runs.add(begun.elapsed());
                assert_eq!(statuses.expect("it answers").len(), handles.len());
            }
            runs
        });
        self.runtime.block_on(task).expect("it does not panic")
    }
}
