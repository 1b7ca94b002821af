//! The commands, a file for each group of them.

pub(crate) mod author;
mod backend;
mod begin;
mod change;
mod configure;
mod conformance;
mod host;
mod plugin;
mod provider;
mod quarantine;
mod recover;
mod shelf;
mod show;
mod state;
mod swap;

use std::{
    path::{self, Path, PathBuf},
    sync::Arc,
};

use longshore_http::{Client, socket};
use longshore_providers::{RunnerProgram, SearchPath, Shelf};
use longshore_runtime::Plugins;

use crate::{
    args::{Cli, Command, Global, Plugin},
    exit::Failure,
    output::Output,
};

/// The folder in the state folder that plugins are kept in.
const SHELF: &str = "plugins";

/// Does what the command line asks for.
pub(crate) async fn run(cli: &Cli, output: &Output) -> Result<(), Failure> {
    let global = &cli.global;
    match &cli.command {
        Command::Up(up) => host::up(global, up, output).await,
        Command::Serve(serve) => host::serve(global, serve, output).await,
        Command::Apply(apply) => configure::apply(&client(global)?, apply, output).await,
        Command::Plan(file) => configure::plan(global, &file.file, output).await,
        Command::Scale(scale) => change::scale(&client(global)?, scale, output).await,
        Command::Start(change) => change::start(&client(global)?, change, output).await,
        Command::Stop(change) => change::stop(&client(global)?, change, output).await,
        Command::Server(server) => backend::server(&client(global)?, server, output).await,
        Command::Cleanup(cleanup) => backend::clean_up(&client(global)?, cleanup, output).await,
        Command::Delete(delete) => change::delete(&client(global)?, delete, output).await,
        Command::Update(of) => change::update(&client(global)?, &of.cluster, output).await,
        Command::Status(status) => show::status(&client(global)?, status, output).await,
        Command::Workers(workers) => show::workers(&client(global)?, workers, output).await,
        Command::Explain(of) => show::explain(&client(global)?, &of.cluster, output).await,
        Command::History(history) => recover::history(&client(global)?, history, output).await,
        Command::Reconnect(it) => recover::reconnect(&client(global)?, it, output).await,
        Command::Resolve(resolve) => recover::resolve(&client(global)?, resolve, output).await,
        Command::Swap(asked) => swap::swap(&client(global)?, asked, output).await,
        Command::Rollback(of) => swap::rollback(&client(global)?, &of.provider, output).await,
        Command::State(state) => state::run(state, output).await,
        Command::Conformance(asked) => conformance::run(global, asked, output).await,
        Command::Plugin(Plugin::New(new)) => author::new(new, output),
        Command::Plugin(Plugin::List) => plugin::list(global, output).await,
        Command::Plugin(Plugin::Add(add)) => shelf::add(&client(global)?, add, output).await,
        Command::Plugin(Plugin::Remove { plugin }) => shelf::remove(&client(global)?, plugin, output).await,
        Command::Plugin(Plugin::Release { library }) => {
            quarantine::release(&client(global)?, library, output).await
        }
        Command::Plugin(Plugin::Show { provider }) => {
            provider::show(&client(global)?, provider, output).await
        }
        Command::Plugin(Plugin::Inspect { lib }) => plugin::inspect(global, lib, output).await,
    }
}

fn socket_path(global: &Global) -> PathBuf {
    // A variable that is set to nothing is not set.
    let named = global.socket.clone().filter(|path| !path.as_os_str().is_empty());
    named.unwrap_or_else(socket::default_path)
}

fn client(global: &Global) -> Result<Client, Failure> {
    Ok(Client::new(&socket_path(global))?)
}

/// Where a host finds plugins, and what it runs them in: this program itself. What it keeps of them is in its state folder.
fn plugins(global: &Global, state: Option<&Path>) -> Plugins {
    let runner = RunnerProgram::own().inspect_err(|error| {
        tracing::warn!(
            "providers cannot run in processes of their own, as this program cannot be found: {error}"
        );
    });
    let shelf = state.map(|folder| Arc::new(Shelf::new(folder.join(SHELF))));
    Plugins { search: search_path(global), runner: runner.ok(), shelf, ..Plugins::default() }
}

/// The folders to look for plugins in, by paths that mean the same to everybody who is told of them.
fn search_path(global: &Global) -> SearchPath {
    let absolute = |folder: &PathBuf| path::absolute(folder).unwrap_or_else(|_| folder.clone());
    SearchPath::new(global.plugin_path.iter().map(absolute))
}
