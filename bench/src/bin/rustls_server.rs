//! Serves TLS by rustls, until its standard input ends. It logs to the file that
//! `SSLKEYLOGFILE` names, by rustls' own `KeyLogFile`, if that is set. One thread serves all
//! connections, as in the servers that it is compared with.
//!
//! Prints `listening PORT PID`.

use bench::{socket::would_block, tls::Identity, Fail};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use rustls::{KeyLogFile, ServerConfig, ServerConnection};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread;

/// That of the listening socket; connections have those above.
const LISTENER: Token = Token(0);

fn main() -> std::process::ExitCode {
    bench::exit(run())
}

fn run() -> Result<(), Fail> {
    let mut config = Identity::new()?.rustls_server()?;
    if std::env::var_os("SSLKEYLOGFILE").is_some() {
        config.key_log = Arc::new(KeyLogFile::new());
    }
    let mut listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let port = listener.local_addr()?.port();
    let poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut server = Server {
        poll,
        listener,
        config: Arc::new(config),
        served: HashMap::new(),
        last: LISTENER,
    };
    thread::spawn(move || {
        if let Err(error) = server.serve() {
            eprintln!("error: {error}");
            // Nobody else notices: the clients would wait.
            std::process::exit(1);
        }
    });
    println!("listening {port} {}", std::process::id());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    config: Arc<ServerConfig>,
    served: HashMap<Token, Served>,
    /// Of the newest connection.
    last: Token,
}

impl Server {
    fn serve(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    token => self.proceed(token),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            socket.set_nodelay(true)?;
            self.last.0 += 1;
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut socket, self.last, both)?;
            let tls = ServerConnection::new(Arc::clone(&self.config)).map_err(io::Error::other)?;
            self.served.insert(self.last, Served { socket, tls });
            self.proceed(self.last);
        }
    }

    fn proceed(&mut self, token: Token) {
        let Some(served) = self.served.get_mut(&token) else {
            return;
        };
        let ended = served.proceed().unwrap_or_else(|error| {
            eprintln!("error: {error}");
            true
        });
        if ended {
            self.served.remove(&token);
        }
    }
}

/// A connection, until the client ends it.
struct Served {
    socket: TcpStream,
    tls: ServerConnection,
}

impl Served {
    /// Does what can be done now; whether that was the last of it.
    fn proceed(&mut self) -> io::Result<bool> {
        let mut ended = false;
        loop {
            while self.tls.wants_write() {
                if would_block(self.tls.write_tls(&mut self.socket))?.is_none() {
                    return Ok(ended);
                }
            }
            if ended {
                return Ok(true);
            }
            match would_block(self.tls.read_tls(&mut self.socket))? {
                None => return Ok(false),
                Some(0) => ended = true,
                Some(_) => {
                    let state = self.tls.process_new_packets();
                    ended = state.map_err(io::Error::other)?.peer_has_closed();
                }
            }
            while would_block(self.tls.reader().read(&mut [0; 1024]))?.is_some_and(|n| n > 0) {}
            if ended {
                self.tls.send_close_notify();
            }
        }
    }
}
