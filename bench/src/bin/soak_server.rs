//! The server that `cargo xtask soak` puts under load. It serves until it is killed.
//!
//! `/` and `/probe` echo · `/flood` sends as much as its queue takes, without end ·
//! `/stats` answers each message with counts.
//!
//! It prints `listening PORT TLSPORT PID`. Options: `--port N`,
//! `--write-buffer BYTES`, `--ping S`, `--idle S`, and `--keylog PATH`, or `full` for a
//! device on which no space is left.

use bench::soak::content;
use bench::{args::Args, tls::Identity, Fail};
use libwebsockets::keylog::KeyLog;
use libwebsockets::tls::{Pem, ServerTls};
use libwebsockets::{
    Closed, Connection, Context, Handler, Message, Refusal, Request, Vhost, WebSocketConfig,
};
use std::cell::Cell;
use std::fs::File;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// What a connection is for, by its path.
#[derive(Clone, Copy)]
enum Kind {
    Echo,
    Probe,
    Flood,
    Stats,
}

const NAMES: [&str; 4] = ["echo", "probe", "flood", "stats"];

/// Length of the messages that a flood is made of.
const FLOOD: usize = 4096;

/// What all handlers share; there is one thread.
#[derive(Default)]
struct Counts {
    open: [Cell<u64>; 4],
    opened: Cell<u64>,
    queued_max: Cell<usize>,
}

struct Session {
    kind: Kind,
    counts: Rc<Counts>,
    /// Number of the next message of a flood.
    next: u64,
}

impl Session {
    fn flood(&mut self, conn: &mut Connection<'_>) {
        while conn.send(content::of_length(0, self.next, FLOOD)).is_ok() {
            self.next += 1;
            self.note_queue(conn);
        }
    }

    fn note_queue(&self, conn: &Connection<'_>) {
        let queued = &self.counts.queued_max;
        queued.set(queued.get().max(conn.queued_bytes()));
    }

    fn report(&self, conn: &Connection<'_>) -> String {
        let handle = conn.handle();
        let keylog = handle.keylog().stats();
        let counts = &self.counts;
        let open = NAMES.iter().zip(&counts.open);
        let open: Vec<_> = open
            .map(|(name, n)| format!("{name} {}", n.get()))
            .collect();
        format!(
            "{} all {} opened {} queued_max {} written {} failed {}",
            open.join(" "),
            handle.connections().len(),
            counts.opened.get(),
            counts.queued_max.get(),
            keylog.written,
            keylog.failed
        )
    }
}

impl Handler for Session {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        let open = &self.counts.open[self.kind as usize];
        open.set(open.get() + 1);
        self.counts.opened.set(self.counts.opened.get() + 1);
        if let Kind::Flood = self.kind {
            self.flood(conn);
        }
    }

    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        let sent = match self.kind {
            Kind::Flood => return,
            Kind::Stats => conn.send(self.report(conn)),
            Kind::Echo | Kind::Probe => conn.send(message),
        };
        self.note_queue(conn);
        if sent.is_err() {
            conn.abort(); // the peer doesn't read what it is sent
        }
    }

    fn on_writable(&mut self, conn: &mut Connection<'_>) {
        if let Kind::Flood = self.kind {
            self.flood(conn);
        }
    }

    fn on_close(&mut self, _: Closed) {
        let open = &self.counts.open[self.kind as usize];
        // Below zero would be one that never opened: a number that nobody expects.
        open.set(open.get().wrapping_sub(1));
    }
}

fn main() -> Result<(), Fail> {
    let mut args = Args::from_env();
    let port: u16 = args.value("--port")?.unwrap_or(0);
    let config = config(&mut args)?;
    let keylog = keylog(&mut args)?;
    args.finish()?;

    let (certificate, key) = Identity::new()?.pem();
    let counts = Rc::new(Counts::default());
    let vhost = |host: u8, port: u16| {
        let counts = Rc::clone(&counts);
        Vhost::listen(([127, 0, 0, host], port))
            .config(config.clone())
            .accept(move |request| session(request, &counts))
    };
    let secure = ServerTls::new(Pem::memory(certificate), Pem::memory(key));
    let mut context = Context::builder()
        .vhost(vhost(1, port))
        // Vhosts with the same address would share a port.
        .vhost(vhost(2, 0).tls(secure))
        .keylog(keylog)
        .build()?;
    let port = |vhost| {
        context
            .local_addr(vhost)
            .map_or(0, |address| address.port())
    };
    println!("listening {} {} {}", port(0), port(1), std::process::id());
    Ok(context.run()?)
}

fn session(request: &Request<'_>, counts: &Rc<Counts>) -> Result<Session, Refusal> {
    let kind = match request.path() {
        "/" => Kind::Echo,
        "/probe" => Kind::Probe,
        "/flood" => Kind::Flood,
        "/stats" => Kind::Stats,
        _ => return Err(Refusal::not_found()),
    };
    Ok(Session {
        kind,
        counts: Rc::clone(counts),
        next: 0,
    })
}

fn config(args: &mut Args) -> Result<WebSocketConfig, Fail> {
    let mut config = WebSocketConfig::new();
    if let Some(bytes) = args.value("--write-buffer")? {
        config = config.max_write_buffer_size(bytes);
    }
    if let Some(seconds) = args.value("--ping")? {
        config = config.ping_after(Duration::from_secs(seconds));
    }
    if let Some(seconds) = args.value("--idle")? {
        config = config.idle_timeout(Duration::from_secs(seconds));
    }
    Ok(config)
}

fn keylog(args: &mut Args) -> Result<KeyLog, Fail> {
    let path: Option<PathBuf> = args.value("--keylog")?;
    Ok(match path {
        None => KeyLog::off(),
        Some(path) if path.as_os_str() == "full" => {
            KeyLog::descriptor(File::options().write(true).open("/dev/full")?)
        }
        Some(path) => KeyLog::file(path),
    })
}
