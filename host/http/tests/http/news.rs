//! Waiting for news, and what waits when there is an end.

use std::time::Duration;

use longshore_http::{CONNECTIONS, wire::ClustersQuery};
use longshore_support::PATIENCE;
use tokio::{net::UnixStream, time::timeout};

use crate::house::House;

fn news(after: u64, wait: Duration) -> ClustersQuery {
    ClustersQuery { name: None, after: Some(after), wait_ms: Some(wait.as_millis() as u64) }
}

#[tokio::test]
async fn a_change_ends_the_wait_for_it() {
    let house = House::with_web().await;
    house.until_converged("web").await;
    let now = house.client.clusters(&ClustersQuery::default()).await.expect("the host");
    let client = house.client.clone();
    let waiting =
        tokio::spawn(async move { client.clusters(&news(now.version, Duration::from_secs(30))).await });
    // Whether it waits by now or not: it must tell of the change, and long before its own time is over.
    house.client.scale("web", 5).await.expect("within the limits");
    let told = timeout(Duration::from_secs(20), waiting).await.expect("it is woken by the change");
    let told = told.expect("no panic").expect("an answer");
    assert!(told.version > now.version);
    assert_eq!(told.clusters[0].expected, 5);
    house.end().await;
}

#[tokio::test]
async fn a_version_of_another_life_is_answered_at_once() {
    let house = House::with_web().await;
    house.until_converged("web").await;
    for after in [0, u64::MAX] {
        let query = news(after, Duration::from_secs(30));
        let told = timeout(Duration::from_secs(20), house.client.clusters(&query)).await.expect("at once");
        assert_eq!(told.expect("an answer").clusters.len(), 1);
    }
    house.end().await;
}

#[tokio::test]
async fn nothing_new_is_told_when_the_time_is_over() {
    let house = House::with_web().await;
    house.until_converged("web").await;
    let now = house.client.clusters(&ClustersQuery::default()).await.expect("the host");
    let told = house.client.clusters(&news(now.version, Duration::from_millis(20))).await.expect("an answer");
    assert_eq!(told, now);
    house.end().await;
}

#[tokio::test]
async fn who_waits_for_news_is_answered_when_the_server_closes() {
    let mut house = House::with_web().await;
    house.until_converged("web").await;
    let now = house.client.clusters(&ClustersQuery::default()).await.expect("the host");
    let query = news(now.version, Duration::from_secs(30));
    let client = house.client.clone();
    let mut waiting = std::pin::pin!(client.clusters(&query));
    assert!(timeout(Duration::from_millis(200), &mut waiting).await.is_err(), "there are no news");
    house.close();
    let told = timeout(Duration::from_secs(20), waiting).await.expect("it is not left waiting");
    let told = told.expect("an answer");
    house.closed().await;
    assert_eq!(told, now);
    assert!(!house.socket().exists(), "the socket is removed");
}

#[tokio::test]
async fn so_many_connections_and_no_more() {
    let house = House::empty().await;
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        idle.push(UnixStream::connect(house.socket()).await.expect("there is room"));
    }
    let client = house.client.clone();
    let mut waiting = std::pin::pin!(client.host());
    assert!(timeout(Duration::from_millis(200), &mut waiting).await.is_err(), "there is no place for it");
    drop(idle.remove(0));
    let info = timeout(PATIENCE, waiting).await.expect("a place is free").expect("the host");
    assert_eq!(info.pid, std::process::id());
    drop(idle);
    house.end().await;
}
