//! The truth: which containers there really are. Nothing here is ever wrong, late or lost; that is the provider's part.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use longshore_scaling::{Address, Seen, Side};

/// Whose a container is, and how it came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A launch of the cluster brought it.
    Launched,
    /// It carries the cluster's name, and its provider never said that it would come: nobody can know of it before a list has
    /// told.
    Rogue,
    /// It is another cluster's.
    Neighbour,
}

/// A container's name, and the side whose provider calls it so: another provider calls another container so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    pub(crate) side: Side,
    pub(crate) text: Arc<str>,
}

impl Name {
    pub(crate) fn new(side: Side, text: &Arc<str>) -> Self {
        Self { side, text: Arc::clone(text) }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.side {
            Side(0) => f.write_str(&self.text),
            Side(side) => write!(f, "{}@{side}", self.text),
        }
    }
}

/// A container, with all that ever became of it.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) workers: u32,
    pub(crate) token: String,
    pub(crate) origin: Origin,
    pub(crate) born: u64,
    /// When lists begin to name it.
    pub(crate) listed_from: u64,
    /// Since when it was how; never empty.
    history: Vec<(u64, Seen)>,
}

impl Container {
    pub(crate) fn status(&self) -> Seen {
        self.history.last().map_or(Seen::Stopped, |(_, status)| *status)
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.status() != Seen::Stopped
    }

    /// How it was at a moment of the past; before its birth it was initializing, as far as anybody can say who knows its name.
    pub(crate) fn status_at(&self, at: u64) -> Seen {
        let before = self.history.iter().rev().find(|(since, _)| *since <= at);
        before.map_or(Seen::Initializing, |(_, status)| *status)
    }
}

/// What the backend knows of one launch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Token {
    pub(crate) asked: u32,
    /// The side whose provider was asked.
    pub(crate) side: Side,
    /// Workers that were ever created for it, those aside that came unannounced.
    pub(crate) created: u32,
    /// Calls that may still create something for it.
    pub(crate) open: u32,
    /// Whether an idempotent backend has said all that will ever come of it.
    pub(crate) sealed: bool,
}

impl Token {
    /// Workers that may still come to be.
    pub(crate) fn potential(&self) -> u32 {
        if self.open == 0 || self.sealed { 0 } else { self.asked - self.created }
    }
}

/// The cluster's server, while it is there: an idempotent backend has one at most.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) number: u64,
    pub(crate) address: Address,
    pub(crate) is_running: bool,
    pub(crate) is_reachable: bool,
}

/// The address of a server that is at the home of this number.
pub(crate) fn address(home: u32) -> Address {
    Address { host: format!("server-{home}"), port: Some(6_379) }
}

/// All containers, all launches, and the server.
#[derive(Debug, Default)]
pub(crate) struct Backend {
    pub(crate) server: Option<Server>,
    /// Calls that may still start a server for the cluster.
    pub(crate) server_runs_open: u32,
    servers_made: u64,
    containers: BTreeMap<Name, Container>,
    /// Those that live, to be quick.
    alive: BTreeSet<Name>,
    pub(crate) tokens: BTreeMap<String, Token>,
    /// How many there ever were, of each side's provider.
    created: BTreeMap<Side, u64>,
}

impl Backend {
    /// Makes one container; says its name.
    pub(crate) fn create(&mut self, side: Side, token: &str, workers: u32, origin: Origin, now: u64) -> Name {
        let created = self.created.entry(side).or_default();
        *created += 1;
        let text = match origin {
            Origin::Neighbour => format!("neighbour-{created}"),
            Origin::Launched | Origin::Rogue => format!("c{created}"),
        };
        let name = Name { side, text: text.into() };
        let history = vec![(now, Seen::Initializing)];
        let token = token.to_owned();
        let container = Container { workers, token, origin, born: now, listed_from: now, history };
        self.containers.insert(name.clone(), container);
        self.alive.insert(name.clone());
        name
    }

    /// Starts the server, where there is none; says its number then.
    pub(crate) fn start_server(&mut self, home: u32) -> Option<u64> {
        if self.server.is_some() {
            return None;
        }
        self.servers_made += 1;
        let number = self.servers_made;
        let address = address(home);
        self.server = Some(Server { number, address, is_running: false, is_reachable: true });
        Some(number)
    }

    /// The server of that number, if it is still there.
    pub(crate) fn server_mut(&mut self, number: u64) -> Option<&mut Server> {
        self.server.as_mut().filter(|server| server.number == number)
    }

    pub(crate) fn get(&self, name: &Name) -> Option<&Container> {
        self.containers.get(name)
    }

    pub(crate) fn hide_from_lists(&mut self, name: &Name, until: u64) {
        if let Some(container) = self.containers.get_mut(name) {
            container.listed_from = until;
        }
    }

    /// A container changes, unless it has stopped: there is no way back from that. Says whether it did.
    pub(crate) fn set(&mut self, name: &Name, status: Seen, now: u64) -> bool {
        let Some(container) = self.containers.get_mut(name) else { return false };
        if !container.is_alive() || container.status() == status {
            return false;
        }
        container.history.push((now, status));
        if status == Seen::Stopped {
            self.alive.remove(name);
        }
        true
    }

    /// A cluster of the same name begins anew: what lived on from before, nobody has promised it.
    pub(crate) fn disown(&mut self) {
        for name in &self.alive {
            if let Some(container) = self.containers.get_mut(name)
                && container.origin == Origin::Launched
            {
                container.origin = Origin::Rogue;
            }
        }
        self.tokens.clear();
        // Whoever gave a cluster up with its server has removed that since, or the next one would take it for its own.
        (self.server, self.server_runs_open) = (None, 0);
    }

    /// All that live, of whatever cluster.
    pub(crate) fn alive(&self) -> impl Iterator<Item = (&Name, &Container)> {
        self.alive.iter().filter_map(|name| self.containers.get_key_value(name))
    }

    /// Those of the cluster that live.
    pub(crate) fn ours(&self) -> impl Iterator<Item = (&Name, &Container)> {
        self.alive().filter(|(_, container)| container.origin != Origin::Neighbour)
    }

    /// All that ever were, of a side's provider.
    pub(crate) fn all(&self, side: Side) -> impl Iterator<Item = (&Name, &Container)> {
        self.containers.iter().filter(move |(name, _)| name.side == side)
    }

    /// Those of one launch, dead or alive.
    pub(crate) fn of_token(&self, token: &str) -> Vec<(Arc<str>, u32)> {
        let of_it = |container: &Container| container.token == token && container.origin == Origin::Launched;
        let found = self.containers.iter().filter(|(_, container)| of_it(container));
        found.map(|(name, container)| (Arc::clone(&name.text), container.workers)).collect()
    }
}
