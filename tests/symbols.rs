//! A build without the feature `keylog` has nothing of it in its programs.

#![cfg(feature = "_tls")]

mod common;

use common::cargo::{build_echo_server, WITHOUT_KEYLOG};
use std::process::Command;

/// Each run of printable characters in a file, as `strings` finds them: symbols,
/// messages, variables' names, and file names of debug information.
fn strings(bytes: &[u8]) -> impl Iterator<Item = &str> {
    bytes
        .split(|b| !(b.is_ascii_graphic() || *b == b' '))
        .filter(|run| run.len() >= 4)
        .map(|run| std::str::from_utf8(run).expect("ASCII"))
}

/// What of a program speaks of a key log.
fn traces(program: &std::path::Path) -> Vec<String> {
    let bytes = std::fs::read(program).unwrap();
    strings(&bytes)
        // Where the checkout lies is no matter of ours.
        .map(|run| run.replace(env!("CARGO_MANIFEST_DIR"), ""))
        .filter(|run| run.to_ascii_lowercase().contains("keylog"))
        .collect()
}

fn help(program: &std::path::Path) -> String {
    let output = Command::new(program).arg("--help").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn compiled_out_without_the_feature() {
    let without = build_echo_server("plain-tls", WITHOUT_KEYLOG, &[]);
    assert_eq!(traces(&without), [""; 0]);
    assert!(help(&without).contains("--tls"));
    assert!(!help(&without).contains("--keylog"));
}

/// The search above finds what it is to find.
#[cfg(all(feature = "keylog", unix))]
#[test]
fn a_program_with_the_feature_has_them() {
    let program = common::programs::example("echo_server", &["--help"; 0]);
    let traces = traces(program.get_program().as_ref()).join("\n");
    assert!(traces.contains("LWS_SSLKEYLOGFILE"), "the variable's name");
    assert!(
        traces.contains("SSL_CTX_set_keylog_callback"),
        "OpenSSL's function"
    );
}
