//! The tokio shell: one reconciler a cluster, carrying out what the core decided.
