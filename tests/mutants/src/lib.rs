//! Providers that each break one clause of the contract.
