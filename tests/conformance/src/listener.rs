//! The listener: a server that takes connections on a port, for as long as a folder is there, so that it ends with its check
//! whatever the provider does. It is the program that runs the check, for providers whose servers can run one.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::ExitCode,
    time::Duration,
};

/// The first argument of a listener; the port and the folder follow.
pub(crate) const FLAG: &str = "--longshore-conformance-listener";

/// The pause between two looks at the port and the folder.
const LOOK: Duration = Duration::from_millis(50);

/// The program itself. `arguments` are those after [`FLAG`].
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let [port, folder] = arguments else { return ExitCode::from(2) };
    let Ok(port) = port.parse::<u16>() else { return ExitCode::from(2) };
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
    let Ok(listener) = listener.and_then(|listener| listener.set_nonblocking(true).map(|()| listener)) else {
        return ExitCode::FAILURE;
    };
    while Path::new(folder).exists() {
        match listener.accept() {
            // Whoever has come through has seen what there is to see.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(LOOK),
            Err(_) => return ExitCode::FAILURE,
        }
    }
    ExitCode::SUCCESS
}
