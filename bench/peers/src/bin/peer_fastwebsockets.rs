//! fastwebsockets, which puts messages together like ours.

use fastwebsockets::upgrade::{upgrade, UpgradeFut};
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use peers::{Echo, Failure, Stream};

struct FastWebSockets;

impl Echo for FastWebSockets {
    async fn serve(stream: impl Stream) -> Result<(), Failure> {
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service_fn(switch))
            .with_upgrades();
        Ok(connection.await?)
    }
}

async fn switch(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, connection) = upgrade(&mut request)?;
    tokio::spawn(echo(connection));
    Ok(response)
}

async fn echo(connection: UpgradeFut) -> Result<(), WebSocketError> {
    let mut ws = FragmentCollector::new(connection.await?);
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            _ => {}
        }
    }
}

fn main() -> Result<(), Failure> {
    peers::run::<FastWebSockets>()
}
