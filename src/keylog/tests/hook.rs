//! A context's hook: connections whose secrets never reach the log, and those that come
//! when the context goes.

use super::{in_time, LONG};
use crate::ffi::keylog::tests::FORGET;
use crate::keylog::{KeyLog, MemoryLog, Problem};
use crate::tls::{ClientTls, Pem, ServerTls};
use crate::{Client, Connection, Context, Handler, Vhost};
use std::io::Read;
use std::net::TcpStream;
use std::sync::{mpsc, Arc};
use std::time::Duration;

/// Stops the loop once it has been opened.
struct Stop;

impl Handler for Stop {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        conn.handle().stop();
    }
}

struct Quiet;

impl Handler for Quiet {}

/// A server over TLS, and its port.
fn server(keylog: KeyLog) -> (Context, u16) {
    let own = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let tls = ServerTls::new(
        Pem::memory(own.cert.pem()),
        Pem::memory(own.signing_key.serialize_pem()),
    );
    let vhost = Vhost::listen(([127, 0, 0, 1], 0)).tls(tls);
    let vhost = vhost.accept(|_| Ok(Quiet));
    let builder = Context::builder().vhost(vhost).keylog(keylog);
    let context = builder.build().unwrap();
    let port = context.local_addr(0).unwrap().port();
    (context, port)
}

/// A connection of the context to itself.
fn connect(keylog: KeyLog) -> Context {
    let (mut context, port) = server(keylog);
    let client = Client::new(&format!("wss://127.0.0.1:{port}/")).unwrap();
    let client = client.tls(ClientTls::new().danger_accept_anything());
    drop(context.connect(client, Stop).unwrap());
    context.run().unwrap();
    context
}

/// Lost: the reason why a log stays empty, where an SSL_CTX was provided, or made
/// anew when certificates were reloaded.
#[test]
fn connections_without_a_hook_are_counted_and_told() {
    let memory = MemoryLog::new(1 << 16);
    let context = connect(KeyLog::memory(&memory));
    let stats = context.keylog().stats();
    assert_eq!((stats.unhooked_connections, stats.problem), (0, None));
    assert!(stats.written > 0);
    drop(context);

    FORGET.set(true);
    let memory = MemoryLog::new(1 << 16);
    let context = connect(KeyLog::memory(&memory));
    FORGET.set(false);
    let stats = context.keylog().stats();
    assert_eq!(stats.written, 0);
    assert!((1..=2).contains(&stats.unhooked_connections));
    let connections = stats.unhooked_connections;
    let problem = stats.problem.unwrap();
    assert_eq!(problem, Problem::HookNotCalled { connections });
    assert!(problem.to_string().contains("no provided SSL_CTX"));
}

/// A client that says hello, and no more once the server has answered.
fn stalled_client(context: &mut Context, port: u16) -> TcpStream {
    let config = rustls::ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let mut tls = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    tls.write_tls(&mut socket).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut answer = [0; 1];
    for _ in 0..1000 {
        context.service(Some(Duration::from_millis(20))).unwrap();
        if socket.read(&mut answer).is_ok_and(|n| n > 0) {
            return socket;
        }
    }
    panic!("the server doesn't answer");
}

/// Lost: a program that stands still. Contexts are destroyed under a lock of the process, and
/// what gets the records of handshakes that were under way may want a context of its own.
#[test]
fn a_function_may_build_a_context_when_another_one_goes() {
    in_time(LONG, || {
        let (sender, receiver) = mpsc::channel();
        let (mut context, port) = server(KeyLog::function(move |lines| {
            drop(Context::builder().keylog(KeyLog::off()).build().unwrap());
            sender.send(lines.to_vec()).unwrap();
            assert!(lines.is_empty(), "this panic is part of a test");
        }));
        let clients = [(); 2].map(|()| stalled_client(&mut context, port));
        assert!(receiver.try_recv().is_err(), "they are under way");
        let handle = context.keylog().clone();
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(context)));
        assert!(panic.is_err(), "the first panic is resumed");
        assert_eq!(
            receiver.try_iter().count(),
            clients.len(),
            "and the rest isn't lost"
        );
        let stats = handle.stats();
        assert!(stats.failed > 0 && stats.failed % 2 == 0, "{stats:?}");
    });
}
