//! The time that an application takes to stop, according to its arguments and its environment
//! (`docs/rules.md`, section 3). Only explicit values count, not an application's default: a pod
//! without one keeps its grace period.
//!
//! | option | unit | documentation |
//! |---|---|---|
//! | gunicorn `--graceful-timeout`, also in `GUNICORN_CMD_ARGS` | s | <https://docs.gunicorn.org/en/stable/settings.html#graceful-timeout> |
//! | hypercorn `--graceful-timeout` | s | <https://hypercorn.readthedocs.io/en/latest/how_to_guides/configuring.html> |
//! | uvicorn `--timeout-graceful-shutdown`, `UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN` | s | <https://www.uvicorn.org/settings/#timeouts> |
//! | Spring Boot `spring.lifecycle.timeout-per-shutdown-phase` (argument, system property, variable) | `30s`, `PT30S`, ms | <https://docs.spring.io/spring-boot/reference/web/graceful-shutdown.html> |
//! | Quarkus `quarkus.shutdown.timeout` (system property, variable) | `30s`, `PT30S`, s | <https://quarkus.io/guides/lifecycle#graceful-shutdown> |
//! | ASP.NET Core `ASPNETCORE_SHUTDOWNTIMEOUTSECONDS`, `DOTNET_SHUTDOWNTIMEOUTSECONDS` | s | <https://learn.microsoft.com/aspnet/core/fundamentals/host/generic-host#shutdowntimeout> |
//! | sidekiq `-t`, `--timeout` | s | <https://github.com/sidekiq/sidekiq/wiki/Advanced-Options> |
//! | celery worker `--time-limit`: no task runs longer | s | <https://docs.celeryq.dev/en/stable/userguide/workers.html#time-limits> |
//! | Envoy `--drain-time-s` | s | <https://www.envoyproxy.io/docs/envoy/latest/operations/cli> |
//! | Traefik `graceTimeOut` and `requestAcceptGraceTimeout` of an entry point (argument, variable) | `30s`, s | <https://doc.traefik.io/traefik/routing/entrypoints/#lifecycle> |
//! | nginx `worker_shutdown_timeout`, set with `-g` | `30s`, s | <https://nginx.org/en/docs/ngx_core_module.html#worker_shutdown_timeout> |
//!
//! Puma's `force_shutdown_after` and `HAProxy`'s `hard-stop-after` can be set only in files.

use super::pod::{Container, Variable};
use super::shell::{self, Invocation, Item, Word, base_name};

/// A timeout that is set for an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OwnTimeout {
    /// Whole seconds, rounded up.
    pub(super) seconds: i64,
    /// The option or variable that sets the timeout.
    pub(super) option: &'static str,
}

/// Notation of a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// A number of seconds, or a duration with units: `30`, `30s`, `1m30s`, `PT30S`.
    Seconds,
    /// The same, except that a plain number is in milliseconds.
    Milliseconds,
}

/// An option that is recognised by its name alone.
struct Property {
    /// Name in lower case, without `-` and `_`.
    name: &'static str,
    unit: Unit,
    shown: &'static str,
}

const PROPERTIES: [Property; 2] = [
    Property {
        name: "spring.lifecycle.timeoutpershutdownphase",
        unit: Unit::Milliseconds,
        shown: "spring.lifecycle.timeout-per-shutdown-phase",
    },
    Property {
        name: "quarkus.shutdown.timeout",
        unit: Unit::Seconds,
        shown: "quarkus.shutdown.timeout",
    },
];

/// Length of `QUARKUSSHUTDOWNTIMEOUT`, the shortest variable of a property. Most variables of a pod
/// are shorter.
const SHORTEST_VARIABLE: usize = 22;

/// An argument of certain programs. Its value is the next argument or follows `=`.
struct Flag {
    names: &'static [&'static str],
    /// The programs with this flag. Depending on `needs_program`, it is also accepted if no program
    /// is given.
    programs: &'static [&'static str],
    needs_program: NeedsProgram,
}

#[derive(PartialEq, Eq)]
enum NeedsProgram {
    /// The program has to be given, because other programs have a flag with this name.
    Always,
    /// The program may be the image's entry point.
    UnlessOfImage,
}

const FLAGS: [Flag; 6] = [
    Flag {
        names: &["--graceful-timeout"],
        programs: &["gunicorn", "hypercorn"],
        needs_program: NeedsProgram::UnlessOfImage,
    },
    Flag {
        names: &["--timeout-graceful-shutdown"],
        programs: &["uvicorn"],
        needs_program: NeedsProgram::UnlessOfImage,
    },
    Flag {
        names: &["--drain-time-s"],
        programs: &["envoy"],
        needs_program: NeedsProgram::UnlessOfImage,
    },
    Flag {
        names: &["-t", "--timeout"],
        programs: &["sidekiq"],
        needs_program: NeedsProgram::Always,
    },
    Flag { names: &["--time-limit"], programs: &["celery"], needs_program: NeedsProgram::Always },
    Flag {
        names: &["-g"],
        programs: &["nginx", "nginx-debug", "openresty"],
        needs_program: NeedsProgram::Always,
    },
];

/// Variables with options of a Java virtual machine.
const JAVA_OPTIONS: [&str; 6] = [
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    "JAVA_OPTS",
    "JAVA_OPTIONS",
    "CATALINA_OPTS",
];

/// Variables with a number of seconds.
const SECONDS: [&str; 3] = [
    "UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN",
    "ASPNETCORE_SHUTDOWNTIMEOUTSECONDS",
    "DOTNET_SHUTDOWNTIMEOUTSECONDS",
];

const GUNICORN_ARGUMENTS: &str = "GUNICORN_CMD_ARGS";
const GRACE_TIMEOUT: &str = "graceTimeOut";
const WORKER_SHUTDOWN_TIMEOUT: &str = "worker_shutdown_timeout";

/// Returns whether a variable with this name can set the time that an application takes.
pub(super) fn is_of_a_timeout(name: &str) -> bool {
    // Nearly every name is rejected by its first letter.
    match name.as_bytes().first() {
        Some(b'S' | b'Q') => variable_property(name).is_some(),
        Some(b'A' | b'D' | b'U') => SECONDS.contains(&name),
        Some(b'C' | b'J') => JAVA_OPTIONS.contains(&name),
        Some(b'_') => JAVA_OPTIONS.contains(&name) || variable_property(name).is_some(),
        Some(b'G') => name == GUNICORN_ARGUMENTS,
        Some(b'T') => Traefik::of_variable(name).is_some(),
        _ => false,
    }
}

/// Returns the timeout in the container's arguments, otherwise the one in its environment.
pub(super) fn own_timeout(container: &Container<'_>) -> Option<OwnTimeout> {
    let found = of_arguments(container).or_else(|| of_environment(container));
    // 0 means "immediately" for some applications, and "no limit" for others.
    found.filter(|found| found.seconds > 0)
}

fn of_arguments(container: &Container<'_>) -> Option<OwnTimeout> {
    let command = shell::list(&container.command)?;
    let args = shell::list(&container.args)?;
    if command.is_empty() && args.is_empty() {
        return None;
    }
    let words = || Some(shell::texts(command)?.chain(shell::texts(args)?));
    if let Some(Invocation { script, .. }) = Invocation::of(words()?) {
        if !may_say(script) {
            return None;
        }
        return shell::items(script).iter().rev().find_map(|item| match item {
            Item::Command(command) => {
                of_words(command.words.iter().map(Word::certain), Program::Given)
            }
            Item::Operator(_) | Item::Unread => None,
        });
    }
    if !words()?.any(may_say) {
        return None;
    }
    let program = if command.is_empty() { Program::OfImage } else { Program::Given };
    of_words(words()?.map(Some), program)
}

/// The program that is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    /// One of the words: the first, or a later one (`bundle exec sidekiq`).
    Given,
    /// The image's entry point, which is not known.
    OfImage,
}

/// Returns whether an argument may contain a timeout. Nearly every argument is rejected here.
fn may_say(text: &str) -> bool {
    text.contains("time") || text.contains("Time") || text.contains("-t")
}

/// Returns the timeout in the words of one command. A word that is not certain is `None`.
fn of_words<'w>(
    words: impl Iterator<Item = Option<&'w str>>,
    program: Program,
) -> Option<OwnTimeout> {
    let mut flags: Vec<&Flag> = Vec::new();
    if program == Program::OfImage {
        flags.extend(FLAGS.iter().filter(|flag| flag.needs_program == NeedsProgram::UnlessOfImage));
    }
    let mut found = None;
    let mut traefik = Traefik::default();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let Some(word) = word else { continue };
        if !word.starts_with('-') {
            let name = base_name(word);
            flags.extend(FLAGS.iter().filter(|flag| flag.programs.contains(&name)));
            continue;
        }
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let following = || words.peek().copied().flatten();
        if let Some(flag) = flags.iter().find(|flag| flag.names.contains(&name)) {
            let value = value.or_else(following);
            found = value.and_then(|value| flag.read(name, value)).or(found);
        } else if let Some((property, value)) = property(word) {
            found = property.read(value).or(found);
        } else {
            traefik.read(name.trim_start_matches('-'), value.unwrap_or_default());
        }
    }
    found.or_else(|| traefik.timeout())
}

impl Flag {
    fn read(&self, name: &str, value: &str) -> Option<OwnTimeout> {
        let option = *self.names.iter().find(|known| **known == name)?;
        if option == "-g" {
            let (_, behind) = value.split_once(WORKER_SHUTDOWN_TIMEOUT)?;
            let (value, _) = behind.split_once(';')?;
            let seconds = seconds(value.trim(), Unit::Seconds)?;
            return Some(OwnTimeout { seconds, option: WORKER_SHUTDOWN_TIMEOUT });
        }
        let seconds = decimal(value, 1)?;
        Some(OwnTimeout { seconds, option })
    }
}

/// Parses `-Dname=value` of a Java virtual machine and `--name=value` of Spring Boot.
fn property(word: &str) -> Option<(&'static Property, &str)> {
    let (name, value) = word.split_once('=')?;
    let name = name.strip_prefix("-D").or_else(|| name.strip_prefix("--"))?;
    let is_it = |property: &&Property| {
        let mut wanted = property.name.bytes();
        let mut given = name.bytes().filter(|byte| !matches!(byte, b'-' | b'_'));
        given.all(|byte| wanted.next() == Some(byte.to_ascii_lowercase()))
            && wanted.next().is_none()
    };
    PROPERTIES.iter().find(is_it).map(|property| (property, value))
}

/// Returns the property of a variable such as `SPRING_LIFECYCLE_TIMEOUT_PER_SHUTDOWN_PHASE`, which
/// may lack its last underscores.
fn variable_property(name: &str) -> Option<&'static Property> {
    if name.len() < SHORTEST_VARIABLE {
        return None;
    }
    let letters = |name: &'static str| name.bytes().filter(|byte| *byte != b'.');
    PROPERTIES.iter().find(|property| {
        let mut wanted = letters(property.name);
        let mut given = name.bytes().filter(|byte| *byte != b'_');
        given.all(|byte| {
            byte.is_ascii_uppercase() && wanted.next() == Some(byte.to_ascii_lowercase())
        }) && wanted.next().is_none()
    })
}

impl Property {
    fn read(&self, value: &str) -> Option<OwnTimeout> {
        Some(OwnTimeout { seconds: seconds(value, self.unit)?, option: self.shown })
    }
}

fn of_environment(container: &Container<'_>) -> Option<OwnTimeout> {
    let variables = &container.env.value()?.0;
    // A system property takes precedence over a variable for the same property.
    let system = variables.iter().filter_map(of_options);
    let plain = variables.iter().filter_map(of_variable);
    let mut traefik = Traefik::default();
    for (name, value) in variables.iter().filter_map(parts) {
        traefik.read_variable(name, value);
    }
    system.chain(plain).next().or_else(|| traefik.timeout())
}

/// Returns the name and value of a variable. The kubelet replaces `$(OTHER)` in a value, so such a
/// value is not certain.
fn parts<'v>(variable: &'v Variable<'_>) -> Option<(&'v str, &'v str)> {
    let (name, value) = (variable.name.value()?, variable.value.value()?);
    (!value.contains("$(")).then_some((name.as_ref(), value.as_ref()))
}

fn of_options(variable: &Variable<'_>) -> Option<OwnTimeout> {
    let (name, value) = parts(variable)?;
    if name == GUNICORN_ARGUMENTS {
        let words = std::iter::once("gunicorn").chain(value.split_ascii_whitespace());
        return of_words(words.map(Some), Program::Given);
    }
    if !JAVA_OPTIONS.contains(&name) {
        return None;
    }
    value
        .split_ascii_whitespace()
        .filter_map(property)
        .filter_map(|(known, value)| known.read(value))
        .next_back()
}

fn of_variable(variable: &Variable<'_>) -> Option<OwnTimeout> {
    let (name, value) = parts(variable)?;
    if let Some(option) = SECONDS.into_iter().find(|known| *known == name) {
        return Some(OwnTimeout { seconds: decimal(value, 1)?, option });
    }
    variable_property(name)?.read(value)
}

/// The longest times of Traefik's entry points, in seconds: it continues to accept requests for the
/// first, and then finishes open requests within the second.
#[derive(Debug, Clone, Copy, Default)]
struct Traefik {
    accept: i64,
    grace: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
enum TraefikTime {
    Accept,
    Grace,
}

impl Traefik {
    fn of_option(name: &str) -> Option<TraefikTime> {
        const ACCEPT: &str = ".transport.lifecycle.requestacceptgracetimeout";
        const GRACE: &str = ".transport.lifecycle.gracetimeout";
        let ends = |end: &str| {
            let from = name.len().checked_sub(end.len());
            from.and_then(|from| name.get(from..)).is_some_and(|own| own.eq_ignore_ascii_case(end))
        };
        if ends(GRACE) {
            Some(TraefikTime::Grace)
        } else if ends(ACCEPT) {
            Some(TraefikTime::Accept)
        } else {
            None
        }
    }

    fn of_variable(name: &str) -> Option<TraefikTime> {
        let own = name.strip_prefix("TRAEFIK_ENTRYPOINTS_")?;
        if own.ends_with("_TRANSPORT_LIFECYCLE_GRACETIMEOUT") {
            Some(TraefikTime::Grace)
        } else if own.ends_with("_TRANSPORT_LIFECYCLE_REQUESTACCEPTGRACETIMEOUT") {
            Some(TraefikTime::Accept)
        } else {
            None
        }
    }

    fn read(&mut self, name: &str, value: &str) {
        if let Some(time) = Self::of_option(name) {
            self.add(time, value);
        }
    }

    fn read_variable(&mut self, name: &str, value: &str) {
        if let Some(time) = Self::of_variable(name) {
            self.add(time, value);
        }
    }

    fn add(&mut self, time: TraefikTime, value: &str) {
        let Some(seconds) = seconds(value, Unit::Seconds) else { return };
        match time {
            TraefikTime::Accept => self.accept = self.accept.max(seconds),
            TraefikTime::Grace => self.grace = Some(self.grace.unwrap_or(0).max(seconds)),
        }
    }

    fn timeout(self) -> Option<OwnTimeout> {
        let seconds = self.grace?.saturating_add(self.accept);
        Some(OwnTimeout { seconds, option: GRACE_TIMEOUT })
    }
}

/// Parses `30`, `30s`, `1m30s`, `500ms`, `PT1M30S`; returns seconds, rounded up.
fn seconds(text: &str, unit: Unit) -> Option<i64> {
    let text = text.trim_matches(['"', '\'']);
    let bare = match unit {
        Unit::Seconds => 1000,
        Unit::Milliseconds => 1,
    };
    let milliseconds = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse::<i64>().ok()?.saturating_mul(bare)
    } else {
        let body = text.strip_prefix("PT").or_else(|| text.strip_prefix("pt")).unwrap_or(text);
        with_units(body)?
    };
    Some(milliseconds / 1000 + i64::from(milliseconds % 1000 > 0))
}

/// Parses a duration such as `1m30s`; returns milliseconds.
fn with_units(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut sum = 0_i64;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let letters = behind.find(|letter: char| !letter.is_ascii_alphabetic());
        let (unit, next) = behind.split_at_checked(letters.unwrap_or(behind.len()))?;
        let factor = match unit {
            "ms" => 1,
            "s" | "S" => 1000,
            "m" | "M" => 60_000,
            "h" | "H" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        sum = sum.saturating_add(decimal(number, factor)?);
        rest = next;
    }
    (!text.is_empty()).then_some(sum)
}

/// Parses a number with or without a fraction; returns its product with `factor`, rounded up.
fn decimal(text: &str, factor: i64) -> Option<i64> {
    let text = text.trim_matches(['"', '\'']);
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || text.len() > 18 || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let unit = 10_i64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let fraction: i64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scaled = fraction.saturating_mul(factor);
    let part = scaled / unit + i64::from(scaled % unit > 0);
    Some(whole.parse::<i64>().ok()?.saturating_mul(factor).saturating_add(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pod::Pod;
    use serde_json::{Value, json};

    fn of(container: &Value) -> Option<(i64, &'static str)> {
        let pod = json!({"spec": {"containers": [container]}});
        let pod = Pod::from_value(&pod);
        let container = pod.spec.value()?.containers.value()?.first()?.value()?;
        own_timeout(container).map(|found| (found.seconds, found.option))
    }

    fn command(words: &[&str]) -> Option<(i64, &'static str)> {
        of(&json!({"command": words}))
    }

    fn env(name: &str, value: &str) -> Option<(i64, &'static str)> {
        of(&json!({"env": [{"name": "OTHER", "value": "1"}, {"name": name, "value": value}]}))
    }

    #[test]
    fn every_variable_that_is_looked_for_is_read() {
        let known = SECONDS.iter().chain(&JAVA_OPTIONS).chain(&[GUNICORN_ARGUMENTS]);
        let properties = PROPERTIES.iter().map(|property| property.name.to_ascii_uppercase());
        let properties = properties.map(|name| name.replace('.', "_"));
        let short = properties.clone().map(|name| name.replace('_', ""));
        for name in known.map(|name| (*name).to_owned()).chain(properties).chain(short) {
            assert!(is_of_a_timeout(&name), "{name}");
        }
        assert!(is_of_a_timeout("TRAEFIK_ENTRYPOINTS_WEB_TRANSPORT_LIFECYCLE_GRACETIMEOUT"));
        for name in ["", "S", "SERVICE_HOST", "DATABASE_URL", "JAVA_HOME", "TZ", "é"] {
            assert!(!is_of_a_timeout(name), "{name}");
        }
    }

    #[test]
    fn flags_of_programs() {
        for (words, expected) in [
            (&["gunicorn", "app:app", "--graceful-timeout", "60"][..], 60),
            (&["/venv/bin/gunicorn", "--graceful-timeout=60", "app:app"], 60),
            (&["python", "-m", "gunicorn", "--graceful-timeout", "60.5", "app"], 61),
            (&["hypercorn", "--graceful-timeout", "60", "app"], 60),
            (&["uvicorn", "app:app", "--timeout-graceful-shutdown", "60"], 60),
            (&["bundle", "exec", "sidekiq", "-t", "60"], 60),
            (&["sidekiq", "--timeout=60"], 60),
            (&["celery", "-A", "x", "worker", "--time-limit=60"], 60),
            (&["envoy", "-c", "x.yaml", "--drain-time-s", "60"], 60),
            (&["java", "-Dspring.lifecycle.timeout-per-shutdown-phase=60s", "-jar", "x.jar"], 60),
            (&["java", "-jar", "x.jar", "--spring.lifecycle.timeoutPerShutdownPhase=PT1M"], 60),
            (&["java", "-Dquarkus.shutdown.timeout=60", "-jar", "x.jar"], 60),
            (&["traefik", "--entryPoints.web.transport.lifeCycle.graceTimeOut=60"], 60),
            (&["nginx", "-g", "daemon off; worker_shutdown_timeout 1m;"], 60),
            (&["sh", "-c", "gunicorn app:app --graceful-timeout 60"], 60),
            (&["/bin/bash", "-c", "migrate && exec gunicorn --graceful-timeout '60' app"], 60),
            (
                &["sh", "-c", "exec java -Dspring.lifecycle.timeout-per-shutdown-phase=60s -jar x"],
                60,
            ),
            (&["sh", "-c", "nginx -g 'daemon off; worker_shutdown_timeout 60s;'"], 60),
        ] {
            assert_eq!(command(words).map(|found| found.0), Some(expected), "{words:?}");
        }
        let split =
            json!({"command": ["sh", "-c"], "args": ["gunicorn --graceful-timeout 60 app"]});
        assert_eq!(of(&split), Some((60, "--graceful-timeout")));
    }

    #[test]
    fn arguments_of_the_image_s_own_program() {
        let args = |words: &[&str]| of(&json!({"args": words})).map(|found| found.0);
        assert_eq!(args(&["--graceful-timeout", "60", "app:app"]), Some(60));
        assert_eq!(args(&["--timeout-graceful-shutdown=60"]), Some(60));
        let traefik = [
            "--entrypoints.web.transport.lifecycle.gracetimeout=50s",
            "--entrypoints.web.transport.lifecycle.requestacceptgracetimeout=10",
            "--entrypoints.tls.transport.lifecycle.gracetimeout=20s",
        ];
        assert_eq!(args(&traefik), Some(60));
        // `-t` could be a flag of any program.
        assert_eq!(args(&["-t", "60"]), None);
    }

    #[test]
    fn variables() {
        for (name, value, expected) in [
            ("SPRING_LIFECYCLE_TIMEOUT_PER_SHUTDOWN_PHASE", "60s", 60),
            ("SPRING_LIFECYCLE_TIMEOUTPERSHUTDOWNPHASE", "PT1M0.5S", 61),
            ("SPRING_LIFECYCLE_TIMEOUT_PER_SHUTDOWN_PHASE", "60000", 60),
            ("JAVA_TOOL_OPTIONS", "-Xmx1g -Dspring.lifecycle.timeout-per-shutdown-phase=1m", 60),
            ("JAVA_OPTS", "-Dspring.lifecycle.timeout-per-shutdown-phase=60s", 60),
            ("QUARKUS_SHUTDOWN_TIMEOUT", "60", 60),
            ("GUNICORN_CMD_ARGS", "--workers 2 --graceful-timeout=60", 60),
            ("UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN", "60", 60),
            ("ASPNETCORE_SHUTDOWNTIMEOUTSECONDS", "60", 60),
            ("TRAEFIK_ENTRYPOINTS_WEB_TRANSPORT_LIFECYCLE_GRACETIMEOUT", "60", 60),
        ] {
            assert_eq!(env(name, value).map(|found| found.0), Some(expected), "{name}={value}");
        }
    }

    #[test]
    fn arguments_are_stronger_than_the_environment() {
        let container = json!({
            "command": ["java", "-Dspring.lifecycle.timeout-per-shutdown-phase=40s", "-jar", "x"],
            "env": [{"name": "SPRING_LIFECYCLE_TIMEOUT_PER_SHUTDOWN_PHASE", "value": "60s"}],
        });
        assert_eq!(of(&container).map(|found| found.0), Some(40));
    }

    #[test]
    fn what_is_not_certain_is_not_taken() {
        for words in [
            &["gunicorn", "app:app"][..],
            &["gunicorn", "--graceful-timeout"],
            &["gunicorn", "--graceful-timeout", "soon"],
            &["gunicorn", "--graceful-timeout", "0"],
            &["gunicorn", "--graceful-timeout", "-5"],
            &["app", "--graceful-timeout", "60"],
            &["app", "-t", "60"],
            &["sh", "-c", "gunicorn --graceful-timeout $TIMEOUT app"],
            &["sh", "-c", "gunicorn --graceful-timeout \"${T:-60}\" app"],
            &["java", "-Dspring.lifecycle.timeout-per-shutdown-phase=soon"],
            &["nginx", "-g", "daemon off;"],
        ] {
            assert_eq!(command(words), None, "{words:?}");
        }
        for (name, value) in [
            ("SPRING_LIFECYCLE_TIMEOUT_PER_SHUTDOWN_PHASE", "$(TIMEOUT)"),
            ("SPRING_LIFECYCLE_TIMEOUT_PER_SHUTDOWN_PHASE", ""),
            ("JAVA_OPTS", "-Xmx1g"),
            ("GRACEFUL_TIMEOUT", "60"),
        ] {
            assert_eq!(env(name, value), None, "{name}={value}");
        }
        let from = json!({"env": [{"name": "QUARKUS_SHUTDOWN_TIMEOUT", "valueFrom": {"x": 1}}]});
        assert_eq!(of(&from), None);
        assert_eq!(of(&json!({"command": "x", "args": ["--graceful-timeout", "60"]})), None);
        assert_eq!(of(&json!({"args": ["--graceful-timeout", 60]})), None);
    }
}
