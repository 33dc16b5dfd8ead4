//! Compiles a libwebsockets source tree with cmake.

use super::config::{sanitizer_flags, Config};
use super::configured::{self, Inputs};
use super::library::Library;
use super::switches::{self, Features};
use super::{known, mingw, vars, versions, Result};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Compiles `tree` into OUT_DIR.
pub fn build(config: &Config, tree: &Path, origin: String) -> Result<Library> {
    println!("cargo:rerun-if-changed={}", tree.display());
    versions::check_tree(tree, &origin)?;
    require_cmake()?;
    let generator = generator(config);
    let folder = config.out_dir.join(folder(generator.as_deref()));
    let mut inputs = Inputs::from_env();
    inputs.add("tree", tree);
    inputs.add("generator", &generator);
    let mut cmake = cmake::Config::new(tree);
    cmake
        .out_dir(&folder)
        .profile("Release")
        .build_target(if config.docs_only {
            "GENHDR"
        } else {
            "websockets"
        });
    if let Some(generator) = generator {
        cmake.generator(generator);
    }
    if config.target.is_mingw() {
        cmake.init_cxx_cfg(mingw::no_cxx());
    }
    for (name, value) in options(config)? {
        inputs.add(name, &value);
        cmake.define(name, value);
    }
    for flag in c_flags(config) {
        inputs.add("flag", &flag);
        cmake.cflag(flag);
    }
    let build = folder.join("build");
    // Generators of several configurations at once would append this one's name.
    cmake.define("CMAKE_ARCHIVE_OUTPUT_DIRECTORY_RELEASE", build.join("lib"));
    inputs.keep_or_remove(&folder)?;
    // The copy of the tree's headers: CMake makes it anew only when `lws_config.h` has
    // changed, and the bindings would tell of other structs than the library has.
    configured::remove(&build.join("include"))?;
    cmake.build();
    inputs.note(&folder)?;
    let library = if config.target.is_windows() {
        "websockets_static"
    } else {
        "websockets"
    };
    let mut link = vec![
        format!(
            "cargo:rustc-link-search=native={}",
            build.join("lib").display()
        ),
        format!("cargo:rustc-link-lib=static={library}"),
    ];
    if let Some(aws_lc) = &config.aws_lc {
        link.extend(aws_lc.link_lines());
    }
    if config.target.is_mingw() {
        link.extend(mingw::link_pthread()?);
    }
    if config.target.is_windows() {
        for system in mingw::SYSTEM_LIBRARIES {
            link.push(format!("cargo:rustc-link-lib=dylib={system}"));
        }
    }
    let mut includes = vec![build.join("include")];
    includes.extend(config.dependency_includes.iter().cloned());
    Library::new(includes, link, origin)
}

/// `CMAKE_GENERATOR`, or Ninja under one of the names that CMake looks for.
/// `None`: CMake's own choice.
fn generator(config: &Config) -> Option<OsString> {
    let ninja = || !config.target.is_msvc() && ["ninja", "ninja-build", "samu"].iter().any(has);
    vars::cmake("CMAKE_GENERATOR")
        .filter(|name| !name.is_empty())
        .or_else(|| ninja().then(|| "Ninja".into()))
}

/// A folder for each generator: CMake refuses one that another has written to.
fn folder(generator: Option<&OsStr>) -> String {
    let name = generator.unwrap_or_default().to_string_lossy();
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("lws{name}")
}

/// The switches of the C build: those of every build, and what depends on this machine.
fn options(config: &Config) -> Result<Vec<(&'static str, OsString)>> {
    let on = |yes: bool| OsString::from(if yes { "ON" } else { "OFF" });
    let mut options = vec![
        ("LWS_WITH_STATIC", on(true)),
        ("LWS_WITH_SHARED", on(false)),
        // Nothing is installed. The library would have the path of this build in it.
        ("CMAKE_INSTALL_PREFIX", "/usr/local".into()),
    ];
    let features = Features {
        tls: config.tls,
        deflate: config.deflate,
        ipv6: config.ipv6,
        unix_sockets: config.unix_sockets,
    };
    let fixed = switches::of(&features).into_iter();
    let fixed = fixed.chain(known::answers(&config.target));
    options.extend(fixed.map(|(name, value)| (name, value.into())));
    if let Some(aws_lc) = &config.aws_lc {
        let [ssl, crypto] = aws_lc.paths();
        // AWS-LC comes from BoringSSL, and has its interface where it isn't OpenSSL's.
        options.push(("LWS_WITH_BORINGSSL", on(true)));
        options.push(("LWS_OPENSSL_INCLUDE_DIRS", aws_lc.include.clone().into()));
        options.push((
            "LWS_OPENSSL_LIBRARIES",
            format!("{};{}", ssl.display(), crypto.display()).into(),
        ));
    } else if config.tls {
        if let Some(include) = vars::cargo("DEP_OPENSSL_INCLUDE") {
            options.push(("OPENSSL_INCLUDE_DIR", include));
        }
        // A built OpenSSL isn't where cmake would look for one.
        if let Some(root) = vars::cargo("DEP_OPENSSL_ROOT") {
            let root = root.to_string_lossy();
            let name = |lib: &str| {
                let file = if config.target.is_msvc() {
                    format!("lib{lib}.lib")
                } else {
                    format!("lib{lib}.a")
                };
                format!("{root}/lib/{file}")
            };
            options.push(("LWS_OPENSSL_INCLUDE_DIRS", format!("{root}/include").into()));
            options.push((
                "LWS_OPENSSL_LIBRARIES",
                format!("{};{}", name("ssl"), name("crypto")).into(),
            ));
        } else if let Some(libraries) = openssl_dir() {
            if let Some(include) = config.dependency_includes.first() {
                options.push(("LWS_OPENSSL_INCLUDE_DIRS", include.into()));
            }
            options.push(("LWS_OPENSSL_LIBRARIES", libraries));
        }
    }
    if config.deflate {
        if let Some(include) = vars::cargo("DEP_Z_INCLUDE") {
            options.push(("ZLIB_INCLUDE_DIR", include));
        }
        // A zlib that libz-sys has built isn't where cmake would look for one.
        if let Some(root) = vars::cargo("DEP_Z_ROOT").map(PathBuf::from) {
            let files = ["z.lib", "libz.a"].map(|name| root.join("lib").join(name));
            if let Some(library) = files.into_iter().find(|file| file.is_file()) {
                options.push(("LWS_ZLIB_INCLUDE_DIRS", root.join("include").into()));
                options.push(("LWS_ZLIB_LIBRARIES", library.into()));
            }
        }
    }
    if config.target.is_mingw() {
        let libraries = mingw::standard_libraries();
        options.push(("CMAKE_C_STANDARD_LIBRARIES", libraries.into()));
        // Else it builds without locks, as LWS_MAX_SMP=1 does.
        options.push(("LWS_EXT_PTHREAD_LIBRARIES", mingw::pthread()?.into()));
    }
    Ok(options)
}

/// The libraries of the OpenSSL that openssl-sys was told of by its variables:
/// CMake would look what the system's can do.
fn openssl_dir() -> Option<OsString> {
    let dirs = match (vars::openssl("LIB_DIR"), vars::openssl("DIR")) {
        (Some(dir), _) => vec![dir],
        // In the order of openssl-sys, which has the program linked.
        (None, Some(prefix)) => ["lib64", "lib"].map(|name| prefix.join(name)).into(),
        (None, None) => return None,
    };
    let endings = ["so", "dylib", "dll.a", "a"];
    let mut pairs = dirs.iter().flat_map(|dir| {
        endings.map(|ending| ["ssl", "crypto"].map(|lib| dir.join(format!("lib{lib}.{ending}"))))
    });
    let [ssl, crypto] = pairs.find(|pair| pair.iter().all(|file| file.is_file()))?;
    Some(format!("{};{}", ssl.display(), crypto.display()).into())
}

fn c_flags(config: &Config) -> Vec<String> {
    let mut flags = Vec::new();
    if let (Some(aws_lc), false) = (&config.aws_lc, config.docs_only) {
        // Also for CMake's searches of functions, which include nothing else.
        flags.push(format!("-include \"{}\"", aws_lc.names.display()));
    }
    if let Some(kind) = &config.sanitize {
        flags.extend(sanitizer_flags(kind));
    }
    flags
}

fn require_cmake() -> Result<()> {
    let given = vars::cmake("CMAKE");
    let cmake = given.clone().unwrap_or_else(|| "cmake".into());
    if has(&cmake) {
        return Ok(());
    }
    let why = match given {
        Some(_) => "which the variable CMAKE names",
        None => "which compiles the C library",
    };
    Err(format!(
        "cannot run {:?}, {why}.\n\
         In a checkout of this crate, `cargo xtask setup` installs what the build needs; \
         elsewhere install cmake (and, if you like speed, ninja).",
        cmake.to_string_lossy()
    ))
}

/// Whether a program can be run.
pub fn has(program: impl AsRef<OsStr>) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
