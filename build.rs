//! Builds or finds the C library, compiles our C glue, and generates the bindings.
//!
//! Read top-down: each step lies in a module of its own under `build/`.

#[path = "build/mod.rs"]
mod steps;

use steps::{bindings, config::Config, glue, metadata, source, Result};

fn main() {
    if let Err(message) = run() {
        // Cargo shows a build script's standard error when it fails; a panic's
        // backtrace would only bury the message.
        eprintln!("\nerror: {message}\n");
        std::process::exit(1);
    }
}

fn run() -> Result<()> {
    let config = Config::from_env()?;
    let source = source::locate(&config)?;
    // Before minutes go into compiling what can't be bound.
    bindings::require_libclang()?;
    let library = source.prepare(&config)?;
    library.check(&config)?;
    library.warn(&config);
    bindings::generate(&config, &library)?;
    if !config.docs_only {
        glue::compile(&config, &library)?;
        library.link();
    }
    metadata::publish(&config, &library);
    Ok(())
}
