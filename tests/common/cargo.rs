//! Builds of this crate with other settings, in a folder below cargo's own for
//! tests. One folder serves all, so that dependencies are compiled once; a lock
//! lets one build in at a time.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Features of builds with settings of their own. The C library is the same as that of the
/// workspace's tests, so that the compiler's cache has it; the crate isn't, so that theirs
/// needn't be built anew.
pub const FEATURES: &str = "keylog,tls,deflate,ipv6,unix-sockets";

/// Those that are left without the key log.
pub const WITHOUT_KEYLOG: &str = "tls,deflate,ipv6,unix-sockets";

/// Where builds go, while the caller holds it.
pub struct Workshop {
    target: PathBuf,
    _lock: File,
}

impl Workshop {
    /// Waits until nobody else builds.
    pub fn enter() -> Workshop {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("builds");
        std::fs::create_dir_all(&target).unwrap();
        let lock = File::create(target.join(".one-at-a-time")).unwrap();
        lock.lock().unwrap();
        Workshop {
            target,
            _lock: lock,
        }
    }

    /// Where cargo puts things.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Cargo for a package's folder.
    pub fn cargo(&self, package: &Path) -> Command {
        cargo(package, &self.target)
    }
}

/// Where cargo keeps what it made on the way to this test program, so that
/// dependencies which are there needn't be compiled again.
pub fn build_dir() -> &'static Path {
    let own = Path::new(env!("CARGO_TARGET_TMPDIR"));
    own.parent().unwrap_or(own)
}

/// The variables by which a package of its own uses what this workspace has compiled: its
/// settings, and where it is.
pub fn shared() -> [(&'static str, &'static OsStr); 3] {
    [
        ("CARGO_PROFILE_DEV_DEBUG", "line-tables-only".as_ref()),
        ("CARGO_PROFILE_DEV_BUILD_OVERRIDE_DEBUG", "false".as_ref()),
        // Cargo before 1.91 doesn't know it, and compiles more.
        ("CARGO_BUILD_BUILD_DIR", build_dir().as_os_str()),
    ]
}

/// Cargo for a package's folder, with nothing of this run's settings that
/// changes a build of it.
pub fn cargo(package: &Path, target: &Path) -> Command {
    let mut cargo = Command::new(cargo_program());
    cargo
        .current_dir(package)
        .env("CARGO_TARGET_DIR", target)
        .envs(shared())
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    for variable in [
        "LWS_SOURCE_DIR",
        "LWS_DIR",
        "LWS_USE_PKG_CONFIG",
        "LWS_KEYLOG_ENV",
        "LWS_SANITIZE",
        "DOCS_RS",
    ] {
        cargo.env_remove(variable);
    }
    cargo
}

/// The cargo that runs these tests.
pub fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Runs CMake, which has to succeed.
#[track_caller]
pub fn cmake(with: impl FnOnce(&mut Command) -> &mut Command) {
    let program = std::env::var_os("CMAKE").unwrap_or_else(|| "cmake".into());
    let mut cmake = Command::new(program);
    let output = with(&mut cmake).output();
    let output = output.expect("cmake: run `cargo xtask setup`");
    assert!(output.status.success(), "{}", stderr(&output));
}

/// This package's folder.
pub fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Checks the library of this package with these features and variables, which takes no
/// more than the build script; what is said if that fails.
pub fn check<V: AsRef<OsStr>>(
    mut cargo: Command,
    features: &str,
    variables: &[(&str, V)],
) -> Result<(), String> {
    cargo
        .args(["check", "--quiet", "--lib", "--no-default-features"])
        .args(["--features", features])
        .envs(variables.iter().map(|(name, value)| (name, value)));
    verdict(&cargo.output().unwrap())
}

/// What a command wrote to standard error, if it failed.
pub fn verdict(output: &Output) -> Result<(), String> {
    match output.status.success() {
        true => Ok(()),
        false => Err(stderr(output)),
    }
}

/// What a command wrote to standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Builds the example server with these features (none of the default ones)
/// and variables; a copy of the program, named after its kind.
#[track_caller]
pub fn build_echo_server(kind: &str, features: &str, variables: &[(&str, &str)]) -> PathBuf {
    build_example("echo_server", kind, features, variables)
}

/// As [`build_echo_server`], for any example.
#[track_caller]
pub fn build_example<V: AsRef<OsStr>>(
    example: &str,
    kind: &str,
    features: &str,
    variables: &[(&str, V)],
) -> PathBuf {
    let workshop = Workshop::enter();
    let mut cargo = workshop.cargo(package());
    cargo.args(["build", "--quiet", "--example", example]);
    cargo.args(["--no-default-features", "--features", features]);
    cargo.envs(variables.iter().map(|(name, value)| (name, value)));
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let suffix = std::env::consts::EXE_SUFFIX;
    let built = workshop.target().join("debug/examples");
    let program = workshop.target().join(format!("{example}-{kind}{suffix}"));
    std::fs::copy(built.join(format!("{example}{suffix}")), &program).unwrap();
    program
}
