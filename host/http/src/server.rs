//! Serves the routes on the host's socket, and the figures over TCP where that is wanted: so many connections at once, each with
//! limits on how long it may dawdle, and an end that waits for what is under way, but not for ever.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
    service::TowerToHyperService,
};
use longshore_runtime::Host;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    routes::{Desk, metrics_router, router},
    socket::Socket,
};

/// The most connections at once; who comes later waits. A connection carries one request at a time.
pub const CONNECTIONS: usize = 256;
/// How long requests that are under way may take to end when the server closes.
pub const GRACE: Duration = Duration::from_secs(5);
/// How long the head of a request may take; also how long a connection may be idle.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
/// The largest buffer of one connection, in bytes.
const BUFFER: usize = 64 << 10;
/// How long to wait after the system refused a connection, for instance because there are too many open files.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Serves until `shutdown` resolves, then closes: takes no new requests, answers those that wait for news, and gives the
/// others [`GRACE`]. The socket is gone when it returns. The host tells that it has been listening from `since` on.
pub async fn serve(host: Arc<Host>, socket: Socket, since: Instant, shutdown: impl Future<Output = ()>) {
    let closing = CancellationToken::new();
    let router = router(Desk::new(host, since, closing.clone()));
    let place = socket.path().display().to_string();
    let accept = async move || socket.accept().await;
    answer(accept, &place, router, &closing, shutdown).await;
}

/// Serves the host's figures over TCP, and nothing else: whoever can connect reads them, and changes nothing. It closes as
/// [`serve`] does, and `since` is the same there and here.
pub async fn serve_metrics(
    host: Arc<Host>,
    listener: TcpListener,
    since: Instant,
    shutdown: impl Future<Output = ()>,
) {
    let closing = CancellationToken::new();
    let router = metrics_router(Desk::new(host, since, closing.clone()));
    let place = listener.local_addr().map_or_else(|_| "its address".to_owned(), |place| place.to_string());
    let accept = async move || listener.accept().await.map(|(stream, _)| stream);
    answer(accept, &place, router, &closing, shutdown).await;
}

/// Answers whoever connects until it is told to close.
async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    accept: impl AsyncFn() -> io::Result<S>,
    place: &str,
    router: Router,
    closing: &CancellationToken,
    shutdown: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = next(&accept, &places) => match accepted {
                Ok((stream, place)) => {
                    connections.spawn(talk(stream, router.clone(), graceful.watcher(), place));
                }
                Err(error) => {
                    tracing::warn!("a connection to {place} failed: {error}");
                    sleep(ACCEPT_RETRY).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = &mut shutdown => break,
        }
    }
    // Nobody finds the socket from here on; connections that are open go on.
    drop(accept);
    closing.cancel();
    if timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("{} requests were cut off as the host ended", connections.len());
    }
}

async fn next<S>(
    accept: &impl AsyncFn() -> io::Result<S>,
    places: &Arc<Semaphore>,
) -> io::Result<(S, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    Ok((accept().await?, place))
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    router: Router,
    watcher: Watcher,
    _place: OwnedSemaphorePermit,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!("a connection ended early: {error}");
    }
}
