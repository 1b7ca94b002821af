//! From what an operator calls a version of a plugin to its library: a file, a version, a name with a version, or what the
//! provider's configuration names by now.

use std::sync::Arc;

use longshore_config::{ProviderConfig, Trust};
use longshore_providers::{Library, is_path, named_plugin};

use crate::{
    apply::is_same_plugin,
    error::ApplyError,
    house::House,
    registry::{Installed, Made},
    swap::{SwapError, SwapRequest},
};

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    /// What the configuration names.
    AsConfigured,
    File(&'a str),
    Version {
        name: Option<&'a str>,
        version: &'a str,
    },
}

impl<'a> Target<'a> {
    fn of(to: Option<&'a str>) -> Self {
        let Some(to) = to else { return Self::AsConfigured };
        if is_path(to) {
            return Self::File(to);
        }
        match to.split_once('@') {
            Some((name, version)) => Self::Version { name: Some(name), version },
            None => Self::Version { name: None, version: to },
        }
    }
}

impl House {
    /// The library that a provider shall be swapped to.
    pub(crate) async fn find_library(
        &self,
        current: &Installed,
        request: &SwapRequest,
    ) -> Result<Arc<Library>, ApplyError> {
        let config = &current.config;
        let trust = Trust {
            sha256: request.sha256.clone().or_else(|| config.trust.sha256.clone()),
            ..config.trust.clone()
        };
        let wanted = |plugin: &str| ProviderConfig {
            plugin: plugin.to_owned(),
            trust: trust.clone(),
            ..config.clone()
        };
        let library = match Target::of(request.to.as_deref()) {
            Target::AsConfigured => self.open_new(current, &wanted(&config.plugin)).await?,
            Target::File(file) => self.open_new(current, &wanted(file)).await?,
            Target::Version { name, version } => self.find_version(current, name, version, wanted).await?,
        };
        let is_same = match &current.made {
            Ok(provider) => provider.library().metadata().name == library.metadata().name,
            Err(_) => is_same_plugin(&config.plugin, &library.path().display().to_string(), &library),
        };
        if is_same {
            return Ok(library);
        }
        Err(SwapError::AnotherKind {
            provider: config.name.clone(),
            kind: kind(current),
            other: library.metadata().name.clone(),
            path: library.path().to_owned(),
        }
        .into())
    }

    async fn open_new(
        &self,
        current: &Installed,
        wanted: &ProviderConfig,
    ) -> Result<Arc<Library>, ApplyError> {
        self.workshop.open_library(wanted, Some(&current.made), &self.shared.quarantines).await
    }

    /// A version by its number: the one that served before, or one of the shelf or of the plugin folders.
    async fn find_version(
        &self,
        current: &Installed,
        name: Option<&str>,
        version: &str,
        wanted: impl Fn(&str) -> ProviderConfig,
    ) -> Result<Arc<Library>, ApplyError> {
        let (provider, kind) = (&current.config.name, kind(current));
        let name = name.unwrap_or(&kind);
        if name == kind
            && let Some(library) = self.known_version(current, version).await?
        {
            return Ok(library);
        }
        // The shelf knows versions; in the folders it is a part of the file's name, or the file has the plugin's bare name.
        let places = [format!("{name}@{version}"), format!("{name}-{version}"), name.to_owned()];
        let mut found = Vec::new();
        for place in &places {
            let library = match self.open_new(current, &wanted(place)).await {
                Ok(library) => library,
                Err(ApplyError::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            if library.metadata().version == version {
                return Ok(library);
            }
            found.push(format!("{} is {}", library.path().display(), library.metadata().version));
        }
        let (provider, version) = (provider.clone(), format!("{name} {version}"));
        Err(SwapError::NoSuchVersion { provider, version, places: places.to_vec(), found }.into())
    }

    /// A version that this host has, or has had.
    async fn known_version(
        &self,
        current: &Installed,
        version: &str,
    ) -> Result<Option<Arc<Library>>, ApplyError> {
        if let Ok(serving) = &current.made
            && serving.library().metadata().version == version
        {
            return Ok(Some(Arc::clone(serving.library())));
        }
        let name = &current.config.name;
        let before = {
            let registry = self.shared.registry();
            let before = registry.generations.get(name).and_then(|generations| generations.before.as_ref());
            let before = before.filter(|before| before.origin.version == version);
            before.map(|before| (before.library.clone(), before.origin.clone()))
        };
        let Some((library, origin)) = before else { return Ok(None) };
        self.shared.quarantines.admit(name, &origin.hash)?;
        match library {
            Some(library) => Ok(Some(library)),
            // Whatever lies there now, the folders may have it as well.
            None => Ok(self.workshop.open_exactly(&current.config, &origin).await.ok()),
        }
    }
}

/// The plugin's own name; of a provider that is not there, what its configuration calls it.
fn kind(current: &Installed) -> String {
    match &current.made as &Made {
        Ok(provider) => provider.library().metadata().name.clone(),
        Err(_) => named_plugin(&current.config.plugin).unwrap_or_else(|| current.config.plugin.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_from_a_version() {
        let file = format!("memory{}", std::env::consts::DLL_SUFFIX);
        for (to, target) in [
            (None, Target::AsConfigured),
            (Some("./x"), Target::File("./x")),
            (Some(&*file), Target::File(&file)),
            (Some("1.2.3"), Target::Version { name: None, version: "1.2.3" }),
            (Some("memory@1.2.3"), Target::Version { name: Some("memory"), version: "1.2.3" }),
            (Some("/a@b/x"), Target::File("/a@b/x")),
        ] {
            assert_eq!(Target::of(to), target, "{to:?}");
        }
    }
}
