//! Servers and clients over TLS, and the errors of those that can't be.

use super::certs::tls_stream;
use super::{client_context, loopback, probe, serve, Echo, Running, WAIT};
use libwebsockets::tls::{ClientTls, ServerTls, TlsInfo};
use libwebsockets::{Client, ConnectError, Connection, Context, Error, Handler};
use std::sync::mpsc;

pub fn echo(tls: ServerTls) -> Running {
    serve(move |vhost| vhost.tls(tls).accept(|_| Ok(Echo)))
}

/// Whether a client with these settings gets a connection to `host`.
#[track_caller]
pub fn connects_to(server: &Running, host: &str, tls: ClientTls) -> Result<(), String> {
    let client = client_context();
    let (probe, events) = probe();
    let url = format!("wss://{host}:{}/", server.addr().port());
    let connecting = client
        .handle
        .connect(Client::new(&url).unwrap().tls(tls), probe)
        .unwrap();
    match connecting.wait(WAIT) {
        Ok(id) => {
            assert_eq!(events.open(), id);
            client.handle.send(id, "hello").unwrap();
            assert_eq!(events.message().as_text(), Some("hello"));
            Ok(())
        }
        Err(ConnectError::Failed { failure, .. }) => Err(failure.to_string()),
        Err(other) => panic!("{other}"),
    }
}

#[track_caller]
pub fn connects(server: &Running, tls: ClientTls) -> Result<(), String> {
    connects_to(server, "localhost", tls)
}

/// What the server learned of each connection, and of its request.
pub fn telling(tls: ServerTls) -> (Running, mpsc::Receiver<TlsInfo>) {
    struct Tells(mpsc::Sender<TlsInfo>);
    impl Handler for Tells {
        fn on_open(&mut self, conn: &mut Connection<'_>) {
            self.0.send(conn.tls().unwrap()).unwrap();
        }
    }
    let (report, seen) = mpsc::channel();
    let server = serve(move |vhost| {
        vhost.tls(tls).accept(move |request| {
            request.tls().expect("it is over TLS");
            Ok(Tells(report.clone()))
        })
    });
    (server, seen)
}

/// Whether a rustls client gets a WebSocket.
pub fn rustls_opens(server: &Running, config: rustls::ClientConfig) -> bool {
    let stream = tls_stream(server.addr(), "localhost", config);
    let Ok((mut socket, _)) = tungstenite::client(server.url("wss", "/"), stream) else {
        return false;
    };
    socket.close(None).is_ok()
}

/// The error of a build with these TLS settings.
#[track_caller]
pub fn build_error(tls: ServerTls) -> Error {
    let vhost = loopback().tls(tls).accept(|_| Ok(Echo));
    match Context::builder().vhost(vhost).build() {
        Ok(_) => panic!("it is built"),
        Err(error) => error,
    }
}

/// The error of a connect with these settings, from the outcome and the handler.
#[track_caller]
pub fn setup_error(tls: ClientTls) -> String {
    let client = client_context();
    let (probe, events) = probe();
    let to = Client::new("wss://localhost:1/").unwrap().tls(tls);
    let connecting = client.handle.connect(to, probe).unwrap();
    let error = connecting.wait(WAIT).unwrap_err();
    assert!(matches!(error, ConnectError::Setup(_)), "{error}");
    assert_eq!(events.connect_error().to_string(), error.to_string());
    events.end();
    error.to_string()
}
