//! `prestop check`: reads the objects of an installation and prints the results of
//! [`crate::cluster::installation`]. Changes nothing.

mod before;
mod beside;
mod connect;
mod rights;

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use prestop_core::policy::KubernetesVersion;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout};

use self::rights::Account;
use super::webhook::{self, Installed, NotFound};
use super::{Exit, tell};
use crate::cli::{CheckArguments, ReadingForm, Wait};
use crate::cluster::api::objects::{
    Deployment, MutatingWebhook, Named, Pod, Service, ServiceReference,
};
use crate::cluster::api::{self, Api, ClusterError, Collection, Target, failure};
use crate::cluster::installation::{self, Check, Status};

/// Time limit for the first answer of the API server.
const PATIENCE: Duration = Duration::from_secs(10);
/// Interval between two rounds of checks with `--wait`.
const ROUND: Duration = Duration::from_secs(2);
/// Version of the JSON form.
const FORM_VERSION: u32 = 1;

/// Runs the checks and prints the results.
pub(super) fn run(arguments: &CheckArguments) -> anyhow::Result<Exit> {
    let runtime = Builder::new_current_thread().enable_all().build().context("threads")?;
    let checks = match runtime.block_on(rounds(arguments)) {
        Ok(checks) => checks,
        Err(error) => {
            tell(&format!("error: {error:#}"));
            return Ok(Exit::NoCluster);
        }
    };
    print(&checks, arguments.output, &mut io::stdout().lock())?;
    let has_failed = failures(&checks).next().is_some();
    Ok(if has_failed { Exit::Found } else { Exit::Done })
}

/// Runs the checks, with `--wait` repeatedly until nothing fails or the time is over.
async fn rounds(arguments: &CheckArguments) -> anyhow::Result<Vec<Check>> {
    let target = api::target(&arguments.cluster.choice())?;
    let end = Instant::now() + arguments.wait.map_or(Duration::ZERO, Wait::duration);
    let mut told = String::new();
    loop {
        let result = check(&target, arguments, SystemTime::now()).await;
        let why = match &result {
            Ok(checks) => {
                failures(checks).map(|it| it.message.as_str()).collect::<Vec<_>>().join("; ")
            }
            Err(error) => format!("{error:#}"),
        };
        if why.is_empty() || Instant::now() + ROUND > end {
            return result;
        }
        if why != told {
            tell(&format!("waiting: {why}"));
            told = why;
        }
        sleep(ROUND).await;
    }
}

fn failures(checks: &[Check]) -> impl Iterator<Item = &Check> {
    checks.iter().filter(|check| check.status == Status::Failure)
}

fn print(checks: &[Check], form: ReadingForm, out: &mut impl Write) -> io::Result<()> {
    if form == ReadingForm::Json {
        let report = json!({"version": FORM_VERSION, "checks": checks});
        return writeln!(out, "{report:#}");
    }
    for check in checks {
        let sign = match check.status {
            Status::Ok => '√',
            Status::Warning => '‼',
            Status::Failure => '×',
        };
        writeln!(out, "{sign} {}", check.message)?;
        if let Some(advice) = &check.advice {
            writeln!(out, "    {advice}")?;
        }
    }
    let count = |status| checks.iter().filter(|check| check.status == status).count();
    let (warnings, failures) = (count(Status::Warning), count(Status::Failure));
    writeln!(out, "\n{} checks, {warnings} warning(s), {failures} failure(s)", checks.len())
}

/// Runs all checks once; an error if no cluster can be reached.
async fn check(
    target: &Target,
    arguments: &CheckArguments,
    now: SystemTime,
) -> anyhow::Result<Vec<Check>> {
    let mut checks = vec![installation::version(version(target).await?)];
    let api = Api::new(target.client.clone());
    if arguments.pre {
        checks.extend(before::checks(&api, arguments).await);
        return Ok(checks);
    }
    let installed = match webhook::find(&api, arguments.webhook.as_deref()).await {
        Ok(installed) => installed,
        Err(missing) => {
            checks.push(not_found(&missing));
            return Ok(checks);
        }
    };
    let Installed { name, webhook, .. } = &installed;
    checks.extend(installation::webhook(name, webhook));
    checks.push(installation::bundle(&webhook.client_config.ca_bundle, now));
    if arguments.connect {
        checks.push(connect::check(&api, &webhook.client_config, arguments).await);
    }
    if let Some(service) = &webhook.client_config.service {
        checks.extend(installation(&api, service, name).await);
    }
    checks.extend(beside::checks(&api, &installed).await);
    checks.extend(injection(&api, webhook, arguments).await);
    Ok(checks)
}

async fn version(target: &Target) -> anyhow::Result<KubernetesVersion> {
    let name = &target.name;
    let asked = timeout(PATIENCE, api::version(&target.client)).await;
    let asked = asked.map_err(|_| anyhow!(failure::silent(name, PATIENCE)))?;
    asked.map_err(|error| match error {
        ClusterError::Request(error) => anyhow!("{name}: {}", failure::reason(&error)),
        error @ ClusterError::Version(_) => anyhow!("{name}: {error}"),
    })
}

fn not_found(missing: &NotFound) -> Check {
    let id = "webhook-configuration";
    match missing {
        NotFound::Unseen(error) => {
            let mut check = unseen(id, "the webhook configurations", error);
            if check.status == Status::Warning {
                check.advice = Some(missing.advice().to_owned());
            }
            check
        }
        missing => Check::failure(id, missing.to_string(), missing.advice()),
    }
}

/// Creates the check for an object that can't be read: a warning if the user lacks the right,
/// otherwise a failure.
fn unseen(id: &'static str, what: &str, error: &kube::Error) -> Check {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            let message = format!("{what}: you do not have the right to read this");
            Check::warning(id, message, status.message.clone())
        }
        error => {
            let message = format!("{what}: {}", failure::reason(error));
            Check::failure(id, message, "see the log of the API server")
        }
    }
}

/// Checks the Deployment behind the Service, and the rights of its service account.
async fn installation(api: &Api, service: &ServiceReference, webhook: &str) -> Vec<Check> {
    let services = Collection::services(&service.namespace);
    let selector = match api.get::<Service>(&services, &service.name).await {
        Ok(Some(service)) => service.spec.selector,
        Ok(None) => {
            return vec![Check::failure(
                "service",
                format!("the Service {}/{} is missing", service.namespace, service.name),
                "install the chart again, or delete the webhook configuration",
            )];
        }
        Err(error) => return vec![unseen("service", "the Service", &error)],
    };
    let labels: Vec<_> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let deployments = Collection::deployments(&service.namespace);
    let deployments: Vec<Deployment> = match api.list(&deployments, &labels.join(",")).await {
        Ok(deployments) => deployments,
        Err(error) => return vec![unseen("replicas", "the Deployment", &error)],
    };
    let mut checks = vec![installation::replicas(&deployments)];
    for spec in deployments.iter().map(|it| &it.spec.template.spec) {
        let name = spec.service_account_name.as_deref().unwrap_or("default");
        let account = Account { namespace: &service.namespace, name };
        let arguments = spec.containers.iter().flat_map(|it| &it.args);
        let arguments: Vec<String> = arguments.cloned().collect();
        let needed = installation::rights(&arguments, webhook, &service.namespace);
        checks.push(rights::needed(api, &account, needed).await);
        checks.push(rights::of_fronts(api, &account, &arguments).await);
    }
    checks
}

/// Checks which namespaces are selected, and whether a pod in one of them gets its hook.
async fn injection(api: &Api, webhook: &MutatingWebhook, arguments: &CheckArguments) -> Vec<Check> {
    let mut checks = Vec::new();
    let selector = installation::selector_text(webhook.namespace_selector.as_ref());
    let selected = match api.list::<Named>(&Collection::namespaces(), &selector).await {
        Ok(list) => {
            let names: Vec<_> = list.into_iter().map(|it| it.metadata.name).collect();
            checks.push(installation::namespaces(&names));
            names
        }
        Err(error) => {
            checks.push(unseen("namespaces", "the namespaces", &error));
            Vec::new()
        }
    };
    let Some(namespace) = arguments.namespace.as_ref().or(selected.first()) else { return checks };
    let pods = Collection::pods(namespace);
    match api.create_dry_run::<Pod>(&pods, &canary()).await {
        Ok(pod) => {
            checks.push(installation::canary(namespace, &pod));
            checks.push(stop_signal(api, namespace).await);
        }
        Err(kube::Error::Api(status)) => checks.push(Check::warning(
            "injection",
            format!("a test pod can't be created in {namespace}"),
            format!("{}; use --namespace NAME to choose another one", status.message),
        )),
        Err(error) => checks.push(unseen("injection", "a pod", &error)),
    }
    checks
}

/// Checks whether the API server keeps `lifecycle.stopSignal`, with a pod that it accepts without
/// the field.
async fn stop_signal(api: &Api, namespace: &str) -> Check {
    // The names of signals depend on the operating system.
    let pod = canary_with(&json!({"name": "linux"}), &json!({"stopSignal": "SIGTERM"}));
    match api.create_dry_run::<Pod>(&Collection::pods(namespace), &pod).await {
        Ok(pod) => installation::stop_signal(&pod),
        Err(error) => installation::stop_signal_untried(namespace, &failure::reason(&error)),
    }
}

/// Returns a pod that the strictest Pod Security level accepts. It is never created.
fn canary() -> Value {
    canary_with(&Value::Null, &Value::Null)
}

/// Returns the same pod with `spec.os` and `lifecycle`.
fn canary_with(os: &Value, lifecycle: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "prestop-check-"},
        "spec": {
            "os": os,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "check",
                "image": "prestop-check",
                "lifecycle": lifecycle,
                "resources": {
                    "requests": {"cpu": "1m", "memory": "1Mi"},
                    "limits": {"cpu": "1m", "memory": "1Mi"},
                },
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    })
}
