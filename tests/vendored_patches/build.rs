//! Builds the C library and the programs of these tests with the address sanitizer.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::UNIX_EPOCH;

/// What the library and the programs are compiled with.
const CFLAGS: &[&str] = &[
    "-O1",
    "-g",
    "-DNDEBUG",
    "-fsanitize=address,bounds",
    "-fno-sanitize-recover=bounds",
    "-fno-omit-frame-pointer",
];

/// The library as this crate builds it, but for the flags above and the jar for cookies, whose
/// patches are tested, too.
const CMAKE_OPTIONS: &[&str] = &[
    "-DCMAKE_BUILD_TYPE=None",
    "-DLWS_WITH_SHARED=OFF",
    "-DLWS_WITH_STATIC=ON",
    "-DLWS_STATIC_PIC=ON",
    "-DLWS_WITHOUT_TESTAPPS=ON",
    "-DLWS_WITH_MINIMAL_EXAMPLES=OFF",
    "-DDISABLE_WERROR=ON",
    "-DLWS_MAX_SMP=2",
    "-DLWS_HAVE_MALLOC_USABLE_SIZE=0",
    "-DLWS_WITHOUT_EXTENSIONS=OFF",
    "-DLWS_WITH_ZLIB=ON",
    "-DLWS_WITH_BUNDLED_ZLIB=OFF",
    "-DLWS_WITH_SSL=ON",
    "-DLWS_WITH_HTTP2=ON",
    "-DLWS_WITH_CACHE_NSCOOKIEJAR=ON",
    "-DLWS_ROLE_RAW_FILE=OFF",
    "-DLWS_WITH_UDP=OFF",
    "-DLWS_WITH_SYS_SMD=OFF",
    "-DLWS_WITH_HTTP_BASIC_AUTH=OFF",
    "-DLWS_WITH_CONMON=OFF",
    "-DLWS_WITH_EVLIB_PLUGINS=OFF",
    "-DLWS_WITH_NETLINK=OFF",
    "-DLWS_CLIENT_HTTP_PROXYING=OFF",
    "-DLWS_WITH_SYS_ASYNC_DNS=OFF",
    "-DLWS_IPV6=ON",
    "-DLWS_UNIX_SOCK=ON",
    "-DLWS_WITH_EXPORT_LWSTARGETS=OFF",
    "-DCMAKE_POLICY_VERSION_MINIMUM=3.5",
];

/// The directory with the programs, which are built when first asked for.
pub fn binaries() -> &'static Path {
    static BINARIES: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BINARIES.get_or_init(build) {
        Ok(dir) => dir,
        Err(why) => panic!("{why}"),
    }
}

fn build() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = match std::env::var_os("LWS_PATCH_TEST_SOURCE") {
        Some(path) => PathBuf::from(path),
        None => root.join("vendor/libwebsockets"),
    };
    if !library.join("lib/roles/h2/hpack.c").is_file() {
        return Err(format!(
            "no C library in {}; run `cargo xtask vendor`",
            library.display()
        ));
    }
    let tests = root.join("tests/vendored_patches");

    let cc = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut hasher = DefaultHasher::new();
    (&library, &cc).hash(&mut hasher);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("vendored-patches-{:016x}", hasher.finish()));
    fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;

    // Other test processes wait here. The lock goes with the process.
    let lock = File::create(dir.join("lock")).map_err(|e| format!("{}: {e}", dir.display()))?;
    lock.lock().map_err(|e| format!("{}: {e}", dir.display()))?;

    let mut stamp = format!("{CFLAGS:?}\n{CMAKE_OPTIONS:?}\n");
    list(&library, &mut stamp)?;
    list(&tests, &mut stamp)?;
    let stamp_file = dir.join("stamp");
    let built = ["server", "client"]
        .iter()
        .all(|name| dir.join(name).is_file());
    if built && fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
        return Ok(dir);
    }
    let _ = fs::remove_file(&stamp_file);

    let empty = dir.join("empty.c");
    fs::write(&empty, "int main(void) { return 0; }\n")
        .map_err(|e| format!("{}: {e}", empty.display()))?;
    run(Command::new(&cc)
        .args(CFLAGS)
        .arg(&empty)
        .arg("-o")
        .arg(dir.join("empty")))
    .map_err(|e| {
        format!("these tests need a C compiler with the address sanitizer's runtime (libasan)\n{e}")
    })?;
    let cmake = std::env::var_os("CMAKE").unwrap_or_else(|| "cmake".into());
    run(Command::new(&cmake).arg("--version"))
        .map_err(|e| format!("these tests need cmake\n{e}"))?;

    let out = dir.join("library");
    let ninja = run(Command::new("ninja").arg("--version")).is_ok();
    run(Command::new(&cmake)
        .arg("-S")
        .arg(&library)
        .arg("-B")
        .arg(&out)
        .args(["-G", if ninja { "Ninja" } else { "Unix Makefiles" }])
        .arg(format!("-DCMAKE_C_FLAGS={}", CFLAGS.join(" ")))
        .args(CMAKE_OPTIONS))?;
    run(Command::new(&cmake).arg("--build").arg(&out).args([
        "--target",
        "websockets",
        "--parallel",
        "2",
    ]))?;

    let config = fs::read_to_string(out.join("lws_config.h")).unwrap_or_default();
    for name in ["server", "client"] {
        let mut command = Command::new(&cc);
        command
            .args(CFLAGS)
            .args(["-Wall", "-Wextra", "-Werror"])
            .arg("-I")
            .arg(out.join("include"))
            .arg(tests.join(name).with_extension("c"))
            .arg(out.join("lib/libwebsockets.a"))
            .args(["-lssl", "-lcrypto", "-lz", "-lpthread"]);
        if config.contains("#define LWS_HAVE_LIBCAP") {
            command.arg("-lcap");
        }
        run(command.arg("-o").arg(dir.join(name)))?;
    }
    fs::write(&stamp_file, stamp).map_err(|e| format!("{}: {e}", stamp_file.display()))?;
    Ok(dir)
}

/// Adds the files below a directory to a stamp, each with its size and its time of change.
fn list(dir: &Path, stamp: &mut String) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("{}: {e}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(fail)? {
        paths.push(entry.map_err(fail)?.path());
    }
    paths.sort();
    for path in paths {
        let about = fs::metadata(&path).map_err(fail)?;
        if about.is_dir() {
            list(&path, stamp)?;
            continue;
        }
        if path.extension().is_some_and(|extension| extension == "rs") {
            continue;
        }
        let changed = about
            .modified()
            .map_err(fail)?
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let _ = writeln!(
            stamp,
            "{} {} {}",
            path.display(),
            about.len(),
            changed.as_nanos()
        );
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{command:?} failed with {}\n{stdout}{stderr}",
        output.status
    ))
}
