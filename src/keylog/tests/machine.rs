//! What tests have to know of the machine that they run on; the integration tests have
//! this file, too.

#![allow(dead_code)] // each of them uses a part of it

use std::io::Write;
use std::path::Path;

/// Set, and not empty, where tests may be left out for which the machine lacks something.
const ALLOW_SKIPS: &str = "LIBWEBSOCKETS_ALLOW_SKIPS";

/// Whether this is Wine, which does some things to files otherwise than Windows: appends to
/// one file by two handles may overwrite each other.
pub(crate) fn is_wine() -> bool {
    cfg!(windows) && Path::new(r"C:\windows\system32\winecfg.exe").exists()
}

/// Whether a file that was removed keeps its name until everybody has closed it:
/// Wine does that, Windows and Unix don't.
pub(crate) fn removed_files_keep_their_names() -> bool {
    is_wine()
}

/// Leaves a test out for which this machine lacks something, where that is allowed. Else it
/// fails, for a test that is left out unseen would count as passed for ever.
#[track_caller]
pub(crate) fn skip(why: &str) {
    leave_out(
        why,
        std::env::var_os(ALLOW_SKIPS).is_some_and(|set| !set.is_empty()),
    );
}

#[track_caller]
pub(crate) fn leave_out(why: &str, allowed: bool) {
    assert!(
        allowed,
        "{why}: this test can't run here; with {ALLOW_SKIPS}=1 it is left out"
    );
    // `println!` would show it only if the test failed.
    let _ = writeln!(std::io::stdout(), "skipped: {why}");
}
