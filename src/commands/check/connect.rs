//! Connects to the Service as the API server does: it trusts only `caBundle`, and uses the name in
//! the webhook configuration.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::cli::CheckArguments;
use crate::cluster::api::objects::{Service, WebhookClientConfig};
use crate::cluster::api::{Api, Collection, trusting};
use crate::cluster::certificates::Authorities;
use crate::cluster::installation::Check;

/// Time limit for the connection and the answer.
const PATIENCE: Duration = Duration::from_secs(10);
const EXAMPLE_REVIEW: &str = include_str!("../../../examples/admission-review.json");

/// The address of the webhook.
struct Target {
    host: String,
    port: u16,
    path: String,
}

pub(super) async fn check(
    api: &Api,
    webhook: &WebhookClientConfig,
    arguments: &CheckArguments,
) -> Check {
    let id = "connection";
    let advice = "check that prestop is ready (/readyz?verbose), that its Service has endpoints, and \
                  that no NetworkPolicy or firewall blocks the connection";
    let Some(target) = target(webhook) else {
        return Check::failure(id, "the webhook configuration has no address", advice);
    };
    let address = match &arguments.address {
        Some(address) => address.clone(),
        None => address(api, webhook, &target).await,
    };
    let tried = timeout(PATIENCE, ask(&target, &webhook.ca_bundle, &address)).await;
    match tried.unwrap_or_else(|_| Err(anyhow!("no answer within {PATIENCE:?}"))) {
        Ok(()) => Check::ok(id, format!("{} is trusted and answers with a patch", target.host)),
        Err(error) => Check::failure(id, format!("{}: {error:#}", target.host), advice),
    }
}

fn target(client: &WebhookClientConfig) -> Option<Target> {
    if let Some(service) = &client.service {
        return Some(Target {
            host: format!("{}.{}.svc", service.name, service.namespace),
            port: service.port.unwrap_or(443),
            path: service.path.clone().unwrap_or_else(|| "/".to_owned()),
        });
    }
    let url: hyper::Uri = client.url.as_ref()?.parse().ok()?;
    Some(Target {
        host: url.host()?.to_owned(),
        port: url.port_u16().unwrap_or(443),
        path: url.path().to_owned(),
    })
}

/// Returns the cluster IP of the Service, which the API server uses as well, without DNS. If the
/// Service can't be read or has no address, returns its name.
async fn address(api: &Api, webhook: &WebhookClientConfig, target: &Target) -> String {
    let mut host = target.host.clone();
    if let Some(reference) = &webhook.service {
        let services = Collection::services(&reference.namespace);
        let service = api.get::<Service>(&services, &reference.name).await.ok().flatten();
        let address = service.and_then(|service| service.spec.cluster_ip);
        if let Some(address) = address.filter(|address| address != "None" && !address.is_empty()) {
            host = if address.contains(':') { format!("[{address}]") } else { address };
        }
    }
    format!("{host}:{}", target.port)
}

/// Sends the example review, which must be answered with a patch.
async fn ask(target: &Target, bundle: &[u8], address: &str) -> anyhow::Result<()> {
    let config = trusting(Authorities::read(bundle).usable())?;
    let socket = TcpStream::connect(address).await.with_context(|| address.to_owned())?;
    let name = ServerName::try_from(target.host.clone())?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.context("TLS")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = Request::post(&target.path)
        .header("host", &target.host)
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from_static(EXAMPLE_REVIEW.as_bytes())))?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    connection.abort();
    if !status.is_success() {
        bail!("HTTP status {status}");
    }
    let review: Value = serde_json::from_slice(&body).context("the answer is not JSON")?;
    let response = review.get("response").context("the answer is not an AdmissionReview")?;
    if response.get("allowed") != Some(&Value::Bool(true)) {
        bail!("the answer does not allow the pod");
    }
    if response.get("patch").is_none() {
        bail!("the answer has no patch for the example's pod");
    }
    Ok(())
}
