//! The first release's host: `first-host LIB` does everything with a plugin that a host does, and says what it has.

use std::{env, path::Path};

use first_host::{Outcome, open};

fn main() -> Outcome<()> {
    let path = env::args_os().nth(1).ok_or("first-host LIB")?;
    let plugin = open(Path::new(&path))?;
    drop(plugin.drive()?);
    println!("{} has {}", plugin.metadata["name"], plugin.answers().join(" "));
    Ok(())
}
