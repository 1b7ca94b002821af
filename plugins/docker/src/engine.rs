//! The engine, as the rest of this provider speaks to it: one function a request, each with a limit of its own.
//!
//! Requests go through `bollard`, over connections of ours: so the certificates of the configuration are used, connecting has a
//! limit, and an engine that is down when the provider is made is no error yet. Lists are read by ourselves, since an engine may
//! have words for states that the client does not know. Paths carry no version: an engine then speaks its own newest one, and
//! nothing is asked for that the oldest engine of 2020 (API 1.40) does not have.

use std::{collections::HashMap, fmt, future::Future, time::Duration};

use bollard::{
    Docker,
    auth::DockerCredentials,
    models::{ContainerCreateBody, NetworkCreateRequest, VolumeCreateRequest},
    query_parameters::{
        CreateContainerOptions, CreateImageOptions, RemoveContainerOptions, RemoveVolumeOptions,
        StopContainerOptions,
    },
};
use futures_util::TryStreamExt as _;
use http_body_util::{BodyExt as _, Limited};
use longshore_plugin_api::Error;
use serde::{Deserialize, de::DeserializeOwned};
use url::Url;

use crate::{
    endpoint::Endpoint,
    fault::{Fault, Kind},
    image::Image,
    labels::{Place, Role},
    state::Found,
    wire::{self, Sender},
};

/// How long a request may take that does one thing.
const REQUEST_LIMIT: Duration = Duration::from_mins(2);
/// The largest answer that is read, in bytes: a list of a hundred thousand containers.
const ANSWER_LIMIT: usize = 256 << 20;

/// The engine.
pub(crate) struct Engine {
    docker: Docker,
    send: Sender,
    base: Url,
}

/// What is asked of a list: values by the name of the filter.
type Filters = HashMap<&'static str, Vec<String>>;

/// A volume, as far as it is looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) labels: Option<HashMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Volumes {
    volumes: Option<Vec<Volume>>,
}

/// A network, as far as it is looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Net {
    pub(crate) id: String,
    pub(crate) labels: Option<HashMap<String, String>>,
}

impl Engine {
    /// One to speak to; whether it is there shows with the first request.
    pub(crate) fn new(endpoint: &Endpoint, connect_timeout: Duration) -> Result<Self, Error> {
        let wrong = |why: &dyn fmt::Display| Error::config("host", format_args!("{endpoint}: {why}"));
        let (send, base) = wire::connect(endpoint, connect_timeout).map_err(|error| wrong(&error))?;
        let docker = wire::client(&send, &base).map_err(|error| wrong(&error))?;
        Ok(Self { docker, send, base })
    }

    /// Reads something.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, Fault> {
        let mut url = self.base.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = wire::request(url.as_str())?;
        within(async {
            let answer = (self.send)(request).await.map_err(Fault::from)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await;
            let body = body.map_err(|error| Fault::new(Kind::Lost, error))?.to_bytes();
            if !status.is_success() {
                let message = serde_json::from_slice::<Refusal>(&body)
                    .map_or_else(|_| String::from_utf8_lossy(&body).into_owned(), |refusal| refusal.message);
                return Err(Fault::new(Kind::Refused(status.as_u16()), message));
            }
            serde_json::from_slice(&body).map_err(|error| Fault::new(Kind::Garbled, error))
        })
        .await
    }

    async fn get_filtered<T: DeserializeOwned>(
        &self,
        path: &str,
        all: bool,
        filters: &Filters,
    ) -> Result<T, Fault> {
        let filters = serde_json::to_string(filters).map_err(|error| Fault::new(Kind::Garbled, error))?;
        let query = [("filters", filters.as_str()), ("all", "1")];
        self.get(path, &query[..if all { 2 } else { 1 }]).await
    }

    /// The containers of a cluster, running or not.
    pub(crate) async fn containers(&self, place: &Place, role: Option<Role>) -> Result<Vec<Found>, Fault> {
        self.containers_labelled(place.filter(role)).await
    }

    /// The containers that have all these labels.
    pub(crate) async fn containers_labelled(&self, labels: Vec<String>) -> Result<Vec<Found>, Fault> {
        self.get_filtered("/containers/json", true, &HashMap::from([("label", labels)])).await
    }

    /// The container of a name.
    pub(crate) async fn container(&self, name: &str) -> Result<Option<Found>, Fault> {
        // The engine takes the name for a pattern, so that others may be among them.
        let filters = HashMap::from([("name", vec![name.to_owned()])]);
        let found: Vec<Found> = self.get_filtered("/containers/json", true, &filters).await?;
        Ok(found.into_iter().find(|one| one.is_called(name)))
    }

    /// Makes a container, and gives its id.
    pub(crate) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String, Fault> {
        let options =
            CreateContainerOptions { name: Some(name.to_owned()), ..CreateContainerOptions::default() };
        // The body is large, and moves along with whatever waits for the answer.
        let request = Box::pin(self.docker.create_container(Some(options), body));
        within(async { Ok(request.await?.id) }).await
    }

    /// Starts a container; one that was started already stays as it is.
    pub(crate) async fn start(&self, id: &str) -> Result<(), Fault> {
        within(async { Ok(self.docker.start_container(id, None).await?) }).await
    }

    /// Asks a container to end, and has the engine kill it after the grace, in full seconds. Answers when it has ended. The
    /// engine sees to it, also when nobody waits for the answer any more.
    pub(crate) async fn stop(&self, id: &str, grace: Duration) -> Result<(), Fault> {
        let options =
            StopContainerOptions { t: Some(grace.as_secs() as i32), ..StopContainerOptions::default() };
        let limit = grace + REQUEST_LIMIT;
        within_limit(limit, async { Ok(self.docker.stop_container(id, Some(options)).await?) }).await
    }

    /// Removes a container, with its anonymous volumes, whether it runs or not. One that is not there, or that somebody else
    /// removes, is as good.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), Fault> {
        let options = RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
        let removed = within(async { Ok(self.docker.remove_container(id, Some(options)).await?) }).await;
        removed.or_else(|fault| {
            if fault.is_missing() || fault.says(&["already in progress"]) { Ok(()) } else { Err(fault) }
        })
    }

    /// Pulls an image.
    pub(crate) async fn pull(
        &self,
        image: &Image,
        credentials: Option<DockerCredentials>,
        limit: Duration,
    ) -> Result<(), Fault> {
        let (name, version) = image.pulled();
        let options = CreateImageOptions {
            from_image: Some(name.to_owned()),
            tag: Some(version.to_owned()),
            ..CreateImageOptions::default()
        };
        let progress = self.docker.create_image(Some(options), None, credentials);
        within_limit(limit, async { Ok(progress.try_for_each(async |_| Ok(())).await?) }).await
    }

    /// The receipts of a cluster's launches, or of all of a namespace: the volumes that have all these labels.
    pub(crate) async fn volumes_labelled(&self, labels: Vec<String>) -> Result<Vec<Volume>, Fault> {
        let found: Volumes =
            self.get_filtered("/volumes", false, &HashMap::from([("label", labels)])).await?;
        Ok(found.volumes.unwrap_or_default())
    }

    /// A volume, where there is one.
    pub(crate) async fn volume(&self, name: &str) -> Result<Option<Volume>, Fault> {
        found(self.get(&format!("/volumes/{name}"), &[]).await)
    }

    /// Makes a volume, where there is none of its name.
    pub(crate) async fn create_volume(
        &self,
        name: &str,
        labels: HashMap<String, String>,
    ) -> Result<(), Fault> {
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(labels),
            ..VolumeCreateRequest::default()
        };
        within(async { self.docker.create_volume(request).await.map(drop).map_err(Fault::from) }).await
    }

    /// Removes a volume, where there is one.
    pub(crate) async fn remove_volume(&self, name: &str) -> Result<(), Fault> {
        let removed = within(async {
            self.docker.remove_volume(name, None::<RemoveVolumeOptions>).await.map_err(Fault::from)
        });
        found(removed.await).map(drop)
    }

    /// A network by name, where there is one.
    pub(crate) async fn network(&self, name: &str) -> Result<Option<Net>, Fault> {
        found(self.get(&format!("/networks/{name}"), &[]).await)
    }

    /// Makes a network.
    pub(crate) async fn create_network(
        &self,
        name: &str,
        labels: HashMap<String, String>,
    ) -> Result<(), Fault> {
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            labels: Some(labels),
            ..NetworkCreateRequest::default()
        };
        within(async { self.docker.create_network(request).await.map(drop).map_err(Fault::from) }).await
    }

    /// Removes a network, where there is one.
    pub(crate) async fn remove_network(&self, id: &str) -> Result<(), Fault> {
        found(within(async { Ok(self.docker.remove_network(id).await?) }).await).map(drop)
    }
}

/// What an engine says when it refuses.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

async fn within<T>(request: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    within_limit(REQUEST_LIMIT, request).await
}

async fn within_limit<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let late = |_| Err(Fault::new(Kind::Lost, format_args!("nothing within {limit:?}")));
    tokio::time::timeout(limit, request).await.unwrap_or_else(late)
}

/// What is not there is no fault.
fn found<T>(answer: Result<T, Fault>) -> Result<Option<T>, Fault> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(fault) if fault.is_missing() => Ok(None),
        Err(fault) => Err(fault),
    }
}
