//! tokio-tungstenite.

use futures_util::{SinkExt, StreamExt};
use peers::{Echo, Failure, Stream};

struct Tungstenite;

impl Echo for Tungstenite {
    async fn serve(stream: impl Stream) -> Result<(), Failure> {
        let mut ws = tokio_tungstenite::accept_async(stream).await?;
        while let Some(message) = ws.next().await {
            let message = message?;
            if message.is_text() || message.is_binary() {
                ws.send(message).await?;
            }
        }
        Ok(())
    }
}

fn main() -> Result<(), Failure> {
    peers::run::<Tungstenite>()
}
