//! What the build script tells CMake without having looked.

#![cfg(target_os = "linux")]

mod common;

use common::cargo::{cmake, package};
use common::temp::TempDir;

/// What the build script's file takes from beside it.
mod config {
    pub struct Target {
        pub os: String,
        pub env: String,
    }
}
#[path = "../build/known.rs"]
mod known;

use config::Target;

fn answers(os: &str, env: &str) -> Vec<(&'static str, &'static str)> {
    let (os, env) = (os.to_owned(), env.to_owned());
    known::answers(&Target { os, env }).collect()
}

// Lost: functions that the C library could use, or a build that ends at one that isn't there.
#[test]
fn what_cmake_need_not_look_for_is_what_it_finds() {
    let env = if cfg!(target_env = "musl") {
        "musl"
    } else {
        "gnu"
    };
    let folder = TempDir::new();
    cmake(|cmake| {
        cmake
            .arg("-S")
            .arg(package().join("vendor/libwebsockets"))
            .arg("-B")
            .arg(folder.path())
            .args(["-DLWS_WITH_SSL=OFF", "-DLWS_WITHOUT_TESTAPPS=ON"])
            .args(["-DLWS_WITH_MINIMAL_EXAMPLES=OFF"])
            .arg("-DCMAKE_POLICY_VERSION_MINIMUM=3.5")
    });
    let cache = std::fs::read_to_string(folder.file("CMakeCache.txt")).unwrap();
    let found = |name: &str| {
        let start = format!("{name}:INTERNAL=");
        cache.lines().find_map(|line| line.strip_prefix(&start))
    };
    for (name, answer) in answers("linux", env) {
        assert_eq!(found(name), Some(answer), "{name}");
    }
}

#[test]
fn other_systems_are_looked_at() {
    for (os, env) in [("macos", ""), ("windows", "gnu"), ("linux", "uclibc")] {
        assert_eq!(answers(os, env), []);
    }
    assert_eq!(answers("linux", "gnu"), answers("linux", "musl"));
}
