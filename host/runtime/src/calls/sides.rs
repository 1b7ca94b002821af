//! The providers that a cluster's calls go to: one, and two while it moves from one to the other.

use std::{borrow::Cow, path::Path, sync::Arc};

use longshore_config::{ClusterConfig, Secret};
use longshore_providers::{Provider, Veiled};
use longshore_scaling::{ProviderTraits, Side, State, Trouble};

use super::{Caller, teller::password, traits};
use crate::{registry::Made, view::Libraries};

/// A side's provider, where it is there.
pub(crate) struct OneSide {
    pub(super) side: Side,
    pub(super) made: Made,
    /// The password that the provider's log lines do not tell, and what keeps them from it.
    pub(super) veiled: Option<(Secret, Veiled)>,
}

impl OneSide {
    pub(crate) fn new(side: Side, made: Made) -> Self {
        Self { side, made, veiled: None }
    }

    fn traits(&self) -> Option<ProviderTraits> {
        self.made.as_deref().ok().map(traits)
    }

    fn library(&self) -> Option<&Path> {
        self.made.as_ref().ok().map(|provider| provider.library().path())
    }

    /// Keeps the password that the provider is about to be given out of what it logs.
    fn veil(&mut self, wanted: Option<Secret>) {
        let veiled = self.veiled.as_ref().map(|(password, _)| password);
        if wanted.as_ref() == veiled {
            return;
        }
        self.veiled = wanted.zip(self.made.as_ref().ok()).map(|(password, provider)| {
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
        &left.unwrap_or(&self.here).made
    }

    /// Calls another provider on a side from now on. Calls under way end with the one that they began with. True where it is
    /// not the one that was there.
    pub(crate) fn turn_to(&mut self, side: Side, provider: Arc<Provider>) -> bool {
        let Some(one) = self.sides_mut().find(|one| one.side == side) else { return false };
        let is_other = !one.made.as_ref().is_ok_and(|current| Arc::ptr_eq(current, &provider));
        one.made = Ok(provider);
        is_other
    }

    /// Calls nobody on a side from now on; why, is told of all that is to be done there. Calls under way end with the provider
    /// that they began with.
    pub(crate) fn do_without(&mut self, side: Side, trouble: Trouble) {
        if let Some(one) = self.sides_mut().find(|one| one.side == side) {
            one.made = Err(trouble);
        }
    }

    /// Launches on another provider from now on, as the cluster does that moves. The one of before is called while it is left.
    pub(crate) fn follow(&mut self, state: &State, made: impl FnOnce() -> Made) {
        if state.side() == self.here.side {
            return;
        }
        let back = self.left.take().filter(|left| left.side == state.side());
        let next = back.unwrap_or_else(|| OneSide::new(state.side(), made()));
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

    /// What the providers can do that are there.
    pub(crate) fn traits(&self) -> Vec<(Side, ProviderTraits)> {
        self.sides().filter_map(|one| Some((one.side, one.traits()?))).collect()
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
