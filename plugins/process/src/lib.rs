//! A provider whose workers are local operating-system processes.
