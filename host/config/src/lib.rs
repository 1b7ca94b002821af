//! The configuration file: clusters and providers in TOML.
