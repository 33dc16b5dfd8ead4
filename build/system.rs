//! Finds an installed libwebsockets: below a prefix, or by pkg-config.

use super::config::Config;
use super::library::Library;
use super::Result;
use std::path::Path;

/// What the library's file may be called, how it is linked, and by which name:
/// the shared one, where there are both, as every linker prefers it.
const FILES: &[(&str, &str, &str)] = &[
    ("libwebsockets.so", "dylib", "websockets"),
    ("libwebsockets.dylib", "dylib", "websockets"),
    ("libwebsockets.dll.a", "dylib", "websockets"),
    ("libwebsockets.a", "static", "websockets"),
    ("websockets_static.lib", "static", "websockets_static"),
    ("libwebsockets_static.a", "static", "websockets_static"),
];

/// `LWS_DIR`: a prefix with `include/` and `lib/` (or `lib64/`).
pub fn from_prefix(config: &Config, prefix: &Path) -> Result<Library> {
    let origin = format!("LWS_DIR={}", prefix.display());
    let include = prefix.join("include");
    if !include.join("libwebsockets.h").is_file() {
        return Err(format!(
            "{origin} has no include/libwebsockets.h; it must name the prefix that \
             libwebsockets was installed to"
        ));
    }
    println!("cargo:rerun-if-changed={}", include.display());
    let (dir, (file, kind, name)) = ["lib", "lib64"]
        .into_iter()
        .map(|name| prefix.join(name))
        .find_map(|dir| {
            let found = FILES.iter().find(|(file, ..)| dir.join(file).is_file())?;
            Some((dir, found))
        })
        .ok_or_else(|| format!("{origin} has no libwebsockets library in lib/ or lib64/"))?;
    println!("cargo:rerun-if-changed={}", dir.join(file).display());
    let link = vec![
        format!("cargo:rustc-link-search=native={}", dir.display()),
        format!("cargo:rustc-link-lib={kind}={name}"),
    ];
    let mut includes = vec![include];
    includes.extend(config.dependency_includes.iter().cloned());
    Library::new(includes, link, origin)
}

/// The library that pkg-config knows.
pub fn from_pkg_config(config: &Config) -> Result<Library> {
    let found = pkg_config::Config::new()
        .cargo_metadata(false)
        .probe("libwebsockets")
        .map_err(|e| {
            format!(
                "feature `system` (or LWS_USE_PKG_CONFIG) asks for an installed libwebsockets, \
                 and pkg-config finds none: {e}\n\
                 Install its development package, set LWS_DIR to its prefix, or turn the \
                 feature off to build the vendored one."
            )
        })?;
    let mut link: Vec<String> = found
        .link_paths
        .iter()
        .map(|dir| format!("cargo:rustc-link-search=native={}", dir.display()))
        .collect();
    link.extend(
        found
            .libs
            .iter()
            .map(|lib| format!("cargo:rustc-link-lib={lib}")),
    );
    for dir in &found.framework_paths {
        link.push(format!(
            "cargo:rustc-link-search=framework={}",
            dir.display()
        ));
    }
    for name in &found.frameworks {
        link.push(format!("cargo:rustc-link-lib=framework={name}"));
    }
    for args in &found.ld_args {
        link.push(format!("cargo:rustc-link-arg=-Wl,{}", args.join(",")));
    }
    let mut includes = found.include_paths;
    let system = Path::new("/usr/include");
    let is_systems = includes.is_empty() || includes.iter().any(|dir| dir == system);
    includes.extend(config.dependency_includes.iter().cloned());
    if is_systems {
        // Last: it may have the headers of another OpenSSL than the one that is linked.
        includes.retain(|dir| dir != system);
        includes.push(system.into());
    }
    let origin = format!("the installed libwebsockets {}", found.version);
    let library = Library::new(includes, link, origin)?;
    println!("cargo:rerun-if-changed={}", library.config_header.display());
    Ok(library)
}
