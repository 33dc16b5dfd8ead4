//! What the build needs, how to see that it is there, and what to install.

use super::probe;

/// Something the build or the tests need.
pub struct Need {
    /// Name for messages.
    pub what: &'static str,
    /// Whether the build fails without it; otherwise only some tests want it.
    pub required: bool,
    /// Looks for it, however it was installed.
    pub found: fn() -> bool,
    /// Package for apt.
    pub apt: &'static str,
    /// Package for dnf.
    dnf: &'static str,
    /// Package for pacman.
    pacman: &'static str,
    /// Formula for Homebrew; empty if macOS has it.
    brew: &'static str,
    /// Hint for Windows.
    windows: &'static str,
}

/// Everything that is needed.
pub const NEEDS: &[Need] = &[
    Need {
        what: "C compiler",
        required: true,
        found: probe::c_compiler,
        apt: "gcc",
        dnf: "gcc",
        pacman: "gcc",
        brew: "",
        windows: "Visual Studio Build Tools with the C++ workload",
    },
    Need {
        what: "C library headers",
        required: true,
        found: probe::libc_headers,
        apt: "libc6-dev",
        dnf: "glibc-devel",
        pacman: "glibc",
        brew: "",
        windows: "Visual Studio Build Tools with the C++ workload",
    },
    Need {
        what: "CMake",
        required: true,
        found: probe::cmake,
        apt: "cmake",
        dnf: "cmake",
        pacman: "cmake",
        brew: "cmake",
        windows: "CMake, with its directory in PATH",
    },
    Need {
        what: "Ninja",
        required: true,
        found: probe::ninja,
        apt: "ninja-build",
        dnf: "ninja-build",
        pacman: "ninja",
        brew: "ninja",
        windows: "Ninja, with its directory in PATH",
    },
    Need {
        what: "libclang",
        required: true,
        found: probe::libclang,
        apt: "libclang-dev",
        dnf: "clang-devel",
        pacman: "clang",
        brew: "llvm",
        windows: "LLVM, with LIBCLANG_PATH set to its bin directory",
    },
    Need {
        what: "pkg-config",
        required: cfg!(not(windows)),
        found: probe::pkg_config,
        apt: "pkg-config",
        dnf: "pkgconf-pkg-config",
        pacman: "pkgconf",
        brew: "pkgconf",
        windows: "(not needed if OPENSSL_DIR is set)",
    },
    Need {
        what: "OpenSSL headers",
        required: true,
        found: probe::openssl,
        apt: "libssl-dev",
        dnf: "openssl-devel",
        pacman: "openssl",
        brew: "openssl@3",
        windows: "OpenSSL with headers, with OPENSSL_DIR set to its directory",
    },
    Need {
        what: "zlib headers",
        required: cfg!(not(windows)),
        found: probe::zlib,
        apt: "zlib1g-dev",
        dnf: "zlib-devel",
        pacman: "zlib",
        brew: "",
        windows: "zlib with headers",
    },
    Need {
        what: "tshark",
        required: false,
        found: probe::tshark,
        apt: "tshark",
        dnf: "wireshark-cli",
        pacman: "wireshark-cli",
        brew: "wireshark",
        windows: "Wireshark, with its directory in PATH",
    },
    Need {
        what: "ccache",
        required: false,
        found: probe::ccache,
        apt: "ccache",
        dnf: "ccache",
        pacman: "ccache",
        brew: "ccache",
        windows: "ccache, with its directory in PATH",
    },
];

/// Unpacks the sources of the standard library.
pub const XZ: Need = Need {
    what: "xz",
    required: true,
    found: probe::xz,
    apt: "xz-utils",
    dnf: "xz",
    pacman: "xz",
    brew: "xz",
    windows: "xz, with its directory in PATH",
};

/// Counts system calls.
pub const STRACE: Need = Need {
    what: "strace",
    required: true,
    found: probe::strace,
    apt: "strace",
    dnf: "strace",
    pacman: "strace",
    brew: "",
    windows: "(not there)",
};

/// Watches what programs do to memory.
pub const VALGRIND: Need = Need {
    what: "Valgrind",
    required: true,
    found: probe::valgrind,
    apt: "valgrind",
    dnf: "valgrind",
    pacman: "valgrind",
    brew: "",
    windows: "(there is none)",
};

/// Compiles C code so that a fuzzer sees its branches.
pub const CLANG: Need = Need {
    what: "clang with its sanitizers",
    required: true,
    found: probe::clang,
    apt: "clang libclang-rt-dev",
    dnf: "clang compiler-rt",
    pacman: "clang compiler-rt",
    brew: "llvm",
    windows: "LLVM, with its bin directory in PATH",
};

/// Compiles AWS-LC.
pub const CXX: Need = Need {
    what: "C++ compiler",
    required: true,
    found: probe::cxx_compiler,
    apt: "g++",
    dnf: "gcc-c++",
    pacman: "gcc",
    brew: "",
    windows: "Visual Studio Build Tools with the C++ workload",
};

/// Configures OpenSSL's build.
pub const PERL: Need = Need {
    what: "Perl",
    required: true,
    found: probe::perl,
    apt: "perl",
    dnf: "perl",
    pacman: "perl",
    brew: "perl",
    windows: "Strawberry Perl",
};

/// Compiles OpenSSL.
pub const MAKE: Need = Need {
    what: "make",
    required: true,
    found: probe::make,
    apt: "make",
    dnf: "make",
    pacman: "make",
    brew: "",
    windows: "(comes with Visual Studio)",
};

/// Compiles and links for Windows.
pub const MINGW: Need = Need {
    what: "mingw's C compiler",
    required: true,
    found: probe::mingw,
    apt: "gcc-mingw-w64-x86-64-win32",
    dnf: "mingw64-gcc mingw64-winpthreads-static",
    pacman: "mingw-w64-gcc",
    brew: "mingw-w64",
    windows: "(not needed)",
};

/// Runs programs of Windows.
pub const WINE: Need = Need {
    what: "Wine",
    required: true,
    found: probe::wine,
    apt: "wine",
    dnf: "wine-core",
    pacman: "wine",
    brew: "",
    windows: "(not needed)",
};

/// Runs the conformance suite.
pub const PYTHON: Need = Need {
    what: "Python 3.10 with venv",
    required: true,
    found: probe::python,
    apt: "python3-venv",
    dnf: "python3",
    pacman: "python",
    brew: "python",
    windows: "Python 3, with its directory in PATH",
};

/// One for tests.
#[cfg(test)]
pub fn made_up(what: &'static str, found: fn() -> bool) -> Need {
    Need { what, found, ..XZ }
}

/// What to install on systems without apt, line by line.
pub fn hints(missing: &[&Need]) -> String {
    if cfg!(windows) {
        let lines = missing
            .iter()
            .map(|n| format!("  {}: {}", n.what, n.windows));
        return format!("Please install:\n{}", lines.collect::<Vec<_>>().join("\n"));
    }
    let package_list = |package: fn(&Need) -> &'static str| {
        let mut names: Vec<_> = missing.iter().map(|need| package(need)).collect();
        names.retain(|name| !name.is_empty());
        names.join(" ")
    };
    let mut text = String::from("There is no apt here. The packages are called:");
    for (manager, list) in [
        ("dnf install", package_list(|n| n.dnf)),
        ("pacman -S --needed", package_list(|n| n.pacman)),
        ("brew install", package_list(|n| n.brew)),
    ] {
        if !list.is_empty() {
            text += &format!("\n  {manager} {list}");
        }
    }
    if cfg!(target_os = "macos") {
        text += "\n  (xcode-select --install brings the compiler)";
    }
    text
}

#[cfg(all(test, not(windows)))]
mod tests {
    use super::*;

    #[test]
    fn hints_name_the_packages() {
        let all: Vec<&Need> = NEEDS.iter().collect();
        let text = hints(&all);
        for expect in [
            "clang-devel",
            "pacman -S --needed gcc",
            "brew install cmake ninja",
        ] {
            assert!(text.contains(expect), "{text}");
        }
    }
}
