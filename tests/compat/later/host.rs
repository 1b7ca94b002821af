//! A host of a later release: `later-host LIB` does what the first one does, and asks for an interface more.
#![expect(unsafe_code, reason = "a host's side of the boundary is unsafe")]

use std::{env, path::Path};

use later_host::{Outcome, context, done, open};
use longshore_plugin_abi::{MetricsV1, RootModuleRef, WorkersV1};

fn main() -> Outcome<()> {
    let path = env::args_os().nth(1).ok_or("later-host LIB")?;
    let plugin = open(Path::new(&path))?;
    let instance = plugin.drive()?;
    let metrics = match plugin.table::<MetricsV1>()? {
        None => "nothing".to_owned(),
        Some(table) => {
            let workers = plugin.table::<WorkersV1>()?.ok_or("it has no workers")?;
            let request = r#"{"container":{},"hardware":{},"workers":2,"token":"launch-2","novel":[1]}"#;
            // SAFETY: the tables and the instance are of one library, and the context lives for longer.
            done(unsafe { (workers.run)(&instance, &context(), request.into()) })?;
            // SAFETY: as above.
            format!("{} alive", done(unsafe { (table.alive)(&instance, &context()) })?)
        }
    };
    drop(instance);
    let (name, version) = (&plugin.metadata["name"], RootModuleRef::expected_version());
    println!("{name} has {}; longshore.metrics/1 of {version}: {metrics}", plugin.answers().join(" "));
    Ok(())
}
