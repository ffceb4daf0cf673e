//! The injected `preStop` hooks, and how they are recognised in pods.
//!
//! There are four forms: the native sleep action, the image's `sleep` program, and two constant
//! scripts that get every value as a positional argument, so that no text of a user is ever part of
//! a shell line. The script `quit` delays, quits and waits; `drain` is longer, and also measures
//! when traffic has moved away.

mod read;
mod script;

use std::borrow::Cow;
use std::fmt;

use serde::ser::{Error as _, Serialize, Serializer};

use crate::catalogue::Signal;

pub use self::read::{
    LongScript, is_script, recognised_delay, recognised_length, recognised_watch,
};
pub(crate) use self::script::known_scripts;
use self::script::{NAME, Script};

/// Argument of the scripts for no wait.
const NO_WAIT: &str = "none";

/// One container's hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook<'a> {
    /// Delay only: `sleep: {seconds: N}`, which needs nothing in the image.
    Sleep {
        /// Length of the delay.
        seconds: i64,
    },
    /// Delay only, for older clusters: `exec: ["sleep", "N"]`.
    ExecSleep {
        /// Length of the delay.
        seconds: i64,
    },
    /// One of the scripts.
    Script(ScriptHook<'a>),
}

/// The steps of a script, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptHook<'a> {
    /// The delay of the stop, while the endpoints are withdrawn.
    pub delay: Delay,
    /// The command that runs after the delay.
    pub task: Task<'a>,
    /// The delay of the stop signal after the task.
    pub wait: Wait,
    /// The file to which the hook appends its report: the container's termination message.
    pub report: Option<Cow<'a, str>>,
}

/// Delay of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// A delay of fixed length.
    Fixed {
        /// Length of the delay.
        seconds: i64,
    },
    /// A delay of fixed length; the hook also reports when the last traffic arrived.
    Measured {
        /// Length of the delay.
        seconds: i64,
        /// Length of the quiet period.
        quiet_seconds: i64,
        /// Number of new connections in the quiet period that do not count as traffic.
        allowed_connections: i64,
    },
    /// A delay that ends when no new connections arrive.
    Watched(Watch),
}

/// A delay that ends when no new connections arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// Lower bound of the delay.
    pub least_seconds: i64,
    /// Upper bound of the delay.
    pub most_seconds: i64,
    /// Length of the quiet period: the delay ends when no more than the allowed connections have
    /// arrived in it.
    pub quiet_seconds: i64,
    /// Number of new connections in the quiet period that do not count as traffic: probes, and a
    /// margin.
    pub allowed_connections: i64,
    /// Additional delay of the stop after the watched part: a sidecar runs longer than the
    /// application.
    pub extra_seconds: i64,
}

/// The command that a script runs after the delay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task<'a> {
    /// No command.
    None,
    /// Asks the application to finish its requests and exit.
    Quit(Quit<'a>),
    /// A command of the pod's author. Its exit status becomes that of the hook; if it fails, the
    /// hook does not wait.
    Own {
        /// The program and its arguments.
        command: Cow<'a, [String]>,
    },
}

/// How an application is asked to finish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quit<'a> {
    /// Signal for PID 1, if there is no command or the command failed.
    pub signal: Option<Signal>,
    /// Names under which PID 1 gets the signal; empty for any name.
    pub process_names: &'a [String],
    /// The application's own quit command; may be empty.
    pub command: Cow<'a, [String]>,
}

/// How long the hook continues to run after the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// No wait: the stop signal that follows is known to be graceful.
    No,
    /// A wait with an upper bound; it ends sooner if PID 1 ends.
    AtMost {
        /// Upper bound of the wait.
        seconds: i64,
    },
    /// The same, and the wait also ends when no connection to a listening port of the pod is left.
    ForConnections {
        /// Upper bound of the wait.
        seconds: i64,
    },
}

/// Returns the script `quit` as it is in pods: the source without its comments.
#[must_use]
pub fn script() -> &'static str {
    script::quit().text()
}

/// Returns the script `drain` as it is in pods.
#[must_use]
pub fn drain_script() -> &'static str {
    script::drain().text()
}

impl Hook<'_> {
    /// Stable word for the form: `sleep`, `exec-sleep`, `quit`, `drain`.
    #[must_use]
    pub fn form(&self) -> &'static str {
        match self {
            Self::Sleep { .. } => "sleep",
            Self::ExecSleep { .. } => "exec-sleep",
            Self::Script(script) if script.is_short() => "quit",
            Self::Script(_) => "drain",
        }
    }

    /// Returns by how many seconds the stop is delayed before the task; the upper bound if the
    /// delay is watched.
    #[must_use]
    pub const fn delay_seconds(&self) -> i64 {
        match self {
            Self::Sleep { seconds } | Self::ExecSleep { seconds } => *seconds,
            Self::Script(script) => script.delay.most_seconds(),
        }
    }

    /// Returns how many seconds the hook can take, without the time of its command.
    #[must_use]
    pub const fn longest_seconds(&self) -> i64 {
        match self {
            Self::Sleep { seconds } | Self::ExecSleep { seconds } => *seconds,
            Self::Script(script) => {
                script.delay.most_seconds().saturating_add(script.wait.seconds())
            }
        }
    }

    /// Returns the upper bound of the wait after the task, in seconds, if there is a wait.
    #[must_use]
    pub const fn wait_seconds(&self) -> Option<i64> {
        match self {
            Self::Script(ScriptHook {
                wait: Wait::AtMost { seconds } | Wait::ForConnections { seconds },
                ..
            }) => Some(*seconds),
            Self::Script(_) | Self::Sleep { .. } | Self::ExecSleep { .. } => None,
        }
    }

    /// Returns the watch, if the delay is watched.
    #[must_use]
    pub const fn watch(&self) -> Option<&Watch> {
        match self {
            Self::Script(script) => script.watch(),
            Self::Sleep { .. } | Self::ExecSleep { .. } => None,
        }
    }

    /// Returns whether the hook waits for connections.
    #[must_use]
    pub const fn holds(&self) -> bool {
        matches!(self, Self::Script(ScriptHook { wait: Wait::ForConnections { .. }, .. }))
    }

    /// Returns the steps of the script, if the hook is a script.
    #[must_use]
    pub const fn script(&self) -> Option<&ScriptHook<'_>> {
        match self {
            Self::Script(script) => Some(script),
            Self::Sleep { .. } | Self::ExecSleep { .. } => None,
        }
    }
}

impl ScriptHook<'_> {
    /// Returns whether the short script is sufficient.
    #[must_use]
    pub fn is_short(&self) -> bool {
        let is_fixed = matches!(self.delay, Delay::Fixed { .. });
        let keeps_status = matches!(self.task, Task::Own { .. }) && self.wait != Wait::No;
        let holds = matches!(self.wait, Wait::ForConnections { .. });
        is_fixed && self.task != Task::None && !keeps_status && !holds && self.report.is_none()
    }

    /// Returns the watch, if the delay is watched.
    #[must_use]
    pub const fn watch(&self) -> Option<&Watch> {
        match &self.delay {
            Delay::Watched(watch) => Some(watch),
            Delay::Fixed { .. } | Delay::Measured { .. } => None,
        }
    }

    /// Returns the quit, if there is one.
    #[must_use]
    pub const fn quit(&self) -> Option<&Quit<'_>> {
        match &self.task {
            Task::Quit(quit) => Some(quit),
            Task::None | Task::Own { .. } => None,
        }
    }
}

impl Delay {
    /// Returns the upper bound of the delay.
    #[must_use]
    pub const fn most_seconds(&self) -> i64 {
        match self {
            Self::Fixed { seconds } | Self::Measured { seconds, .. } => *seconds,
            Self::Watched(watch) => watch.most_seconds.saturating_add(watch.extra_seconds),
        }
    }
}

impl Wait {
    /// Returns the upper bound of the wait; 0 for no wait.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        match self {
            Self::No => 0,
            Self::AtMost { seconds } | Self::ForConnections { seconds } => seconds,
        }
    }
}

impl fmt::Display for Wait {
    /// Prints the wait as an argument of the scripts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str(NO_WAIT),
            Self::AtMost { seconds } | Self::ForConnections { seconds } => write!(f, "{seconds}"),
        }
    }
}

impl Hook<'_> {
    /// Returns the size of the hook's script as JSON, in bytes; 0 for a hook without a script.
    pub(crate) fn script_bytes(&self) -> usize {
        match self {
            Self::Sleep { .. } | Self::ExecSleep { .. } => 0,
            Self::Script(script) => script.code().json().len(),
        }
    }

    /// Appends the hook as the JSON value of `preStop`.
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
            Self::Script(script) => {
                json.extend_from_slice(b"{\"exec\":{\"command\":[\"/bin/sh\",\"-c\",");
                json.extend_from_slice(script.code().json().as_bytes());
                json.push(b',');
                append(json, NAME);
                script.write_arguments(json);
                json.extend_from_slice(b"]}}");
            }
        }
    }
}

impl Serialize for Hook<'_> {
    /// Serializes the hook as the value of `preStop`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = Vec::new();
        self.write(&mut json);
        serialize_json(&json, serializer)
    }
}

impl ScriptHook<'_> {
    fn code(&self) -> &'static Script {
        if self.is_short() { script::quit() } else { script::drain() }
    }

    /// Appends the script's arguments, each preceded by a comma.
    fn write_arguments(&self, json: &mut Vec<u8>) {
        if self.is_short() {
            append_number(json, self.delay.most_seconds());
            self.write_wait(json);
        } else {
            self.write_delay(json);
            self.write_wait(json);
            let holds = matches!(self.wait, Wait::ForConnections { .. });
            append_text(json, if holds { "connections" } else { "" });
            append_text(json, self.report.as_deref().unwrap_or_default());
            append_text(json, self.task.word());
        }
        self.task.write(json);
    }

    fn write_delay(&self, json: &mut Vec<u8>) {
        let Watch {
            least_seconds,
            most_seconds,
            quiet_seconds,
            allowed_connections,
            extra_seconds,
        } = match self.delay {
            Delay::Watched(watch) => watch,
            Delay::Fixed { seconds } => Watch::fixed(seconds),
            Delay::Measured { seconds, quiet_seconds, allowed_connections } => {
                Watch { quiet_seconds, allowed_connections, ..Watch::fixed(seconds) }
            }
        };
        for number in
            [least_seconds, most_seconds, quiet_seconds, allowed_connections, extra_seconds]
        {
            append_number(json, number);
        }
    }

    fn write_wait(&self, json: &mut Vec<u8>) {
        match self.wait {
            Wait::No => append_text(json, NO_WAIT),
            Wait::AtMost { seconds } | Wait::ForConnections { seconds } => {
                append_number(json, seconds);
            }
        }
    }
}

impl Watch {
    /// Creates a delay of fixed length, which is not watched.
    const fn fixed(seconds: i64) -> Self {
        Self {
            least_seconds: seconds,
            most_seconds: seconds,
            quiet_seconds: 0,
            allowed_connections: 0,
            extra_seconds: 0,
        }
    }
}

impl Task<'_> {
    /// Name of the task in the arguments of the long script.
    const fn word(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quit(_) => "quit",
            Self::Own { .. } => "own",
        }
    }

    /// Appends signal, names and command.
    fn write(&self, json: &mut Vec<u8>) {
        let (signal, names, command): (_, &[String], &[String]) = match self {
            Self::None => (None, &[], &[]),
            Self::Quit(quit) => (quit.signal, quit.process_names, &quit.command),
            Self::Own { command } => (None, &[], command),
        };
        append_text(json, signal.map_or("", Signal::name));
        match names {
            [name] => append_text(json, name),
            names => append_text(json, &names.join(",")),
        }
        for argument in command {
            append_text(json, argument);
        }
    }
}

/// Appends a comma, and the number as a string.
fn append_number(json: &mut Vec<u8>, number: i64) {
    json.extend_from_slice(b",\"");
    append(json, &number);
    json.push(b'"');
}

/// Appends a comma and the string.
fn append_text(json: &mut Vec<u8>, text: &str) {
    json.push(b',');
    append(json, text);
}

/// Appends a value as JSON.
pub(crate) fn append<T: Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) {
    // Serializing a string or a number can't fail, nor can writing to a vector.
    let _ = serde_json::to_writer(json, value);
}

/// Serializes a value that was written as JSON.
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
        let quit = Quit { signal, process_names: names, command: Cow::Borrowed(command) };
        Hook::Script(ScriptHook {
            delay: Delay::Fixed { seconds: 10 },
            task: Task::Quit(quit),
            wait,
            report: None,
        })
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
}
