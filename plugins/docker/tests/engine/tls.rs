//! Engines that are reached over TCP, with TLS and without. In front of the engine's socket stands a program of the test that
//! speaks TLS as `dockerd --tlsverify` does: it takes those alone who show a certificate of its authority.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use longshore_docker::DockerContainers;
use longshore_plugin_api::{ErrorKind, List as _, WorkerStatus};
use longshore_support::Engine;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::{TcpListener, UnixStream},
    runtime::Runtime,
};
use tokio_rustls::TlsAcceptor;

use crate::support::{House, MEEK, call, provider};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

/// Something on TCP in front of an engine; it ends with the runtime.
struct Front {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Front {
    fn of(engine: &Engine, tls: Option<TlsAcceptor>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("some port is free");
        let address = listener.local_addr().expect("it is bound");
        let behind = engine.socket().to_owned();
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, behind) = (tls.clone(), behind.clone());
                tokio::spawn(async move {
                    match tls {
                        None => pass(stream, behind).await,
                        // Whoever shows no certificate is refused here.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                pass(stream, behind).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, _runtime: runtime }
    }
}

async fn pass(mut stream: impl AsyncRead + AsyncWrite + Unpin, behind: PathBuf) {
    if let Ok(mut engine) = UnixStream::connect(behind).await {
        drop(copy_bidirectional(&mut stream, &mut engine).await);
    }
}

fn acceptor() -> TlsAcceptor {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture("ca.pem")).expect("it is one")).expect("it is one");
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let certificate = CertificateDer::from_pem_file(fixture("server.pem")).expect("it is one");
    let key = PrivateKeyDer::from_pem_file(fixture("server-key.pem")).expect("it is one");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("there are some")
        .with_client_cert_verifier(verifier.expect("it has an authority"))
        .with_single_cert(vec![certificate], key)
        .expect("they belong together");
    TlsAcceptor::from(Arc::new(config))
}

fn tls(ca: &str, client: Option<&str>) -> Value {
    let mut tls = json!({"ca": fixture(ca)});
    if let Some(client) = client {
        tls["cert"] = json!(fixture(&format!("{client}.pem")));
        tls["key"] = json!(fixture(&format!("{client}-key.pem")));
    }
    tls
}

/// A whole life of workers.
fn lives(house: &House<'_>) {
    let handles = house.run("t-1", 3, MEEK);
    house.wait(&handles, WorkerStatus::Running);
    assert_eq!(house.list().len(), 3);
    house.kill(&handles);
    assert_eq!(house.containers(), []);
}

#[test]
fn an_engine_is_reached_by_tcp() {
    let Some(engine) = Engine::or_skip("an_engine_is_reached_by_tcp") else { return };
    let front = Front::of(&engine, None);
    lives(&House::with(&engine, json!({"host": format!("tcp://{}", front.address)})));
}

#[test]
fn an_engine_is_reached_with_the_certificates_of_the_configuration_alone() {
    let test = "an_engine_is_reached_with_the_certificates_of_the_configuration_alone";
    let Some(engine) = Engine::or_skip(test) else { return };
    let front = Front::of(&engine, Some(acceptor()));
    let (by_name, by_number) =
        (format!("tcp://localhost:{}", front.address.port()), format!("https://{}", front.address));
    for host in [&by_name, &by_number] {
        lives(&House::with(&engine, json!({"host": host, "tls": tls("ca.pem", Some("client"))})));
    }
    let error_of = |tls: Value| {
        let provider: DockerContainers =
            provider(json!({"host": by_name, "tls": tls})).expect("the files are there");
        call(|ctx| provider.list(ctx)).expect_err("it is not let in")
    };
    for (tls, words) in [
        (tls("ca.pem", None), "certificate"),
        (tls("other-ca.pem", Some("client")), "certificate"),
        // The server's own key is signed by the authority, but not for clients.
        (tls("ca.pem", Some("server")), ""),
    ] {
        let error = error_of(tls.clone());
        assert_eq!(error.kind(), ErrorKind::Unreachable, "{tls}: {error}");
        assert!(error.message().to_lowercase().contains(words), "{tls}: {error}");
    }
    let plain = provider(json!({"host": format!("http://{}", front.address)})).expect("it is right");
    assert_eq!(call(|ctx| plain.list(ctx)).expect_err("it speaks TLS alone").kind(), ErrorKind::Unreachable);
}
