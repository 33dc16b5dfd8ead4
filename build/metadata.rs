//! What other build scripts (`DEP_WEBSOCKETS_*`) and our own code learn.

use super::config::Config;
use super::library::Library;

/// Prints the metadata of `links = "websockets"` and the crate's own cfgs.
pub fn publish(config: &Config, library: &Library) {
    if let Some(include) = library.config_header.parent() {
        println!("cargo:include={}", include.display());
    }
    println!("cargo:version={}", library.version);
    if let Some(name) = &config.keylog_env {
        println!("cargo:keylog_env={name}");
    }
    if !library.is_multi_context() {
        println!("cargo:rustc-cfg=lws_single_context");
    }
}
