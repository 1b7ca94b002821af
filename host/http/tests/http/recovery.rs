//! What happened to a cluster, taking one over, and launches of unknown fate.

use longshore_config::Config;
use longshore_http::{
    ClientError, Problem, ProblemKind,
    wire::{HISTORY_PAGE_LIMIT, HistoryQuery, Resolve, ResolvedHandle},
};
use longshore_runtime::CommandError;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::house::{House, web};

#[track_caller]
fn problem<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> Problem {
    let ClientError::Refused(problem) = outcome.expect_err("the host refuses") else { panic!("it answers") };
    *problem
}

/// Forgets the cluster `web`, and leaves its workers to themselves.
async fn forget(house: &House) {
    house.client.delete("web", true).await.expect("it can be forgotten");
    let mut version = house.host.version();
    while !matches!(house.host.status("web").await, Err(CommandError::NoSuchCluster { .. })) {
        version.changed().await.expect("the host lives");
    }
}

#[tokio::test]
async fn a_history_page_by_page() {
    let house = House::with_web().await;
    for workers in [5, 2, 7] {
        house.client.scale("web", workers).await.expect("within the limits");
        house.until_converged("web").await;
    }
    let all = house.client.all_history("web", None, usize::MAX).await.expect("the cluster").entries;
    let numbers: Vec<_> = all.iter().map(|entry| entry.entry.number).collect();
    assert_eq!(numbers, (1..=all.len() as u64).collect::<Vec<_>>(), "none is left out");
    assert!(
        all.windows(2).all(|pair| pair[0].at.is_none() || pair[1].at.is_none() || pair[0].at <= pair[1].at)
    );
    for words in ["made, with 3 workers expected", "scaled: 7 workers expected", "7 wanted, and there were 2"]
    {
        assert!(all.iter().any(|entry| entry.text.contains(words)), "{words:?}: {all:?}");
    }

    let last_two = house.client.all_history("web", None, 2).await.expect("the cluster").entries;
    assert_eq!(last_two, all[all.len() - 2..]);
    let query = HistoryQuery { before: Some(4), limit: Some(2) };
    let page = house.client.history("web", query).await.expect("the cluster").entries;
    assert_eq!(page, all[1..3]);
    let none = HistoryQuery { before: Some(1), limit: None };
    assert_eq!(house.client.history("web", none).await.expect("the cluster").entries, []);

    for query in ["limit=0".to_owned(), format!("limit={}", HISTORY_PAGE_LIMIT + 1), "after=3".to_owned()] {
        let answer = house.send(Method::GET, &format!("/v1/clusters/web/history?{query}"), "").await;
        assert_eq!(
            (answer.status, &answer.json["error"]["kind"]),
            (StatusCode::BAD_REQUEST, &json!("bad_request"))
        );
    }
    let gone = problem(house.client.history("wbe", HistoryQuery::default()).await);
    assert_eq!(gone.kind, ProblemKind::NoSuchCluster);
    house.end().await;
}

#[tokio::test]
async fn launches_that_cannot_be_resolved() {
    let house = House::with_web().await;
    house.until_converged("web").await;
    let before = house.client.cluster("web").await.expect("the cluster");
    let resolve = |handle: &str, workers| Resolve {
        token: "nobody-0".to_owned(),
        handles: vec![ResolvedHandle { handle: handle.to_owned(), workers }],
    };
    let denied = problem(house.client.resolve("web", &resolve("box", 1)).await);
    assert_eq!(denied.kind, ProblemKind::Denied);
    assert!(denied.message.contains("nobody-0") && denied.message.contains("longshore explain"), "{denied}");
    for (handle, workers) in [("", 1), ("a\nb", 1), (&*"x".repeat(257), 1), ("box", 0), ("box", 10_001)] {
        let bad = problem(house.client.resolve("web", &resolve(handle, workers)).await);
        assert_eq!(bad.kind, ProblemKind::BadRequest, "{bad}");
    }
    let gone = problem(house.client.resolve("wbe", &resolve("box", 1)).await);
    assert_eq!(gone.kind, ProblemKind::NoSuchCluster);
    // More than other bodies may have: a launch can have created many.
    let handle = |index: usize| ResolvedHandle { handle: format!("{index:0>200}"), workers: 1 };
    let many = Resolve { token: "nobody-0".to_owned(), handles: (0..2_000).map(handle).collect() };
    assert_eq!(problem(house.client.resolve("web", &many).await).kind, ProblemKind::Denied);
    assert_eq!(house.client.cluster("web").await.expect("the cluster"), before);
    house.end().await;
}

#[tokio::test]
async fn a_cluster_is_taken_over_from_its_provider_alone() {
    let house = House::with_web().await;
    house.until_converged("web").await;
    let before = house.client.all_workers("web", usize::MAX).await.expect("the cluster");
    forget(&house).await;

    let gone = problem(house.client.reconnect("web", None).await);
    assert_eq!(gone.kind, ProblemKind::NoSuchCluster);
    let taking = house.client.reconnect("web", Some(web(9))).await.expect("its workers run");
    assert_eq!(taking.found, Some(3));
    house.until_converged("web").await;
    let status = house.client.cluster("web").await.expect("the cluster");
    assert_eq!((status.expected, status.running), (3, 3), "the configuration's number is not heeded");
    assert!(status.generation >= taking.generation);
    let after = house.client.all_workers("web", usize::MAX).await.expect("the cluster");
    let handles = |page: &longshore_http::wire::WorkerPage| {
        let mut handles: Vec<_> = page.workers.iter().map(|worker| worker.handle.clone()).collect();
        handles.sort();
        handles
    };
    assert_eq!(handles(&after), handles(&before));

    // One that the host has needs no configuration, and expects what runs.
    let again = house.client.reconnect("web", None).await.expect("the provider lists");
    assert_eq!((again.found, again.generation), (None, status.generation + 1));
    house.until_converged("web").await;
    let status = house.client.cluster("web").await.expect("the cluster");
    assert_eq!((status.expected, status.generation), (3, again.generation));
    house.end().await;
}

#[tokio::test]
async fn what_cannot_be_taken_over() {
    let house = House::with_web().await;
    house.until_converged("web").await;
    forget(&house).await;
    let none = problem(house.client.reconnect("wbe", Some(web(3))).await);
    assert_eq!(none.kind, ProblemKind::BadConfig);
    assert!(none.message.contains("did you mean `web`"), "{none}");

    let renamed = Config {
        clusters: web(3)
            .clusters
            .into_iter()
            .map(|it| longshore_config::ClusterConfig { name: "db".into(), ..it })
            .collect(),
        ..web(3)
    };
    let idle = problem(house.client.reconnect("db", Some(renamed)).await);
    assert_eq!(idle.kind, ProblemKind::Denied);
    assert!(idle.message.contains("nothing to take over"), "{idle}");

    let mut narrow = web(1);
    narrow.clusters[0].policy.max = 2;
    let many = problem(house.client.reconnect("web", Some(narrow)).await);
    assert_eq!(many.kind, ProblemKind::Denied, "{many}");

    for body in ["", "{\"config\":3}", "{\"confg\":{}}", "{\"config\":{\"clusters\":[{\"nmae\":\"web\"}]}}"] {
        let answer = house.send(Method::POST, "/v1/clusters/web/reconnect", body).await;
        assert!(answer.status.is_client_error(), "{answer:?}");
    }
    assert_eq!(house.host.clusters(), [], "nothing was made");
    house.end().await;
}
