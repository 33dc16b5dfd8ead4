//! What the compiler must refuse, and with which words.

mod common;

use libwebsockets::{Connection, ConnectionId, Context, ContextHandle, Request};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The compiler whose messages are in `tests/compile_fail/*.stderr`; after a
/// change of it, `TRYBUILD=overwrite` writes them anew.
const MESSAGES_OF: &str = "1.95.0";

/// Set for a child of this test program: the folder with the files to compile.
const FILES: &str = "LIBWEBSOCKETS_TEST_COMPILE_FAIL";

/// Each file in `tests/compile_fail` misuses the API in one way. Every compiler
/// must refuse it; the words are compared where the compiler is the one that
/// they were taken from.
#[test]
fn misuse_does_not_compile() {
    if std::env::var_os("LWS_SANITIZE").is_some_and(|kind| !kind.is_empty()) {
        // The compiler's refusals don't depend on it.
        return;
    }
    if let Some(files) = std::env::var_os(FILES) {
        return trybuild::TestCases::new().compile_fail(Path::new(&files).join("*.rs"));
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "misuse_does_not_compile"])
        // Nothing is linked, so the C library's headers will do.
        .env("DOCS_RS", "1")
        // Then its own flags aren't for build scripts and what these need, which is there.
        .env("CARGO_BUILD_TARGET", about("host: "))
        .envs(common::cargo::shared());
    // Relative, as the messages name the files; cargo runs tests in the package's folder.
    let own = Path::new("tests/compile_fail");
    if about("release: ") == MESSAGES_OF {
        child.env(FILES, own);
    } else {
        child.env(FILES, copies(own)).env("TRYBUILD", "overwrite");
    }
    let status = child.status().unwrap();
    assert!(status.success(), "{status}");
}

/// Copies of the files, beside which the messages are written instead of compared:
/// what compiles all the same still fails.
fn copies(files: &Path) -> PathBuf {
    let copies = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile_fail");
    let _ = std::fs::remove_dir_all(&copies);
    std::fs::create_dir_all(&copies).unwrap();
    for entry in std::fs::read_dir(files).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|e| e == "rs") {
            std::fs::copy(&file, copies.join(file.file_name().unwrap())).unwrap();
        }
    }
    copies
}

/// What the compiler says of itself in the line that begins like this.
fn about(line: &str) -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let output = Command::new(rustc).arg("-vV").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = text.lines().find_map(|l| l.strip_prefix(line));
    found.unwrap_or_default().to_owned()
}

/// Compiles only if a type lacks a trait: else two implementations of
/// `Ambiguous` fit, and the compiler can't choose. The messages of a file in
/// `tests/compile_fail` would list the type's private fields.
macro_rules! lacks {
    ($type:ty: $trait:path) => {{
        trait Ambiguous<A> {
            fn choose() {}
        }
        impl<T: ?Sized> Ambiguous<()> for T {}
        struct HasIt;
        impl<T: ?Sized + $trait> Ambiguous<HasIt> for T {}
        <$type as Ambiguous<_>>::choose();
    }};
}

#[test]
fn a_context_and_what_its_callbacks_borrow_stay_on_its_thread() {
    lacks!(Context: Send);
    lacks!(Context: Sync);
    lacks!(Connection<'_>: Send);
    lacks!(Connection<'_>: Sync);
    lacks!(Request<'_>: Send);
    lacks!(Request<'_>: Sync);
}

#[test]
fn a_handle_and_an_id_go_anywhere() {
    fn goes_anywhere<T: Send + Sync + Clone + 'static>() {}
    goes_anywhere::<ContextHandle>();
    goes_anywhere::<ConnectionId>();
}
