//! Annotations: prestop's settings with good, bad and hostile values, for the pod, for its
//! containers and for containers that do not exist.

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::NAMES;

const DELAYS: [&str; 24] = [
    "auto",
    "Auto",
    "5s",
    "10s-2m",
    "0s",
    "15",
    "1m30s",
    "1500ms",
    "300s",
    "999999999s",
    "0",
    "",
    "-5",
    "5d",
    "ten",
    "5s-20s",
    "0-30",
    "12s-12s",
    "1500ms-90s",
    "10s-20m",
    "2m-10s",
    "10s-",
    "1s-2s-3s",
    "10m-20m",
];
const QUIET_PERIODS: [&str; 6] = ["5s", "10s", "1m", "1500ms", "0s", "soon"];
const SHELLS: [&str; 4] = ["present", "present", "absent", "yes"];
const HOLDS: [&str; 4] = ["connections", "connections", "none", "Connections"];
const REPORTS: [&str; 3] = ["termination-message", "none", "stdout"];
const TIMEOUTS: [&str; 8] = ["20s", "2m", "0s", "1ms", "20h", "3162240000", "never", "601"];
const PROFILES: [&str; 10] =
    ["auto", "none", "nginx", "httpd", "haproxy", "ingress", "istio", "by-name", "ngnix", "Nginx"];
const SIGNALS: [&str; 6] = ["QUIT", "SIGTERM", "WINCH", "KILL", "quit", "9"];
const OWN_HOOKS: [&str; 6] = ["extend", "extend", "extend", "keep", "Extend", "yes"];
const COMMANDS: [&str; 12] = [
    r#"["nginx","-s","quit"]"#,
    r#"["/bin/sh","-c","kill -QUIT 1; $(id) `id` ' \" \\ \n"]"#,
    r#"["x",""]"#,
    r#" [ "caf\u00e9" ] "#,
    "[]",
    r#"[""]"#,
    r#"["a\u0000b"]"#,
    "nginx -s quit",
    r#"["nginx", 5]"#,
    r#"{"command": ["nginx"]}"#,
    "null",
    r#"["nginx""#,
];
/// Texts that people and attackers put in place of a short value.
const HOSTILE: [&str; 14] = [
    "",
    " 15 ",
    "1e3",
    "0x10",
    "١٥",
    "99999999999999999999",
    "NaN",
    "15; rm -rf /",
    "$(id)",
    "5\n",
    "5\0",
    "\u{1b}[31m",
    "auto\u{202e}",
    "9223372036854775807",
];

type Entry = (String, Value);

/// Generates a map of annotations that the API server accepts: every value is a string.
pub(super) fn valid() -> BoxedStrategy<Option<Value>> {
    let entry = prop_oneof![12 => setting(), 2 => about_pod(), 1 => typo()];
    let map = vec(entry, 0..5).prop_map(map);
    weighted(0.8, prop_oneof![20 => map, 1 => Just(Value::Null)]).boxed()
}

/// Generates a map of annotations, or a value of another type in its place.
pub(super) fn hostile() -> BoxedStrategy<Option<Value>> {
    let values =
        vec![json!(5), json!(true), json!(null), json!({}), json!(["5s"]), "x".repeat(5000).into()];
    let wrong = (key(), select(values));
    let keys = vec![
        "prestop.dev/",
        "delay.prestop.dev/",
        "delay.prestop.dev/a/b",
        "delay.prestop.dev/🦀",
        "quit-signal.prestop.dev/",
        "xprestop.dev/delay",
        "prestop.dev",
        "a~b/c~d",
        "",
    ];
    let odd = (select(keys), select(HOSTILE.to_vec())).prop_map(text);
    let entry = prop_oneof![8 => setting(), 2 => about_pod(), 1 => typo(), 2 => wrong, 1 => odd];
    let map = vec(entry, 0..6).prop_map(map);
    let other = select(vec![json!(null), json!({}), json!([]), json!("5s")]);
    weighted(0.8, prop_oneof![40 => map, 1 => other]).boxed()
}

/// Generates a namespace's annotations.
pub(super) fn of_namespace() -> BoxedStrategy<Vec<(String, String)>> {
    let pairs =
        |keys: Vec<&'static str>, values: &[&'static str]| (select(keys), select(values.to_vec()));
    let entry = prop_oneof![
        4 => pairs(vec!["prestop.dev/delay"], &DELAYS),
        1 => pairs(vec!["prestop.dev/quiet-period"], &QUIET_PERIODS),
        2 => pairs(vec!["prestop.dev/shell"], &SHELLS),
        2 => pairs(vec!["prestop.dev/hold"], &HOLDS),
        1 => pairs(vec!["prestop.dev/hook-report"], &REPORTS),
        2 => pairs(vec!["prestop.dev/quit-timeout"], &TIMEOUTS),
        3 => pairs(vec!["prestop.dev/profile"], &PROFILES),
        1 => pairs(vec!["prestop.dev/quit-command", "prestop.dev/quit-signal"], &["QUIT"]),
        1 => pairs(vec!["prestop.dev/inject", "prestop.dev/dealy", "delay.prestop.dev/web"], &["5s"]),
        2 => pairs(vec!["prestop.dev/own-hook"], &OWN_HOOKS),
        1 => pairs(vec!["prestop.dev/delay", "prestop.dev/profile"], &HOSTILE),
    ];
    let entries = vec(entry, 0..3).prop_map(|entries| {
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        entries.into_iter().map(owned).collect()
    });
    entries.boxed()
}

fn map(entries: Vec<Entry>) -> Value {
    Value::Object(entries.into_iter().collect())
}

fn text((key, value): (&str, &str)) -> Entry {
    (key.to_owned(), value.into())
}

/// Generates a setting of the pod or of a container, usually with a suitable value.
fn setting() -> BoxedStrategy<Entry> {
    let of = |setting: &'static str, values: &[&'static str]| {
        let value = prop_oneof![12 => select(values.to_vec()), 1 => select(HOSTILE.to_vec())];
        (scope(), value).prop_map(move |(scope, value)| (scoped(setting, scope), value.into()))
    };
    prop_oneof![
        4 => of("delay", &DELAYS),
        2 => of("quit-timeout", &TIMEOUTS),
        2 => of("profile", &PROFILES),
        2 => of("quit-command", &COMMANDS),
        2 => of("quit-signal", &SIGNALS),
        2 => of("own-hook", &OWN_HOOKS),
        1 => of("quiet-period", &QUIET_PERIODS),
        3 => of("shell", &SHELLS),
        2 => of("hold", &HOLDS),
        1 => of("hook-report", &REPORTS),
    ]
    .boxed()
}

fn key() -> BoxedStrategy<String> {
    let settings = vec![
        "delay",
        "profile",
        "quit-command",
        "quit-signal",
        "quit-timeout",
        "own-hook",
        "status",
        "shell",
        "hold",
    ];
    (select(settings), scope()).prop_map(|(setting, scope)| scoped(setting, scope)).boxed()
}

/// Generates the scope of a setting: empty for the pod, or the name of a container.
fn scope() -> impl Strategy<Value = &'static str> {
    let mut scopes = vec!["", "", "", ""];
    scopes.extend(NAMES);
    scopes.push("ghost");
    select(scopes)
}

fn scoped(setting: &str, scope: &str) -> String {
    if scope.is_empty() {
        format!("prestop.dev/{setting}")
    } else {
        format!("{setting}.prestop.dev/{scope}")
    }
}

/// Generates other annotations of a pod.
fn about_pod() -> BoxedStrategy<Entry> {
    let default_container = (
        Just("kubectl.kubernetes.io/default-container"),
        select(vec!["web", "app", "istio-proxy", "ghost", ""]),
    );
    let statuses = vec![
        "{}",
        "null",
        "injected",
        r#"{"version":1,"grace":{"before":0,"after":30},"containers":{}}"#,
        r#"{"version":99,"grace":{"before":30,"after":30},"containers":{}}"#,
        r#"{"version":1,"grace":{"before":30,"after":40},"containers":{"ghost":{"delay":10}}}"#,
    ];
    prop_oneof![
        6 => default_container.prop_map(text),
        2 => (Just("example.com/owner"), Just("team")).prop_map(text),
        2 => (Just("prestop.dev/status"), select(statuses)).prop_map(text),
        1 => (Just("kubernetes.io/config.mirror"), Just("")).prop_map(text),
    ]
    .boxed()
}

fn typo() -> BoxedStrategy<Entry> {
    let keys = vec![
        "prestop.dev/dealy",
        "prestop.dev/inject",
        "dealy.prestop.dev/web",
        "status.prestop.dev/web",
        "prestop.dev/Delay",
        "a.b.prestop.dev/web",
    ];
    (select(keys), Just("5s")).prop_map(text).boxed()
}
