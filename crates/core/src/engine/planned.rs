//! The time by which an existing hook of a pod delays the stop signal, for programs that watch the
//! termination of pods.

use serde_json::{Value, json};

use super::hook;
use super::own_hook::{OwnHook, Rest};
use super::pod::{Pod, PreStop, Spec};

/// Expected behaviour of a `preStop` hook, limited to what is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlannedHook {
    /// Minimum delay of the stop signal, in seconds, before the hook does anything else; `None` if
    /// nothing is known about the hook.
    pub delay_seconds: Option<i64>,
    /// Whether the hook may continue after the delay, until the application has ended.
    pub waits: bool,
}

const UNKNOWN: PlannedHook = PlannedHook { delay_seconds: None, waits: true };

impl PlannedHook {
    /// Reads `lifecycle.preStop`.
    #[must_use]
    pub fn of(pre_stop: &Value) -> Self {
        let pod = json!({"spec": {"containers": [{"lifecycle": {"preStop": pre_stop}}]}});
        let pod = Pod::from_value(&pod);
        let containers = pod.spec.value().map(Spec::containers).unwrap_or_default();
        let container = containers.first().and_then(|container| container.value());
        let lifecycle = container.and_then(|container| container.lifecycle.value());
        let read = lifecycle.and_then(|lifecycle| lifecycle.pre_stop.value()).map(Self::read);
        read.unwrap_or(UNKNOWN)
    }

    fn read(hook: &PreStop<'_>) -> Self {
        if let Some(most) = hook::recognised_delay(hook) {
            let watch = hook::recognised_watch(hook);
            let delay = watch.map_or(most, |watch| watch.least_seconds + watch.extra_seconds);
            let length = hook::recognised_length(hook).unwrap_or(most);
            return Self { delay_seconds: Some(delay), waits: length > delay };
        }
        match OwnHook::read(hook) {
            Some(hook) => Self {
                delay_seconds: Some(hook.leading_seconds),
                waits: hook.seconds > hook.leading_seconds || hook.rest == Rest::Unknown,
            },
            None => UNKNOWN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hook::{Delay, Hook, ScriptHook, Task, Wait, Watch};
    use super::*;

    fn planned(hook: &Value) -> (Option<i64>, bool) {
        let planned = PlannedHook::of(hook);
        (planned.delay_seconds, planned.waits)
    }

    #[test]
    fn hooks_of_authors_hold_back_for_their_leading_sleep() {
        let exec = |command: &[&str]| planned(&json!({"exec": {"command": command}}));
        assert_eq!(planned(&json!({"sleep": {"seconds": 5}})), (Some(5), false));
        assert_eq!(exec(&["sleep", "7"]), (Some(7), false));
        assert_eq!(exec(&["sh", "-c", "sleep 5; nginx -s quit"]), (Some(5), false));
        assert_eq!(exec(&["nginx", "-s", "quit"]), (Some(0), false));
        assert_eq!(exec(&["sh", "-c", "nginx -s quit; sleep 9"]), (Some(0), true));
        assert_eq!(
            exec(&["sh", "-c", "sleep 3; nginx -s quit; while pgrep nginx; do sleep 1; done"]),
            (Some(3), true)
        );
        assert_eq!(planned(&json!({"httpGet": {"path": "/stop", "port": 80}})), (None, true));
        assert_eq!(planned(&json!("odd")), (None, true));
    }

    #[test]
    fn a_hook_that_is_ours_holds_back_for_its_lower_bound() {
        let watch = Watch {
            least_seconds: 10,
            most_seconds: 120,
            quiet_seconds: 5,
            allowed_connections: 4,
            extra_seconds: 0,
        };
        let hook = |delay, wait| {
            planned(&json!(Hook::Script(ScriptHook {
                delay,
                task: Task::None,
                wait,
                report: None
            })))
        };
        assert_eq!(hook(Delay::Watched(watch), Wait::No), (Some(10), true));
        let fixed = Delay::Fixed { seconds: 4 };
        assert_eq!(hook(fixed, Wait::ForConnections { seconds: 9 }), (Some(4), true));
    }
}
