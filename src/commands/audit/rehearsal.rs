//! The `prestop rehearse` command line that reproduces a finding on the reader's machine.

use prestop_core::audit::{Finding, Rule};
use prestop_core::catalogue::{Catalogue, ImageReference};
use prestop_core::engine::grace::DEFAULT_GRACE_PERIOD_SECONDS;
use prestop_core::engine::printable::printable;
use prestop_core::engine::template::Workload;
use prestop_core::fronts::Need;
use serde_json::Value;

use super::shell::{self, quoted};

/// The kubelet's minimum: the time that an application always has after its hook.
const LEAST_GRACE_SECONDS: i64 = 2;
/// Maximum grace period for a rehearsal, which supports times of up to an hour.
const LONGEST_GRACE: i64 = 3000;
/// Maximum length of the line. Longer commands come from scripts and are not useful to copy.
const LONGEST_LINE: usize = 600;
/// Commands by which images of a profile start their server.
const SERVERS: [(&str, &str); 5] = [
    ("nginx", "nginx -g 'daemon off;'"),
    ("httpd", "httpd -DFOREGROUND"),
    ("haproxy", "haproxy -W -db -f haproxy.cfg"),
    ("caddy", "caddy run --config Caddyfile"),
    ("varnish", "varnishd -F -a :8080 -f default.vcl"),
];

/// Conditions under which a rehearsal drops requests.
enum Shown {
    /// Only the rollout.
    Rollout,
    /// Requests in flight that take this many seconds.
    LongRequests(i64),
}

/// The source of the workload.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manifest<'m> {
    File(&'m str),
    /// A cluster, reached by this kubectl command.
    Cluster {
        kubectl: &'m str,
    },
}

/// Returns the line, if a rehearsal can show the rule.
pub(super) fn line(
    finding: &Finding,
    workload: &Workload<'_>,
    need: Need,
    catalogue: &Catalogue,
    manifest: Manifest<'_>,
) -> Option<String> {
    let pod = workload.pod_value();
    let containers = pod.pointer("/spec/containers")?.as_array()?;
    let container = match &finding.container {
        Some(name) => containers.iter().find(|it| text(it, "name") == Some(name))?,
        None => containers.first()?,
    };
    let mut words = vec![match manifest {
        Manifest::File(file) => format!("prestop rehearse -f {}", quoted(file)),
        Manifest::Cluster { kubectl } => {
            let kind = shell::kind(workload.api_version, workload.kind);
            let namespace = quoted(workload.namespace.unwrap_or_default());
            let object = quoted(&format!("{kind}/{}", workload.name));
            format!("{kubectl} get {object} -n {namespace} -o yaml | prestop rehearse -f -")
        }
    }];
    let mut add = |option: &str, value: &str| words.push(format!("{option} {}", quoted(value)));
    if !workload.name.is_empty() {
        add("--workload", workload.name);
    }
    if let Some(name) = text(container, "name").filter(|_| containers.len() > 1) {
        add("--container", name);
    }
    if container.pointer("/ports/0/containerPort").is_none() {
        add("--port", "PORT");
    }
    if let Some(delay) = need.delay {
        add("--endpoint-delay", &delay.least_seconds.to_string());
    }
    if let Shown::LongRequests(seconds) = shown(finding.rule, pod)? {
        add("--long-path", "/slow");
        add("--long-seconds", &seconds.to_string());
        // Some of them have to begin in the short time that matters.
        add("--long-in-flight", "20");
    }
    let line = format!("{} -- {}", words.join(" "), server(container, catalogue));
    // Commands that would not be printed verbatim can't be copied.
    (printable(&line, LONGEST_LINE) == line).then_some(line)
}

fn shown(rule: Rule, pod: &Value) -> Option<Shown> {
    let grace = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
    let grace =
        grace.unwrap_or(DEFAULT_GRACE_PERIOD_SECONDS).clamp(LEAST_GRACE_SECONDS, LONGEST_GRACE);
    match rule {
        Rule::StopsAtOnce
        | Rule::DelayTooShort
        | Rule::LocalPolicy
        | Rule::HookCannotStart
        | Rule::TcpSocketHook
        | Rule::QuitWithoutWait
        | Rule::HookIsNoDelay
        | Rule::HttpHookClosesPort
        | Rule::GraceZero => Some(Shown::Rollout),
        // Cut off by the stop signal, but finished within the time that a quit waits.
        Rule::HardStopSignal => Some(Shown::LongRequests(grace / 2)),
        // Begun before the front is informed, and not finished when the grace period ends; with a
        // delay in addition, they are.
        Rule::ShellIsPid1 => Some(Shown::LongRequests(grace)),
        Rule::HookFillsGrace | Rule::GraceShorterThanApp => {
            Some(Shown::LongRequests(grace.saturating_add(LEAST_GRACE_SECONDS)))
        }
        _ => None,
    }
}

/// Returns the command of the container or, as far as it is known, of its image.
fn server(container: &Value, catalogue: &Catalogue) -> String {
    let list = |field: &str| {
        let items = container.get(field).and_then(Value::as_array);
        let items = items.into_iter().flatten().filter_map(Value::as_str);
        items.map(quoted).collect::<Vec<_>>()
    };
    let (command, args) = (list("command"), list("args"));
    if !command.is_empty() {
        return [command, args].concat().join(" ");
    }
    let image = text(container, "image").and_then(ImageReference::parse);
    let name = text(container, "name").unwrap_or_default();
    let profile = catalogue.for_container(name, image.as_ref()).map(|(profile, _)| profile);
    let server = profile.and_then(|it| SERVERS.iter().find(|(name, _)| *name == it.name));
    match server {
        Some((_, server)) if args.is_empty() => (*server).to_owned(),
        _ => [vec!["SERVER".to_owned()], args].concat().join(" "),
    }
}

fn text<'v>(object: &'v Value, field: &str) -> Option<&'v str> {
    object.get(field).and_then(Value::as_str)
}
