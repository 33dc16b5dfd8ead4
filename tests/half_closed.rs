//! A peer that sends nothing more, and hasn't read yet what it is sent.

mod common;

#[cfg(feature = "_tls")]
use common::peer::http_head;
use common::peer::{patient, tcp, upgrade, Raw};
use common::{loopback, probe, rests, turn_until, Events, Probe};
use libwebsockets::{Client, Closed, Connection, Context, Handler, Message, Vhost};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

/// More than sockets hold.
const MUCH: usize = 16 << 20;

/// Sends much when it opens.
#[derive(Clone)]
struct Sends(Probe);

impl Handler for Sends {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        conn.send(Message::binary(vec![7; MUCH])).unwrap();
        self.0.on_open(conn);
    }
    fn on_close(&mut self, closed: Closed) {
        self.0.on_close(closed);
    }
}

/// The peer's end is over: the loop rests, and the peer still gets all.
#[track_caller]
fn rests_and_sends(
    mut context: Context,
    events: &Events,
    tcp: &TcpStream,
    mut stream: impl Read + Send,
) {
    turn_until(&mut context, || events.try_next());
    tcp.shutdown(Shutdown::Write).unwrap();
    rests(&mut context);
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let (mut total, mut buffer) = (0, vec![0; 1 << 16]);
            while total < MUCH {
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    n => total += n,
                }
            }
            total
        });
        turn_until(&mut context, || reader.is_finished().then_some(()));
        assert!(reader.join().unwrap() >= MUCH);
    });
}

fn server(describe: impl FnOnce(Vhost) -> Vhost) -> (Context, Events) {
    let (probe, events) = probe();
    let vhost = describe(loopback()).accept(move |_| Ok(Sends(probe.clone())));
    (Context::builder().vhost(vhost).build().unwrap(), events)
}

/// Lost: a processor, for 5 s with each such connection.
#[test]
fn a_server_that_has_output_left_waits_for_no_input() {
    let (context, events) = server(|vhost| vhost);
    let mut tcp = tcp(context.local_addr(0).unwrap());
    tcp.write_all(upgrade("/", "").as_bytes()).unwrap();
    let stream = tcp.try_clone().unwrap();
    rests_and_sends(context, &events, &tcp, stream);
}

#[test]
fn a_client_that_has_output_left_waits_for_no_input() {
    let (probe, events) = probe();
    let mut context = Context::builder().build().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    drop(
        context
            .connect(Client::new(&url).unwrap(), Sends(probe))
            .unwrap(),
    );
    let peer = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        patient(&tcp);
        drop(Raw::serve(Box::new(tcp.try_clone().unwrap()), ""));
        tcp
    });
    turn_until(&mut context, || peer.is_finished().then_some(()));
    let tcp = peer.join().unwrap();
    let stream = tcp.try_clone().unwrap();
    rests_and_sends(context, &events, &tcp, stream);
}

#[cfg(feature = "_tls")]
#[test]
fn a_server_over_tls_that_has_output_left_waits_for_no_input() {
    let ca = common::certs::Ca::new();
    let tls = ca.sign(&["localhost"]).server();
    let (mut context, events) = server(|vhost| vhost.tls(tls));
    let tcp = tcp(context.local_addr(0).unwrap());
    let stream = tcp.try_clone().unwrap();
    let mut stream = common::certs::tls_over(stream, "localhost", ca.rustls_client());
    let peer = std::thread::spawn(move || {
        stream.write_all(upgrade("/", "").as_bytes()).unwrap();
        http_head(&mut stream);
        stream
    });
    turn_until(&mut context, || peer.is_finished().then_some(()));
    let mut stream = peer.join().unwrap();
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    rests_and_sends(context, &events, &tcp, stream);
}
