//! Serves TLS by this crate, until its standard input ends.
//!
//! `--keylog PATH` logs there, from the line `on` on the standard input until `off`, and is
//! refused by builds without the feature `keylog` · `--ignore` has that log take no
//! connection · `--check` looks, with each request,
//! whether the records of its connection are in the file; requests have to come one at a
//! time then.
//!
//! Prints `listening PORT PID`, an echo of each command when it is done, and at last
//! `records N connections N`, with `--check` also `checked N`, of requests that came after
//! their records.

use bench::{args::Args, tls::Identity, Fail};
use libwebsockets::tls::{Pem, ServerTls};
use libwebsockets::{Context, Handler, Vhost};
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

/// Records of a TLS 1.3 handshake.
const RECORDS: u64 = 5;

/// Ends when the client does.
struct Quiet;

impl Handler for Quiet {}

fn main() -> std::process::ExitCode {
    bench::exit(run())
}

fn run() -> Result<(), Fail> {
    let mut args = Args::from_env();
    let log: Option<PathBuf> = args.value("--keylog")?;
    let ignore = args.flag("--ignore");
    let check = args.flag("--check").then(|| log.clone()).flatten();
    args.finish()?;
    let checked = Arc::new(AtomicU64::new(0));
    let (seen, requests) = (Arc::clone(&checked), AtomicU64::new(0));
    let (certificate, key) = Identity::new()?.pem();
    let vhost = Vhost::listen(([127, 0, 0, 1], 0))
        .tls(ServerTls::new(Pem::memory(certificate), Pem::memory(key)))
        .accept(move |_| {
            let wanted = (requests.fetch_add(1, Relaxed) + 1) * RECORDS;
            let there = check.as_deref().is_some_and(|path| lines(path) == wanted);
            seen.fetch_add(u64::from(there), Relaxed);
            Ok(Quiet)
        });
    let builder = Context::builder().vhost(vhost);
    #[cfg(feature = "keylog")]
    let builder = builder.keylog(keylog(log.as_deref(), ignore));
    if cfg!(not(feature = "keylog")) && (log.is_some() || ignore) {
        return Err("this build has no key log".into());
    }
    let mut context = builder.build()?;
    let handle = context.handle();
    #[cfg(feature = "keylog")]
    let keylog = context.keylog().clone();
    let switch = move |on: bool| -> Result<(), Fail> {
        #[cfg(feature = "keylog")]
        match on {
            true => keylog.enable()?,
            false => keylog.disable(),
        }
        #[cfg(not(feature = "keylog"))]
        let _ = on;
        Ok(())
    };
    std::thread::spawn(move || {
        if let Err(error) = obey(&switch) {
            eprintln!("error: {error}");
        }
        handle.stop();
    });
    let port = context.local_addr(0).ok_or("no address")?.port();
    println!("listening {port} {}", std::process::id());
    context.run()?;
    #[cfg(feature = "keylog")]
    {
        let stats = context.keylog().stats();
        println!(
            "records {} connections {}",
            stats.written, stats.connections
        );
    }
    println!("checked {}", checked.load(Relaxed));
    Ok(())
}

#[cfg(feature = "keylog")]
fn keylog(path: Option<&Path>, ignore: bool) -> libwebsockets::keylog::KeyLog {
    use libwebsockets::keylog::{Filter, KeyLog};
    let Some(path) = path else {
        return KeyLog::off();
    };
    let keylog = KeyLog::file(path).enabled(false);
    match ignore {
        // Ours are servers.
        true => keylog.filter(Filter::new().role(libwebsockets::Role::Client)),
        false => keylog,
    }
}

/// Does what the standard input says, until it ends.
fn obey(switch: &dyn Fn(bool) -> Result<(), Fail>) -> Result<(), Fail> {
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match &*line {
            "on" => switch(true)?,
            "off" => switch(false)?,
            other => return Err(format!("unknown command {other:?}").into()),
        }
        println!("{line}");
    }
    Ok(())
}

fn lines(path: &Path) -> u64 {
    let text = std::fs::read(path).unwrap_or_default();
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}
