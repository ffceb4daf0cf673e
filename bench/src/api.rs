//! The latency that users experience: pods created through a real API server, by 20 clients, with
//! prestop, with the equivalent in Go, with a policy inside of the API server that does the same,
//! and without any of them. The cases take turns in small blocks, so that all are measured with the
//! same machine and an equally full etcd.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prestop_bench::naive::{DELAY_SECONDS, STATUS};
use prestop_bench::reviews::Review;
use serde_json::{Value, json};

use crate::client::{Connection, Request};
use crate::contestants::Contestant;
use crate::control_plane::ControlPlane;
use crate::figures::quantile;
use crate::page;
use crate::process::{Running, Stage};

const CLIENTS: usize = 20;
const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";
const EFFECT_TIMEOUT: Duration = Duration::from_secs(60);

/// The webhook or policy that changes the pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Nothing,
    Prestop,
    ControllerRuntime,
    Policy,
}

impl Case {
    const ALL: [Self; 4] = [Self::Nothing, Self::Prestop, Self::ControllerRuntime, Self::Policy];

    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Prestop => "prestop",
            Self::ControllerRuntime => "controller-runtime",
            Self::Policy => "MutatingAdmissionPolicy",
        }
    }

    const fn namespace(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Prestop => "prestop",
            Self::ControllerRuntime => "controller-runtime",
            Self::Policy => "policy",
        }
    }

    fn path(self) -> String {
        format!("/api/v1/namespaces/{}/pods", self.namespace())
    }
}

/// Measurements of one case.
struct Outcome {
    case: Case,
    latencies: Vec<Duration>,
    server_cpu: Duration,
    webhook_cpu: Option<Duration>,
}

/// Measures all cases and writes the results.
pub(crate) fn run(stage: &Stage<'_>, quick: bool) -> anyhow::Result<()> {
    let (blocks, block) = if quick { (2, 100) } else { (50, 100) };
    let built = stage.folder.parent().context("the folder of what is built")?;
    let control_plane = ControlPlane::start(built)?;
    let webhooks = install(&control_plane, stage)?;
    agree(&control_plane)?;
    let request =
        |case: Case| ControlPlane::request("POST", &case.path(), pod().to_string().as_bytes());
    let mut connections: Vec<_> =
        (0..CLIENTS).map(|_| control_plane.connect()).collect::<anyhow::Result<_>>()?;
    let mut outcomes = Vec::new();
    for case in Case::ALL {
        // Warm-up.
        create(&mut connections, &request(case), block)?;
        let webhook_cpu = webhooks.iter().find(|(of, _)| *of == case).map(|_| Duration::ZERO);
        outcomes.push(Outcome {
            case,
            latencies: Vec::new(),
            server_cpu: Duration::ZERO,
            webhook_cpu,
        });
    }
    for _ in 0..blocks {
        for outcome in &mut outcomes {
            let webhook = webhooks.iter().find(|(of, _)| *of == outcome.case);
            let cpu = || webhook.map(|(_, server)| server.cpu()).transpose();
            let (server_before, webhook_before) = (control_plane.cpu()?, cpu()?);
            outcome.latencies.extend(create(&mut connections, &request(outcome.case), block)?);
            outcome.server_cpu += control_plane.cpu()?.saturating_sub(server_before);
            if let (Some(sum), Some(now), Some(before)) =
                (&mut outcome.webhook_cpu, cpu()?, webhook_before)
            {
                *sum += now.saturating_sub(before);
            }
        }
    }
    let text = report(&mut outcomes, &control_plane)?;
    print!("{text}");
    page::write_part("api", &text)
}

/// Creates the namespaces, the webhooks and the policy, and waits until all of them have an effect.
fn install(
    control_plane: &ControlPlane,
    stage: &Stage<'_>,
) -> anyhow::Result<Vec<(Case, Running)>> {
    for case in Case::ALL {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": case.namespace()}});
        control_plane.create("/api/v1/namespaces", &namespace)?;
    }
    let mut webhooks = Vec::new();
    for (case, contestant) in [
        (Case::Prestop, Contestant::Prestop),
        (Case::ControllerRuntime, Contestant::ControllerRuntime),
    ] {
        let server = stage.start(contestant)?;
        let configuration = webhook(case, server.port, stage.certificates.authority_pem());
        control_plane
            .create(&format!("{REGISTRATION}/mutatingwebhookconfigurations"), &configuration)?;
        webhooks.push((case, server));
    }
    control_plane.create(&format!("{REGISTRATION}/mutatingadmissionpolicies"), &policy())?;
    control_plane.create(&format!("{REGISTRATION}/mutatingadmissionpolicybindings"), &binding())?;
    for case in [Case::Prestop, Case::ControllerRuntime, Case::Policy] {
        let until = Instant::now() + EFFECT_TIMEOUT;
        while !has_status(&dry(control_plane, case)?) {
            ensure!(Instant::now() < until, "{} has no effect", case.name());
            thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(webhooks)
}

fn dry(control_plane: &ControlPlane, case: Case) -> anyhow::Result<Value> {
    control_plane.create(&format!("{}?dryRun=All", case.path()), &pod())
}

fn has_status(pod: &Value) -> bool {
    pod.pointer("/metadata/annotations").is_some_and(|all| all.get(STATUS).is_some())
}

/// Checks that all three make the same pod, and that pods are not changed without them.
fn agree(control_plane: &ControlPlane) -> anyhow::Result<()> {
    ensure!(!has_status(&dry(control_plane, Case::Nothing)?), "somebody changed a pod");
    let essence = |case| -> anyhow::Result<(Value, Value)> {
        let pod = dry(control_plane, case)?;
        let status = pod.pointer("/metadata/annotations").and_then(|all| all.get(STATUS));
        let status = status.and_then(Value::as_str).context("no status")?;
        Ok((pod.get("spec").cloned().unwrap_or_default(), serde_json::from_str(status)?))
    };
    let wanted = essence(Case::Prestop)?;
    for case in [Case::ControllerRuntime, Case::Policy] {
        let pod = essence(case)?;
        ensure!(pod == wanted, "{} makes another pod: {pod:#?}\n{wanted:#?}", case.name());
    }
    Ok(())
}

/// Creates this many pods, by all clients together; returns the latency of each.
fn create(
    connections: &mut [Connection],
    request: &Request,
    count: usize,
) -> anyhow::Result<Vec<Duration>> {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let next = &next;
        let running: Vec<_> = connections
            .iter_mut()
            .map(|connection| {
                scope.spawn(move || -> anyhow::Result<Vec<Duration>> {
                    let mut latencies = Vec::new();
                    while next.fetch_add(1, Ordering::Relaxed) < count {
                        let began = Instant::now();
                        let (status, answer) = connection.send(request)?;
                        latencies.push(began.elapsed());
                        let text = || String::from_utf8_lossy(&answer).into_owned();
                        ensure!(status == 201, "{status}: {}", text());
                    }
                    Ok(latencies)
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in running {
            all.extend(thread.join().map_err(|_| anyhow!("a client panicked"))??);
        }
        Ok(all)
    })
}

fn report(outcomes: &mut [Outcome], control_plane: &ControlPlane) -> anyhow::Result<String> {
    let version: Value = serde_json::from_str(&control_plane.get("/version")?)?;
    let version = version.get("gitVersion").and_then(Value::as_str).unwrap_or("unknown");
    let count = outcomes.first().map_or(0, |outcome| outcome.latencies.len());
    let mut text = format!(
        "Measured on {} kube-apiserver {version}, etcd without fsync. {count} pods for each case by {CLIENTS} clients, in blocks of 100 that \
         take turns.\n\n| | p50 | p99 | CPU of the API server, for a pod | CPU of the webhook, for a pod |\n|---|---|---|---|---|\n",
        page::machine()
    );
    #[allow(clippy::cast_precision_loss)]
    let each = |duration: Duration, pods: usize| duration.as_secs_f64() * 1e3 / pods as f64;
    for outcome in outcomes {
        outcome.latencies.sort_unstable();
        let milliseconds = |share| quantile(&outcome.latencies, share).as_secs_f64() * 1e3;
        let pods = outcome.latencies.len();
        let webhook = outcome
            .webhook_cpu
            .map_or_else(|| "–".to_owned(), |cpu| format!("{:.3} ms", each(cpu, pods)));
        let _ = writeln!(
            text,
            "| {} | {:.1} ms | {:.1} ms | {:.2} ms | {webhook} |",
            outcome.case.name(),
            milliseconds(0.5),
            milliseconds(0.99),
            each(outcome.server_cpu, pods)
        );
    }
    let _ = write!(text, "\n{}", calls(&control_plane.get("/metrics")?));
    Ok(text)
}

/// Describes the API server's own measurements of its calls.
fn calls(metrics: &str) -> String {
    let mut text =
        "What the API server itself counts for a call, on average, the network and TLS included:"
            .to_owned();
    let value = |name: &str, case: Case| -> Option<f64> {
        let of = format!("name=\"{}.bench.prestop.dev\"", case.namespace());
        let line = metrics.lines().find(|line| {
            line.starts_with(name) && line.contains(&of) && line.contains("\"admit\"")
        })?;
        line.rsplit(' ').next()?.parse().ok()
    };
    for case in [Case::Prestop, Case::ControllerRuntime] {
        let name = "apiserver_admission_webhook_admission_duration_seconds";
        if let (Some(sum), Some(count)) =
            (value(&format!("{name}_sum"), case), value(&format!("{name}_count"), case))
        {
            let separator = if case == Case::Prestop { "" } else { ";" };
            let _ = write!(text, "{separator} {} {:.2} ms", case.name(), sum / count * 1e3);
        }
    }
    text + ".\n"
}

/// Returns the pod of the small review, as a controller sends it.
fn pod() -> Value {
    let review: Value = Review::Small
        .generate()
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default();
    let mut pod = review.pointer("/request/object").cloned().unwrap_or_default();
    if let Some(metadata) = pod.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|key, _| key != "managedFields" && key != "namespace");
    }
    if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) {
        spec.retain(|key, _| key != "priority" && key != "preemptionPolicy");
    }
    pod
}

fn webhook(case: Case, port: u16, authority_pem: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": case.namespace()},
        "webhooks": [{
            "name": format!("{}.bench.prestop.dev", case.namespace()),
            "clientConfig": {
                "url": format!("https://localhost:{port}/mutate"), "caBundle": STANDARD.encode(authority_pem),
            },
            "rules": [rule()],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": case.namespace()}},
            "failurePolicy": "Fail", "timeoutSeconds": 10, "reinvocationPolicy": "Never",
            "sideEffects": "None", "admissionReviewVersions": ["v1"],
        }],
    })
}

fn rule() -> Value {
    json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]})
}

/// Returns a policy that does the same in the API server's own language.
fn policy() -> Value {
    let missing = "(!has(c.lifecycle) || !has(c.lifecycle.preStop))";
    let grace = "(has(object.spec.terminationGracePeriodSeconds) ? object.spec.terminationGracePeriodSeconds : 30)";
    let of = "Object.spec.containers";
    let expression = format!(
        r#"Object{{
  metadata: Object.metadata{{annotations: {{"{STATUS}":
    '{{"version":1,"grace":{{"before":' + string({grace}) + ',"after":' + string({grace} + {DELAY_SECONDS}) + '}},"containers":['
    + object.spec.containers.filter(c, {missing}).map(c, '{{"name":"' + c.name + '","hook":"sleep","delay":{DELAY_SECONDS},"delayFrom":"default"}}').join(',')
    + ']}}'}}}},
  spec: Object.spec{{
    terminationGracePeriodSeconds: {grace} + {DELAY_SECONDS},
    containers: object.spec.containers.filter(c, {missing}).map(c, {of}{{
      name: c.name,
      lifecycle: {of}.lifecycle{{preStop: {of}.lifecycle.preStop{{sleep: {of}.lifecycle.preStop.sleep{{seconds: {DELAY_SECONDS}}}}}}}
    }})
  }}
}}"#
    );
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": "policy.bench.prestop.dev"},
        "spec": {
            "matchConstraints": {
                "resourceRules": [rule()],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": Case::Policy.namespace()}},
            },
            "matchConditions": [{
                "name": "a-hook-is-missing", "expression": format!("object.spec.containers.exists(c, {missing})"),
            }],
            "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "mutations": [{
                "patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression},
            }],
        },
    })
}

fn binding() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": "policy.bench.prestop.dev"},
        "spec": {"policyName": "policy.bench.prestop.dev"},
    })
}
