//! Tests of taking a socket: free, stale, live, not ours.

use std::os::unix::{fs::symlink, net::UnixListener as StdListener};

use tempfile::{TempDir, tempdir};

use super::*;

fn place() -> (TempDir, PathBuf) {
    let folder = tempdir().expect("a temporary folder");
    let path = folder.path().join("run").join("host.sock");
    (folder, path)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn a_socket_is_its_owners_alone_and_goes_with_its_holder() {
    let (_folder, path) = place();
    let socket = Socket::bind(&path).await.expect("a free place");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(folder_of(&path)), 0o700);
    let (client, server) = tokio::join!(UnixStream::connect(&path), socket.accept());
    assert!(client.is_ok() && server.is_ok());

    drop(socket);
    let left = fs::read_dir(folder_of(&path)).expect("the folder stays").count();
    assert_eq!(left, 0, "neither socket nor lock is left");
}

#[tokio::test]
async fn a_live_host_is_named_and_not_disturbed() {
    let (_folder, path) = place();
    let socket = Socket::bind(&path).await.expect("a free place");
    let error = Socket::bind(&path).await.expect_err("taken");
    let pid = std::process::id();
    assert!(matches!(error, SocketError::Taken { pid: Some(holder), .. } if holder == pid), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&pid.to_string()) && text.contains(&path.display().to_string()), "{text}");
    assert!(text.contains("--socket"), "it says what to do: {text}");
    let (client, server) = tokio::join!(UnixStream::connect(&path), socket.accept());
    assert!(client.is_ok() && server.is_ok(), "the first one still listens");
}

#[tokio::test]
async fn a_lock_and_a_socket_that_a_killed_hosts_child_still_has_are_waited_for() {
    let (_folder, path) = place();
    fs::create_dir_all(folder_of(&path)).expect("a folder");
    let mut lock = path.clone().into_os_string();
    lock.push(".lock");
    let lock = PathBuf::from(lock);
    let held = File::create(&lock).expect("a lock file");
    held.lock().expect("nobody else has it");
    let listener = StdListener::bind(&path).expect("a socket");

    let binding = tokio::spawn({
        let path = path.clone();
        async move { Socket::bind(&path).await }
    });
    // It has been at the lock by now: everything here is on one thread.
    tokio::task::yield_now().await;
    assert!(!binding.is_finished());
    drop(held);
    // Once the lock is taken, it is the socket that is in the way.
    while holder(&lock).is_none() && !binding.is_finished() {
        tokio::task::yield_now().await;
    }
    drop(listener);
    let socket = binding.await.expect("it ends").expect("the child has become its program");
    let (client, server) = tokio::join!(UnixStream::connect(&path), socket.accept());
    assert!(client.is_ok() && server.is_ok());
}

#[tokio::test]
async fn what_a_dead_host_left_is_replaced() {
    let (_folder, path) = place();
    fs::create_dir_all(folder_of(&path)).expect("a folder");
    drop(StdListener::bind(&path).expect("a socket that nobody listens at any longer"));
    let mut lock = path.clone().into_os_string();
    lock.push(".lock");
    fs::write(&lock, "4194304\n").expect("a lock file that nobody holds");

    let socket = Socket::bind(&path).await.expect("the stale one is replaced");
    assert_eq!(holder(Path::new(&lock)), Some(std::process::id()));
    let (client, server) = tokio::join!(UnixStream::connect(&path), socket.accept());
    assert!(client.is_ok() && server.is_ok());
}

#[tokio::test]
async fn a_socket_of_another_program_is_left_alone() {
    let (_folder, path) = place();
    fs::create_dir_all(folder_of(&path)).expect("a folder");
    let _other = StdListener::bind(&path).expect("a socket");
    let error = Socket::bind(&path).await.expect_err("somebody listens");
    assert!(matches!(error, SocketError::Foreign { .. }), "{error:?}");
    assert!(UnixStream::connect(&path).await.is_ok(), "it is still there");
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let (folder, path) = place();
    fs::create_dir_all(folder_of(&path)).expect("a folder");
    fs::write(&path, "dear diary").expect("a file");
    let error = Socket::bind(&path).await.expect_err("a file is in the way");
    assert!(matches!(error, SocketError::NotASocket { what: "a file", .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&path).expect("it is still there"), "dear diary");
    let left = fs::read_dir(folder_of(&path)).expect("a folder").count();
    assert_eq!(left, 1, "no lock is left");

    let error = Socket::bind(folder_of(&path)).await.expect_err("a folder is in the way");
    assert!(matches!(error, SocketError::NotASocket { what: "a folder", .. }), "{error:?}");

    let link = folder.path().join("link.sock");
    symlink(&path, &link).expect("a link");
    let error = Socket::bind(&link).await.expect_err("a link is in the way");
    assert!(matches!(error, SocketError::NotASocket { what: "a symbolic link", .. }), "{error:?}");
}

#[tokio::test]
async fn a_lock_file_that_is_a_link_is_not_written_through() {
    let (folder, path) = place();
    fs::create_dir_all(folder_of(&path)).expect("a folder");
    let precious = folder.path().join("precious");
    fs::write(&precious, "gold").expect("a file");
    let mut lock = path.clone().into_os_string();
    lock.push(".lock");
    symlink(&precious, &lock).expect("a link");
    let error = Socket::bind(&path).await.expect_err("a link is no lock");
    assert!(matches!(error, SocketError::System { what: "cannot lock", .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&precious).expect("it is still there"), "gold");
}

#[tokio::test]
async fn a_path_that_the_system_cannot_hold_is_told_so() {
    let folder = tempdir().expect("a temporary folder");
    let long = folder.path().join("x".repeat(PATH_LIMIT));
    let error = Socket::bind(&long).await.expect_err("too long");
    assert!(matches!(error, SocketError::TooLong { .. }), "{error:?}");
    assert!(error.to_string().contains("107"), "{error}");

    let fits = PATH_LIMIT - folder.path().as_os_str().len() - 1;
    let longest = folder.path().join("x".repeat(fits));
    assert_eq!(longest.as_os_str().len(), PATH_LIMIT);
    Socket::bind(&longest).await.expect("the longest path that is said to fit does fit");

    let error = Socket::bind(Path::new("/")).await.expect_err("no file");
    assert!(matches!(error, SocketError::NoFile { .. }), "{error:?}");
}
