//! Many clusters on one provider: they wait for each other, and none is refused.

use serde_json::json;

use longshore_scaling::Command;

use crate::{config, eventually, host};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clusters_of_one_provider_take_turns() {
    let host = host().await;
    let names: Vec<String> = (0..200).map(|i| format!("c{i:03}")).collect();
    let cluster = |name: &String| json!({ "name": name, "provider": "memory", "workers": 1 });
    let clusters: Vec<_> = names.iter().map(cluster).collect();
    // Eight threads, and a queue of 64: 200 kills at once are more than both.
    let settings = json!({ "latency_ms": { "kill": 20 } });
    let providers = json!([{ "name": "memory", "plugin": "memory", "config": settings }]);
    host.apply(config(&providers, &json!(clusters))).await.expect("legal");
    eventually("up", async || host.clusters().iter().all(|it| it.converged && it.running == 1)).await;
    for name in &names {
        host.command(name, Command::Stop).await.expect("legal");
    }
    let is_down = async || {
        let clusters = host.clusters();
        let refused =
            clusters.iter().flat_map(|it| &it.reasons).find(|reason| reason.text.contains("not sent"));
        assert!(refused.is_none(), "{refused:?}");
        clusters.iter().all(|it| it.converged && it.running == 0)
    };
    eventually("down", is_down).await;
}
