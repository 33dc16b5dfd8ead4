//! The key log where it meets C: the hook in the TLS library, and the variable.

mod hook;
mod probe;
mod variable;

pub(crate) use hook::attach;
pub(crate) use probe::{keeps_callback, library_logs, probe, tls_library, Probe};
pub(crate) use variable::{env_name, read_variable, Variable};

#[cfg(all(test, unix))]
mod fork_tests;

#[cfg(test)]
pub(crate) mod tests;
