//! Commands that give the host plugins to keep, and take them back.

use longshore_http::{
    Client,
    wire::{AddPlugin, AddedPlugin, RemovedPlugin},
};

use crate::{args, exit::Failure, output::Output, render::clean_lines};

pub(super) async fn add(client: &Client, add: &args::AddPlugin, output: &Output) -> Result<(), Failure> {
    let args::AddPlugin { file, sha256, signed_by } = add;
    // The host has a folder of its own that it works in.
    let path = std::path::absolute(file).unwrap_or_else(|_| file.clone());
    let wanted = AddPlugin { path, sha256: sha256.clone(), signed_by: signed_by.clone() };
    let added = client.add_plugin(&wanted).await?;
    output.either(&added, || told(&added))
}

fn told(added: &AddedPlugin) -> String {
    let AddedPlugin { name, version, hash, path, signer, .. } = added;
    let signed =
        signer.as_ref().map(|signer| format!("\n  signed by    {} ({})", signer.key, signer.comment));
    let text = format!(
        "{name} {version} is on the shelf; a configuration names it as {name}@{version}\n  file         {path}\n  \
         sha256       {hash}{}",
        signed.unwrap_or_default()
    );
    clean_lines(&text)
}

pub(super) async fn remove(client: &Client, plugin: &str, output: &Output) -> Result<(), Failure> {
    let removed = client.remove_plugin(plugin).await?;
    output.either(&removed, || {
        let RemovedPlugin { name, version, hash } = &removed;
        let what = match (name, version) {
            (Some(name), Some(version)) => format!("{name} {version}"),
            _ => "what was damaged".to_owned(),
        };
        clean_lines(&format!("{what} (sha256 {hash}) is off the shelf"))
    })
}
