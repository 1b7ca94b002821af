//! The providers that a cluster's calls go to: one, and two while it moves from one to the other.

use std::{borrow::Cow, path::Path, sync::Arc};

use longshore_config::{ClusterConfig, Secret};
use longshore_providers::Veiled;
use longshore_scaling::{Command, ProviderTraits, Side, State};

use super::{Caller, teller::password, traits};
use crate::{
    registry::Made,
    serving::{AtHand, ServingStatus},
    view::Libraries,
};

/// A side's provider, where it is there.
pub(crate) struct OneSide {
    pub(super) side: Side,
    pub(super) at_hand: AtHand,
    /// The password that the provider's log lines do not tell, and what keeps them from it.
    pub(super) veiled: Option<(Secret, Veiled)>,
}

impl OneSide {
    pub(crate) fn new(side: Side, at_hand: AtHand) -> Self {
        Self { side, at_hand, veiled: None }
    }

    fn traits(&self) -> Option<ProviderTraits> {
        self.at_hand.made.as_deref().ok().map(traits)
    }

    fn library(&self) -> Option<&Path> {
        self.at_hand.made.as_ref().ok().map(|provider| provider.library().path())
    }

    /// Keeps the password that the provider is about to be given out of what it logs.
    fn veil(&mut self, wanted: Option<Secret>) {
        let veiled = self.veiled.as_ref().map(|(password, _)| password);
        if wanted.as_ref() == veiled {
            return;
        }
        self.veiled = wanted.zip(self.at_hand.made.as_ref().ok()).map(|(password, provider)| {
            let hidden = password.clone();
            let veil = move |line: &str| match hidden.hidden_in(line) {
                Cow::Owned(line) => Some(line),
                Cow::Borrowed(_) => None,
            };
            (password, provider.veil_log(Arc::new(veil)))
        });
    }
}

impl Caller {
    fn sides(&self) -> impl Iterator<Item = &OneSide> {
        std::iter::once(&self.here).chain(&self.left)
    }

    fn sides_mut(&mut self) -> impl Iterator<Item = &mut OneSide> {
        std::iter::once(&mut self.here).chain(&mut self.left)
    }

    /// The provider of a side.
    pub(super) fn made(&self, side: Side) -> &Made {
        let left = self.left.as_ref().filter(|left| left.side == side);
        &left.unwrap_or(&self.here).at_hand.made
    }

    /// Calls on a side go to what is at hand from now on; where that is nobody, why is told of all that is to be done there. Calls
    /// under way end with the provider that they began with. True where there is one now that was not.
    pub(crate) fn turn_to(&mut self, side: Side, at_hand: AtHand) -> bool {
        let Some(one) = self.sides_mut().find(|one| one.side == side) else { return false };
        if at_hand.is_before(&one.at_hand) {
            return false;
        }
        let is_other = match (&one.at_hand.made, &at_hand.made) {
            (Ok(before), Ok(provider)) => !Arc::ptr_eq(before, provider),
            (Err(_), Ok(_)) => true,
            (_, Err(_)) => false,
        };
        one.at_hand = at_hand;
        is_other
    }

    /// Launches on another provider from now on, as the cluster does that moves. The one of before is called while it is left.
    pub(crate) fn follow(&mut self, state: &State, at_hand: impl FnOnce() -> AtHand) {
        if state.side() == self.here.side {
            return;
        }
        let back = self.left.take().filter(|left| left.side == state.side());
        let next = back.unwrap_or_else(|| OneSide::new(state.side(), at_hand()));
        self.left = Some(std::mem::replace(&mut self.here, next));
    }

    /// The files of the providers' libraries, where they are there.
    pub(crate) fn libraries(&self) -> Libraries<'_> {
        Libraries { here: self.here.library(), left: self.left.as_ref().and_then(OneSide::library) }
    }

    /// The file of the library of a side's provider, where it is there.
    pub(crate) fn library(&self, side: Side) -> Option<&Path> {
        self.sides().find(|one| one.side == side).and_then(OneSide::library)
    }

    /// How what serves the side that workers are launched on does so, where something does.
    pub(crate) fn serving(&self) -> Option<&ServingStatus> {
        self.here.at_hand.serving()
    }

    /// The sides that it calls.
    pub(crate) fn called_sides(&self) -> [Option<Side>; 2] {
        [Some(self.here.side), self.left.as_ref().map(|left| left.side)]
    }

    /// What the core is to know of a side's provider: what it can do, and what it is made of.
    pub(crate) fn introductions(&self, side: Side) -> Vec<Command> {
        let Some(one) = self.sides().find(|one| one.side == side) else { return Vec::new() };
        let attach = one.traits().map(|traits| Command::Attach { side, traits });
        attach.into_iter().chain(one.at_hand.introduction(side)).collect()
    }

    /// What the provider of a side can do, where it is there.
    pub(crate) fn traits_of(&self, side: Side) -> Option<ProviderTraits> {
        self.sides().find(|one| one.side == side)?.traits()
    }

    /// Keeps the password that the providers are about to be given out of what they log.
    pub(super) fn veil(&mut self, config: &ClusterConfig) {
        let wanted = password(config);
        for one in self.sides_mut() {
            one.veil(wanted.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use longshore_config::ProviderConfig;
    use longshore_scaling::{Time, Trouble};
    use longshore_store::{Journal, SqliteJournal};
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        clock::Clock,
        quarantine::Quarantines,
        registry::{Installed, Shared},
    };

    #[tokio::test]
    async fn what_was_seen_of_a_provider_earlier_does_not_take_the_place_of_what_was_seen_later() {
        let clock = Clock::start(Time::default());
        let journal: Arc<dyn Journal> = Arc::new(SqliteJournal::in_memory());
        let shared = Shared::new(Quarantines::of(Vec::new(), journal, clock).expect("it is empty"), clock);
        let look = |why: &str| {
            let config = serde_json::json!({ "name": "one", "plugin": "memory" });
            let config = serde_json::from_value::<ProviderConfig>(config).expect("it is one");
            let installed = Installed { config, made: Err(Trouble::new(why)) };
            shared.registry().providers.insert("one".to_owned(), installed);
            shared.at_hand("one", "web")
        };
        let side = Side::default();
        let (first, second, third) = (look("first"), look("second"), look("third"));
        let mut caller = Caller::new("web".into(), OneSide::new(side, first), None, mpsc::channel(1).0);
        let mut why = |at_hand| {
            caller.turn_to(side, at_hand);
            caller.made(side).as_ref().err().map(ToString::to_string)
        };
        assert_eq!(why(third).as_deref(), Some("third"));
        assert_eq!(why(second).as_deref(), Some("third"));
    }
}
