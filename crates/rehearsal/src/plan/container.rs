//! A container's settings in a manifest: its hook, readiness probe and port.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

/// What a preStop hook does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HookAction {
    /// the native sleep action: a timer of the kubelet, nothing runs in the container.
    Sleep {
        /// How long.
        seconds: u64,
    },
    /// A program, run in the container without a shell.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// A GET request of the kubelet.
    HttpGet {
        /// The path.
        path: String,
        /// The port of the container.
        port: u16,
    },
    /// A hook that always fails when it is run: `tcpSocket`.
    Failing {
        /// Why.
        why: String,
    },
}

/// When a replica counts as ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked.
    pub check: ProbeAction,
    /// How long before it is asked for the first time.
    pub initial_delay: Duration,
    /// The time between two.
    pub period: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How often in a row the answer has to be yes.
    pub successes: u32,
    /// How often it is asked from then on until the replica has ended; never without a probe.
    pub afterwards: Option<Duration>,
    /// Differences from the probe of the manifest.
    pub note: Option<String>,
}

/// What a readiness probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProbeAction {
    /// Whether a connection can be made.
    Connect {
        /// To which port.
        port: u16,
    },
    /// Whether a GET is answered with a status from 200 to 399.
    HttpGet {
        /// The path.
        path: String,
        /// The port.
        port: u16,
    },
    /// Whether a program ends with 0.
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
        /// Which.
        field: &'static str,
        /// The expected content.
        expected: &'static str,
    },
    /// Only plain HTTP is spoken in the sandbox.
    #[error(
        "lifecycle.preStop.httpGet with scheme HTTPS can't be rehearsed; use HTTP for the rehearsal"
    )]
    HttpsHook,
    /// A port by a name that no port has.
    #[error("{place}: no port of the container is named {name:?}")]
    PortName {
        /// The path of the name.
        place: &'static str,
        /// The name.
        name: String,
    },
}

/// How often a replica is asked at least; Kubernetes' own default of 10 s would only make the
/// rehearsal longer.
const LONGEST_PERIOD: Duration = Duration::from_millis(500);
const DEFAULT_PERIOD: Duration = Duration::from_millis(100);

/// The hook of a container, `None` where it has none.
///
/// # Errors
/// When the hook is not one that Kubernetes takes, or can't be played here.
pub fn hook(container: &Value) -> Result<Option<HookAction>, ContainerError> {
    match container.pointer("/lifecycle/preStop") {
        None | Some(Value::Null) => Ok(None),
        Some(body) => action(body, container).map(Some),
    }
}

/// A hook by its body, the value of `preStop`.
///
/// # Errors
/// As [`hook`].
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

/// The port that the container says it listens on: the first.
#[must_use]
pub fn first_port(container: &Value) -> Option<u16> {
    let port = container.pointer("/ports/0/containerPort")?.as_u64()?;
    u16::try_from(port).ok().filter(|port| *port > 0)
}

/// The stop signal that the container sets itself (KEP-4960), as it is written.
#[must_use]
pub fn stop_signal(container: &Value) -> Option<&str> {
    container.pointer("/lifecycle/stopSignal")?.as_str()
}

impl HookAction {
    /// What it does, for people.
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
    /// A TCP connection to a port, asked often.
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

    /// The container's readiness probe, else a connection to the port.
    ///
    /// # Errors
    /// When it names a port that there is not.
    pub fn of(container: &Value, default_port: u16) -> Result<Self, ContainerError> {
        let Some(probe) = container.get("readinessProbe").filter(|probe| probe.is_object()) else {
            return Ok(Self::connect(default_port));
        };
        let (check, note) = check(probe, container, default_port)?;
        let seconds = |field: &str, default: u64| {
            Duration::from_secs(probe.get(field).and_then(Value::as_u64).unwrap_or(default))
        };
        // 0 is the default too (`SetDefaults_Probe`).
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
    /// That the answer was no, for people.
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
    // The API server takes "8080" for a name, and no port has one without a letter.
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
