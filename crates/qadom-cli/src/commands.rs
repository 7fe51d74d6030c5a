//! The work of each verb, one file a verb.

mod backup;
mod bag;
mod bench;
mod block;
mod daemon;
mod demo;
mod detach;
mod dict;
mod doctor;
mod ephemeral;
mod file;
mod get;
mod guides;
mod identity;
mod input;
mod join;
mod lookup;
mod mode;
mod namespace;
mod node;
mod passphrase;
mod peers;
mod ping;
mod publications;
mod put;
mod sim;
mod status;
mod stop;
mod store;
mod testnet;
mod topic;

use std::path::PathBuf;

use etcetera::BaseStrategy;
use etcetera::base_strategy::Xdg;
use qadom_http::Client;
use qadom_node::Reason;

use ephemeral::Ephemeral;

use crate::args::{Arguments, Global, Node, Verb};
use crate::error::Failure;
use crate::output::{self, Output};
use crate::settings;

/// Does what was asked for, with a daemon or with a node for this command alone.
pub(crate) async fn run(mut arguments: Arguments, output: Output) -> anyhow::Result<()> {
    let Some(addresses) = arguments.global.ephemeral.take() else {
        return carry_out(arguments, output).await;
    };
    let global = &arguments.global;
    let node = Ephemeral::start(&mut arguments.verb, &addresses, global).await?;
    arguments.global.socket = Some(node.socket());
    let result = carry_out(arguments, output).await;
    node.end().await;
    result
}

async fn carry_out(arguments: Arguments, output: Output) -> anyhow::Result<()> {
    let global = &arguments.global;
    match arguments.verb {
        Verb::Node(node) => start(&node, global, output).await,
        Verb::Demo(demo) => demo::run(&demo, output).await,
        Verb::Testnet(testnet) => testnet::run(&testnet, output).await,
        Verb::Bench(bench) => bench::run(&bench, output).await,
        Verb::Sim(sim) => sim::run(sim, output).await,
        Verb::Stop => stop::run(&client(global)?, output).await,
        Verb::Put(put) => put::run(&put, &client(global)?, output).await,
        Verb::Get(get) => get::run(get, global, output).await,
        Verb::Dict(dict) => dict::run(dict, &client(global)?, output).await,
        Verb::Bag(bag) => bag::run(bag, &client(global)?, output).await,
        Verb::Namespace(namespace) => namespace::run(namespace, &client(global)?, output).await,
        Verb::Topic(topic) => topic::run(topic, &client(global)?, output).await,
        Verb::Watch(watch) => topic::watch(&watch, &client(global)?, output).await,
        Verb::File(file) => file::run(file, &client(global)?, output).await,
        Verb::Publications(verb) => publications::run(&verb, &client(global)?, output).await,
        Verb::Identity(identity) => identity::run(identity, &client(global)?, output).await,
        Verb::Block(what) => block::block(what, &client(global)?, output).await,
        Verb::Unblock(what) => block::unblock(what, &client(global)?, output).await,
        Verb::Backup(backup) => backup::backup(backup, global, output).await,
        Verb::Restore(backup) => backup::restore(backup, global, output).await,
        Verb::Store(store) => store::run(store, global, output).await,
        Verb::Status => status::run(&client(global)?, output).await,
        Verb::Doctor => doctor::run(&client(global)?, output).await,
        Verb::Peers => peers::run(&client(global)?, output).await,
        Verb::Lookup(lookup) => lookup::run(&lookup, &client(global)?, output).await,
        Verb::Ping(ping) => ping::run(&ping, &client(global)?, output).await,
        Verb::Join(join) => join::run(&join, &client(global)?, output).await,
        Verb::Mode(mode) => mode::run(&mode, &client(global)?, output).await,
        Verb::Completions(completions) => guides::completions(&completions),
        Verb::Man(man) => guides::man(&man, output),
    }
}

/// Runs a daemon with its settings, here or in the background, or prints them.
async fn start(node: &Node, global: &Global, output: Output) -> anyhow::Result<()> {
    let folder = data_dir(global)?;
    let line = std::env::args_os().collect::<Vec<_>>();
    let settings = settings::read(node, &folder, line.clone())?;
    if settings.node.start.print_config {
        return output::bytes(settings.print().as_bytes());
    }
    if settings.node.start.detach {
        return detach::run(&folder, line, output).await;
    }
    node::run(settings.node, global, output).await
}

/// The data folder: as named, or the user's own.
fn data_dir(global: &Global) -> Result<PathBuf, Failure> {
    if let Some(folder) = &global.data_dir {
        return Ok(folder.clone());
    }
    let places = Xdg::new().map_err(|error| {
        Failure::new(
            Reason::FolderUnusable,
            format!("there is no place for the data: {error}"),
        )
        .with_advice("name a folder with --data-dir")
    })?;
    Ok(places.data_dir().join("qadom"))
}

/// The name of the control socket in a data folder.
const CONTROL_SOCKET: &str = "control.sock";

/// The control socket: as named, or the one in the data folder.
fn socket(global: &Global) -> Result<PathBuf, Failure> {
    match &global.socket {
        Some(path) => Ok(path.clone()),
        None => Ok(data_dir(global)?.join(CONTROL_SOCKET)),
    }
}

/// The daemon that the verb asks.
fn client(global: &Global) -> Result<Client, Failure> {
    socket(global).map(Client::new)
}
