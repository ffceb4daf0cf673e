//! Namespaces, and policies with a catalogue that contains a profile of every kind.

use std::collections::BTreeMap;

use prestop_core::catalogue::{
    Catalogue, Hold, ImagePattern, Presence, Profile, ProfileHook, Programs, ProgramsOfImages,
    Quit, QuitWhen, Role, StopSignal,
};
use prestop_core::duration::{AskedDelay, Delay};
use prestop_core::policy::{
    HookReport, KubernetesVersion, NamespaceRule, OwnHookRule, OwnerKind, Policy, QuitPolicy,
    SleepAction,
};
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{Namespace, annotations};

/// Generates namespaces, most of which opt in.
pub fn namespace() -> impl Strategy<Value = Namespace> {
    let enabled = select(vec!["enabled", "true", "Enabled"]);
    let other = select(vec!["disabled", "FALSE", "", "yes"]);
    let switch = prop_oneof![
        30 => enabled.prop_map(Some),
        1 => Just(None),
        1 => other.prop_map(Some),
    ];
    let unknown_label = weighted(0.03, Just("prestop.dev/delay"));
    (switch, unknown_label, annotations::of_namespace()).prop_map(
        |(switch, unknown_label, annotations)| {
            let labels = [("prestop.dev/inject", switch), ("team", Some("a"))];
            let labels = labels.into_iter().chain(unknown_label.map(|key| (key, Some("5s"))));
            Namespace {
                labels: labels
                    .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
                    .collect(),
                annotations: annotations.into_iter().collect::<BTreeMap<_, _>>(),
            }
        },
    )
}

/// Generates policies that a valid configuration could produce.
pub fn policy() -> impl Strategy<Value = Policy> {
    let seconds = (
        prop_oneof![3 => Just(600_i64), 1 => 30_i64..=3600, 1 => Just(30)],
        prop_oneof![3 => Just(120_i64), 1 => 0_i64..3600],
        prop_oneof![
            6 => Just(Some((10_i64, 10_i64))),
            2 => (0_i64..120, 0_i64..120).prop_map(Some),
            // `None` stands for `auto`.
            1 => Just(None),
        ],
        weighted(0.2, 0_i64..700),
    );
    let hooks = (
        select(vec![Presence::Unknown, Presence::Unknown, Presence::Present, Presence::Absent]),
        select(vec![Hold::None, Hold::None, Hold::None, Hold::Connections]),
        select(vec![HookReport::None, HookReport::None, HookReport::TerminationMessage]),
    );
    let quit = select(vec![
        QuitPolicy::Always,
        QuitPolicy::Always,
        QuitPolicy::WhenNeeded,
        QuitPolicy::Never,
    ]);
    let sleep = select(vec![SleepAction::Auto, SleepAction::Always, SleepAction::Never]);
    let version = select(vec![None, Some(29), Some(32), Some(33), Some(37)]);
    let namespaces = select(vec![NamespaceRule::Enabled, NamespaceRule::NotDisabled]);
    let own_hooks = select(vec![OwnHookRule::Keep, OwnHookRule::Keep, OwnHookRule::Extend]);
    let catalogues = select(vec![
        test_catalogue(),
        test_catalogue(),
        test_catalogue(),
        Catalogue::built_in().clone(),
    ]);
    let owners = ["Job", "DaemonSet", "StatefulSet", "ReplicaSet.apps", "Job.batch", "Odd"];
    let owners: Vec<OwnerKind> = owners.iter().map(|kind| kind.parse().unwrap()).collect();
    let rules = (
        quit,
        sleep,
        version,
        prop::bool::weighted(0.8),
        subsequence(owners, 0..=4),
        namespaces,
        catalogues,
        own_hooks,
    );
    (seconds, rules, hooks).prop_map(|(seconds, rules, hooks)| {
        let (maximum_grace_period_seconds, delay, default_delay, quit_timeout) = seconds;
        let (
            quit,
            sleep_action,
            minor,
            commands,
            skipped_owners,
            namespaces,
            catalogue,
            default_own_hook,
        ) = rules;
        // The default is at most the maximum, and the maximum is below the limit of the grace
        // period.
        let maximum_delay_seconds = delay.min(maximum_grace_period_seconds - 1);
        Policy {
            default_delay: match default_delay {
                None => AskedDelay::Auto,
                Some((least, most)) => AskedDelay::Of(
                    Delay { least_seconds: least.min(most), most_seconds: most }
                        .at_most(maximum_delay_seconds),
                ),
            },
            default_shell: hooks.0,
            default_hold: hooks.1,
            default_report: hooks.2,
            maximum_delay_seconds,
            default_quit_timeout_seconds: quit_timeout,
            maximum_grace_period_seconds,
            quit,
            sleep_action,
            kubernetes_version: minor.map(|minor| KubernetesVersion { major: 1, minor }),
            default_own_hook,
            allow_quit_command_annotation: commands,
            skipped_owners,
            namespaces,
            catalogue,
        }
    })
}

/// Returns a catalogue with a profile of every kind: skipped, delay only, quit by command, by
/// signal, by both, only when needed, sidecars, own delays, and one without images.
pub fn test_catalogue() -> Catalogue {
    let quit = |command: &[&str], signal: Option<&str>, when: QuitWhen| {
        ProfileHook::Quit(Quit {
            command: command.iter().map(|&argument| argument.to_owned()).collect(),
            signal: signal.and_then(|name| name.parse().ok()),
            process_names: vec!["server".to_owned(), "master".to_owned()],
            when,
        })
    };
    let nginx = quit(&["nginx", "-s", "quit"], Some("QUIT"), QuitWhen::Always);
    let httpd = quit(&["apachectl", "graceful-stop"], Some("WINCH"), QuitWhen::Needed);
    let haproxy = quit(&[], Some("USR1"), QuitWhen::Always);
    let by_name = quit(&["/app/quit", ""], None, QuitWhen::Always);
    let mut profiles = vec![
        profile("ingress", &["*ingress-nginx/controller"], ProfileHook::LeaveAlone),
        profile("rabbitmq", &["rabbitmq"], ProfileHook::LeaveAlone),
        profile("nginx", &["nginx"], nginx),
        profile("httpd", &["httpd"], httpd),
        profile("haproxy", &["haproxy"], haproxy),
        profile("by-name", &[], by_name),
        profile("php-fpm", &["php-fpm"], quit(&[], Some("QUIT"), QuitWhen::Needed)),
        profile("redis", &["redis"], ProfileHook::Delay),
        profile("varnish", &["rabbit-hole", "slow-app"], ProfileHook::Delay),
        profile("lighttpd", &["lighttpd"], quit(&[], Some("INT"), QuitWhen::Always)),
        profile("istio", &["istio/proxyv2"], ProfileHook::Delay),
        profile("fluent-bit", &["fluent-bit"], ProfileHook::Delay),
        profile("slow-proxy", &["slow-proxy"], ProfileHook::Delay),
        profile("postgresql", &["bitnami*/postgresql"], ProfileHook::Delay),
    ];
    for profile in &mut profiles {
        let (delay, margin) = match profile.name.as_str() {
            "redis" => (Some(3), None),
            "istio" => (None, Some(5)),
            "fluent-bit" => (Some(0), Some(0)),
            "slow-proxy" => (Some(700), Some(300)),
            "postgresql" => (Some(650), None),
            _ => (None, None),
        };
        profile.delay = delay.map(Delay::fixed);
        if ["varnish", "lighttpd"].contains(&profile.name.as_str()) {
            profile.hold = Some(Hold::Connections);
        }
        if profile.name == "varnish" {
            profile.delay = Some(Delay { least_seconds: 8, most_seconds: 40 });
        }
        profile.sidecar_margin_seconds = margin;
        profile.role = match profile.name.as_str() {
            "nginx" | "httpd" => Some(Role::Front),
            "php-fpm" => Some(Role::Backend),
            _ => None,
        };
        if profile.name == "istio" {
            profile.container_names = vec!["istio-proxy".to_owned()];
        }
        profile.stop_signals = match profile.name.as_str() {
            "nginx" => vec![fact(Some(">=1.19.5"), true), fact(Some("<1.19.5"), false)],
            "httpd" => vec![fact(None, true)],
            "haproxy" => vec![fact(Some(">=2"), true), fact(None, false)],
            _ => Vec::new(),
        };
    }
    let programs = |image: &str, shell, sleep| ProgramsOfImages {
        images: image.parse::<ImagePattern>().into_iter().collect(),
        tags: None,
        tag_patterns: Vec::new(),
        programs: Programs { shell, sleep },
        reason: "for the tests".to_owned(),
        link: String::new(),
    };
    Catalogue::new(profiles).with_programs(vec![
        programs("distroless/*", Presence::Absent, Presence::Absent),
        programs("bitnami*/*", Presence::Absent, Presence::Unknown),
        programs("httpd", Presence::Present, Presence::Absent),
        programs("nginx", Presence::Present, Presence::Present),
        programs("php-fpm", Presence::Present, Presence::Present),
        programs("slow-app", Presence::Present, Presence::Present),
        programs("istio/proxyv2", Presence::Present, Presence::Present),
    ])
}

fn profile(name: &str, images: &[&str], hook: ProfileHook) -> Profile {
    let images = images.iter().map(|pattern| pattern.parse::<ImagePattern>());
    Profile {
        name: name.to_owned(),
        images: images.filter_map(Result::ok).collect(),
        tag_patterns: Vec::new(),
        container_names: Vec::new(),
        role: None,
        hook,
        delay: None,
        hold: None,
        sidecar_margin_seconds: None,
        stop_signals: Vec::new(),
        reason: "for the tests".to_owned(),
        link: String::new(),
    }
}

fn fact(tags: Option<&str>, graceful: bool) -> StopSignal {
    let quit = "QUIT".parse();
    StopSignal {
        tags: tags.and_then(|range| range.parse().ok()),
        signal: quit.unwrap_or_else(|error| panic!("{error}")),
        graceful,
        link: String::new(),
    }
}
