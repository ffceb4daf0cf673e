//! The `preStop` hooks that are injected, and how they are recognised again.
//!
//! Three forms: Kubernetes' own sleep action, the image's `sleep` program, and the quit: a constant
//! script that gets every value as a positional argument, so that no text of a user is ever part of
//! a shell line.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use serde::ser::{Error as _, Serialize, Serializer};

use crate::catalogue::Signal;

use super::pod::PreStop;
use crate::view::{Known, Shape, Text};

/// The commented source of the script.
const SOURCE: &str = include_str!("hook.sh");

/// What the script calls itself (`$0`) in error messages.
const NAME: &str = "prestop";

/// What the script takes for no wait.
const NO_WAIT: &str = "none";

/// One container's hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook<'a> {
    /// Delay only: `sleep: {seconds: N}`, which needs nothing in the image.
    Sleep {
        /// How long.
        seconds: i64,
    },
    /// Delay only, for older clusters: `exec: ["sleep", "N"]`.
    ExecSleep {
        /// How long.
        seconds: i64,
    },
    /// Delay, quit, wait.
    Quit(QuitHook<'a>),
}

/// What the script is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuitHook<'a> {
    /// How long the quit is held back.
    pub delay_seconds: i64,
    /// How long the stop signal is held back after it.
    pub wait: Wait,
    /// For PID 1, if there is no command or it failed.
    pub signal: Option<Signal>,
    /// Names under which PID 1 gets the signal; empty: any.
    pub process_names: &'a [String],
    /// The application's own quit command; may be empty.
    pub command: Cow<'a, [String]>,
}

/// How long the hook stays alive after the quit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: the stop signal that follows is known to be a graceful one.
    No,
    /// At most so many seconds.
    AtMost {
        /// The bound; the hook ends sooner when the application does.
        seconds: i64,
    },
}

/// The script as it stands in pods: the source without its comments.
#[must_use]
pub fn script() -> &'static str {
    static SCRIPT: LazyLock<String> = LazyLock::new(|| {
        let code =
            SOURCE.lines().filter(|line| !line.trim_start().starts_with('#') && !line.is_empty());
        let mut script = String::with_capacity(SOURCE.len());
        for line in code {
            script.push_str(line);
            script.push('\n');
        }
        script
    });
    &SCRIPT
}

impl Hook<'_> {
    /// A stable word for the form: `sleep`, `exec-sleep`, `quit`.
    #[must_use]
    pub const fn form(&self) -> &'static str {
        match self {
            Self::Sleep { .. } => "sleep",
            Self::ExecSleep { .. } => "exec-sleep",
            Self::Quit(_) => "quit",
        }
    }

    /// How long the stop is held back before anything else.
    #[must_use]
    pub const fn delay_seconds(&self) -> i64 {
        match self {
            Self::Sleep { seconds } | Self::ExecSleep { seconds } => *seconds,
            Self::Quit(quit) => quit.delay_seconds,
        }
    }

    /// How long the hook can take, the quit command's own time not counted.
    #[must_use]
    pub const fn longest_seconds(&self) -> i64 {
        match self {
            Self::Sleep { seconds } | Self::ExecSleep { seconds } => *seconds,
            Self::Quit(quit) => quit.delay_seconds.saturating_add(quit.wait.seconds()),
        }
    }
}

impl Wait {
    /// The bound; 0 for no wait.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        match self {
            Self::No => 0,
            Self::AtMost { seconds } => seconds,
        }
    }
}

impl fmt::Display for Wait {
    /// As the script takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str(NO_WAIT),
            Self::AtMost { seconds } => write!(f, "{seconds}"),
        }
    }
}

/// The delay of a hook of ours, in any of its forms; `None` for hooks of others.
#[must_use]
pub fn recognised_delay(hook: &PreStop<'_>) -> Option<i64> {
    plain_delay(hook).or_else(|| Some(delay_and_wait(hook)?.0))
}

/// How long a hook of ours can take, the quit command's own time not counted; `None` for hooks of
/// others.
#[must_use]
pub fn recognised_length(hook: &PreStop<'_>) -> Option<i64> {
    plain_delay(hook).or_else(|| {
        let (delay, wait) = delay_and_wait(hook)?;
        delay.checked_add(wait)
    })
}

fn delay_and_wait(hook: &PreStop<'_>) -> Option<(i64, i64)> {
    let command = hook.exec.value()?.command.value()?;
    let [shell, option, code, name, delay, wait, _, _, ..] = &command[..] else {
        return None;
    };
    let is = |argument: &Shape<Text<'_>>, text: &str| {
        argument.value().is_some_and(|argument| argument == text)
    };
    let is_ours = is(shell, "/bin/sh") && is(option, "-c") && is(name, NAME);
    if !is_ours || !is(code, script()) || !are_texts(command) {
        return None;
    }
    // What is not a number is no wait: the script takes it so.
    Some((whole(delay.value()?)?, whole(wait.value()?).unwrap_or(0)))
}

/// The delay of a hook that does nothing else, in one of our forms.
fn plain_delay(hook: &PreStop<'_>) -> Option<i64> {
    let seconds = match (hook.sleep.value(), hook.exec.value()) {
        (Some(sleep), None) => sleep.seconds.value().copied(),
        (None, Some(exec)) => match &exec.command.value()?[..] {
            [Shape::Value(program), Shape::Value(seconds)] if program == "sleep" => whole(seconds),
            _ => None,
        },
        _ => None,
    };
    // Less than nothing is refused by the API server.
    seconds.filter(|seconds| *seconds >= 0)
}

/// Whole seconds, as `sleep` of every image takes them: digits and nothing else.
fn whole(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn are_texts(command: &[Shape<Text<'_>>]) -> bool {
    command.iter().all(|argument| argument.value().is_some())
}

impl Hook<'_> {
    /// What the script takes of it as JSON, if it is in it.
    pub(super) fn script_bytes(&self) -> usize {
        match self {
            Self::Sleep { .. } | Self::ExecSleep { .. } => 0,
            Self::Quit(_) => script_as_json().len(),
        }
    }

    /// Appends it as the JSON value of `preStop`.
    pub(super) fn write(&self, json: &mut Vec<u8>) {
        match self {
            Self::Sleep { seconds } => {
                json.extend_from_slice(b"{\"sleep\":{\"seconds\":");
                append(json, seconds);
                json.extend_from_slice(b"}}");
            }
            Self::ExecSleep { seconds } => {
                json.extend_from_slice(b"{\"exec\":{\"command\":[\"sleep\",\"");
                append(json, seconds);
                json.extend_from_slice(b"\"]}}");
            }
            Self::Quit(quit) => {
                json.extend_from_slice(b"{\"exec\":{\"command\":[\"/bin/sh\",\"-c\",");
                json.extend_from_slice(script_as_json().as_bytes());
                json.push(b',');
                quit.write_arguments(json);
                json.extend_from_slice(b"]}}");
            }
        }
    }
}

impl Serialize for Hook<'_> {
    /// As the value of `preStop`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = Vec::new();
        self.write(&mut json);
        serialize_json(&json, serializer)
    }
}

impl QuitHook<'_> {
    /// What the script is told, from its own name on.
    fn write_arguments(&self, json: &mut Vec<u8>) {
        append(json, NAME);
        json.extend_from_slice(b",\"");
        append(json, &self.delay_seconds);
        json.extend_from_slice(b"\",\"");
        match self.wait {
            Wait::No => json.extend_from_slice(NO_WAIT.as_bytes()),
            Wait::AtMost { seconds } => append(json, &seconds),
        }
        json.extend_from_slice(b"\",");
        append(json, self.signal.map_or("", Signal::name));
        json.push(b',');
        match self.process_names {
            [name] => append(json, name),
            names => append(json, &names.join(",")),
        }
        for argument in self.command.iter() {
            json.push(b',');
            append(json, argument);
        }
    }
}

/// The script as a JSON text: it never changes, and escaping it takes longer than all the rest.
fn script_as_json() -> &'static str {
    static JSON: LazyLock<String> = LazyLock::new(|| serde_json::Value::from(script()).to_string());
    &JSON
}

/// The script, for readers of what was written here.
pub(crate) fn known_script() -> Known {
    Known { json: script_as_json(), value: script() }
}

/// Appends a value as JSON.
pub(crate) fn append<T: Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) {
    // Texts and numbers can always be written, and a vector takes all of them.
    let _ = serde_json::to_writer(json, value);
}

/// Hands on what was written as JSON.
pub(super) fn serialize_json<S: Serializer>(json: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    let value: serde_json::Value = serde_json::from_slice(json).map_err(S::Error::custom)?;
    value.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pod::Pod;
    use serde_json::{Value, json};

    fn quit<'a>(command: &'a [String], names: &'a [String], wait: Wait) -> Hook<'a> {
        let signal = "QUIT".parse().ok();
        let command = Cow::Borrowed(command);
        Hook::Quit(QuitHook { delay_seconds: 10, wait, signal, process_names: names, command })
    }

    fn recognise(hook: &Value) -> Option<i64> {
        let pod = json!({"spec": {"containers": [{"lifecycle": {"preStop": hook}}]}});
        let pod = Pod::from_value(&pod);
        let container = pod.spec.value()?.containers.value()?.first()?.value()?.clone();
        recognised_delay(container.lifecycle.value()?.pre_stop.value()?)
    }

    #[test]
    fn each_form_is_what_kubernetes_takes() {
        assert_eq!(json!(Hook::Sleep { seconds: 10 }), json!({"sleep": {"seconds": 10}}));
        assert_eq!(
            json!(Hook::ExecSleep { seconds: 10 }),
            json!({"exec": {"command": ["sleep", "10"]}})
        );
        let command = ["nginx", "-s", "quit"].map(str::to_owned);
        let names = ["nginx", "nginx-debug"].map(str::to_owned);
        let hook = json!(quit(&command, &names, Wait::AtMost { seconds: 25 }));
        let expected = [
            "/bin/sh",
            "-c",
            script(),
            "prestop",
            "10",
            "25",
            "QUIT",
            "nginx,nginx-debug",
            "nginx",
            "-s",
            "quit",
        ];
        assert_eq!(hook, json!({"exec": {"command": expected}}));
        assert_eq!(json!(quit(&[], &[], Wait::No))["exec"]["command"][5], json!("none"));
    }

    #[test]
    fn what_is_written_is_recognised() {
        let command = ["nginx".to_owned()];
        let hooks = [
            Hook::Sleep { seconds: 10 },
            Hook::ExecSleep { seconds: 10 },
            quit(&command, &[], Wait::No),
        ];
        for hook in hooks {
            assert_eq!(recognise(&json!(hook)), Some(10), "{hook:?}");
        }
    }

    #[test]
    fn hooks_of_others_are_not() {
        for hook in [
            json!({}),
            json!({"httpGet": {"path": "/", "port": 80}}),
            json!({"exec": {"command": ["/bin/sh", "-c", "sleep 10"]}}),
            json!({"exec": {"command": ["/bin/sh", "-c", "sleep 10", "prestop", "10", "25", "", ""]}}),
            json!({"exec": {"command": ["sleep", "x"]}}),
            json!({"exec": {"command": ["sleep", "+5"]}}),
            json!({"sleep": {"seconds": -5}}),
            json!({"exec": {"command": ["sleep"]}}),
            json!({"exec": {"command": [1]}}),
            json!({"sleep": {"seconds": "10"}}),
            json!("sleep"),
        ] {
            assert_eq!(recognise(&hook), None, "{hook}");
        }
    }

    #[test]
    fn the_script_in_pods_has_no_comments() {
        assert!(script().starts_with("sleep "), "{}", script());
        assert!(!script().lines().any(|line| line.trim_start().starts_with('#')), "{}", script());
    }
}
