//! Serves TLS by rustls, until its standard input ends. It logs to the file that
//! `SSLKEYLOGFILE` names, by rustls' own `KeyLogFile`, if that is set.
//!
//! Prints `listening PORT PID`.

use bench::{tls::Identity, Fail};
use rustls::{KeyLogFile, ServerConfig, ServerConnection};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

const THREADS: usize = 4;

fn main() -> std::process::ExitCode {
    bench::exit(run())
}

fn run() -> Result<(), Fail> {
    let mut config = Identity::new()?.rustls_server()?;
    if std::env::var_os("SSLKEYLOGFILE").is_some() {
        config.key_log = Arc::new(KeyLogFile::new());
    }
    let config = Arc::new(config);
    let listener = Arc::new(TcpListener::bind(("127.0.0.1", 0))?);
    for _ in 0..THREADS {
        let (listener, config) = (Arc::clone(&listener), Arc::clone(&config));
        thread::spawn(move || {
            for socket in listener.incoming() {
                if let Err(error) = socket.and_then(|socket| serve(socket, &config)) {
                    eprintln!("error: {error}");
                }
            }
        });
    }
    let port = listener.local_addr()?.port();
    println!("listening {port} {}", std::process::id());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

/// One connection, until the client ends it.
fn serve(mut socket: TcpStream, config: &Arc<ServerConfig>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    io::copy(
        &mut rustls::Stream::new(&mut tls, &mut socket),
        &mut io::sink(),
    )?;
    tls.send_close_notify();
    while tls.wants_write() {
        tls.write_tls(&mut socket)?;
    }
    Ok(())
}
