//! Sends every message back. `--help` lists the options.

mod common;

use common::{Args, Fail};
use libwebsockets::{
    CloseCode, Connection, Context, Handler, Message, Request, SendError, Vhost, WebSocketConfig,
};
use std::collections::VecDeque;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const HELP: &str = "\
echo_server: sends every WebSocket message back; SIGINT or SIGTERM ends it

  --port N             the port to listen on; 0 takes a free one (default 0)
  --iface ADDR         the address to listen on (default 127.0.0.1)
  --deflate            accept permessage-deflate
  --subprotocol NAME   serve this subprotocol as well as clients that offer none
  --max-message BYTES  the longest message and frame (default 64 MiB)
";

const HELP_TLS: &str = "  --tls                speak TLS
  --cert PEM           the certificate (default: a self-signed one, made now)
  --key PEM            its key
  --tls-max 1.2|1.3    the newest version of TLS (default 1.3)
";

/// Sends messages back in the order in which they arrive.
#[derive(Default)]
struct Echo {
    /// Messages that the send queue had no room for.
    pending: VecDeque<Message>,
}

impl Echo {
    fn send_pending(&mut self, conn: &mut Connection<'_>) {
        while let Some(message) = self.pending.pop_front() {
            match conn.send(message) {
                Ok(()) => {}
                Err(SendError::Full(message)) => {
                    // Back pressure: nothing more is read from a peer that doesn't read.
                    self.pending.push_front(*message);
                    conn.pause_reading();
                    return;
                }
                // The connection is closing: the peer expects no echo.
                Err(SendError::Closed(_)) => {}
                Err(_) => conn.close(CloseCode::TOO_BIG),
            }
        }
        conn.resume_reading();
    }
}

impl Handler for Echo {
    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        self.pending.push_back(message);
        self.send_pending(conn);
    }

    fn on_writable(&mut self, conn: &mut Connection<'_>) {
        self.send_pending(conn);
    }
}

fn main() -> std::process::ExitCode {
    common::exit(run())
}

fn run() -> Result<(), Fail> {
    common::show_log();
    let mut args = Args::new(&common::help(HELP, HELP_TLS))?;
    let port: u16 = args.value("--port")?.unwrap_or(0);
    let iface: IpAddr = args.value("--iface")?.unwrap_or([127, 0, 0, 1].into());
    let max: usize = args.value("--max-message")?.unwrap_or(64 << 20);
    let config = WebSocketConfig::new()
        .max_message_size(max)
        .max_frame_size(max)
        .deflate(args.flag("--deflate")?);
    let echo = |_: &Request<'_>| Ok(Echo::default());
    let mut vhost = Vhost::listen((iface, port)).accept(echo).config(config);
    if let Some(name) = args.value::<String>("--subprotocol")? {
        vhost = vhost.subprotocol(name, echo)?;
    }
    #[cfg(not(feature = "_tls"))]
    let scheme = "ws";
    #[cfg(feature = "_tls")]
    let (scheme, vhost) = match tls(&mut args)? {
        Some(tls) => ("wss", vhost.tls(tls)),
        None => ("ws", vhost),
    };
    let builder = Context::builder().vhost(vhost);
    #[cfg(feature = "keylog")]
    let builder = common::keylog(&mut args, builder)?;
    args.finish()?;

    let mut context = builder.build()?;
    common::stop_on_signals(context.handle())?;
    let address = context
        .local_addr(0)
        .unwrap_or(SocketAddr::new(iface, port));
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "listening on {scheme}://{}/", shown(address))?;
    stdout.flush()?;
    drop(stdout);
    context.run()?;
    Ok(())
}

/// The host and port for clients on this machine: the certificate's name, `localhost`, for
/// loopback and unspecified addresses.
fn shown(address: SocketAddr) -> String {
    let ip = address.ip();
    let of_localhost = [
        Ipv4Addr::LOCALHOST.into(),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ];
    match ip.is_unspecified() || of_localhost.contains(&ip) {
        true => format!("localhost:{}", address.port()),
        false => address.to_string(),
    }
}

/// TLS as the options say; `None` without `--tls`.
#[cfg(feature = "_tls")]
fn tls(args: &mut Args) -> Result<Option<libwebsockets::tls::ServerTls>, Fail> {
    use libwebsockets::tls::{Pem, ServerTls, TlsVersion};

    let on = args.flag("--tls")?;
    let certificate = args.path("--cert")?;
    let key = args.path("--key")?;
    let max: Option<String> = args.value("--tls-max")?;
    if !on {
        // Whoever gives these options doesn't want to serve without encryption.
        return match (certificate, key, max) {
            (None, None, None) => Ok(None),
            _ => Err("--cert, --key and --tls-max need --tls as well".into()),
        };
    }
    let max = match max.as_deref() {
        None | Some("1.3") => TlsVersion::Tls13,
        Some("1.2") => TlsVersion::Tls12,
        Some(other) => return Err(format!("--tls-max takes 1.2 or 1.3, not {other:?}").into()),
    };
    let tls = match (certificate, key) {
        (Some(certificate), Some(key)) => ServerTls::new(Pem::file(certificate), Pem::file(key)),
        (None, None) => common::own_tls()?,
        _ => return Err("--cert and --key go together".into()),
    };
    Ok(Some(tls.versions(TlsVersion::Tls12, max)))
}
