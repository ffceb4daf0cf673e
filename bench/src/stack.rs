//! The product's own server (accept loop, TLS settings, HTTP, runtime, allocator) with another
//! answer, so that contestants do not differ in anything else.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use clap::Parser;
use prestop::cluster::certificates::{ServedCertificate, read_pair};
use prestop::webhook::server::tls::{Acceptor, Terms};
use prestop::webhook::server::{Server, Transport};
use prestop::webhook::settings::{Limits, TlsVersion};
use prestop::webhook::shutdown::{Ending, Signals};
use tokio::net::TcpListener;

/// The same flags as `prestop serve`.
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Where reviews are served.
    #[arg(long)]
    listen: SocketAddr,
    /// The certificate, as PEM.
    #[arg(long)]
    tls_cert: PathBuf,
    /// Its key, as PEM.
    #[arg(long)]
    tls_key: PathBuf,
}

/// Serves `POST /mutate` until a signal ends it.
///
/// # Errors
/// Returns an error if the certificate can't be read or the address is in use.
pub fn serve(answer: fn(&Bytes) -> Vec<u8>) -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let pair = read_pair(&fs::read(&arguments.tls_cert)?, &fs::read(&arguments.tls_key)?)?;
    let certificate = ServedCertificate::none();
    certificate.serve(pair.certified);
    let terms = Terms::new(TlsVersion::V1_3, certificate, None)?;
    let mutate = move |body: Bytes| async move { json(answer(&body)) };
    // 7 MiB, the limit of the product.
    let limit = axum::extract::DefaultBodyLimit::max(Limits::default().body_bytes);
    let server = Server {
        transport: Transport::Tls(Arc::new(Acceptor::new(terms))),
        router: Router::new().route("/mutate", post(mutate)).layer(limit),
        limits: Limits::default(),
        metrics: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(arguments.listen).await.context("--listen")?;
        let (mut signals, shutdown) = Signals::take()?;
        let serving = tokio::spawn(server.serve(listener, shutdown, Duration::from_secs(1)));
        if signals.drain(Duration::ZERO, |_| {}).await == Ending::Drained {
            serving.await?;
        }
        Ok(())
    })
}

fn json(body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], Body::from(body))
        .into_response()
}
