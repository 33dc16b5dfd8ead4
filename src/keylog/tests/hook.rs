//! Connections whose secrets never reach the log.

use crate::ffi::keylog::tests::FORGET;
use crate::keylog::{KeyLog, MemoryLog, Problem};
use crate::tls::{ClientTls, Pem, ServerTls};
use crate::{Client, Connection, Context, Handler, Vhost};

/// Stops the loop once it has been opened.
struct Stop;

impl Handler for Stop {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        conn.handle().stop();
    }
}

struct Quiet;

impl Handler for Quiet {}

/// A connection of the context to itself.
fn connect(keylog: KeyLog) -> Context {
    let own = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
    let tls = ServerTls::new(
        Pem::memory(own.cert.pem()),
        Pem::memory(own.signing_key.serialize_pem()),
    );
    let vhost = Vhost::listen(([127, 0, 0, 1], 0)).tls(tls);
    let vhost = vhost.accept(|_| Ok(Quiet));
    let builder = Context::builder().vhost(vhost).keylog(keylog);
    let mut context = builder.build().unwrap();
    let port = context.local_addr(0).unwrap().port();
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
