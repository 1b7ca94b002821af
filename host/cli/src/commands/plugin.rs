//! Commands that look at plugins. None needs a host.

use longshore_http::{
    Client, ClientError,
    wire::{Plugin, PluginList, PluginPlace, ProviderStatus},
};
use longshore_plugin_api::{Metadata, PanicStrategy};
use longshore_providers::{Library, Sealed};
use longshore_runtime::look_at_plugins;
use serde::Serialize;
use serde_json::Value;

use super::{client, plugins, quarantine, search_path, swap::generations};
use crate::{
    args::Global,
    exit::Failure,
    output::Output,
    render::{clean, clean_lines},
    table::table,
};

/// How many digits of a hash are shown: enough to name it by.
const HASH_SHOWN: usize = 12;

/// The plugins that were found, for `--json`.
#[derive(Serialize)]
struct Listed {
    /// `host`, or `here` where none listens or folders are named.
    found_by: &'static str,
    #[serde(flatten)]
    plugins: PluginList,
    /// The host's providers, with their generations.
    providers: Vec<ProviderStatus>,
    /// The providers that the host could not make.
    missing: Vec<Missing>,
}

/// A provider that is not there, and is tried again.
#[derive(Serialize)]
struct Missing {
    provider: String,
    /// What its configuration calls its plugin.
    plugin: String,
    why: String,
}

/// A plugin, for `--json`.
#[derive(Serialize)]
struct Inspected<'a> {
    path: String,
    /// The SHA-256 of the file, in hexadecimal.
    hash: &'a str,
    #[serde(flatten)]
    metadata: &'a Metadata,
}

pub(super) async fn list(global: &Global, output: &Output) -> Result<(), Failure> {
    // Folders that are named here are not the host's.
    let listed = if global.plugin_path.is_empty() { ask(&client(global)?).await? } else { None };
    let listed = if let Some(listed) = listed {
        listed
    } else {
        let plugins = look_at_plugins(&plugins(global, None), &[]).await;
        Listed { found_by: "here", plugins, providers: Vec::new(), missing: Vec::new() }
    };
    output.either(&listed, || {
        let PluginList { folders, plugins, refused, quarantined, .. } = &listed.plugins;
        let missing = listed.missing.iter().map(|it| {
            format!(
                "\nprovider {} (plugin {}) is not there: {}",
                it.provider,
                clean(&it.plugin),
                clean(&it.why)
            )
        });
        let refused = refused.iter().map(|it| {
            let users = if it.providers.is_empty() {
                String::new()
            } else {
                format!(" (of {})", it.providers.join(", "))
            };
            format!("\nrefused: {}{users}\n  {}", clean(&it.path), clean_lines(&it.why))
        });
        let mut more = missing.chain(refused).collect::<String>() + &quarantine::told(quarantined);
        if listed.providers.iter().any(|provider| !provider.generations.is_empty()) {
            more.push_str("\n\n");
            more.push_str(&generations(&listed.providers, output.width()));
        }
        if plugins.is_empty() {
            return format!("no plugins in {}{more}", folders.join(", "));
        }
        let rows = plugins.iter().map(|plugin| {
            let users =
                if plugin.providers.is_empty() { "-".to_owned() } else { plugin.providers.join(", ") };
            let version = plugin.version.as_deref().unwrap_or("-");
            (vec![clean(&plugin.name), clean(version), users, place(plugin)], anstyle::Style::new())
        });
        table(&["NAME", "VERSION", "PROVIDERS", "WHERE"], rows, output.width()) + &more
    })
}

/// Where a plugin is: its file, or by which digits the shelf knows it.
fn place(plugin: &Plugin) -> String {
    match (plugin.place, &plugin.hash) {
        (PluginPlace::Shelf, Some(hash)) => format!("shelf, {}", hash.get(..HASH_SHOWN).unwrap_or(hash)),
        _ => clean(&plugin.path),
    }
}

async fn ask(client: &Client) -> Result<Option<Listed>, Failure> {
    match client.plugins().await {
        Ok(plugins) => {
            let providers = client.providers().await?.providers;
            // Those that wait for a release are told of with their libraries.
            let missing = providers.iter().filter(|it| it.quarantined.is_none());
            let missing = missing.filter_map(|it| {
                let why = it.trouble.as_ref()?.to_string();
                Some(Missing { provider: it.name.clone(), plugin: it.plugin.clone(), why })
            });
            let missing = missing.collect();
            Ok(Some(Listed { found_by: "host", plugins, providers, missing }))
        }
        Err(ClientError::NoHost { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn inspect(global: &Global, lib: &str, output: &Output) -> Result<(), Failure> {
    let path = search_path(global).find(lib)?;
    let runner = plugins(global, None).runner;
    let opening = tokio::task::spawn_blocking(move || {
        let sealed = Sealed::read(&path)?;
        match &runner {
            Some(program) => Library::examine(sealed, program),
            None => Library::load(sealed),
        }
    });
    let library =
        opening.await.map_err(|error| Failure::internal(format_args!("loading failed: {error}")))??;
    let metadata = library.metadata();
    let document = Inspected { path: library.path().display().to_string(), hash: library.hash(), metadata };
    output.either(&document, || describe(&document, output))
}

fn describe(plugin: &Inspected<'_>, output: &Output) -> String {
    let Metadata { name, version, description, contract, api_version, panic, interfaces, .. } =
        plugin.metadata;
    let panics = match panic {
        PanicStrategy::Unwind => "unwinds: a panic is contained",
        PanicStrategy::Abort => "aborts: a panic ends the host",
    };
    let again = if plugin.metadata.idempotent_run { "launches nothing twice" } else { "launches again" };
    let mut text = format!(
        "{name} {version}\n  {description}\n  file         {}\n  sha256       {}\n  contract     {contract}, built with \
         longshore-plugin-api {api_version}\n  panic        {panics}\n  same token   {again}\n  interfaces   {}",
        plugin.path,
        plugin.hash,
        interfaces.join(", "),
    );
    text = clean_lines(&text);
    text.push_str("\n\nConfiguration ([provider.config])");
    let keys = keys(&plugin.metadata.config_schema);
    if keys.is_empty() {
        text.push_str("\n  it takes no keys, or its schema says so in another way: see --verbose");
    } else {
        let rows = keys.into_iter().map(|cells| (cells, anstyle::Style::new()));
        text.push('\n');
        text.push_str(&table(&["KEY", "TYPE", "DEFAULT", "WHAT IT IS"], rows, output.width()));
    }
    if output.is_verbose() {
        let schema = serde_json::to_string_pretty(&plugin.metadata.config_schema).unwrap_or_default();
        text.push_str("\n\nJSON Schema\n");
        text.push_str(&clean_lines(&schema));
    }
    text
}

/// The keys of a schema's top level, as a person reads them: name, type, default, description.
fn keys(schema: &Value) -> Vec<Vec<String>> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    let row = |(name, key): (&String, &Value)| {
        let default = match key.get("default") {
            _ if required.iter().any(|it| it == name) => "must be given".to_owned(),
            None | Some(Value::Null) => "-".to_owned(),
            Some(default) => default.to_string(),
        };
        let description = key["description"].as_str().unwrap_or_default();
        vec![clean(name), clean(&kind(schema, key)), clean(&default), clean(description)]
    };
    properties.iter().map(row).collect()
}

/// The type of a key in a word or two.
fn kind(schema: &Value, key: &Value) -> String {
    let word = |value: &Value| value.as_str().filter(|word| *word != "null").map(str::to_owned);
    match key.get("type") {
        Some(Value::String(word)) => return word.clone(),
        Some(Value::Array(words)) => return words.iter().filter_map(word).collect::<Vec<_>>().join(" or "),
        _ => {}
    }
    if let Some(values) = key["enum"].as_array() {
        return values.iter().map(Value::to_string).collect::<Vec<_>>().join(" or ");
    }
    if let Some(name) = key["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/")) {
        let definition = &schema["$defs"][name];
        // A definition that refers on is named rather than followed.
        return if definition.get("$ref").is_some() { name.to_owned() } else { kind(schema, definition) };
    }
    for alternatives in ["anyOf", "oneOf"] {
        if let Some(list) = key[alternatives].as_array() {
            let kinds = list.iter().filter(|it| it["type"] != "null");
            let kinds = kinds.map(|it| it.get("const").map_or_else(|| kind(schema, it), Value::to_string));
            return kinds.collect::<Vec<_>>().join(" or ");
        }
    }
    "any".to_owned()
}
