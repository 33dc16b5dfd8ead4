//! tokio-tungstenite.

use peers::{Echo, Failure, Stream};

struct Tungstenite;

impl Echo for Tungstenite {
    async fn serve(stream: impl Stream) -> Result<(), Failure> {
        let ws = tokio_tungstenite::accept_async(stream).await?;
        peers::echo(ws, |message| message.is_text() || message.is_binary()).await
    }
}

fn main() -> Result<(), Failure> {
    peers::run::<Tungstenite>()
}
