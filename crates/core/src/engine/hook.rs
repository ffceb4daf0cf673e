//! The `preStop` hooks that are injected, and how they are recognised again.
//!
//! Four forms: the native sleep action, the image's `sleep` program, and two constant scripts that
//! get every value as a positional argument, so that no text of a user is ever part of a shell line:
//! `quit` delays, quits and waits; `drain` is longer, and measures when traffic has moved away.

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

/// What the scripts take for no wait.
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
    /// One of the scripts.
    Script(ScriptHook<'a>),
}

/// What a script does, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptHook<'a> {
    /// Holds the stop back while the endpoints are withdrawn.
    pub delay: Delay,
    /// What runs then.
    pub task: Task<'a>,
    /// How long the stop signal is held back after it.
    pub wait: Wait,
    /// The file to which the hook appends what it saw: the container's termination message.
    pub report: Option<Cow<'a, str>>,
}

/// How long a script delays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// Always so long.
    Fixed {
        /// How long.
        seconds: i64,
    },
    /// The same, and the hook reports when the last traffic came.
    Measured {
        /// How long.
        seconds: i64,
        /// In so many seconds
        quiet_seconds: i64,
        /// so many new connections are no traffic.
        allowed_connections: i64,
    },
    /// Until no new connections arrive.
    Watched(Watch),
}

/// A delay that ends when no new connections arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// It is never shorter.
    pub least_seconds: i64,
    /// It is never longer.
    pub most_seconds: i64,
    /// It ends when so long no more than the allowed connections have arrived.
    pub quiet_seconds: i64,
    /// So many connections in the quiet period are no traffic: probes, and a margin.
    pub allowed_connections: i64,
    /// How much longer the stop is held back after that: a sidecar stays longer than the application.
    pub extra_seconds: i64,
}

/// What a script runs after the delay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task<'a> {
    /// Nothing.
    None,
    /// The application is asked to finish its work and go.
    Quit(Quit<'a>),
    /// A command of the pod's author. Its exit status becomes that of the hook; where it fails nothing is
    /// waited for.
    Own {
        /// The program and its arguments.
        command: Cow<'a, [String]>,
    },
}

/// How an application is asked to finish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quit<'a> {
    /// For PID 1, if there is no command or it failed.
    pub signal: Option<Signal>,
    /// Names under which PID 1 gets the signal; empty: any.
    pub process_names: &'a [String],
    /// The application's own quit command; may be empty.
    pub command: Cow<'a, [String]>,
}

/// How long the hook stays alive after the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Not at all: the stop signal that follows is known to be a graceful one.
    No,
    /// At most so many seconds: the hook ends sooner when PID 1 does.
    AtMost {
        /// The bound.
        seconds: i64,
    },
    /// The same, and also until no connection to a listening port of the pod is left.
    ForConnections {
        /// The bound.
        seconds: i64,
    },
}

/// The script of the form `quit` as it is in pods: the source without its comments.
#[must_use]
pub fn script() -> &'static str {
    script::quit().text()
}

/// The script of the form `drain` as it is in pods.
#[must_use]
pub fn drain_script() -> &'static str {
    script::drain().text()
}

impl Hook<'_> {
    /// A stable word for the form: `sleep`, `exec-sleep`, `quit`, `drain`.
    #[must_use]
    pub fn form(&self) -> &'static str {
        match self {
            Self::Sleep { .. } => "sleep",
            Self::ExecSleep { .. } => "exec-sleep",
            Self::Script(script) if script.is_short() => "quit",
            Self::Script(_) => "drain",
        }
    }

    /// How long the stop is held back before anything else; at most, where the delay is watched.
    #[must_use]
    pub const fn delay_seconds(&self) -> i64 {
        match self {
            Self::Sleep { seconds } | Self::ExecSleep { seconds } => *seconds,
            Self::Script(script) => script.delay.most_seconds(),
        }
    }

    /// How long the hook can take, a command's own time not counted.
    #[must_use]
    pub const fn longest_seconds(&self) -> i64 {
        match self {
            Self::Sleep { seconds } | Self::ExecSleep { seconds } => *seconds,
            Self::Script(script) => {
                script.delay.most_seconds().saturating_add(script.wait.seconds())
            }
        }
    }

    /// The wait after the delay, where there is one.
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

    /// The watch, if the delay is watched.
    #[must_use]
    pub const fn watch(&self) -> Option<&Watch> {
        match self {
            Self::Script(script) => script.watch(),
            Self::Sleep { .. } | Self::ExecSleep { .. } => None,
        }
    }

    /// Whether the hook waits for connections.
    #[must_use]
    pub const fn holds(&self) -> bool {
        matches!(self, Self::Script(ScriptHook { wait: Wait::ForConnections { .. }, .. }))
    }

    /// What a script does, if it is one.
    #[must_use]
    pub const fn script(&self) -> Option<&ScriptHook<'_>> {
        match self {
            Self::Script(script) => Some(script),
            Self::Sleep { .. } | Self::ExecSleep { .. } => None,
        }
    }
}

impl ScriptHook<'_> {
    /// Whether the short script does all of it.
    #[must_use]
    pub fn is_short(&self) -> bool {
        let is_fixed = matches!(self.delay, Delay::Fixed { .. });
        let keeps_status = matches!(self.task, Task::Own { .. }) && self.wait != Wait::No;
        let holds = matches!(self.wait, Wait::ForConnections { .. });
        is_fixed && self.task != Task::None && !keeps_status && !holds && self.report.is_none()
    }

    /// The watch, if the delay is watched.
    #[must_use]
    pub const fn watch(&self) -> Option<&Watch> {
        match &self.delay {
            Delay::Watched(watch) => Some(watch),
            Delay::Fixed { .. } | Delay::Measured { .. } => None,
        }
    }

    /// The quit, if there is one.
    #[must_use]
    pub const fn quit(&self) -> Option<&Quit<'_>> {
        match &self.task {
            Task::Quit(quit) => Some(quit),
            Task::None | Task::Own { .. } => None,
        }
    }
}

impl Delay {
    /// How long it can be.
    #[must_use]
    pub const fn most_seconds(&self) -> i64 {
        match self {
            Self::Fixed { seconds } | Self::Measured { seconds, .. } => *seconds,
            Self::Watched(watch) => watch.most_seconds.saturating_add(watch.extra_seconds),
        }
    }
}

impl Wait {
    /// The bound; 0 for no wait.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        match self {
            Self::No => 0,
            Self::AtMost { seconds } | Self::ForConnections { seconds } => seconds,
        }
    }
}

impl fmt::Display for Wait {
    /// As the scripts take it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No => f.write_str(NO_WAIT),
            Self::AtMost { seconds } | Self::ForConnections { seconds } => write!(f, "{seconds}"),
        }
    }
}

impl Hook<'_> {
    /// What the script takes of it as JSON, if it is in it.
    pub(crate) fn script_bytes(&self) -> usize {
        match self {
            Self::Sleep { .. } | Self::ExecSleep { .. } => 0,
            Self::Script(script) => script.code().json().len(),
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
    /// As the value of `preStop`.
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

    /// The script's arguments, each with a comma before it.
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
    /// A delay that nothing ends.
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
    /// What the long script calls it.
    const fn word(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quit(_) => "quit",
            Self::Own { .. } => "own",
        }
    }

    /// Signal, names and the command.
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

/// A comma, and the number as a text.
fn append_number(json: &mut Vec<u8>, number: i64) {
    json.extend_from_slice(b",\"");
    append(json, &number);
    json.push(b'"');
}

/// A comma, and the text.
fn append_text(json: &mut Vec<u8>, text: &str) {
    json.push(b',');
    append(json, text);
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
