//! A program with two TLS libraries: OpenSSL, by the crate `openssl`, and AWS-LC, by
//! this crate. Each makes connections before and after the other one.
//!
//! The arguments are files: a CA's certificate, one that it has signed for localhost, and
//! its key.

use libwebsockets::tls::{ClientTls, Pem, ServerTls};
use libwebsockets::{Client, Closed, Connection, Context, Handler, Message, Vhost};
use openssl::ssl::{SslAcceptor, SslConnector, SslFiletype, SslMethod};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let [ca, certificate, key] = [0, 1, 2].map(|n| files[n].as_str());
    for _ in 0..2 {
        by_openssl(ca, certificate, key);
        by_libwebsockets(ca, certificate, key);
    }
    println!("{}", openssl::version::version());
    println!("{}", libwebsockets::keylog::capability().tls_library);
}

fn by_openssl(ca: &str, certificate: &str, key: &str) {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).unwrap();
    acceptor
        .set_certificate_file(certificate, SslFiletype::PEM)
        .unwrap();
    acceptor
        .set_private_key_file(key, SslFiletype::PEM)
        .unwrap();
    let acceptor = acceptor.build();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let mut tls = acceptor.accept(listener.accept().unwrap().0).unwrap();
        tls.write_all(b"hello").unwrap();
        tls.shutdown().unwrap();
    });
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_ca_file(ca).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    let mut tls = connector.build().connect("localhost", stream).unwrap();
    let mut text = String::new();
    tls.read_to_string(&mut text).unwrap();
    assert_eq!(
        (text.as_str(), tls.ssl().version_str()),
        ("hello", "TLSv1.3")
    );
    server.join().unwrap();
}

struct Echo;

impl Handler for Echo {
    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        conn.send(message).unwrap();
    }
}

struct Visitor;

impl Handler for Visitor {
    fn on_open(&mut self, conn: &mut Connection<'_>) {
        conn.send("hello").unwrap();
    }
    fn on_message(&mut self, conn: &mut Connection<'_>, message: Message) {
        assert_eq!(message.as_text(), Some("hello"));
        conn.handle().stop();
    }
    fn on_close(&mut self, closed: Closed) {
        panic!("{closed:?}");
    }
    fn on_connect_error(&mut self, error: &libwebsockets::ConnectError) {
        panic!("{error}");
    }
}

fn by_libwebsockets(ca: &str, certificate: &str, key: &str) {
    let tls = ServerTls::new(Pem::file(certificate), Pem::file(key));
    let vhost = Vhost::listen(([127, 0, 0, 1], 0))
        .tls(tls)
        .accept(|_| Ok(Echo));
    let mut context = Context::builder().vhost(vhost).build().unwrap();
    let url = format!("wss://localhost:{}/", context.local_addr(0).unwrap().port());
    let client = Client::new(&url)
        .unwrap()
        .tls(ClientTls::new().ca(Pem::file(ca)));
    drop(context.connect(client, Visitor).unwrap());
    context.run().unwrap();
    // What is still open ends with the program.
    std::mem::forget(context);
}
