//! sockudo-ws, by its stream of messages.

use peers::{Echo, Failure, Stream};
use sockudo_ws::handshake::server_handshake;
use sockudo_ws::{Config, Message, WebSocketStream};

struct Sockudo;

impl Echo for Sockudo {
    async fn serve(mut stream: impl Stream) -> Result<(), Failure> {
        server_handshake(&mut stream).await?;
        let ws = WebSocketStream::server(stream, Config::default());
        peers::echo(ws, |message| {
            matches!(message, Message::Text(_) | Message::Binary(_))
        })
        .await
    }
}

fn main() -> Result<(), Failure> {
    peers::run::<Sockudo>()
}
