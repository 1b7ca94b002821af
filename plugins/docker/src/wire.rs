//! The connections to the engine: over its socket, over TCP, or over TCP with TLS.

use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker, body_full, errors::Error as ClientError};
use http::{Request, Response, Uri};
use hyper::body::{Bytes, Incoming};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{
        Builder, Client,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use tokio::net::UnixStream;
use tower_service::Service;
use url::Url;

use crate::{
    endpoint::Endpoint,
    fault::{Fault, Kind},
};

/// How many idle connections over TCP are kept, and for how long. Over a socket there are none: a new one costs next to nothing.
const IDLE: usize = 4;
const IDLE_TIME: Duration = Duration::from_secs(10);
/// The client's own limit, in seconds, beyond all those that requests have here.
const CLIENT_LIMIT: u64 = 2 * 86_400;

/// What an engine answers.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Incoming>, ClientError>> + Send>>;

/// Sends a request.
pub(crate) type Sender = Arc<dyn Fn(BollardRequest) -> Answer + Send + Sync>;

/// What requests go out by, and what their addresses begin with. Nothing is connected yet.
pub(crate) fn connect(endpoint: &Endpoint, limit: Duration) -> Result<(Sender, Url), url::ParseError> {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE_TIME).pool_max_idle_per_host(IDLE);
    let tcp = || {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(limit));
        connector
    };
    Ok(match endpoint {
        Endpoint::Unix(path) => {
            builder.pool_max_idle_per_host(0);
            // The connector looks at its path alone; this is what the requests say.
            (sender(&builder, Socket { path: path.as_path().into(), limit }), Url::parse("http://localhost")?)
        }
        Endpoint::Tcp(url) => (sender(&builder, tcp()), url.clone()),
        Endpoint::Tls(url, config) => {
            (sender(&builder, HttpsConnector::from((tcp(), Arc::clone(config)))), url.clone())
        }
    })
}

fn sender<C>(builder: &Builder, connector: C) -> Sender
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let client = builder.build(connector);
    Arc::new(move |request: BollardRequest| {
        let answer = client.request(request);
        Box::pin(async move { answer.await.map_err(ClientError::from) })
    })
}

/// The client that speaks through a sender.
pub(crate) fn client(send: &Sender, base: &Url) -> Result<Docker, ClientError> {
    let send = Arc::clone(send);
    Docker::connect_with_custom_transport(
        move |request: BollardRequest| send(request),
        Some(base.as_str().trim_end_matches('/')),
        CLIENT_LIMIT,
        API_DEFAULT_VERSION,
    )
}

/// A request that reads something.
pub(crate) fn request(address: &str) -> Result<BollardRequest, Fault> {
    let request = Request::get(address).body(body_full(Bytes::default()));
    request.map_err(|error| Fault::new(Kind::Refused(400), error))
}

/// Connects to a socket, whatever the address of a request says.
#[derive(Clone, Debug)]
struct Socket {
    path: Arc<Path>,
    limit: Duration,
}

impl Service<Uri> for Socket {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { path, limit } = self.clone();
        Box::pin(async move {
            let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "the socket did not answer"));
            let stream = tokio::time::timeout(limit, UnixStream::connect(PathBuf::from(&*path))).await;
            let stream = stream.unwrap_or_else(late);
            let named =
                |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            stream.map(TokioIo::new).map_err(named)
        })
    }
}
