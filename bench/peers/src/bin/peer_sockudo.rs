//! sockudo-ws, by its stream of messages.

use futures_util::{SinkExt, StreamExt};
use peers::{Echo, Failure, Stream};
use sockudo_ws::handshake::server_handshake;
use sockudo_ws::{Config, Message, WebSocketStream};

struct Sockudo;

impl Echo for Sockudo {
    async fn serve(mut stream: impl Stream) -> Result<(), Failure> {
        server_handshake(&mut stream).await?;
        let mut ws = WebSocketStream::server(stream, Config::default());
        while let Some(message) = ws.next().await {
            let message = message?;
            if matches!(message, Message::Text(_) | Message::Binary(_)) {
                ws.send(message).await?;
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Failure> {
    peers::run::<Sockudo>()
}
