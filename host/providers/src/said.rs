//! What a plugin says of itself, read and checked: its metadata, and the schema of its configuration. No code of the plugin
//! is needed to hold a configuration against it.

use std::path::Path;

use longshore_plugin_abi::{CONTRACT_VERSION, ids};
use longshore_plugin_api::{Metadata, PanicStrategy};

use crate::{
    error::{Function, LoadError, LoadErrorKind},
    schema::ConfigSchema,
};

/// The longest metadata, in bytes: a schema of thousands of fields is shorter, and as a tree of values it takes many times as much.
pub const MAX_METADATA_BYTES: usize = 1 << 20;

/// A plugin's metadata, and what follows from them.
pub(crate) struct Said {
    metadata: Metadata,
    schema: ConfigSchema,
}

impl Said {
    /// Reads the document that the plugin of that file gives.
    pub(crate) fn read(path: &Path, document: &str) -> Result<Self, LoadError> {
        if document.len() > MAX_METADATA_BYTES {
            let message =
                format_args!("its metadata are {} bytes, of at most {MAX_METADATA_BYTES}", document.len());
            return Err(LoadError::new(path, LoadErrorKind::Metadata, message));
        }
        let metadata: Metadata = serde_json::from_str(document).map_err(|error| {
            let message = format_args!("its metadata cannot be read: {error}");
            LoadError::new(path, LoadErrorKind::Metadata, message).with_detail(document)
        })?;
        check_metadata(&metadata).map_err(|(kind, message)| LoadError::new(path, kind, message))?;
        let schema = ConfigSchema::new(metadata.config_schema.clone())
            .map_err(|message| LoadError::new(path, LoadErrorKind::Schema, message))?;
        Ok(Self { metadata, schema })
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub(crate) fn schema(&self) -> &ConfigSchema {
        &self.schema
    }

    /// Whether the plugin has a function: it has the interfaces that it names, which was checked when it was loaded.
    pub(crate) fn has(&self, function: Function) -> bool {
        match function {
            Function::Run
            | Function::Status
            | Function::Kill
            | Function::IsInitializing
            | Function::IsRunning
            | Function::IsStopped => true,
            Function::Initialize => self.metadata.has(ids::INITIALIZE),
            Function::List => self.metadata.has(ids::LIST),
            Function::RunServer | Function::StopServer | Function::ServerStatus | Function::ServerAddress => {
                self.metadata.has(ids::SERVER)
            }
            Function::Cleanup => self.metadata.has(ids::CLEANUP),
        }
    }
}

fn check_metadata(metadata: &Metadata) -> Result<(), (LoadErrorKind, String)> {
    if metadata.contract != CONTRACT_VERSION {
        let message = format!(
            "it was built for version {} of the contract, and this host knows version {CONTRACT_VERSION}",
            metadata.contract
        );
        return Err((LoadErrorKind::Contract, message));
    }
    if metadata.panic == PanicStrategy::Abort {
        let message = "it was built with panic = \"abort\": a panic in it would end the host".to_owned();
        return Err((LoadErrorKind::Aborts, message));
    }
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if metadata.name.is_empty() || !metadata.name.chars().all(fit) {
        let message =
            format!("its name is {:?}, where lower-case letters, digits and `-` are allowed", metadata.name);
        return Err((LoadErrorKind::Metadata, message));
    }
    if metadata.version.is_empty() {
        return Err((LoadErrorKind::Metadata, "its metadata names no version".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_that_would_fill_the_memory_are_not_even_read() {
        let document = |pad: usize| format!("{{\"name\": [{}", "0,".repeat(pad));
        let refused = |document: &str| {
            let error = Said::read(Path::new("/x.so"), document).err().expect("they are none");
            assert_eq!(error.kind(), LoadErrorKind::Metadata);
            error.to_string()
        };
        let error = refused(&document(MAX_METADATA_BYTES));
        assert!(error.contains("bytes, of at most 1048576") && error.contains("LOAD-4"), "{error}");
        let error = refused(&document(1_000));
        assert!(error.contains("cannot be read"), "{error}");
    }
}
