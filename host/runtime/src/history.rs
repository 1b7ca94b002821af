//! A cluster's history: what was decided, when and why, as its journal has it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

use longshore_config::redact_definition;
use longshore_providers::check_command;
use longshore_scaling::{Change, HandleId, LaunchId, Names, Time, tell};
use longshore_store::{Entry, Numbered};
use serde::{Deserialize, Serialize};

use crate::{error::CommandError, host::Host, message::Message};

/// How many entries before a page are looked through, at a time, for the names of those that it tells of.
const NAME_PAGE: usize = 1_000;
/// How often that is done; whoever came still earlier is called by its number.
const NAME_PAGES: usize = 10;

/// One thing that happened to a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When, in milliseconds since the epoch; none for a definition, which comes with the command after it.
    pub at: Option<Time>,
    /// For a person.
    pub text: String,
    /// The command that shows it again with the library of today, where the provider broke a clause of the contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// For a program.
    #[serde(flatten)]
    pub entry: Numbered,
}

/// A page of a cluster's history, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryPage {
    /// These.
    pub entries: Vec<HistoryEntry>,
}

impl Host {
    /// At most `limit` entries of a cluster's history before a number, or its latest; oldest first.
    ///
    /// # Errors
    ///
    /// There is no such cluster, or the journal cannot be read.
    pub async fn history(
        &self,
        cluster: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Result<HistoryPage, CommandError> {
        let uid = self.house.ask(cluster, Message::Uid).await?;
        let page = self.house.journal.history(cluster, before, limit).await?;
        let mut names = Known { uid, handles: BTreeMap::new(), wanted: BTreeSet::new() };
        names.learn(&page);
        if !names.wanted.is_empty() {
            let wanted = names.wanted.iter().copied().collect();
            let live = self.house.ask(cluster, |reply| Message::Names { handles: wanted, reply }).await?;
            names.know(live);
        }
        // Those that are gone were named when they came.
        let mut oldest = page.first().map(|entry| entry.number);
        for _ in 0..NAME_PAGES {
            let Some(before) = oldest.filter(|_| !names.wanted.is_empty()) else { break };
            let earlier = self.house.journal.history(cluster, Some(before), NAME_PAGE).await?;
            names.learn_names(&earlier);
            oldest = earlier.first().map(|entry| entry.number);
        }
        let library = self.house.library_of(cluster);
        let entries = page.into_iter().map(|numbered| told(numbered, &names, library.as_deref()));
        Ok(HistoryPage { entries: entries.collect() })
    }
}

fn told(mut entry: Numbered, names: &Known, library: Option<&Path>) -> HistoryEntry {
    let (at, text, clause) = match &mut entry.entry {
        Entry::Defined(definition) => {
            // Whoever may see what was done need not know the password.
            redact_definition(definition);
            (None, "defined, as the configuration says".to_owned(), None)
        }
        Entry::Happened(record) => {
            let clause = record.change.trouble().and_then(|trouble| trouble.clause.as_deref());
            (Some(record.at), tell(&record.change, names), clause)
        }
    };
    let check = library.zip(clause).map(|(library, clause)| check_command(library, clause));
    HistoryEntry { at, text, check, entry }
}

/// The names of a cluster's handles, as far as they were found out.
#[derive(Debug)]
struct Known {
    uid: u64,
    handles: BTreeMap<HandleId, Arc<str>>,
    /// Those whose names are not known yet.
    wanted: BTreeSet<HandleId>,
}

impl Known {
    fn learn(&mut self, page: &[Numbered]) {
        for change in changes(page) {
            self.wanted.extend(change.known_handles());
        }
        self.learn_names(page);
    }

    fn learn_names(&mut self, page: &[Numbered]) {
        let new = changes(page).flat_map(Change::new_handles);
        self.know(new.map(|new| (new.id, Arc::clone(&new.name))).collect());
    }

    fn know(&mut self, names: Vec<(HandleId, Arc<str>)>) {
        for (id, name) in names {
            if self.wanted.remove(&id) {
                self.handles.insert(id, name);
            }
        }
    }
}

fn changes(page: &[Numbered]) -> impl Iterator<Item = &Change> {
    page.iter().filter_map(|numbered| match &numbered.entry {
        Entry::Happened(record) => Some(&record.change),
        Entry::Defined(_) => None,
    })
}

impl Names for Known {
    fn token(&self, launch: LaunchId) -> String {
        launch.token(self.uid)
    }

    fn handle(&self, id: HandleId) -> Option<Arc<str>> {
        self.handles.get(&id).cloned()
    }
}
