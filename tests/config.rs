//! The configuration file: valid and invalid files with the positions of errors, and the agreement
//! of schema, example and built-in policy.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml lets test functions assert so, these are what they call"
)]

mod schema;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use prestop::config::{Config, ConfigError};
use prestop::config::{DELAY_PATTERN, DURATION_PATTERN};
use prestop::webhook::settings::{
    CertificateSettings, ClientCertificates, Limits, LogFormat, LogLevel, LogSettings,
    MetricsSettings, ServeSettings, ServerSettings, TlsSettings, TlsVersion,
};
use prestop_core::catalogue::{Catalogue, Hold, ImageReference, Presence, Programs, Role};
use prestop_core::duration::{self, AskedDelay, Delay, DelayError, DurationError};
use prestop_core::policy::{HookReport, OwnerKind, Policy, QuitPolicy, SleepAction};
use proptest::prelude::*;
use proptest::string::string_regex;

/// The first two lines of every file below.
const HEADER: &str = "apiVersion: prestop.dev/v1alpha1\nkind: Configuration\n";

/// Invalid files without the first two lines, each preceded by its only problem as
/// `=== LINE:COLUMN PATH: PART OF THE MESSAGE`.
const REFUSED: &str = include_str!("config/refused.txt");

/// Invalid whole files, in the same format.
const NO_CONFIGURATION: &str = include_str!("config/no-configuration.txt");

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn policy(text: &str) -> Policy {
    Config::parse(text).unwrap_or_else(|error| panic!("{error}")).into_policy()
}

/// Returns the policy of a file with this text after the first two lines.
fn policy_with(rest: &str) -> Policy {
    policy(&format!("{HEADER}{rest}"))
}

fn error_of(text: &str) -> ConfigError {
    match Config::parse(text) {
        Ok(_) => panic!("is accepted:\n{text}"),
        Err(error) => error,
    }
}

/// Returns `line:column path` of each problem.
fn places(error: &ConfigError) -> Vec<String> {
    let problems = error.problems().iter();
    problems
        .map(|problem| format!("{}:{} {}", problem.line, problem.column, problem.path))
        .collect()
}

/// Compares each case of a table with the reported errors, and returns the number of cases.
fn hold(cases: &str, header: &str) -> usize {
    let mut wrong = String::new();
    let mut count = 0;
    for case in cases.split("=== ").skip(1) {
        let (expected, text) = case.split_once('\n').unwrap();
        let (place, part) = expected.split_once(": ").unwrap();
        let text = format!("{header}{text}");
        let told = match Config::parse(&text) {
            Ok(_) => "accepted".to_owned(),
            Err(error) if places(&error) == [place] && error.to_string().contains(part) => {
                count += 1;
                continue;
            }
            Err(error) => error.to_string(),
        };
        writeln!(wrong, "expected {expected}\nof\n{text}told:\n{told}\n").unwrap();
    }
    assert!(wrong.is_empty(), "{wrong}");
    count
}

#[test]
fn each_mistake_is_reported_with_its_place() {
    assert!(hold(REFUSED, HEADER) >= 60);
    assert!(hold(NO_CONFIGURATION, "") >= 15);
}

#[test]
fn mistakes_are_reported_together_in_the_order_of_the_text() {
    let shape = error_of(&format!(
        "{HEADER}quit: x\nlimits: {{a: 1}}\nskipOwners: [{{}}, 5]\ndefaults: 5\n"
    ));
    let expected =
        ["3:7 quit", "4:10 limits.a", "5:14 skipOwners[0]", "5:18 skipOwners[1]", "6:11 defaults"];
    assert_eq!(places(&shape), expected);

    let values = error_of(&format!(
        "{HEADER}skipOwners: [Job, Job]
profiles:
  entries:
    - {{name: auto, hook: quit, quit: {{signal: x, processNames: ['', ok, 'a b']}}, images: ['', ok, 'x:1']}}
    - {{name: b, hook: quit, delay: 1ms, stopSignals: [{{tags: x, signal: y, graceful: true}}]}}
defaults: {{delay: 1h}}
"
    ));
    let expected = [
        "3:19 skipOwners[1]",
        "6:14 profiles.entries[0].name",
        "6:47 profiles.entries[0].quit.signal",
        "6:65 profiles.entries[0].quit.processNames[0]",
        "6:73 profiles.entries[0].quit.processNames[2]",
        "6:91 profiles.entries[0].images[0]",
        "6:99 profiles.entries[0].images[2]",
        "7:23 profiles.entries[1].hook",
        "7:36 profiles.entries[1].delay",
        "7:62 profiles.entries[1].stopSignals[0].tags",
        "7:73 profiles.entries[1].stopSignals[0].signal",
        "8:19 defaults.delay",
    ];
    assert_eq!(places(&values), expected);
}

#[test]
fn a_mistake_is_shown_in_its_line() {
    let error = error_of(&format!("{HEADER}quit: x\ndefaults:\n  delay: 3m\n"));
    let expected = "\
prestop.yaml:3:7: quit: unknown value; allowed here: always, when-needed, never
 3 | quit: x
   |       ^";
    assert_eq!(error.in_file("prestop.yaml").to_string(), expected);
    let expected = "\
3:19: defaults.delay: 6m must be at most limits.maximumDelay, which is 5m by default
 3 | defaults: {delay: 6m}
   |                   ^
4:30: limits.maximumGracePeriod: allowed: 30s to 24h
 4 | limits: {maximumGracePeriod: 1s}
   |                              ^";
    let error =
        error_of(&format!("{HEADER}defaults: {{delay: 6m}}\nlimits: {{maximumGracePeriod: 1s}}\n"));
    assert_eq!(error.to_string(), expected);
    assert_eq!(error_of("").to_string().lines().count(), 1);
}

#[test]
fn what_the_file_says_can_not_harm_a_terminal() {
    let error =
        error_of(&format!("{HEADER}\"\\e[31m\": '\u{85}'\n? \"{}\"\n: 1\n", "ä".repeat(500)));
    let text = error.to_string();
    let control = |letter: &char| letter.is_control() && *letter != '\n';
    assert_eq!(text.chars().find(control), None, "{text:?}");
    assert!(text.contains("\u{fffd}[31m"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() < 250), "{text}");

    let long = format!("{HEADER}skipOwners: [{}oops]\n", "Job, ".repeat(100));
    let error = error_of(&long).to_string();
    let lines: Vec<&str> = error.lines().collect();
    let caret = lines[2].find('^').unwrap();
    assert!(lines[1][caret..].starts_with("oops]"), "{error}");
    assert!(lines[1].len() <= 110, "{error}");
}

#[test]
fn more_than_twenty_mistakes_are_counted() {
    let fields: String = (0..25).fold(String::new(), |text, index| format!("{text}x{index}: 1\n"));
    let error = error_of(&format!("{HEADER}{fields}"));
    assert_eq!((error.problems().len(), error.left_out()), (20, 5));
    assert!(error.to_string().ends_with("\nand 5 more"), "{error}");
}

#[test]
fn aliases_are_followed_and_bounded() {
    let text = "
profiles:
  entries:
    - &base {name: base, hook: delay, delay: &long 20s, images: [base]}
    - {<<: *base, name: derived, images: [derived]}
defaults: {delay: *long}
";
    let policy = policy_with(text);
    let derived = policy.catalogue.by_name("derived").unwrap();
    assert_eq!(derived.delay, Some(Delay::fixed(20)));
    assert_eq!(policy.default_delay, AskedDelay::Of(Delay::fixed(20)));

    // Values from an alias are reported at the position of the alias.
    let error = error_of(&format!("{HEADER}{}", text.replace("20s", "6m")));
    let expected =
        ["6:52 profiles.entries[0].delay", "7:12 profiles.entries[1].delay", "8:19 defaults.delay"];
    assert_eq!(places(&error), expected);

    let mut bomb = format!("{HEADER}a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{aliases}]").unwrap();
    }
    let deep = format!("{HEADER}a: {}{}\n", "[".repeat(40), "]".repeat(40));
    for text in [&bomb, &deep] {
        let error = error_of(text);
        assert!(error.to_string().contains("too many values, or nested too deeply"), "{error}");
    }
    let long = format!("{HEADER}#{}\n", "-".repeat(1 << 20));
    assert!(error_of(&long).to_string().contains("longer than 1 MiB"));
}

#[test]
fn what_is_not_in_the_file_is_built_in() {
    let built_in = Policy::built_in();
    for rest in ["", "defaults: {}\nlimits: {}\n", "profiles: {entries: []}\n", "...\n", "# end"] {
        assert_eq!(policy_with(rest), built_in, "{rest}");
    }
    assert_eq!(policy(&format!("\u{feff}---\n{HEADER}")), built_in);
    assert_eq!(policy(&HEADER.replace('\n', "\r\n")), built_in);
    let json = r#"{"apiVersion": "prestop.dev/v1alpha1", "kind": "Configuration"}"#;
    assert_eq!(policy(json), built_in);
}

#[test]
fn each_field_sets_its_rule() {
    let read = policy_with(
        "defaults: {delay: 5-30s, quitTimeout: 1m30s, shell: present, hold: connections,
  hookReport: termination-message}
limits: {maximumDelay: '45', maximumGracePeriod: 1h}
quit: when-needed
sleepAction: never
allowQuitCommandAnnotation: false
skipOwners: [StatefulSet, GameServer, Cluster.postgresql.cnpg.io]
profiles: {mode: replace, entries: []}
",
    );
    let expected = Policy {
        default_delay: AskedDelay::Of(Delay { least_seconds: 5, most_seconds: 30 }),
        default_shell: Presence::Present,
        default_hold: Hold::Connections,
        default_report: HookReport::TerminationMessage,
        maximum_delay_seconds: 45,
        default_quit_timeout_seconds: Some(90),
        maximum_grace_period_seconds: 3600,
        quit: QuitPolicy::WhenNeeded,
        sleep_action: SleepAction::Never,
        allow_quit_command_annotation: false,
        skipped_owners: ["StatefulSet", "GameServer", "Cluster.postgresql.cnpg.io"]
            .map(|kind| kind.parse::<OwnerKind>().unwrap())
            .to_vec(),
        catalogue: Catalogue::built_in().clone().with_profiles(Vec::new()),
        ..Policy::built_in()
    };
    assert_eq!(read, expected);
    assert_eq!(policy_with("quit: never\n").quit, QuitPolicy::Never);
    let always = policy_with("sleepAction: always\n");
    assert_eq!(always.sleep_action, SleepAction::Always);
    assert_eq!(policy_with("skipOwners: []\n").skipped_owners, []);
}

#[test]
fn bounds_themselves_are_allowed() {
    for (rest, expected) in [
        ("defaults: {delay: 5m}\n", (300, 300, 600)),
        ("defaults: {delay: 0}\nlimits: {maximumDelay: 0}\n", (0, 0, 600)),
        ("defaults: {delay: 2000ms}\n", (2, 300, 600)),
        // The default maximum delay is below any maximum grace period.
        ("limits: {maximumGracePeriod: 1m}\n", (10, 30, 60)),
        ("limits: {maximumGracePeriod: 4m}\n", (10, 120, 240)),
        ("limits: {maximumGracePeriod: 30s}\n", (10, 15, 30)),
        ("limits: {maximumGracePeriod: 24h}\n", (10, 300, 86400)),
        ("limits: {maximumDelay: 9m59s}\n", (10, 599, 600)),
        ("limits: {maximumDelay: 1h, maximumGracePeriod: 24h}\n", (10, 3600, 86400)),
        ("limits: {maximumDelay: 29s, maximumGracePeriod: 30s}\n", (10, 29, 30)),
        ("defaults: {quitTimeout: 0}\n", (10, 300, 600)),
        ("defaults: {quitTimeout: 10m}\n", (10, 300, 600)),
    ] {
        let policy = policy_with(rest);
        let AskedDelay::Of(delay) = policy.default_delay else { panic!("auto: {rest}") };
        let read =
            (delay.most_seconds, policy.maximum_delay_seconds, policy.maximum_grace_period_seconds);
        assert_eq!(read, expected, "{rest}");
    }
}

fn settings_with(rest: &str) -> ServeSettings {
    let text = format!("{HEADER}{rest}");
    Config::parse(&text).unwrap_or_else(|error| panic!("{error}")).into_parts().1
}

#[test]
fn each_field_of_the_server_sets_its_setting() {
    let read = settings_with(
        "server: {workers: 64, drainDelay: 0, drainTimeout: 10m, maximumBodyBytes: 65536,
  maximumBodiesInFlightBytes: 65536, maximumConnections: 16, handshakeTimeout: 1s,
  firstRequestTimeout: 1m, bodyTimeout: 30s, idleTimeout: 91s}
tls: {minVersion: '1.2', clientCA: /ca.crt, allowedNames: [kube-apiserver]}
log: {format: json, level: debug}
metrics: {byNamespace: false}
certificates: {authorityLifetime: 40s, lifetime: 10s, overlap: 1s, lookInterval: 1s}
",
    );
    let expected = ServeSettings {
        server: ServerSettings {
            workers: 64.try_into().unwrap(),
            drain_delay: Duration::ZERO,
            drain_timeout: Duration::from_secs(600),
            limits: Limits {
                body_bytes: 65536,
                bodies_in_flight_bytes: 65536,
                connections: 16,
                handshake_timeout: Duration::from_secs(1),
                first_request_timeout: Duration::from_secs(60),
                body_timeout: Duration::from_secs(30),
                idle_timeout: Duration::from_secs(91),
            },
        },
        tls: TlsSettings {
            minimum_version: TlsVersion::V1_2,
            clients: Some(ClientCertificates {
                authorities_file: "/ca.crt".to_owned(),
                allowed_names: vec!["kube-apiserver".to_owned()],
            }),
        },
        log: LogSettings { format: LogFormat::Json, level: LogLevel::Debug },
        metrics: MetricsSettings { by_namespace: false },
        certificates: CertificateSettings {
            authority_lifetime: Duration::from_secs(40),
            lifetime: Duration::from_secs(10),
            overlap: Duration::from_secs(1),
            look_interval: Duration::from_secs(1),
        },
    };
    assert_eq!(read, expected);
    assert_eq!(settings_with(""), ServeSettings::default());
    let largest = settings_with(
        "server: {maximumBodyBytes: 67108864, maximumBodiesInFlightBytes: 4294967296}\n",
    );
    assert_eq!(largest.server.limits.bodies_in_flight_bytes, 4 << 30);
    // The default of one is valid with the maximum of the other.
    let limits = settings_with("server: {maximumBodyBytes: 67108864}\n").server.limits;
    assert!(limits.bodies_in_flight_bytes >= limits.body_bytes);
}

#[test]
fn mistakes_in_all_sections_are_reported_together() {
    let error = error_of(&format!(
        "{HEADER}defaults: {{delay: 6m}}
server: {{workers: 0, idleTimeout: 1s}}
tls: {{allowedNames: ['']}}
"
    ));
    let expected = [
        "3:19 defaults.delay",
        "4:19 server.workers",
        "4:35 server.idleTimeout",
        "5:21 tls.allowedNames",
        "5:22 tls.allowedNames[0]",
    ];
    assert_eq!(places(&error), expected);
}

const OWN_PROFILES: &str = "
  entries:
    - {name: shop, images: [registry.local/shop/web], hook: delay}
    - {name: nginx, images: [registry.local/edge/nginx], hook: delay, delay: 20s}
";

/// Returns the name and delay of the profile for an image.
fn chosen(policy: &Policy, image: &str) -> Option<(String, Option<i64>)> {
    let image = ImageReference::parse(image).unwrap();
    let (profile, _) = policy.catalogue.for_image(&image)?;
    Some((profile.name.clone(), profile.delay.map(|delay| delay.most_seconds)))
}

#[test]
fn own_profiles_extend_the_built_in_ones() {
    let policy = policy_with(&format!("profiles:{OWN_PROFILES}"));
    let own = |image: &str| chosen(&policy, image);
    assert_eq!(own("registry.local/shop/web:1"), Some(("shop".into(), None)));
    assert_eq!(own("registry.local/edge/nginx:1"), Some(("nginx".into(), Some(20))));

    // The custom profile replaces the built-in one of the same name, with only its own images.
    let built_in = Catalogue::built_in().profiles();
    assert!(chosen(&Policy::built_in(), "nginx:1.27").is_some_and(|(name, _)| name == "nginx"));
    assert_eq!(policy.catalogue.by_name("nginx").unwrap().delay, Some(Delay::fixed(20)));
    assert!(own("nginx:1.27").is_none_or(|(name, _)| name != "nginx"));
    let others = built_in.iter().filter(|profile| profile.name != "nginx");
    assert!(policy.catalogue.profiles()[2..].iter().eq(others));
}

#[test]
fn own_profiles_are_tried_before_the_built_in_ones() {
    let text = "profiles: {entries: [{name: ours, images: [nginx], hook: leave-alone}]}\n";
    let policy = policy_with(text);
    assert_eq!(chosen(&policy, "nginx:1.27"), Some(("ours".into(), None)));
    assert!(policy.catalogue.by_name("nginx").is_some());
    let names: Vec<_> = policy.catalogue.profiles().iter().map(|profile| &profile.name).collect();
    assert_eq!(names.len(), Catalogue::built_in().profiles().len() + 1);
}

#[test]
fn own_profiles_replace_the_built_in_ones() {
    let policy = policy_with(&format!("profiles:\n  mode: replace{OWN_PROFILES}"));
    assert_eq!(policy.catalogue.profiles().len(), 2);
    assert_eq!(chosen(&policy, "nginx:1.27"), None);
    assert_eq!(chosen(&policy, "registry.local/shop/web:1"), Some(("shop".into(), None)));
}

#[test]
fn own_profiles_know_containers_by_name_and_their_role() {
    let policy = policy_with(
        "profiles:
  entries:
    - {name: mesh, hook: delay, sidecarMargin: 7s, containerNames: [mesh-proxy, istio-proxy]}
    - {name: shop-php, images: [shop/php], tagPatterns: ['*fpm*'], role: backend, hook: delay}
    - {name: shop-front, images: [shop/front], role: front, hook: delay}
",
    );
    let found = |name: &str, image: Option<&str>| {
        let image = image.map(|image| ImageReference::parse(image).unwrap());
        let (profile, _) = policy.catalogue.for_container(name, image.as_ref())?;
        Some((profile.name.clone(), profile.role))
    };
    let sidecar = Some(("mesh".to_owned(), None));
    assert_eq!(found("mesh-proxy", Some("shop/unknown")), sidecar);
    // The configured profile precedes the built-in one of the same container name.
    assert_eq!(found("istio-proxy", Some("auto")), sidecar);
    let backend = Some(("shop-php".to_owned(), Some(Role::Backend)));
    assert_eq!(found("app", Some("shop/php:8.2-fpm")), backend);
    assert_eq!(found("app", Some("shop/php:8.2")), None);
    let front = Some(("shop-front".to_owned(), Some(Role::Front)));
    // A profile for the image takes precedence over the name.
    assert_eq!(found("mesh-proxy", Some("shop/front:1")), front);
}

#[test]
fn own_facts_about_programs_are_tried_before_the_built_in_ones() {
    let programs = "programs:
  - {images: [shop/*], tagPatterns: ['*-debug'], shell: present, sleep: present}
  - {images: [shop/*, mirror.local/chainguard/nginx], shell: absent}
";
    let absent = Programs { shell: Presence::Absent, sleep: Presence::Unknown };
    let present = Programs { shell: Presence::Present, sleep: Presence::Present };
    let built_in = Programs { shell: Presence::Absent, sleep: Presence::Absent };
    for rest in
        [programs.to_owned(), format!("{programs}profiles: {{mode: replace, entries: []}}\n")]
    {
        let policy = policy_with(&rest);
        let of = |image: &str| policy.catalogue.programs(&ImageReference::parse(image).unwrap());
        assert_eq!(of("shop/web:1-debug"), present);
        assert_eq!(of("shop/web:1"), absent);
        assert_eq!(of("cgr.dev/chainguard/nginx"), built_in);
        assert_eq!(of("mirror.local/chainguard/nginx"), absent);
        assert_eq!(of("mirror.local/web:1"), Programs::UNKNOWN);
    }
}

proptest! {
    #[test]
    fn what_the_schema_takes_for_a_duration_is_one(
        text in string_regex(DURATION_PATTERN.trim_matches(['^', '$'])).unwrap()
    ) {
        let read = duration::parse(&text);
        prop_assert!(matches!(read, Ok(_) | Err(DurationError::TooLong)), "{:?} {:?}", text, read);
    }

    #[test]
    fn what_the_schema_takes_for_a_delay_is_one(
        text in string_regex(DELAY_PATTERN.trim_matches(['^', '$'])).unwrap()
    ) {
        let read = duration::parse_delay(&text);
        let is_readable = matches!(
            read,
            Ok(_)
                | Err(DelayError::NotADuration(DurationError::TooLong) | DelayError::WrongOrder { .. })
        );
        prop_assert!(is_readable, "{:?} {:?}", text, read);
    }

    #[test]
    fn no_text_is_too_strange(start in 0_usize..2000, end in 0_usize..2000, put in "[\\PC\n]{0,8}") {
        let example = fs::read_to_string(repository("examples/prestop.yaml")).unwrap();
        let letters: Vec<char> = example.chars().collect();
        let (start, end) = (start.min(letters.len()), end.min(letters.len()));
        let mut text: String = letters[..start].iter().collect();
        text.push_str(&put);
        text.extend(&letters[end..]);
        if let Err(error) = Config::parse(&text) {
            for problem in error.problems() {
                prop_assert!(problem.line >= 1 && problem.column >= 1, "{}", error);
                prop_assert!(!problem.message.is_empty());
            }
        }
    }
}
