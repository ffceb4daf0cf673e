//! The time for which an application keeps serving after its stop signal, according to its
//! arguments and environment. For the audit: an application that delays its own stop needs no hook.
//!
//! | option | unit | documentation |
//! |---|---|---|
//! | `--shutdown-delay-duration` of every server made with Kubernetes' API server library | `30s` | <https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/> |
//! | `-shutdown-delay` of Grafana Mimir | `90s` | <https://grafana.com/docs/mimir/latest/configure/configuration-parameters/> |
//! | `--shutdown-delay` of Gatekeeper | s | <https://github.com/open-policy-agent/gatekeeper/blob/master/main.go> |
//! | Traefik `requestAcceptGraceTimeout` of an entry point (argument, variable) | `30s`, s | <https://doc.traefik.io/traefik/routing/entrypoints/#lifecycle> |

use super::pod::Container;
use super::shell;
use crate::duration;

/// Names of flags, without leading dashes.
const FLAGS: [&str; 2] = ["shutdown-delay", "shutdown-delay-duration"];
const TRAEFIK_FLAG: &str = ".transport.lifecycle.requestacceptgracetimeout";
const TRAEFIK_VARIABLE: &str = "_TRANSPORT_LIFECYCLE_REQUESTACCEPTGRACETIMEOUT";

/// Returns the longest delay, in seconds, that the container's arguments and environment set; 0 if
/// there is none.
pub(super) fn own_delay(container: &Container<'_>) -> i64 {
    of_arguments(container).max(of_environment(container)).unwrap_or(0)
}

fn of_arguments(container: &Container<'_>) -> Option<i64> {
    let command = shell::list(&container.command)?;
    let args = shell::list(&container.args)?;
    let words: Vec<_> = shell::texts(command)?.chain(shell::texts(args)?).collect();
    let values = words.iter().enumerate().filter_map(|(index, word)| {
        let option = word.strip_prefix('-')?.trim_start_matches('-');
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, words.get(index + 1).copied()),
        };
        let is_it = FLAGS.contains(&name) || name.to_ascii_lowercase().ends_with(TRAEFIK_FLAG);
        value.filter(|_| is_it).and_then(seconds)
    });
    values.max()
}

fn of_environment(container: &Container<'_>) -> Option<i64> {
    let variables = container.env.value()?.0.iter();
    let values = variables.filter_map(|variable| {
        let name = variable.name.value()?.strip_prefix("TRAEFIK_ENTRYPOINTS_")?;
        let value = variable.value.value().filter(|_| name.ends_with(TRAEFIK_VARIABLE))?;
        seconds(value)
    });
    values.max()
}

fn seconds(value: &str) -> Option<i64> {
    duration::parse(value).ok().map(|parsed| parsed.seconds)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::own_delay;
    use crate::engine::pod::Pod;

    fn delay(container: Value) -> i64 {
        let mut container = container;
        container["name"] = "web".into();
        let pod = json!({"spec": {"containers": [container]}});
        let pod = Pod::from_value(&pod);
        own_delay(pod.spec.value().unwrap().containers()[0].value().unwrap())
    }

    #[test]
    fn what_applications_say() {
        for (container, expected) in [
            (json!({"args": ["-target=distributor", "-shutdown-delay=90s"]}), 90),
            (json!({"command": ["/manager"], "args": ["--shutdown-delay", "10"]}), 10),
            (json!({"command": ["/server", "--shutdown-delay-duration=1m"]}), 60),
            (
                json!({"args": ["--entryPoints.web.transport.lifeCycle.requestAcceptGraceTimeout=15"]}),
                15,
            ),
            (
                json!({"env": [{
                    "name": "TRAEFIK_ENTRYPOINTS_WEB_TRANSPORT_LIFECYCLE_REQUESTACCEPTGRACETIMEOUT",
                    "value": "20s",
                }]}),
                20,
            ),
            (json!({"args": ["--shutdown-delay=0", "--shutdown-delay-duration"]}), 0),
            (json!({"args": ["shutdown-delay=9", "--shutdown-delay=soon"]}), 0),
            (json!({"args": ["--shutdown-timeout=30s"]}), 0),
            (json!({"args": 5}), 0),
            (json!({}), 0),
        ] {
            assert_eq!(delay(container.clone()), expected, "{container}");
        }
    }
}
