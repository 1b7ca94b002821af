//! What the client makes of hosts that are not there, or are none.

use std::{io::ErrorKind, path::Path, time::Duration};

use longshore_http::{Client, ClientError, ProblemKind};
use tempfile::tempdir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixListener,
};

use crate::house::House;

#[tokio::test]
async fn no_host_is_told_with_what_to_do() {
    let folder = tempdir().expect("a temporary folder");
    let nowhere = folder.path().join("host.sock");
    let left = folder.path().join("left.sock");
    drop(UnixListener::bind(&left).expect("a socket that nobody listens at any longer"));
    for path in [&nowhere, &left] {
        let error = Client::new(path).expect("a good path").host().await.expect_err("nobody is there");
        assert!(matches!(error, ClientError::NoHost { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&path.display().to_string()) && text.contains("longshore serve"), "{text}");
    }
    let error = Client::new(Path::new("/")).expect_err("no file");
    assert!(matches!(error, ClientError::Path(_)), "{error:?}");
}

#[tokio::test]
async fn a_host_that_ends_is_not_there_any_longer() {
    let house = House::with_web().await;
    let client = house.client.clone();
    client.host().await.expect("it is there");
    house.end().await;
    let error = client.host().await.expect_err("it is gone");
    assert!(matches!(error, ClientError::NoHost { .. }), "{error:?}");
}

/// Something that listens and answers the first request with this.
async fn answering(answer: &'static [u8]) -> ClientError {
    let folder = tempdir().expect("a temporary folder");
    let path = folder.path().join("host.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let client = Client::new(&path).expect("a good path");
    let answering = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = [0; 1024];
        let read = stream.read(&mut request).await.expect("a request");
        assert!(read > 0);
        stream.write_all(answer).await.expect("it listens");
        stream.shutdown().await.expect("it listens");
    };
    let (outcome, ()) = tokio::join!(client.host(), answering);
    outcome.expect_err("this is no host")
}

#[tokio::test]
async fn what_is_no_answer_of_a_host_is_told_so() {
    for (answer, words) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"[..], "hello"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "missing field"),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 9\r\n\r\nnot found", "404"),
        (b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n", "302"),
    ] {
        let error = answering(answer).await;
        assert!(matches!(error, ClientError::Broken { .. }), "{error:?}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_told_so() {
    for answer in [&b""[..], b"220 mail ready\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"] {
        let error = answering(answer).await;
        assert!(matches!(error, ClientError::Lost { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_not_waited_for_for_ever() {
    let folder = tempdir().expect("a temporary folder");
    let path = folder.path().join("host.sock");
    let _listener = UnixListener::bind(&path).expect("a socket");
    let client = Client::new(&path).expect("a good path").with_patience(Duration::from_millis(50));
    let error = client.host().await.expect_err("nobody answers");
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error:?}");
}

#[tokio::test]
async fn a_socket_that_may_not_be_used_is_not_taken_for_a_missing_host() {
    let folder = tempdir().expect("a temporary folder");
    let file = folder.path().join("host.sock");
    std::fs::write(&file, "no socket").expect("a file");
    let error = Client::new(&file.join("below")).expect("a good path").host().await.expect_err("no folder");
    let ClientError::Unreachable { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source.kind(), ErrorKind::NotADirectory);
}

#[tokio::test]
async fn a_name_that_could_lead_elsewhere_leaves_the_client_never() {
    let house = House::with_web().await;
    for name in ["", ".", "..", "web/scale", "web?force=true", "web#x", "a b", "\u{1b}[2J"] {
        let error = house.client.delete(name, false).await.expect_err("no name");
        let ClientError::Refused(problem) = error else { panic!("{error:?}") };
        assert_eq!(problem.kind, ProblemKind::NoSuchCluster);
        assert!(!problem.message.contains('\u{1b}'), "{problem}");
    }
    house.client.cluster("web").await.expect("it is still there");
    house.end().await;
}
