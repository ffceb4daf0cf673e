//! Shells that stay PID 1 (`docs/rules.md`, section 10): the kernel drops TERM for a PID 1 without
//! a handler for it, so the application started by the shell never gets the signal, and is killed
//! when the grace period ends.
//!
//! Whether `sh -c SCRIPT` replaces itself with the last program depends on the shell. Measured with
//! dash 0.5.12 (Debian, Ubuntu), bash 5.2 (Red Hat's `sh`) and busybox 1.35 (Alpine):
//!
//! | script | dash | bash | busybox |
//! |---|---|---|---|
//! | `exec app` | replaced | replaced | replaced |
//! | `app`, `cd /x && app`, `A=1 app` | stays | replaced | replaced |
//! | `app 2>&1`, `if …; then app; fi` | stays | stays | replaced |
//! | `app; true`, `app \| cat`, `app \|\| exit 1`, `for …` | stays | stays | stays |

use std::fmt;

use crate::catalogue::ImageReference;

use super::pod::Container;
use super::shell::{self, Command, Invocation, Item, Operator, Redirection, Word};

/// A shell that stays PID 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ShellAsPid1 {
    pub(super) certainty: Certainty,
    /// The shell, if it is known.
    pub(super) shell: Option<&'static str>,
}

/// Certainty that the shell stays PID 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    /// The shell stays, according to the measured table.
    Certain,
    /// Most shells stay, or the image resembles one whose shell is known.
    Likely,
}

impl fmt::Display for ShellAsPid1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let certainty = self.certainty.word();
        let shell = self.shell.unwrap_or("the shell");
        write!(f, "{shell} stays PID 1 and ignores the stop signal ({certainty})")
    }
}

impl Certainty {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Certain => "certain",
            Self::Likely => "likely",
        }
    }
}

/// The shells that stay PID 1 while they run a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stays {
    Dash,
    DashAndBash,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dash,
    Bash,
    Busybox,
}

/// Last components of images whose `sh` is dash: Debian, Ubuntu, and images based on them.
const DASH: [&str; 33] = [
    "debian",
    "ubuntu",
    "python",
    "pypy",
    "node",
    "ruby",
    "php",
    "perl",
    "golang",
    "rust",
    "gcc",
    "erlang",
    "elixir",
    "swift",
    "julia",
    "nginx",
    "httpd",
    "haproxy",
    "eclipse-temurin",
    "maven",
    "gradle",
    "tomcat",
    "jetty",
    "postgres",
    "redis",
    "memcached",
    "mariadb",
    "mongo",
    "wordpress",
    "drupal",
    "joomla",
    "nextcloud",
    "buildpack-deps",
];
/// Last components of images whose `sh` is bash: Red Hat's distributions and related ones.
const BASH: [&str; 11] = [
    "fedora",
    "centos",
    "rockylinux",
    "almalinux",
    "amazonlinux",
    "oraclelinux",
    "amazoncorretto",
    "ubi",
    "ubi-minimal",
    "ubi-init",
    "mysql",
];
/// Last components of images whose `sh` is busybox.
const BUSYBOX: [&str; 3] = ["alpine", "busybox", "traefik"];

/// Parts of a tag that name a distribution with dash.
const DASH_TAGS: [&str; 11] = [
    "slim", "stretch", "buster", "bullseye", "bookworm", "trixie", "bionic", "focal", "jammy",
    "noble", "debian",
];

/// Returns the shell that the container starts, if it stays PID 1.
pub(super) fn shell_as_pid_1(
    container: &Container<'_>,
    image: Option<&ImageReference<'_>>,
) -> Option<ShellAsPid1> {
    let command = shell::list(&container.command)?;
    let args = shell::list(&container.args)?;
    if command.is_empty() && args.is_empty() {
        return None;
    }
    let words = shell::texts(command)?.chain(shell::texts(args)?);
    let Invocation { shell, script } = Invocation::of(words)?;
    let stays = stays(script)?;
    let image = image.and_then(family);
    // The entry points of the known images run their arguments with `exec`; other entry points are
    // not known.
    let (kind, mut certainty) = match (shell, image) {
        (_, None) if command.is_empty() => return None,
        ("bash", _) => (Some(Kind::Bash), Certainty::Certain),
        ("dash", _) => (Some(Kind::Dash), Certainty::Certain),
        ("ash" | "busybox", _) => (Some(Kind::Busybox), Certainty::Certain),
        ("sh", Some((kind, certainty))) => (Some(kind), certainty),
        ("sh", None) => (None, Certainty::Certain),
        _ => return None,
    };
    if command.is_empty() {
        certainty = Certainty::Likely;
    }
    let certainty = match (stays, kind) {
        (Stays::All, _)
        | (Stays::DashAndBash, Some(Kind::Dash | Kind::Bash))
        | (Stays::Dash, Some(Kind::Dash)) => certainty,
        (Stays::DashAndBash, None) => Certainty::Likely,
        (Stays::DashAndBash | Stays::Dash, _) => return None,
    };
    let shell = kind.map(|kind| match kind {
        Kind::Dash => "dash",
        Kind::Bash => "bash",
        Kind::Busybox => "busybox",
    });
    Some(ShellAsPid1 { certainty, shell })
}

/// Returns the shells that stay PID 1 while they run the script; `None` if none does, or if it is
/// not known.
fn stays(script: &str) -> Option<Stays> {
    let items = shell::items(script);
    let mut last = None;
    let mut before = None;
    let mut stays = Stays::Dash;
    for item in &items {
        match item {
            Item::Command(command) => {
                // A shell with a signal handler may forward the signal to the application.
                if runs_by_exec(command) || command.program() == "trap" {
                    return None;
                }
                last = Some((command, before));
            }
            Item::Operator(operator) => before = Some(*operator),
            Item::Unread => return None,
        }
    }
    let (command, before) = last?;
    let ends_list =
        |item: &&Item<'_>| !matches!(item, Item::Operator(Operator::Then | Operator::Group));
    let is_loop = items.iter().any(|item| {
        matches!(item, Item::Command(command) if matches!(command.keyword(), Some("for" | "while" | "until" | "case")))
    });
    let ends_in_background =
        items.iter().rev().find(ends_list) == Some(&Item::Operator(Operator::Background));
    // The shell ends after it has started the background command, and the container ends with it.
    if ends_in_background {
        return None;
    }
    if command.is_reserved() || items.contains(&Item::Operator(Operator::Group)) {
        stays = Stays::DashAndBash;
    }
    if command.redirection == Redirection::Some {
        stays = Stays::DashAndBash;
    }
    let is_of_the_shell = is_of_the_shell(command);
    let is_alone = before.is_none();
    // A script with nothing but a built-in command runs no application that could miss a signal.
    if is_of_the_shell && is_alone {
        return None;
    }
    if is_loop || is_of_the_shell || matches!(before, Some(Operator::Or | Operator::Pipe)) {
        stays = Stays::All;
    }
    Some(stays)
}

/// Returns whether a command, or the command inside a compound command, replaces the shell.
fn runs_by_exec(command: &Command<'_>) -> bool {
    // In `if a; then exec app; fi`, a reserved word is in front.
    let words = command.words.iter().map(Word::certain);
    let mut behind = words.skip_while(|word| *word != Some("exec")).skip(1);
    command.replaces_shell() || command.is_reserved() && behind.next().is_some()
}

/// Returns whether a command is built into the shell, which therefore stays until the command ends.
fn is_of_the_shell(command: &Command<'_>) -> bool {
    matches!(
        command.program(),
        ":" | "true"
            | "false"
            | "echo"
            | "printf"
            | "exit"
            | "return"
            | "wait"
            | "cd"
            | "set"
            | "export"
            | "unset"
            | "kill"
            | "read"
            | "shift"
            | "umask"
    )
}

/// Returns the shell that is `sh` in an image.
fn family(image: &ImageReference<'_>) -> Option<(Kind, Certainty)> {
    let tag = image.tag.unwrap_or_default();
    let has = |words: &[&str]| {
        tag.split(['-', '.', '_']).any(|part| {
            words.iter().any(|word| {
                part.strip_prefix(word)
                    .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
            })
        })
    };
    if has(&["alpine"]) {
        return Some((Kind::Busybox, Certainty::Certain));
    }
    if has(&["ubi", "rhel", "oracle", "oraclelinux", "fedora", "al2"]) {
        return Some((Kind::Bash, Certainty::Certain));
    }
    if has(&["windowsservercore", "nanoserver", "distroless", "musl"]) {
        return None;
    }
    let name = image.repository.rsplit('/').next().unwrap_or_default();
    let is_official = image.repository.strip_suffix(name).is_some_and(|folder| {
        folder.ends_with("library/") || (folder.is_empty() && image.registry == "docker.io")
    });
    let certainty = if is_official { Certainty::Certain } else { Certainty::Likely };
    if BUSYBOX.contains(&name) {
        Some((Kind::Busybox, certainty))
    } else if image.repository.starts_with("ubi") {
        // Such as `ubi9/python-312`.
        Some((Kind::Bash, Certainty::Certain))
    } else if BASH.contains(&name) {
        Some((Kind::Bash, certainty))
    } else if DASH.contains(&name) && is_official {
        Some((Kind::Dash, certainty))
    } else if has(&DASH_TAGS) {
        Some((Kind::Dash, Certainty::Certain))
    } else if DASH.contains(&name) {
        // A private image with the same name.
        Some((Kind::Dash, Certainty::Likely))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pod::Pod;
    use serde_json::{Value, json};

    const DEBIAN: &str = "python:3.12";
    const RED_HAT: &str = "registry.access.redhat.com/ubi9/python-312";
    const ALPINE: &str = "nginx:1.27-alpine";
    const PRIVATE: &str = "registry.example/app:1";

    fn of(container: &Value) -> Option<&'static str> {
        let pod = json!({"spec": {"containers": [container]}});
        let pod = Pod::from_value(&pod);
        let container = pod.spec.value()?.containers.value()?.first()?.value()?;
        let image = container.image.value().and_then(|image| ImageReference::parse(image));
        shell_as_pid_1(container, image.as_ref()).map(|found| found.certainty.word())
    }

    fn script(image: &str, script: &str) -> Option<&'static str> {
        of(&json!({"image": image, "command": ["/bin/sh", "-c", script]}))
    }

    #[test]
    fn the_measured_table() {
        let (certain, likely) = (Some("certain"), Some("likely"));
        for (text, expected) in [
            ("app", [certain, None, None, None]),
            ("exec app", [None; 4]),
            ("exec 2>&1; app", [certain, None, None, None]),
            ("cd /x && app", [certain, None, None, None]),
            ("true; app", [certain, None, None, None]),
            ("A=1 app", [certain, None, None, None]),
            ("envsubst <a >b && nginx -g 'daemon off;'", [certain, None, None, None]),
            ("app 2>&1", [certain, certain, None, likely]),
            ("if x; then app; fi", [certain, certain, None, likely]),
            ("{ app; }", [certain, certain, None, likely]),
            ("app; true", [certain; 4]),
            ("app | cat", [certain; 4]),
            ("app || exit 1", [certain; 4]),
            ("for i in 1 2; do app; done", [certain; 4]),
            ("while true; do app; sleep 1; done", [certain; 4]),
            ("a & b & wait", [certain; 4]),
            ("trap 'kill $P' TERM; app & P=$!; wait", [None; 4]),
            ("if x; then exec a; else exec b; fi", [None; 4]),
            ("set -e\nmigrate\nexec app\n", [None; 4]),
            ("app 'unfinished", [None; 4]),
            ("true", [None; 4]),
            ("", [None; 4]),
        ] {
            let found = [DEBIAN, RED_HAT, ALPINE, PRIVATE].map(|image| script(image, text));
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn the_shell_is_known_by_name_or_image() {
        let app = |image: &str, shell: &str| {
            of(&json!({"image": image, "command": [shell, "-c", "app"]}))
        };
        assert_eq!(app(PRIVATE, "bash"), None);
        assert_eq!(app(PRIVATE, "/bin/dash"), Some("certain"));
        assert_eq!(app(DEBIAN, "/bin/bash"), None);
        for (image, expected) in [
            ("nginx:1.25.3", Some("certain")),
            ("mirror.example/library/node:20", Some("certain")),
            ("mirror.example/ruby:3", Some("likely")),
            ("mcr.microsoft.com/dotnet/aspnet:8.0-bookworm-slim", Some("certain")),
            ("node:20-alpine3.19", None),
            ("openjdk:21", None),
            ("fedora:40", None),
            ("busybox", None),
            ("distroless/python3", None),
        ] {
            assert_eq!(app(image, "sh"), expected, "{image}");
        }
    }

    #[test]
    fn arguments_alone_go_through_the_image_s_entry_point() {
        let args = |image: &str| of(&json!({"image": image, "args": ["sh", "-c", "app; true"]}));
        assert_eq!(args(DEBIAN), Some("likely"));
        assert_eq!(args(PRIVATE), None);
        let split = json!({"image": DEBIAN, "command": ["sh", "-c"], "args": ["app"]});
        assert_eq!(of(&split), Some("certain"));
        assert_eq!(
            of(&json!({"image": DEBIAN, "command": ["tini", "--", "sh", "-c", "app"]})),
            None
        );
        assert_eq!(of(&json!({"image": DEBIAN, "command": ["sh", "start.sh"]})), None);
    }
}
