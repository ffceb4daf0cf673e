//! Problems of an existing hook that make it ineffective (`docs/rules.md`, section 10). The hook is
//! never changed; only certain problems are reported.

use crate::catalogue::{Presence, ProfileHook, Programs};

use super::container::{Candidate, Context, Ending, Place, Standing};
use super::own_hook::{OwnHook, Rest, Run};
use super::own_hook_end::{Application, Effect};
use super::pod::{Exec, PreStop};
use super::reason::{Aspect, Problem, ProblemCode};
use super::shell::{self, base_name, is_shell};

/// Shortest time in which endpoints are withdrawn ([source of the figure](../../docs/delays.md)).
const SHORTEST_DELAY_SECONDS: i64 = 5;
/// The kubelet's `minimumGracePeriodInSeconds`: the time that the application always has after the
/// hook.
const LEAST_GRACE_SECONDS: i64 = 2;
/// Length limit for a command in a report, in characters.
const SHOWN_CHARACTERS: usize = 40;

/// The handler of a hook.
enum Handler<'h, 'a> {
    Sleep,
    Exec(&'h Exec<'a>),
    TcpSocket,
}

/// Returns the problems of a hook, each code at most once.
pub(super) fn of(
    candidate: &Candidate<'_>,
    context: &Context<'_>,
    grace_seconds: i64,
) -> Vec<Problem> {
    let Standing::OwnHook(hook) = &candidate.standing else { return Vec::new() };
    let problem = |(code, detail): (ProblemCode, String)| {
        Problem::new(code, format!("container {}", candidate.name), detail)
    };
    let of_end = |(aspect, detail): (Option<Aspect>, String)| {
        problem((ProblemCode::OwnHookDoesNotWait, detail)).with_aspect(aspect)
    };
    let container = candidate.container;
    let handler =
        container.and_then(|container| handler(container.lifecycle.value()?.pre_stop.value()?));
    // It is not known which programs a Windows image has.
    if let Some(Handler::Exec(exec)) = handler
        && !context.is_for_windows
        && let Some(program) = absent(exec, candidate.programs.get())
    {
        let detail = format!("the image has no {program}");
        return vec![problem((ProblemCode::OwnHookCannotStart, detail))];
    }
    match handler {
        Some(Handler::TcpSocket) => {
            vec![problem((ProblemCode::OwnHookAlwaysFails, "tcpSocket".to_owned()))]
        }
        Some(Handler::Exec(_)) if context.is_for_windows => Vec::new(),
        Some(Handler::Exec(_) | Handler::Sleep) => {
            let Some(hook) = hook else { return Vec::new() };
            let subject = Subject { candidate, context, hook };
            let found = [
                subject.too_short().map(problem),
                subject.does_not_wait().map(of_end),
                fills(hook, grace_seconds).map(problem),
            ];
            found.into_iter().flatten().collect()
        }
        None => Vec::new(),
    }
}

/// Returns the problem of an extended hook: its command may still drop requests.
pub(super) fn of_extension(candidate: &Candidate<'_>, context: &Context<'_>) -> Option<Problem> {
    let program = candidate.extension.as_ref()?.program.as_ref()?;
    let subject = Subject { candidate, context, hook: &program.content };
    let End { effect: Effect::Drops, run, .. } = subject.end()? else { return None };
    let detail = format!("{} drops the requests in flight", shown(run));
    let place = format!("container {}", candidate.name);
    Some(Problem::new(ProblemCode::OwnHookDoesNotWait, place, detail))
}

/// Returns the handler of a hook; `None` for `httpGet`, for no handler, and for more than one,
/// which the API server refuses.
fn handler<'h, 'a>(hook: &'h PreStop<'a>) -> Option<Handler<'h, 'a>> {
    let is_set = [
        !hook.sleep.is_absent(),
        !hook.exec.is_absent(),
        !hook.http_get.is_absent(),
        !hook.tcp_socket.is_absent(),
    ];
    match is_set {
        [true, false, false, false] => Some(Handler::Sleep),
        [false, true, false, false] => hook.exec.value().map(Handler::Exec),
        [false, false, false, true] => Some(Handler::TcpSocket),
        _ => None,
    }
}

/// Returns the shell or `sleep` that a hook runs although the image is known not to have it.
fn absent<'e>(exec: &'e Exec<'_>, programs: Programs) -> Option<&'e str> {
    let mut arguments = shell::texts(exec.command.value()?)?;
    let mut program = arguments.next()?;
    if base_name(program) == "env" {
        program = arguments.find(|argument| !argument.contains('=') && *argument != "-i")?;
    }
    // In another folder, an image may have a shell of its own: `/busybox/sh`.
    let folder = program.rsplit_once('/').map(|(folder, _)| folder);
    if !matches!(folder, None | Some("/bin" | "/usr/bin")) {
        return None;
    }
    let presence = match base_name(program) {
        "sleep" => programs.sleep,
        name if is_shell(name) => programs.shell,
        _ => return None,
    };
    (presence == Presence::Absent).then_some(program)
}

fn fills(hook: &OwnHook<'_>, grace_seconds: i64) -> Option<(ProblemCode, String)> {
    let longest = grace_seconds.saturating_sub(LEAST_GRACE_SECONDS);
    (hook.seconds > 0 && hook.seconds >= longest).then(|| {
        let detail = format!("sleeps {}s of {grace_seconds}s", hook.seconds);
        (ProblemCode::OwnHookFillsGrace, detail)
    })
}

/// A hook that is understood, with its container.
struct Subject<'s, 'a> {
    candidate: &'s Candidate<'a>,
    context: &'s Context<'a>,
    hook: &'s OwnHook<'a>,
}

/// The first command of a hook that ends the application.
struct End<'h, 'a> {
    before: &'h [Run<'a>],
    run: &'h Run<'a>,
    after: &'h [Run<'a>],
    effect: Effect,
}

impl Subject<'_, '_> {
    fn too_short(&self) -> Option<(ProblemCode, String)> {
        let delay = self.delay()?;
        let is_left_alone =
            self.candidate.known.is_some_and(|profile| profile.hook == ProfileHook::LeaveAlone);
        let is_sidecar = matches!(self.candidate.place, Place::Sidecar { .. });
        let needed = SHORTEST_DELAY_SECONDS.min(self.candidate.asked_least_seconds);
        ((1..needed).contains(&delay) && !is_left_alone && !is_sidecar)
            .then(|| (ProblemCode::OwnHookTooShort, format!("sleeps {delay}s")))
    }

    /// Returns for how many seconds the hook delays, if it does nothing else except end the
    /// application afterwards.
    fn delay(&self) -> Option<i64> {
        if let Some(End { before, run, .. }) = self.end() {
            return before.iter().all(is_instant).then_some(run.after_seconds);
        }
        let is_plain = self.hook.rest == Rest::Nothing && self.hook.commands.iter().all(is_instant);
        is_plain.then_some(self.hook.seconds)
    }

    fn does_not_wait(&self) -> Option<(Option<Aspect>, String)> {
        let End { before, run, after, effect } = self.end()?;
        let is_at_once = run.after_seconds == 0
            && before.iter().all(is_instant)
            && self.candidate.delay_seconds > 0;
        let is_cut = self.candidate.ending == Ending::Abrupt
            && self.hook.rest == Rest::Nothing
            && self.hook.seconds == run.after_seconds
            && after.iter().all(is_instant);
        let why = match (effect, is_at_once, is_cut) {
            (Effect::Drops, _, _) => "drops the requests in flight",
            (Effect::Finishes, true, true) => {
                "runs without a delay before it and a wait after it: the stop signal cuts it off"
            }
            (Effect::Finishes, true, false) => {
                "runs without a delay before it, while requests still arrive"
            }
            (Effect::Finishes, false, true) => {
                "runs without a wait after it: the stop signal cuts it off"
            }
            (Effect::Finishes, false, false) => return None,
        };
        let is_cut_off = effect == Effect::Finishes && is_cut;
        Some((is_cut_off.then_some(Aspect::CutOff), format!("{} {why}", shown(run))))
    }

    fn end(&self) -> Option<End<'_, '_>> {
        let application = Application { candidate: self.candidate, context: self.context };
        let commands = self.hook.commands.as_slice();
        let (place, effect) = commands
            .iter()
            .enumerate()
            .find_map(|(place, run)| Some((place, application.effect(&run.command)?)))?;
        let (before, rest) = commands.split_at_checked(place)?;
        let (run, after) = rest.split_first()?;
        Some(End { before, run, after, effect })
    }
}

/// Returns the beginning of a command, for reports.
fn shown(run: &Run<'_>) -> String {
    let command = run.command.text();
    base_name_first(&command).chars().take(SHOWN_CHARACTERS).collect()
}

/// Removes the folder of a command's program.
fn base_name_first(command: &str) -> &str {
    let end = command.find(' ').unwrap_or(command.len());
    let (program, _) = command.split_at(end);
    command.get(program.len() - base_name(program).len()..).unwrap_or(command)
}

/// Returns whether a command only prints text.
pub(super) fn is_instant(run: &Run<'_>) -> bool {
    matches!(run.command.program(), "echo" | "printf" | "date" | "/bin/echo")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::engine::decide;
    use crate::engine::pod::Pod;
    use crate::engine::settings::NamespaceSettings;
    use crate::policy::{NamespaceRule, Policy};

    /// Returns code and detail of the problems reported for a pod.
    fn told_of(pod: &Value) -> Vec<String> {
        let policy = Policy { namespaces: NamespaceRule::NotDisabled, ..Policy::built_in() };
        let pod = Pod::from_value(pod);
        let namespace = NamespaceSettings::default();
        let decision = decide(&pod, &namespace, &policy);
        let problems = decision.problems.iter();
        problems.map(|problem| format!("{}: {}", problem.code.code(), problem.detail)).collect()
    }

    fn told(image: &str, hook: &Value) -> Vec<String> {
        told_of(&json!({"spec": {"containers": [
            {"name": "web", "image": image, "lifecycle": {"preStop": hook}},
        ]}}))
    }

    fn codes(image: &str, hook: &Value) -> Vec<String> {
        let told = told(image, hook);
        told.iter().filter_map(|told| Some(told.split_once(':')?.0.to_owned())).collect()
    }

    fn exec(command: &[&str]) -> Value {
        json!({"exec": {"command": command}})
    }

    fn script(script: &str) -> Value {
        exec(&["/bin/sh", "-c", script])
    }

    const NOTHING: [&str; 0] = [];

    #[test]
    fn short_delays() {
        let sleep = |seconds: i64| json!({"sleep": {"seconds": seconds}});
        for hook in [
            sleep(1),
            sleep(4),
            exec(&["sleep", "3"]),
            exec(&["env", "sleep", "3"]),
            exec(&["/bin/bash", "-c", "sleep 1; sleep 2s"]),
            script("echo bye; sleep 3"),
            script("sleep 2; nginx -s quit; sleep 20"),
        ] {
            assert_eq!(codes("app", &hook), ["own-hook-too-short"], "{hook}");
        }
        for hook in [
            sleep(0),
            sleep(5),
            exec(&["sleep", "0"]),
            exec(&["/app/drain"]),
            script("sleep 3; /app/drain"),
            script("sleep 3; while true; do sleep 1; done"),
            script("sleep $DELAY"),
            json!({"httpGet": {"port": 80}}),
            json!({"httpGet": {"port": 80}, "sleep": {"seconds": 3}}),
            json!({}),
        ] {
            assert_eq!(told("app", &hook), NOTHING, "{hook}");
        }
        // Sidecars, and applications with their own stop procedure.
        for image in ["istio/proxyv2:1.20.0", "rabbitmq:3"] {
            assert_eq!(told(image, &sleep(3)), NOTHING, "{image}");
        }
        // For authors who set a shorter delay, or none.
        for (delay, count) in [("0s", 0), ("3s", 0), ("4s", 1), ("1m", 1)] {
            let pod = json!({
                "metadata": {"annotations": {"prestop.dev/delay": delay}},
                "spec": {"containers": [{"name": "web", "lifecycle": {"preStop": sleep(3)}}]},
            });
            assert_eq!(told_of(&pod).len(), count, "{delay}");
        }
    }

    #[test]
    fn quits_in_every_spelling() {
        let nginx = "nginx:1.15";
        for (image, hook) in [
            (nginx, exec(&["/usr/sbin/nginx", "-s", "quit"])),
            (nginx, exec(&["nginx", "-c", "/etc/nginx/nginx.conf", "-s", "quit"])),
            (nginx, exec(&["sh", "-c", "nginx -s quit"])),
            (nginx, exec(&["bash", "-c", "sleep 5; nginx -s quit"])),
            (nginx, script("sleep 5 && exec /usr/sbin/nginx -squit")),
            (nginx, script("sleep $DELAY; nginx -s quit")),
            (nginx, script("nginx -s quit; while pgrep nginx; do sleep 1; done")),
            (nginx, script("nginx -s quit; sleep 20")),
            (nginx, script("sleep 10; nginx -s stop")),
            (nginx, script("kill -QUIT 1")),
            (nginx, script("kill -s QUIT 1; sleep 9")),
            (nginx, script("kill -s SIGQUIT -- 1 2>/dev/null || true")),
            (nginx, exec(&["kill", "-3", "1"])),
            (nginx, exec(&["/bin/kill", "--signal=quit", "1"])),
            (nginx, script("kill -QUIT $(cat /var/run/nginx.pid)")),
            (nginx, script("kill -QUIT `pidof nginx`")),
            (nginx, exec(&["pkill", "-QUIT", "-o", "nginx"])),
            (nginx, script("sleep 10; kill 1")),
            ("nginx:1.27", script("nginx -s quit")),
            ("nginx:1.27", exec(&["nginx", "-s", "stop"])),
            ("registry.example/web:1", exec(&["/usr/sbin/nginx", "-s", "quit"])),
            (
                "openresty/openresty:1.21.4",
                exec(&["/usr/local/openresty/bin/openresty", "-s", "quit"]),
            ),
            ("httpd:2.4", exec(&["apachectl", "-k", "graceful-stop"])),
            ("httpd:2.4", exec(&["/usr/local/apache2/bin/httpd", "-k", "graceful-stop"])),
            ("php:8.3-apache", exec(&["apache2ctl", "graceful-stop"])),
            ("php:8.3-apache", script("sleep 9; apache2ctl stop")),
            ("httpd:2.4", exec(&["kill", "-WINCH", "1"])),
            ("haproxy:2.8", script("kill -USR1 1; sleep 20")),
            ("haproxy:2.8", exec(&["kill", "-10", "1"])),
            ("php:8.3-fpm", exec(&["kill", "-QUIT", "1"])),
            ("registry.example/php-fpm:1", exec(&["pkill", "-3", "php-fpm"])),
        ] {
            assert_eq!(codes(image, &hook), ["own-hook-does-not-wait"], "{image} {hook}");
        }
    }

    #[test]
    fn hooks_that_may_help_are_no_problem() {
        for (image, hook) in [
            ("nginx:1.15", script("sleep 10; nginx -s quit; sleep 15")),
            ("nginx:1.15", script("sleep 10; nginx -s quit; while pgrep nginx; do sleep 1; done")),
            ("nginx:1.15", script("sleep 10; nginx -s quit; tail --pid=1 -f /dev/null")),
            ("nginx:1.27", script("sleep 10; nginx -s quit")),
            ("nginx", script("sleep 10; nginx -s quit")),
            ("registry.example/web:1", script("sleep 10; nginx -s quit")),
            ("nginx:1.27", script("/app/drain; nginx -s quit")),
            ("nginx:1.27", script("/app/wait && nginx -s quit")),
            ("nginx:1.27", exec(&["nginx", "-s", "reload"])),
            ("nginx:1.27", exec(&["nginx", "-t"])),
            ("nginx:1.27", script("kill -HUP 1")),
            ("nginx:1.27", script("kill -QUIT 17")),
            ("nginx:1.27", script("kill -QUIT $PID")),
            ("nginx:1.27", script("echo nginx -s quit")),
            ("registry.example/app:1", script("kill -QUIT 1")),
            ("registry.example/app:1", exec(&["/app/nginx-agent", "-s", "quit"])),
            ("httpd:2.4", exec(&["apachectl", "-k", "graceful"])),
            ("httpd:2.4", script("sleep 10; apachectl -k graceful-stop")),
            ("haproxy:2.8", script("sleep 10; kill -USR1 1")),
        ] {
            assert_eq!(told(image, &hook), NOTHING, "{image} {hook}");
        }
        let quit = exec(&["kill", "-QUIT", "1"]);
        let container = json!({"name": "web", "image": "nginx", "lifecycle": {"preStop": quit}});
        for (field, value) in [("hostPID", json!(true)), ("shareProcessNamespace", json!(true))] {
            assert_eq!(
                told_of(&json!({"spec": {field: value, "containers": [container]}})),
                NOTHING
            );
        }
    }

    #[test]
    fn the_detail_says_which_of_the_two() {
        let detail = |image: &str, text: &str| told(image, &script(text));
        assert_eq!(
            detail("nginx:1.15", "nginx -s quit"),
            ["own-hook-does-not-wait: nginx -s quit runs without a delay before it and a wait \
              after it: the stop signal cuts it off"]
        );
        assert_eq!(
            detail("nginx:1.27", "nginx -s quit"),
            [
                "own-hook-does-not-wait: nginx -s quit runs without a delay before it, while requests still arrive"
            ]
        );
        assert_eq!(
            detail("nginx:1.15", "sleep 9; nginx -s quit"),
            ["own-hook-does-not-wait: nginx -s quit runs without a wait after it: \
              the stop signal cuts it off"]
        );
        assert_eq!(
            detail("nginx:1.27", "sleep 9; nginx -s stop"),
            ["own-hook-does-not-wait: nginx -s stop drops the requests in flight"]
        );
        // The container's own stop signal decides.
        let hook = script("sleep 9; nginx -s quit");
        let lifecycle = json!({"preStop": hook, "stopSignal": "SIGTERM"});
        let pod = json!({"spec": {"containers": [
            {"name": "web", "image": "nginx:1.27", "lifecycle": lifecycle},
        ]}});
        assert_eq!(told_of(&pod).len(), 1);
    }

    #[test]
    fn hooks_that_fill_the_grace_period() {
        let of_grace = |hook: Value, grace: i64| {
            let container = json!({"name": "web", "lifecycle": {"preStop": hook}});
            told_of(&json!({"spec": {
                "terminationGracePeriodSeconds": grace,
                "containers": [container],
            }}))
        };
        let fills = ["own-hook-fills-grace: sleeps 60s of 30s"];
        for hook in [
            json!({"sleep": {"seconds": 60}}),
            exec(&["sleep", "60"]),
            exec(&["sleep", "1m"]),
            script("sleep 30; sleep 30"),
            script("sleep 30; /app/drain; sleep 30"),
        ] {
            assert_eq!(of_grace(hook, 30), fills);
        }
        assert_eq!(of_grace(exec(&["sleep", "28"]), 30).len(), 1);
        assert_eq!(of_grace(exec(&["sleep", "27"]), 30), NOTHING);
        assert_eq!(of_grace(exec(&["sleep", "60"]), 63), NOTHING);
        assert_eq!(of_grace(exec(&["sleep", "0"]), 1), NOTHING);
        assert_eq!(of_grace(exec(&["sleep", "infinity"]), 30), NOTHING);
        // Another container raises the grace period of the pod.
        let pod = json!({"spec": {"containers": [
            {"name": "web", "lifecycle": {"preStop": {"sleep": {"seconds": 30}}}},
            {"name": "app"},
        ]}});
        assert_eq!(told_of(&pod), NOTHING);
    }

    #[test]
    fn programs_that_the_image_has_not() {
        let image = "gcr.io/distroless/static:nonroot";
        for command in [
            &["sleep", "10"][..],
            &["/bin/sleep", "10"],
            &["/usr/bin/env", "A=1", "sleep", "10"],
            &["sh", "-c", "sleep 10"],
            &["/bin/bash", "-c", "/app/drain"],
            &["/usr/bin/env", "bash", "-c", "sleep 10"],
        ] {
            assert_eq!(codes(image, &exec(command)), ["own-hook-cannot-start"], "{command:?}");
        }
        for command in [&["/app/drain"][..], &["/busybox/sh", "-c", "sleep 10"], &["env"], &[]] {
            assert_eq!(told(image, &exec(command)), NOTHING, "{command:?}");
        }
        for image in ["gcr.io/distroless/static:debug", "registry.example/app:1", "nginx:1.27"] {
            assert_eq!(told(image, &exec(&["sleep", "10"])), NOTHING, "{image}");
        }
        assert_eq!(told(image, &json!({"sleep": {"seconds": 10}})), NOTHING);
    }

    #[test]
    fn hooks_that_kubernetes_never_runs() {
        let socket = json!({"port": 80});
        assert_eq!(codes("app", &json!({"tcpSocket": socket})), ["own-hook-always-fails"]);
        for hook in [
            json!({"tcpSocket": null}),
            json!({"tcpSocket": socket, "exec": {"command": ["sleep", "1"]}}),
        ] {
            assert_eq!(told("app", &hook), NOTHING, "{hook}");
        }
    }

    #[test]
    fn programs_of_windows_are_not_known() {
        let of_windows = |hook: Value| {
            let container = json!({"name": "web", "lifecycle": {"preStop": hook}});
            told_of(&json!({"spec": {"os": {"name": "windows"}, "containers": [container]}})).len()
        };
        assert_eq!(of_windows(exec(&["sleep", "60"])), 0);
        assert_eq!(of_windows(json!({"sleep": {"seconds": 60}})), 1);
        assert_eq!(of_windows(json!({"tcpSocket": {"port": 80}})), 1);
    }
}
