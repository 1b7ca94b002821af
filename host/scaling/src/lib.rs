//! The pure core: decides what to launch and kill, and why.
