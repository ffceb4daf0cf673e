//! Two paths: one is answered immediately, the other after 20 s. Stops gracefully on TERM, as in
//! axum's documentation.

use std::time::Duration;

use axum::{Router, routing::get};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let application = Router::new().route("/", get(async || "ok\n")).route("/slow", get(slow));
    let listener = TcpListener::bind(("0.0.0.0", 8080)).await?;
    axum::serve(listener, application)
        .with_graceful_shutdown(async move {
            terminate.recv().await;
        })
        .await
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_secs(20)).await;
    "ok\n"
}
