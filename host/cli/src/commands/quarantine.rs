//! Libraries that a host does not run any more, since what ran them died too often: how they are told of, and released.

use longshore_http::{Client, wire::QuarantinedLibrary};

use crate::{exit::Failure, output::Output, render::clean};

pub(super) async fn release(client: &Client, library: &str, output: &Output) -> Result<(), Failure> {
    let released = client.release(library).await?;
    output.either(&released, || {
        let again = match released.tried_again.as_slice() {
            [] => "no provider waits for it".to_owned(),
            [provider] => format!("provider {provider} is made again"),
            providers => format!("the providers {} are made again", providers.join(", ")),
        };
        format!("{} is released; {again}", named(&released.library))
    })
}

/// All of them, for people; nothing where there are none.
pub(super) fn told(libraries: &[QuarantinedLibrary]) -> String {
    let line = |library: &QuarantinedLibrary| {
        let providers: Vec<_> = library.quarantine.providers.iter().map(String::as_str).collect();
        format!(
            "\n{} is quarantined: {}\n  died       {} times, of {}\n  file       {}\n  to run it again:  longshore plugin release {}",
            named(library),
            clean(&library.quarantine.why),
            library.quarantine.deaths,
            providers.join(", "),
            clean(&library.path),
            library.short_hash(),
        )
    };
    libraries.iter().map(line).collect()
}

fn named(library: &QuarantinedLibrary) -> String {
    clean(&format!("{} {} (sha256 {})", library.plugin, library.version, library.short_hash()))
}
