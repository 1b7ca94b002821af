//! How clusters are, as news: from a host in this process, or over its socket.

use std::{sync::Arc, time::Duration};

use longshore_http::{
    Client,
    wire::{Clusters, ClustersQuery},
};
use longshore_runtime::Host;
use tokio::time::sleep;

use crate::exit::Failure;

/// How long one request waits for news.
const WAIT: Duration = Duration::from_secs(25);
/// How long at least between two looks, so that a busy host is not asked all the time ...
const PACE: Duration = Duration::from_millis(50);
/// ... and how much longer for every cluster that is told of.
const PACE_OF_EACH: Duration = Duration::from_micros(200);

/// Where the news come from.
#[derive(Clone)]
pub(crate) enum Source {
    /// A host in this process.
    Here(Arc<Host>),
    /// A host that listens, and the one cluster that is asked about, or all.
    There(Client, Option<String>),
}

/// News of clusters.
pub(crate) struct Feed {
    source: Source,
    version: Option<u64>,
    pace: Duration,
}

impl Feed {
    pub(crate) fn new(source: Source) -> Self {
        Self { source, version: None, pace: PACE }
    }

    /// How they are, at first; whatever is new, afterwards. It may be the same again. Safe to drop half way.
    pub(crate) async fn next(&mut self) -> Result<Clusters, Failure> {
        if self.version.is_some() {
            sleep(self.pace).await;
        }
        let news = match &self.source {
            Source::Here(host) => {
                let mut versions = host.version();
                if let Some(after) = self.version {
                    // A host that is gone has no more news, and neither has this.
                    if versions.wait_for(|version| *version != after).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                let version = *versions.borrow();
                Clusters { version, clusters: host.clusters() }
            }
            Source::There(client, name) => {
                let wait_ms = self.version.map(|_| WAIT.as_millis() as u64);
                let query = ClustersQuery { name: name.clone(), after: self.version, wait_ms };
                client.clusters(&query).await?
            }
        };
        self.version = Some(news.version);
        self.pace = PACE + PACE_OF_EACH * u32::try_from(news.clusters.len()).unwrap_or(u32::MAX);
        Ok(news)
    }
}
