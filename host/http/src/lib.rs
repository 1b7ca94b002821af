//! The host's HTTP interface: wire types, routes and a client.
