//! Whether a server can be reached: a connection is made to where it should be, and closed again.

use std::{
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs as _},
    sync::Arc,
    time::Duration,
};

use longshore_config::Probe;
use longshore_scaling::{Address, ServerSeen, Trouble};
use tokio::{
    net::TcpStream,
    sync::Semaphore,
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

/// How long a connection to a server may take, the look-up of its name included, before the server counts as out of reach.
const PROBE_LIMIT: Duration = Duration::from_secs(3);
/// The most addresses of one name that are tried, all at once.
const PROBE_ADDRESSES: usize = 8;
/// The most look-ups of one cluster at once. The system's resolver cannot be told to stop: one that hangs keeps its thread.
const LOOKUPS_AT_ONCE: usize = 1;

const NO_PORT: &str = "neither the provider nor the configuration says its port; give the server a `port`, or set `probe = \
                       \"status\"`";

/// Looks whether one cluster's server can be reached.
#[derive(Clone)]
pub(super) struct Prober {
    lookups: Arc<Semaphore>,
    limit: Duration,
}

impl Prober {
    pub(super) fn new() -> Self {
        Self { lookups: Arc::new(Semaphore::new(LOOKUPS_AT_ONCE)), limit: PROBE_LIMIT }
    }

    /// How a server that should be there is, where that is to be looked at.
    pub(super) async fn probe(&self, address: Address, probe: Probe) -> ServerSeen {
        let port = match probe {
            Probe::Status => return ServerSeen::Up { address },
            Probe::Tcp => address.port,
        };
        let Some(port) = port else {
            return ServerSeen::Unreachable { address, trouble: Trouble::new(NO_PORT) };
        };
        let failed = match timeout(self.limit, self.connect(&address.host, port)).await {
            Ok(Ok(())) => return ServerSeen::Up { address },
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no connection within {} s", self.limit.as_secs_f64()),
        };
        ServerSeen::Unreachable { address, trouble: Trouble::new(failed) }
    }

    /// Connects to any of the addresses of a name. All at once: one that swallows everything must not hide the others.
    async fn connect(&self, host: &str, port: u16) -> io::Result<()> {
        let mut connecting = JoinSet::new();
        for address in self.addresses(host, port).await?.into_iter().take(PROBE_ADDRESSES) {
            connecting.spawn(TcpStream::connect(address));
        }
        let mut why = io::Error::other("its name has no address");
        while let Some(connected) = connecting.join_next().await {
            match connected {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => why = error,
                Err(error) => why = io::Error::other(error),
            }
        }
        Err(why)
    }

    async fn addresses(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let turn = Arc::clone(&self.lookups).acquire_owned().await.map_err(io::Error::other)?;
        let host = host.to_owned();
        let looking = spawn_blocking(move || {
            let found = (host.as_str(), port).to_socket_addrs().map(Vec::from_iter);
            drop(turn);
            found
        });
        looking.await.map_err(io::Error::other)?
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn seen(host: &str, port: Option<u16>, probe: Probe) -> Option<String> {
        let address = Address { host: host.to_owned(), port };
        match Prober::new().probe(address, probe).await {
            ServerSeen::Up { .. } => None,
            ServerSeen::Unreachable { trouble, .. } => Some(trouble.text),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn who_listens_is_up_and_who_does_not_is_out_of_reach() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = Some(listener.local_addr().expect("it is bound").port());
        // One name may have several addresses, and one that answers is enough.
        for host in ["127.0.0.1", "localhost"] {
            assert_eq!(seen(host, port, Probe::Tcp).await, None, "{host}");
        }
        drop(listener);
        let refused = seen("127.0.0.1", port, Probe::Tcp).await.expect("nobody listens");
        assert!(refused.contains("refused"), "{refused}");
        assert_eq!(seen("127.0.0.1", port, Probe::Status).await, None, "the provider's word is enough");
    }

    #[tokio::test]
    async fn what_cannot_be_connected_to_is_told() {
        let no_port = seen("127.0.0.1", None, Probe::Tcp).await.expect("no port is known");
        assert!(no_port.contains("`port`") && no_port.contains("probe"), "{no_port}");
        // RFC 6761: no resolver knows it.
        let no_name = seen("queue.invalid", Some(1), Probe::Tcp).await.expect("there is no such name");
        assert!(!no_name.is_empty());
    }

    #[tokio::test]
    async fn a_look_up_that_hangs_keeps_one_thread() {
        let prober = Prober { limit: Duration::from_millis(20), ..Prober::new() };
        let hanging = Arc::clone(&prober.lookups).acquire_owned().await.expect("it is never closed");
        let address = Address { host: "localhost".to_owned(), port: Some(1) };
        let seen = prober.probe(address, Probe::Tcp).await;
        let ServerSeen::Unreachable { trouble, .. } = seen else { panic!("{seen:?}") };
        assert_eq!(trouble.text, "no connection within 0.02 s");
        drop(hanging);
    }
}
