//! A TCP relay on the loopback interface that captures what passes through it.

use super::pcapng::{Capture, Side, Stream};
use super::Fail;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// The clients' address in the capture, one for documentation (RFC 5737).
const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Forwards each connection to one server, and writes both ways to a capture.
pub struct Relay {
    address: SocketAddrV4,
    stop: Arc<AtomicBool>,
    acceptor: JoinHandle<io::Result<()>>,
}

impl Relay {
    /// Listens on a free port. In the capture `server` has the address `shown`.
    pub fn start(
        server: SocketAddr,
        shown: SocketAddrV4,
        capture: Arc<Mutex<Capture>>,
    ) -> Result<Relay, Fail> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, listener.local_addr()?.port());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let acceptor = thread::spawn(move || {
            let mut connections = Vec::new();
            loop {
                let (client, _) = listener.accept()?;
                if stopped.load(Ordering::Acquire) {
                    break;
                }
                let capture = Arc::clone(&capture);
                let connection = move || forward(client, server, shown, &capture);
                connections.push(thread::spawn(connection));
            }
            for connection in connections {
                connection.join().map_err(panicked)??;
            }
            Ok(())
        });
        Ok(Relay {
            address,
            stop,
            acceptor,
        })
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Waits for the connections to end, then for the relay.
    pub fn finish(self) -> Result<(), Fail> {
        self.stop.store(true, Ordering::Release);
        // A last connection ends the wait for one.
        drop(TcpStream::connect(self.address)?);
        self.acceptor.join().map_err(panicked)??;
        Ok(())
    }
}

/// Forwards one connection until both sides have ended it.
fn forward(
    client: TcpStream,
    server: SocketAddr,
    shown: SocketAddrV4,
    capture: &Arc<Mutex<Capture>>,
) -> io::Result<()> {
    let peer = SocketAddrV4::new(CLIENT, client.peer_addr()?.port());
    let server = TcpStream::connect(server)?;
    let stream = Arc::new(Mutex::new(lock(capture).open(peer, shown)));
    let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
    let other = {
        let (capture, stream) = (Arc::clone(capture), Arc::clone(&stream));
        thread::spawn(move || copy(from_server, to_client, Side::Server, &capture, &stream))
    };
    copy(client, server, Side::Client, capture, &stream);
    other.join().map_err(panicked)
}

/// Forwards one direction. Each piece is captured before it is forwarded, so that
/// nothing precedes its cause in the capture.
fn copy(
    mut from: TcpStream,
    mut to: TcpStream,
    side: Side,
    capture: &Mutex<Capture>,
    stream: &Mutex<Stream>,
) {
    let mut buffer = [0; 16 << 10];
    // A connection that breaks ends as one that is closed does.
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let piece = &buffer[..count];
        lock(capture).data(&mut lock(stream), side, piece);
        if to.write_all(piece).is_err() {
            break;
        }
    }
    lock(capture).end(&mut lock(stream), side);
    // The other side may have gone already.
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn panicked<T>(_panic: T) -> io::Error {
    io::Error::other("a thread of the relay panicked")
}
