//! The longshore command.
