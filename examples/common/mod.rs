//! What the examples share: options, signals, certificates.

#![allow(dead_code)] // each example uses a part of it

mod args;
#[cfg(feature = "keylog")]
pub mod folder;
#[cfg(feature = "keylog")]
pub mod pcapng;
#[cfg(feature = "keylog")]
pub mod relay;
#[cfg(feature = "keylog")]
pub mod tshark;

pub use args::Args;

use libwebsockets::ContextHandle;
use std::error::Error;
use std::process::ExitCode;

/// Any error: examples print it and end with status 1.
pub type Fail = Box<dyn Error + Send + Sync>;

/// What is logged unless `RUST_LOG` says otherwise: the warnings that secrets are written.
#[cfg(feature = "keylog")]
const SHOWN: &str = "libwebsockets::keylog=warn";
#[cfg(not(feature = "keylog"))]
const SHOWN: &str = "off";

/// Shows the crate's log on standard error.
pub fn show_log() {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(SHOWN))
        .format_timestamp(None)
        .init();
}

/// Prints an error for `main`.
pub fn exit(result: Result<(), Fail>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(feature = "keylog")]
const HELP_KEYLOG: &str = "  --keylog PATH        log TLS secrets to this file, for Wireshark
  --keylog-off         never log TLS secrets, whatever the environment says
";

/// The help of a program with these options, those for TLS apart, and with the
/// key log's: what this build has of them.
pub fn help(options: &str, tls: &str) -> String {
    let mut help = options.to_owned();
    if cfg!(feature = "_tls") {
        help.push_str(tls);
    }
    #[cfg(feature = "keylog")]
    help.push_str(HELP_KEYLOG);
    help
}

/// Shuts the context down on SIGINT and SIGTERM: peers get two seconds for the closing
/// handshake, or until a second signal.
pub fn stop_on_signals(handle: ContextHandle) -> Result<(), Fail> {
    let mut asked = false;
    on_signals(move || match std::mem::replace(&mut asked, true) {
        false => {
            let time = std::time::Duration::from_secs(2);
            // A context that is gone has stopped already.
            let _ = handle.shutdown(libwebsockets::CloseCode::GOING_AWAY, time);
        }
        true => handle.stop(),
    })
}

/// Calls a function at each SIGINT and SIGTERM, on a thread of its own.
#[cfg(unix)]
pub fn on_signals(mut what: impl FnMut() + Send + 'static) -> Result<(), Fail> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    std::thread::spawn(move || signals.forever().for_each(|_| what()));
    Ok(())
}

/// The same on Windows, where Ctrl-C is SIGINT. Waiting for a signal isn't possible there, so
/// the thread polls.
#[cfg(not(unix))]
pub fn on_signals(mut what: impl FnMut() + Send + 'static) -> Result<(), Fail> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::Arc;
    let came = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&came))?;
    }
    std::thread::spawn(move || loop {
        std::thread::sleep(std::time::Duration::from_millis(100));
        if came.swap(false, Ordering::Relaxed) {
            what();
        }
    });
    Ok(())
}

/// A self-signed certificate for localhost and its key, PEM.
#[cfg(feature = "_tls")]
pub fn self_signed() -> Result<(String, String), Fail> {
    let names = [
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let made = rcgen::generate_simple_self_signed(names)?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

/// TLS with such a certificate.
#[cfg(feature = "_tls")]
pub fn own_tls() -> Result<libwebsockets::tls::ServerTls, Fail> {
    use libwebsockets::tls::{Pem, ServerTls};
    let (certificate, key) = self_signed()?;
    Ok(ServerTls::new(Pem::memory(certificate), Pem::memory(key)))
}

/// Applies `--keylog PATH` and `--keylog-off`.
#[cfg(feature = "keylog")]
pub fn keylog(
    args: &mut Args,
    builder: libwebsockets::ContextBuilder,
) -> Result<libwebsockets::ContextBuilder, Fail> {
    use libwebsockets::keylog::KeyLog;
    let off = args.flag("--keylog-off")?;
    let path = args.path("--keylog")?;
    match (off, path) {
        (true, Some(_)) => Err("--keylog and --keylog-off contradict each other".into()),
        (true, None) => Ok(builder.keylog(KeyLog::off())),
        (false, Some(path)) => Ok(builder.keylog(KeyLog::file(path))),
        (false, None) => Ok(builder),
    }
}
