//! Providers are changed beside each other: one whose new version takes its time holds up nobody else's swap or rollback.

use std::{sync::Arc, time::Duration};

use longshore_runtime::{Effect, Host, ProviderStatus, SwapRequest};

use crate::{
    depot::{Depot, bad, to, version},
    eventually, host, until,
};

/// The provider `other`.
fn other(host: &Host) -> ProviderStatus {
    host.providers().into_iter().find(|provider| provider.name == "other").expect("it is there")
}

fn of_other(request: SwapRequest) -> SwapRequest {
    SwapRequest { provider: "other".to_owned(), ..request }
}

#[tokio::test]
async fn a_swap_that_takes_its_time_holds_up_no_other_provider() {
    let (slow, quick) = (Depot::new(), Depot::new());
    let mut config = slow.config(&version("1.0.0"), &[("web", 8)]);
    let mut second = quick.config(&version("1.0.0"), &[("db", 5)]);
    "other".clone_into(&mut second.providers[0].name);
    "other".clone_into(&mut second.clusters[0].provider);
    // The comparison waits for as long as the status may take.
    config.clusters[0].deadlines.status = Duration::from_hours(1);
    let of_slow = config.clone();
    config.providers.append(&mut second.providers.clone());
    config.clusters.append(&mut second.clusters.clone());
    let host = Arc::new(host().await);
    host.apply(config).await.expect("legal");
    for cluster in ["web", "db"] {
        until(&host, cluster, "up", |status| status.converged).await;
    }

    slow.fault("hangs");
    let swapping = tokio::spawn({
        let host = Arc::clone(&host);
        async move { host.swap(to(&bad())).await }
    });
    let is_made = || slow.instances().iter().any(|(version, _)| version == "3.0.0");
    eventually("it is being compared", async || is_made()).await;
    // A configuration that concerns the slow one waits for it, and holds up nobody either.
    let applying = tokio::spawn({
        let host = Arc::clone(&host);
        async move { host.apply(of_slow).await }
    });
    // A swap and the way back, both of another one.
    host.swap(of_other(to(&version("2.0.0")))).await.expect("the two agree");
    assert_eq!(other(&host).version, "2.0.0");
    host.rollback("other").await.expect("it is kept");
    // The host's own way back.
    let watched = SwapRequest { watch: Some(Duration::from_hours(1)), ..to(&bad()) };
    host.swap(of_other(watched)).await.expect("it passes for good");
    assert_eq!(other(&host).version, "3.0.0");
    quick.fault("violates");
    eventually("rolled back", async || other(&host).version == "1.0.0").await;
    assert!(other(&host).rolled_back.is_some());
    // And a configuration that does not concern the slow one.
    second.clusters[0].workers = 6;
    host.apply(second).await.expect("legal");
    until(&host, "db", "scaled", |status| status.converged && status.running == 6).await;
    assert!(!swapping.is_finished() && !applying.is_finished(), "they were under way all the while");

    slow.fault("");
    let swapped = swapping.await.expect("it goes on").expect("the two agree");
    assert_eq!((swapped.provider.as_str(), swapped.to.version.as_str()), ("depot", "3.0.0"));
    let applied = applying.await.expect("it goes on").expect("legal");
    assert_eq!(applied.providers, [("depot".to_owned(), Effect::Unchanged)]);
    until(&host, "web", "well", |status| status.converged && status.running == 8).await;
    assert_eq!((slow.killed(), quick.killed()), (0, 0));
}
