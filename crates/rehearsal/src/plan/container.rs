//! A container's settings in a manifest: its hook, readiness probe and port.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// The action of a preStop hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HookAction {
    /// The native sleep action: a timer of the kubelet; nothing runs in the container.
    Sleep {
        /// Duration of the sleep.
        seconds: u64,
    },
    /// A program, run in the container without a shell.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// A GET request of the kubelet.
    HttpGet {
        /// Path of the request.
        path: String,
        /// Port of the container.
        port: u16,
    },
    /// A hook that always fails: `tcpSocket`.
    Failing {
        /// Reason of the failure.
        why: String,
    },
}

/// Condition for a replica to be ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The check.
    pub check: ProbeAction,
    /// Time before the first check.
    pub initial_delay: Duration,
    /// Time between two checks.
    pub period: Duration,
    /// Maximum duration of a check.
    pub timeout: Duration,
    /// Number of consecutive successes that are required.
    pub successes: u32,
    /// Interval of the checks after the replica has become ready, until it has ended; `None`
    /// without a probe.
    pub afterwards: Option<Duration>,
    /// Differences from the probe of the manifest.
    pub note: Option<String>,
}

/// The check of a readiness probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProbeAction {
    /// A connection can be made.
    Connect {
        /// Port of the connection.
        port: u16,
    },
    /// A GET is answered with a status from 200 to 399.
    HttpGet {
        /// Path of the request.
        path: String,
        /// Port of the request.
        port: u16,
    },
    /// A program ends with status 0.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
}

/// A container that can't be rehearsed as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// The API server would refuse the pod.
    #[error(
        "lifecycle.preStop must have exactly one of exec, httpGet, sleep; the API server refuses this pod"
    )]
    NotOneHandler,
    /// A field of the hook is missing or of a wrong type.
    #[error("lifecycle.preStop.{field} can't be read: {expected}")]
    Hook {
        /// Name of the field.
        field: &'static str,
        /// The expected content.
        expected: &'static str,
    },
    /// The hook uses HTTPS: the sandbox supports only plain HTTP.
    #[error(
        "lifecycle.preStop.httpGet with scheme HTTPS can't be rehearsed; use HTTP for the rehearsal"
    )]
    HttpsHook,
    /// A port is given by a name that no port has.
    #[error("{place}: no port of the container is named {name:?}")]
    PortName {
        /// Path of the field with the name.
        place: &'static str,
        /// The name.
        name: String,
    },
}

/// Upper bound for the time between two checks; Kubernetes' default of 10 s would only prolong the
/// rehearsal.
const LONGEST_PERIOD: Duration = Duration::from_millis(500);
const DEFAULT_PERIOD: Duration = Duration::from_millis(100);

/// Returns the hook of a container; `None` if it has none.
///
/// # Errors
/// Returns an error if Kubernetes does not accept the hook, or if it can't be rehearsed.
pub fn hook(container: &Value) -> Result<Option<HookAction>, ContainerError> {
    match container.pointer("/lifecycle/preStop") {
        None | Some(Value::Null) => Ok(None),
        Some(body) => action(body, container).map(Some),
    }
}

/// Parses a hook from the value of `preStop`.
///
/// # Errors
/// Returns the errors of [`hook`].
pub fn action(body: &Value, container: &Value) -> Result<HookAction, ContainerError> {
    let handlers = ["exec", "httpGet", "sleep", "tcpSocket"];
    let mut given = handlers.iter().filter_map(|name| {
        body.get(*name).filter(|handler| !handler.is_null()).map(|handler| (*name, handler))
    });
    let (Some((name, handler)), None) = (given.next(), given.next()) else {
        return Err(ContainerError::NotOneHandler);
    };
    match name {
        "sleep" => {
            let seconds = handler.get("seconds").and_then(Value::as_u64);
            let expected = "a whole number of seconds, 0 or more";
            seconds
                .map(|seconds| HookAction::Sleep { seconds })
                .ok_or(ContainerError::Hook { field: "sleep.seconds", expected })
        }
        "exec" => {
            let expected = "a list of strings: program and arguments";
            command(handler)
                .map(|command| HookAction::Exec { command })
                .ok_or(ContainerError::Hook { field: "exec.command", expected })
        }
        "httpGet" if is_https(handler) => Err(ContainerError::HttpsHook),
        "httpGet" => {
            let port = port(handler, container, "lifecycle.preStop.httpGet.port")?;
            let expected = "a number from 1 to 65535, or the name of a port";
            let port = port.ok_or(ContainerError::Hook { field: "httpGet.port", expected })?;
            Ok(HookAction::HttpGet { path: path(handler), port })
        }
        // kubelet: "tcpSocket is NOT supported as a LifecycleHandler" (API comment).
        _ => Ok(HookAction::Failing {
            why: "the kubelet does not support tcpSocket in hooks".to_owned(),
        }),
    }
}

/// Returns the first port that the container declares.
#[must_use]
pub fn first_port(container: &Value) -> Option<u16> {
    let port = container.pointer("/ports/0/containerPort")?.as_u64()?;
    u16::try_from(port).ok().filter(|port| *port > 0)
}

/// Returns the stop signal that the container sets itself (KEP-4960), as it is written.
#[must_use]
pub fn stop_signal(container: &Value) -> Option<&str> {
    container.pointer("/lifecycle/stopSignal")?.as_str()
}

impl HookAction {
    /// Describes the action for people.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Sleep { seconds } => format!("sleep {seconds}s"),
            Self::Exec { command } => format!("exec {}", command.join(" ")),
            Self::HttpGet { path, port } => format!("GET {path} on port {port}"),
            Self::Failing { why } => format!("fails: {why}"),
        }
    }
}

impl Probe {
    /// Creates a frequent check for a TCP connection to a port.
    #[must_use]
    pub const fn connect(port: u16) -> Self {
        Self {
            check: ProbeAction::Connect { port },
            initial_delay: Duration::ZERO,
            period: DEFAULT_PERIOD,
            timeout: Duration::from_secs(1),
            successes: 1,
            afterwards: None,
            note: None,
        }
    }

    /// Returns the container's readiness probe, else a check for a connection to the port.
    ///
    /// # Errors
    /// Returns an error if the probe names a port that does not exist.
    pub fn of(container: &Value, default_port: u16) -> Result<Self, ContainerError> {
        let Some(probe) = container.get("readinessProbe").filter(|probe| probe.is_object()) else {
            return Ok(Self::connect(default_port));
        };
        let (check, note) = check(probe, container, default_port)?;
        let seconds = |field: &str, default: u64| {
            Duration::from_secs(probe.get(field).and_then(Value::as_u64).unwrap_or(default))
        };
        // 0 stands for the default as well (`SetDefaults_Probe`).
        let period = match seconds("periodSeconds", 10) {
            Duration::ZERO => Duration::from_secs(10),
            period => period,
        };
        let successes = probe.get("successThreshold").and_then(Value::as_u64).unwrap_or(1);
        Ok(Self {
            check,
            initial_delay: seconds("initialDelaySeconds", 0),
            period: period.clamp(DEFAULT_PERIOD, LONGEST_PERIOD),
            timeout: seconds("timeoutSeconds", 1).max(Duration::from_secs(1)),
            successes: u32::try_from(successes).unwrap_or(u32::MAX).max(1),
            afterwards: Some(period),
            note,
        })
    }
}

impl ProbeAction {
    /// Describes a failed check for people.
    #[must_use]
    pub fn failure(&self) -> String {
        match self {
            Self::Connect { port } => format!("no connection to port {port}"),
            Self::HttpGet { path, port } => {
                format!("no status from 200 to 399 for GET {path} on port {port}")
            }
            Self::Exec { command } => {
                format!("{} exits with a status other than 0", command.join(" "))
            }
        }
    }
}

fn check(
    probe: &Value,
    container: &Value,
    default_port: u16,
) -> Result<(ProbeAction, Option<String>), ContainerError> {
    if let Some(get) = probe.get("httpGet").filter(|get| get.is_object()) {
        let port = port(get, container, "readinessProbe.httpGet.port")?.unwrap_or(default_port);
        if is_https(get) {
            let note = "the readiness probe uses HTTPS: replaced by a TCP connect";
            return Ok((ProbeAction::Connect { port }, Some(note.to_owned())));
        }
        return Ok((ProbeAction::HttpGet { path: path(get), port }, None));
    }
    if let Some(command) = probe.get("exec").and_then(command) {
        return Ok((ProbeAction::Exec { command }, None));
    }
    if let Some(socket) = probe.get("tcpSocket").filter(|socket| socket.is_object()) {
        let port = port(socket, container, "readinessProbe.tcpSocket.port")?;
        return Ok((ProbeAction::Connect { port: port.unwrap_or(default_port) }, None));
    }
    let note =
        "the readiness probe is of a kind that is not rehearsed (gRPC): replaced by a TCP connect";
    Ok((ProbeAction::Connect { port: default_port }, Some(note.to_owned())))
}

fn is_https(get: &Value) -> bool {
    get.get("scheme").and_then(Value::as_str) == Some("HTTPS")
}

fn path(get: &Value) -> String {
    let path = get.get("path").and_then(Value::as_str).filter(|path| !path.is_empty());
    let path = path.unwrap_or("/");
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn command(exec: &Value) -> Option<Vec<String>> {
    let command = exec.get("command")?.as_array()?;
    let command: Option<Vec<String>> =
        command.iter().map(|argument| argument.as_str().map(str::to_owned)).collect();
    command.filter(|command| !command.is_empty())
}

fn port(
    handler: &Value,
    container: &Value,
    place: &'static str,
) -> Result<Option<u16>, ContainerError> {
    let Some(port) = handler.get("port") else { return Ok(None) };
    if let Some(number) = port.as_u64() {
        return Ok(u16::try_from(number).ok().filter(|port| *port > 0));
    }
    let Some(name) = port.as_str() else { return Ok(None) };
    // The API server treats "8080" as a name, and names of ports contain at least one letter.
    let ports = container.get("ports").and_then(Value::as_array).into_iter().flatten();
    let named = ports
        .filter(|port| port.get("name").and_then(Value::as_str) == Some(name))
        .find_map(|port| u16::try_from(port.get("containerPort")?.as_u64()?).ok());
    named.map(Some).ok_or_else(|| ContainerError::PortName { place, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with_hook(body: &Value) -> Result<Option<HookAction>, ContainerError> {
        hook(&json!({"ports": [{"name": "web", "containerPort": 8080}],
            "lifecycle": {"preStop": body}}))
    }

    #[test]
    fn each_handler_is_read() {
        assert_eq!(hook(&json!({})), Ok(None));
        assert_eq!(with_hook(&json!(null)), Ok(None));
        let sleep = HookAction::Sleep { seconds: 5 };
        assert_eq!(with_hook(&json!({"sleep": {"seconds": 5}})), Ok(Some(sleep)));
        let exec = HookAction::Exec { command: vec!["a".to_owned(), "b".to_owned()] };
        assert_eq!(with_hook(&json!({"exec": {"command": ["a", "b"]}})), Ok(Some(exec)));
        let get = HookAction::HttpGet { path: "/quit".to_owned(), port: 8080 };
        assert_eq!(with_hook(&json!({"httpGet": {"path": "quit", "port": "web"}})), Ok(Some(get)));
        let socket = with_hook(&json!({"tcpSocket": {"port": 8080}}));
        assert!(matches!(socket, Ok(Some(HookAction::Failing { .. }))));
    }

    #[test]
    fn what_kubernetes_refuses_is_refused() {
        for body in [json!({}), json!({"sleep": {"seconds": 1}, "exec": {"command": ["a"]}})] {
            assert_eq!(with_hook(&body), Err(ContainerError::NotOneHandler), "{body}");
        }
        for body in [
            json!({"sleep": {"seconds": -1}}),
            json!({"sleep": {}}),
            json!({"exec": {"command": "a b"}}),
            json!({"exec": {"command": []}}),
            json!({"httpGet": {"port": 0}}),
        ] {
            assert!(matches!(with_hook(&body), Err(ContainerError::Hook { .. })), "{body}");
        }
        let https = json!({"httpGet": {"port": 8080, "scheme": "HTTPS"}});
        assert_eq!(with_hook(&https), Err(ContainerError::HttpsHook));
        let stranger = json!({"httpGet": {"port": "admin"}});
        assert!(matches!(with_hook(&stranger), Err(ContainerError::PortName { .. })));
    }

    #[test]
    fn readiness_is_asked_as_the_manifest_says() {
        let probe = |probe: Value| Probe::of(&json!({"readinessProbe": probe}), 80).unwrap();
        assert_eq!(Probe::of(&json!({}), 80).unwrap(), Probe::connect(80));
        let get = probe(json!({"httpGet": {"path": "/ready", "port": 81},
            "initialDelaySeconds": 2, "successThreshold": 3, "periodSeconds": 30}));
        assert_eq!(get.check, ProbeAction::HttpGet { path: "/ready".to_owned(), port: 81 });
        assert_eq!((get.initial_delay, get.successes), (Duration::from_secs(2), 3));
        assert_eq!(get.period, LONGEST_PERIOD);
        assert_eq!(get.afterwards, Some(Duration::from_secs(30)));
        assert_eq!(probe(json!({"periodSeconds": 0})).afterwards, Some(Duration::from_secs(10)));
        assert_eq!(
            probe(json!({"tcpSocket": {"port": 82}})).check,
            ProbeAction::Connect { port: 82 }
        );
        for other in [json!({"grpc": {"port": 1}}), json!({"httpGet": {"scheme": "HTTPS"}})] {
            let probe = probe(other);
            assert_eq!(probe.check, ProbeAction::Connect { port: 80 });
            assert!(probe.note.is_some());
        }
    }
}
