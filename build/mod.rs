//! The steps of the build script.

pub mod aws_lc;
pub mod bindings;
pub mod config;
pub mod configured;
pub mod glue;
pub mod known;
pub mod library;
pub mod metadata;
pub mod mingw;
pub mod source;
pub mod switches;
pub mod system;
pub mod vars;
pub mod vendored;
pub mod versions;

/// Errors are messages for whoever runs `cargo build`.
pub type Result<T> = std::result::Result<T, String>;
