//! `prestop version`: the version of this program, and of the replicas that answer the API server.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde::Serialize;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::webhook::{self, Installed};
use super::{Exit, tell};
use crate::cli::{ReadingForm, VersionArguments};
use crate::cluster::api::objects::{Container, Pod, Service};
use crate::cluster::api::{self, Api, Collection, failure};
use crate::version::Version;

/// Time limit for each answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Version of the JSON form.
const FORM_VERSION: u32 = 1;
/// Name of the port for probes and metrics in the chart.
const ADMINISTRATION_PORT: &str = "metrics";

/// A pod behind the Service.
#[derive(Debug, Serialize)]
struct Replica {
    pod: String,
    image: String,
    #[serde(flatten)]
    answer: Answer,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Error(String),
    #[serde(untagged)]
    Version(Version),
}

/// Prints the version and, with `--cluster`, the versions of the replicas.
pub(super) fn run(arguments: &VersionArguments) -> anyhow::Result<Exit> {
    let mut replicas = None;
    if arguments.asks_cluster {
        let runtime = Builder::new_current_thread().enable_all().build().context("threads")?;
        match runtime.block_on(ask(arguments)) {
            Ok(found) => replicas = Some(found),
            Err(error) => {
                print(None, arguments.output)?;
                tell(&format!("error: {error:#}"));
                return Ok(Exit::NoCluster);
            }
        }
    }
    print(replicas.as_deref(), arguments.output)?;
    let is_silent = |it: &Replica| matches!(it.answer, Answer::Error(_));
    Ok(if replicas.is_some_and(|it| it.iter().any(is_silent)) { Exit::Found } else { Exit::Done })
}

fn print(replicas: Option<&[Replica]>, form: ReadingForm) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if form == ReadingForm::Json {
        let mut report = json!({"version": FORM_VERSION, "client": Version::this()});
        if let (Some(report), Some(replicas)) = (report.as_object_mut(), replicas) {
            report.insert("replicas".to_owned(), json!(replicas));
        }
        return writeln!(out, "{report:#}");
    }
    writeln!(out, "prestop {}", Version::text())?;
    for Replica { pod, image, answer } in replicas.into_iter().flatten() {
        match answer {
            Answer::Version(version) => writeln!(out, "{pod}: prestop {version}")?,
            Answer::Error(error) => writeln!(out, "{pod}: {image}; {error}")?,
        }
    }
    if replicas.is_some_and(<[_]>::is_empty) {
        writeln!(out, "there are no replicas")?;
    }
    Ok(())
}

async fn ask(arguments: &VersionArguments) -> anyhow::Result<Vec<Replica>> {
    let target = api::target(&arguments.cluster.choice())?;
    let (api, name) = (Api::new(target.client), target.name);
    // First, check whether the API server answers.
    let date = timeout(PATIENCE, api.date()).await;
    let date = date.map_err(|_| anyhow!(failure::silent(&name, PATIENCE)))?;
    date.map_err(|error| anyhow!("{name}: {}", failure::reason(&error)))?;
    let found = webhook::find(&api, arguments.webhook.as_deref()).await;
    let Installed { webhook, .. } =
        found.map_err(|missing| anyhow!("{missing}; {}", missing.advice()))?;
    let service = webhook.client_config.service;
    let service = service.ok_or_else(|| anyhow!("the webhook has no Service"))?;
    let namespace = service.namespace;
    let refused = |what: &str, error: &kube::Error| anyhow!("{what}: {}", failure::reason(error));
    let services = Collection::services(&namespace);
    let selector = match api.get::<Service>(&services, &service.name).await {
        Ok(Some(service)) => service.spec.selector,
        Ok(None) => return Err(anyhow!("the Service {namespace}/{} is missing", service.name)),
        Err(error) => return Err(refused("the Service", &error)),
    };
    let labels: Vec<_> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let pods = api.list::<Pod>(&Collection::pods(&namespace), &labels.join(",")).await;
    let mut replicas = Vec::new();
    for pod in pods.map_err(|error| refused("the pods", &error))? {
        replicas.push(replica(&api, &namespace, pod).await);
    }
    Ok(replicas)
}

async fn replica(api: &Api, namespace: &str, pod: Pod) -> Replica {
    let name = pod.metadata.name;
    let port = |container: &Container| {
        let port = container.ports.iter().find(|port| port.name == ADMINISTRATION_PORT)?;
        Some((port.container_port, container.image.clone()))
    };
    let first = || pod.spec.containers.first().map(|it| it.image.clone()).unwrap_or_default();
    let (answer, image) = match pod.spec.containers.iter().find_map(port) {
        Some((port, image)) => (version(api, namespace, &name, port).await, image),
        None => (Answer::Error(format!("it has no port {ADMINISTRATION_PORT}")), first()),
    };
    Replica { pod: format!("{namespace}/{name}"), image, answer }
}

async fn version(api: &Api, namespace: &str, pod: &str, port: u16) -> Answer {
    let asked = timeout(PATIENCE, api.get_of_pod(namespace, pod, port, "/version")).await;
    let error = match asked {
        Ok(Ok(text)) => match serde_json::from_str(&text) {
            Ok(version) => return Answer::Version(version),
            Err(error) => format!("its answer is invalid: {error}"),
        },
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            "you do not have the right to get pods/proxy".to_owned()
        }
        Ok(Err(error)) => failure::reason(&error),
        Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
    };
    Answer::Error(error)
}
