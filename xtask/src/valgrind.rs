//! `cargo xtask valgrind`: the examples under Valgrind's memcheck: a server with a
//! client, plain and over TLS, the chat with a member, the demonstration of the key log,
//! and the key log's doctor.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::{Error, IoContext, Result};
use crate::process::{self, Child, MUCH_PATIENCE, PATIENCE};
use crate::{paths, setup, vendor};

/// The exit status with which Valgrind tells of an error.
const FOUND: u8 = 99;

const OPTIONS: &[&str] = &[
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    // What is still reachable at the end is the TLS library's own.
    "--errors-for-leak-kinds=definite,indirect",
    "--show-leak-kinds=definite,indirect",
    "--num-callers=30",
];

/// Runs all of them; an error of one is an error of the verb.
pub fn run() -> Result<()> {
    setup::run()?;
    setup::satisfy(&[setup::VALGRIND])?;
    vendor::run(&vendor::Options::default())?;
    process::run(process::cargo_for_host().args(["build", "--examples"]))?;
    for options in [&["--port", "0"][..], &["--port", "0", "--tls"]] {
        conversation("echo_server", options)?;
    }
    conversation("chat", &["--port", "0"])?;
    println!("valgrind: the key log's demonstration");
    let mut demo = valgrind("keylog");
    let ended = process::status_within(demo.stdout(Stdio::null()), MUCH_PATIENCE)?;
    if !ended.success() {
        return Err(Error::new(format!("the demonstration ended with {ended}")));
    }
    println!("valgrind: keylog_doctor");
    let corpus = paths::root().join("fuzz/corpus/keylog_parse");
    let mut files = vec![None];
    for file in corpus.read_dir().doing("read", &corpus)?.take(20) {
        files.push(Some(file.doing("read", &corpus)?.path()));
    }
    for file in files {
        let mut doctor = valgrind("keylog_doctor");
        doctor.args(file).stdout(Stdio::null());
        doctor.stderr(Stdio::null());
        // It finds fault with most of them, and with a program that has no log.
        match process::status_within(&mut doctor, MUCH_PATIENCE)?.code() {
            Some(0 | 1) => {}
            _ => return Err(Error::new(format!("valgrind finds fault with {doctor:?}"))),
        }
    }
    println!("valgrind: no error, nothing lost");
    Ok(())
}

/// A server, and a client that sends it messages of several sizes; to the chat room, which
/// answers with more than it is sent, it is a member that leaves.
fn conversation(example: &str, options: &[&str]) -> Result<()> {
    println!("valgrind: {example} {}", options.join(" "));
    let mut server = valgrind(example);
    server.args(options).stdout(Stdio::piped());
    let echoes = example == "echo_server";
    if echoes {
        server.arg("--deflate");
    }
    let mut server = Child::start("the server", &mut server)?;
    let url = url(&mut server)?.replace("NAME", "anna");
    let mut client = Ok(());
    for what in [["--message", "hello"], ["--size", "300000"]] {
        let mut program = valgrind("echo_client");
        program.args([&url, "--insecure", "--deflate", "--count", "3"]);
        program.args(what).stdout(Stdio::null());
        // One that hangs doesn't keep the server from being looked at.
        let ended = process::status_within(program.stderr(Stdio::null()), MUCH_PATIENCE);
        let ended = ended.map_or(None, |status| status.code());
        if ended != Some(0) && (echoes || ended != Some(1)) {
            client = Err(Error::new(format!(
                "the client of {url} ended with {ended:?}"
            )));
        }
    }
    // It ends in an orderly way at this signal.
    let stopped = process::run(Command::new("kill").arg(server.id().to_string()));
    let status = server.end(MUCH_PATIENCE)?;
    client.and(stopped)?;
    match status.code() {
        Some(0) => Ok(()),
        Some(code) if code == i32::from(FOUND) => Err(Error::new("errors in the server")),
        _ => Err(Error::new(format!("the server ended with {status}"))),
    }
}

fn valgrind(example: &str) -> Command {
    let mut command = Command::new("valgrind");
    command.args(OPTIONS).arg(program(example));
    command.current_dir(paths::root());
    command
}

fn program(example: &str) -> PathBuf {
    paths::target_dir().join("debug/examples").join(example)
}

/// Where a server listens, which its first line tells.
fn url(server: &mut Child) -> Result<String> {
    let line = server.only_line(PATIENCE)?.unwrap_or_default();
    match line.rsplit(' ').next() {
        Some(url) if url.starts_with("ws") => Ok(url.to_owned()),
        _ => Err(Error::new(format!(
            "the server doesn't tell its address, but {line:?}"
        ))),
    }
}
