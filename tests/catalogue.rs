//! What the built-in catalogue says about images: which profile each gets, what is known about its
//! tags, and that nothing that only looks like an application is told to quit.

use std::collections::BTreeSet;

use prestop::catalogue::{
    Catalogue, ImagePattern, ImageReference, Profile, ProfileHook, QuitWhen, Signal,
};

/// Lines of an image and a profile's name.
const IMAGES: &str = include_str!("catalogue/images.txt");

/// `sha256:` and 64 digits, for references that are pinned.
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn table() -> Vec<(&'static str, Option<&'static str>)> {
    let lines = IMAGES.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
        .map(|line| {
            let (image, profile) = line.split_once(char::is_whitespace).expect(line);
            let profile = profile.trim();
            (image, (profile != "-").then_some(profile))
        })
        .collect()
}

fn profile_of(image: &str) -> Option<&'static Profile> {
    let image = ImageReference::parse(image)?;
    Catalogue::built_in().for_image(&image).map(|(profile, _)| profile)
}

/// What becomes of an image's container by the catalogue alone.
fn recommendation(image: &str) -> &'static str {
    let reference = ImageReference::parse(image).expect(image);
    let profile = profile_of(image).expect(image);
    let graceful = profile.stops_gracefully(reference.certain_tag());
    match &profile.hook {
        ProfileHook::LeaveAlone => "leave alone",
        ProfileHook::Delay => "delay",
        ProfileHook::Quit(quit) if graceful && quit.when == QuitWhen::Needed => "delay",
        ProfileHook::Quit(quit) if graceful && !quit.command.is_empty() => "quit",
        ProfileHook::Quit(_) => "quit and wait",
    }
}

#[test]
fn each_image_gets_its_profile() {
    let table = table();
    assert!(table.len() >= 130, "{} images", table.len());
    for (image, expected) in table {
        let found = profile_of(image).map(|profile| profile.name.as_str());
        assert_eq!(found, expected, "{image}");
    }
}

#[test]
fn every_profile_with_images_is_in_the_table() {
    let in_table: BTreeSet<_> = table().iter().filter_map(|(_, profile)| *profile).collect();
    let with_images: BTreeSet<_> = Catalogue::built_in()
        .profiles()
        .iter()
        .filter(|profile| !profile.images.is_empty())
        .map(|profile| profile.name.as_str())
        .collect();
    assert_eq!(in_table, with_images);
}

#[test]
fn no_pattern_is_shadowed_by_an_earlier_profile() {
    let catalogue = Catalogue::built_in();
    for profile in catalogue.profiles() {
        for pattern in &profile.images {
            let image = format!("mirror.local/shop/{pattern}").replace('*', "x");
            let image = ImageReference::parse(&image).unwrap();
            let (found, _) = catalogue.for_image(&image).unwrap();
            assert_eq!(found.name, profile.name, "{pattern}");
        }
    }
}

#[test]
fn what_cannot_be_an_image_gets_nothing() {
    let long_name = "nginx".repeat(820);
    let long_path = "nginx/".repeat(680) + "nginx";
    let long_tag = format!("nginx:{}", "1".repeat(4096));
    let long_digest = format!("nginx@sha256:{}", "a".repeat(4096));
    let garbage = [
        "",
        " ",
        "nginx ",
        " nginx",
        "nginx\n",
        "nginx\0",
        "nginx:1 27",
        "ngınx",
        "nginx\u{301}",
        "\u{202e}xnign",
        &long_name,
        &long_path,
        &long_tag,
        &long_digest,
    ];
    for text in garbage {
        assert_eq!(profile_of(text), None, "{text:?}");
    }
}

#[test]
fn lookalikes_are_never_told_to_quit() {
    let lookalikes = [
        "nginx/nginx-prometheus-exporter",
        "nginx/nginx-ingress",
        "bitnami/nginx-ingress-controller",
        "registry.k8s.io/ingress-nginx/controller",
        "nginx/nginx-gateway-fabric",
        "oliver006/redis_exporter",
        "zalando/postgres-operator",
        "prometheuscommunity/pgbouncer-exporter",
        "jcmoraisjr/haproxy-ingress",
        "haproxytech/kubernetes-ingress",
        "haproxytech/haproxy-exporter",
        "shop/my-nginx-app",
    ];
    for image in lookalikes {
        let hook = profile_of(image).map(|profile| &profile.hook);
        assert!(!matches!(hook, Some(ProfileHook::Quit(_))), "{image}");
    }
}

#[test]
fn what_an_image_needs_depends_on_its_tag() {
    let cases = [
        ("nginx:1.15", "quit and wait"),
        ("nginx:1.17.10", "quit and wait"),
        ("nginx:1.18.0", "quit and wait"),
        ("nginx:1.19.4", "quit and wait"),
        ("nginx:1.19.5", "quit"),
        ("nginx:1.19", "quit and wait"),
        ("nginx:1", "quit and wait"),
        ("nginx:1.27-alpine", "quit"),
        ("nginx:1.27.3", "quit"),
        ("nginx:latest", "quit and wait"),
        ("nginx", "quit and wait"),
        ("nginx:20240101", "quit and wait"),
        ("mirror.local/x/nginx:1.27", "quit and wait"),
        ("nginxinc/nginx-unprivileged:1.19.5", "quit and wait"),
        ("nginxinc/nginx-unprivileged:1.27", "quit"),
        ("bitnami/nginx:1.27.3-debian-12-r0", "quit and wait"),
        ("bitnami/nginx:1.28.0", "quit and wait"),
        ("bitnami/nginx:1.29.1-debian-12-r0", "quit"),
        ("bitnamisecure/nginx:latest", "quit and wait"),
        ("openresty/openresty:1.13.6.2", "quit and wait"),
        ("openresty/openresty:1.15.8.1-alpine", "quit"),
        ("openresty/openresty:alpine", "quit and wait"),
        ("cgr.dev/chainguard/nginx", "delay"),
        ("kong:3.9", "delay"),
        ("httpd:2.4.39", "quit and wait"),
        ("httpd:2.4.41", "quit and wait"),
        ("httpd:2.4.43", "delay"),
        ("httpd:2.4.62-alpine", "delay"),
        ("httpd:2.4", "quit and wait"),
        ("httpd:latest", "quit and wait"),
        ("shop/httpd:2.4.62", "quit and wait"),
        ("bitnami/apache:2.4.59", "quit and wait"),
        ("ubi9/httpd-24:1-325", "quit and wait"),
        ("haproxy:1.8.30", "quit and wait"),
        ("haproxy:1.9", "delay"),
        ("haproxy:3.2-alpine", "delay"),
        ("haproxy:latest", "quit and wait"),
        ("haproxytech/haproxy-alpine:3.2", "delay"),
        ("bitnami/haproxy:3.4.3", "quit and wait"),
        ("cgr.dev/chainguard/haproxy:3.2", "quit and wait"),
        ("sebp/lighttpd:1.4.76", "quit and wait"),
        ("php:8.4-fpm", "delay"),
        ("bitnami/php-fpm:8.4.4", "quit and wait"),
        ("cgr.dev/chainguard/php:latest-fpm", "delay"),
        ("postgres:17", "delay"),
        ("postgres:9.6", "delay"),
        ("bitnami/postgresql:17.2.0", "quit and wait"),
        ("cgr.dev/chainguard/postgres:17", "quit and wait"),
        ("edoburu/pgbouncer:v1.24.1-p1", "delay"),
        ("edoburu/pgbouncer:1.22.1-p0", "quit and wait"),
        ("edoburu/pgbouncer:latest", "quit and wait"),
        ("rabbitmq:4", "leave alone"),
        ("apache/kafka:4.0.0", "leave alone"),
        ("hashicorp/consul:1.20", "leave alone"),
    ];
    for (image, expected) in cases {
        assert_eq!(recommendation(image), expected, "{image}");
    }
}

#[test]
fn a_digest_hides_the_version() {
    for name in ["nginx", "httpd", "haproxy", "openresty/openresty"] {
        for image in [
            format!("{name}@{DIGEST}"),
            format!("{name}:2.9.9@{DIGEST}"),
            format!("{name}:1.27.3@{DIGEST}"),
        ] {
            assert_eq!(recommendation(&image), "quit and wait", "{image}");
        }
    }
}

#[test]
fn stop_signals_are_known_by_tag() {
    let cases = [
        ("nginx:1.15", Some(("TERM", false))),
        ("nginx:1.18.0", None),
        ("nginx:1.19.4", Some(("TERM", false))),
        ("nginx:1.27", Some(("QUIT", true))),
        ("nginx:latest", None),
        ("httpd:2.4.39", Some(("TERM", false))),
        ("httpd:2.4.41", None),
        ("httpd:2.4.62", Some(("WINCH", true))),
        ("haproxy:3.2", Some(("USR1", true))),
        ("postgres:17", Some(("INT", false))),
        ("postgres:12.4", None),
        ("bitnami/postgresql:17", Some(("TERM", false))),
        ("php:8.4-fpm", None),
        ("traefik:v3.3", Some(("TERM", true))),
        ("varnish:latest", Some(("TERM", false))),
    ];
    for (image, expected) in cases {
        let tag = ImageReference::parse(image).unwrap().certain_tag();
        let fact = profile_of(image).unwrap().stop_signal(tag);
        let fact = fact.map(|fact| (fact.signal.name(), fact.graceful));
        assert_eq!(fact, expected, "{image}");
    }
}

#[test]
fn a_build_number_or_a_date_is_no_version_that_stops_gracefully() {
    for profile in Catalogue::built_in().profiles() {
        if matches!(profile.hook, ProfileHook::Quit(_)) {
            for tag in [None, Some("latest"), Some("20240101"), Some("347-1")] {
                assert!(!profile.stops_gracefully(tag), "{} {tag:?}", profile.name);
            }
        }
    }
}

#[test]
fn the_nginx_family_quits_with_each_ones_own_program() {
    let cases = [
        ("nginx", "/usr/sbin/nginx"),
        ("nginxinc/nginx-unprivileged", "/usr/sbin/nginx"),
        ("bitnami/nginx", "/opt/bitnami/nginx/sbin/nginx"),
        ("openresty/openresty", "/usr/local/openresty/bin/openresty"),
        ("shop/nginx", "nginx"),
        ("shop/openresty", "openresty"),
    ];
    for (image, program) in cases {
        let ProfileHook::Quit(quit) = &profile_of(image).unwrap().hook else {
            panic!("{image} has no quit");
        };
        assert_eq!(quit.command, [program, "-s", "quit"], "{image}");
        assert_eq!(quit.signal.map(Signal::name), Some("QUIT"));
        assert_eq!(quit.when, QuitWhen::Always, "{image}");
        assert!(
            quit.process_names
                .iter()
                .all(|name| { ["nginx", "nginx-debug", "openresty"].contains(&name.as_str()) }),
            "{image}"
        );
    }
}

#[test]
fn sidecars_have_a_margin_and_are_never_told_to_quit() {
    for image in [
        "istio/proxyv2",
        "linkerd/proxy",
        "gcr.io/cloud-sql-connectors/cloud-sql-proxy",
        "hashicorp/vault",
        "fluent/fluent-bit",
        "datadog/agent",
        "envoyproxy/envoy:v1.33.0",
    ] {
        let profile = profile_of(image).unwrap();
        assert_eq!(profile.sidecar_margin_seconds, Some(5), "{image}");
        assert_eq!(profile.hook, ProfileHook::Delay, "{image}");
    }
    let proxy = profile_of("quay.io/oauth2-proxy/oauth2-proxy").unwrap();
    assert_eq!(proxy.sidecar_margin_seconds, None);
}

#[test]
fn programs_without_an_image_of_their_own_are_taken_by_name() {
    let catalogue = Catalogue::built_in();
    for name in ["uvicorn", "uwsgi", "puma", "spring-boot"] {
        let profile = catalogue.by_name(name).unwrap();
        assert!(profile.images.is_empty(), "{name}");
        assert_eq!(profile.hook, ProfileHook::Delay, "{name}");
    }
    for name in ["sidekiq", "celery"] {
        let hook = &catalogue.by_name(name).unwrap().hook;
        assert_eq!(*hook, ProfileHook::LeaveAlone, "{name}");
    }
    for (name, signal) in [("unicorn", "QUIT"), ("nats-lame-duck", "USR2")] {
        let profile = catalogue.by_name(name).unwrap();
        assert!(profile.images.is_empty(), "{name}");
        let ProfileHook::Quit(quit) = &profile.hook else {
            panic!("{name} has no quit");
        };
        assert_eq!(quit.signal.map(Signal::name), Some(signal));
    }
}

/// With backtracking each of these would take longer than the age of the universe.
#[test]
fn hostile_names_and_patterns_are_decided() {
    let name = "a".repeat(1000);
    let image = ImageReference::parse(&name).unwrap();
    let many_stars = "*a".repeat(400);
    let cases = [
        (format!("{many_stars}*"), true),
        (many_stars.clone(), true),
        (format!("{many_stars}*b"), false),
        (format!("{many_stars}b*"), false),
        (format!("b{many_stars}"), false),
        ("*a".repeat(1001), false),
        ("*".repeat(4096), true),
        (format!("{}b", "*".repeat(4096)), false),
    ];
    for (pattern, expected) in cases {
        let parsed = ImagePattern::parse(&pattern).unwrap();
        assert_eq!(parsed.matches(&image), expected, "{}", pattern.len());
    }
    let path = "a/".repeat(500) + "a";
    let path = ImageReference::parse(&path).unwrap();
    let deep = ImagePattern::parse(&("*/".repeat(600) + "*")).unwrap();
    assert!(!deep.matches(&path));
}
