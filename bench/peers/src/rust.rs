//! What the servers in Rust share: a listener, on one thread.

use futures_util::{FutureExt, Sink, SinkExt, StreamExt};
use openssl::ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod};
use rustls::pki_types::{pem::PemObject, CertificateDer, PrivateKeyDer};
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_openssl::SslStream;
use tokio_rustls::TlsAcceptor;

const USAGE: &str = "the options are --cert PEM --key PEM, then --openssl, or none";

/// What a server speaks over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

/// Why a connection ended.
pub type Failure = Box<dyn Error + Send + Sync>;

/// An echo server.
pub trait Echo: 'static {
    /// Serves one connection.
    fn serve(stream: impl Stream) -> impl Future<Output = Result<(), Failure>> + Send + 'static;
}

/// Echoes until the peer closes. All that has come is answered before anything is written,
/// as ours does.
pub async fn echo<W, M, E>(mut ws: W, is_data: fn(&M) -> bool) -> Result<(), Failure>
where
    W: futures_util::Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
    E: Error + Send + Sync + 'static,
{
    while let Some(message) = ws.next().await {
        let mut next = Some(message);
        while let Some(message) = next {
            let message = message?;
            if is_data(&message) {
                ws.feed(message).await?;
            }
            next = ws.next().now_or_never().flatten();
        }
        ws.flush().await?;
    }
    Ok(())
}

/// TLS, by either library.
#[derive(Clone)]
enum Tls {
    Rustls(TlsAcceptor),
    OpenSsl(SslAcceptor),
}

/// Serves until the process is killed, and prints the port that it listens on. The
/// options `--cert PEM --key PEM` make it speak TLS by rustls with ring; `--openssl` behind
/// them, by the system's OpenSSL, as ours.
pub fn run<E: Echo>() -> Result<(), Failure> {
    let options: Vec<String> = std::env::args().skip(1).collect();
    let tls = match &options[..] {
        [] => None,
        [a, cert, b, key, rest @ ..] if a == "--cert" && b == "--key" => match rest {
            [] => Some(Tls::Rustls(rustls(cert, key)?)),
            [c] if c == "--openssl" => Some(Tls::OpenSsl(openssl(cert, key)?)),
            _ => return Err(USAGE.into()),
        },
        _ => return Err(USAGE.into()),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(listen::<E>(tls))
}

async fn listen<E: Echo>(tls: Option<Tls>) -> Result<(), Failure> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        match tls.clone() {
            None => tokio::spawn(E::serve(stream)),
            Some(Tls::Rustls(tls)) => tokio::spawn(accept::<E>(tls, stream)),
            Some(Tls::OpenSsl(tls)) => tokio::spawn(accept_openssl::<E>(tls, stream)),
        };
    }
}

async fn accept<E: Echo>(tls: TlsAcceptor, stream: TcpStream) -> Result<(), Failure> {
    E::serve(tls.accept(stream).await?).await
}

async fn accept_openssl<E: Echo>(tls: SslAcceptor, stream: TcpStream) -> Result<(), Failure> {
    let mut stream = SslStream::new(Ssl::new(tls.context())?, stream)?;
    Pin::new(&mut stream).accept().await?;
    E::serve(stream).await
}

fn openssl(cert: &str, key: &str) -> Result<SslAcceptor, Failure> {
    let mut builder = SslAcceptor::mozilla_modern_v5(SslMethod::tls_server())?;
    builder.set_certificate_chain_file(cert)?;
    builder.set_private_key_file(key, SslFiletype::PEM)?;
    Ok(builder.build())
}

fn rustls(cert: &str, key: &str) -> Result<TlsAcceptor, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(cert)?],
            PrivateKeyDer::from_pem_file(key)?,
        )?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
